"""Checks on when bars open: gaps, bars while the exchange is closed, clocks that were set wrong."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.data.audit.marks import Marks, as_sizes, runs
from engine.data.calendars import complete_since, expected_opens
from engine.data.findings import BoolArray, Kind
from engine.data.quality import Bars, moment, phase
from engine.domain.panel import IntArray
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe

_HALF_HOUR = 1_800 * 10**9
_FARTHEST_ZONE = 28 * _HALF_HOUR
"""Clocks of the world are at most fourteen hours from UTC, by steps of half an hour; quarters are rare."""


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
        _slips_of_offsets(bars, timeframe, grid, off_grid),
    ]
    if calendar is not Calendar.ALWAYS:
        slips = _slips_of_days if timeframe is Timeframe.DAY_1 else _slips_of_sessions
        found.append(slips(bars, plan))
    return [marks for marks in found if len(marks)]


def slip_marks(bars: Bars, timeframe: Timeframe) -> list[Marks]:
    """Return blocks of rows whose clock was set wrong, told from jumps of stamps in the order of the file."""
    excess = np.diff(bars.stamps) - timeframe.nanoseconds
    back = np.flatnonzero(excess <= -timeframe.nanoseconds)
    back = back[(excess[back] % _HALF_HOUR == 0) & (excess[back] >= -_FARTHEST_ZONE)]
    # A row that is there twice went back in time as well; with the same close it is no other hour.
    back = back[(bars.stamps[back] != bars.stamps[back + 1]) | (bars.close[back] != bars.close[back + 1])]
    ahead: dict[int, IntArray] = {}
    for jump in np.unique(-excess[back]).tolist():
        ahead[jump] = np.flatnonzero(excess == jump)
    pairs = set()
    for at in back.tolist():
        jump = int(-excess[at])
        same = ahead[jump]
        # A gap of the same length on the other side looks the same: both blocks are told.
        place = int(np.searchsorted(same, at))
        pairs |= {(int(same[place - 1]), at, jump)} if place else set()
        pairs |= {(at, int(same[place]), -jump)} if place < len(same) else set()
    if not pairs:
        return []
    # The rows between the two jumps carry the wrong clock: a later one if the jump ahead comes first.
    first, last, shift = (np.array(column, dtype=np.int64) for column in zip(*sorted(pairs), strict=True))
    return [_slipped(bars, first + 1, last, shift)]


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


def _slips_of_offsets(bars: Bars, timeframe: Timeframe, grid: int, off_grid: BoolArray) -> Marks:
    """Find runs of bars that are off the grid by one and the same part of a day."""
    offset = (bars.stamps - grid) % timeframe.nanoseconds
    # The nearer side of the grid: an hour before midnight is one hour back, not 23 ahead.
    offset = np.where(offset > timeframe.nanoseconds // 2, offset - timeframe.nanoseconds, offset)
    zones = off_grid & (offset % _HALF_HOUR == 0) & (np.abs(offset) <= _FARTHEST_ZONE)
    changes = np.ones(len(offset), dtype=bool)
    changes[1:] = offset[1:] != offset[:-1]
    starts = np.flatnonzero(changes)
    stops = np.concatenate([starts[1:], [len(offset)]]) - 1
    kept = zones[starts]
    return _slipped(bars, starts[kept], stops[kept], offset[starts[kept]])


def _slips_of_sessions(bars: Bars, plan: Schedule) -> Marks:
    """Find days whose first and last bar are both as much before or after those of the session."""
    nowhere = np.empty(0, dtype=np.int64)
    if len(plan.expected) == 0:
        return _slipped(bars, nowhere, nowhere, nowhere)
    cut = np.flatnonzero(np.diff(plan.expected) > 6 * 2 * _HALF_HOUR) + 1
    opens = plan.expected[np.concatenate([[0], cut])]
    ends = plan.expected[np.concatenate([cut - 1, [len(plan.expected) - 1]])]
    # A bar belongs to the session whose middle is nearest.
    middle = (opens + ends) // 2
    owner = np.searchsorted((middle[:-1] + middle[1:]) // 2, bars.stamps)
    cuts = np.flatnonzero(np.diff(owner)) + 1
    first, last = np.concatenate([[0], cuts]), np.concatenate([cuts - 1, [len(owner) - 1]])
    days = owner[first]
    shift = bars.stamps[first] - opens[days]
    slipped = (
        (shift == bars.stamps[last] - ends[days])
        & (shift != 0)
        & (shift % _HALF_HOUR == 0)
        & (np.abs(shift) <= _FARTHEST_ZONE)
    )
    return _slipped(bars, *_joined(first, last, shift, slipped))


def _slips_of_days(bars: Bars, plan: Schedule) -> Marks:
    """Find daily bars dated a day off: weeks from Sunday to Thursday, or from Tuesday to Saturday."""
    days = bars.stamps // NANOSECONDS_PER_DAY
    strange = ~among(bars.stamps, plan.expected) & (bars.stamps % NANOSECONDS_PER_DAY == 0)
    # Day 0 of the epoch was a Thursday: Monday is 0 here.
    weekday = (days + 3) % 7
    # Beside a Sunday its Saturday and the next Friday are empty; trading that never stops has all of them.
    early = strange & (weekday == 6) & ~among(days - 1, days) & ~among(days + 5, days)
    late = strange & (weekday == 5) & ~among(days + 1, days) & ~among(days - 5, days)
    sundays, saturdays = np.flatnonzero(early), np.flatnonzero(late)
    # Five days from a Sunday on, or to a Saturday.
    first = np.concatenate([sundays, np.searchsorted(days, days[saturdays] - 4)])
    last = np.concatenate([np.searchsorted(days, days[sundays] + 4, side="right") - 1, saturdays])
    shift = np.repeat([-NANOSECONDS_PER_DAY, NANOSECONDS_PER_DAY], [len(sundays), len(saturdays)])
    order = np.argsort(first, kind="stable")
    every = np.ones(len(first), dtype=bool)
    return _slipped(bars, *_joined(first[order], last[order], shift[order], every))


def _joined(
    first: IntArray, last: IntArray, shift: IntArray, chosen: BoolArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Join blocks that follow one another with the same shift."""
    starts, stops, shifts = first[chosen], last[chosen], shift[chosen]
    if len(starts) == 0:
        return starts, stops, shifts
    new = np.ones(len(starts), dtype=bool)
    new[1:] = (starts[1:] != stops[:-1] + 1) | (shifts[1:] != shifts[:-1])
    begins = np.flatnonzero(new)
    ends = np.concatenate([begins[1:], [len(starts)]]) - 1
    return starts[begins], stops[ends], shifts[begins]


def _slipped(bars: Bars, starts: IntArray, stops: IntArray, shifts: IntArray) -> Marks:
    order = np.argsort(starts, kind="stable")
    starts, stops, shifts = starts[order], stops[order], shifts[order]
    count = stops - starts + 1

    def words(index: int) -> tuple[str, str]:
        hours = abs(int(shifts[index])) / (2 * _HALF_HOUR)
        side = "late" if shifts[index] > 0 else "early"
        span = f"{moment(int(bars.stamps[starts[index]]))} to {moment(int(bars.stamps[stops[index]]))}"
        noun = "bar carries a stamp" if count[index] == 1 else "bars carry stamps"
        return span, f"wrong time zone? {count[index]:,} {noun} {hours:g} h too {side}"

    return Marks(kind=Kind.TIME_ZONE_SLIP, bars=bars, at=starts, severity=as_sizes(count), tell=words)
