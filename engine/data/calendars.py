"""Which bars a calendar expects. pandas and exchange_calendars are loaded on the first call."""

import warnings
from datetime import tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from engine.domain.panel import IntArray
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar


_MARGIN_DAYS = 14
_HOUR = NANOSECONDS_PER_DAY // 24
_DAY_BEGINS_HOUR = 17
"""Where a session begins in the evening it does so at five, by the clock of New York or of Chicago."""


def complete_since(calendar: Calendar) -> int:
    """Return from when on (UTC nanoseconds) every session that a calendar expects was one.

    exchange_calendars 4.13 with pandas 3.1 knows no holidays before 1970: a bar that is missing on one of
    them is no gap.
    """
    return -(2**63) if calendar is Calendar.ALWAYS else 0


def sessions(calendar: Calendar, first: str, last: str) -> IntArray:
    """Return the sessions from `first` to `last` (ISO dates, both included), shape (D,), UTC midnights."""
    if calendar is Calendar.ALWAYS:
        days = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)
        return days.astype("datetime64[ns]").astype(np.int64)
    days = _exchange(calendar, first, last).sessions.values.astype("datetime64[ns]")
    inside = (days >= np.datetime64(first)) & (days <= np.datetime64(last))
    return np.asarray(days[inside].astype(np.int64))


def expected_opens(calendar: Calendar, timeframe: Timeframe, first: int, last: int, phase: int) -> IntArray:
    """Return when bars should open from `first` to `last`, both included, as UTC nanoseconds.

    Parameters
    ----------
    first, last
        UTC nanoseconds.
    phase
        Where intraday bars sit on the grid: opening time modulo the bar's length, in nanoseconds.
    """
    step = timeframe.nanoseconds
    if calendar is Calendar.ALWAYS:
        start = first + (phase - first) % step
        return _grid(start, last + 1, step)
    first_day, last_day = (str(np.datetime64(stamp, "ns").astype("datetime64[D]")) for stamp in (first, last))
    if timeframe is Timeframe.DAY_1:
        days = sessions(calendar, first_day, last_day)
        return days[(days >= first) & (days <= last)]
    # A session of tomorrow may begin this evening.
    around = [str(np.datetime64(day, "D") + days) for day, days in ((first_day, -1), (last_day, 1))]
    opens, closes = _session_bounds(calendar, *around)
    # The first bar of a session holds its open, which hourly bars on full hours begin half an hour before.
    starts = opens - (opens - phase) % step
    bars = [_grid(int(start), int(close), step) for start, close in zip(starts, closes, strict=True)]
    stamps = np.concatenate(bars) if bars else np.empty(0, dtype=np.int64)
    return stamps[(stamps >= first) & (stamps <= last)]


def session_labels(calendar: Calendar, stamps: IntArray, wall_clock: IntArray) -> IntArray:
    """Return the session of each daily bar as UTC midnight of its date.

    A stamp that is a midnight of its own clock names a date; any other stamp is an instant of the session
    and takes the date that it has at the exchange: the next one, where that is an evening that a day begins
    with.

    Parameters
    ----------
    stamps
        Shape (T,), UTC nanoseconds.
    wall_clock
        Shape (T,), the same instants as nanoseconds of the clock that they were written in.
    """
    import pandas as pd

    at_exchange = pd.DatetimeIndex(stamps.view("datetime64[ns]"), tz="UTC").tz_convert(_zone(calendar))
    local = np.asarray(at_exchange.tz_localize(None).values).astype("datetime64[ns]").astype(np.int64)
    if calendar.day_begins_in_the_evening:
        local = local + (24 - _DAY_BEGINS_HOUR) * _HOUR
    is_date = wall_clock % NANOSECONDS_PER_DAY == 0
    chosen = np.where(is_date, wall_clock, local)
    return np.asarray(chosen - chosen % NANOSECONDS_PER_DAY)


def _exchange(calendar: Calendar, first: str, last: str) -> "ExchangeCalendar":
    import exchange_calendars

    # The library refuses a range without sessions or of one day: callers cut what lies around theirs.
    start, end = np.datetime64(first, "D") - _MARGIN_DAYS, np.datetime64(last, "D") + _MARGIN_DAYS
    with warnings.catch_warnings():
        # The library uses what pandas 4 will change; its results are held by tests.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Without explicit ends it knows only the last twenty years.
        return exchange_calendars.get_calendar(calendar.value, start=str(start), end=str(end))


def _grid(start: int, stop: int, step: int) -> IntArray:
    # np.arange counts its values in floating point, where nanoseconds of today lose their last digits.
    return start + step * np.arange(max(0, -(-(stop - start) // step)), dtype=np.int64)


def _zone(calendar: Calendar) -> tzinfo:
    if calendar is Calendar.WEEKDAYS:
        return ZoneInfo("America/New_York")
    zone: tzinfo = _exchange(calendar, "2000-01-03", "2000-01-03").tz
    return zone


def _session_bounds(calendar: Calendar, first: str, last: str) -> tuple[IntArray, IntArray]:
    """Return when sessions open and close, UTC nanoseconds, those just before and after the two dates too."""
    import pandas as pd

    if calendar is Calendar.WEEKDAYS:
        # The library's weekdays are those of UTC, and no market keeps them.
        days = pd.DatetimeIndex(sessions(calendar, first, last).view("datetime64[ns]"))
        opens, closes = (
            np.asarray((days + hours).tz_localize(_zone(calendar)).tz_convert(None).values)
            .astype("datetime64[ns]")
            .astype(np.int64)
            for hours in (pd.Timedelta(hours=_DAY_BEGINS_HOUR - 24), pd.Timedelta(hours=_DAY_BEGINS_HOUR))
        )
        return opens, closes
    schedule = _exchange(calendar, first, last).schedule
    opens, closes = (
        np.asarray(schedule[column].dt.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64))
        for column in ("open", "close")
    )
    if calendar is Calendar.CMES:
        # The library lets a whole session last a day; its last hour is one of maintenance.
        closes = np.where(closes - opens == NANOSECONDS_PER_DAY, closes - _HOUR, closes)
    return opens, closes
