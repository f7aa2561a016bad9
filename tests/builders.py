"""Small panels for tests, written as columns of numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from engine.domain.panel import FloatArray, Instrument, Panel
from engine.domain.time import Calendar, Timeframe

NAN = float("nan")


def panel_of(
    closes: Mapping[str, Sequence[float]],
    *,
    opens: Mapping[str, Sequence[float]] | None = None,
    highs: Mapping[str, Sequence[float]] | None = None,
    lows: Mapping[str, Sequence[float]] | None = None,
    volumes: Mapping[str, Sequence[float]] | None = None,
    timeframe: Timeframe = Timeframe.DAY_1,
    instruments: Sequence[Instrument] | None = None,
    has_range: bool = True,
) -> Panel:
    """Make a panel from closes; opens default to the closes, ranges to what both span, volumes to unknown."""

    def columns(values: Mapping[str, Sequence[float]] | None, default: FloatArray) -> FloatArray:
        if values is None:
            return default
        return np.array([values[name] for name in closes], dtype=np.float64).T.copy()

    close = columns(closes, np.empty(0))
    open_ = columns(opens, close)
    volume = columns(volumes, np.full(close.shape, NAN))
    return Panel(
        name="test",
        timestamps=np.arange(len(close), dtype=np.int64) * timeframe.nanoseconds,
        open=open_,
        high=columns(highs, np.fmax(open_, close)),
        low=columns(lows, np.fmin(open_, close)),
        close=close,
        volume=volume,
        instruments=tuple(instruments or (Instrument(symbol=name) for name in closes)),
        timeframe=timeframe,
        calendar=Calendar.ALWAYS,
        has_range=has_range,
    )


def random_panel(
    rows: int,
    instruments: int,
    *,
    seed: int,
    volatility: float = 0.02,
    holes: float = 0.0,
    timeframe: Timeframe = Timeframe.DAY_1,
) -> Panel:
    """Make a random walk; `holes` is the share of bars that did not trade, some are listed late."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, volatility, (rows, instruments)), axis=0))
    open_: FloatArray = close * np.exp(rng.normal(0.0, volatility / 3, close.shape))
    volume = rng.uniform(10.0, 2000.0, close.shape)
    gone = rng.random(close.shape) < holes
    if holes > 0.0:
        for n in range(0, instruments, 3):
            gone[: int(rng.integers(0, rows // 3)), n] = True
        for n in range(instruments):
            first = int(rng.integers(0, rows))
            gone[first : first + int(rng.integers(1, 9)), n] = True
    for values in (close, open_, volume):
        values[gone] = NAN
    return Panel(
        name="random",
        timestamps=np.arange(rows, dtype=np.int64) * timeframe.nanoseconds,
        open=open_,
        high=np.fmax(open_, close),
        low=np.fmin(open_, close),
        close=close,
        volume=volume,
        instruments=tuple(Instrument(symbol=f"I{n:02d}") for n in range(instruments)),
        timeframe=timeframe,
        calendar=Calendar.ALWAYS,
    )
