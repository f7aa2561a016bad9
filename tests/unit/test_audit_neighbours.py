"""What is usual around a bar: the unit of bad ticks, time that counts, volume that is much."""

import numpy as np
import pytest

from engine.data.audit.neighbours import NEIGHBOURHOOD, robust_sigma, sigma_without, surroundings
from engine.data.audit.sessions import schedule
from engine.data.quality import Bars
from engine.domain.time import Calendar, Timeframe
from tests import mutator


def daily(calendar: Calendar, size: int = 120) -> Bars:
    return mutator.realistic(
        np.random.default_rng(1), size=size, timeframe=Timeframe.DAY_1, calendar=calendar
    )


def test_a_robust_sigma_is_the_greater_one_of_two_quantiles_of_51_moves() -> None:
    # 51 moves: 40 of 0.01, 11 of 0.05. Their median is 0.01, rank 45 of 51 (the ninth decile) is 0.05.
    sizes = np.full(NEIGHBOURHOOD, 0.01)
    sizes[:11] = 0.05
    moves = np.random.default_rng(2).permutation(sizes) * np.where(np.arange(NEIGHBOURHOOD) % 2, 1, -1)
    moves[0] = moves[1]
    close = np.concatenate([[0.0], np.cumsum(moves[1:])])

    middle = robust_sigma(close)[NEIGHBOURHOOD // 2]

    assert middle == pytest.approx(max(1.4826 * 0.01, 0.05 / 1.6449))


def test_without_what_is_judged_a_sigma_is_that_of_the_other_moves() -> None:
    sizes = np.abs(np.random.default_rng(3).standard_normal(NEIGHBOURHOOD))
    wild = sizes.copy()
    wild[20:22] = 50.0
    others = np.sort(np.delete(sizes, [20, 21]))

    (found,) = sigma_without(wild, np.array([20]), 2)

    # 49 are left: ranks 24 and 44.
    assert found == pytest.approx(max(1.4826 * others[24], others[44] / 1.6449))


def test_a_weekend_of_an_exchange_is_no_pause_and_a_missing_day_is_one() -> None:
    bars = daily(Calendar.XNYS)
    gone = mutator.taken(bars, np.delete(np.arange(120), 50))
    plan = schedule(bars, Timeframe.DAY_1, Calendar.XNYS)

    whole = surroundings(bars, Timeframe.DAY_1, plan.expected).elapsed
    holed = surroundings(gone, Timeframe.DAY_1, plan.expected).elapsed

    assert (whole == 1).all()
    assert (holed[50], holed.sum()) == (2, 120)


def test_before_the_first_day_that_a_calendar_knows_the_clock_counts() -> None:
    bars = daily(Calendar.ALWAYS, size=40)
    gone = mutator.taken(bars, np.delete(np.arange(40), np.arange(10, 14)))

    elapsed = surroundings(gone, Timeframe.DAY_1, bars.stamps[20:]).elapsed

    assert (elapsed[10], elapsed.sum()) == (5, 40)


def test_much_volume_is_thrice_the_median_unless_such_volumes_are_frequent() -> None:
    bars = daily(Calendar.ALWAYS)
    steady = np.full(120, 10.0)
    steady[60] = 90.0
    wild = np.where(np.arange(120) % 4 == 0, 40.0, 10.0)
    wild[60] = 90.0

    def busy(volume: np.ndarray) -> float:
        changed = mutator.with_fields(bars, {"volume": volume})
        around = surroundings(changed, Timeframe.DAY_1, bars.stamps)
        assert around.busy is not None
        return float(around.busy[60])

    # Thrice the median is 30; a quarter of the others is 40.
    assert busy(steady) == pytest.approx(90 / 30)
    assert busy(wild) == pytest.approx(90 / 40)
    steady[60] = 15.0
    assert busy(steady) == pytest.approx(15 / 30)
