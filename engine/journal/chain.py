"""Whether a log can be trusted: its frames, judged against its anchor. Pure: bytes in, verdict out.

The next frame is written only after the last one is safe on disk. So a bad frame at the very end is a batch
that was being written when the power went: nobody was told that it is safe, and it may be cut off. A bad
frame anywhere else, or before the place that the anchor vouches for, is damage to what was acknowledged, and
nothing mends that.
"""

from dataclasses import dataclass
from enum import StrEnum

from engine.domain.errors import JournalCode
from engine.journal.anchor import Anchor, newest
from engine.journal.frames import NO_HASH, Frame, holds_frame, next_content_hash, unpack
from engine.journal.kinds import SCHEMA_VERSION, Kind

_KNOWN = frozenset(Kind)


class Status(StrEnum):
    """Verdict on a journal. `TORN_TAIL`: bytes at the end that were never acknowledged and can be cut off."""

    CLEAN = "CLEAN"
    TORN_TAIL = "TORN_TAIL"
    CORRUPT = "CORRUPT"
    ROLLBACK = "ROLLBACK"
    ANCHOR_CORRUPT = "ANCHOR_CORRUPT"
    SCHEMA_NEWER = "SCHEMA_NEWER"

    @property
    def usable(self) -> bool:
        """Whether every acknowledged batch is there and can be read."""
        return self in (Status.CLEAN, Status.TORN_TAIL)


CODES = {
    Status.CORRUPT: JournalCode.LEDGER_CORRUPT,
    Status.ROLLBACK: JournalCode.LEDGER_ROLLBACK,
    Status.ANCHOR_CORRUPT: JournalCode.ANCHOR_CORRUPT,
    Status.SCHEMA_NEWER: JournalCode.SCHEMA_NEWER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What stands in a log.

    Attributes
    ----------
    problem
        One sentence for a person; empty where the status is `CLEAN`.
    frames
        From the beginning to the first problem.
    anchor
        None where none can be read.
    size
        Of the log, in bytes.
    """

    status: Status
    problem: str
    frames: tuple[Frame, ...]
    anchor: Anchor | None
    size: int

    @property
    def end(self) -> int:
        """Where the last good frame ends: where the problem is, if there is one."""
        return self.frames[-1].end if self.frames else 0

    @property
    def head(self) -> bytes:
        """Hash of the last good frame."""
        return self.frames[-1].hash if self.frames else NO_HASH

    @property
    def next_sequence(self) -> int:
        """Sequence number of the first record that is not there yet."""
        return self.frames[-1].first_sequence + len(self.frames[-1].records) if self.frames else 0

    @property
    def content_hash(self) -> bytes:
        """Running hash of all facts: equal for equal runs, whenever and wherever they ran."""
        content_hash = NO_HASH
        for frame in self.frames:
            content_hash = next_content_hash(content_hash, frame.records)
        return content_hash


def judge(log: bytes, anchor_file: bytes | None, *, start: int = 0) -> Chain:
    """Return the frames of a log and whether it can be trusted.

    Parameters
    ----------
    log
        From byte `start` on. Read after the anchor: it may be longer than the anchor says, never shorter.
    anchor_file
        None where there is none.
    start
        Where a batch ends, if not 0. What is before is taken as checked.
    """
    anchor = newest(anchor_file or b"")
    if anchor is None:
        what = "is missing" if anchor_file is None else "is damaged in both of its slots"
        return Chain(
            status=Status.ANCHOR_CORRUPT,
            problem=f"the anchor {what}: nothing says how long the log must be",
            frames=(),
            anchor=None,
            size=start + len(log),
        )
    frames, status, problem = _follow(log, anchor, start)
    return Chain(status=status, problem=problem, frames=tuple(frames), anchor=anchor, size=start + len(log))


def _follow(log: bytes, anchor: Anchor, start: int) -> tuple[list[Frame], Status, str]:
    frames: list[Frame] = []
    offset, expected = 0, (anchor.journal_id, 0, 0, NO_HASH)
    batches = 0
    while offset < len(log):
        frame = unpack(log, offset, skipped=start)
        if frame is None:
            return frames, *_judge_tail(log, offset, anchor, start)
        found = (frame.journal_id, frame.batch, frame.first_sequence, frame.previous)
        if start and not frames:
            # The first frame after what was checked before says where it belongs.
            expected = (anchor.journal_id, *found[1:])
        if found != expected:
            problem = f"a whole frame at byte {start + offset:,} does not continue the chain"
            return frames, Status.CORRUPT, problem
        if frame.schema > SCHEMA_VERSION or not _KNOWN.issuperset(kind for kind, _ in frame.records):
            return frames, Status.SCHEMA_NEWER, _newer(frame, start + offset)
        frames.append(frame)
        batches, sequence = frame.batch + 1, frame.first_sequence + len(frame.records)
        offset, expected = frame.end - start, (anchor.journal_id, batches, sequence, frame.hash)
        if batches == anchor.batches and (frame.end, sequence, frame.hash) != (
            anchor.end,
            anchor.next_sequence,
            anchor.head,
        ):
            return frames, Status.CORRUPT, f"batch {frame.batch:,} is not the one that was acknowledged"
    # A log that goes on to where the anchor ends and has fewer batches has longer ones: not what was written.
    if start + len(log) < anchor.end or (frames and batches < anchor.batches):
        return frames, Status.ROLLBACK, _missing(anchor, start + len(log))
    return frames, Status.CLEAN, ""


def _judge_tail(log: bytes, offset: int, anchor: Anchor, start: int) -> tuple[Status, str]:
    """Judge what stands at `offset` and is not a whole frame."""
    place, size = start + offset, start + len(log)
    if holds_frame(log, offset + 1, anchor.journal_id):
        return Status.CORRUPT, f"the frame at byte {place:,} is damaged, and whole frames follow it"
    if size < anchor.end:
        return Status.ROLLBACK, _missing(anchor, size)
    if place < anchor.end:
        return Status.CORRUPT, f"the frame at byte {place:,} is damaged, and it was acknowledged"
    problem = f"{size - place:,} bytes from {place:,} on are no whole batch and were never acknowledged"
    return Status.TORN_TAIL, problem


def _missing(anchor: Anchor, size: int) -> str:
    return (
        f"the log ends at byte {size:,}, but {anchor.batches:,} batches up to byte {anchor.end:,} "
        "were acknowledged"
    )


def _newer(frame: Frame, offset: int) -> str:
    kinds = sorted({kind for kind, _ in frame.records} - _KNOWN)
    what = f"kinds {kinds}" if kinds else f"schema {frame.schema}"
    return (
        f"the frame at byte {offset:,} has {what}; this engine reads up to schema {SCHEMA_VERSION}: "
        "use the engine that wrote it, or a newer one"
    )
