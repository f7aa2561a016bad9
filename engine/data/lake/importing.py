"""Files of any length -> the lake, in a stream: memory holds some months of bars, whatever the files hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from engine.data.columns import RANGE, Columns, recognise
from engine.data.lake.appending import Appended
from engine.data.lake.lake import Lake
from engine.data.lake.layout import month_of, month_start
from engine.data.reading import find_files, symbol_from
from engine.data.series import BAR_VALUES, BarSeries, SeriesKey, SeriesKind
from engine.data.stamps import zone_named
from engine.domain.errors import InputError
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import Timeframe

_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 1 << 17
_HELD_ROWS_MAX = 4_000_000

# Epoch numbers from 1973 on tell their unit by their size.
_EPOCH_UNITS = ((10**17, 1), (10**14, 10**3), (10**11, 10**6), (10**8, 10**9))


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which files are to be taken into the lake, and how they are to be read.

    Attributes
    ----------
    name
        The venue becomes `file:<name>`.
    timezone
        Of stamps that carry no offset; None where none was stated: then they are refused.
    known_at
        UTC nanoseconds at which they were learned.
    """

    name: str
    paths: tuple[Path, ...]
    timeframe: Timeframe
    known_at: int
    run: str
    timezone: str | None = None

    @property
    def venue(self) -> str:
        """Under which the series stand in the lake."""
        return f"file:{self.name}"


@dataclass(eq=False)
class _Held:
    """Bars of one instrument that wait for the end of their month."""

    pieces: list[tuple[IntArray, dict[str, FloatArray]]] = field(default_factory=list)
    rows: int = 0
    last: int | None = None


def import_files(lake: Lake, request: Request) -> dict[SeriesKey, Appended]:
    """Append the bars of CSV and Parquet files, and return what was found of each series.

    Bars of one instrument come oldest first; those of several may stand in one file in any order.

    Raises
    ------
    InputError
        Naming the file and the row that cannot be used. What stood before it is in the lake, and importing
        the mended file again doubles nothing. If the time zone is not known.
    """
    if request.timezone is not None:
        zone_named(request.timezone)
    found: dict[SeriesKey, Appended] = {}
    for path in find_files(request.paths):
        held: dict[str, _Held] = {}
        for number, batch, columns in _batches(path):
            for symbol, stamps, values in _by_symbol(path, number, batch, columns, request):
                _hold(path, held.setdefault(symbol, _Held()), stamps, values, request.timeframe, symbol)
                _flush(lake, request, path, symbol, held[symbol], found, keep_last_month=True)
            if sum(each.rows for each in held.values()) > _HELD_ROWS_MAX:
                for symbol, each in held.items():
                    _flush(lake, request, path, symbol, each, found, keep_last_month=False)
        for symbol, each in held.items():
            _flush(lake, request, path, symbol, each, found, keep_last_month=False)
    return found


def _batches(path: Path) -> Iterator[tuple[int, pa.RecordBatch, Columns]]:
    """Yield a file in pieces, each with the number of its first row, counted from 1."""
    number = 1
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            # What is buffered ahead is kept until the file is closed: all of it, in the end.
            with pq.ParquetFile(path, pre_buffer=False) as file:
                columns = _columns(path, file.schema_arrow.names)
                for batch in file.iter_batches(_BATCH_ROWS, columns=_names(columns), use_threads=False):
                    yield number, batch, columns
                    number += batch.num_rows
        else:
            with path.open(encoding="utf-8-sig") as text:
                header = text.readline().rstrip("\r\n")
            delimiter = max(",;\t|", key=header.count)
            columns = _columns(path, [name.strip().strip('"') for name in header.split(delimiter)])
            floats = [name for role in (*RANGE, "close", "volume") if (name := getattr(columns, role))]
            reader = pacsv.open_csv(
                path,
                read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
                parse_options=pacsv.ParseOptions(delimiter=delimiter),
                convert_options=pacsv.ConvertOptions(
                    include_columns=_names(columns), column_types=dict.fromkeys(floats, pa.float64())
                ),
            )
            for batch in reader:
                yield number, batch, columns
                number += batch.num_rows
    except (OSError, UnicodeDecodeError, pa.ArrowException) as wrong:
        raise InputError(
            f"{path.name}: cannot be read after row {number - 1} ({wrong}); mend the file and import it again"
        ) from wrong


def _columns(path: Path, names: Sequence[str]) -> Columns:
    columns, problems = recognise(path.name, names)
    if columns is None:
        raise InputError("\n".join(str(problem) for problem in problems))
    if columns.clock is not None:
        raise InputError(
            f"{path.name}: date and time stand in two columns, {columns.stamp} and {columns.clock}; "
            "put them into one, e.g. 2024-01-31T22:00:00Z"
        )
    return columns


def _names(columns: Columns) -> list[str]:
    roles = ("stamp", *RANGE, "close", "volume", "symbol")
    return [name for role in roles if (name := getattr(columns, role)) is not None]


def _by_symbol(
    path: Path, number: int, batch: pa.RecordBatch, columns: Columns, request: Request
) -> Iterator[tuple[str, IntArray, dict[str, FloatArray]]]:
    """Yield the bars of each instrument of a batch, in the order of the file."""
    stamps = _stamps(path, number, batch.column(columns.stamp), request.timezone)
    values: dict[str, FloatArray] = {}
    for name in BAR_VALUES:
        column = getattr(columns, name)
        if column is None or (name in RANGE and not columns.has_range):
            values[name] = np.full(len(stamps), np.nan)
            continue
        try:
            values[name] = batch.column(column).cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowException as wrong:
            raise InputError(
                f"{path.name}, rows from {number} on: {column} does not hold numbers ({wrong}); mend the "
                "file and import it again"
            ) from wrong
        if name != "volume":
            _require_numbers(path, number, column, values[name])
    if columns.symbol is None:
        yield symbol_from(path), stamps, values
        return
    named = pc.utf8_trim_whitespace(batch.column(columns.symbol).cast(pa.string())).fill_null("")
    encoded = pc.dictionary_encode(named)
    empty = np.flatnonzero(pc.equal(named, "").to_numpy(zero_copy_only=False))
    if len(empty):
        row = number + int(empty[0])
        raise InputError(f"{path.name}, row {row}: {columns.symbol} is empty; every row needs its instrument")
    codes = encoded.indices.to_numpy()
    for code, symbol in enumerate(encoded.dictionary.to_pylist()):
        at = np.flatnonzero(codes == code)
        yield str(symbol), stamps[at], {name: array[at] for name, array in values.items()}


def _require_numbers(path: Path, number: int, column: str, values: FloatArray) -> None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        row = number + int(wrong[0])
        raise InputError(f"{path.name}, row {row}: {column} is not a number (value: {values[wrong[0]]})")


def _stamps(path: Path, number: int, column: pa.Array, timezone: str | None) -> IntArray:
    """Return stamps as UTC nanoseconds."""
    if column.null_count:
        row = number + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f"{path.name}, row {row}: has no stamp; every bar needs one")
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _epochs(path, number, column.to_numpy())
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not is_text and not pa.types.is_timestamp(kind) and not pa.types.is_date(kind):
        raise InputError(f"{path.name}: a column of {kind} is no column of stamps")
    has_offset = _has_offset(str(column[0])) if is_text else getattr(kind, "tz", None) is not None
    if not has_offset and timezone is None:
        raise InputError(
            f"{path.name}, row {number}: {column[0]} says no time zone; state it, e.g. --timezone UTC"
        )
    zone = None if has_offset else timezone
    try:
        return _instants(column, zone)
    except pa.ArrowException:
        # Arrow does not say which row it was.
        for row in range(len(column)):
            try:
                _instants(column.slice(row, 1), zone)
            except pa.ArrowException as wrong:
                raise InputError(
                    f"{path.name}, row {number + row}: {column[row]} is no stamp that can be used "
                    f"({' '.join(str(wrong).split())}); mend the file and import it again"
                ) from wrong
        raise


def _has_offset(text: str) -> bool:
    text = text.rstrip()
    return text[-1:] in ("Z", "z") or text[-6:-5] in ("+", "-")


def _instants(column: pa.Array, zone: str | None) -> IntArray:
    """Return stamps that say their offset, or those of a zone, as UTC nanoseconds."""
    if zone is not None:
        column = pc.assume_timezone(column.cast(pa.timestamp("ns")), zone)
    return np.asarray(column.cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).to_numpy())


def _epochs(path: Path, number: int, numbers: np.ndarray) -> IntArray:
    """Return epoch numbers as UTC nanoseconds; all of them are in one unit."""
    if not len(numbers):
        return np.empty(0, dtype=np.int64)
    unit, least = next(
        ((unit, least) for least, unit in _EPOCH_UNITS if abs(float(numbers[0])) >= least), (None, 0)
    )
    if unit is None:
        raise InputError(
            f"{path.name}, row {number}: {numbers[0]} is no epoch after 1973 in seconds, milli-, micro- or "
            "nanoseconds"
        )
    # A number of another unit would come out in another century.
    sizes = np.abs(numbers.astype(np.float64))
    fits = (sizes < min(least * 1000, 2**63)) & (sizes == np.floor(sizes))
    wrong = np.flatnonzero(~fits)
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"{path.name}, row {number + row}: {numbers[row]} is no whole number of the unit of the first "
            f"stamp above it, {numbers[0]}; mend the file and import it again"
        )
    return np.asarray(numbers.astype(np.int64) * unit, dtype=np.int64)


def _hold(
    path: Path,
    held: _Held,
    stamps: IntArray,
    values: dict[str, FloatArray],
    timeframe: Timeframe,
    symbol: str,
) -> None:
    if not len(stamps):
        return
    before = stamps[0] - timeframe.nanoseconds if held.last is None else held.last
    steps = np.diff(stamps, prepend=before)
    wrong = np.flatnonzero(steps < timeframe.nanoseconds)
    if len(wrong):
        at = np.datetime64(int(stamps[wrong[0]]), "ns").astype("datetime64[s]")
        raise InputError(
            f"{path.name}: the bar of {symbol} that opens at {at} UTC is not {timeframe.value} or more after "
            "the one above it; sort them oldest first, without doubles"
        )
    held.pieces.append((stamps, values))
    held.rows += len(stamps)
    held.last = int(stamps[-1])


def _flush(
    lake: Lake,
    request: Request,
    path: Path,
    symbol: str,
    held: _Held,
    found: dict[SeriesKey, Appended],
    *,
    keep_last_month: bool,
) -> None:
    """Append what is held of an instrument; bars of a month that may go on can wait."""
    if not held.rows:
        return
    last_month = month_start(month_of(int(held.pieces[-1][0][-1])))
    if keep_last_month and held.pieces[0][0][0] >= last_month:
        return
    stamps = np.concatenate([piece for piece, _ in held.pieces])
    values = {name: np.concatenate([piece[name] for _, piece in held.pieces]) for name in BAR_VALUES}
    whole = BarSeries(stamps=stamps, **values)
    cut = int(np.searchsorted(stamps, last_month)) if keep_last_month else len(whole)
    key = SeriesKey(venue=request.venue, kind=SeriesKind.BARS, instrument=symbol, timeframe=request.timeframe)
    step = lake.append(key, whole.rows(0, cut), known_at=request.known_at, source=path.name, run=request.run)
    found[key] = found[key].plus(step) if key in found else step
    rest = whole.rows(cut, len(whole))
    held.pieces = [(rest.stamps, {name: getattr(rest, name) for name in BAR_VALUES})] if len(rest) else []
    held.rows = len(rest)
