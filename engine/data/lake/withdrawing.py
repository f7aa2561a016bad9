"""Rows that should never have been: a future bar, a doubled one, taken in by an import.

A row is withdrawn by revising all of its values to nothing. It stays in the lake: who reads as of an earlier
moment sees it, and who is told of it again has it back, as a revision with its evidence.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.lake.parts import Arrival, Part, read_revisions
from engine.data.lake.rows import Rows
from engine.data.series import SeriesKey
from engine.domain.errors import InputError
from engine.domain.panel import IntArray


def emptied(key: SeriesKey, known: Rows, stamps: IntArray) -> Rows:
    """Return the rows of some stamps without their values, which is what they become when they are withdrawn.

    Parameters
    ----------
    known
        Rows of the series that cover the stamps, shape (T,).
    stamps
        UTC nanoseconds, strictly increasing.

    Raises
    ------
    InputError
        If the series has no row at one of them.
    """
    there = np.isin(stamps, known.stamps)
    if not there.all():
        missing = np.datetime64(int(stamps[~there][0]), "ns").astype("datetime64[s]")
        raise InputError(f"{key}: has no row at {missing}, so none can be withdrawn; see: engine data show")
    rows = known.at(np.flatnonzero(np.isin(known.stamps, stamps)))
    nothing = {name: np.full(len(rows), np.nan) for name in rows.values}
    return Rows(stamps=rows.stamps, ids=rows.ids, values=nothing)


def withdrawn_stamps(root: Path, parts: Sequence[Part]) -> IntArray:
    """Return the stamps of bars that some parts of a series withdraw, shape (W,), increasing.

    Parameters
    ----------
    parts
        In the order in which they were written.

    Raises
    ------
    InputError
        If a file is not what was written.
    """
    gone: set[int] = set()
    for part in parts:
        if part.is_rows or not (gone or part.arrival is Arrival.WITHDRAWN):
            continue
        revisions = read_revisions(root, part)
        if part.arrival is Arrival.WITHDRAWN:
            gone.update(revisions.stamps.tolist())
        else:
            gone.difference_update(revisions.stamps[~np.isnan(revisions.new)].tolist())
    return np.array(sorted(gone), dtype=np.int64)
