"""What a reply changes in what is known: rows that are new, late, revised, or the same."""

from dataclasses import dataclass

import numpy as np

from engine.data.lake.rows import Rows, differs, find
from engine.domain.panel import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Revisions:
    """Values that differ from what is known, one line each, ordered by (stamp, id).

    Attributes
    ----------
    stamps, ids
        Shape (C,), of the rows.
    fields
        Names of the columns, C of them.
    old, new
        Shape (C,); flags are 0 and 1.
    """

    stamps: IntArray
    ids: IntArray
    fields: tuple[str, ...]
    old: FloatArray
    new: FloatArray

    def __len__(self) -> int:
        return len(self.fields)

    def at(self, cut: slice) -> "Revisions":
        """Return some of the lines."""
        return Revisions(
            stamps=self.stamps[cut],
            ids=self.ids[cut],
            fields=self.fields[cut],
            old=self.old[cut],
            new=self.new[cut],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Changes:
    """What has to be written so that the lake knows what was given.

    Attributes
    ----------
    older, newer
        Rows before the first and after the last that was known: history that grows at its ends.
    late
        Rows in between that were missing.
    revised
        How many rows have at least one revised value.
    same
        How many rows were known with the same values.
    """

    older: Rows
    newer: Rows
    late: Rows
    revisions: Revisions
    revised: int
    same: int


def compare(
    known: Rows, given: Rows, *, first: tuple[int, int] | None, last: tuple[int, int] | None
) -> Changes:
    """Return what is different between what is known and what was given.

    Parameters
    ----------
    known
        All known rows from the first to the last given one.
    first, last
        (stamp, id) of the first and last row of the whole series; None where nothing is known.
    """
    at = find(known, given.stamps, given.ids)
    is_known = at >= 0
    if first is None or last is None:
        is_newer, is_older = np.ones(len(given), dtype=bool), np.zeros(len(given), dtype=bool)
    else:
        is_newer, is_older = _after(given, last), _before(given, first)
    is_late = ~is_known & ~is_newer & ~is_older
    both, of_known = np.flatnonzero(is_known), at[is_known]
    changed = {name: differs(known.values[name][of_known], given.values[name][both]) for name in given.values}
    any_changed = np.logical_or.reduce([*changed.values(), np.zeros(len(both), dtype=bool)])
    return Changes(
        older=given.at(np.flatnonzero(is_older & ~is_known)),
        newer=given.at(np.flatnonzero(is_newer & ~is_known)),
        late=given.at(np.flatnonzero(is_late)),
        revisions=_revisions(known.at(of_known), given.at(both), changed),
        revised=int(any_changed.sum()),
        same=int((~any_changed).sum()),
    )


def _after(rows: Rows, last: tuple[int, int]) -> np.ndarray:
    stamp, number = last
    return np.asarray((rows.stamps > stamp) | ((rows.stamps == stamp) & (rows.ids > number)))


def _before(rows: Rows, first: tuple[int, int]) -> np.ndarray:
    stamp, number = first
    return np.asarray((rows.stamps < stamp) | ((rows.stamps == stamp) & (rows.ids < number)))


def _revisions(known: Rows, given: Rows, changed: dict[str, np.ndarray]) -> Revisions:
    """Return a line for each value that changed; `known` and `given` are the same rows."""
    rows, columns = np.nonzero(np.column_stack(list(changed.values())))
    names = tuple(changed)
    old = np.column_stack([known.values[name] for name in names])
    new = np.column_stack([given.values[name] for name in names])
    return Revisions(
        stamps=given.stamps[rows],
        ids=given.ids[rows],
        fields=tuple(names[column] for column in columns),
        old=old[rows, columns],
        new=new[rows, columns],
    )
