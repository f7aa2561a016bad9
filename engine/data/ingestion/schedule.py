"""When the lake is synchronised: at a steady pace, and once a night in full."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from engine.data.providers.finality import GRACE
from engine.domain.errors import InvalidValueError
from engine.domain.time import NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND

EVERY_MIN = 60 * NANOSECONDS_PER_SECOND
# Nobody notices that he is told to stop later than this.
_NAP_SECONDS_MAX = 60.0


class Depth(StrEnum):
    """How far back a synchronisation looks."""

    RECENT = "recent"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Moments on a grid of UTC days, and one a night.

    Attributes
    ----------
    every
        Nanoseconds between two looks; a day is a multiple of it.
    nightly
        Nanoseconds after midnight UTC of the look at everything.
    delay
        Nanoseconds after each moment of the grid, so that the bar which ends there is final.
    """

    every: int
    nightly: int = 3 * NANOSECONDS_PER_DAY // 24
    delay: int = GRACE + NANOSECONDS_PER_SECOND

    def __post_init__(self) -> None:
        if not EVERY_MIN <= self.every <= NANOSECONDS_PER_DAY or NANOSECONDS_PER_DAY % self.every:
            raise InvalidValueError(
                "schedule: every must be from a minute to a day, and a day a multiple of it, was "
                f"{self.every / NANOSECONDS_PER_SECOND:g} seconds"
            )
        if not 0 <= self.nightly < NANOSECONDS_PER_DAY:
            raise InvalidValueError(f"schedule: nightly must be within a day, was {self.nightly} ns")

    def next_after(self, moment: int) -> int:
        """Return the first moment on the schedule later than another one (UTC nanoseconds)."""
        grid = _after(moment, self.every, self.delay)
        return min(grid, _after(moment, NANOSECONDS_PER_DAY, self.nightly + self.delay))

    def depth(self, last: int, now: int) -> Depth:
        """Return how far to look now when the last look began at `last`: a night is never left out."""
        night = _after(last, NANOSECONDS_PER_DAY, self.nightly + self.delay)
        return Depth.FULL if night <= now else Depth.RECENT


def keep(
    schedule: Schedule,
    act: Callable[[Depth], None],
    *,
    now: Callable[[], int],
    sleep: Callable[[float], None],
    stopped: Callable[[], bool],
) -> None:
    """Act at once, then whenever the schedule says so, until it is stopped.

    What was missed while an act took long or the machine slept is made up for by one act.

    Parameters
    ----------
    now
        UTC nanoseconds.
    sleep
        Waits for so many seconds.
    """
    last = now()
    act(Depth.RECENT)
    while not stopped():
        due = schedule.next_after(last)
        # In short naps, since a clock may be set while one waits.
        while (left := due - now()) > 0:
            sleep(min(left / NANOSECONDS_PER_SECOND, _NAP_SECONDS_MAX))
            if stopped():
                return
        began = now()
        act(schedule.depth(last, began))
        last = began


def _after(moment: int, every: int, offset: int) -> int:
    """Return the first of `offset`, `offset + every`, ... that is later than a moment."""
    return offset + ((moment - offset) // every + 1) * every
