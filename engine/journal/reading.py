"""Reading a journal: all of it is checked first, nothing is written, no lock is taken.

Works on a journal that another process is appending to: it ends with the last whole batch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain.errors import InputError, InvalidValueError, JournalCode, JournalError
from engine.journal.canonical import decode, encode
from engine.journal.chain import CODES, Chain, Status, judge
from engine.journal.frames import record_hash
from engine.journal.kinds import FACTS, Kind
from engine.journal.storage import File, read_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing that a journal says.

    Attributes
    ----------
    sequence, batch
        Counted from 0.
    time_ns
        When its batch was written, UTC; no part of its content.
    end
        Offset in the log of the byte after its batch: where reading goes on after the last record of it.
    """

    sequence: int
    batch: int
    time_ns: int
    kind: Kind
    body: Mapping[str, Any]
    end: int

    @property
    def content_hash(self) -> str:
        """SHA-256 of kind and body: equal for equal runs, whenever and wherever they ran."""
        return record_hash(self.kind, encode(self.body)).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Verdict on a journal.

    Attributes
    ----------
    batches, records, facts
        That are good, from the beginning on.
    head, content_hash
        Of the last good batch: hash of the chain, and of the facts alone.
    problem
        One sentence; empty where the status is `CLEAN`.
    offset, size
        Where the last good batch ends, and where the log does.
    """

    status: Status
    batches: int
    records: int
    facts: int
    head: str
    content_hash: str
    problem: str
    offset: int
    size: int


def read(folder: Path, *, offset: int = 0) -> Iterator[Record]:
    """Return the records of a journal, oldest first.

    Parameters
    ----------
    offset
        `Record.end` of the last record that is known already; 0 for all. What is before is not read and not
        checked again: compare the first sequence number with the one that should come.

    Raises
    ------
    InputError
        If there is no journal.
    JournalError
        If the journal cannot be trusted; no record is returned then. A batch that is being written, or was
        never finished, is no damage.
    """
    chain = _judged(folder, start=offset)
    if not chain.status.usable:
        raise JournalError(CODES[chain.status], f"{folder}: {chain.problem}")
    return _records(chain)


def verify(folder: Path) -> Verification:
    """Check every byte of a journal and say whether all that was acknowledged is there.

    Raises
    ------
    InputError
        If there is no journal.
    """
    chain = _judged(folder)
    kinds = [kind for frame in chain.frames for kind, _ in frame.records]
    return Verification(
        status=chain.status,
        batches=len(chain.frames),
        records=len(kinds),
        facts=sum(kind in FACTS for kind in kinds),
        head=chain.head.hex(),
        content_hash=chain.content_hash.hex(),
        problem=chain.problem,
        offset=chain.end,
        size=chain.size,
    )


def _judged(folder: Path, *, start: int = 0) -> Chain:
    # The anchor first: a log that is read later is never shorter than it says.
    anchor = read_file(folder, File.ANCHOR)
    log = read_file(folder, File.LOG, start=start)
    if anchor is None and log is None:
        raise InputError(f"{folder} holds no journal")
    return judge(log or b"", anchor, start=start)


def _records(chain: Chain) -> Iterator[Record]:
    for frame in chain.frames:
        for place, (kind, body) in enumerate(frame.records):
            yield Record(
                sequence=frame.first_sequence + place,
                batch=frame.batch,
                time_ns=frame.time_ns,
                kind=Kind(kind),
                body=_decoded(body, frame.batch),
                end=frame.end,
            )


def _decoded(body: bytes, batch: int) -> Mapping[str, Any]:
    try:
        return decode(body)
    except InvalidValueError as wrong:
        # The checksums are right, so this is no damage: something else than `Journal` wrote it.
        raise JournalError(JournalCode.LEDGER_CORRUPT, f"batch {batch:,}: {wrong}") from wrong
