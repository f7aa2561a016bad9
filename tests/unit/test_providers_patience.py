"""Attempts, waits between them, and the rate at which requests go out."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.data.providers.errors import PassingError, ProviderCode, ProviderError
from engine.data.providers.patience import Bucket, ask


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


class Attempt:
    """Fails with each error of a list, then answers."""

    def __init__(self, *errors: ProviderError) -> None:
        self.errors = list(errors)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def play(attempt: Attempt, seed: int = 1) -> tuple[Clock, str]:
    clock = Clock()
    return clock, ask(attempt, sleep=clock.sleep, generator=np.random.default_rng(seed))


def test_three_attempts_with_waits_of_one_and_two_seconds_and_a_little_more() -> None:
    attempt = Attempt(PassingError("x", "busy"), PassingError("x", "busy"))

    clock, answer = play(attempt)

    assert (answer, attempt.made) == ("answer", 3)
    assert 1.0 <= clock.slept[0] <= 1.25
    assert 2.0 <= clock.slept[1] <= 2.5
    assert len(set(clock.slept)) == 2
    assert play(Attempt(PassingError("x", "busy")), seed=1)[0].slept[0] == clock.slept[0]
    assert play(Attempt(PassingError("x", "busy")), seed=2)[0].slept[0] != clock.slept[0]


def test_the_third_failure_is_the_last_and_says_what_it_was() -> None:
    attempt = Attempt(*[PassingError("x", f"busy {n}") for n in range(5)])

    with pytest.raises(
        ProviderError, match=r"^PROVIDER_ERROR: x: gave no answer in 3 attempts, last: busy 2$"
    ):
        play(attempt)
    assert attempt.made == 3


def test_what_cannot_help_is_not_tried_again() -> None:
    attempt = Attempt(ProviderError(ProviderCode.ENTITLEMENT_FAILURE, "x", "no"))

    with pytest.raises(ProviderError):
        play(attempt)
    assert attempt.made == 1


def test_a_wait_that_the_provider_asks_for_is_honoured() -> None:
    clock, _ = play(Attempt(PassingError("x", "busy", wait_seconds=30.0)))

    assert clock.slept == [30.0]


def test_who_shuts_us_out_for_long_is_believed_at_once() -> None:
    attempt = Attempt(PassingError("x", "banned", wait_seconds=7200.0))

    with pytest.raises(ProviderError, match="7200 seconds") as refused:
        play(attempt)
    assert (refused.value.code, attempt.made) == (ProviderCode.RATE_LIMITED, 1)


def test_a_bucket_lets_through_at_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(5, monotonic=clock.now, sleep=clock.sleep)

    for _ in range(11):
        bucket.take()

    assert clock.seconds == pytest.approx(102.0)


def test_a_rest_earns_no_more_than_the_burst() -> None:
    clock = Clock()
    bucket = Bucket(2, monotonic=clock.now, sleep=clock.sleep, burst=3)
    clock.seconds += 1000

    for _ in range(4):
        bucket.take()

    assert clock.slept == [pytest.approx(0.5)]


def test_a_pause_holds_everybody_back() -> None:
    clock = Clock()
    bucket = Bucket(5, monotonic=clock.now, sleep=clock.sleep)
    bucket.take()
    bucket.pause(9.0)

    bucket.take()

    assert clock.seconds == pytest.approx(109.0)


def test_threads_that_share_a_bucket_keep_its_rate_together() -> None:
    waits: list[float] = []
    bucket = Bucket(10, monotonic=lambda: 0.0, sleep=waits.append)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: bucket.take(), range(40)))

    # The first goes at once; each of the others waits for a place of its own.
    assert sorted(waits) == pytest.approx([n / 10 for n in range(1, 40)])
