"""Synthetic bars for the benchmarks, equal on every machine and in every run."""

import numpy as np

from engine.domain.panel import FloatArray, Instrument, Panel
from engine.domain.time import Calendar, Timeframe

# 2020-01-01 00:00 UTC
FIRST_BAR = 1_577_836_800_000_000_000

# About 1e-6, but a power of two: sums and differences of prices are exact, so equal averages are equal in
# every engine, whatever order it adds in. On a decimal grid two correct engines break ties differently.
GRID = 2.0**-20


def _on_grid(prices: FloatArray) -> FloatArray:
    return np.round(prices / GRID) * GRID


def random_walks(
    rows: int, instruments: int, *, timeframe: Timeframe, volatility: float, seed: int, has_range: bool
) -> Panel:
    """Return random walks that start at 100.

    Parameters
    ----------
    volatility
        Standard deviation of a bar's log return. A fifth of its variance is common to all instruments.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    common = generator.standard_normal((rows, 1)) * np.sqrt(0.2)
    own = generator.standard_normal((rows, instruments)) * np.sqrt(0.8)
    close = _on_grid(100.0 * np.exp(np.cumsum(volatility * (common + own), axis=0)))
    open_ = high = low = close
    if has_range:
        before = np.vstack([np.full((1, instruments), 100.0), close[:-1]])
        gap = np.exp(0.2 * volatility * generator.standard_normal((rows, instruments)))
        reach = np.exp(0.5 * volatility * np.abs(generator.standard_normal((2, rows, instruments))))
        open_ = _on_grid(before * gap)
        high = _on_grid(np.maximum(open_, close) * reach[0])
        low = _on_grid(np.minimum(open_, close) / reach[1])
    return Panel(
        name="random-walks",
        timestamps=FIRST_BAR + np.arange(rows, dtype=np.int64) * timeframe.nanoseconds,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=np.full((rows, instruments), 1e6),
        instruments=tuple(Instrument(symbol=f"W{index:03d}") for index in range(instruments)),
        timeframe=timeframe,
        calendar=Calendar.ALWAYS,
        has_range=has_range,
        synthetic=True,
    )


def target_weights(decisions: int, instruments: int, sets: int, *, seed: int) -> FloatArray:
    """Return weights of shape (sets, decisions, instruments) that sum to .98: no order is short of cash."""
    generator = np.random.Generator(np.random.PCG64(seed))
    raw = generator.random((sets, decisions, instruments))
    raw *= 0.98 / raw.sum(axis=2, keepdims=True)
    return raw
