"""How an append becomes parts, and in which order they are written."""

from collections.abc import Iterator
from itertools import pairwise

from engine.data.lake import layout
from engine.data.lake.changes import Changes
from engine.data.lake.parts import Arrival, Part, encode_revisions, encode_rows
from engine.data.lake.rows import Rows
from engine.data.series import SeriesKey
from engine.domain.panel import IntArray

ROWS_PER_PART_MAX = 1_000_000
"""More rows of one month become several parts, so that no part needs much memory."""


def new_parts(
    key: SeriesKey,
    before: Part | None,
    changes: Changes,
    *,
    known_at: int,
    source: str,
    run: str,
    revision: Arrival = Arrival.REVISED,
) -> Iterator[tuple[Part, bytes]]:
    """Yield the parts of an append, each with the bytes of its file, in the order in which they are written.

    The watermark moves last: who goes on from it after a crash must not step over a revision. Older history
    grows backwards, so that what a crash cut off is still older than all that is known, and not late.

    Parameters
    ----------
    before
        The last part of the series, None where it has none.
    revision
        What the revised values are: other ones, or none any more.
    """
    pieces = [(Arrival.LATE, piece) for piece in _pieces(changes.late)]
    pieces += [(Arrival.NEW, piece) for piece in reversed(_pieces(changes.older))]
    pieces += [(Arrival.NEW, piece) for piece in _pieces(changes.newer)]

    def part(arrival: Arrival, stamps: IntArray, ids: IntArray) -> Part:
        return Part(
            key=key,
            arrival=arrival,
            sequence=1 if before is None else before.sequence + 1,
            previous="" if before is None else before.chain_hash,
            known_at=known_at,
            source=source,
            run=run,
            month=layout.month_of(int(stamps[0])),
            rows=len(stamps),
            first=int(stamps[0]),
            last=int(stamps[-1]),
            first_id=int(ids[0]),
            last_id=int(ids[-1]),
        )

    for cut in _by_month(changes.revisions.stamps):
        revisions = changes.revisions.at(cut)
        before, payload = encode_revisions(part(revision, revisions.stamps, revisions.ids), revisions)
        yield before, payload
    for arrival, rows in pieces:
        before, payload = encode_rows(part(arrival, rows.stamps, rows.ids), rows)
        yield before, payload


def _pieces(rows: Rows) -> list[Rows]:
    """Return rows by month, and no more of one month than a part holds."""
    return [rows.at(cut) for cut in _by_month(rows.stamps)]


def _by_month(stamps: IntArray) -> list[slice]:
    """Return where the rows of one month stand, in slices of no more than a part holds."""
    return [
        slice(start, min(start + ROWS_PER_PART_MAX, stop))
        for first, stop in pairwise(layout.month_cuts(stamps))
        for start in range(first, stop, ROWS_PER_PART_MAX)
    ]
