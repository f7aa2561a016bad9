"""Files of minute bars of any length, equal on every machine, written block by block."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from benchmarks.bars import FIRST_BAR
from engine.domain.panel import FloatArray
from engine.domain.time import Timeframe

INSTRUMENTS = 30
SYMBOLS = tuple(f"M{number:02d}" for number in range(INSTRUMENTS))

_BLOCK_MINUTES = 10_080
_VOLATILITY = 5e-4
_TICKS = 10_000
"""Prices are whole numbers of 1e-4, as venues print them: a file of full doubles is twice as long."""


def write_minutes(path: Path, minutes: int, *, seed: int) -> int:
    """Write bars of 30 instruments into one long CSV or Parquet file, minute by minute, and return its rows.

    Prices are random walks from 100 on; the bars of one minute stand together, as a recorder writes them.
    """
    blocks = (_table(start, values) for start, values in _blocks(minutes, seed))
    first = next(blocks)
    if path.suffix == ".csv":
        with pacsv.CSVWriter(
            path, first.schema, write_options=pacsv.WriteOptions(quoting_style="none")
        ) as csv:
            csv.write_table(first)
            for table in blocks:
                csv.write_table(table)
    else:
        with pq.ParquetWriter(path, first.schema, compression="zstd") as parquet:
            parquet.write_table(first)
            for table in blocks:
                parquet.write_table(table)
    return minutes * INSTRUMENTS


def _blocks(minutes: int, seed: int) -> Iterator[tuple[int, dict[str, FloatArray]]]:
    """Yield the first minute of a block, and its values, each of shape (minutes, instruments)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    last = np.full((1, INSTRUMENTS), 100.0)
    for start in range(0, minutes, _BLOCK_MINUTES):
        shape = (min(_BLOCK_MINUTES, minutes - start), INSTRUMENTS)
        close = _on_ticks(last * np.exp(np.cumsum(_VOLATILITY * generator.standard_normal(shape), axis=0)))
        open_ = np.vstack([last, close[:-1]])
        reach = np.exp(0.5 * _VOLATILITY * np.abs(generator.standard_normal((2, *shape))))
        yield (
            start,
            {
                "open": open_,
                "high": _on_ticks(np.maximum(open_, close) * reach[0]),
                "low": _on_ticks(np.minimum(open_, close) / reach[1]),
                "close": close,
                "volume": np.round(10.0 * generator.lognormal(sigma=0.5, size=shape), 3),
            },
        )
        last = close[-1:]


def _on_ticks(prices: FloatArray) -> FloatArray:
    return np.round(prices * _TICKS) / _TICKS


def _table(start: int, values: dict[str, FloatArray]) -> pa.Table:
    minutes = len(values["close"])
    stamps = FIRST_BAR + (start + np.arange(minutes, dtype=np.int64)) * Timeframe.MINUTE_1.nanoseconds
    symbols = pa.DictionaryArray.from_arrays(
        np.tile(np.arange(INSTRUMENTS, dtype=np.int32), minutes), pa.array(SYMBOLS)
    )
    columns = {
        # Seconds, because a CSV file would show nine empty digits after them.
        "timestamp": pa.array(np.repeat(stamps // 10**9, INSTRUMENTS), pa.timestamp("s", tz="UTC")),
        "symbol": symbols.cast(pa.string()),
    }
    return pa.table(columns | {name: pa.array(array.ravel()) for name, array in values.items()})
