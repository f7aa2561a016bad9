"""A panel -> one long CSV file, in the form that `engine data import` reads back bit for bit."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from engine.domain.errors import InputError
from engine.domain.panel import Panel


def columns(panel: Panel) -> tuple[str, ...]:
    """Return the header of the file."""
    prices = ("open", "high", "low", "close") if panel.has_range else ("close",)
    return ("timestamp", "symbol", *prices, *(("volume",) if panel.has_volume else ()))


def to_frame(panel: Panel) -> pd.DataFrame:
    """Return one row for each bar that traded, instrument by instrument."""
    stamps = pd.DatetimeIndex(panel.timestamps.view("datetime64[ns]"), tz="UTC")
    texts = np.asarray(stamps.strftime("%Y-%m-%dT%H:%M:%SZ"), dtype=object)
    frames = []
    for column, instrument in enumerate(panel.instruments):
        traded = np.isfinite(panel.close[:, column])
        values: dict[str, object] = {"timestamp": texts[traded], "symbol": instrument.symbol}
        for name in columns(panel)[2:]:
            values[name] = getattr(panel, name)[traded, column]
        frames.append(pd.DataFrame(values))
    return pd.concat(frames, ignore_index=True)


def write_csv(panel: Panel, path: Path) -> int:
    """Write the bars of a panel, and return how many rows were written.

    Raises
    ------
    InputError
        If the file is there already, or its folder is not.
    """
    if path.exists():
        raise InputError(f"{path} exists already; give another --out, nothing is overwritten")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder; create it first")
    frame = to_frame(panel)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        frame.to_csv(temporary, index=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(frame)
