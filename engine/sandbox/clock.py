"""The sandbox's own time: runs at any speed beside the clock on the wall, stands still, or is stepped."""

from collections.abc import Callable

from engine.domain.errors import InvalidValueError

# A year in half a minute.
SPEED_MAX = 1_000_000.0
# 2200-01-01. Nanoseconds have an end, and so has the time of the sandbox.
LAST_MOMENT = 7_258_118_400_000_000_000


class Clock:
    """Simulated time as a function of the time on the wall.

    Parameters
    ----------
    start
        UTC nanoseconds of the simulation at the moment this is made.
    speed
        Simulated seconds a second; 0 stands still and moves by `step` alone.
    wall
        Nanoseconds that never run backwards, as `time.monotonic_ns` gives them.
    """

    def __init__(self, *, start: int, speed: float, wall: Callable[[], int]) -> None:
        self._wall = wall
        self._since = wall()
        self._start = start
        self._speed = _checked(speed)

    @property
    def speed(self) -> float:
        """Simulated seconds a second."""
        return self._speed

    def now(self) -> int:
        """Return the simulated time, UTC nanoseconds; it stands still at `LAST_MOMENT`."""
        elapsed = self._wall() - self._since
        # Whole speeds are counted in integers: a float loses nanoseconds after three months.
        whole = self._speed.is_integer()
        passed = elapsed * int(self._speed) if whole else round(elapsed * self._speed)
        return min(self._start + passed, LAST_MOMENT)

    def step(self, nanoseconds: int) -> None:
        """Move on at once; the speed stays. Time never runs backwards."""
        if nanoseconds < 0:
            raise InvalidValueError(f"clock: a step must not be negative, was {nanoseconds} ns")
        self._start += nanoseconds

    def set_speed(self, speed: float) -> None:
        """Go on from here at another speed."""
        checked, now = _checked(speed), self.now()
        self._start, self._since, self._speed = now, self._wall(), checked


def _checked(speed: float) -> float:
    # Not a number is not in any range either.
    if not 0 <= speed <= SPEED_MAX:
        raise InvalidValueError(f"clock: speed must be from 0 to {SPEED_MAX:,.0f}, was {speed}")
    return float(speed)
