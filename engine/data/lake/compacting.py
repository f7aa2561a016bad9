"""Many small parts of a month -> one that repeats their rows. A reader opens one file; nothing is taken away.

A look every half hour leaves a part each time. What was known at an earlier moment, and what older data sets
name, is still read from the parts themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.data.lake.growth import ROWS_PER_PART_MAX
from engine.data.lake.parts import Arrival, Part, encode_rows, read_rows
from engine.data.lake.rows import joined

SMALL_PARTS_MAX = 64
"""So many parts of the month that still grows may stay: each merger of it is kept as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a compaction did: series, and how many parts a reader of all opened before it and opens now."""

    series: int
    before: int
    after: int


def mergers(root: Path, parts: Sequence[Part]) -> Iterator[tuple[Part, bytes]]:
    """Yield the parts that repeat small ones of a series, each with the bytes of its file.

    Rows that came late and values that were revised stay as they are: they are evidence.

    Parameters
    ----------
    parts
        Those that a reader opens now, in the order in which they were written.

    Raises
    ------
    InputError
        If a file is not what was written.
    """
    first_come = [part for part in parts if part.arrival is Arrival.NEW]
    growing = max((part.month for part in first_come), default=0)
    for month in sorted({part.month for part in first_come}):
        of_month = [part for part in first_come if part.month == month]
        if month == growing and len(of_month) <= SMALL_PARTS_MAX:
            continue
        for group in _groups(of_month):
            if len(group) > 1:
                yield _merged(root, group)


def _groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Return parts in groups that have no more rows than one part may have."""
    groups: list[list[Part]] = [[]]
    for part in parts:
        if groups[-1] and sum(each.rows for each in groups[-1]) + part.rows > ROWS_PER_PART_MAX:
            groups.append([])
        groups[-1].append(part)
    return groups


def _merged(root: Path, group: Sequence[Part]) -> tuple[Part, bytes]:
    rows = joined([read_rows(root, part) for part in group])
    last = group[-1]
    merged = replace(
        last,
        previous=group[0].previous,
        known_at=max(part.known_at for part in group),
        rows=len(rows),
        first=int(rows.stamps[0]),
        last=int(rows.stamps[-1]),
        first_id=int(rows.ids[0]),
        last_id=int(rows.ids[-1]),
        repeats=tuple(each for part in group for each in part.repeats or (part.name_hash,)),
        place=None,
        size=0,
    )
    return encode_rows(merged, rows)
