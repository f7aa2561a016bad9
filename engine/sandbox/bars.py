"""Bars out of trades, in whole ticks and lots: whoever adds up the trades of a bar gets exactly that bar."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from engine.domain.panel import FloatArray, IntArray
from engine.sandbox.tape import Trades


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """Bars of one pair, oldest first; an interval without a trade has none.

    Attributes
    ----------
    stamps
        Shape (K,), UTC nanoseconds of the open.
    open, high, low, close, volume
        Shape (K,), in ticks and lots.
    turnover
        Shape (K,), ticks times lots: by volume it is the average price, in ticks.
    count
        Shape (K,), trades.
    """

    stamps: IntArray
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    volume: IntArray
    turnover: FloatArray
    count: IntArray

    def __len__(self) -> int:
        return int(self.stamps.size)

    def take(self, rows: IntArray | slice) -> Self:
        """Return the rows asked for, in that order."""
        return type(self)(
            stamps=self.stamps[rows],
            open=self.open[rows],
            high=self.high[rows],
            low=self.low[rows],
            close=self.close[rows],
            volume=self.volume[rows],
            turnover=self.turnover[rows],
            count=self.count[rows],
        )

    def average_price(self) -> FloatArray:
        """Shape (K,), weighted by volume, in ticks; 0 where nothing traded, as Kraken has it."""
        return np.asarray(self.turnover / np.maximum(self.volume, 1))


def bars_of_trades(trades: Trades, interval: int) -> Bars:
    """Return the bars of trades; `interval` in nanoseconds, counted from 1970-01-01."""
    opens = trades.stamps // interval * interval
    if opens.size == 0:
        return Bars(
            **dict.fromkeys(("stamps", "open", "high", "low", "close", "volume", "count"), opens),
            turnover=np.empty(0),
        )
    first = np.flatnonzero(np.diff(opens, prepend=-1))
    last = np.append(first[1:], opens.size) - 1
    return Bars(
        stamps=opens[first],
        open=trades.ticks[first],
        high=np.maximum.reduceat(trades.ticks, first),
        low=np.minimum.reduceat(trades.ticks, first),
        close=trades.ticks[last],
        volume=np.add.reduceat(trades.lots, first),
        turnover=np.add.reduceat(trades.ticks * trades.lots.astype(np.float64), first),
        count=last - first + 1,
    )


def longer_bars(bars: Bars, interval: int) -> Bars:
    """Return bars of a longer interval, in nanoseconds, which must be a multiple of that of `bars`."""
    opens = bars.stamps // interval * interval
    if opens.size == 0:
        return bars
    first = np.flatnonzero(np.diff(opens, prepend=-1))
    last = np.append(first[1:], opens.size) - 1
    return Bars(
        stamps=opens[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=np.add.reduceat(bars.volume, first),
        turnover=np.add.reduceat(bars.turnover, first),
        count=np.add.reduceat(bars.count, first),
    )


def joined_bars(parts: list[Bars]) -> Bars:
    """Return the parts, one at least and in the order of time, as one."""
    return Bars(
        stamps=np.concatenate([part.stamps for part in parts]),
        open=np.concatenate([part.open for part in parts]),
        high=np.concatenate([part.high for part in parts]),
        low=np.concatenate([part.low for part in parts]),
        close=np.concatenate([part.close for part in parts]),
        volume=np.concatenate([part.volume for part in parts]),
        turnover=np.concatenate([part.turnover for part in parts]),
        count=np.concatenate([part.count for part in parts]),
    )


def without_holes(bars: Bars, interval: int, *, stop: int, most: int) -> Bars:
    """Return the last bars with every empty interval filled by its last price and no volume.

    Parameters
    ----------
    stop
        UTC nanoseconds of the open of the last interval, to be there too.
    most
        Rows at most, the last ones: a market that closed years ago has no end of empty intervals.
    """
    if len(bars) == 0:
        return bars
    first = max(int(bars.stamps[0]), stop - (most - 1) * interval)
    # Counted in whole intervals: a range of nanoseconds is divided in floats, and two years of them lose one.
    stamps = first + interval * np.arange((stop - first) // interval + 1, dtype=np.int64)
    source = np.searchsorted(bars.stamps, stamps, side="right") - 1
    filled = bars.take(source)
    empty = bars.stamps[source] != stamps
    return Bars(
        stamps=stamps,
        open=np.where(empty, filled.close, filled.open),
        high=np.where(empty, filled.close, filled.high),
        low=np.where(empty, filled.close, filled.low),
        close=filled.close,
        volume=np.where(empty, 0, filled.volume),
        turnover=np.where(empty, 0.0, filled.turnover),
        count=np.where(empty, 0, filled.count),
    )
