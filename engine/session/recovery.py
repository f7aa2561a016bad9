"""From a journal back to the state that wrote it: nothing else says what a session has done.

The bars are worked again, from the latest snapshot that fits or from the origin, and every record that comes
out is compared with the one that stands in the journal. One that differs ends the recovery: going on would
trade on a history that did not happen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.domain.errors import InvalidValueError, JournalCode, JournalError
from engine.journal.canonical import decode, encode
from engine.journal.chain import CODES, judge
from engine.journal.frames import Frame, RawRecord
from engine.journal.kinds import FACTS, Kind
from engine.journal.storage import File, read_file
from engine.session.records import bar_of, planned_of
from engine.session.snapshot import Place, Snapshot
from engine.session.start import SessionStart
from engine.session.trader import Trader


@dataclass(frozen=True, kw_only=True)
class History:
    """What the journal of a session says.

    Attributes
    ----------
    start
        None where the journal ends before SESSION_STARTED: nothing happened yet.
    frames
        Every batch.
    is_finished
        The feed came to its end.
    """

    start: SessionStart | None
    frames: Sequence[Frame]
    is_finished: bool


def history(folder: Path) -> History:
    """Read the journal of a session, all of it checked.

    Raises
    ------
    InputError
        If there is no journal.
    JournalError
        If it cannot be trusted.
    """
    # The anchor first: a log that is read later is never shorter than it says.
    anchor = read_file(folder, File.ANCHOR)
    log = read_file(folder, File.LOG)
    chain = judge(log or b"", anchor)
    if not chain.status.usable:
        raise JournalError(CODES[chain.status], f"{folder}: {chain.problem}")
    records = (record for frame in chain.frames for record in frame.records)
    first = next((body for kind, body in records if kind == Kind.SESSION_STARTED), None)
    return History(
        start=None if first is None else SessionStart.from_body(decode(first)),
        frames=chain.frames,
        is_finished=any(kind == Kind.SESSION_FINISHED for frame in chain.frames for kind, _ in frame.records),
    )


def recover(new_trader: Callable[[], Trader], frames: Sequence[Frame], snapshot: Snapshot | None) -> Trader:
    """Return a trader that stands where the journal ends.

    Raises
    ------
    JournalError
        REPLAY_MISMATCH: a record that is worked out again is not the one in the journal.
    """
    trader, rest = _from_snapshot(new_trader, frames, snapshot)
    for row in _rows(rest):
        _work_again(trader, row)
    return trader


def _from_snapshot(
    new_trader: Callable[[], Trader], frames: Sequence[Frame], snapshot: Snapshot | None
) -> tuple[Trader, Sequence[Frame]]:
    """Return a trader as far as the snapshot brings it, and the frames after that."""
    rest = None if snapshot is None else _after(frames, snapshot.place)
    trader = new_trader()
    if snapshot is None or rest is None:
        return trader, frames
    try:
        trader.restore(snapshot.state)
    except (InvalidValueError, KeyError):
        # A part of it may be restored already.
        return new_trader(), frames
    return trader, rest


def _after(frames: Sequence[Frame], place: Place) -> Sequence[Frame] | None:
    """Return the frames after a place; None where the journal has no such place."""
    for index, frame in enumerate(frames):
        if frame.end == place.end:
            sequence = frame.first_sequence + len(frame.records)
            fits = (frame.hash.hex(), sequence) == (place.head, place.next_sequence)
            return frames[index + 1 :] if fits else None
    return None


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


def _work_again(trader: Trader, journaled: Sequence[RawRecord]) -> None:
    kind, body = journaled[0]
    bar = bar_of(decode(body)) if kind == Kind.BAR else None
    if bar is None or bar.row != trader.next_row:
        raise JournalError(
            JournalCode.REPLAY_MISMATCH,
            f"row {trader.next_row} should come next, the journal has {Kind(kind).name}",
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
        f"row {bar.row}: {' or '.join(dict.fromkeys(what))} number {place} of the bar is worked out "
        "differently now; nothing goes on from here",
    )
