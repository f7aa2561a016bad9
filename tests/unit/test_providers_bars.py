"""Bars from trades, by hand, and where they differ from the venue's."""

import math

import numpy as np
import pytest

from engine.data.providers.bars import DifferenceKind, bars_from_trades, reconcile, traded
from engine.data.series import BarSeries, TradeSeries
from engine.domain.time import Timeframe

MINUTE = 60 * 10**9
# 2025-11-10 17:24 UTC, on the minute.
T0 = 1_762_795_440 * 10**9


def trades(*rows: tuple[float, float, float]) -> TradeSeries:
    """Return trades of (seconds after T0, price, amount)."""
    return TradeSeries(
        stamps=np.array([T0 + round(seconds * 10**9) for seconds, _, _ in rows], dtype=np.int64),
        ids=np.arange(len(rows)),
        price=np.array([price for _, price, _ in rows]),
        amount=np.array([amount for _, _, amount in rows]),
        buyer_is_taker=np.zeros(len(rows), dtype=np.bool_),
    )


def bars(*rows: tuple[int, float, float, float, float, float]) -> BarSeries:
    """Return bars of (minute, open, high, low, close, volume)."""
    values = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 5).T
    return BarSeries(
        stamps=np.array([T0 + row[0] * MINUTE for row in rows], dtype=np.int64),
        open=values[0],
        high=values[1],
        low=values[2],
        close=values[3],
        volume=values[4],
    )


def test_bars_by_hand() -> None:
    made = bars_from_trades(
        trades((0, 10, 1), (1, 12, 0.1), (59.999999999, 9, 0.2), (60, 11, 3), (185, 7, 0.5)),
        Timeframe.MINUTE_1,
    )

    assert ((made.stamps - T0) // MINUTE).tolist() == [0, 1, 3]
    assert made.open.tolist() == [10, 11, 7]
    assert made.high.tolist() == [12, 11, 7]
    assert made.low.tolist() == [9, 11, 7]
    assert made.close.tolist() == [9, 11, 7]
    assert made.volume.tolist() == [1.3, 3, 0.5]


def test_a_volume_is_what_the_venue_prints_however_the_sum_was_made() -> None:
    tenths = trades(*[(0, 10, 0.1)] * 10)

    assert math.fsum([0.1] * 10) == 1.0 != sum([0.1] * 10)
    assert bars_from_trades(tenths, Timeframe.MINUTE_1).volume.tolist() == [1.0]
    forward = [(0, 10.0, amount) for amount in (1e8, 1e-8, 3e-8, 0.7)]
    backward = [(0, 10.0, amount) for amount in (0.7, 3e-8, 1e-8, 1e8)]
    sums = [bars_from_trades(trades(*rows), Timeframe.MINUTE_1).volume[0] for rows in (forward, backward)]
    assert sums[0] == sums[1]


def test_a_sum_of_large_amounts_is_what_the_venue_prints() -> None:
    # In units of 0.00001, as Kraken counts SHIB: drawn until a sum of floats misses the sum of units.
    draw = np.random.default_rng(4)
    missed = 0
    for _ in range(2000):
        units = draw.integers(10**11, 10**14, size=5)
        amounts = [int(unit) / 10**5 for unit in units]
        total = int(units.sum())
        printed = float(f"{total // 10**5}.{total % 10**5:05}")
        made = bars_from_trades(trades(*[(0, 10, amount) for amount in amounts]), Timeframe.MINUTE_1)
        assert made.volume.tolist() == [printed]
        missed += math.fsum(amounts) != printed
    assert missed > 0


def test_no_trades_make_no_bars() -> None:
    assert len(bars_from_trades(TradeSeries.empty(), Timeframe.HOUR_1)) == 0


def test_equal_bars_do_not_differ_and_an_empty_interval_may_be_printed_or_left_out() -> None:
    built = bars((0, 10, 12, 9, 11, 1.3), (2, 11, 11, 11, 11, 1))
    reported = bars((0, 10, 12, 9, 11, 1.3), (1, 11, 11, 11, 11, 0), (2, 11, 11, 11, 11, 1))

    assert reconcile(built, reported) == []
    assert len(traded(reported)) == 2


def test_each_difference_is_named() -> None:
    built = bars((0, 10, 12, 9, 11, 1.3), (1, 5, 5, 5, 5, 1), (3, 11, 11, 11, 11, 1))
    reported = bars((0, 10, 12.5, 9, 11, 1.30000001), (2, 6, 6, 6, 6, 2), (3, 11, 11, 11, 11, 1))

    found = reconcile(built, reported)

    assert [((d.stamp - T0) // MINUTE, d.kind, d.field) for d in found] == [
        (0, DifferenceKind.VALUE, "high"),
        (0, DifferenceKind.VALUE, "volume"),
        (1, DifferenceKind.NOT_REPORTED, ""),
        (2, DifferenceKind.NOT_BUILT, ""),
    ]
    assert (found[0].built, found[0].reported) == (12, 12.5)


def test_a_bar_that_is_missing_at_an_end_shows_where_the_ends_are_given() -> None:
    built, reported = bars((1, 1, 1, 1, 1, 1)), bars((0, 1, 1, 1, 1, 1), (1, 1, 1, 1, 1, 1))

    assert reconcile(built, reported) == []
    found = reconcile(built, reported, start=T0, stop=T0 + 2 * MINUTE)
    assert [d.kind for d in found] == [DifferenceKind.NOT_BUILT]


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
def test_a_value_that_is_no_number_differs(name: str) -> None:
    good = bars((0, 10, 12, 9, 11, 1.3))
    values = {field: getattr(good, field) for field in ("open", "high", "low", "close", "volume")}
    broken = BarSeries(stamps=good.stamps, **(values | {name: np.array([np.nan])}))

    assert [d.field for d in reconcile(good, broken)] == [name]
    assert [d.field for d in reconcile(broken, good)] == [name]
