"""The sandbox's time is a function of the time on the wall, and never runs backwards."""

import pytest

from engine.domain.errors import InvalidValueError
from engine.sandbox.clock import LAST_MOMENT, Clock
from tests.sandboxes import NOON

SECOND = 10**9


class Wall:
    """A clock on the wall that a test moves."""

    def __init__(self) -> None:
        self.now = 77 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize(("speed", "passed"), [(0, 0), (1, 3), (0.5, 1.5), (3_600, 10_800), (2.5, 7.5)])
def test_time_passes_at_the_speed_that_was_asked_for(speed: float, passed: float) -> None:
    wall = Wall()
    clock = Clock(start=NOON, speed=speed, wall=wall)
    assert clock.now() == NOON

    wall.now += 3 * SECOND

    assert clock.now() == NOON + round(passed * SECOND)


def test_a_step_moves_on_at_once_and_the_speed_stays() -> None:
    wall = Wall()
    clock = Clock(start=NOON, speed=10, wall=wall)
    clock.step(60 * SECOND)
    wall.now += SECOND

    assert clock.now() == NOON + 70 * SECOND
    assert clock.speed == 10


def test_another_speed_goes_on_from_here() -> None:
    wall = Wall()
    clock = Clock(start=NOON, speed=10, wall=wall)
    wall.now += SECOND
    clock.set_speed(0)
    wall.now += 100 * SECOND
    assert clock.now() == NOON + 10 * SECOND
    clock.set_speed(2)
    wall.now += SECOND
    assert clock.now() == NOON + 12 * SECOND


def test_a_fast_clock_loses_no_nanosecond_in_years() -> None:
    wall = Wall()
    clock = Clock(start=0, speed=3, wall=wall)
    wall.now += 10**17 + 1

    assert clock.now() == 3 * 10**17 + 3


def test_time_stands_still_at_its_end() -> None:
    wall = Wall()
    clock = Clock(start=NOON, speed=1_000_000, wall=wall)
    wall.now += 10**15

    assert clock.now() == LAST_MOMENT
    clock.step(10**18)
    assert clock.now() == LAST_MOMENT


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf"), 2e6])
def test_a_speed_that_cannot_be_is_refused(speed: float) -> None:
    clock = Clock(start=NOON, speed=1, wall=Wall())
    with pytest.raises(InvalidValueError, match="speed must be from 0"):
        Clock(start=NOON, speed=speed, wall=Wall())
    with pytest.raises(InvalidValueError, match="speed must be from 0"):
        clock.set_speed(speed)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(InvalidValueError, match="must not be negative"):
        Clock(start=NOON, speed=1, wall=Wall()).step(-1)
