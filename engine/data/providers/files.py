"""Bars of files on this machine, as a provider: the same port, so that the lake takes them the same way."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import Final

import numpy as np

from engine.data import ordering
from engine.data.columns import RANGE, Columns, recognise
from engine.data.findings import BoolArray, Finding, listing
from engine.data.providers.bars import between
from engine.data.providers.errors import ProviderCode, ProviderError, no_trades
from engine.data.providers.matrix import AssetClass, Capability, Purpose
from engine.data.providers.port import Page, RulesSeen
from engine.data.quality import Bars
from engine.data.reading import RawTable, find_files, numbers, read, symbol_from
from engine.data.series import BarSeries, TradeSeries
from engine.data.stamps import parse, zone_named
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import NANOSECONDS_PER_DAY, Timeframe

FILE_PREFIX: Final = "file:"

_SHOWN_PER_KIND = 5
_FOREVER_DAYS = 10**6


class Files:
    """CSV and Parquet files, one instrument each or with a column of symbols.

    Parameters
    ----------
    source
        What the files are called in the lake: the venue is `file:<source>`.
    timezone
        Of stamps that carry no offset; None where all do.

    Raises
    ------
    InputError
        If a path or the time zone cannot be used.
    """

    def __init__(self, source: str, paths: Sequence[Path], *, timezone: str | None = None) -> None:
        self._name = f"{FILE_PREFIX}{source}"
        self._files = find_files(paths)
        self._held: tuple[Path, RawTable, Columns] | None = None
        self._zone: tzinfo | None = zone_named(timezone) if timezone is not None else None

    @property
    def name(self) -> str:
        """`file:<source>`."""
        return self._name

    @property
    def capabilities(self) -> Capability:
        """Files hold what they hold: history of anything that trades."""
        return Capability(
            name=self._name,
            asset_classes=frozenset(AssetClass),
            history_days_max=_FOREVER_DAYS,
            needs_entitlement=False,
            purposes=frozenset({Purpose.HISTORY}),
            requests_per_second=1e9,
        )

    def close(self) -> None:
        """Do nothing: files are closed as soon as they are read."""

    def symbols(self) -> tuple[str, ...]:
        """Return the instruments that the files hold, in alphabetical order."""
        found: set[str] = set()
        for path in self._files:
            table, columns = self._table(path)
            if columns.symbol is None:
                found.add(symbol_from(path))
            else:
                found |= {str(cell).strip() for cell in table.cells[columns.symbol].unique()}
        return tuple(sorted(found))

    def fetch_bars(
        self, symbol: str, timeframe: Timeframe, start: int, stop: int
    ) -> Iterator[Page[BarSeries]]:
        """Yield bars that open from `start` up to, not including, `stop` (UTC nanoseconds), a page a file.

        Raises
        ------
        ProviderError
            INVALID_DATA, with file, row and value, if a file cannot be taken as it stands; UNKNOWN_SYMBOL if
            no file holds the instrument.
        """
        known = False
        for path in self._files:
            table, columns = self._table(path)
            rows = _rows_of(table, columns, symbol)
            if not rows.any():
                continue
            known = True
            bars = self._bars(symbol, table, columns, rows, timeframe)
            inside = between(bars, start, stop)
            if len(inside):
                end = int(inside.stamps[-1]) + timeframe.nanoseconds
                yield Page(payload=path.read_bytes(), series=inside, cursor=min(end, stop))
        if not known:
            raise self._missing(symbol)

    def fetch_time(self) -> int | None:
        """Return None: files have no clock."""
        return None

    def fetch_rules(self, symbol: str) -> RulesSeen | None:  # noqa: ARG002 - the form of the port
        """Return None: files hold bars."""
        return None

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        """Refuse: files hold bars.

        Raises
        ------
        ProviderError
            NOT_OFFERED.
        """
        raise no_trades(self._name, symbol, start, stop)

    def _table(self, path: Path) -> tuple[RawTable, Columns]:
        # One file may hold a thousand instruments, which are asked for one by one.
        if self._held is not None and self._held[0] == path:
            return self._held[1:]
        table, problems = read(path)
        if table is None:
            raise self._refused(problems)
        columns, problems = recognise(table.file, table.cells.columns)
        if columns is None:
            raise self._refused(problems)
        self._held = (path, table, columns)
        return table, columns

    def _bars(
        self, symbol: str, table: RawTable, columns: Columns, rows: BoolArray, timeframe: Timeframe
    ) -> BarSeries:
        cells = table.cells[rows].reset_index(drop=True)
        numbered = np.flatnonzero(rows) + 1
        written = cells[columns.stamp]
        if columns.clock is not None:
            written = written.astype(str).str.strip() + " " + cells[columns.clock].astype(str).str.strip()
        stamps, problems = parse(table.file, written, self._zone)
        values: dict[str, FloatArray] = {}
        for role in (*RANGE, "close", "volume"):
            name = getattr(columns, role)
            if name is not None:
                values[role], wrong = numbers(table.file, cells[name], role)
                problems += wrong
        if problems:
            raise self._refused([_at(problem, numbered) for problem in problems])
        opens = stamps.utc
        if timeframe is Timeframe.DAY_1:
            # A midnight of its own clock names a date, and dates are kept as midnights of UTC.
            is_date = stamps.wall_clock % NANOSECONDS_PER_DAY == 0
            opens = np.where(is_date, stamps.wall_clock, opens)
        close = values["close"]
        bars = Bars(symbol=symbol, file=table.file, rows=numbered, stamps=opens, close=close)
        problems = ordering.order_errors(bars, timeframe)
        if problems:
            raise self._refused(problems)
        return BarSeries(
            stamps=opens,
            open=values.get("open", close),
            high=values.get("high", close),
            low=values.get("low", close),
            close=close,
            volume=values.get("volume", np.full(close.shape, np.nan)),
        )

    def _missing(self, symbol: str) -> ProviderError:
        held = ", ".join(self.symbols()[:8])
        return ProviderError(
            ProviderCode.UNKNOWN_SYMBOL, self._name, f"no file holds {symbol!r}; they hold {held}"
        )

    def _refused(self, problems: Sequence[Finding]) -> ProviderError:
        return ProviderError(
            ProviderCode.INVALID_DATA, self._name, "\n".join(listing(problems, _SHOWN_PER_KIND))
        )


def _rows_of(table: RawTable, columns: Columns, symbol: str) -> BoolArray:
    """Return which rows of a file are of an instrument, shape (T,)."""
    if columns.symbol is None:
        return np.full(len(table.cells), symbol_from(table.path) == symbol)
    return np.asarray(table.cells[columns.symbol].astype(str).str.strip() == symbol, dtype=np.bool_)


def _at(problem: Finding, rows: IntArray) -> Finding:
    """Return a finding about a part of a file with its row in the whole of it."""
    return replace(problem, row=int(rows[problem.row - 1])) if problem.row else problem
