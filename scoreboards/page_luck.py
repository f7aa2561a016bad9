"""What a data set's whole search says of luck, in words: for the page, the Markdown report and a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass

from scoreboards.board import Board, LuckFacts, UniverseFacts

UNKNOWN = "?"
_TOO_FEW = "cannot be told: fewer than two cells were searched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that a reader should know, in a few characters and in a sentence without its dot."""

    name: str
    value: str
    words: str


def years_on_record(board: Board, universe: UniverseFacts) -> float | None:
    """Return the years out of sample that the judged cells of a data set have; None where none was played."""
    days = [
        row.number("days")
        for row in board.judged
        if row.text("universe") == universe.name and row.values["days"] is not None
    ]
    return max(days) / universe.days_per_year if days else None


def luck_facts(board: Board, universe: UniverseFacts) -> tuple[Fact, ...]:
    """Return everything that a data set's search says of luck; `?` where it cannot be told."""
    return (_tries(universe), _holdout(universe), *_search(universe.luck), _years(board, universe))


def _tries(universe: UniverseFacts) -> Fact:
    return Fact(
        name="tries on record",
        value=f"{universe.trials:,}",
        words=f"made on these data so far, {universe.n_effective:.1f} of them independent: that many count "
        "in the deflated Sharpe ratio",
    )


def _holdout(universe: UniverseFacts) -> Fact:
    return Fact(
        name="sealed hold-out",
        value=f"{universe.holdout_rows:,}",
        words=f"bars at the end that nothing here has seen, opened {_times(universe.holdout_openings)}",
    )


def _search(luck: LuckFacts) -> Iterator[Fact]:
    yield _overfitting(luck)
    yield _paths(luck)
    yield _shuffled(luck)
    yield Fact(
        name="cannot be told apart",
        value=f"{len(luck.confidence_set)}" if luck.confidence_set else UNKNOWN,
        words=f"strategies that may each be the best one, with 90% confidence: "
        f"{', '.join(luck.confidence_set)}"
        if luck.confidence_set
        else "no two cells could be compared",
    )
    yield Fact(
        name="days drawn again",
        value=UNKNOWN if luck.block_days is None else f"{luck.block_days:.1f}",
        words="days in a block on average, when the record is drawn again to see what luck does to it",
    )


def _overfitting(luck: LuckFacts) -> Fact:
    if luck.overfitting_probability is None:
        return Fact(name="overfitting", value=UNKNOWN, words=_TOO_FEW)
    lost = luck.overfitting_degradation
    kept = "what it had was no gain" if lost is None else f"it loses {lost:.0%} of its Sharpe ratio there"
    return Fact(
        name="overfitting",
        value=f"{luck.overfitting_probability:.0%}",
        words=f"of the ways to halve history, the best of one half is below the middle in the other; {kept}",
    )


def _paths(luck: LuckFacts) -> Fact:
    if luck.path_sharpe is None or luck.path_sharpe_deviation is None or luck.path_loss_share is None:
        return Fact(
            name="paths not chosen on",
            value=UNKNOWN,
            words=_TOO_FEW,
        )
    return Fact(
        name="paths not chosen on",
        value=f"{luck.path_sharpe:+.2f} ± {luck.path_sharpe_deviation:.2f}",
        words=f"excess Sharpe ratio over paths through history on which cells were not chosen; "
        f"{luck.path_loss_share:.0%} of them lose",
    )


def _shuffled(luck: LuckFacts) -> Fact:
    if not luck.permutations or luck.permuted_best is None:
        return Fact(name="shuffled bars", value=UNKNOWN, words="the search was not played on shuffled bars")
    return Fact(
        name="shuffled bars",
        value=f"{luck.permuted_best:+.2f}",
        words=f"excess Sharpe ratio, or more, is found in one of 20 shuffled histories by the same search: "
        f"{luck.permutations:,} histories, {luck.cells_permuted:,} cells on each, those with native "
        "allocation only",
    )


def _years(board: Board, universe: UniverseFacts) -> Fact:
    needed, there = universe.luck.minimum_years, years_on_record(board, universe)
    if needed is None:
        return Fact(name="years needed", value=UNKNOWN, words="one independent try asks for none")
    have = "" if there is None else f"; there are {there:.1f}"
    return Fact(
        name="years needed",
        value=f"{needed:.1f}",
        words=f"of history, so that the best of so many tries has no Sharpe ratio of 1 by luck{have}",
    )


def luck_line(universe: UniverseFacts) -> str:
    """Return the same in one line for a terminal, without what cannot be told."""
    luck = universe.luck
    parts = []
    if luck.overfitting_probability is not None:
        parts.append(f"overfitting {luck.overfitting_probability:.0%}")
    if luck.path_loss_share is not None:
        parts.append(f"{luck.path_loss_share:.0%} of other paths lose")
    if luck.permutations and luck.permuted_best is not None:
        parts.append(f"shuffled bars give {luck.permuted_best:+.2f} (1 in 20)")
    if luck.minimum_years is not None:
        parts.append(f"{luck.minimum_years:.1f} years needed")
    return f"luck: {', '.join(parts)}" if parts else "luck: cannot be told, too few cells were searched"


def _times(count: int) -> str:
    return {0: "0 times", 1: "once"}.get(count, f"{count} times")
