"""The search of one window: what it asks, what it gives up, what it keeps, what it chooses."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.domain.errors import InputError
from engine.domain.panel import FloatArray, Panel
from engine.features.strategy import Number
from engine.strategy_files import strategy_class
from research.tuning_objectives import Objective
from research.tuning_search import (
    BATCH,
    Fate,
    Quest,
    Range,
    Searched,
    Tried,
    balance,
    choose,
    on_front,
    ranges_of,
    ranks_of,
    search,
)
from tests import boards
from tests.builders import random_panel

START, ROWS = 60, 260
RANGES: Mapping[str, tuple[Number, Number]] = {"fast": (2, 20), "slow": (5, 40)}


def panel(seed: int = 5) -> Panel:
    return random_panel(ROWS, 3, seed=seed)


def quest(
    name: str = "trend",
    *,
    given: Mapping[str, tuple[Number, Number]] = RANGES,
    objectives: tuple[Objective, ...] = (Objective.SHARPE,),
    trials: int = 25,
    seed: int = 1,
    pruning: bool = True,
) -> Quest:
    kind = strategy_class(name)
    fixed = {key: low for key, (low, high) in given.items() if low == high}
    return Quest(
        kind=kind,
        base=kind.of(fixed).parameters,
        ranges=ranges_of(kind, given),
        objectives=objectives,
        trials=trials,
        seed=seed,
        pruning=pruning,
        settings=boards.settings(),
    )


def found_by(asked: Quest, *, window: int = 0, journal: Path | None = None) -> Searched:
    return search(panel(), asked, start_row=START, window=window, journal=journal)


def equal(one: Searched, other: Searched) -> bool:
    return repr(one) == repr(other)


# ------------------------------------------------------------------------------------------------- ranges


def test_ranges_are_those_that_the_strategy_declares_and_narrower_ones() -> None:
    trend = strategy_class("trend")

    assert ranges_of(trend, {}) == (
        Range(name="fast", low=2, high=60, whole=True),
        Range(name="slow", low=5, high=300, whole=True),
    )
    assert ranges_of(trend, {"fast": (7, 7), "slow": (50, 90)}) == (
        Range(name="slow", low=50, high=90, whole=True),
    )


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("buy_and_hold", {}, "buy_and_hold has no parameter to tune"),
        ("trend", {"fast": (1, 9)}, "--param fast: trend takes 2 to 60, was 1 to 9"),
        ("trend", {"fast": (9, 4)}, "--param fast: trend takes 2 to 60, was 9 to 4"),
        ("trend", {"fast": (2.5, 9)}, "trend takes whole numbers, was 2.5 to 9"),
        ("trend", {"fast": (9, 9), "slow": (50, 50)}, "every parameter of trend is fixed"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused(
    name: str, given: Mapping[str, tuple[Number, Number]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        ranges_of(strategy_class(name), given)


@pytest.mark.parametrize(("value", "played"), [(0.123456, 0.123), (0.05, 0.05), (0.4999999, 0.5), (0.3, 0.3)])
def test_real_numbers_are_played_to_a_hundredth_of_their_range_or_finer(value: float, played: float) -> None:
    assert Range(name="share", low=0.05, high=0.5, whole=False).tidy(value) == played


# ------------------------------------------------------------------------------------------------- choice


def test_the_front_holds_what_nothing_beats() -> None:
    values = np.array([[1.0, 5.0], [2.0, 4.0], [2.0, 3.0], [0.0, 6.0], [1.0, 5.0]])

    assert on_front(values).tolist() == [True, True, False, True, True]


def test_with_several_objectives_the_one_that_is_best_where_it_is_worst_is_chosen() -> None:
    # Ranks: (1/4, 4/4), (3/4, 3/4), (4/4, 1/4), (2/4, 2/4).
    values = np.array([[0.0, 9.0], [2.0, 5.0], [7.0, 1.0], [1.0, 2.0]])

    assert balance(values).tolist() == [0.25, 0.75, 0.25, 0.5]
    assert choose(values) == 1


def test_with_one_objective_the_best_is_chosen_and_of_equal_ones_the_first() -> None:
    assert choose(np.array([[0.1], [0.7], [0.3], [0.7]])) == 1


def test_a_chosen_set_is_on_the_front_even_where_a_beaten_one_is_as_good_at_its_worst() -> None:
    # The last is beaten by the first, but their worst ranks are equal.
    values: FloatArray = np.array([[2.0, 3.0], [3.0, 1.0], [2.0, 2.0]])

    assert choose(values[::-1]) == 2


def test_what_was_given_up_ranks_below_everything_and_what_was_refused_does_not_rank() -> None:
    def tried(number: int, fate: Fate, *values: float) -> Tried:
        return Tried(number=number, fate=fate, parameters={"a": number}, values=values, at_half=0.0)

    ranks = ranks_of(
        [
            tried(0, Fate.COMPLETE, 1.0),
            tried(1, Fate.PRUNED),
            tried(2, Fate.REFUSED),
            tried(3, Fate.COMPLETE, 2.0),
            tried(4, Fate.VOID),
        ]
    )

    assert ranks == {0: 0.5, 1: 0.0, 3: 1.0, 4: 0.0}


# ------------------------------------------------------------------------------------------------- search


def test_every_set_that_counts_was_played_and_none_that_the_strategy_refuses() -> None:
    found = found_by(quest(pruning=False))
    fates = {fate: found.count(fate) for fate in Fate}

    assert fates[Fate.COMPLETE] == 25
    assert fates[Fate.REFUSED] > 0
    assert fates[Fate.PRUNED] == fates[Fate.VOID] == 0
    for item in found.tried:
        refused = item.parameters["fast"] >= item.parameters["slow"]
        assert refused == (item.fate is Fate.REFUSED)
        assert bool(item.values) == (item.fate is Fate.COMPLETE)


def test_the_untuned_set_is_played_first_unless_it_is_out_of_range() -> None:
    assert dict(found_by(quest("trend", given={"slow": (50, 150)})).tried[0].parameters) == {
        "fast": 20,
        "slow": 100,
    }
    assert found_by(quest(trials=1)).tried[0].parameters["slow"] != 100


def test_the_chosen_set_is_the_best_of_those_that_were_played_to_the_end() -> None:
    found = found_by(quest(trials=40))
    assert found.chosen is not None
    best = max(item.values[0] for item in found.tried if item.values)

    assert found.tried[found.chosen].values == (best,)
    assert found.front == (found.chosen,)
    assert 0.0 < found.plateau <= 1.0


def test_pruning_gives_up_below_the_median_of_those_that_were_played_to_the_end() -> None:
    played = [item for item in found_by(quest(trials=40)).tried if item.fate is not Fate.REFUSED]
    batches = [played[start : start + BATCH] for start in range(0, 40, BATCH)]

    complete: list[float] = []
    for place, batch in enumerate(batches):
        for item in batch:
            given_up = place > 0 and item.at_half < np.median(complete)
            assert item.fate is (Fate.PRUNED if given_up else Fate.COMPLETE)
        complete += [item.at_half for item in batch if item.fate is Fate.COMPLETE]
    assert len(complete) < 40


def test_the_value_at_half_is_that_of_an_account_that_ends_there() -> None:
    found = found_by(quest(trials=5))
    half = START + -(-(ROWS - START) // 2)
    short = search(
        panel().rows(0, half), quest(trials=5, pruning=False), start_row=START, window=0, journal=None
    )

    assert [item.at_half for item in found.tried if item.values] == [
        item.values[0] for item in short.tried if item.values
    ]


def test_windows_and_seeds_draw_their_own_sets_and_equal_ones_the_same() -> None:
    asked = quest(trials=5)
    first = found_by(asked)

    assert equal(found_by(asked), first)
    assert not equal(found_by(asked, window=1), first)
    assert not equal(found_by(replace(asked, seed=2)), first)


def test_several_objectives_are_searched_at_once() -> None:
    found = found_by(quest(objectives=(Objective.SHARPE, Objective.MAX_DRAWDOWN)))
    assert found.chosen is not None
    complete = [item for item in found.tried if item.fate is Fate.COMPLETE]
    values = np.array([item.values for item in complete])

    assert values.shape == (25, 2)
    assert found.front == tuple(
        item.number for item, best in zip(complete, on_front(values), strict=True) if best
    )
    assert found.chosen in found.front


def test_real_parameters_are_searched_and_played_as_they_are_told() -> None:
    found = found_by(quest("mean_reversion", given={"length": (5, 20)}, trials=12))

    for item in found.tried:
        assert isinstance(item.parameters["length"], int)
        assert item.parameters["entry"] == round(float(item.parameters["entry"]), 2)


def test_sets_that_never_trade_are_void_and_leave_nothing_to_choose() -> None:
    # Signals begin when there are 252 bars, here there are 260 and the account's rows are before.
    asked = quest("time_series_momentum", given={"lookback": (300, 400)}, trials=3)
    found = found_by(asked)

    assert found.count(Fate.VOID) == 3
    assert found.chosen is None
    assert found.front == ()


def test_a_strategy_that_refuses_nearly_everything_ends_the_search_with_its_reason() -> None:
    asked = quest(given={"fast": (20, 60), "slow": (5, 21)}, trials=10)

    with pytest.raises(InputError, match=r"trend refused \d+ of 500 parameter sets.*fast must be below slow"):
        found_by(asked)


# ---------------------------------------------------------------------------------------------- the journal


def test_a_journal_that_was_cut_anywhere_leads_to_the_same_result_and_the_same_trials(tmp_path: Path) -> None:
    asked = quest()
    journal = tmp_path / "window.journal"
    whole = found_by(asked, journal=journal)
    written = journal.read_bytes()
    assert equal(whole, found_by(asked))

    ends = [place + 1 for place, byte in enumerate(written) if byte == ord("\n")]
    cuts = {0, 1, len(written) - 1, *ends[:: len(ends) // 4], *(end + 40 for end in ends[3:-1:9])}
    for cut in sorted(cuts):
        journal.write_bytes(written[:cut])
        assert equal(found_by(asked, journal=journal), whole), cut
        assert trials_in(journal) == trials_in_bytes(written), cut


def test_a_damaged_journal_says_what_to_do(tmp_path: Path) -> None:
    journal = tmp_path / "window.journal"
    found_by(quest(trials=3), journal=journal)
    first, *others = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + b"{no json}\n" + b"".join(others))

    with pytest.raises(InputError, match=r"window.journal: line 2 is damaged; delete the file"):
        found_by(quest(trials=3), journal=journal)


def trials_in(journal: Path) -> list[object]:
    return trials_in_bytes(journal.read_bytes())


def trials_in_bytes(text: bytes) -> list[object]:
    """Return what a journal says of trials, without the clock and the name of the process."""
    logs = [json.loads(line) for line in text.splitlines()]
    clock = ("datetime_start", "datetime_complete", "worker_id")
    return [{key: log[key] for key in sorted(log) if key not in clock} for log in logs if "params" in log]


def test_a_finished_search_plays_nothing_again(tmp_path: Path) -> None:
    asked = quest()
    journal = tmp_path / "window.journal"
    whole = found_by(asked, journal=journal)
    written = journal.read_bytes()

    # Other bars would give other values, if they were looked at.
    again = search(panel(seed=6), asked, start_row=START, window=0, journal=journal)

    assert equal(again, whole)
    assert journal.read_bytes() == written


def test_a_journal_is_one_that_optuna_reads(tmp_path: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal = tmp_path / "window.journal"
    whole = found_by(quest(), journal=journal)
    assert whole.chosen is not None

    study = optuna.load_study(study_name="window", storage=JournalStorage(JournalFileBackend(str(journal))))

    assert len(study.trials) == len(whole.tried)
    assert study.best_value == whole.tried[whole.chosen].values[0]
    assert study.best_params == dict(whole.tried[whole.chosen].parameters)
