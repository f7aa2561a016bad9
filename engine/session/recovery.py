"""From a journal back to the state that wrote it: nothing else says what a session has done.

The bars that were fed are worked again, from the latest snapshot that fits or from the origin, and every
record that comes out is compared with the one that stands in the journal. One that differs ends the recovery:
going on would trade on a history that did not happen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.domain.errors import InvalidValueError, JournalCode, JournalError
from engine.domain.panel import Panel
from engine.journal.anchor import newest
from engine.journal.canonical import decode, encode
from engine.journal.chain import CODES, judge
from engine.journal.frames import Frame, RawRecord, unpack
from engine.journal.kinds import FACTS, Kind
from engine.journal.storage import File, read_file
from engine.pipeline.push import Bar
from engine.session.feed import Replay
from engine.session.records import bar_of, planned_of
from engine.session.snapshot import Place, Snapshot
from engine.session.start import SessionStart
from engine.session.trader import Trader


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """What the journal of a session says.

    Attributes
    ----------
    start
        None where the journal ends before SESSION_STARTED: nothing happened yet.
    snapshot
        None where there is none that fits the journal.
    frames
        Every batch after the snapshot, or every one.
    is_finished
        The feed came to its end.
    """

    start: SessionStart | None
    snapshot: Snapshot | None
    frames: Sequence[Frame]
    is_finished: bool


def history(folder: Path, *, snapshot: Snapshot | None) -> History:
    """Read the journal of a session that this process has locked, and so verified, a moment ago.

    Parameters
    ----------
    snapshot
        What was kept beside it; left out where it does not fit.

    Raises
    ------
    JournalError
        If it cannot be trusted any more.
    """
    anchor = read_file(folder, File.ANCHOR)
    log = read_file(folder, File.LOG) or b""
    frames = None if snapshot is None else _after(log, anchor, snapshot.place)
    if frames is None:
        snapshot, frames = None, _frames(log, anchor, 0)
    # Nobody saves a snapshot of what is finished.
    is_finished = any(kind == Kind.SESSION_FINISHED for frame in frames for kind, _ in frame.records)
    return History(start=_start(log), snapshot=snapshot, frames=frames, is_finished=is_finished)


def _frames(log: bytes, anchor: bytes | None, start: int) -> Sequence[Frame]:
    """Return the frames from byte `start` of a log on."""
    chain = judge(log[start:], anchor, start=start)
    if not chain.status.usable:
        raise JournalError(CODES[chain.status], chain.problem)
    return chain.frames


def _after(log: bytes, anchor: bytes | None, place: Place) -> Sequence[Frame] | None:
    """Return the frames after a place; None where the log has no such place."""
    if place.end > len(log):
        return None
    before = newest(anchor or b"")
    try:
        frames = _frames(log, anchor, place.end)
    except JournalError:
        # The whole journal is good, so no batch begins here.
        return None
    if frames:
        following = (frames[0].previous.hex(), frames[0].first_sequence)
        return frames if following == (place.head, place.next_sequence) else None
    is_the_end = before is not None and (before.end, before.head.hex()) == (place.end, place.head)
    return frames if is_the_end else None


def _start(log: bytes) -> SessionStart | None:
    """Return what the first record of a session says; before it only the end of a torn batch is told."""
    offset = 0
    while (frame := unpack(log, offset)) is not None:
        for kind, body in frame.records:
            if kind == Kind.SESSION_STARTED:
                return SessionStart.from_body(decode(body))
            if kind in FACTS:
                return None
        offset = frame.end
    return None


def recover(folder: Path, known: History, new_trader: Callable[[], Trader], fed: Panel | None) -> Trader:
    """Return a trader that stands where the journal in a folder ends.

    Parameters
    ----------
    fed
        The bars that a replay was begun with; None where they came one by one, and only the journal has them.

    Raises
    ------
    JournalError
        REPLAY_MISMATCH: a record that is worked out again is not the one in the journal.
    """
    trader = new_trader()
    if known.snapshot is not None:
        try:
            trader.restore(known.snapshot.state)
        except (InvalidValueError, KeyError):
            # A part of it may be restored already.
            return recover(folder, history(folder, snapshot=None), new_trader, fed)
    feed = None if fed is None else Replay(fed, trader.fields)
    for journaled in _rows(known.frames):
        bar = _journaled_bar(journaled) if feed is None else feed.bar(trader.next_row)
        _work_again(trader, bar, journaled)
    return trader


def _journaled_bar(journaled: Sequence[RawRecord]) -> Bar | None:
    kind, body = journaled[0]
    return bar_of(decode(body)) if kind == Kind.BAR else None


def _rows(frames: Sequence[Frame]) -> Iterator[list[RawRecord]]:
    """Return the facts of each bar, the bar first."""
    row: list[RawRecord] = []
    for frame in frames:
        for kind, body in frame.records:
            if kind not in FACTS or kind in (Kind.SESSION_STARTED, Kind.SESSION_FINISHED):
                continue
            if kind == Kind.BAR and row:
                yield row
                row = []
            row.append((kind, body))
    if row:
        yield row


def _work_again(trader: Trader, bar: Bar | None, journaled: Sequence[RawRecord]) -> None:
    row = trader.next_row
    if bar is None:
        raise JournalError(
            JournalCode.REPLAY_MISMATCH, f"row {row}: the journal has a bar that was never fed"
        )
    weights = next((decode(body) for kind, body in journaled if kind == Kind.WEIGHTS), None)
    worked = trader.work_again(bar, None if weights is None else planned_of(weights))
    made = [(int(kind), encode(body)) for kind, body in worked.entries]
    if made == list(journaled):
        return
    place = next(
        (i for i, (ours, theirs) in enumerate(zip(made, journaled, strict=False)) if ours != theirs),
        min(len(made), len(journaled)),
    )
    what = [Kind(records[place][0]).name for records in (journaled, made) if place < len(records)]
    raise JournalError(
        JournalCode.REPLAY_MISMATCH,
        f"row {row}: {' or '.join(dict.fromkeys(what))}, record {place} of the bar, is not what comes of the "
        "bars that were fed; nothing goes on from here",
    )
