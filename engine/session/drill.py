"""For drills only: a copy of a session in which something was changed on purpose, with its chain made anew.

Every byte of such a copy verifies, as it would after somebody with time and skill had been at the journal:
only parity and replay can tell. Nothing here is ever called by a session.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from engine.domain.errors import InputError, JournalError
from engine.journal.anchor import SLOTS, Anchor
from engine.journal.canonical import encode
from engine.journal.chain import CODES, judge
from engine.journal.frames import NO_HASH, pack
from engine.journal.reading import Record, read
from engine.journal.storage import ANCHOR, LOG, File, read_file


def rewrite(source: Path, target: Path, change: Callable[[Record], Record | None]) -> int:
    """Copy the journal of a session, each record as `change` returns it.

    Parameters
    ----------
    source, target
        Folders of sessions; the target holds no journal yet.
    change
        Returns the record itself to keep it, another one in its place, None to leave it out. Kind and body
        count; number and place follow from what is kept.

    Returns
    -------
    How many records were changed or left out.

    Raises
    ------
    InputError
        If there is no journal, or the target holds one already.
    JournalError
        If the journal is damaged.

    Examples
    --------
    Make the first fill a cent dearer:

    >>> def dearer(record):
    ...     if record.kind is not Kind.FILL or record.body["row"] != 101:
    ...         return record
    ...     return edited(record, price_e8=record.body["price_e8"] + 1_000_000)
    >>> rewrite(folder, folder.with_name("broken"), dearer)  # doctest: +SKIP
    1
    """
    changed = 0

    def each(records: Sequence[Record]) -> Iterable[Record]:
        nonlocal changed
        for record in records:
            kept = change(record)
            if kept is None or (kept.kind, kept.body) != (record.kind, record.body):
                changed += 1
            if kept is not None:
                yield kept

    rewrite_all(source, target, each)
    return changed


def rewrite_all(source: Path, target: Path, change: Callable[[Sequence[Record]], Iterable[Record]]) -> None:
    """Copy the journal of a session, with all its records at hand at once: to double some, or change places.

    A record stands in the batch that it names; records that follow one another with one number are a batch.
    Parameters and errors as in `rewrite`.
    """
    if (target / LOG).exists() or (target / ANCHOR).exists():
        raise InputError(f"{target} holds a journal already; drills write into a folder of their own")
    # The anchor first: a log that is read later is never shorter than it says.
    anchor_file = read_file(source, File.ANCHOR)
    chain = judge(read_file(source, File.LOG) or b"", anchor_file)
    records = tuple(read(source))
    if chain.anchor is None or not chain.status.usable:
        raise JournalError(CODES[chain.status], f"{source}: {chain.problem}")
    log, head, batches, sequence = bytearray(), NO_HASH, 0, 0
    for _, members in groupby(change(records), key=lambda record: record.batch):
        batch = tuple(members)
        frame, head = pack(
            [(int(record.kind), encode(dict(record.body))) for record in batch],
            batch=batches,
            first_sequence=sequence,
            time_ns=batch[0].time_ns,
            journal_id=chain.anchor.journal_id,
            previous=head,
        )
        log += frame
        batches, sequence = batches + 1, sequence + len(batch)
    anchor = Anchor(
        generation=0,
        batches=batches,
        next_sequence=sequence,
        end=len(log),
        journal_id=chain.anchor.journal_id,
        head=head,
    )
    target.mkdir(parents=True, exist_ok=True)
    (target / LOG).write_bytes(log)
    (target / ANCHOR).write_bytes(anchor.pack() * SLOTS)


def edited(record: Record, **values: Any) -> Record:
    """Return a record with some values of its body changed.

    Raises
    ------
    InputError
        If the body has no such value: it would be a body that no session writes.
    """
    unknown = sorted(set(values) - set(record.body))
    if unknown:
        raise InputError(f"{record.kind.name} has no {', '.join(unknown)}; it has {', '.join(record.body)}")
    return replace(record, body={**record.body, **values})
