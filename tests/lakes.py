"""Series for tests of the lake, and what a plain dictionary would remember of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from engine.data.series import BAR_VALUES, BarSeries, SeriesKey, SeriesKind, TradeSeries
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import Timeframe

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR

START = int(np.datetime64("2024-01-31T22:00", "ns").astype(np.int64))
"""Two hours before a month ends, so that short series lie in two partitions."""

BTC = SeriesKey(venue="kraken", kind=SeriesKind.BARS, instrument="BTC/USD", timeframe=Timeframe.HOUR_1)
ETH = SeriesKey(venue="kraken", kind=SeriesKind.BARS, instrument="ETH/USD", timeframe=Timeframe.HOUR_1)
BTC_TRADES = SeriesKey(venue="kraken", kind=SeriesKind.TRADES, instrument="BTC/USD")


def bars(closes: Mapping[int, float], *, step: int = HOUR) -> BarSeries:
    """Return bars by number of steps after START, with a range of 1 around the close and a volume of 10."""
    numbers = sorted(closes)
    close = np.array([closes[number] for number in numbers], dtype=np.float64)
    return BarSeries(
        stamps=np.array([START + number * step for number in numbers], dtype=np.int64),
        open=close - 0.5,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=np.full(len(close), 10.0),
    )


def hours(close: FloatArray, numbers: IntArray, *, reach: float, volume: float) -> BarSeries:
    """Return bars at some hours after START, each from a share below its close to the same above it.

    Parameters
    ----------
    close
        Shape (N,), of all hours.
    numbers
        Shape (K,), the hours that are there.
    """
    kept = close[numbers]
    return BarSeries(
        stamps=START + numbers * HOUR,
        open=kept,
        high=kept * (1 + reach),
        low=kept * (1 - reach),
        close=kept,
        volume=np.full(len(kept), volume),
    )


def trades(rows: Sequence[tuple[int, int, float]]) -> TradeSeries:
    """Return trades by (seconds after START, id, price)."""
    return TradeSeries(
        stamps=np.array([START + second * 10**9 for second, _, _ in rows], dtype=np.int64),
        ids=np.array([number for _, number, _ in rows], dtype=np.int64),
        price=np.array([price for _, _, price in rows]),
        amount=np.ones(len(rows)),
        buyer_is_taker=np.array([number % 2 == 0 for _, number, _ in rows], dtype=bool),
    )


def closes(series: BarSeries) -> dict[int, float]:
    """Return closes by number of hours after START."""
    return {
        (int(stamp) - START) // HOUR: float(close)
        for stamp, close in zip(series.stamps, series.close, strict=True)
    }


def same_bytes(one: BarSeries, other: BarSeries) -> bool:
    """Return whether two series have the same bits everywhere."""
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ("stamps", *BAR_VALUES)
    )
