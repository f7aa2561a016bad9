"""The same work on minute bars in plain pandas: what a careful notebook does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from engine.data.series import BAR_VALUES
from engine.domain.panel import FloatArray

# Plain pandas, its other reader, and its other way to put columns side by side.
READERS: Mapping[str, Literal["c", "pyarrow"]] = {"pandas": "c", "pandas, pyarrow reader": "pyarrow"}
PIVOT, COLUMNS = "pandas, pivot", "pandas, columns"

_WINDOW = 51
_TO_SIGMA = 1.4826
_SPLITS = np.log([2, 3, 1.5, 4, 5, 7, 10, 20])


def import_file(path: Path, folder: Path, *, reader: str) -> int:
    """Read a long file, sort it, drop doubles, refuse impossible bars, write a file an instrument."""
    if path.suffix == ".csv":
        frame = pd.read_csv(path, parse_dates=["timestamp"], engine=READERS[reader])
    else:
        frame = pd.read_parquet(path)
    frame = frame.sort_values(["symbol", "timestamp"]).drop_duplicates(["symbol", "timestamp"])
    _refuse_impossible(frame)
    folder.mkdir()
    for symbol, bars in frame.groupby("symbol"):
        bars.to_parquet(folder / f"{symbol}.parquet", index=False)
    return len(frame)


def read_bars(folder: Path, symbol: str) -> pd.DataFrame:
    """Return the bars of one instrument as they were written."""
    return pd.read_parquet(folder / f"{symbol}.parquet")


def load_panel(folder: Path, *, how: str) -> dict[str, FloatArray]:
    """Return five arrays of shape (T, N) and the stamps as UTC nanoseconds, shape (T,)."""
    frames = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    if how == PIVOT:
        bars = pd.concat(frames.values())
        wide = {name: bars.pivot(index="timestamp", columns="symbol", values=name) for name in BAR_VALUES}
    else:
        frames = {symbol: bars.set_index("timestamp") for symbol, bars in frames.items()}
        wide = {
            name: pd.DataFrame({symbol: bars[name] for symbol, bars in frames.items()}) for name in BAR_VALUES
        }
    stamps = wide["close"].index.as_unit("ns").asi8  # type: ignore[attr-defined]
    return {"stamps": stamps} | {name: table.to_numpy() for name, table in wide.items()}


def audit(folder: Path) -> tuple[int, int]:
    """Return how many bars were looked at and how many places look wrong."""
    rows = places = 0
    for path in sorted(folder.glob("*.parquet")):
        bars = pd.read_parquet(path).set_index("timestamp")
        rows += len(bars)
        places += sum(_checks(bars).values())
    return rows, places


def _refuse_impossible(frame: pd.DataFrame) -> None:
    wrong = _impossible(frame)
    if wrong.any():
        raise ValueError(f"{int(wrong.sum())} impossible bars")


def _impossible(bars: pd.DataFrame) -> "pd.Series[bool]":
    body = bars[["open", "close"]]
    possible = (bars["low"] > 0) & (bars["volume"] >= 0)
    possible &= (bars["high"] >= body.max(axis=1)) & (bars["low"] <= body.min(axis=1))
    return ~possible


def _checks(bars: pd.DataFrame) -> dict[str, int]:
    """Return how often each defect is found: those that the engine looks for, by rolling windows."""
    stamps = pd.DatetimeIndex(bars.index)
    due = pd.date_range(stamps[0], stamps[-1], freq="min")
    open_, high, low, close = (np.log(bars[name]) for name in ("open", "high", "low", "close"))
    moves = close.diff()
    sigma = _robust_sigma(moves.abs())
    back = moves.shift(-1)
    reversal = (moves.abs() > 8 * sigma) & (back.abs() > 8 * sigma) & (moves * back < 0)
    top = pd.concat([open_, close, high.shift(1), high.shift(-1)], axis=1).max(axis=1)
    bottom = pd.concat([open_, close, low.shift(1), low.shift(-1)], axis=1).min(axis=1)
    step = open_ - close.shift(1)
    out = step.shift(-1)
    isolated = (step.abs() > 3 * sigma) & (out.abs() > 3 * sigma) & (step * out < 0)
    volume = np.log(bars["volume"].where(bars["volume"] > 0))
    excess = volume - volume.rolling(_WINDOW, center=True, min_periods=1).median()
    split = moves.abs() < 0
    for ratio in _SPLITS:
        split |= (moves.abs() - ratio).abs() < 3 * sigma
    same = (bars[["open", "high", "low", "close"]].diff() == 0).all(axis=1)
    run = same.groupby((~same).cumsum()).cumsum()
    return {
        "order": int(not stamps.is_monotonic_increasing),
        "duplicates": int(stamps.duplicated().sum()),
        "gaps": len(due.difference(stamps)),
        "off grid": int((stamps.as_unit("s").asi8 % 60 != 0).sum()),
        "future": int((stamps > pd.Timestamp("2100-01-01", tz="UTC")).sum()),
        "impossible": int(_impossible(bars).sum()),
        "bad ticks": int((reversal | isolated).sum()),
        "wicks": int((((high - top) > 4 * sigma) | ((bottom - low) > 4 * sigma)).sum()),
        "volume spikes": int(((excess > 8 * _robust_sigma(excess.abs())) & (excess > np.log(10))).sum()),
        "splits": int(split.sum()),
        "still": int((run == 30).sum()),
    }


def _robust_sigma(sizes: "pd.Series[float]") -> "pd.Series[float]":
    around = sizes.rolling(_WINDOW, center=True, min_periods=1)
    return pd.concat([_TO_SIGMA * around.median(), around.quantile(0.9) / 1.6449], axis=1).max(axis=1)
