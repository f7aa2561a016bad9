"""Data sets to scan: daily bars whose figures are known by heart."""

from collections.abc import Mapping

import numpy as np

from engine.data import catalogue
from engine.data.lake.versions import DataSetVersion
from engine.data.series import BarSeries, SeriesKey, SeriesKind
from engine.discovery.sight import Sight
from engine.domain.panel import FloatArray, Instrument, Panel
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe
from engine.domain.venue import VenueClass

FIRST = int(np.datetime64("2023-01-01", "ns").astype(np.int64))
LEARNED = FIRST + 2000 * NANOSECONDS_PER_DAY


def day(number: int) -> int:
    """Return the open of a day, counted from 0, as UTC nanoseconds."""
    return FIRST + number * NANOSECONDS_PER_DAY


def panel_of(closes: Mapping[str, FloatArray], *, volume: float = 1000.0, **changes: object) -> Panel:
    """Return daily bars with a range of 1% around the close; NaN: not traded."""
    close = np.column_stack(list(closes.values()))
    facts: dict[str, object] = {
        "name": "scanned",
        "timestamps": FIRST + np.arange(len(close), dtype=np.int64) * NANOSECONDS_PER_DAY,
        "open": close,
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": np.where(np.isfinite(close), volume, np.nan),
        "instruments": tuple(Instrument(symbol=symbol) for symbol in closes),
        "timeframe": Timeframe.DAY_1,
        "calendar": Calendar.ALWAYS,
    }
    return Panel(**{**facts, **changes})  # type: ignore[arg-type]


def sight_of(panel: Panel, **changes: object) -> Sight:
    """Return a sight of all bars of a panel, whose instruments are crypto of Kraken."""
    facts: dict[str, object] = {
        "data": "scanned",
        "panel": panel,
        "at": int(panel.timestamps[-1]) + panel.timeframe.nanoseconds,
        "venues": dict.fromkeys(panel.symbols, "kraken"),
        "classes": dict.fromkeys(panel.symbols, VenueClass.CRYPTO),
        "spreads_bps": {},
    }
    return Sight(**{**facts, **changes})  # type: ignore[arg-type]


def walk(seed: int, days: int, *, drift: float = 0.0, start: float = 100.0) -> FloatArray:
    """Return closes of a random walk."""
    moves = np.random.default_rng(seed).normal(drift, 0.02, days)
    return np.asarray(start * np.exp(np.cumsum(moves)))


def in_lake(
    closes: Mapping[str, FloatArray], name: str = "scanned", *, venue: str = "kraken", learned: int = LEARNED
) -> DataSetVersion:
    """Append closes to the lake of this home, day 0 first, and freeze them; NaN: no bar."""
    lake = catalogue.lake()
    keys = []
    for symbol, values in closes.items():
        key = SeriesKey(venue=venue, kind=SeriesKind.BARS, instrument=symbol, timeframe=Timeframe.DAY_1)
        traded = np.flatnonzero(np.isfinite(values))
        close = values[traded]
        bars = BarSeries(
            stamps=FIRST + traded.astype(np.int64) * NANOSECONDS_PER_DAY,
            open=close,
            high=close * 1.01,
            low=close * 0.99,
            close=close,
            volume=np.full(len(close), 1e5),
        )
        lake.append(key, bars, known_at=learned, source="test", run="one")
        keys.append(key)
    return lake.freeze(name, keys, timeframe=Timeframe.DAY_1, calendar=Calendar.ALWAYS)
