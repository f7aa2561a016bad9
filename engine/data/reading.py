"""Files on disk -> tables of raw cells."""

import csv
import gzip
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from engine.data.findings import Finding, Kind, positions
from engine.domain.errors import InputError
from engine.domain.panel import FloatArray

CSV_ENDINGS = (".csv", ".csv.gz", ".txt", ".tsv", ".tsv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")
_EMPTY = ("", "nan", "null", "none", "na", "n/a", "-", "nat", "<na>")

# Words of a file's name that say something else than the instrument.
_TIMEFRAME_WORD = re.compile(r"(\d+(m|min|h|d|w|s)|m\d+|h\d+|d1|daily|hourly|minute|day|hour)")
_DATE_WORD = re.compile(r"\d{4}(-\d{2}){0,2}|\d{6}|\d{8}")
_FILLER_WORD = re.compile(
    r"(raw|adj|adjusted|unadjusted|ohlcv|ohlc|bars|candles|klines|prices|data|history|hist)"
)
_PLACE_WORD = re.compile(
    r"(us|uk|eu|nyse|nasdaq|amex|arca|yahoo|stooq|binance|kraken|coinbase|bitstamp|bitfinex|bybit|okx|ftx|gemini)"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTable:
    """One file as it stands.

    Attributes
    ----------
    cells
        All text for CSV, typed for Parquet. Row i of the frame is row i + 1 of the data.
    """

    path: Path
    file: str
    cells: pd.DataFrame


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are meant: each path itself, or what a folder holds, in alphabetical order."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(child for child in path.iterdir() if _ending(child) and child.is_file())
            inside = [child for child in inside if not child.name.startswith(".")]
            if not inside:
                endings = " ".join(CSV_ENDINGS + PARQUET_ENDINGS)
                raise InputError(f"{path}: the folder holds no file to import (looked for {endings})")
            files += inside
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder; give the path of a CSV or Parquet file")
        elif not _ending(path):
            endings = " ".join(CSV_ENDINGS + PARQUET_ENDINGS)
            raise InputError(f"{path}: the name does not end in one of {endings}")
        else:
            files.append(path)
    return files


def read(path: Path) -> tuple[RawTable | None, list[Finding]]:
    """Read a file, without converting anything."""
    try:
        cells = _read_parquet(path) if _ending(path) in PARQUET_ENDINGS else _read_csv(path)
    except pd.errors.EmptyDataError:
        return None, [_empty(path)]
    except (OSError, ValueError, UnicodeError, pd.errors.ParserError, pd.errors.ParserWarning) as wrong:
        reason = str(wrong).strip().splitlines()[0] if str(wrong).strip() else type(wrong).__name__
        return None, [
            Finding(
                kind=Kind.UNREADABLE_FILE,
                file=path.name,
                row=0,
                value=reason,
                message="the file cannot be read; it must be UTF-8 CSV with one header line, or Parquet",
            )
        ]
    if cells.empty:
        return None, [_empty(path)]
    return RawTable(path=path, file=path.name, cells=cells), []


def symbol_from(path: Path) -> str:
    """Return the instrument that a file's name speaks of.

    `binance_BTCUSDT_1d.parquet` is BTCUSDT, `us_SPY_1d_raw.csv` is SPY, `BTCUSDT-1m-2021-01.csv.gz` is
    BTCUSDT, `BTC-PERP.csv` stays BTC-PERP.
    """
    ending = _ending(path) or path.suffix
    stem = path.name[: len(path.name) - len(ending)] if ending else path.name
    # Dumps of exchanges join with hyphens what others join with underscores.
    stem = re.sub(r"-(\d+(?:m|h|d|min))(?:-\d{4}(?:-\d{2}){0,2})?$", "", stem)
    words = [word for word in re.split(r"[_ ]+", stem) if word]
    kept = [
        word
        for word in words
        if not any(pattern.fullmatch(word.lower()) for pattern in (_TIMEFRAME_WORD, _DATE_WORD, _FILLER_WORD))
    ]
    while len(kept) > 1 and _PLACE_WORD.fullmatch(kept[0].lower()):
        kept = kept[1:]
    return "_".join(kept) or stem


def numbers(file: str, column: pd.Series, name: str) -> tuple[FloatArray, list[Finding]]:
    """Return a column as floats, exactly as written, and a finding for each cell that is not a number.

    Such cells are NaN, so that the other cells of their row are still judged.
    """
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        texts = None
    else:
        texts = column.astype(str).str.strip().to_numpy(dtype=object)
        values = _floats(texts)
    problems = []
    for row in positions(~np.isfinite(values)):
        text = str(column.iloc[row]).strip()
        if text.lower() in _EMPTY:
            kind, message = Kind.EMPTY_CELL, f"{name} is empty; a bar that did not trade has no row at all"
        else:
            kind, message = Kind.NOT_A_NUMBER, f"{name} is not a number; write 1234.5 without separators"
        problems.append(Finding(kind=kind, file=file, row=row + 1, value=text, message=message))
    return np.where(np.isfinite(values), values, np.nan), problems


def _floats(texts: np.ndarray) -> FloatArray:
    try:
        return np.asarray(texts.astype(np.float64))
    except ValueError:
        return np.array([_float(text) for text in texts], dtype=np.float64)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _ending(path: Path) -> str:
    name = path.name.lower()
    return next((ending for ending in CSV_ENDINGS + PARQUET_ENDINGS if name.endswith(ending)), "")


def _read_parquet(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    frame = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        # Rows longer than the header would be cut with a warning only.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        cells = pd.read_csv(
            path,
            sep=_delimiter(path),
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            index_col=False,
            encoding="utf-8-sig",
            quoting=csv.QUOTE_MINIMAL,
        )
    cells.columns = [str(name).strip().strip("<>").strip() for name in cells.columns]
    return cells


def _delimiter(path: Path) -> str:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        header = file.readline()
    return max(",;\t|", key=lambda mark: header.count(mark.encode()))


def _empty(path: Path) -> Finding:
    return Finding(
        kind=Kind.EMPTY_FILE, file=path.name, row=0, value="", message="the file holds no rows of data"
    )
