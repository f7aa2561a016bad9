"""The limit that the exchange sets on requests: a counter that every request fills and time empties."""

from collections.abc import Callable

from engine.domain.errors import InvalidValueError
from engine.domain.time import NANOSECONDS_PER_SECOND


class Limiter:
    """A leaky bucket of all clients together: on the loopback they have one address.

    Parameters
    ----------
    per_second
        Requests that are taken in the long run.
    burst
        Requests that are taken at once after a silence.
    wall
        Nanoseconds that never run backwards. Limits are about real time, however fast the market runs.
    """

    def __init__(self, *, per_second: float, burst: int, wall: Callable[[], int]) -> None:
        if not 0 < per_second <= 1e6:
            raise InvalidValueError(f"limit: requests a second must be above 0, was {per_second}")
        if burst < 1:
            raise InvalidValueError(f"limit: a burst must be 1 request at least, was {burst}")
        self._per_second = per_second
        self._burst = burst
        self._wall = wall
        self._level = 0.0
        self._looked = wall()

    def admits(self) -> bool:
        """Count a request, and say whether it is answered; one that is refused is not counted."""
        now = self._wall()
        leaked = (now - self._looked) / NANOSECONDS_PER_SECOND * self._per_second
        self._level, self._looked = max(0.0, self._level - leaked), now
        if self._level + 1 > self._burst + 1e-9:
            return False
        self._level += 1
        return True
