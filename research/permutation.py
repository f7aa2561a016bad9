"""Asks whether the best of a whole search is better than the best of it on bars without an order.

Masters' permutation test of a trading system [1]_, [2]_ over everything that a tournament searches with
native allocation: strategies x selections x allocations x rebalances (RULINGS D12). The changes of the bars
out of sample are put into another order, one order for all instruments. What every instrument earned in all,
how its changes are distributed and how instruments move together on a day stay as they were; what a bar
says of later bars is gone. On each permutation everything is done anew: instruments chosen and weighted from
the training rows, signals computed, accounts played by the core with the same costs, rules and limits. The
largest annualised excess Sharpe ratio of the search (excess as in RULINGS D2) is one draw of what luck does.

An instrument that rose most over all years rises most in every permutation too, so a search that finds it is
no better than luck here: the test asks for timing. That makes it strict with strategies that choose across
instruments, and immune against a drifting market.

References
----------
.. [1] Masters (2018), Testing and Tuning Market Trading Systems, Apress, ch. 7; Masters (2020), Permutation
   and Randomization Tests for Trading System Development
.. [2] Aronson (2006), Evidence-Based Technical Analysis, Wiley, ch. 5
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.allocation.allocator import WEIGHT_UNITS, Engine, Profile, allocate
from engine.compiled import CORE_VERSION
from engine.core import metrics
from engine.core.market import FUNDING_FIELD
from engine.domain.errors import AllocationError, InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray, Panel, day_ends
from engine.domain.portfolio import Plan
from engine.pipeline.run import Column, Detail, Settings, run_all
from engine.schedule.windows import Rebalance, Window, plan
from engine.selection.components import block_starts
from engine.selection.log_mps import LogMps
from engine.selection.log_mps_fast import eligible_fast, select_log_mps_fast
from engine.selection.universe import Eligibility, Selection
from engine.workforce import THIS_PROCESS, Shared, Workforce
from research.arena import Contestant
from research.baselines import MARKET_FIELD, buy_and_hold_plan, equal_weights, freed, market_panel, unlimited
from research.cell_store import read_arrays, write_arrays
from research.cells import PermutationRecord
from research.configuration import TournamentConfiguration
from research.excess import (
    EQUIVALENT_CORRELATION,
    EQUIVALENT_TRACKING_ERROR,
    excess_returns,
    mean_gross,
)
from research.grounds import Prepared
from research.sources import library_versions, sources_hash
from research.training import training_rows

BoolArray = npt.NDArray[np.bool_]
Progress = Callable[[int, int], None]

# RULINGS D12: the smallest p-value is 1 / 200.
PERMUTATIONS = 199

# What stands between the core and the largest Sharpe ratio; the core has a version of its own.
_SOURCES = (
    "engine/domain",
    "engine/schedule",
    "engine/selection",
    "engine/allocation/allocator.py",
    "engine/allocation/native.py",
    "research/baselines.py",
    "research/excess.py",
    "research/permutation.py",
    "research/training.py",
)
# Permutations that a worker is handed at a time, and the most that are lost by an interruption.
_LOT = 4

# Of a share in units of 1e-4: sums that are rounded once more or less differ by some 1e-11 of one.
_DECIDED = 1e-6
_NO_DEVIATION = 1e-12

_ABSENT, _MOVED, _CAME_BACK, _LISTED = range(4)


# --------------------------------------------------------------------------------------------- bars


def permuted(panel: Panel, generator: np.random.Generator, *, first_row: int = 0) -> Panel:
    """Return the bars in another order, the same for all instruments.

    With ranges, the gaps from the previous close to the open and what happens inside a bar (high, low and
    close relative to the open, with its volume and its funding) are permuted apart, as Masters does; bars of
    closes only have their returns permuted. The market's level takes the order of the bars. Other fields stay
    where they are: a signal from outside keeps its own memory, and with it the costs of following it, and
    loses what it knew of the bars.

    Only rows on which the same instruments moved are exchanged with one another: a hole stays where it is, an
    instrument is listed on its day at its price, and between two listings every price ends where it ended.
    Bars that open a session of an intraday set, which carry the night, are exchanged among themselves.

    Parameters
    ----------
    first_row
        The bars up to this row stay as they are. In a walk-forward that is the row of the first decision
        [1]_: what came before was never traded, and its trend must not be moved into the rows that were.

    Returns
    -------
    Panel
        On the same time axis. Prices at `first_row` are the same bits, at the end the same up to rounding.

    Raises
    ------
    InvalidValueError
        If a bar has a close and no open, high or low, or a price that is not positive.

    References
    ----------
    .. [1] Masters (2018), Testing and Tuning Market Trading Systems, ch. 7: permuting walk-forward tests
    """
    moves, lines = _moves(panel)
    gap_from, bar_from = _orders(panel, lines, generator, first_row)
    traded = lines != _ABSENT
    kept = (np.arange(len(panel)) <= first_row)[:, None]
    inside = moves.close[bar_from]
    # A first bar follows nothing: it begins at the price at which it was listed.
    changes = np.where(lines == _LISTED, 0.0, moves.gap[gap_from]) + inside
    log_close = moves.start(first_row, lines) + np.cumsum(np.where(kept | ~traded, 0.0, changes), axis=0)
    log_open = log_close - inside

    def prices(logarithms: FloatArray, original: FloatArray) -> FloatArray:
        return np.where(kept, original, np.where(traded, np.exp(logarithms), np.nan))

    wide_close = prices(log_close, moves.original)
    close = wide_close[:, : len(panel.instruments)]
    bars: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close"), close)
    if panel.has_range:
        open_, high, low = (
            prices(log_open + moved[bar_from], moves.original)[:, : len(panel.instruments)]
            for moved in (np.zeros_like(inside), moves.high, moves.low)
        )
        # A logarithm and its exponential may round a close one bit above its high.
        bars |= {
            "open": np.where(kept, panel.open, open_),
            "high": np.where(kept, panel.high, np.fmax(high, np.fmax(open_, close))),
            "low": np.where(kept, panel.low, np.fmin(low, np.fmin(open_, close))),
        }
    extras = dict(panel.fields)
    if MARKET_FIELD in extras:
        extras[MARKET_FIELD] = wide_close[:, -1]
    if FUNDING_FIELD in extras:
        extras[FUNDING_FIELD] = extras[FUNDING_FIELD][bar_from]
    return replace(panel, **bars, volume=panel.volume[bar_from], fields=extras)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Moves:
    """Logarithms of what bars did, shape (T, N), with the market as a last column where there is one.

    Attributes
    ----------
    original
        The closes and the market's level themselves.
    gap
        From the last close to the open; to the close, where there are closes only. A market has a level
        alone: all that it does goes with what happens inside the bars, or with the gap where nothing does.
    high, low, close
        Relative to the open; 0 where there are closes only.
    first_open, last_close
        Logarithms of the price that a bar begins with when it is the first one, and of the last close so far.
    """

    original: FloatArray
    gap: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    first_open: FloatArray
    last_close: FloatArray

    def start(self, first_row: int, lines: npt.NDArray[np.int8]) -> FloatArray:
        """Return the logarithm that changes after `first_row` are added to, shape (N,)."""
        listed_at = np.argmax(lines == _LISTED, axis=0)
        columns = np.arange(lines.shape[1])
        later = listed_at > first_row
        start: FloatArray = np.where(later, self.first_open[listed_at, columns], self.last_close[first_row])
        return start


def _moves(panel: Panel) -> tuple[_Moves, npt.NDArray[np.int8]]:
    """Return what bars did, and for each bar whether it is absent, follows a bar, a hole, or nothing."""
    level = panel.fields.get(MARKET_FIELD)
    market = np.empty((len(panel), 0)) if level is None else level[:, None]
    close = np.hstack((panel.close, market))
    traded = np.isfinite(close)
    _check_bars(panel, close)
    rows = np.where(traded, np.arange(len(close))[:, None], 0)
    last = np.take_along_axis(close, np.maximum.accumulate(rows, axis=0), axis=0)
    before = np.vstack((np.full((1, close.shape[1]), np.nan), last[:-1]))
    lines = np.full(close.shape, _ABSENT, dtype=np.int8)
    lines[traded] = _CAME_BACK
    lines[1:][traded[1:] & traded[:-1]] = _MOVED
    lines[traded & np.isnan(before)] = _LISTED
    first = high = low = close
    if panel.has_range:
        opened = before[:, len(panel.instruments) :]
        first = np.hstack((panel.open, np.where(np.isnan(opened), market, opened)))
        high, low = np.hstack((panel.high, market)), np.hstack((panel.low, market))
    moves = _Moves(
        original=close,
        gap=np.log(first / before),
        high=np.log(high / first),
        low=np.log(low / first),
        close=np.log(close / first),
        first_open=np.log(first),
        last_close=np.log(last),
    )
    return moves, lines


def _check_bars(panel: Panel, close: FloatArray) -> None:
    named = {"close": close}
    if panel.has_range:
        named |= {"open": panel.open, "high": panel.high, "low": panel.low}
    for name, values in named.items():
        if (values <= 0.0).any():
            raise InvalidValueError(
                f"{panel.name}: to be permuted prices must be positive, one {name} is not"
            )
        if name != "close" and not np.array_equal(np.isfinite(values), np.isfinite(panel.close)):
            raise InvalidValueError(
                f"{panel.name}: some bar has a close or an {name} and not both, so it cannot be permuted"
            )


def _orders(
    panel: Panel, lines: npt.NDArray[np.int8], generator: np.random.Generator, first_row: int
) -> tuple[IntArray, IntArray]:
    """Return from which row each row takes its gap, and from which the inside of its bar; shape (T,)."""
    gap_from = np.arange(len(panel), dtype=np.int64)
    # Closes only have one change a bar, and all of a bar goes with it.
    bar_from = gap_from.copy() if panel.has_range else gap_from
    rows = np.arange(first_row + 1, len(panel), dtype=np.int64)
    opens_session = np.zeros((len(panel), 1), dtype=np.int8)
    if panel.bars_a_day > 1:
        opens_session[1:, 0] = panel.day_ends[:-1]
    kinds = np.hstack((lines, opens_session))[rows]
    if (kinds == kinds[:1]).all():
        groups = [rows]
    else:
        kind_of = np.unique(kinds, axis=0, return_inverse=True)[1].reshape(-1)
        groups = [rows[kind_of == kind] for kind in range(int(kind_of.max()) + 1)]
    for group in groups:
        gap_from[group] = generator.permutation(group)
        if panel.has_range:
            bar_from[group] = generator.permutation(group)
    return gap_from, bar_from


# ------------------------------------------------------------------------------------------- search


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """All that a tournament tries on one data set with native allocation (RULINGS D12).

    Attributes
    ----------
    settings
        Of accounts that carry limits, as in `Arena`.
    floor, seed
        Of the selections, as in `research.selections.Request`.
    """

    panel: Panel
    windows: tuple[Window, ...]
    contestants: tuple[Contestant, ...]
    selections: tuple[Selection, ...]
    profiles: tuple[Profile, ...]
    rebalances: tuple[Rebalance, ...]
    settings: Settings
    floor: int
    seed: int

    @classmethod
    def of(
        cls, prepared: Prepared, contestants: Sequence[Contestant], configuration: TournamentConfiguration
    ) -> Self:
        """Return the search of a tournament on one data set.

        Parameters
        ----------
        contestants
            Those that were admitted to this data set.
        """
        arena = prepared.arena
        return cls(
            panel=arena.panel,
            windows=arena.windows,
            contestants=tuple(contestants),
            selections=tuple(Selection(selection.value) for selection in configuration.selections),
            profiles=tuple(
                Profile(profile)
                for engine, profile in configuration.allocations.pairs()
                if engine == Engine.NATIVE
            ),
            rebalances=tuple(Rebalance(rebalance.value) for rebalance in configuration.rebalances),
            settings=arena.settings,
            floor=prepared.ground.universe.floor(len(arena.panel.instruments)),
            seed=configuration.seed,
        )

    @property
    def n_cells(self) -> int:
        """Number of cells that the search plays."""
        return len(self.contestants) * len(self.selections) * len(self.profiles) * len(self.rebalances)

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything that the largest Sharpe ratio of a permutation depends on, its seed apart."""
        return content_hash(
            {
                "kind": "search/1",
                "core": CORE_VERSION,
                "code": (sources_hash(*_SOURCES), library_versions()),
                "panel": self.panel.content_hash,
                "windows": self.windows,
                "contestants": [
                    (
                        entry.graph_hash,
                        entry.root.hash,
                        entry.invest,
                        [root.hash for root in entry.order_roots],
                    )
                    for entry in self.contestants
                ],
                "selections": self.selections,
                "profiles": self.profiles,
                "rebalances": self.rebalances,
                "settings": self.settings,
                "floor": self.floor,
                "seed": self.seed,
            }
        )


def search_null(
    search: Search,
    *,
    seed: int,
    facts: Path,
    workforce: Workforce = THIS_PROCESS,
    count: int = PERMUTATIONS,
    progress: Progress | None = None,
) -> PermutationRecord:
    """Play the whole search on permuted bars.

    Permutation b is drawn from `PCG64([seed, b])`, so neither their number nor that of the workers changes
    any of them. Each one is kept when it is done. Nothing is written to a register of trials.

    Parameters
    ----------
    seed
        Of the permutations.
    facts
        Folder of what was played before, such as `cache_folder() / "permutations"`.
    workforce
        Who plays. No result depends on it.
    progress
        Called with the number of permutations done, and of all.

    Raises
    ------
    InvalidValueError
        For a search without a cell, or bars that cannot be permuted.
    """
    if search.n_cells == 0 or count < 1:
        raise InvalidValueError(
            f"permutation: needs at least one cell and one permutation, were {search.n_cells} and {count}"
        )
    # Number 0 is the data as they were.
    paths = {number: _path(facts, search, seed, number) for number in range(count + 1)}
    done = {number: found for number in paths if (found := _read(*paths[number])) is not None}
    missing = [number for number in paths if number not in done]
    lots = [missing[first : first + _LOT] for first in range(0, len(missing), _LOT)]
    shared = workforce.share(search) if lots else None
    for place, best in workforce.stream(_play_lot, [(shared, seed, tuple(lot)) for lot in lots]):
        for number, found in zip(lots[place], best, strict=True):
            path, key = paths[number]
            write_arrays(path, key, {"best": found})
            done[number] = found
        if progress is not None:
            progress(len(done), len(paths))
    return PermutationRecord(
        strategies=tuple(contestant.name for contestant in search.contestants),
        null_by_strategy=np.array([done[number] for number in range(1, count + 1)]),
        observed=done[0],
        n_searched=search.n_cells,
        seed=seed,
        first_row=search.settings.start_row,
        search_hash=search.content_hash,
    )


def _path(facts: Path, search: Search, seed: int, number: int) -> tuple[Path, str]:
    key = content_hash(
        {"kind": "permutation/1", "search": search.content_hash, "seed": seed, "number": number}
    )
    return facts / key[:2] / f"{key}.npz", key


def _read(path: Path, key: str) -> FloatArray | None:
    stored = read_arrays(path, key)
    return None if stored is None else stored["best"].astype(np.float64)


def _play_lot(shared: Shared[Search], seed: int, lot: Sequence[int]) -> list[FloatArray]:
    search = shared.get()
    starts = _block_starts(search)
    found = []
    for number in lot:
        panel = search.panel
        if number > 0:
            generator = np.random.Generator(np.random.PCG64([seed, number]))
            panel = permuted(panel, generator, first_row=search.settings.start_row)
        found.append(_best_of_each(search, panel, starts))
    return found


def best_of_each(search: Search, panel: Panel) -> FloatArray:
    """Return each contestant's largest annualised excess Sharpe ratio, the search being done on a panel.

    Returns
    -------
    FloatArray
        Shape (S,); minus infinity where no cell has an excess that is its own.
    """
    return _best_of_each(search, panel, _block_starts(search))


def _block_starts(search: Search) -> IntArray | None:
    """Return the bootstrap of every window as `engine.pipeline.planning.select_window` draws it."""
    if Selection.LOG_MPS not in search.selections:
        return None
    terms = LogMps(floor=search.floor)
    return np.array(
        [
            block_starts(
                window.train_stop - window.train_start - 1,
                n_paths=terms.survival_paths,
                block=terms.survival_block,
                generator=np.random.Generator(np.random.PCG64([search.seed, window.index])),
            )
            for window in search.windows
        ]
    )


# ------------------------------------------------------------------------------------------- one world


@dataclass(frozen=True, kw_only=True, eq=False)
class _Baseline:
    """Daily returns of what a cell is compared with, shape (D,)."""

    pool: FloatArray
    all: tuple[FloatArray, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seat:
    """One cell of a contestant: its plan, and where its baselines stand."""

    plan: Plan
    selection: Selection
    rebalance: Rebalance


def _best_of_each(search: Search, panel: Panel, starts: IntArray | None) -> FloatArray:
    closes = _training_stack(panel.close, search.windows)
    eligible, selected = _selected(search, panel, closes, starts)
    weights = _weights(search, closes, selected)
    seats = [
        _Seat(plan=plan(search.windows, base, rebalance), selection=selection, rebalance=rebalance)
        for (selection, _), base in weights.items()
        for rebalance in search.rebalances
    ]
    baselines = _baselines(search, panel, eligible, selected)
    return np.array(
        [_best_of(search, panel, contestant, seats, baselines) for contestant in search.contestants]
    )


def _training_stack(values: FloatArray, windows: Sequence[Window]) -> FloatArray:
    """Return the training rows of all windows, shape (K, N, T), oldest first."""
    stack = np.stack([training_rows(values, window) for window in windows])
    return np.ascontiguousarray(stack.transpose(0, 2, 1))


def _selected(
    search: Search, panel: Panel, closes: FloatArray, starts: IntArray | None
) -> tuple[BoolArray, dict[Selection, BoolArray]]:
    """Return which instruments may be held in each window, and which are chosen; shape (K, N)."""
    rules = Eligibility()
    eligible = eligible_fast(closes, rules)
    selected: dict[Selection, BoolArray] = {}
    for selection in search.selections:
        match selection:
            case Selection.ALL:
                selected[selection] = eligible
            case Selection.LOG_MPS:
                assert starts is not None, "drawn wherever log_mps is searched"
                value = None
                if panel.has_volume:
                    value = _training_stack(panel.close * panel.volume, search.windows)
                selected[selection] = select_log_mps_fast(
                    closes,
                    rules,
                    LogMps(floor=search.floor),
                    days_per_year=panel.calendar.days_per_year,
                    starts=starts,
                    traded_value=value,
                ).mask
    return eligible, selected


def _weights(
    search: Search, closes: FloatArray, selected: dict[Selection, BoolArray]
) -> dict[tuple[Selection, Profile], FloatArray]:
    """Return base weights, shape (K, N); an allocation without an answer for some window plays no cell."""
    returns = closes[:, :, 1:] / closes[:, :, :-1] - 1.0
    deviation = returns.std(axis=2, ddof=1)
    found = {}
    for selection, masks in selected.items():
        for profile in search.profiles:
            weights, certain = _weights_fast(profile, deviation, masks)
            try:
                for window in np.flatnonzero(~certain).tolist():
                    columns = np.flatnonzero(masks[window])
                    weights[window] = 0.0
                    weights[window, columns] = allocate(
                        Engine.NATIVE, profile, np.ascontiguousarray(returns[window, columns].T)
                    )
            except AllocationError:
                continue
            found[selection, profile] = weights
    return found


def _weights_fast(profile: Profile, deviation: FloatArray, masks: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Return what `engine.allocation.allocator.allocate` says of all windows, and of which it is certain.

    The allocator adds up exactly, which takes as long as playing the accounts. Plain sums lead to the same
    units of 1e-4 unless rounding decides one; those windows, and profiles that are not made here, it must be
    asked for.

    Parameters
    ----------
    deviation
        Shape (K, N), standard deviations of the training rows.
    masks
        Shape (K, N).

    Returns
    -------
    tuple
        Weights of shape (K, N), and shape (K,).
    """
    counts = masks.sum(axis=1)
    empty: BoolArray = counts == 0
    match profile:
        case Profile.EQUAL_WEIGHT:
            shares, known = equal_weights(masks), ~empty
        case Profile.INVERSE_VOLATILITY:
            # Equal returns have a deviation of rounding; below this one it may be that.
            moved = masks & (deviation > _NO_DEVIATION)
            inverse = np.divide(1.0, deviation, out=np.zeros(masks.shape), where=moved)
            total = inverse.sum(axis=1, keepdims=True)
            shares = np.divide(inverse, total, out=np.zeros(masks.shape), where=total > 0.0)
            known = np.asarray((moved == masks).all(axis=1) & ~empty)
        case _:
            return np.zeros(masks.shape), empty
    exact = shares * WEIGHT_UNITS
    units = np.floor(exact)
    rest = np.where(masks, exact - units, -1.0)
    left_over = np.round(WEIGHT_UNITS - units.sum(axis=1)).astype(np.int64)
    order = np.argsort(-rest, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(masks.shape[1]), masks.shape), axis=1)
    units[place < left_over[:, None]] += 1.0
    if profile is Profile.EQUAL_WEIGHT:
        # All remainders tie, and the first ones get the units: nothing is left to rounding.
        certain = known
    else:
        last_in = np.take_along_axis(rest, order, axis=1)
        columns = np.clip(left_over, 1, masks.shape[1] - 1)[:, None]
        gap = np.take_along_axis(last_in, columns - 1, axis=1) - np.take_along_axis(last_in, columns, axis=1)
        inside = (~masks | ((rest > _DECIDED) & (rest < 1.0 - _DECIDED))).all(axis=1)
        certain = known & inside & (gap[:, 0] > _DECIDED)
    return np.where(known[:, None], units / WEIGHT_UNITS, 0.0), certain | empty


def _baselines(
    search: Search, panel: Panel, eligible: BoolArray, selected: dict[Selection, BoolArray]
) -> dict[tuple[Selection, Rebalance], _Baseline]:
    """Return market, pool and benchmark of every selection and rebalance mode (RULINGS D6)."""
    settings = unlimited(search.settings)
    # Who takes all eligible instruments is measured by the pool itself.
    pools = {"": eligible} | {
        selection.value: masks for selection, masks in selected.items() if selection is not Selection.ALL
    }
    places = [(name, rebalance) for name in pools for rebalance in search.rebalances]
    columns = [
        Column(plan=plan(search.windows, equal_weights(pools[name]), rebalance)) for name, rebalance in places
    ]
    played = dict(zip(places, _accounts(panel, columns, settings), strict=True))
    level = market_panel(panel)
    market: tuple[FloatArray, ...] = ()
    if level is not None:
        hold = Column(plan=buy_and_hold_plan(settings.start_row))
        market = tuple(returns for returns, _ in _accounts(level, [hold], settings))

    def baseline(selection: Selection, rebalance: Rebalance) -> _Baseline:
        pool, _ = played["", rebalance]
        benchmark, _ = played.get((selection.value, rebalance), (pool, 1.0))
        return _Baseline(pool=pool, all=(*market, pool, benchmark))

    return {
        (selection, rebalance): baseline(selection, rebalance)
        for selection in selected
        for rebalance in search.rebalances
    }


def _accounts(panel: Panel, columns: Sequence[Column], settings: Settings) -> list[tuple[FloatArray, float]]:
    """Return daily returns, shape (D,), and mean gross of each account."""
    outcome = run_all(panel, columns, settings, detail=Detail.CURVES)
    ends = day_ends(panel.timestamps[slice(*outcome.rows)], panel.calendar)
    return [
        (metrics.daily_returns(equity, ends), mean_gross(gross))
        for equity, gross in zip(outcome.equity, outcome.gross, strict=True)
    ]


def _best_of(
    search: Search,
    panel: Panel,
    contestant: Contestant,
    seats: Sequence[_Seat],
    baselines: dict[tuple[Selection, Rebalance], _Baseline],
) -> float:
    """Return the largest annualised excess Sharpe ratio among a contestant's cells."""
    days = panel.calendar.days_per_year

    def played(chosen: Sequence[_Seat], settings: Settings) -> list[tuple[FloatArray, FloatArray, float]]:
        columns = [
            Column(
                plan=seat.plan,
                root=contestant.root,
                invest=contestant.invest,
                order_roots=contestant.order_roots,
            )
            for seat in chosen
        ]
        accounts = _accounts(panel, columns, settings)
        return [
            (returns, excess_returns(returns, gross, baselines[seat.selection, seat.rebalance].pool), gross)
            for seat, (returns, gross) in zip(chosen, accounts, strict=True)
        ]

    if not seats:
        return -math.inf
    ratios = np.array([metrics.sharpe(excess, days) for _, excess, _ in played(seats, search.settings)])
    ranked = [seats[place] for place in np.argsort(-ratios, kind="stable") if not np.isnan(ratios[place])]
    values: list[float] = sorted((ratio for ratio in ratios.tolist() if not math.isnan(ratio)), reverse=True)
    free = replace(search.settings, limits=freed(search.settings.limits))
    # Only the best one counts, so the others are asked for their disguise only if it wears one.
    for first, last in ((0, 1), (1, len(ranked))):
        asked = ranked[first:last]
        if not asked:
            break
        for place, (seat, account) in enumerate(zip(asked, played(asked, free), strict=True)):
            if not equivalent(*account, baselines[seat.selection, seat.rebalance].all, days_per_year=days):
                return values[first + place]
    return -math.inf


def equivalent(
    returns: FloatArray,
    excess: FloatArray,
    gross: float,
    baselines: Sequence[FloatArray],
    *,
    days_per_year: int,
) -> bool:
    """Whether a cell is a baseline in disguise (RULINGS D6), by its run without limits.

    Parameters
    ----------
    returns, excess
        Shape (D,), daily, of the run without limits.
    gross
        Its mean gross.
    baselines
        Shape (D,) each.
    """
    if metrics.annualized_volatility(excess, days_per_year) < EQUIVALENT_TRACKING_ERROR * gross:
        return True
    return any(metrics.correlation(returns, other) > EQUIVALENT_CORRELATION for other in baselines)
