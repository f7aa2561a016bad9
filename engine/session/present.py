"""A data set as a session sees it that trades as time goes by: up to its last bar, and no bar knows the next.

The sealed end of a data set is such a session's own present. It is read in two ways alone: as history before
the account's first bar, on which nothing is decided, and to compare bars that the session has lived through.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.data import catalogue
from engine.data.calendars import expected_opens
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, IntArray, Panel, trading_days
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe
from engine.session.start import FeedKind

# No market is closed for longer.
_CLOSED_MAX = 14 * NANOSECONDS_PER_DAY


def whole(name: str) -> Panel:
    """Return the bars of a data set, its sealed ones too; of the lake's the newest version.

    Raises
    ------
    InputError
        If it is not known, or cannot be used.
    """
    base, _ = catalogue.parsed(name)
    return replace(catalogue.load(base, sealed=False), name=name)


def as_seen(panel: Panel, feed: FeedKind) -> Panel:
    """Return the bars of a data set in the form in which a feed gives them.

    A feed has prices and volumes and no other fields, and whether a bar ends its day is said by the calendar.

    Raises
    ------
    InputError
        If the data set has something that a feed cannot go on with.
    """
    if panel.adjustment is not Adjustment.NONE:
        raise InputError(
            f"data set {panel.name}: its prices are adjusted ({panel.adjustment}), those of a feed are as "
            "traded; take a data set of raw prices"
        )
    if not panel.has_range:
        raise InputError(
            f"data set {panel.name}: has closes only, and a feed has whole bars; take another one"
        )
    if panel.timestamps.size and int(panel.timestamps[0]) % panel.timeframe.nanoseconds:
        raise InputError(
            f"data set {panel.name}: its bars do not open every {panel.timeframe.value} from midnight UTC on "
            "and those of an exchange do"
        )
    return replace(
        panel,
        synthetic=panel.synthetic or feed is FeedKind.SANDBOX,
        fields={},
        day_ends_told=day_ends_by_calendar(panel.timestamps, panel.timeframe, panel.calendar),
    )


def day_ends_by_calendar(stamps: IntArray, timeframe: Timeframe, calendar: Calendar) -> npt.NDArray[np.bool_]:
    """Return which bars are the last that are expected of their day, shape of `stamps`.

    The bars themselves say it otherwise where the last interval of a day had no trade, but only afterwards.

    Parameters
    ----------
    stamps
        Shape (T,), UTC nanoseconds of opens, strictly increasing.
    """
    if not len(stamps):
        return np.zeros(0, dtype=np.bool_)
    following = stamps + timeframe.nanoseconds
    if calendar is not Calendar.ALWAYS:
        expected = opens_from(int(stamps[0]), int(stamps[-1]) + _CLOSED_MAX, timeframe, calendar)
        following = expected[np.searchsorted(expected, stamps, side="right")]
    return np.asarray(trading_days(following, calendar) != trading_days(stamps, calendar))


def opens_from(start: int, stop: int, timeframe: Timeframe, calendar: Calendar) -> IntArray:
    """Return when bars are expected to open from `start` up to, not including, `stop`, UTC nanoseconds."""
    if start >= stop:
        return np.empty(0, dtype=np.int64)
    return expected_opens(calendar, timeframe, start, stop - 1, 0)


def next_open(start: int, timeframe: Timeframe, calendar: Calendar) -> int:
    """Return when the first bar from `start` on is expected to open, UTC nanoseconds."""
    if calendar is Calendar.ALWAYS:
        return start
    return int(opens_from(start, start + _CLOSED_MAX, timeframe, calendar)[0])
