"""Requests that come too fast are refused, and time makes room again."""

import pytest

from engine.domain.errors import InvalidValueError
from engine.sandbox.limiter import Limiter

SECOND = 10**9


class Wall:
    """A clock on the wall that a test moves."""

    def __init__(self) -> None:
        self.now = 5 * SECOND

    def __call__(self) -> int:
        return self.now


def test_a_burst_passes_then_one_request_for_each_that_has_leaked() -> None:
    wall = Wall()
    limiter = Limiter(per_second=2, burst=3, wall=wall)

    assert [limiter.admits() for _ in range(5)] == [True, True, True, False, False]
    wall.now += SECOND // 2
    assert [limiter.admits() for _ in range(2)] == [True, False]
    wall.now += 100 * SECOND
    assert [limiter.admits() for _ in range(4)] == [True, True, True, False]


def test_whoever_keeps_the_rate_is_never_refused_and_who_is_refused_does_not_wait_longer() -> None:
    wall = Wall()
    limiter = Limiter(per_second=1, burst=1, wall=wall)
    for _ in range(20):
        assert limiter.admits()
        wall.now += SECOND // 2
        assert not limiter.admits()
        wall.now += SECOND // 2


@pytest.mark.parametrize(("per_second", "burst"), [(0.0, 1), (float("nan"), 1), (-1.0, 1), (1.0, 0)])
def test_a_limit_that_lets_nothing_pass_is_refused(per_second: float, burst: int) -> None:
    with pytest.raises(InvalidValueError, match="limit: "):
        Limiter(per_second=per_second, burst=burst, wall=Wall())
