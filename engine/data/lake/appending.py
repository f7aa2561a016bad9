"""How a series grows: what is given is compared with what is known, and only the difference is written."""

import re
from dataclasses import dataclass
from pathlib import Path

from engine.data.lake import files
from engine.data.lake.changes import Changes, compare
from engine.data.lake.growth import new_parts
from engine.data.lake.parts import Arrival, Part
from engine.data.lake.reading import rows_of
from engine.data.lake.rows import Rows, empty
from engine.data.series import SeriesKey
from engine.domain.errors import InputError

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What an append found in what it was given, in rows.

    Attributes
    ----------
    new
        At either end of the history.
    same
        Known already with the same values: nothing was written for them.
    corrected
        Known with another value in at least one field.
    late
        Missing between rows that are known.
    known_at
        UTC nanoseconds that were written down: those given, or the latest of the series if that is later.
    """

    new: int
    same: int
    corrected: int
    late: int
    known_at: int

    def plus(self, after: "Appended") -> "Appended":
        """Return what this append and one after it found together."""
        return Appended(
            new=self.new + after.new,
            same=self.same + after.same,
            corrected=self.corrected + after.corrected,
            late=self.late + after.late,
            known_at=max(self.known_at, after.known_at),
        )


def append(
    root: Path,
    key: SeriesKey,
    parts: list[Part],
    given: Rows,
    *,
    known_at: int,
    source: str,
    run: str,
    revision: Arrival = Arrival.REVISED,
) -> Appended:
    """Write what is different from what some parts say, and add the parts that this makes to them.

    Parameters
    ----------
    revision
        What the values that differ are: other ones, or none any more.

    Raises
    ------
    InputError
        If the disk refuses, or what is known cannot be read.
    """
    known_at = max([known_at, *(part.known_at for part in parts[-1:])])
    changes = _changes(root, key, parts, given)
    before = parts[-1] if parts else None
    for part, payload in new_parts(
        key, before, changes, known_at=known_at, source=source, run=run, revision=revision
    ):
        assert part.place is not None
        files.put(root, root / part.place, payload)
        parts.append(part)
    return Appended(
        new=len(changes.older) + len(changes.newer),
        same=changes.same,
        corrected=changes.revised,
        late=len(changes.late),
        known_at=known_at,
    )


def require_run(run: str) -> None:
    """Refuse the name of an ingestion run that cannot be a folder.

    Raises
    ------
    InputError
        If it cannot.
    """
    if not _RUN.fullmatch(run):
        raise InputError(
            f"ingestion run {run!r}: use up to 128 letters, digits and '.', '_', ':', '+', '-', "
            "beginning with a letter or a digit"
        )


def require_source(key: SeriesKey, source: str) -> None:
    """Refuse rows of which nobody says who gave them.

    Raises
    ------
    InputError
        If the source is empty.
    """
    if not source.strip():
        raise InputError(f"{key}: source must not be empty, a row of the lake says who gave it")


def _changes(root: Path, key: SeriesKey, parts: list[Part], given: Rows) -> Changes:
    ends = [part for part in parts if part.is_rows]
    first = min(((part.first, part.first_id) for part in ends), default=None)
    last = max(((part.last, part.last_id) for part in ends), default=None)
    if last is not None and (int(given.stamps[0]), int(given.ids[0])) > last:
        known = empty(key)
    else:
        start, stop = int(given.stamps[0]), int(given.stamps[-1]) + 1
        known = rows_of(root, key, parts, start=start, stop=stop, with_withdrawn=True)
    return compare(known, given, first=first, last=last)
