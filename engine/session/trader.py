"""One account between bars and records: base weights, pipeline and what to write down of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from engine.core.market import FUNDING_FIELD
from engine.core.records import NO_TARGET
from engine.domain.passport import PlanKind
from engine.features.calendar import OPENED_AT
from engine.features.strategy import Strategy
from engine.pipeline.planning import Planned
from engine.pipeline.push import Bar, Pushed
from engine.session.records import Entry, Naming, account_entries, bar_entry, weights_entry
from engine.session.start import SessionStart, pipeline_of, planner_of

State = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What came of one bar.

    Attributes
    ----------
    entries
        To be written down, in order.
    pushed
        None before the account's first row.
    is_quiet
        Nothing was decided, ordered, filled, ended or paid.
    """

    bar: Bar
    entries: list[Entry]
    pushed: Pushed | None
    is_quiet: bool


@dataclass(slots=True)
class Counts:
    """What a session did so far.

    Attributes
    ----------
    intents
        Targets that asked for a trade, what was refused or cut included.
    """

    orders: int = 0
    fills: int = 0
    intents: int = 0


class Trader:
    """One account that is fed bar by bar, and says what to write down. It writes nothing itself."""

    def __init__(self, start: SessionStart, strategy: Strategy) -> None:
        self._start_row = start.start_row
        self._pipeline = pipeline_of(start, strategy)
        self._planner = planner_of(start)
        self._plan_kind = start.passport.plan.kind
        self._naming = Naming.of(start)
        self._has_volume = start.data.has_volume
        needed = self._pipeline.fields | ({FUNDING_FIELD} if start.data.has_funding else set())
        self._names = tuple(sorted(needed - {OPENED_AT}))
        self.counts = Counts()
        self._money = start.passport.cash, start.passport.cash
        self._last_opened_at = start.origin_at

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that a bar must have, in the order in which they are written down."""
        return self._names

    @property
    def next_row(self) -> int:
        """Row of the bar that comes next."""
        return self._pipeline.next_row

    @property
    def last_opened_at(self) -> int:
        """Open of the last bar, UTC nanoseconds; of the first one to come where there was none yet."""
        return self._last_opened_at

    def money(self) -> tuple[float, float]:
        """Return cash and equity after the last bar, in quote currency."""
        return self._money

    def work(self, bar: Bar) -> Worked:
        """Take the bar that just closed.

        Raises
        ------
        AllocationError
            If base weights fall due and there are none. Nothing takes their place.
        """
        planned = self._planner.push(bar.row, bar.fields["close"], self._volume(bar), bar.opened_at)
        return self._push(bar, planned)

    def work_again(self, bar: Bar, planned: Planned | None) -> Worked:
        """Take a bar that was worked before.

        Parameters
        ----------
        planned
            Base weights that fell due, if any: what a solver once said is a fact, and nobody is asked again.
        """
        if self._plan_kind is PlanKind.LISTED:
            return self.work(bar)
        self._planner.learn(bar.row, bar.fields["close"], self._volume(bar), bar.opened_at)
        return self._push(bar, planned)

    def state(self) -> State:
        """Return all that the next bar depends on."""
        return {
            **{f"pipeline.{name}": values for name, values in self._pipeline.state().items()},
            **{f"planner.{name}": values for name, values in self._planner.state().items()},
            "money": np.array(self._money),
            "last_opened_at": np.array([self._last_opened_at]),
            "counts": np.array([self.counts.orders, self.counts.fills, self.counts.intents]),
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on from a state that `state` returned.

        Raises
        ------
        InvalidValueError
            If it is of another strategy, other instruments, terms or kernels.
        """
        self._pipeline.restore(_part(state, "pipeline."))
        self._planner.restore(_part(state, "planner."))
        self.counts = Counts(*map(int, state["counts"]))
        cash, equity = state["money"].tolist()
        self._money = cash, equity
        self._last_opened_at = int(state["last_opened_at"][0])

    def state_hash(self) -> str:
        """Return the SHA-256 of the account, without what signals and weights remember."""
        digest = sha256()
        state = self._pipeline.state()
        for name in sorted(state):
            if name.startswith("account."):
                values = state[name]
                digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
                if values.dtype.kind == "f":
                    # One bit pattern for NaN, whatever computed it.
                    values = np.where(np.isnan(values), np.nan, values)
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def _volume(self, bar: Bar) -> npt.NDArray[np.float64] | None:
        return bar.fields["volume"] if self._has_volume else None

    def _push(self, bar: Bar, planned: Planned | None) -> Worked:
        self._last_opened_at = bar.opened_at
        entries = [bar_entry(bar, self._names)]
        if planned is not None:
            entries.append(weights_entry(planned))
        if bar.row < self._start_row:
            self._pipeline.warm(bar)
            return Worked(bar=bar, entries=entries, pushed=None, is_quiet=True)
        pushed = self._pipeline.push(bar, None if planned is None else planned.weights)
        entries += account_entries(bar, pushed, first_order=self.counts.orders, naming=self._naming)
        self.counts.orders += len(pushed.orders)
        self.counts.fills += len(pushed.fills)
        wanted = (pushed.targets != NO_TARGET) & (pushed.targets != pushed.lots)
        self.counts.intents += int(np.count_nonzero(wanted))
        self._money = pushed.cash, pushed.equity
        return Worked(bar=bar, entries=entries, pushed=pushed, is_quiet=planned is None and _is_quiet(pushed))


def _is_quiet(pushed: Pushed) -> bool:
    return not (
        len(pushed.orders)
        or len(pushed.fills)
        or len(pushed.closes)
        or len(pushed.accruals)
        or (pushed.targets != NO_TARGET).any()
    )


def _part(state: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> State:
    return {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}
