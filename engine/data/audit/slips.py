"""Checks on clocks that were set wrong for a while: by hours, or for daily bars of an exchange by a day."""

import numpy as np

from engine.data.audit.marks import Marks, as_sizes
from engine.data.audit.neighbours import Surroundings
from engine.data.audit.sessions import Schedule, among
from engine.data.findings import BoolArray, Kind
from engine.data.quality import Bars, moment, phase
from engine.domain.panel import IntArray
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe

_HALF_HOUR = 1_800 * 10**9
_FARTHEST_ZONE = 28 * _HALF_HOUR
"""Clocks of the world are at most fourteen hours from UTC, by steps of half an hour; quarters are rare."""

_LONGEST_SLIP = 400 * NANOSECONDS_PER_DAY
"""A clock that was forgotten in autumn is put right a year later at the latest."""

_SAME_PRICE = 0.5
"""A row goes on from the one before if the step between them is less than this share of that one's body."""

_UNMOVED_GAPS = 4.0
_TORN_GAPS = 12.0
_TORN_SIGMAS = 0.35
_TAKEN_BACK = 0.2
_PLUNGE = 2.5
"""A fall this many times as long as the step behind it, which goes the other way, explains that step."""


def slips_of_order(bars: Bars, timeframe: Timeframe) -> list[Marks]:
    """Return blocks of rows whose clock was set wrong, told from jumps of stamps in the order of the file."""
    excess = np.diff(bars.stamps) - timeframe.nanoseconds
    back = np.flatnonzero(excess <= -timeframe.nanoseconds)
    back = back[(excess[back] % _HALF_HOUR == 0) & (excess[back] >= -_FARTHEST_ZONE)]
    # A row that is there twice went back in time as well; with the same open and close it is no other hour.
    differs = bars.close[back] != bars.close[back + 1]
    if bars.open is not None:
        differs |= bars.open[back] != bars.open[back + 1]
    back = back[(bars.stamps[back] != bars.stamps[back + 1]) | differs]
    if len(back) == 0:
        return []
    ahead: dict[int, IntArray] = {}
    for jump in np.unique(-excess[back]).tolist():
        ahead[jump] = np.flatnonzero(excess == jump)
    goes_on = _goes_on(bars, back)
    pairs = set()
    for at, is_next in zip(back.tolist(), goes_on.tolist(), strict=True):
        jump = int(-excess[at])
        same = ahead[jump]
        # A gap of the same length on the other side looks the same: both blocks are told.
        place = int(np.searchsorted(same, at))
        pairs |= {(int(same[place - 1]), at, jump)} if place else set()
        pairs |= {(at, int(same[place]), -jump)} if place < len(same) else set()
        if len(same) == 0 and is_next:
            # Bars were missing already where the block begins or ends.
            pairs |= _nearest_jump(bars.stamps, np.flatnonzero(excess > jump), at, jump)
    if not pairs:
        return []
    # The rows between the two jumps carry the wrong clock: a later one if the jump ahead comes first.
    first, last, shift = (np.array(column, dtype=np.int64) for column in zip(*sorted(pairs), strict=True))
    return [_slipped(bars, first + 1, last, shift)]


def _goes_on(bars: Bars, at: IntArray) -> BoolArray:
    """Return whether behind each of some rows other bars follow under stamps that are over.

    Either the two rows behind it are of a time already passed, or the next one has its stamp and opens where
    it closed. A row that stands too early, or a page that is there twice, looks otherwise.
    """
    stamps = bars.stamps
    again = stamps[np.minimum(at + 2, len(stamps) - 1)]
    doubled = stamps[at + 1] == stamps[at]
    strayed = stamps[at + 1] > stamps[np.maximum(at - 1, 0)]
    goes_on = (again <= stamps[at]) & (again > stamps[at + 1]) & ~strayed & ~_known(bars, at + 1)
    if bars.open is not None:
        opened = bars.open[at + 1]
        # Nobody has looked yet whether prices can be true.
        with np.errstate(invalid="ignore"):
            step, body = np.abs(opened - bars.close[at]), np.abs(opened - bars.open[at])
        # Of several doubles somebody else judges.
        goes_on |= doubled & (np.count_nonzero(doubled) == 1) & (step < _SAME_PRICE * body)
    return np.asarray(goes_on)


def _known(bars: Bars, at: IntArray) -> BoolArray:
    """Return whether each of some rows stands before already: an earlier one has its stamp and its close."""
    order = np.argsort(bars.stamps, kind="stable")
    first = order[np.searchsorted(bars.stamps, bars.stamps[at], sorter=order)]
    return np.asarray((first < at) & (bars.close[first] == bars.close[at]))


def _nearest_jump(stamps: IntArray, ahead: IntArray, at: int, jump: int) -> set[tuple[int, int, int]]:
    """Return the block of fewer rows between a jump back and the jumps ahead beside it, if there is one."""
    place = int(np.searchsorted(ahead, at))
    blocks = [(int(ahead[place - 1]), at, jump)] if place else []
    blocks += [(at, int(ahead[place]), -jump)] if place < len(ahead) else []
    return {
        block
        for block in sorted(blocks, key=lambda block: block[1] - block[0])[:1]
        if abs(int(stamps[block[1]] - stamps[block[0]])) <= _LONGEST_SLIP
    }


def slips_of_calendar(bars: Bars, timeframe: Timeframe, calendar: Calendar, plan: Schedule) -> list[Marks]:
    """Return blocks of ordered bars that no clock but another one puts where they are."""
    found = [_slips_of_offsets(bars, timeframe)]
    if calendar is not Calendar.ALWAYS:
        slips = _slips_of_days if timeframe is Timeframe.DAY_1 else _slips_of_sessions
        found.append(slips(bars, plan))
    return found


def slips_of_doubles(bars: Bars, timeframe: Timeframe) -> list[Marks]:
    """Return blocks that were sorted in: where they come from so many bars are missing as are there twice.

    Parameters
    ----------
    bars
        In the order of their file. Without a row that stands before an earlier one, or nothing is returned.
    """
    step = np.diff(bars.stamps)
    if (step < 0).any() or (step > 0).all():
        return []
    doubled = np.flatnonzero(step == 0)
    # Stamps that follow one another on the grid are one stretch.
    new = np.flatnonzero(np.diff(bars.stamps[doubled]) != timeframe.nanoseconds) + 1
    starts = doubled[np.concatenate([[0], new])].tolist()
    stops = (doubled[np.concatenate([new - 1, [len(doubled) - 1]])] + 1).tolist()
    blocks = []
    for start, stop in zip(starts, stops, strict=True):
        shift = int(bars.stamps[stop] - bars.stamps[start]) + timeframe.nanoseconds
        # Rows that are there twice with the same close are no other hour.
        differ = (bars.close[start:stop:2] != bars.close[start + 1 : stop + 1 : 2]).any()
        if differ and shift <= _FARTHEST_ZONE and shift % _HALF_HOUR == 0:
            gaps = np.flatnonzero(step == shift + timeframe.nanoseconds)
            blocks += _block(bars, gaps, late_until=stop, early_from=start)
    return _blocks(bars, blocks, step - timeframe.nanoseconds)


def slips_of_tears(bars: Bars, around: Surroundings, timeframe: Timeframe) -> list[Marks]:
    """Return blocks that were sorted in and lost what was there twice, in trading that never stops.

    Where they come from bars are missing and the price is the one from before; where they were put it is
    torn from one bar to the next.

    Parameters
    ----------
    bars
        Ordered, no stamp twice, prices positive and finite.
    """
    if around.open is None or around.gap_sigma is None or len(bars.stamps) < 3:
        return []
    step = np.diff(bars.stamps)
    jump = around.open[1:] - around.close[:-1]
    usual = around.gap_sigma[1:]
    shift = step - timeframe.nanoseconds
    gaps = np.flatnonzero(_is_zone(shift) & (np.abs(jump) < _UNMOVED_GAPS * usual))
    torn = (shift == 0) & (np.abs(jump) > np.maximum(_TORN_GAPS * usual, _TORN_SIGMAS * around.sigma[1:]))
    inside = around.close - around.open
    # After a plunge the next price is where the book fills up again.
    torn &= (np.sign(jump) == np.sign(inside[:-1])) | (np.abs(inside[:-1]) < _PLUNGE * np.abs(jump))
    # What the bar before made, or the bar behind takes back, is a wrong price.
    torn &= (np.abs(jump + inside[:-1]) > _TAKEN_BACK * np.abs(jump)) & (
        np.abs(jump + inside[1:]) > _TAKEN_BACK * np.abs(jump)
    )
    blocks = []
    for at in np.flatnonzero(torn).tolist():
        blocks += _block(bars, gaps, late_until=at, early_from=at + 1)
    return _blocks(bars, blocks, shift)


def _is_zone(shift: IntArray) -> BoolArray:
    """Return which lengths of time, in nanoseconds, two clocks of the world can differ by."""
    return np.asarray((shift > 0) & (shift % _HALF_HOUR == 0) & (shift <= _FARTHEST_ZONE))


def _block(bars: Bars, gaps: IntArray, *, late_until: int, early_from: int) -> list[tuple[int, int, int]]:
    """Return first and last row of the block that the nearest gap belongs to, and that gap, if there is one.

    Parameters
    ----------
    gaps
        Rows that bars are missing after, ascending.
    late_until
        Last row of the block if the gap is before it.
    early_from
        First row of the block if the gap is behind it.
    """
    place = int(np.searchsorted(gaps, late_until))
    sides = []
    if place:
        gap = int(gaps[place - 1])
        sides.append((gap + 1, late_until, gap))
    if place < len(gaps):
        gap = int(gaps[place])
        sides.append((early_from, gap, gap))
    block = min(sides, key=lambda side: side[1] - side[0], default=None)
    if block is None or bars.stamps[block[1]] - bars.stamps[block[0]] > _LONGEST_SLIP:
        return []
    return [block]


def _blocks(bars: Bars, blocks: list[tuple[int, int, int]], missing: IntArray) -> list[Marks]:
    if not blocks:
        return []
    first, last, gap = (np.array(column, dtype=np.int64) for column in zip(*sorted(set(blocks)), strict=True))
    # A clock that was late leaves a hole before the block, one that was early behind it.
    return [_slipped(bars, first, last, np.where(gap < first, missing[gap], -missing[gap]))]


def _slips_of_offsets(bars: Bars, timeframe: Timeframe) -> Marks:
    """Find runs of bars that are off the grid by one and the same part of a day."""
    grid = phase(bars.stamps, timeframe)
    offset = (bars.stamps - grid) % timeframe.nanoseconds
    # The nearer side of the grid: an hour before midnight is one hour back, not 23 ahead.
    offset = np.where(offset > timeframe.nanoseconds // 2, offset - timeframe.nanoseconds, offset)
    zones = _is_zone(np.abs(offset))
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
