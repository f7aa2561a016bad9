"""One part: an immutable Parquet file that says in its footer what it is, when it was learned and from whom.

The name of a part holds the hash of its bytes. Parts of a series are numbered, and each names the one before
it, so a part that is gone shows. All of the rows of a part were learned at one moment. A part that repeats
others, `merged-<hash>.parquet`, stands beside them and is read in their place.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.data.lake.changes import Revisions
from engine.data.lake.files import sha256
from engine.data.lake.layout import correction_folder, folder, month_name
from engine.data.lake.rows import NUMBERED, Rows, value_names
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.time import Timeframe

_FORMAT = 1
_FOOTER = b"gauntlet"
_PREFIX = "part-"
_PREFIX_MERGED = "merged-"
_SUFFIX = ".parquet"
_HASH_CHARACTERS = 16
_FLAG = "buyer_is_taker"


class Arrival(StrEnum):
    """How the rows of a part came."""

    NEW = "new"
    LATE = "late"
    REVISED = "revised"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the footer of a part says.

    Attributes
    ----------
    place
        Of the file, relative to the lake; None before it has one.
    sequence, previous
        Number in its series counted from 1, and the hash in the name of the part before it, empty for the
        first.
    known_at
        UTC nanoseconds at which its rows were learned.
    source, run
        Who gave them, and which ingestion run took them.
    month
        Of its rows, counted from January 1970.
    rows
        How many lines: rows, or single revised values.
    first, last
        UTC nanoseconds of its first and last row.
    repeats
        Hashes in the names of the parts whose rows it repeats, in their order; empty for a part of its own.
        Its number and its moment are then those of the last of them.
    """

    key: SeriesKey
    arrival: Arrival
    sequence: int
    previous: str
    known_at: int
    source: str
    run: str
    month: int
    rows: int
    first: int
    last: int
    first_id: int
    last_id: int
    repeats: tuple[str, ...] = ()
    place: Path | None = None
    size: int = 0

    @cached_property
    def name_hash(self) -> str:
        """The hash in the name of the file."""
        assert self.place is not None
        return self.place.stem.rpartition("-")[2]

    @property
    def chain_hash(self) -> str:
        """The hash that the next part of the series names."""
        return self.repeats[-1] if self.repeats else self.name_hash

    @property
    def is_rows(self) -> bool:
        """Whether it holds rows, and not revised values."""
        return self.arrival not in (Arrival.REVISED, Arrival.WITHDRAWN)


def is_part_name(name: str) -> bool:
    """Return whether a file is called as a part is that repeats no others."""
    return _is_named(name, _PREFIX)


def is_merged_name(name: str) -> bool:
    """Return whether a file is called as a part is that repeats others."""
    return _is_named(name, _PREFIX_MERGED)


def repeated(part: Part) -> list[Path]:
    """Return the places of the parts that a part repeats."""
    assert part.place is not None
    return [part.place.parent / f"{_PREFIX}{name_hash}{_SUFFIX}" for name_hash in part.repeats]


def _is_named(name: str, prefix: str) -> bool:
    middle = name.removeprefix(prefix).removesuffix(_SUFFIX)
    return (
        name == f"{prefix}{middle}{_SUFFIX}"
        and len(middle) == _HASH_CHARACTERS
        and set(middle) <= set("0123456789abcdef")
    )


def encode_rows(part: Part, rows: Rows) -> tuple[Part, bytes]:
    """Return a part with its place, and the bytes of its file."""
    columns: dict[str, pa.Array] = {"stamp": pa.array(rows.stamps)}
    if part.key.kind in NUMBERED:
        columns["id"] = pa.array(rows.ids)
    for name in value_names(part.key):
        values = rows.values[name]
        columns[name] = pa.array(values != 0 if name == _FLAG else values)
    return _encode(part, columns)


def encode_revisions(part: Part, revisions: Revisions) -> tuple[Part, bytes]:
    """Return a part with its place, and the bytes of its file: one line for each revised value."""
    columns = {
        "stamp": pa.array(revisions.stamps),
        "id": pa.array(revisions.ids),
        "field": pa.array(revisions.fields, type=pa.string()),
        "old": pa.array(revisions.old),
        "new": pa.array(revisions.new),
    }
    return _encode(part, columns)


def read_part(root: Path, place: Path) -> Part:
    """Return what the footer of a part says, without reading its rows.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a part of the series in whose folder it lies.
    """
    path = root / place
    try:
        size = path.stat().st_size
        footer = pq.read_metadata(path, memory_map=True).metadata
        part = _from_footer(place, size, json.loads(footer[_FOOTER]))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as wrong:
        raise damaged(path, f"its footer cannot be read ({type(wrong).__name__}: {wrong})") from wrong
    if place.parent != _folder_of(part):
        raise damaged(path, f"its footer says that it belongs into {_folder_of(part)}")
    return part


def read_bytes(root: Path, part: Part, *, sha256_expected: str | None = None) -> bytes:
    """Return the bytes of a part, after comparing them with the hash in its name.

    Raises
    ------
    InputError
        If the file cannot be read, or is not what was written.
    """
    assert part.place is not None
    path = root / part.place
    try:
        payload = path.read_bytes()
    except OSError as wrong:
        raise damaged(path, f"cannot be read ({wrong})") from wrong
    found = sha256(payload)
    if not found.startswith(part.name_hash) or sha256_expected not in (None, found):
        expected = sha256_expected or part.name_hash
        raise damaged(path, f"its bytes have the hash {found[:16]}, expected {expected[:16]}")
    return payload


def decode(payload: bytes, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return columns of a part; flags become 0 and 1, text becomes objects."""
    with pq.ParquetFile(pa.BufferReader(payload)) as file:
        table = file.read(columns=list(names), use_threads=False)
    arrays = {}
    for name in names:
        column = table.column(name)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        arrays[name] = column.to_numpy()
    return arrays


def read_rows(root: Path, part: Part) -> Rows:
    """Return the rows of a part.

    Raises
    ------
    InputError
        If the file is not what was written.
    """
    payload = read_bytes(root, part)
    has_ids = part.key.kind in NUMBERED
    names = value_names(part.key)
    arrays = decode(payload, ("stamp", *(("id",) if has_ids else ()), *names))
    return Rows(
        stamps=arrays["stamp"],
        ids=arrays["id"] if has_ids else np.zeros(len(arrays["stamp"]), dtype=np.int64),
        values={name: np.asarray(arrays[name], dtype=np.float64) for name in names},
    )


def read_revisions(root: Path, part: Part) -> Revisions:
    """Return the revised values of a part.

    Raises
    ------
    InputError
        If the file is not what was written.
    """
    arrays = decode(read_bytes(root, part), ("stamp", "id", "field", "old", "new"))
    return Revisions(
        stamps=arrays["stamp"],
        ids=arrays["id"],
        fields=tuple(str(field) for field in arrays["field"]),
        old=arrays["old"],
        new=arrays["new"],
    )


def damaged(path: Path, what: str) -> InputError:
    """Return the error about a file that is not what was written."""
    return InputError(
        f"{path} is damaged: {what}. Files of the lake never change: restore this one from a copy, "
        "and see all that is wrong with: engine data verify"
    )


def _encode(part: Part, columns: dict[str, pa.Array]) -> tuple[Part, bytes]:
    rows = part.rows
    floats = [name for name, values in columns.items() if pa.types.is_floating(values.type)]
    integers = [name for name, values in columns.items() if pa.types.is_integer(values.type)]
    # One value for the whole file, for whoever reads it by other means: it takes no space.
    constant = {
        "known_at": pa.repeat(pa.scalar(part.known_at, pa.int64()), rows),
        "source": pa.repeat(part.source, rows),
        "run": pa.repeat(part.run, rows),
    }
    table = pa.table(columns | constant)
    stream = pa.BufferOutputStream()
    # Prices repeat too seldom for dictionaries; their bytes, sorted by significance, compress well and are
    # read several times faster.
    with pq.ParquetWriter(
        stream,
        table.schema,
        compression="lz4",
        use_dictionary=[*constant, *(("field",) if "field" in columns else ())],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
        | dict.fromkeys(integers, "DELTA_BINARY_PACKED"),
        store_schema=False,
    ) as writer:
        writer.write_table(table, row_group_size=rows)
        writer.add_key_value_metadata({_FOOTER.decode(): json.dumps(_footer(part))})
    payload = stream.getvalue().to_pybytes()
    prefix = _PREFIX_MERGED if part.repeats else _PREFIX
    name = f"{prefix}{sha256(payload)[:_HASH_CHARACTERS]}{_SUFFIX}"
    return replace(part, place=_folder_of(part) / name, size=len(payload)), payload


def _folder_of(part: Part) -> Path:
    above = folder(part.key) if part.is_rows else correction_folder(part.key)
    return above / month_name(part.month)


def _footer(part: Part) -> dict[str, object]:
    key = part.key
    return {
        "format": _FORMAT,
        "venue": key.venue,
        "kind": key.kind.value,
        "instrument": key.instrument,
        "timeframe": None if key.timeframe is None else key.timeframe.value,
        "arrival": part.arrival.value,
        "sequence": part.sequence,
        "previous": part.previous,
        "known_at": part.known_at,
        "source": part.source,
        "run": part.run,
        "month": part.month,
        "rows": part.rows,
        "first": part.first,
        "last": part.last,
        "first_id": part.first_id,
        "last_id": part.last_id,
    } | ({"repeats": list(part.repeats)} if part.repeats else {})


def _from_footer(place: Path, size: int, document: dict[str, Any]) -> Part:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']}, this version reads {_FORMAT}")
    timeframe = document["timeframe"]
    numbers = {
        name: int(str(document[name]))
        for name in ("sequence", "known_at", "month", "rows", "first", "last", "first_id", "last_id")
    }
    return Part(
        key=SeriesKey(
            venue=str(document["venue"]),
            kind=SeriesKind(str(document["kind"])),
            instrument=str(document["instrument"]),
            timeframe=None if timeframe is None else Timeframe(str(timeframe)),
        ),
        arrival=Arrival(str(document["arrival"])),
        previous=str(document["previous"]),
        source=str(document["source"]),
        run=str(document["run"]),
        repeats=tuple(document.get("repeats", ())),
        place=place,
        size=size,
        **numbers,
    )
