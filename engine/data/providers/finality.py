"""When a bar is final: by the clock alone, never by where it stands in a list (VENUES 1.3, P8)."""

from dataclasses import dataclass
from typing import Final

from engine.data.providers.bars import between
from engine.data.series import BarSeries
from engine.domain.time import NANOSECONDS_PER_SECOND, Timeframe

GRACE: Final = 30 * NANOSECONDS_PER_SECOND
"""Nanoseconds after its end at which a bar is final: clocks differ, and the last trades take their time."""

UNSETTLED_BARS: Final = 5
"""A bar may be reported wrongly for so many intervals after its end; it is looked at again."""

_BEFORE_ALL: Final = -(2**62)
_AFTER_ALL: Final = 2**62


@dataclass(frozen=True, kw_only=True, eq=False)
class Sifted:
    """Bars of a reply, and how many of them cannot be taken.

    Attributes
    ----------
    final
        The bars that are over.
    forming, future
        Number of bars that are not over, and of those that have not even begun.
    """

    final: BarSeries
    forming: int
    future: int


def final_until(now: int, timeframe: Timeframe, grace: int = GRACE) -> int:
    """Return the moment before which a bar must open to be final at `now` (all in UTC nanoseconds)."""
    return now - grace - timeframe.nanoseconds + 1


def unsettled_from(now: int, timeframe: Timeframe) -> int:
    """Return from which open on (UTC nanoseconds) bars may still be reported wrongly."""
    return now - (UNSETTLED_BARS + 1) * timeframe.nanoseconds


def sift(bars: BarSeries, timeframe: Timeframe, now: int, grace: int = GRACE) -> Sifted:
    """Return the bars of a reply that are final, and count the others."""
    until = final_until(now, timeframe, grace)
    future = len(between(bars, now + 1, _AFTER_ALL))
    final = between(bars, _BEFORE_ALL, until)
    return Sifted(final=final, forming=len(bars) - len(final) - future, future=future)
