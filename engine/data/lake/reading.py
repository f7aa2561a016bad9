"""What the parts of a series say together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.lake.corrections import revised
from engine.data.lake.layout import folder
from engine.data.lake.parts import Part, damaged, read_rows
from engine.data.lake.rows import Rows, empty, increasing, joined
from engine.data.lake.withdrawing import withdrawn_stamps
from engine.data.series import SeriesKey


def rows_of(
    root: Path,
    key: SeriesKey,
    parts: Sequence[Part],
    *,
    start: int | None = None,
    stop: int | None = None,
    with_withdrawn: bool = False,
) -> Rows:
    """Return what some parts of a series say together, in order of (stamp, id).

    Parameters
    ----------
    parts
        In the order in which they were written.
    start, stop
        UTC nanoseconds, from `start` up to, not including, `stop`; None: no bound.
    with_withdrawn
        Whether rows that were withdrawn are there too, without values.

    Raises
    ------
    InputError
        If a file is not what was written, or a row stands in the series twice.
    """
    inside = [part for part in parts if _touches(part, start, stop)]
    pieces = [read_rows(root, part) for part in inside if part.is_rows]
    if not pieces:
        return empty(key)
    rows = joined(pieces)
    if not increasing(rows):
        raise damaged(root / folder(key), "a row stands there twice")
    revisions = [part for part in inside if not part.is_rows]
    rows = revised(root, rows, revisions)
    gone = withdrawn_stamps(root, revisions)
    if len(gone) and not with_withdrawn:
        rows = rows.at(np.flatnonzero(~np.isin(rows.stamps, gone)))
    lower = 0 if start is None else int(np.searchsorted(rows.stamps, start))
    upper = len(rows) if stop is None else int(np.searchsorted(rows.stamps, stop))
    return rows if (lower, upper) == (0, len(rows)) else rows.at(slice(lower, upper))


def _touches(part: Part, start: int | None, stop: int | None) -> bool:
    return (start is None or part.last >= start) and (stop is None or part.first < stop)
