"""Values of the clock on the wall: when a bar opened, in UTC, the same for every instrument."""

from enum import StrEnum
from typing import assert_never

import numpy as np

from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import NANOSECONDS_PER_DAY

OPENED_AT = "opened_at"
"""Name under which a stream is told when a bar opened, UTC nanoseconds. No field of a panel has it."""

_NANOSECONDS_PER_HOUR = NANOSECONDS_PER_DAY // 24
# 1 January 1970 was a Thursday.
_FIRST_WEEKDAY = 3


class CalendarValue(StrEnum):
    """What is asked of the time at which a bar opened. `DAY` counts from 1 January 1970."""

    HOUR = "hour"
    WEEKDAY = "weekday"
    DAY_OF_MONTH = "day_of_month"
    MONTH = "month"
    DAY = "day"


def calendar_values(what: CalendarValue, opened: IntArray) -> FloatArray:
    """Return calendar values of bars; whole numbers, so a stream of single bars has the same bits.

    Parameters
    ----------
    opened
        Shape (T,), UTC nanoseconds.
    """
    match what:
        case CalendarValue.HOUR:
            values = opened // _NANOSECONDS_PER_HOUR % 24
        case CalendarValue.WEEKDAY:
            values = (opened // NANOSECONDS_PER_DAY + _FIRST_WEEKDAY) % 7
        case CalendarValue.DAY_OF_MONTH:
            days = opened.astype("datetime64[ns]").astype("datetime64[D]")
            values = (days - days.astype("datetime64[M]")).astype(np.int64) + 1
        case CalendarValue.MONTH:
            values = opened.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64) % 12 + 1
        case CalendarValue.DAY:
            values = opened // NANOSECONDS_PER_DAY
        case _:
            assert_never(what)
    return values.astype(np.float64)
