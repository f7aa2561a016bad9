"""What goes wrong at an exchange, dealt out by seed.

Faults of the transport hit a request and are over. Faults of the data heal: a bar that was served wrong or
not at all is what its trades say from `SETTLE_BARS` intervals after its close on, so that whoever looks again
ends with the truth.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from engine.domain.errors import InputError
from engine.domain.panel import IntArray
from engine.sandbox.bars import Bars, joined_bars
from engine.sandbox.noise import uniform

# A revised or late bar stays so for so many intervals after its close.
SETTLE_BARS = 3
# A feed that froze stays so for so many requests.
FROZEN_REQUESTS = 20
FUTURE_BARS_MAX = 3
_REVISED_SHARE = 0.9


class Fault(StrEnum):
    """One way in which an exchange fails its clients."""

    LATENCY = "latency"
    TOO_MANY_REQUESTS = "429"
    SERVER_ERROR = "5xx"
    BUSY = "busy"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    CLOSED = "closed"
    REVISED = "revised"
    MISSING = "missing"
    LATE = "late"
    FUTURE = "future"
    FROZEN = "frozen"
    SKEW = "skew"


# What follows the name is seconds for these two, for all others the share of requests or bars that is hit.
SECONDS = frozenset({Fault.LATENCY, Fault.SKEW})
_UNNAMED_VALUE = {Fault.LATENCY: 0.25, Fault.SKEW: 5.0}
_SECONDS_MAX = 3_600.0

# Served instead of the answer; the order is that in which shares are laid side by side.
OF_THE_TRANSPORT = (
    Fault.TOO_MANY_REQUESTS,
    Fault.SERVER_ERROR,
    Fault.BUSY,
    Fault.TRUNCATED,
    Fault.EMPTY,
    Fault.CLOSED,
)

RANDOM = "random"
NOTHING = "none"
# Each often enough to be met in a minute's work, all together rare enough that work gets done.
_RANDOM_MIX = {
    Fault.LATENCY: 0.02,
    Fault.TOO_MANY_REQUESTS: 0.03,
    Fault.SERVER_ERROR: 0.03,
    Fault.BUSY: 0.02,
    Fault.TRUNCATED: 0.02,
    Fault.EMPTY: 0.02,
    Fault.CLOSED: 0.02,
    Fault.REVISED: 0.10,
    Fault.MISSING: 0.02,
    Fault.LATE: 0.05,
    Fault.FUTURE: 0.03,
    Fault.FROZEN: 0.005,
    Fault.SKEW: 2.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Which faults are on, and how much of each.

    Attributes
    ----------
    values
        Share of requests or bars from 0 to 1; for `latency` the longest wait and for `skew` what the clock of
        the exchange is ahead, both in seconds.
    """

    values: Mapping[Fault, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for fault, value in self.values.items():
            low, high = (-_SECONDS_MAX if fault is Fault.SKEW else 0.0, 1.0)
            if fault in SECONDS:
                high = _SECONDS_MAX
            if not low <= value <= high:
                raise InputError(f"fault {fault.value}: value must be from {low:g} to {high:g}, was {value}")
        if (total := sum(self.of(fault) for fault in OF_THE_TRANSPORT)) > 1 + 1e-9:
            names = ", ".join(fault.value for fault in OF_THE_TRANSPORT)
            raise InputError(f"faults: the shares of {names} must sum to 1 at most, was {total:g}")
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def of(self, fault: Fault) -> float:
        """Return the value of a fault, 0 where it is off."""
        return self.values.get(fault, 0.0)


def plan_of_text(text: str) -> FaultPlan:
    """Read `429=0.1,truncated=0.05,latency=0.2,frozen`, or `random`, or `none`; later parts win.

    Raises
    ------
    InputError
        For a fault that nobody knows, and for a value out of range.
    """
    return plan_of_values(
        {
            name.strip(): value.strip() if separator else None
            for name, separator, value in (part.partition("=") for part in text.split(",") if part.strip())
        }
    )


def plan_of_values(values: Mapping[str, object]) -> FaultPlan:
    """Make a plan of names and values; None stands for what the name means alone.

    Raises
    ------
    InputError
        For a fault that nobody knows, and for a value that is no number or out of range.
    """
    plan: dict[Fault, float] = {}
    for name, value in values.items():
        if name == NOTHING:
            plan = {}
        elif name == RANDOM:
            plan |= _RANDOM_MIX
        elif name in set(Fault):
            plan[Fault(name)] = _number(Fault(name), value)
        else:
            known = ", ".join([*(fault.value for fault in Fault), RANDOM, NOTHING])
            raise InputError(f"fault {name!r} is not known. Known: {known}")
    return FaultPlan(values=plan)


def _number(fault: Fault, value: object) -> float:
    if value is None or value is True:
        return _UNNAMED_VALUE.get(fault, 1.0)
    if isinstance(value, int | float | str) and value is not False:
        try:
            return float(value)
        except ValueError:
            pass
    raise InputError(f"fault {fault.value}: value must be a number, was {value!r}")


class FaultDealer:
    """Deals the faults of a plan, and counts what it dealt.

    Parameters
    ----------
    plan
        What is on now.
    seed
        Not negative. Equal seeds and equal requests in equal order meet equal faults.
    """

    def __init__(self, plan: FaultPlan, *, seed: int) -> None:
        self.plan = plan
        self.dealt: Counter[Fault] = Counter()
        self._seed = seed
        self._draw = np.random.Generator(np.random.PCG64(seed))
        self._frozen_at: int | None = None
        self._frozen_left = 0

    def change(self, plan: FaultPlan) -> None:
        """Go on with another plan; a frozen feed thaws."""
        self.plan = plan
        self._frozen_at, self._frozen_left = None, 0

    def delay(self) -> float:
        """Return how long a request waits, in seconds."""
        if (longest := self.plan.of(Fault.LATENCY)) == 0.0:
            return 0.0
        self.dealt[Fault.LATENCY] += 1
        return float(self._draw.random() * longest)

    def skew(self) -> int:
        """Return what the clock of the exchange is ahead, in nanoseconds."""
        seconds = self.plan.of(Fault.SKEW)
        if seconds != 0.0:
            self.dealt[Fault.SKEW] += 1
        return round(seconds * 1e9)

    def of_the_transport(self) -> Fault | None:
        """Return what is served instead of the answer, None for the answer."""
        if not any(self.plan.of(fault) for fault in OF_THE_TRANSPORT):
            return None
        chance = self._draw.random()
        for fault in OF_THE_TRANSPORT:
            chance -= self.plan.of(fault)
            if chance < 0:
                self.dealt[fault] += 1
                return fault
        return None

    def hits(self, fault: Fault) -> bool:
        """Say whether a fault hits now."""
        share = self.plan.of(fault)
        hit = share > 0.0 and bool(self._draw.random() < share)
        if hit:
            self.dealt[fault] += 1
        return hit

    def pick(self, choices: int) -> int:
        """Return a number from 0 up to, not including, `choices`."""
        return int(self._draw.integers(choices))

    def data_now(self, now: int) -> int:
        """Return the moment as of which data is served: `now`, or when the feed froze."""
        if self._frozen_left == 0:
            if not self.hits(Fault.FROZEN):
                return now
            # Frozen again at once is frozen still: with a share of 1 the feed never moves.
            self._frozen_left = FROZEN_REQUESTS
            if self._frozen_at is None or self.plan.of(Fault.FROZEN) < 1.0:
                self._frozen_at = now
        self._frozen_left -= 1
        assert self._frozen_at is not None
        return min(now, self._frozen_at)

    def bars(self, bars: Bars, *, pair: int, minutes: int, interval: int, now: int) -> Bars:
        """Return bars as a failing exchange serves them.

        Parameters
        ----------
        bars
            As they are, the forming one last.
        interval
            Nanoseconds, `minutes` long.
        now
            UTC nanoseconds.
        """
        if len(bars) == 0:
            return bars
        age = now - (bars.stamps + interval)
        closed = age >= 0
        young = closed & (age < SETTLE_BARS * interval)
        keys = (self._seed, pair, minutes)
        bars = self._revised(bars, young & self._chosen(Fault.REVISED, keys, bars.stamps))
        gone = young & self._chosen(Fault.LATE, keys, bars.stamps)
        if gone.any():
            self.dealt[Fault.LATE] += int(gone.sum())
        if (share := self.plan.of(Fault.MISSING)) > 0.0:
            missing = closed & ~gone & (self._draw.random(len(bars)) < share)
            self.dealt[Fault.MISSING] += int(missing.sum())
            gone |= missing
        if gone.any():
            bars = bars.take(np.flatnonzero(~gone))
        if len(bars) and self.hits(Fault.FUTURE):
            bars = joined_bars([bars, self._future(bars, interval, now)])
        return bars

    def _chosen(self, fault: Fault, keys: tuple[int, ...], stamps: IntArray) -> IntArray:
        """Shape of the stamps, true where the fault hits that bar: the same ones in every request."""
        share = self.plan.of(fault)
        if share == 0.0:
            return np.zeros(stamps.shape, dtype=np.bool_)
        which = list(Fault).index(fault)
        return np.asarray(uniform(*keys, which, stamps) < share)

    def _revised(self, bars: Bars, chosen: IntArray) -> Bars:
        """Return bars some of which lack the last of their trades yet: less volume, another close."""
        # A flat one has no trades that it could lack.
        chosen = chosen & (bars.count > 0)
        if not chosen.any():
            return bars
        self.dealt[Fault.REVISED] += int(chosen.sum())
        # Inside the range, so that no bound of a bar gives it away.
        other = np.where(bars.close == bars.low, bars.high, bars.low)
        volume = np.maximum(1, (bars.volume * _REVISED_SHARE).astype(np.int64))
        return Bars(
            stamps=bars.stamps,
            open=bars.open,
            high=bars.high,
            low=bars.low,
            close=np.where(chosen, other, bars.close),
            volume=np.where(chosen, volume, bars.volume),
            turnover=np.where(chosen, bars.turnover * _REVISED_SHARE, bars.turnover),
            count=np.where(chosen, np.maximum(1, bars.count - 1), bars.count),
        )

    def _future(self, bars: Bars, interval: int, now: int) -> Bars:
        """Return bars that have not opened yet."""
        rows = 1 + self.pick(FUTURE_BARS_MAX)
        last = bars.take(np.full(rows, len(bars) - 1))
        opens = now // interval * interval + interval * np.arange(1, rows + 1, dtype=np.int64)
        return Bars(
            stamps=opens,
            open=last.open,
            high=last.high,
            low=last.low,
            close=last.close,
            volume=last.volume,
            turnover=last.turnover,
            count=last.count,
        )
