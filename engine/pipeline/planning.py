"""Base weights: when they fall due and what they are, from history alone.

Training rows -> selected instruments -> returns -> base weights of one window, as functions on plain arrays.
A tournament asks for all windows at once, a session bar by bar: both get them from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.allocation.allocator import WEIGHT_UNITS, Engine, Profile, allocate, allocator
from engine.allocation.facts import AllocationTask, input_hash
from engine.core.metrics import af_dist, cvar_95
from engine.domain.errors import AllocationError, InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.domain.portfolio import Plan
from engine.schedule.windows import Rebalance
from engine.selection.log_mps import LogMps, TailMeasures, select_log_mps
from engine.selection.universe import Eligibility, Selected, Selection, select_all, simple_returns

BoolArray = npt.NDArray[np.bool_]
State = dict[str, npt.NDArray[np.generic]]

_NEVER = np.iinfo(np.int64).max
_MEASURES = TailMeasures(af_dist=af_dist, cvar_95=cvar_95)


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowWeights:
    """The base weights of one window.

    Attributes
    ----------
    weights
        Shape (N,), multiples of 1e-4 that sum to 1, or zeros: cash.
    inputs_hash
        Of everything that the allocator saw, the key under which facts are kept; of the selection alone
        where it left nothing to allocate.
    """

    weights: FloatArray
    inputs_hash: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned:
    """Base weights that come into force at the close of one bar.

    Attributes
    ----------
    row
        Counted from the origin: a decision row.
    weights
        Shape (N,), shares of equity.
    units
        Shape (N,), the same in units of 1e-4; None under `LISTED`, whose 1/n is no multiple of them.
    window
        Counted from 0: the window, or the set of listed instruments.
    """

    row: int
    weights: FloatArray
    units: IntArray | None
    window: int
    inputs_hash: str


# ------------------------------------------------------------------------------------------ one window


def select_window(
    close: FloatArray,
    volume: FloatArray | None,
    *,
    index: int,
    selection: Selection,
    floor: int,
    seed: int,
    days_per_year: int,
) -> Selected:
    """Choose the instruments of a window.

    Parameters
    ----------
    close, volume
        Shape (T, N), of the training rows only, oldest first. No volume: None.
    index
        Of the window; the bootstrap is drawn anew for each from it and the seed.
    floor
        Fewer instruments are no universe: all eligible ones are taken.
    """
    match selection:
        case Selection.ALL:
            return select_all(close, Eligibility())
        case Selection.LOG_MPS:
            return select_log_mps(
                close,
                Eligibility(),
                LogMps(floor=floor),
                days_per_year=days_per_year,
                measures=_MEASURES,
                generator=np.random.Generator(np.random.PCG64([seed, index])),
                traded_value=None if volume is None else close * volume,
            )


def allocation_task(
    close: FloatArray, mask: BoolArray, *, engine: Engine, profile: Profile
) -> AllocationTask | None:
    """Return the question to the allocator; None where nothing is selected, which is cash.

    Parameters
    ----------
    close
        Shape (T, N), of the training rows only, oldest first.
    mask
        Shape (N,), the selected instruments.
    """
    if not mask.any():
        return None
    returns = np.ascontiguousarray(simple_returns(close[:, mask]))
    return AllocationTask(engine=engine, profile=profile, returns=returns)


def spread(weights: FloatArray, mask: BoolArray) -> FloatArray:
    """Return weights of the selected instruments as weights of all, shape (N,)."""
    whole = np.zeros(mask.shape)
    whole[mask] = weights
    return whole


def window_weights(
    close: FloatArray,
    volume: FloatArray | None,
    *,
    index: int,
    selection: Selection,
    floor: int,
    seed: int,
    days_per_year: int,
    engine: Engine,
    profile: Profile,
) -> WindowWeights:
    """Return the base weights of a window from its training rows; parameters as in `select_window`.

    Raises
    ------
    AllocationError
        If there is no answer. Other weights never take the place of missing ones.
    """
    mask = select_window(
        close,
        volume,
        index=index,
        selection=selection,
        floor=floor,
        seed=seed,
        days_per_year=days_per_year,
    ).mask
    task = allocation_task(close, mask, engine=engine, profile=profile)
    if task is None:
        return WindowWeights(
            weights=np.zeros(mask.shape), inputs_hash=content_hash({"kind": "cash/1", "selected": mask})
        )
    weights = allocate(task.engine, task.profile, task.returns)
    return WindowWeights(weights=spread(weights, mask), inputs_hash=input_hash(task))


# --------------------------------------------------------------------------------- a whole panel at once


def batch_plan(panel: Panel, terms: PlanTerms, start_row: int, stop_row: int) -> Plan:
    """Return the plan that a `Planner` fed with the same bars makes, bit for bit.

    Windows begin at `start_row`, `start_row + step` and so on below `stop_row`: with `start_row = train +
    embargo` they are those of `walk_forward`. A tournament makes only windows whose whole test part fits,
    and keeps the last one in force for all of it; who trades cannot know that the data end, and begins a
    new window there. For the weights of a board pass the last window's `test_start + step` as `stop_row`:
    the `test - step` rows after it belong to that window.

    Raises
    ------
    AllocationError
        If a window has no weights.
    InvalidValueError
        For rows or terms that do not fit.
    """
    _check(terms, start_row)
    if not start_row < stop_row <= len(panel):
        raise InvalidValueError(
            f"plan: rows {start_row} to {stop_row} do not fit a panel of {len(panel)} rows"
        )
    drift_band = Rebalance(terms.rebalance).drift_band
    if terms.kind is PlanKind.LISTED:
        delisted_at = _delisting_times([instrument.delisted_at for instrument in panel.instruments])
        traded = np.maximum.accumulate(np.isfinite(panel.close[:stop_row]), axis=0)
        listed = traded & (panel.timestamps[:stop_row, None] <= delisted_at)
        changed = (listed[start_row + 1 :] != listed[start_row:-1]).any(axis=1)
        rows = np.concatenate(([start_row], np.flatnonzero(changed) + start_row + 1)).astype(np.int64)
        return Plan(rows=rows, weights=_equal_weights(listed[rows]), drift_band=drift_band)
    rows = np.arange(start_row, stop_row, terms.step, dtype=np.int64)
    volume = panel.volume if panel.has_volume else None
    weights = []
    for index, row in enumerate(rows.tolist()):
        training = _training_rows(terms, row)
        found = _solved(
            terms,
            panel.close[training],
            None if volume is None else volume[training],
            row=row,
            index=index,
            days_per_year=panel.calendar.days_per_year,
        )
        weights.append(found.weights)
    return Plan(rows=rows, weights=np.array(weights), drift_band=drift_band)


# ------------------------------------------------------------------------------------------- bar by bar


class Planner:
    """Base weights of one account, made while its bars arrive.

    Parameters
    ----------
    delisted_at
        For each instrument, UTC nanoseconds of its last bar; None where trading goes on.
    start_row
        The account's first row, counted from the origin; a walk-forward needs `train + embargo` rows before.
    has_volume
        Whether bars come with volumes (`Panel.has_volume`).

    Raises
    ------
    InvalidValueError
        For terms that make no sense, or a start without enough rows before it.
    """

    def __init__(
        self,
        terms: PlanTerms,
        *,
        delisted_at: Sequence[int | None],
        days_per_year: int,
        start_row: int,
        has_volume: bool,
    ) -> None:
        _check(terms, start_row)
        self._next_row = 0
        self._instruments = len(delisted_at)
        self._source: _Source
        if terms.kind is PlanKind.LISTED:
            self._source = _Listing(start_row, _delisting_times(delisted_at))
        else:
            self._source = _TrainingRows(
                terms, start_row, len(delisted_at), days_per_year=days_per_year, has_volume=has_volume
            )

    def push(self, row: int, close: FloatArray, volume: FloatArray | None, opened_at: int) -> Planned | None:
        """Take the bar that just closed; return base weights if they fall due at its close.

        Parameters
        ----------
        row
            Counted from the origin: 0 first, none left out.
        close, volume
            Shape (N,), NaN: not traded.
        opened_at
            UTC nanoseconds.

        Raises
        ------
        AllocationError
            If weights fall due and there are none. The session stops: nothing takes their place.
        InvalidValueError
            For a bar out of turn, or of another shape.
        """
        self._check_turn(row, close, volume)
        planned = self._source.push(row, close, volume, opened_at)
        self._next_row = row + 1
        return planned

    def learn(self, row: int, close: FloatArray, volume: FloatArray | None, opened_at: int) -> None:
        """Take a bar whose base weights, if any, are known: what a solver once said is a fact.

        Parameters and errors are those of `push`, but nothing is solved.
        """
        self._check_turn(row, close, volume)
        self._source.learn(row, close, volume, opened_at)
        self._next_row = row + 1

    def _check_turn(self, row: int, close: FloatArray, volume: FloatArray | None) -> None:
        if row != self._next_row:
            raise InvalidValueError(f"planner: the next bar must be row {self._next_row}, was row {row}")
        for name, values in (("close", close), ("volume", volume)):
            if values is not None and values.shape != (self._instruments,):
                raise InvalidValueError(
                    f"planner: {name} of row {row} must have shape ({self._instruments},), was {values.shape}"
                )

    def state(self) -> State:
        """Return everything that later weights depend on, as copies."""
        return {"next_row": np.array([self._next_row], dtype=np.int64), **self._source.state()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on from a state that a planner with the same terms gave.

        Raises
        ------
        InvalidValueError
            If it is from a planner of other terms.
        """
        own = self.state()
        for name in sorted(own.keys() | state.keys()):
            expected, given = own.get(name), state.get(name)
            if (
                expected is None
                or given is None
                or (expected.shape, expected.dtype) != (given.shape, given.dtype)
            ):
                raise InvalidValueError(
                    f"planner: state {name} is {_shape(given)}, must be {_shape(expected)}; it is not of "
                    "these terms"
                )
        self._source.restore(state)
        self._next_row = int(state["next_row"][0])


class _Source(Protocol):
    def push(
        self, row: int, close: FloatArray, volume: FloatArray | None, opened_at: int, /
    ) -> Planned | None: ...

    def learn(self, row: int, close: FloatArray, volume: FloatArray | None, opened_at: int, /) -> None: ...

    def state(self) -> State: ...

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], /) -> None: ...


class _Listing:
    """Equal weight of what has ever traded and is not delisted: at the start, then when that set changes."""

    def __init__(self, start_row: int, delisted_at: IntArray) -> None:
        self._start_row = start_row
        self._delisted_at = delisted_at
        self._traded = np.zeros(delisted_at.shape, dtype=np.bool_)
        self._listed = np.zeros(delisted_at.shape, dtype=np.bool_)
        self._sets = np.zeros(1, dtype=np.int64)

    def push(self, row: int, close: FloatArray, _volume: FloatArray | None, opened_at: int) -> Planned | None:
        self._traded |= np.isfinite(close)
        listed = self._traded & (opened_at <= self._delisted_at)
        is_due = row == self._start_row or (row > self._start_row and bool((listed != self._listed).any()))
        self._listed = listed
        if not is_due:
            return None
        self._sets += 1
        return Planned(
            row=row,
            weights=_equal_weights(listed),
            units=None,
            window=int(self._sets[0]) - 1,
            inputs_hash=content_hash({"kind": "listed/1", "listed": listed}),
        )

    def learn(self, row: int, close: FloatArray, volume: FloatArray | None, opened_at: int) -> None:
        self.push(row, close, volume, opened_at)

    def state(self) -> State:
        return {"traded": self._traded.copy(), "listed": self._listed.copy(), "sets": self._sets.copy()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        self._traded = state["traded"].astype(np.bool_)
        self._listed = state["listed"].astype(np.bool_)
        self._sets = state["sets"].astype(np.int64)


class _TrainingRows:
    """The last `train + embargo` rows, and the weights of each window learnt from them."""

    def __init__(
        self, terms: PlanTerms, start_row: int, instruments: int, *, days_per_year: int, has_volume: bool
    ) -> None:
        self._terms = terms
        self._start_row = start_row
        self._days_per_year = days_per_year
        # Row r stands at place r modulo the number of places.
        self._places = terms.train + terms.embargo
        self._close = np.full((self._places, instruments), np.nan)
        self._volume = np.full((self._places, instruments), np.nan) if has_volume else None

    def push(self, row: int, close: FloatArray, volume: FloatArray | None, opened_at: int) -> Planned | None:
        planned = None
        index, rest = divmod(row - self._start_row, self._terms.step)
        # The row itself is never trained on, so its place still holds the oldest row.
        if index >= 0 and rest == 0:
            planned = self._window(row, index)
        self.learn(row, close, volume, opened_at)
        return planned

    def learn(self, row: int, close: FloatArray, volume: FloatArray | None, _opened_at: int) -> None:
        if self._volume is not None and volume is None:
            raise InvalidValueError(f"planner: row {row} has no volume, all other rows have")
        self._close[row % self._places] = close
        if self._volume is not None:
            self._volume[row % self._places] = volume

    def _window(self, row: int, index: int) -> Planned:
        training = _training_rows(self._terms, row)
        places = np.arange(training.start, training.stop) % self._places
        found = _solved(
            self._terms,
            self._close[places],
            None if self._volume is None else self._volume[places],
            row=row,
            index=index,
            days_per_year=self._days_per_year,
        )
        return Planned(
            row=row,
            weights=found.weights,
            units=np.rint(found.weights * WEIGHT_UNITS).astype(np.int64),
            window=index,
            inputs_hash=found.inputs_hash,
        )

    def state(self) -> State:
        state: State = {"close": self._close.copy()}
        if self._volume is not None:
            state["volume"] = self._volume.copy()
        return state

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        self._close = state["close"].astype(np.float64)
        if self._volume is not None:
            self._volume = state["volume"].astype(np.float64)


def _training_rows(terms: PlanTerms, row: int) -> slice:
    """Return the training rows of the window whose test part begins at `row`."""
    start = row - terms.embargo - terms.train
    return slice(start, start + terms.train - terms.purge)


def _solved(
    terms: PlanTerms,
    close: FloatArray,
    volume: FloatArray | None,
    *,
    row: int,
    index: int,
    days_per_year: int,
) -> WindowWeights:
    try:
        return window_weights(
            close,
            volume,
            index=index,
            selection=Selection(terms.selection),
            floor=terms.floor,
            seed=terms.seed,
            days_per_year=days_per_year,
            engine=Engine(terms.engine),
            profile=Profile(terms.profile),
        )
    except AllocationError as error:
        raise AllocationError(f"window {index}, due at row {row}: {error}") from error


def _equal_weights(listed: BoolArray) -> FloatArray:
    """Return 1/n for the n listed instruments of each row, shape of `listed`, instruments last."""
    counts = listed.sum(axis=-1, keepdims=True)
    return np.where(listed, 1.0 / np.maximum(counts, 1), 0.0)


def _delisting_times(delisted_at: Sequence[int | None]) -> IntArray:
    return np.array([_NEVER if time is None else time for time in delisted_at], dtype=np.int64)


def _shape(values: npt.NDArray[np.generic] | None) -> str:
    return "missing" if values is None else f"{values.dtype} {values.shape}"


def _check(terms: PlanTerms, start_row: int) -> None:
    try:
        Rebalance(terms.rebalance)
        if terms.kind is PlanKind.WALK_FORWARD:
            Selection(terms.selection)
            allocator(Engine(terms.engine), Profile(terms.profile))
    except ValueError as error:
        raise InvalidValueError(f"plan: {error}") from error
    if start_row < 0:
        raise InvalidValueError(f"plan: start_row must be at least 0, was {start_row}")
    if terms.kind is PlanKind.LISTED:
        return
    if terms.train < 1 or terms.step < 1 or not 0 <= terms.purge < terms.train or terms.embargo < 0:
        raise InvalidValueError(
            "plan: train and step must be at least 1, purge from 0 to train - 1, embargo at least 0; were "
            f"train {terms.train}, step {terms.step}, purge {terms.purge}, embargo {terms.embargo}"
        )
    if start_row < terms.train + terms.embargo:
        raise InvalidValueError(
            f"plan: start_row must be at least train + embargo = {terms.train + terms.embargo}, was "
            f"{start_row}: the first window has too few rows to learn from"
        )
