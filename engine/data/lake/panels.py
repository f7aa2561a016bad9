"""Parts of several series -> one panel: files are decoded month by month, straight into its columns."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.data.lake.layout import folder
from engine.data.lake.parts import Part, damaged, decode, read_bytes, read_revisions
from engine.data.lake.withdrawing import withdrawn_stamps
from engine.data.series import BAR_VALUES, SeriesKey
from engine.domain.errors import InputError
from engine.domain.panel import FloatArray, Instrument, IntArray, Panel
from engine.domain.time import Calendar, Timeframe

_SLOTS_MAX = 200_000_000
"""A grid of more slots than this is not laid out: stamps are sorted instead."""


class NoBarsError(InputError):
    """A panel has no bar at all from its start to its end."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PinnedPart:
    """A part, and the whole hash of its file."""

    part: Part
    sha256: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """One series, or the time of it that belongs to one instrument.

    Attributes
    ----------
    parts
        In the order in which they were written.
    start, stop
        UTC nanoseconds of opens, from `start` up to, not including, `stop`; None: no bound.
    """

    key: SeriesKey
    parts: tuple[PinnedPart, ...]
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One instrument of a panel, and the series that tell of it one after the other."""

    instrument: Instrument
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """What a panel is made of.

    Attributes
    ----------
    market
        Series whose close is the field `market`; None where there is none.
    start, stop
        UTC nanoseconds of opens, from `start` up to, not including, `stop`; None: no bound.
    """

    name: str
    columns: tuple[Column, ...]
    market: Column | None
    timeframe: Timeframe
    calendar: Calendar
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Piece:
    """Rows of one part that belong to one column.

    Attributes
    ----------
    cut
        Of its rows, those that are between start and stop.
    stamps
        Shape (T,), of the rows of the cut.
    """

    column: int
    pinned: PinnedPart
    cut: slice | IntArray
    stamps: IntArray


def build(root: Path, source: Source) -> Panel:
    """Return the panel of some parts: instruments on the union of their stamps, NaN where one did not trade.

    An instrument that has no bar is not in it.

    Raises
    ------
    InputError
        If a file is not what was written, or there is no bar at all.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        source, axis, fields = _grid(root, source, BAR_VALUES, threads)
        market = None if source.market is None else _market(root, source, source.market, axis, threads)
    has_range = _has_range(fields)
    if not has_range:
        fields |= dict.fromkeys(("open", "high", "low"), fields["close"])
    # A panel copies what somebody else could still write to.
    for values in (axis, *fields.values()):
        values.flags.writeable = False
    return Panel(
        name=source.name,
        timestamps=axis,
        open=fields["open"],
        high=fields["high"],
        low=fields["low"],
        close=fields["close"],
        volume=fields["volume"],
        instruments=tuple(column.instrument for column in source.columns),
        timeframe=source.timeframe,
        calendar=source.calendar,
        has_range=has_range,
        synthetic=any(segment.key.is_synthetic for column in source.columns for segment in column.segments),
        fields={} if market is None else {"market": market},
    )


def grid(root: Path, source: Source, names: Sequence[str]) -> tuple[Source, IntArray, dict[str, FloatArray]]:
    """Return some fields of a panel as they were written, without the market.

    Returns
    -------
    tuple
        What is left of the source without the columns that have no bar; stamps, shape (T,); values by name,
        shape (T, N) each.

    Raises
    ------
    InputError
        As `build` does.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        return _grid(root, source, names, threads)


def bounds(start: int | None, stop: int | None, segment: Segment) -> tuple[int, int]:
    """Return from which stamp up to which one a segment tells of a panel with these bounds."""
    starts = [bound for bound in (start, segment.start) if bound is not None]
    stops = [bound for bound in (stop, segment.stop) if bound is not None]
    return max(starts, default=-(2**63)), min(stops, default=2**63 - 1)


def _grid(
    root: Path, source: Source, names: Sequence[str], threads: ThreadPoolExecutor
) -> tuple[Source, IntArray, dict[str, FloatArray]]:
    source, pieces = _with_bars(source, _pieces(root, source, source.columns, threads))
    axis, is_whole = _axis(root, source, pieces)
    shape = (len(axis), len(source.columns))
    fields: dict[str, FloatArray] = {
        name: np.empty(shape) if is_whole else np.full(shape, np.nan) for name in names
    }
    # By month, so that the rows that are written next to one another are still in the cache.
    ordered = sorted(pieces, key=lambda piece: (piece.pinned.part.month, piece.column))
    list(threads.map(lambda piece: _fill(root, piece, axis, fields), ordered))
    for number, column in enumerate(source.columns):
        _revise(root, source, column, axis, {name: values[:, number] for name, values in fields.items()})
    return source, axis, fields


def _pieces(
    root: Path, source: Source, columns: Sequence[Column], threads: ThreadPoolExecutor
) -> list[_Piece]:
    """Read the stamps of all parts, and compare their files with their hashes."""

    def piece(task: tuple[int, Segment, PinnedPart, IntArray]) -> _Piece:
        number, segment, pinned, gone = task
        payload = read_bytes(root, pinned.part, sha256_expected=pinned.sha256)
        stamps = decode(payload, ("stamp",))["stamp"]
        lower, upper = (
            int(np.searchsorted(stamps, bound)) for bound in bounds(source.start, source.stop, segment)
        )
        cut: slice | IntArray = slice(lower, upper)
        if len(gone):
            cut = lower + np.flatnonzero(~np.isin(stamps[lower:upper], gone))
        return _Piece(column=number, pinned=pinned, cut=cut, stamps=stamps[cut])

    tasks = [
        (number, segment, pinned, gone)
        for number, column in enumerate(columns)
        for segment in column.segments
        for gone in (withdrawn_stamps(root, [pinned.part for pinned in segment.parts]),)
        for pinned in segment.parts
        if pinned.part.is_rows
    ]
    return [piece for piece in threads.map(piece, tasks) if len(piece.stamps)]


def _with_bars(source: Source, pieces: Sequence[_Piece]) -> tuple[Source, list[_Piece]]:
    """Return what is left without the columns that have no bar."""
    kept = sorted({piece.column for piece in pieces})
    number_of = {column: number for number, column in enumerate(kept)}
    columns = tuple(source.columns[column] for column in kept)
    return replace(source, columns=columns), [
        replace(piece, column=number_of[piece.column]) for piece in pieces
    ]


def _axis(root: Path, source: Source, pieces: Sequence[_Piece]) -> tuple[IntArray, bool]:
    """Return the union of all stamps, and whether every column has a row at each of them."""
    if not pieces:
        raise NoBarsError(f"{source.name}: there is no bar in its series from its start to its end")
    step = source.timeframe.nanoseconds
    origin = min(int(piece.stamps[0]) for piece in pieces)
    n_slots = (max(int(piece.stamps[-1]) for piece in pieces) - origin) // step + 1
    rows = np.zeros(len(source.columns), dtype=np.int64)
    for piece in pieces:
        rows[piece.column] += len(piece.stamps)
    if n_slots <= _SLOTS_MAX and all(_is_on_grid(piece.stamps, origin, step) for piece in pieces):
        taken = np.zeros(n_slots, dtype=bool)
        own = np.zeros(n_slots, dtype=bool)
        for number, column in enumerate(source.columns):
            own[:] = False
            for piece in pieces:
                if piece.column == number:
                    own[(piece.stamps - origin) // step] = True
            _require_once(root, column, int(own.sum()), int(rows[number]))
            taken |= own
        axis = origin + np.flatnonzero(taken) * step
    else:
        of_columns = []
        for number, column in enumerate(source.columns):
            own_stamps = [piece.stamps for piece in pieces if piece.column == number]
            unique = np.unique(np.concatenate([*own_stamps, np.empty(0, dtype=np.int64)]))
            _require_once(root, column, len(unique), int(rows[number]))
            of_columns.append(unique)
        axis = np.unique(np.concatenate(of_columns))
    return axis, bool((rows == len(axis)).all())


def _is_on_grid(stamps: IntArray, origin: int, step: int) -> bool:
    return bool(((stamps - origin) % step == 0).all())


def _require_once(root: Path, column: Column, found: int, rows: int) -> None:
    if found != rows:
        raise damaged(root / folder(column.segments[-1].key), "a row stands there twice")


def _fill(root: Path, piece: _Piece, axis: IntArray, fields: dict[str, FloatArray]) -> None:
    assert piece.pinned.part.place is not None
    # The hash of these bytes was compared when their stamps were read.
    arrays = decode((root / piece.pinned.part.place).read_bytes(), tuple(fields))
    first = int(np.searchsorted(axis, piece.stamps[0]))
    last = first + len(piece.stamps)
    # Nearly always the rows of a part stand on the axis without a hole.
    is_run = last <= len(axis) and axis[last - 1] == piece.stamps[-1]
    at = slice(first, last) if is_run else np.searchsorted(axis, piece.stamps)
    for name, values in arrays.items():
        fields[name][at, piece.column] = values[piece.cut]


def _revise(
    root: Path, source: Source, column: Column, axis: IntArray, values: dict[str, FloatArray]
) -> None:
    """Write the revised values of a column into it, in the order in which they were learned."""
    for segment in column.segments:
        start, stop = bounds(source.start, source.stop, segment)
        for pinned in segment.parts:
            if pinned.part.is_rows:
                continue
            revisions = read_revisions(root, pinned.part)
            stamps, names = revisions.stamps, np.array(revisions.fields)
            at = np.minimum(np.searchsorted(axis, stamps), len(axis) - 1)
            inside = (axis[at] == stamps) & (stamps >= start) & (stamps < stop)
            for name, array in values.items():
                chosen = inside & (names == name)
                array[at[chosen]] = revisions.new[chosen]


def _market(
    root: Path, source: Source, market: Column, axis: IntArray, threads: ThreadPoolExecutor
) -> FloatArray:
    """Return the close of the market at each stamp, shape (T,); a level stands until the next one."""
    pieces = _pieces(root, source, (market,), threads)
    if not pieces:
        raise InputError(
            f"{source.name}: its market {market.segments[0].key} has no bar from its start to its end"
        )
    stamps = np.unique(np.concatenate([piece.stamps for piece in pieces]))
    closes = {name: np.full((len(stamps), 1), np.nan) for name in BAR_VALUES}
    for piece in pieces:
        _fill(root, piece, stamps, closes)
    _revise(root, source, market, stamps, {name: values[:, 0] for name, values in closes.items()})
    known = np.isfinite(closes["close"][:, 0])
    stamps, levels = stamps[known], closes["close"][known, 0]
    at = np.searchsorted(stamps, axis, side="right") - 1
    if not len(stamps) or at[0] < 0:
        raise InputError(
            f"{source.name}: its market {market.segments[0].key} begins after its first bar; "
            "freeze it with a later start"
        )
    found = levels[at]
    found.flags.writeable = False
    return np.asarray(found)


def _has_range(fields: dict[str, FloatArray]) -> bool:
    """Return whether every instrument has ranges; one that has closes only makes the set close-only."""
    closes, opens = fields["close"], fields["open"]
    # Column by column, since a mask of a whole panel of minutes is large.
    return all(
        np.isfinite(opens[:, column]).any() or not np.isfinite(closes[:, column]).any()
        for column in range(closes.shape[1])
    )
