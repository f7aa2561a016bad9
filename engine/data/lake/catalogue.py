"""`catalogue.duckdb`: what the lake holds, for questions in SQL. Made from the files, it can be deleted.

Tables: `parts`, `data_sets`, `data_set_files`. Views: `bars`, `trades`, `quotes` and `book` with the latest
value of each field, and `revisions`. Nothing that the lake itself does depends on it. It may be behind the
files, and is brought up to date when it is opened.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from engine.data.lake import files, layout, versions
from engine.data.lake.parts import Arrival, Part
from engine.data.lake.problems import Problem, ProblemKind
from engine.data.lake.rows import NUMBERED, VALUES
from engine.data.series import SeriesKind
from engine.domain.errors import InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAME = "catalogue.duckdb"

_REBUILD = "delete it, the next one who opens it makes it again from the files"

_PARTS = pa.schema(
    [
        ("place", pa.string()),
        ("venue", pa.string()),
        ("kind", pa.string()),
        ("instrument", pa.string()),
        ("timeframe", pa.string()),
        ("arrival", pa.string()),
        ("sequence", pa.int64()),
        ("known_at", pa.int64()),
        ("source", pa.string()),
        ("run", pa.string()),
        ("rows", pa.int64()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("size", pa.int64()),
    ]
)
_SETS = pa.schema(
    [
        ("name", pa.string()),
        ("version", pa.int64()),
        ("as_of", pa.int64()),
        ("content_hash", pa.string()),
        ("rows", pa.int64()),
        ("instruments", pa.int64()),
        ("first", pa.int64()),
        ("last", pa.int64()),
    ]
)
_SET_FILES = pa.schema(
    [("name", pa.string()), ("version", pa.int64()), ("place", pa.string()), ("sha256", pa.string())]
)


def build(root: Path, parts: Sequence[Part]) -> None:
    """Make the catalogue anew from the parts of the lake and its data sets, and put it in its place.

    Whoever still reads the old one goes on reading it.

    Raises
    ------
    InputError
        If the disk refuses, or the file of a data set is not what was written.
    """
    import duckdb

    frozen = versions.every(root)
    tables = {
        "parts": pa.Table.from_pylist([_line(part) for part in parts], schema=_PARTS),
        "data_sets": pa.Table.from_pylist(
            [
                {
                    "name": each.name,
                    "version": each.version,
                    "as_of": each.as_of,
                    "content_hash": each.content_hash,
                    "rows": each.manifest.rows,
                    "instruments": len(each.instruments),
                    "first": each.manifest.first,
                    "last": each.manifest.last,
                }
                for each in frozen
            ],
            schema=_SETS,
        ),
        "data_set_files": pa.Table.from_pylist(
            [
                {"name": each.name, "version": each.version, "place": file.place, "sha256": file.sha256}
                for each in frozen
                for file in each.files
            ],
            schema=_SET_FILES,
        ),
    }
    with files.writing(root):
        temporary = root / files.STAGING / f"{os.getpid()}-{NAME}"
        try:
            with duckdb.connect(str(temporary)) as connection:
                for name, table in tables.items():
                    connection.register("given", table)
                    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
                    connection.unregister("given")
                for statement in _views(root, parts):
                    connection.execute(statement)
                connection.execute("CHECKPOINT")
        except (duckdb.IOException, duckdb.FatalException) as refused:
            raise InputError(
                f"{root / NAME}: cannot be written ({refused}); the lake itself is whole, free some space"
            ) from refused
        files.adopt(temporary, root / NAME)


def connect(root: Path) -> "DuckDBPyConnection":
    """Return a connection that reads the catalogue as it stands.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    import duckdb

    try:
        return duckdb.connect(str(root / NAME), read_only=True)
    except duckdb.Error as wrong:
        raise InputError(f"{root / NAME}: cannot be read ({wrong}); {_REBUILD}") from wrong


def is_current(root: Path, parts: Sequence[Part]) -> bool:
    """Return whether the catalogue tells of exactly these parts, and of the data sets that there are."""
    if not (root / NAME).exists():
        return False
    with connect(root) as connection:
        known = {place for (place,) in connection.execute("SELECT place FROM parts").fetchall()}
        sets = set(connection.execute("SELECT name, version FROM data_sets").fetchall())
    there = {(name, number) for name in versions.names(root) for number in versions.numbers(root, name)}
    return known == {str(part.place) for part in parts} and sets == there


def problems(root: Path, parts: Sequence[Part]) -> list[Problem]:
    """Return where the catalogue contradicts the files. What it does not know yet is no contradiction.

    A file that it tells of and that is not there is lost, whatever else is consistent.
    """
    if not (root / NAME).exists():
        return []
    try:
        with connect(root) as connection:
            lines = connection.execute(
                f"SELECT {', '.join(_quoted(name) for name in _PARTS.names)} FROM parts ORDER BY place"
            ).fetchall()
            sets = connection.execute("SELECT name, version FROM data_sets ORDER BY name, version").fetchall()
    except InputError as wrong:
        return [Problem(kind=ProblemKind.CATALOGUE, path=NAME, message=str(wrong))]
    there = {str(part.place): tuple(_line(part).values()) for part in parts}
    found = []
    for line in lines:
        place = line[0]
        if place in there:
            if line != there[place]:
                message = f"says of {place} what its footer does not say; {_REBUILD}"
                found.append(Problem(kind=ProblemKind.CATALOGUE, path=NAME, message=message))
        elif not (root / place).exists():
            message = "the catalogue tells of it, and it is gone; restore it from a copy"
            found.append(Problem(kind=ProblemKind.MISSING, path=place, message=message))
    for name, number in sets:
        path = Path(versions.FOLDER) / name / f"{number}.json"
        if not (root / path).exists():
            message = "the catalogue tells of it, and it is gone; restore it from a copy"
            found.append(Problem(kind=ProblemKind.MISSING, path=str(path), message=message))
    return found


def _line(part: Part) -> dict[str, object]:
    key = part.key
    return {
        "place": str(part.place),
        "venue": key.venue,
        "kind": key.kind.value,
        "instrument": key.instrument,
        "timeframe": None if key.timeframe is None else key.timeframe.value,
        "arrival": part.arrival.value,
        "sequence": part.sequence,
        "known_at": part.known_at,
        "source": part.source,
        "run": part.run,
        "rows": part.rows,
        "first": part.first,
        "last": part.last,
        "size": part.size,
    }


def _views(root: Path, parts: Sequence[Part]) -> list[str]:
    """Return the statements that make the views. A view of files that are not there yet has no lines."""
    statements = [_revisions_view(root, parts)]
    return statements + [_rows_view(root, kind, values, parts) for kind, values in VALUES.items()]


def _revisions_view(root: Path, parts: Sequence[Part]) -> str:
    columns = "p.venue, p.kind, p.timeframe, p.instrument, r.stamp, r.id, r.field, r.old, r.new"
    if any(not part.is_rows for part in parts):
        return (
            f"CREATE VIEW revisions AS SELECT {columns}, r.known_at, r.source, r.run, p.sequence "
            f"FROM {_files(root, layout.CORRECTIONS)} r JOIN parts p ON p.place = {_place(root, 'r')}"
        )
    nothing = (
        "SELECT 0::BIGINT stamp, 0::BIGINT id, '' field, 0::DOUBLE AS old, 0::DOUBLE AS new, "
        "0::BIGINT known_at, '' source, '' run"
    )
    return (
        f"CREATE VIEW revisions AS SELECT {columns}, r.known_at, r.source, r.run, p.sequence "
        f"FROM ({nothing}) r JOIN parts p ON false"
    )


def _rows_view(root: Path, kind: SeriesKind, values: Sequence[str], parts: Sequence[Part]) -> str:
    """Return the view of one kind: each value is the last revision of it, or else what first came."""
    is_bars, is_numbered = kind is SeriesKind.BARS, kind in NUMBERED
    number = "b.id" if is_numbered else "0::BIGINT"
    chosen = ", ".join(f"coalesce(v.{name}, b.{name}::DOUBLE) AS {name}" for name in values)
    latest = ", ".join(f"max_by(new, sequence) FILTER (field = '{name}') AS {name}" for name in values)
    if any(part.is_rows and part.key.kind is kind for part in parts):
        rows = f"{_files(root, kind.value)} b JOIN parts p ON p.place = {_place(root, 'b')}"
    else:
        none = ", ".join(f"0::DOUBLE AS {name}" for name in values)
        rows = f"(SELECT 0::BIGINT stamp, 0::BIGINT id, {none}) b JOIN parts p ON false"
    # What was withdrawn has no value left.
    gone = " AND ".join(f"isnan({name})" for name in values)
    return (
        f"CREATE VIEW {kind.value} AS SELECT * FROM "
        f"(SELECT p.venue, {'p.timeframe, ' if is_bars else ''}p.instrument, "
        f"make_timestamp_ns(b.stamp) AS opens, b.stamp, {'b.id, ' if is_numbered else ''}{chosen}, "
        f"p.arrival = '{Arrival.LATE.value}' AS is_late, p.known_at, p.source, p.run FROM {rows} "
        f"LEFT JOIN (SELECT venue, timeframe, instrument, stamp, id, {latest} FROM revisions "
        f"WHERE kind = '{kind.value}' GROUP BY ALL) v "
        "ON v.venue = p.venue AND v.instrument = p.instrument "
        "AND v.timeframe IS NOT DISTINCT FROM p.timeframe "
        f"AND v.stamp = b.stamp AND v.id = {number}) WHERE NOT ({gone})"
    )


def _files(root: Path, folder: str) -> str:
    return f"read_parquet({_text(f'{root.resolve()}/{folder}/**/part-*.parquet')}, filename = true)"


def _place(root: Path, table: str) -> str:
    return f"substr({table}.filename, {len(str(root.resolve())) + 2})"


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def _quoted(name: str) -> str:
    return f'"{name}"'
