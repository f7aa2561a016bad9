"""Checks on when bars open: gaps, bars off the grid, bars while the exchange is closed."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.data.audit.marks import Marks, as_sizes, runs
from engine.data.calendars import complete_since, expected_opens
from engine.data.findings import BoolArray, Kind
from engine.data.quality import Bars, moment, phase
from engine.domain.panel import IntArray
from engine.domain.time import Calendar, Timeframe


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """When bars of an instrument should open, and which of them there are.

    Attributes
    ----------
    expected
        Shape (E,), UTC nanoseconds, from the first bar to the last one.
    present
        Shape (E,).
    """

    expected: IntArray
    present: BoolArray

    def gaps(self) -> IntArray:
        """Return first stamp, last stamp and number of bars of each gap, shape (M, 3)."""
        first, last = runs(~self.present)
        return np.stack([self.expected[first], self.expected[last], last - first + 1], axis=1)


def schedule(bars: Bars, timeframe: Timeframe, calendar: Calendar) -> Schedule:
    """Return what a calendar expects between the first and the last bar.

    Parameters
    ----------
    bars
        Ordered, no stamp twice.
    """
    grid = phase(bars.stamps, timeframe)
    expected = due(calendar, timeframe, int(bars.stamps[0]), int(bars.stamps[-1]), grid)
    expected = expected[expected >= complete_since(calendar)]
    return Schedule(expected=expected, present=among(expected, bars.stamps))


def due(calendar: Calendar, timeframe: Timeframe, first: int, last: int, grid: int) -> IntArray:
    """Return when bars should open from `first` to `last`, as `expected_opens` does.

    Instruments of a data set ask for much the same years, and an exchange calendar takes a tenth of a
    second to be made.
    """
    if calendar is Calendar.ALWAYS or first > last:
        return expected_opens(calendar, timeframe, first, last, grid)
    years = [str(np.datetime64(stamp, "ns").astype("datetime64[Y]")) for stamp in (first, last)]
    opens = _opens_of_years(calendar, timeframe, *years, grid)
    return opens[np.searchsorted(opens, first) : np.searchsorted(opens, last, side="right")]


@lru_cache(maxsize=8)
def _opens_of_years(calendar: Calendar, timeframe: Timeframe, first: str, last: str, grid: int) -> IntArray:
    start = int(np.datetime64(first, "ns").astype(np.int64))
    stop = int((np.datetime64(last, "Y") + 1).astype("datetime64[ns]").astype(np.int64))
    opens = expected_opens(calendar, timeframe, start, stop - 1, grid)
    opens.flags.writeable = False
    return opens


def among(values: IntArray, ordered: IntArray) -> BoolArray:
    """Return which values are among ordered ones, shape of `values`. np.isin would sort both again."""
    if len(ordered) == 0:
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[place] == values)


def session_marks(bars: Bars, timeframe: Timeframe, calendar: Calendar, plan: Schedule) -> list[Marks]:
    """Return what looks wrong in the stamps of ordered bars."""
    grid = phase(bars.stamps, timeframe)
    off_grid = bars.stamps % timeframe.nanoseconds != grid
    found = [
        _gaps(bars, calendar, plan),
        _off_grid(bars, timeframe, off_grid),
        _outside(bars, calendar, plan, off_grid),
    ]
    return [marks for marks in found if len(marks)]


def _gaps(bars: Bars, calendar: Calendar, plan: Schedule) -> Marks:
    first, last = runs(~plan.present)
    count = last - first + 1
    after = np.minimum(np.searchsorted(bars.stamps, plan.expected[last]), len(bars.stamps) - 1)

    def words(index: int) -> tuple[str, str]:
        span = moment(int(plan.expected[first[index]]))
        if count[index] > 1:
            span += f" to {moment(int(plan.expected[last[index]]))}"
        noun = "bar is" if count[index] == 1 else "bars are"
        return span, f"{count[index]:,} {noun} missing before this row by the calendar {calendar.value}"

    return Marks(kind=Kind.GAP, bars=bars, at=after, severity=as_sizes(count), tell=words)


def _off_grid(bars: Bars, timeframe: Timeframe, off_grid: BoolArray) -> Marks:
    at = np.flatnonzero(off_grid)
    return Marks(
        kind=Kind.OFF_GRID,
        bars=bars,
        at=at,
        severity=np.ones(len(at)),
        tell=lambda index: (
            moment(int(bars.stamps[at[index]])),
            f"does not open where other {timeframe.value} bars do",
        ),
    )


def _outside(bars: Bars, calendar: Calendar, plan: Schedule, off_grid: BoolArray) -> Marks:
    known = bars.stamps >= complete_since(calendar)
    first, last = runs(~among(bars.stamps, plan.expected) & ~off_grid & known)
    count = last - first + 1

    def words(index: int) -> tuple[str, str]:
        span = moment(int(bars.stamps[first[index]]))
        if count[index] > 1:
            span += f" to {moment(int(bars.stamps[last[index]]))}, {count[index]:,} bars"
        return span, f"the calendar {calendar.value} is closed then"

    return Marks(kind=Kind.OUTSIDE_CALENDAR, bars=bars, at=first, severity=as_sizes(count), tell=words)
