"""Corrections: what was revised or came late, with the evidence, and what rows are after it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from engine.data.lake.parts import Arrival, Part, read_revisions, read_rows
from engine.data.lake.rows import Rows, find
from engine.data.series import SeriesKey, SeriesKind


class CorrectionKind(StrEnum):
    """What is different from what was known."""

    REVISED = "revised"
    LATE = "late"
    WITHDRAWN = "withdrawn"


STANDS_FOR_ALL = {
    SeriesKind.BARS: "close",
    SeriesKind.TRADES: "price",
    SeriesKind.QUOTES: "bid",
    SeriesKind.BOOK: "bid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One value that was revised, or one row that came late or was withdrawn.

    Attributes
    ----------
    stamp, id
        Of the row: UTC nanoseconds; the venue's number of a trade, 0 for a bar.
    field
        The revised one; of a late row and of one that was withdrawn the close (the price of a trade, the
        bid), which stands for all of it.
    old, new
        Value before and after, NaN where there was none or is none any more.
    known_at
        UTC nanoseconds at which it was learned.
    """

    key: SeriesKey
    stamp: int
    id: int
    field: str
    old: float
    new: float
    known_at: int
    source: str
    run: str
    kind: CorrectionKind


def corrections_of(root: Path, part: Part) -> Iterator[Correction]:
    """Yield what a part of late rows or of revised values says; of a row that was withdrawn one line.

    Raises
    ------
    InputError
        If the file is not what was written.
    """
    lines: Iterable[tuple[int, int, str, float, float]]
    whole = STANDS_FOR_ALL[part.key.kind]
    if part.is_rows:
        rows = read_rows(root, part)
        lines = (
            (stamp, number, whole, np.nan, new)
            for stamp, number, new in zip(rows.stamps, rows.ids, rows.values[whole], strict=True)
        )
        kind = CorrectionKind.LATE
    else:
        revised = read_revisions(root, part)
        lines = zip(revised.stamps, revised.ids, revised.fields, revised.old, revised.new, strict=True)
        is_gone = part.arrival is Arrival.WITHDRAWN
        kind = CorrectionKind.WITHDRAWN if is_gone else CorrectionKind.REVISED
    for stamp, number, name, old, new in lines:
        if kind is CorrectionKind.WITHDRAWN and name != whole:
            continue
        yield Correction(
            key=part.key,
            stamp=int(stamp),
            id=int(number),
            field=name,
            old=float(old),
            new=float(new),
            known_at=part.known_at,
            source=part.source,
            run=part.run,
            kind=kind,
        )


def revised(root: Path, rows: Rows, parts: list[Part]) -> Rows:
    """Return rows with the revised values of some parts, the last one of each value.

    Raises
    ------
    InputError
        If a file is not what was written.
    """
    if not parts:
        return rows
    values = {name: array.copy() for name, array in rows.values.items()}
    for part in parts:
        revisions = read_revisions(root, part)
        at = find(rows, revisions.stamps, revisions.ids)
        fields = np.array(revisions.fields)
        for name, array in values.items():
            # A part has a value once, so the order inside it is of no account; parts come in their order.
            chosen = (fields == name) & (at >= 0)
            array[at[chosen]] = revisions.new[chosen]
    return Rows(stamps=rows.stamps, ids=rows.ids, values=values)
