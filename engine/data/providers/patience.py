"""How a provider is asked without being pressed: a bucket of requests, and waits that grow."""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np

from engine.data.providers.errors import PassingError, ProviderCode, ProviderError

Answer = TypeVar("Answer")

TRIES: Final = 3
FIRST_WAIT_SECONDS: Final = 1.0
JITTER: Final = 0.25
"""A wait is up to this share longer, so that those who failed together do not come back together."""

LONGEST_WAIT_SECONDS: Final = 120.0
"""Who asks us to wait longer has shut us out: that is said at once instead of slept through."""


class Bucket:
    """Lets requests through at a steady rate; shared by all who ask the same provider from this machine.

    Parameters
    ----------
    per_second
        Cost that flows off in a second.
    burst
        Cost that may go through at once after a rest.
    monotonic, sleep
        Clock in seconds that never goes back, and how to wait on it.
    """

    def __init__(
        self,
        per_second: float,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        burst: float = 1.0,
    ) -> None:
        self._seconds_each = 1.0 / per_second
        self._tolerance = (burst - 1.0) / per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._empty_at = float("-inf")

    def take(self, cost: float = 1.0) -> None:
        """Wait until a request of this cost may go."""
        with self._lock:
            now = self._monotonic()
            starts = max(now, self._empty_at)
            self._empty_at = starts + cost * self._seconds_each
            wait = starts - self._tolerance - now
        # Outside of the lock: the place in the queue is taken, others may take theirs meanwhile.
        if wait > 0:
            self._sleep(wait)

    def pause(self, seconds: float) -> None:
        """Let nobody through for a while, since the provider said so to one of us."""
        with self._lock:
            self._empty_at = max(self._empty_at, self._monotonic() + seconds + self._tolerance)


def ask(
    attempt: Callable[[], Answer],
    *,
    sleep: Callable[[float], None],
    generator: np.random.Generator,
) -> Answer:
    """Return what an attempt gives; one that fails in passing is made again, `TRIES` times in all.

    Waits are 1 and 2 seconds and a little more by chance, or what the provider asked for if that is longer.

    Raises
    ------
    ProviderError
        At once if asking again cannot help; else after the last attempt, saying what was wrong with it.
    """
    for number in range(TRIES):
        try:
            return attempt()
        except PassingError as failed:
            if failed.wait_seconds > LONGEST_WAIT_SECONDS:
                raise ProviderError(
                    ProviderCode.RATE_LIMITED,
                    failed.provider,
                    f"asks us to stay away for {failed.wait_seconds:.0f} seconds; try again after that",
                ) from failed
            if number == TRIES - 1:
                message = str(failed).removeprefix(f"{failed.code}: {failed.provider}: ")
                raise ProviderError(
                    failed.code, failed.provider, f"gave no answer in {TRIES} attempts, last: {message}"
                ) from failed
            wait = FIRST_WAIT_SECONDS * 2.0**number * (1.0 + JITTER * float(generator.random()))
            sleep(max(wait, failed.wait_seconds))
    raise AssertionError("unreachable: the last attempt returns or raises")
