"""Intervals of which the lake has no bar. Whether something traded in them, only the provider can say."""

from collections.abc import Iterator

import numpy as np

from engine.data.calendars import expected_opens
from engine.domain.panel import IntArray
from engine.domain.time import Calendar, Timeframe


def missing_opens(
    stamps: IntArray, timeframe: Timeframe, calendar: Calendar, start: int, stop: int
) -> IntArray:
    """Return when bars should open and none does, UTC nanoseconds, oldest first.

    Parameters
    ----------
    stamps
        Shape (T,), opens of the bars that there are, oldest first.
    start, stop
        UTC nanoseconds: expected from `start` up to, not including, `stop`.
    """
    if start >= stop:
        return np.empty(0, dtype=np.int64)
    # A calendar says on which days there are bars; where on the hour they stand, the bars themselves.
    phase = int(stamps[0]) % timeframe.nanoseconds if len(stamps) and calendar is not Calendar.ALWAYS else 0
    expected = expected_opens(calendar, timeframe, start, stop - 1, phase)
    return np.setdiff1d(expected, stamps, assume_unique=True)


def months_backwards(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the months from `start` to `stop` (UTC nanoseconds), the last one first, cut off at the ends."""
    while start < stop:
        month = np.datetime64(stop - 1, "ns").astype("datetime64[M]")
        begins = max(start, int(month.astype("datetime64[ns]").astype(np.int64)))
        yield begins, stop
        stop = begins
