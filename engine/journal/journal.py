"""The writer of a journal: one process, one batch at a time, nothing acknowledged before it is safe.

`append` returns when its batch will survive a power cut. An error while writing ends the journal for this
process: after a failed flush the kernel may have dropped the data and call the next flush a success, so
trying again would acknowledge what is not there.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.domain.errors import InvalidValueError, JournalCode, JournalError
from engine.journal.anchor import SLOT_BYTES, SLOTS, Anchor, newest
from engine.journal.canonical import decode, encode
from engine.journal.chain import CODES, Chain, Status, judge
from engine.journal.frames import NO_HASH, RawRecord, next_content_hash, pack
from engine.journal.kinds import RETIRED, Kind
from engine.journal.space import Mode, mode_of
from engine.journal.storage import DISK_FULL_ERRORS, File, PosixStorage, Storage

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    """Where the log ends."""

    batches: int
    next_sequence: int
    end: int
    head: bytes
    content_hash: bytes


_EMPTY = _Position(batches=0, next_sequence=0, end=0, head=NO_HASH, content_hash=NO_HASH)


class Journal:
    """An open journal. Use it as a context manager; make it by `create` or `open`.

    Attributes
    ----------
    journal_id
        16 bytes, in every frame: the frames of another journal do not fit.
    disk_full
        The disk had no room and the ballast was spent: stop trading, a few batches more can be written.
    """

    def __init__(
        self,
        storage: Storage,
        anchor: Anchor,
        position: _Position,
        *,
        clock: Clock,
        strict: bool,
    ) -> None:
        self.journal_id = anchor.journal_id
        self._storage = storage
        self._clock = clock
        self._strict = strict
        self._position = position
        self._generation = anchor.generation
        # Whether the newest slot is safe on disk. Until it is, the same slot is written again and the other
        # one is left alone: a power cut then never takes both.
        self._anchor_is_safe = False
        self._failure: JournalError | None = None
        self._closed = False
        self.disk_full = not storage.lay_ballast()

    @classmethod
    def create(
        cls,
        folder: Path | None = None,
        *,
        clock: Clock,
        strict: bool = False,
        journal_id: bytes | None = None,
        storage: Storage | None = None,
    ) -> Self:
        """Make a journal with nothing in it.

        Parameters
        ----------
        folder
            Made where it is missing. None where `storage` is given.
        clock
            UTC nanoseconds; the time of each batch.
        strict
            Flush the anchor before each acknowledgement: a second flush a batch, for which even a power cut
            followed by damage to the last batches is told from a batch that was never acknowledged.
        journal_id
            16 bytes; random by default.

        Raises
        ------
        JournalError
            JOURNAL_EXISTS, LOCK_HELD, NETWORK_DISK, JOURNAL_IO, DISK_FULL.
        """
        storage = storage or _posix(folder, create=True)
        try:
            anchor_file = storage.read(File.ANCHOR)
            anchor = newest(anchor_file or b"")
            # A creation that was interrupted acknowledged nothing and is made again; anything else stays.
            if storage.read(File.LOG) or (anchor_file is not None and (anchor is None or anchor.batches)):
                raise JournalError(JournalCode.JOURNAL_EXISTS, f"{folder or 'the storage'} holds a journal")
            anchor = _anchor_at(_EMPTY, 0, journal_id or os.urandom(16))
            storage.place_anchor(anchor.pack() * SLOTS)
            return cls(storage, anchor, _EMPTY, clock=clock, strict=strict)
        except OSError as error:
            storage.close()
            raise _as_journal_error(error) from error
        except BaseException:
            storage.close()
            raise

    @classmethod
    def open(
        cls,
        folder: Path | None = None,
        *,
        clock: Clock,
        strict: bool = False,
        storage: Storage | None = None,
    ) -> Self:
        """Lock a journal, verify all of it, cut off a batch that was never acknowledged, and go on.

        What is cut off is kept in `quarantine/` and recorded as TAIL_TRUNCATED.

        Raises
        ------
        InputError
            If there is no journal.
        JournalError
            LEDGER_CORRUPT, LEDGER_ROLLBACK, ANCHOR_CORRUPT, SCHEMA_NEWER, LOCK_HELD, NETWORK_DISK,
            JOURNAL_IO, DISK_FULL. What was acknowledged stays as it is.
        """
        storage = storage or _posix(folder, create=False)
        try:
            anchor_file = storage.read(File.ANCHOR)
            log = storage.read(File.LOG) or b""
            chain = judge(log, anchor_file)
            if not chain.status.usable or chain.anchor is None:
                raise JournalError(CODES[chain.status], f"{folder or 'the journal'}: {chain.problem}")
            position = _Position(
                batches=len(chain.frames),
                next_sequence=chain.next_sequence,
                end=chain.end,
                head=chain.head,
                content_hash=chain.content_hash,
            )
            if chain.status is Status.TORN_TAIL:
                storage.quarantine(chain.end, log[chain.end :])
                storage.truncate_log(chain.end)
            journal = cls(storage, chain.anchor, position, clock=clock, strict=strict)
            journal._recover(log, chain)
            return journal
        except OSError as error:
            storage.close()
            raise _as_journal_error(error) from error
        except BaseException:
            storage.close()
            raise

    @classmethod
    def continued(cls, folder: Path, *, clock: Clock) -> Self:
        """Open a journal, or make it where there is none; parameters and errors as of `open`."""
        try:
            return cls.create(folder, clock=clock)
        except JournalError as error:
            if error.code is not JournalCode.JOURNAL_EXISTS:
                raise
        return cls.open(folder, clock=clock)

    def append(self, records: Sequence[tuple[Kind, Mapping[str, Any]]]) -> int:
        """Write one batch, all of it or nothing, and return when it is safe.

        A signal handler must not raise in here: the journal would not know what is on the disk, and take
        nothing more.

        Returns
        -------
        Sequence number of its last record.

        Raises
        ------
        InvalidValueError
            If a body has no place in QJ-1, a kind is retired, or there is no record. Nothing was written.
        JournalError
            JOURNAL_IO or DISK_FULL: nothing more is written by this process. The batch was not acknowledged,
            and may be there or not when the journal is opened again.
        """
        self._refuse_after_failure()
        encoded = [_encoded(kind, body) for kind, body in records]
        before = self._position
        frame, head = pack(
            encoded,
            batch=before.batches,
            first_sequence=before.next_sequence,
            time_ns=self._clock(),
            journal_id=self.journal_id,
            previous=before.head,
        )
        after = _Position(
            batches=before.batches + 1,
            next_sequence=before.next_sequence + len(encoded),
            end=before.end + len(frame),
            head=head,
            content_hash=next_content_hash(before.content_hash, encoded),
        )
        with self._ending_at_first_error():
            self._write(File.LOG, frame, before.end)
            self._storage.sync(File.LOG)
            self._position = after
            self._write_anchor()
            if self._strict:
                self._sync_anchor()
        return after.next_sequence - 1

    def flush_anchor(self) -> None:
        """Make safe what the anchor says; a session calls it when it has nothing else to do.

        The anchor is written with every batch, but a power cut may take it back to its last flush.
        """
        self._refuse_after_failure()
        with self._ending_at_first_error():
            if not self._anchor_is_safe:
                self._sync_anchor()

    def close(self) -> None:
        """Flush the anchor and give the lock back. A journal that failed writes nothing more."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._failure is None:
                with self._ending_at_first_error():
                    self._settle_anchor()
        finally:
            self._storage.close()

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return self._position.batches

    @property
    def next_sequence(self) -> int:
        """Sequence number that the next record gets."""
        return self._position.next_sequence

    @property
    def head(self) -> str:
        """Hash of the last frame, and so of everything before it; zeros where there is none."""
        return self._position.head.hex()

    @property
    def content_hash(self) -> str:
        """Running hash of all facts: equal for equal runs, whenever and wherever they ran."""
        return self._position.content_hash.hex()

    def space(self) -> Mode:
        """Return the mode that the room on the disk asks for."""
        return Mode.KILL if self.disk_full else mode_of(self._storage.free_bytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _recover(self, log: bytes, chain: Chain) -> None:
        """Make safe what was found, and record what was cut off."""
        assert chain.anchor is not None, "a usable chain has an anchor"
        # The last process may have died between writing a batch and flushing it, or because a flush failed.
        # After a failed flush the data is read back from memory although it is not on the disk: only writing
        # helps.
        start = chain.anchor.end
        self._write(File.LOG, log[start : chain.end], start)
        self._storage.sync(File.LOG)
        self._settle_anchor()
        recorded = {
            decode(body).get("file")
            for frame in chain.frames
            for kind, body in frame.records
            if kind == Kind.TAIL_TRUNCATED
        }
        for name, data in self._storage.quarantined().items():
            # Also after a crash between cutting and recording.
            if name not in recorded:
                body = {"bytes": len(data), "sha256": sha256(data).hexdigest(), "file": name}
                self.append([(Kind.TAIL_TRUNCATED, body)])

    def _write(self, file: File, data: bytes, offset: int) -> None:
        rest = memoryview(data)
        while rest:
            try:
                written = self._storage.write(file, rest, offset)
            except OSError as error:
                if error.errno not in DISK_FULL_ERRORS or not self._storage.drop_ballast():
                    raise
                # Nothing was taken, so this is no second try of something that may have happened.
                self.disk_full = True
                continue
            if written == 0:
                raise OSError(errno.EIO, "the disk takes no bytes")
            rest, offset = rest[written:], offset + written

    def _write_anchor(self) -> None:
        self._generation += 1 if self._anchor_is_safe else SLOTS
        self._anchor_is_safe = False
        anchor = _anchor_at(self._position, self._generation, self.journal_id)
        self._write(File.ANCHOR, anchor.pack(), anchor.slot * SLOT_BYTES)

    def _sync_anchor(self) -> None:
        self._storage.sync(File.ANCHOR)
        self._anchor_is_safe = True

    def _settle_anchor(self) -> None:
        """Write both slots, so that at rest damage to one of them takes nothing away."""
        for _ in range(SLOTS):
            self._write_anchor()
            self._sync_anchor()

    def _refuse_after_failure(self) -> None:
        if self._closed:
            raise InvalidValueError("the journal is closed")
        if self._failure is not None:
            raise JournalError(self._failure.code, f"nothing more is written: {self._failure}")

    @contextmanager
    def _ending_at_first_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failure = _as_journal_error(error)
            raise self._failure from error
        except BaseException:
            self._failure = JournalError(
                JournalCode.JOURNAL_IO, "a batch was interrupted while it was written"
            )
            raise


def _posix(folder: Path | None, *, create: bool) -> Storage:
    if folder is None:
        raise InvalidValueError("a journal needs a folder or a storage")
    try:
        return PosixStorage(folder, create=create)
    except OSError as error:
        raise _as_journal_error(error) from error


def _encoded(kind: Kind, body: Mapping[str, Any]) -> RawRecord:
    if kind in RETIRED:
        raise InvalidValueError(f"{kind.name} is retired: it is read, and not written any more")
    return int(kind), encode(body)


def _anchor_at(position: _Position, generation: int, journal_id: bytes) -> Anchor:
    return Anchor(
        generation=generation,
        batches=position.batches,
        next_sequence=position.next_sequence,
        end=position.end,
        journal_id=journal_id,
        head=position.head,
    )


def _as_journal_error(error: OSError) -> JournalError:
    if error.errno in DISK_FULL_ERRORS:
        return JournalError(JournalCode.DISK_FULL, f"the disk is full: {error}")
    return JournalError(JournalCode.JOURNAL_IO, f"the journal cannot be written: {error}")
