"""Files of a stranger -> a checked data set, or every reason why not."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path

import numpy as np

from engine.data import catalogue, quality, store, validity
from engine.data.audit.marks import subset
from engine.data.audit.report import audit
from engine.data.calendars import session_labels
from engine.data.columns import RANGE, Columns, recognise
from engine.data.findings import Finding, Kind, capped, counts, listing, positions
from engine.data.manifest import Manifest, Origin, describe
from engine.data.ordering import grid_errors, order_errors
from engine.data.packaged import PACKAGED
from engine.data.quality import Bars
from engine.data.reading import RawTable, find_files, numbers, read, symbol_from
from engine.data.stamps import parse, zone_named
from engine.data.venues import groups, joined
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, FloatArray, Instrument, IntArray, Panel
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe
from engine.domain.venue import CalendarPolicy

STORED_PER_KIND = 100
"""Warnings of one kind that a manifest keeps; how many there were is kept as well."""

SHOWN_PER_KIND = 20
"""Errors of one kind that a refusal names; the rest is counted."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAYS_TO_INFER = 10


class ImportRefusedError(InputError):
    """Files have errors. Carries every one of them."""

    def __init__(self, name: str, findings: Sequence[Finding]) -> None:
        self.name = name
        self.findings = tuple(findings)
        lines = listing(self.findings, SHOWN_PER_KIND)
        super().__init__("\n".join([f"{name} was not imported, nothing was written", *lines]))


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `engine data import` was asked for.

    Attributes
    ----------
    timezone
        Of stamps that carry no offset; None where none was stated.
    calendar
        None: taken from whether bars fall on weekends.
    calendar_policy
        What becomes of instruments that keep different calendars.
    adjustment
        What was done to the prices. None: as traded, or, if there is a column of adjusted closes, all prices
        of a row are brought to it and the set is `total_return`.
    replace
        Whether a data set of the same name may be replaced.
    """

    name: str
    paths: tuple[Path, ...]
    timeframe: Timeframe
    timezone: str | None = None
    calendar: Calendar | None = None
    calendar_policy: CalendarPolicy = CalendarPolicy.REFUSE
    adjustment: Adjustment | None = None
    replace: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """Bars of one instrument as read, and what is needed to finish them."""

    bars: Bars
    wall_clock: IntArray
    adjusted_close: FloatArray | None


def import_files(request: Request) -> tuple[Manifest, Path]:
    """Import files as a data set, and return its manifest and its folder.

    Raises
    ------
    InputError
        If the name, a path or the time zone cannot be used, or calendars differ and the policy refuses that.
    ImportRefusedError
        If the files have errors; then nothing is written.
    """
    _check_name(request)
    zone = zone_named(request.timezone) if request.timezone is not None else None
    files = find_files(request.paths)
    parts, findings = _read_all(files, zone)
    calendar = request.calendar or _inferred_calendar(parts)
    parts = [_on_sessions(part, request.timeframe, calendar) for part in parts]
    for part in parts:
        findings += order_errors(part.bars, request.timeframe)
        findings += quality.errors(part.bars)
    findings += _duplicate_instruments(parts)
    if not findings:
        findings += grid_errors([part.bars for part in parts], request.timeframe)
    if findings:
        raise ImportRefusedError(request.name, _in_file_order(findings, files))
    parts = sorted((_adjusted(part, request.adjustment) for part in parts), key=lambda part: part.bars.symbol)
    panel = _panel(request, calendar, parts)
    of_groups = groups(panel, request.calendar_policy)
    if of_groups:
        panel = joined(panel, of_groups)
        parts = [
            replace(part, bars=subset(part.bars, np.isin(part.bars.stamps, panel.timestamps)))
            for part in parts
        ]
    audited = audit((part.bars for part in parts), request.timeframe, calendar, name=request.name)
    warnings = audited.findings()
    manifest = describe(
        panel,
        origin=Origin.IMPORTED,
        source=_source(files),
        warnings=capped(warnings, STORED_PER_KIND),
        warning_counts=counts(warnings),
        notes=_notes(request, calendar, parts),
        quality=validity.verdict(audited),
    )
    return manifest, store.write(panel, manifest)


def _check_name(request: Request) -> None:
    name = request.name
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a data set: use up to 64 letters, digits, '-', '_' or '.'"
        )
    if name.lower() in PACKAGED:
        raise InputError(
            f"{name} is the name of a packaged sample; choose another one, e.g. my-{name.lower()}"
        )
    frozen = [known for known in catalogue.lake_names() if known.lower() == name.lower()]
    if frozen:
        raise InputError(f"{frozen[0]} is the name of a data set of the lake; choose another one")
    # Some file systems do not tell upper from lower case.
    same = [known for known in store.names() if known.lower() == name.lower()]
    if same and not (request.replace and same == [name]):
        raise InputError(
            f"a data set {same[0]} exists already; choose another name, or add --replace to import over it"
        )


def _read_all(files: Sequence[Path], zone: tzinfo | None) -> tuple[list[_Part], list[Finding]]:
    parts: list[_Part] = []
    findings: list[Finding] = []
    for path in files:
        table, problems = read(path)
        findings += problems
        if table is None:
            continue
        columns, problems = recognise(table.file, table.cells.columns)
        findings += problems
        if columns is None:
            continue
        of_file, problems = _parts_of(table, columns, zone)
        findings += problems
        parts += of_file
    return parts, findings


def _parts_of(table: RawTable, columns: Columns, zone: tzinfo | None) -> tuple[list[_Part], list[Finding]]:
    cells = table.cells
    written = cells[columns.stamp]
    if columns.clock is not None:
        written = written.astype(str).str.strip() + " " + cells[columns.clock].astype(str).str.strip()
    stamps, findings = parse(table.file, written, zone)
    values: dict[str, FloatArray] = {}
    for role in (*RANGE, "close", "volume", "adjusted_close"):
        name = getattr(columns, role)
        if name is None:
            continue
        values[role], problems = numbers(table.file, cells[name], name)
        findings += problems
    symbols, problems = _symbols(table, columns)
    findings += problems
    parts = []
    for symbol in dict.fromkeys(symbols):
        if not symbol:
            continue
        at = np.flatnonzero((symbols == symbol) & stamps.valid)
        if len(at) == 0:
            continue
        bars = Bars(
            symbol=symbol,
            file=table.file,
            rows=at + 1,
            stamps=stamps.utc[at],
            close=values["close"][at],
            open=values["open"][at] if columns.has_range else None,
            high=values["high"][at] if columns.has_range else None,
            low=values["low"][at] if columns.has_range else None,
            volume=values["volume"][at] if "volume" in values else None,
        )
        adjusted = values["adjusted_close"][at] if "adjusted_close" in values else None
        parts.append(_Part(bars=bars, wall_clock=stamps.wall_clock[at], adjusted_close=adjusted))
        if adjusted is not None:
            findings += [
                bars.finding(
                    Kind.PRICE_NOT_POSITIVE,
                    row,
                    str(adjusted[row]),
                    f"{columns.adjusted_close} must be greater than 0",
                )
                for row in positions(adjusted <= 0)
            ]
    return parts, findings


def _symbols(table: RawTable, columns: Columns) -> tuple[np.ndarray, list[Finding]]:
    if columns.symbol is None:
        return np.full(len(table.cells), symbol_from(table.path), dtype=object), []
    column = table.cells[columns.symbol]
    symbols = np.where(column.isna(), "", column.astype(str).str.strip()).astype(object)
    return symbols, [
        Finding(
            kind=Kind.EMPTY_CELL,
            file=table.file,
            row=row + 1,
            value="",
            message=f"{columns.symbol} is empty; every row needs its instrument",
        )
        for row in positions(symbols == "")
    ]


def _inferred_calendar(parts: Iterable[_Part]) -> Calendar:
    clocks = [part.wall_clock for part in parts]
    if not clocks:
        return Calendar.ALWAYS
    days = np.unique(np.concatenate(clocks) // NANOSECONDS_PER_DAY)
    # Day 0 of the epoch was a Thursday.
    weekend = (days + 3) % 7 >= 5
    return Calendar.XNYS if len(days) >= _DAYS_TO_INFER and not weekend.any() else Calendar.ALWAYS


def _on_sessions(part: _Part, timeframe: Timeframe, calendar: Calendar) -> _Part:
    """Return a part whose daily bars are stamped with the midnight (UTC) of their session."""
    if timeframe is not Timeframe.DAY_1 or calendar is Calendar.ALWAYS:
        return part
    labels = session_labels(calendar, part.bars.stamps, part.wall_clock)
    return replace(part, bars=replace(part.bars, stamps=labels))


def _duplicate_instruments(parts: Sequence[_Part]) -> list[Finding]:
    seen: dict[str, str] = {}
    found = []
    for part in parts:
        symbol, file = part.bars.symbol, part.bars.file
        if symbol in seen:
            message = f"{symbol} is in {seen[symbol]} already; one data set has an instrument once"
            found.append(
                Finding(
                    kind=Kind.DUPLICATE_INSTRUMENT,
                    file=file,
                    row=0,
                    value=symbol,
                    message=message,
                    instrument=symbol,
                )
            )
        seen.setdefault(symbol, file)
    return found


def _adjusted(part: _Part, stated: Adjustment | None) -> _Part:
    """Return a part whose prices are brought to its adjusted close; volume is divided by the factor."""
    bars = part.bars
    if part.adjusted_close is None or stated is Adjustment.NONE:
        return replace(part, bars=_snapped(bars))
    factor = part.adjusted_close / bars.close
    # Close x factor, not the adjusted close itself, which can differ in its last bit and leave the range.
    return replace(
        part,
        bars=_snapped(
            replace(
                bars,
                close=bars.close * factor,
                open=None if bars.open is None else bars.open * factor,
                high=None if bars.high is None else bars.high * factor,
                low=None if bars.low is None else bars.low * factor,
                volume=None if bars.volume is None else bars.volume / factor,
            )
        ),
    )


def _snapped(bars: Bars) -> Bars:
    """Return bars whose range holds open and close exactly, where rounding had left them outside."""
    if bars.open is None or bars.high is None or bars.low is None:
        return bars
    return replace(
        bars,
        high=np.maximum(bars.high, np.maximum(bars.open, bars.close)),
        low=np.minimum(bars.low, np.minimum(bars.open, bars.close)),
    )


def _panel(request: Request, calendar: Calendar, parts: Sequence[_Part]) -> Panel:
    """Put instruments on the union of their stamps, NaN where one did not trade."""
    stamps = np.unique(np.concatenate([part.bars.stamps for part in parts]))
    # One instrument with closes only makes the set close-only: its highs would be made up.
    has_range = all(part.bars.open is not None for part in parts)
    shape = (len(stamps), len(parts))
    grid = {name: np.full(shape, np.nan) for name in (*RANGE, "close", "volume")}
    for column, part in enumerate(parts):
        at = np.searchsorted(stamps, part.bars.stamps)
        for name, values in grid.items():
            given = getattr(part.bars, name if has_range or name == "volume" else "close")
            if given is not None:
                values[at, column] = given
    return Panel(
        name=request.name,
        timestamps=stamps,
        open=grid["open"],
        high=grid["high"],
        low=grid["low"],
        close=grid["close"],
        volume=grid["volume"],
        instruments=tuple(Instrument(symbol=part.bars.symbol) for part in parts),
        timeframe=request.timeframe,
        calendar=calendar,
        adjustment=_adjustment(request, parts),
        has_range=has_range,
    )


def _adjustment(request: Request, parts: Sequence[_Part]) -> Adjustment:
    if request.adjustment is not None:
        return request.adjustment
    adjusted = any(part.adjusted_close is not None for part in parts)
    return Adjustment.TOTAL_RETURN if adjusted else Adjustment.NONE


def _notes(request: Request, calendar: Calendar, parts: Sequence[_Part]) -> tuple[str, ...]:
    notes = []
    if request.calendar is None:
        why = (
            "no bar falls on a weekend" if calendar is Calendar.XNYS else "bars fall on weekends, or are few"
        )
        notes.append(
            f"Calendar not stated, taken as {calendar.value} because {why}. State it with --calendar."
        )
    with_adjusted = [part.bars.symbol for part in parts if part.adjusted_close is not None]
    if with_adjusted and request.adjustment is Adjustment.NONE:
        notes.append("The adjusted closes were not used.")
    elif with_adjusted:
        notes.append(
            "Every price is multiplied by adjusted close / close of its row, volume is divided by it."
        )
        if len(with_adjusted) < len(parts):
            others = [part.bars.symbol for part in parts if part.adjusted_close is None]
            notes.append(f"No adjusted close, prices as they came: {', '.join(others)}.")
    if any(part.bars.open is None for part in parts):
        notes.append("Closes only: orders fill at the next close, stop and limit orders are refused.")
    without_volume = [part.bars.symbol for part in parts if part.bars.volume is None]
    if without_volume:
        notes.append(f"No volume: {', '.join(without_volume)}. Their fills are not limited by participation.")
    return tuple(notes)


def _source(files: Sequence[Path]) -> str:
    # Names only: a folder of somebody's machine does not belong into a manifest.
    names = [path.name for path in files]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more files" if len(names) > 5 else "")


def _in_file_order(findings: Iterable[Finding], files: Sequence[Path]) -> list[Finding]:
    order = {path.name: position for position, path in enumerate(files)}
    kinds = list(Kind)
    return sorted(findings, key=lambda found: (kinds.index(found.kind), order.get(found.file, 0), found.row))
