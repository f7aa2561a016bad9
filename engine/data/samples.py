"""Real prices that come inside the wheels of dependencies, read without a network."""

import csv
import gzip
import io
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, FloatArray, Instrument, IntArray, Panel
from engine.domain.time import Calendar, Timeframe


def us20() -> Panel:
    """Return adjusted closes of 20 US stocks, 1990 to 2022, with the S&P 500 as `market`."""
    header, rows = _read_csv("skfolio", "skfolio/datasets/data/sp500_dataset.csv.gz")
    index_header, index_rows = _read_csv("skfolio", "skfolio/datasets/data/sp500_index.csv.gz")
    stamps = _dates([row[0] for row in rows])
    if index_header != ["Date", "SP500"] or not np.array_equal(stamps, _dates([r[0] for r in index_rows])):
        raise InputError("us20: the dates of skfolio's stocks and index differ; install requirements.lock")
    close = np.array([row[1:] for row in rows], dtype=np.float64)
    return Panel(
        name="us20",
        timestamps=stamps,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.full_like(close, np.nan),
        instruments=tuple(Instrument(symbol=symbol) for symbol in header[1:]),
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.XNYS,
        adjustment=Adjustment.TOTAL_RETURN,
        has_range=False,
        fields={"market": np.array([row[1] for row in index_rows], dtype=np.float64)},
    )


def us5() -> Panel:
    """Return AAPL, FB, GOOG, IBM and MSFT, 2000 to 2013; FB and GOOG are listed on the way.

    Every price is multiplied by adjusted close / close of its row and volume divided by it, so that ratios
    inside a bar stay as traded.
    """
    header, rows = _read_csv("bokeh-sampledata", "bokeh_sampledata/_data/stocks.csv.gz")
    column = {name: index for index, name in enumerate(header)}
    symbols = sorted({row[column["Ticker"]] for row in rows})
    dates = _dates([row[column["Date"]] for row in rows])
    stamps, at_row = np.unique(dates, return_inverse=True)
    at_column = np.searchsorted(symbols, [row[column["Ticker"]] for row in rows])
    raw = {
        name: np.array([row[column[name]] for row in rows], dtype=np.float64)
        for name in ("Open", "High", "Low", "Close", "Volume", "Adj Close")
    }
    factor = raw["Adj Close"] / raw["Close"]

    def spread(values: FloatArray) -> FloatArray:
        grid = np.full((len(stamps), len(symbols)), np.nan)
        grid[at_row, at_column] = values
        return grid

    return Panel(
        name="us5",
        timestamps=stamps,
        open=spread(raw["Open"] * factor),
        high=spread(raw["High"] * factor),
        low=spread(raw["Low"] * factor),
        # Not the adjusted close itself: it can differ in its last bit and then stand outside the range.
        close=spread(raw["Close"] * factor),
        volume=spread(raw["Volume"] / factor),
        instruments=tuple(Instrument(symbol=symbol) for symbol in symbols),
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.XNYS,
        adjustment=Adjustment.TOTAL_RETURN,
    )


def indices() -> Panel:
    """Return the S&P 500 and the Nasdaq Composite, 1999 to 2018."""
    tables = [_read_csv("arch", f"arch/data/{index}/{index}.csv.gz") for index in ("nasdaq", "sp500")]
    stamps = [_us_dates([row[0] for row in rows]) for _, rows in tables]
    if not np.array_equal(stamps[0], stamps[1]):
        raise InputError("indices: the dates of arch's two indices differ; install requirements.lock")

    def column(name: str) -> FloatArray:
        values = [[float(row[header.index(name)]) for row in rows] for header, rows in tables]
        return np.ascontiguousarray(np.array(values).T)

    return Panel(
        name="indices",
        timestamps=stamps[0],
        open=column("Open"),
        high=column("High"),
        low=column("Low"),
        close=column("Close"),
        volume=column("Volume"),
        instruments=(Instrument(symbol="NASDAQ"), Instrument(symbol="SP500")),
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.XNYS,
    )


def _read_csv(package: str, path: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a packed file of an installed distribution, without importing it."""
    try:
        packed = Path(str(distribution(package).locate_file(path))).read_bytes()
    except (PackageNotFoundError, FileNotFoundError) as missing:
        raise InputError(f"{path} of {package} is not installed; install requirements.lock") from missing
    lines = csv.reader(io.StringIO(gzip.decompress(packed).decode()))
    return next(lines), list(lines)


def _dates(texts: list[str]) -> IntArray:
    return np.array(texts, dtype="datetime64[D]").astype("datetime64[ns]").astype(np.int64)


def _us_dates(texts: list[str]) -> IntArray:
    """Return month/day/year as UTC midnights."""
    parts = [text.split("/") for text in texts]
    return _dates([f"{year}-{month:0>2}-{day:0>2}" for month, day, year in parts])
