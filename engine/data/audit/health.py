"""Whether data is fresh and whole enough to act on: one status a symbol, and what a set of them means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.data.calendars import complete_since, sessions
from engine.domain.panel import IntArray, trading_days
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe
from engine.domain.venue import VenueClass

_HOUR = 3600 * 10**9
LOOKBACK_DAYS = 252
"""Days in which missing market days count."""


class Status(StrEnum):
    """Health of one symbol, as reports spell it."""

    OK = "OK"
    OK_CLOSED = "OK (MARKET CLOSED)"
    DEGRADED = "DEGRADED (GAPS)"
    STALE = "STALE"
    MISSING = "MISSING"
    DROPPED = "DROPPED"


class Mode(StrEnum):
    """What is judged: the pool that candidates come from, or the ones that were selected from it."""

    RAW = "raw"
    SELECTED = "selected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was found of one symbol.

    Attributes
    ----------
    last
        UTC nanoseconds of the open of the last bar, None without any.
    missing_days
        Market days of the lookback without a bar.
    """

    symbol: str
    status: Status
    last: int | None
    missing_days: int

    def is_critical(self, mode: Mode, *, strict: bool) -> bool:
        """Whether the symbol fails its audit."""
        return is_critical(self.status, mode, strict=strict)


def is_critical(status: Status, mode: Mode, *, strict: bool) -> bool:
    """Whether a status fails an audit: a raw pool may be old, what is selected may not.

    >>> is_critical(Status.STALE, Mode.RAW, strict=True)
    False
    >>> is_critical(Status.STALE, Mode.SELECTED, strict=False)
    True
    """
    if mode is Mode.RAW:
        return status is Status.MISSING
    critical = {Status.MISSING, Status.STALE} | ({Status.DEGRADED} if strict else set())
    return status in critical


def exit_code(found: Iterable[Health], mode: Mode, *, strict: bool) -> int:
    """Return what a command ends with: 1 if any symbol is critical, else 0."""
    return int(any(health.is_critical(mode, strict=strict) for health in found))


def market_days(stamps: IntArray, venue: VenueClass) -> IntArray:
    """Return the days that bars belong to as UTC midnights, each once, shape (D,)."""
    return np.unique(trading_days(stamps, venue.calendar)) * NANOSECONDS_PER_DAY


def missing_market_days(
    stamps: IntArray, *, calendar: Calendar, venue: VenueClass, now: int, lookback_days: int = LOOKBACK_DAYS
) -> IntArray:
    """Return market days without a bar between the first and the last one, inside the lookback, shape (D,).

    Days after the last bar are not missing but late: freshness judges them.
    """
    if len(stamps) == 0:
        return np.empty(0, dtype=np.int64)
    days = market_days(stamps, venue)
    start = max(int(days[0]), now - now % NANOSECONDS_PER_DAY - lookback_days * NANOSECONDS_PER_DAY)
    start = max(start, complete_since(calendar))
    first, last = (
        str(np.datetime64(stamp, "ns").astype("datetime64[D]")) for stamp in (start, int(days[-1]))
    )
    if first > last:
        return np.empty(0, dtype=np.int64)
    due = sessions(calendar, first, last)
    if calendar is Calendar.ALWAYS and venue is not VenueClass.CRYPTO:
        # A calendar that never closes says nothing of venues that do: their weekends are not missing.
        due = due[(due // NANOSECONDS_PER_DAY + 3) % 7 < 5]
    return due[~np.isin(due, days)]


def is_closed(calendar: Calendar, now: int) -> bool:
    """Whether no session of a calendar is under way or was today."""
    day = str(np.datetime64(now, "ns").astype("datetime64[D]"))
    return len(sessions(calendar, day, day)) == 0


def judge(
    symbol: str,
    stamps: IntArray | None,
    *,
    timeframe: Timeframe,
    calendar: Calendar,
    venue: VenueClass,
    now: int,
    last: int | None = None,
    lookback_days: int = LOOKBACK_DAYS,
) -> Health:
    """Return the health of one symbol.

    Parameters
    ----------
    stamps
        Shape (T,), UTC nanoseconds of the opens, ascending; empty for a symbol that has none; None for one
        that has bars and was left out of the set that is judged.
    now
        UTC nanoseconds.
    last
        Open of the last bar, where `stamps` end before it: those of a hold-out are not read.
    """
    if stamps is None:
        return Health(symbol=symbol, status=Status.DROPPED, last=None, missing_days=0)
    if len(stamps) == 0:
        return Health(symbol=symbol, status=Status.MISSING, last=None, missing_days=0)
    last = int(stamps[-1]) if last is None else last
    missing = missing_market_days(
        stamps, calendar=calendar, venue=venue, now=now, lookback_days=lookback_days
    )
    age = now - (last + timeframe.nanoseconds)
    if age > venue.fresh_hours * _HOUR:
        status = Status.STALE
    elif len(missing):
        status = Status.DEGRADED
    elif age > timeframe.nanoseconds and is_closed(calendar, now):
        status = Status.OK_CLOSED
    else:
        status = Status.OK
    return Health(symbol=symbol, status=status, last=last, missing_days=len(missing))


def judge_all(
    stamps: Mapping[str, IntArray],
    *,
    wanted: Iterable[str],
    known: Iterable[str] = (),
    timeframe: Timeframe,
    calendar: Calendar,
    venue: VenueClass,
    now: int,
    lookback_days: int = LOOKBACK_DAYS,
) -> list[Health]:
    """Return the health of every symbol that is wanted, in that order.

    Parameters
    ----------
    stamps
        Of the symbols of the set.
    known
        Symbols that have bars elsewhere: one of them that the set lacks was dropped, any other one is
        missing.
    """
    elsewhere = frozenset(known)
    nothing: IntArray = np.empty(0, dtype=np.int64)
    return [
        judge(
            symbol,
            stamps.get(symbol, None if symbol in elsewhere else nothing),
            timeframe=timeframe,
            calendar=calendar,
            venue=venue,
            now=now,
            lookback_days=lookback_days,
        )
        for symbol in wanted
    ]
