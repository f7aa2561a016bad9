"""Volumes as printed: a sum of floats and the number that the venue prints become the same."""

import math

import numpy as np

from engine.data.ingestion.amounts import as_printed
from engine.data.series import BarSeries


def bars(*volumes: float) -> BarSeries:
    ones = np.ones(len(volumes))
    return BarSeries(
        stamps=np.arange(len(volumes)), open=ones, high=ones, low=ones, close=ones, volume=np.array(volumes)
    )


def test_a_sum_of_large_amounts_is_what_the_venue_prints() -> None:
    # In units of 0.00001, as Kraken counts SHIB: drawn until a sum of floats misses the sum of units.
    draw = np.random.default_rng(4)
    missed = 0
    for _ in range(2000):
        units = draw.integers(10**11, 10**14, size=5)
        summed = math.fsum(int(unit) / 10**5 for unit in units)
        total = int(units.sum())
        printed = float(f"{total // 10**5}.{total % 10**5:05}")
        missed += summed != printed
        assert as_printed(bars(summed)).volume[0] == as_printed(bars(printed)).volume[0] == printed
    assert missed > 0


def test_what_was_printed_stays_and_unknown_stays_unknown() -> None:
    given = bars(0.00000001, 2.47862959, 1785223460.02934, 0.0, math.nan)

    assert as_printed(given).volume.tobytes() == given.volume.tobytes()
