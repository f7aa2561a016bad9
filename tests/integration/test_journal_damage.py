"""Every way in which a small journal can be damaged, and what is said about each.

What must be said follows from what the writer was told: which batches were acknowledged, and which bytes of
log and anchor are still those that were written. The verdicts are compared with that, never with the code's
own view.
"""

import errno
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.domain.errors import JournalCode, JournalError
from engine.journal.chain import CODES, Status, judge
from engine.journal.frames import NO_HASH, pack, unpack
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.memory import SECTOR_BYTES, MemoryStorage, Survival
from engine.journal.storage import File

JOURNAL_ID = bytes(range(16))
SLOT = 512
# The text makes the last batch span several sectors; the sizes differ, so that a swap moves every offset.
BATCHES: tuple[list[tuple[Kind, dict[str, Any]]], ...] = (
    [(Kind.SESSION_STARTED, {"schema": 1, "instance": "ab" * 16})],
    [(Kind.BAR, {"row": 0, "fields": {"close": "00" * 40}}), (Kind.DECISION, {"row": 0, "mode": "ACTIVE"})],
    [(Kind.ORDER, {"row": 1, "order": 0, "lots": -3})],
    [(Kind.FILL, {"row": 2, "note": "x" * 700}), (Kind.CASH, {"row": 2, "amount_e8": "90071992547409910"})],
    [(Kind.BAR, {"row": 3}), (Kind.BAR, {"row": 4}), (Kind.SESSION_RESUMED, {"row": 4, "sequence": 9})],
    [(Kind.SESSION_FINISHED, {"rows": 5, "state_hash": "cd" * 32, "note": "y" * 500})],
)
IN_FLIGHT: list[tuple[Kind, dict[str, Any]]] = [
    (Kind.DECISION, {"row": 6, "targets": list(range(400))}),
    (Kind.ORDER, {"row": 6, "note": "z" * 500}),
]
CASES_MIN = 50_000
SECONDS_MAX = 60


@dataclass(frozen=True)
class Written:
    """A journal, and what its writer knew after each acknowledged batch."""

    log: bytes
    anchor: bytes
    # Length of the log and both files as a killed process leaves them, by number of acknowledged batches.
    ends: tuple[int, ...]
    anchors: tuple[bytes, ...]
    storages: tuple[MemoryStorage, ...]

    @property
    def frames(self) -> list[bytes]:
        return [self.log[start:end] for start, end in itertools.pairwise(self.ends)]


@dataclass
class Tally:
    """Counts cases, and keeps those where the verdict does not follow from what was acknowledged."""

    written: Written
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check(
        self,
        what: str,
        log: bytes,
        anchor: bytes | None,
        expected: Status,
        *,
        acknowledged: int | None = None,
    ) -> None:
        """Judge one case; where it is usable, the `acknowledged` batches must all be there, unchanged."""
        chain = judge(log, anchor)
        self.counts[f"{what}: {expected}"] += 1
        if chain.status is not expected:
            self.wrong.append(f"{what}: {chain.status} instead of {expected}: {chain.problem}")
        if chain.status.usable:
            needed = self.written.ends[len(BATCHES) if acknowledged is None else acknowledged]
            if log[:needed] != self.written.log[:needed] or chain.end < needed:
                self.wrong.append(f"{what}: acknowledged batches were lost and nobody was told")


def clock() -> int:
    return 1_700_000_000_000_000_000


def write_journal() -> Written:
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock, journal_id=JOURNAL_ID)
    storages = [storage.after_kill()]
    for batch in BATCHES:
        journal.append(batch)
        storages.append(storage.after_kill())
    journal.close()
    return Written(
        log=bytes(storage.seen[File.LOG]),
        anchor=bytes(storage.seen[File.ANCHOR]),
        ends=tuple(len(state.seen[File.LOG]) for state in storages),
        anchors=tuple(bytes(state.seen[File.ANCHOR]) for state in storages),
        storages=tuple(storages),
    )


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Return every copy of `data` with one bit changed, and the place of its byte."""
    changed = bytearray(data)
    for place, bit in itertools.product(range(len(data)), range(8)):
        changed[place] ^= 1 << bit
        yield place, bytes(changed)
        changed[place] ^= 1 << bit


def check_truncations(tally: Tally) -> None:
    written = tally.written
    for size in range(len(written.log)):
        tally.check("log cut", written.log[:size], written.anchor, Status.ROLLBACK)
    # The process was killed: nothing but the anchor as each acknowledgement left it says how long the log
    # was.
    for batches, end in enumerate(written.ends):
        for size in range(end):
            tally.check("log cut after a kill", written.log[:size], written.anchors[batches], Status.ROLLBACK)
        # Of the next batch some bytes were written and nobody was told: that is no damage.
        following = written.ends[min(batches + 1, len(BATCHES))]
        for size in range(end, following + 1):
            expected = Status.CLEAN if size in (end, following) else Status.TORN_TAIL
            log = written.log[:size]
            tally.check("batch cut", log, written.anchors[batches], expected, acknowledged=batches)
    # At rest both slots say the same, so that damage to one of them hides nothing.
    for start in (0, SLOT):
        anchor = written.anchor[:start] + bytes(SLOT) + written.anchor[start + SLOT :]
        for size in range(len(written.log)):
            tally.check("log cut, one slot bad", written.log[:size], anchor, Status.ROLLBACK)
    for size in range(len(written.anchor)):
        expected = Status.CLEAN if size >= SLOT else Status.ANCHOR_CORRUPT
        tally.check("anchor cut", written.log, written.anchor[:size], expected)


def check_flips(tally: Tally) -> None:
    written = tally.written
    for _, log in flips(written.log):
        tally.check("log bit", log, written.anchor, Status.CORRUPT)
    # After a kill the anchor was not flushed, and says as much as if it had been.
    for _, log in flips(written.log):
        tally.check("log bit after a kill", log, written.anchors[-1], Status.CORRUPT)
    # A power cut took the anchor back to what it was at the beginning: whole frames after the damage still
    # tell.
    last = written.ends[-2]
    for _, damaged in flips(written.log[:last]):
        log = damaged + written.log[last:]
        tally.check("log bit, old anchor", log, written.anchors[0], Status.CORRUPT)
    for anchor_file in (written.anchor, written.anchors[-1]):
        for place, anchor in flips(anchor_file):
            tally.check("anchor bit", written.log, anchor, Status.CLEAN)
            both = bytearray(anchor)
            both[(place + SLOT) % (2 * SLOT)] ^= 1
            tally.check("anchor bits in both slots", written.log, bytes(both), Status.ANCHOR_CORRUPT)


def check_frames(tally: Tally) -> None:
    """Drop, swap and repeat whole frames: each of them is undamaged, only the order is not."""
    written = tally.written
    frames = written.frames
    orders: set[tuple[int, ...]] = set()
    for length in range(len(frames) + 1):
        orders |= set(itertools.permutations(range(len(frames)), length))
    for place, copied in itertools.product(range(len(frames) + 1), range(len(frames))):
        whole = list(range(len(frames)))
        orders.add((*whole[:place], copied, *whole[place:]))
    for order in sorted(orders):
        log = b"".join(frames[number] for number in order)
        good = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], enumerate(order)))
        if good == len(order):
            expected = Status.CLEAN if good == len(frames) else Status.ROLLBACK
        else:
            expected = Status.CORRUPT
        tally.check("frames moved", log, written.anchor, expected)
        # An anchor from before everything: only an end that is missing altogether cannot be seen.
        if good < len(order):
            tally.check("frames moved, old anchor", log, written.anchors[0], Status.CORRUPT)


def check_anchors(tally: Tally) -> None:
    written = tally.written
    other = MemoryStorage()
    Journal.create(storage=other, clock=clock, journal_id=bytes(16)).append(BATCHES[0])
    tally.check("anchor missing", written.log, None, Status.ANCHOR_CORRUPT)
    for batches, end in enumerate(written.ends):
        tally.check("anchor missing", written.log[:end], None, Status.ANCHOR_CORRUPT)
        tally.check("older anchor", written.log, written.anchors[batches], Status.CLEAN)
        expected = Status.CLEAN if batches == len(BATCHES) else Status.ROLLBACK
        tally.check("older log", written.log[:end], written.anchor, expected)
    tally.check("other anchor", written.log, bytes(other.seen[File.ANCHOR]), Status.CORRUPT)
    tally.check("other log", bytes(other.seen[File.LOG]), written.anchor, Status.CORRUPT)
    for fill in (b"\0", b"\xff", b"\x89GJ1"):
        tally.check("bytes of no frame", written.log + fill * 300, written.anchor, Status.TORN_TAIL)


def repacked(frames: list[bytes], forged: int, *, chained: bool) -> bytes:
    """Return a log in which one frame says something else, with a right checksum.

    With `chained`, the frames after it are written anew, so that the chain is whole.
    """
    log, previous = b"", NO_HASH
    for number, data in enumerate(frames):
        frame = unpack(data, 0)
        assert frame is not None
        kind, body = frame.records[0]
        records = [(kind, body[:-2] + b"!}") if number == forged else (kind, body), *frame.records[1:]]
        packed, digest = pack(
            records,
            batch=frame.batch,
            first_sequence=frame.first_sequence,
            time_ns=frame.time_ns,
            journal_id=frame.journal_id,
            previous=previous if chained else frame.previous,
        )
        log, previous = log + packed, digest
    return log


def check_forgeries(tally: Tally) -> None:
    """Change what a batch says and make its checksum right: damage does not do that, people do."""
    written = tally.written
    for forged in range(len(BATCHES)):
        alone = repacked(written.frames, forged, chained=False)
        tally.check("one frame forged", alone, written.anchor, Status.CORRUPT)
        if forged < len(BATCHES) - 1:
            tally.check("one frame forged, old anchor", alone, written.anchors[0], Status.CORRUPT)
        chained = repacked(written.frames, forged, chained=True)
        for anchor in written.anchors[forged + 1 :]:
            tally.check("all frames forged", chained, anchor, Status.CORRUPT)
    assert repacked(written.frames, -1, chained=True) == written.log


def in_flight(written: Written, batches: int, *, flushed: bool) -> MemoryStorage:
    """Return a disk whose anchor was flushed after `batches`, with a batch written and not flushed."""
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock, journal_id=JOURNAL_ID)
    for number, batch in enumerate(BATCHES):
        if number == batches:
            journal.flush_anchor()
        journal.append(batch)
    if flushed:
        journal.flush_anchor()
    assert bytes(storage.seen[File.LOG]) == written.log
    # The flush of the last batch fails, so that it stands there unflushed.
    storage.faults[storage.operations + 1] = errno.EIO
    before = len(storage.seen[File.LOG])
    with pytest.raises(JournalError):
        journal.append(IN_FLIGHT)
    after = range(before // SECTOR_BYTES, (len(storage.seen[File.LOG]) - 1) // SECTOR_BYTES + 1)
    storage.unsafe[File.LOG] = set(after)
    return storage


def check_power_cuts(tally: Tally) -> list[MemoryStorage]:
    """Cut the power while a batch is written, with every fate of each sector. Returns usable disks."""
    written = tally.written
    disks = []
    for batches in range(0, len(BATCHES), 2):
        storage = in_flight(written, batches, flushed=False)
        first, *sectors = sorted(storage.unsafe[File.LOG])
        # The first sector holds the end of an acknowledged batch too, and a disk writes it whole or not at
        # all.
        assert first * SECTOR_BYTES < len(written.log)
        (slot,) = storage.unsafe[File.ANCHOR]
        fates = itertools.product((Survival.OLD, Survival.NEW), *[Survival] * len(sectors), Survival)
        for fate in fates:
            of = dict(zip([(File.LOG, number) for number in (first, *sectors)], fate[:-1], strict=True)) | {
                (File.ANCHOR, slot): fate[-1]
            }
            disk = storage.after_power_cut(lambda file, sector: of[file, sector])  # noqa: B023
            log, anchor = bytes(disk.seen[File.LOG]), bytes(disk.seen[File.ANCHOR])
            whole = log == written.log or log == bytes(storage.seen[File.LOG])
            expected = Status.CLEAN if whole else Status.TORN_TAIL
            tally.check("power cut", log, anchor, expected)
            disks.append(disk)
    # The sector that two batches share was destroyed as well: the anchor was flushed, so nothing is lost in
    # silence.
    storage = in_flight(written, 0, flushed=True)
    sectors = sorted(storage.unsafe[File.LOG])
    for fate in itertools.product((Survival.ZERO, Survival.GARBAGE), *[Survival] * (len(sectors) - 1)):
        of = dict(zip([(File.LOG, number) for number in sectors], fate, strict=True))
        disk = storage.after_power_cut(lambda file, sector: of[file, sector])  # noqa: B023
        log, anchor = bytes(disk.seen[File.LOG]), bytes(disk.seen[File.ANCHOR])
        tally.check("power cut that destroys", log, anchor, Status.CORRUPT)
    return disks


def test_every_damage_is_named_rightly_and_nothing_acknowledged_is_lost_in_silence() -> None:
    # The time of this process: what else runs beside it is not the journal's.
    began = time.process_time()
    tally = Tally(write_journal())

    for check in (check_truncations, check_flips, check_frames, check_forgeries, check_anchors):
        check(tally)
    check_power_cuts(tally)
    seconds = time.process_time() - began

    for what, count in sorted(tally.counts.items()):
        print(f"{count:>8,}  {what}")  # noqa: T201
    print(f"{tally.counts.total():>8,}  cases in {seconds:.1f} s, {len(tally.wrong)} wrong")  # noqa: T201
    assert tally.wrong == []
    assert tally.counts.total() > CASES_MIN
    assert {what.rpartition(" ")[2] for what in tally.counts} == set(Status) - {Status.SCHEMA_NEWER}
    assert seconds < SECONDS_MAX


def test_what_a_power_cut_leaves_can_be_opened_written_and_verified_again() -> None:
    written = write_journal()
    disks = check_power_cuts(Tally(written))

    for disk in disks[:: max(1, len(disks) // 2_000)]:
        torn = bytes(disk.seen[File.LOG])
        status = judge(torn, bytes(disk.seen[File.ANCHOR])).status
        with Journal.open(storage=disk, clock=clock) as journal:
            journal.append(BATCHES[1])
            head = journal.head
        chain = judge(bytes(disk.seen[File.LOG]), disk.read(File.ANCHOR))
        kinds = [kind for frame in chain.frames for kind, _ in frame.records]
        assert chain.status is Status.CLEAN
        assert chain.head.hex() == head
        assert bytes(disk.seen[File.LOG]).startswith(written.log)
        # What was cut off is kept, and the journal says so.
        assert kinds.count(Kind.TAIL_TRUNCATED) == len(disk.kept) == (status is Status.TORN_TAIL)
        for kept in disk.kept.values():
            assert torn == written.log + kept


def run(storage: MemoryStorage, acknowledged: list[int], *, strict: bool) -> Journal:
    """Write the batches, and count those that were acknowledged."""
    journal = Journal.create(storage=storage, clock=clock, journal_id=JOURNAL_ID, strict=strict)
    for number, batch in enumerate(BATCHES):
        if number == len(BATCHES) // 2:
            journal.flush_anchor()
        journal.append(batch)
        acknowledged.append(number)
    journal.close()
    return journal


Crash = Callable[[MemoryStorage], MemoryStorage]
CRASHES: dict[str, Crash] = {
    "kill": lambda storage: storage.after_kill(),
    "kill, then power cut": lambda storage: storage.after_kill().after_power_cut(lambda *_: Survival.OLD),
    "power cut, nothing left": lambda storage: storage.after_power_cut(lambda *_: Survival.OLD),
    "power cut, all left": lambda storage: storage.after_power_cut(lambda *_: Survival.NEW),
    "power cut, anchor left": lambda storage: storage.after_power_cut(
        lambda file, _: Survival.NEW if file is File.ANCHOR else Survival.OLD
    ),
    "power cut, log left": lambda storage: storage.after_power_cut(
        lambda file, _: Survival.NEW if file is File.LOG else Survival.ZERO
    ),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_after_an_error_at_any_operation_nothing_acknowledged_is_lost(
    crash: str, code: int, strict: bool
) -> None:
    whole = MemoryStorage()
    run(whole, [], strict=strict)
    failed = 0
    for operation in range(whole.operations):
        storage, acknowledged = MemoryStorage(faults={operation: code}), list[int]()
        failure = None
        try:
            run(storage, acknowledged, strict=strict)
        except JournalError as error:
            failure = error.code
            failed += 1
        assert failure in (None, JournalCode.DISK_FULL if code == errno.ENOSPC else JournalCode.JOURNAL_IO)
        if File.ANCHOR not in storage.seen:
            continue
        disk = CRASHES[crash](storage)
        with Journal.open(storage=disk, clock=clock) as journal:
            assert journal.batches in (len(acknowledged), len(acknowledged) + 1)
        frames = judge(bytes(disk.seen[File.LOG]), disk.read(File.ANCHOR)).frames
        assert [tuple(kind for kind, _ in frame.records) for frame in frames] == [
            tuple(kind for kind, _ in batch) for batch in BATCHES[: len(frames)]
        ]
    # Where a write finds no room the ballast gives it; every other error ends the journal.
    assert failed == whole.operations or (code == errno.ENOSPC and failed > len(BATCHES))


def test_a_batch_whose_flush_failed_is_written_again_before_it_counts() -> None:
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock)
    journal.append(BATCHES[0])
    storage.faults[storage.operations + 1] = errno.EIO
    with pytest.raises(JournalError):
        journal.append(BATCHES[1])

    # The next process still reads the batch from memory, takes it up and goes on; then the power is cut.
    disk = storage.after_kill()
    reopened = Journal.open(storage=disk, clock=clock)
    assert reopened.batches == 2
    reopened.append(BATCHES[2])
    left = disk.after_power_cut(lambda *_: Survival.OLD)

    assert Journal.open(storage=left, clock=clock).batches == 3


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        (lambda log, anchor: (log[:-1], anchor), Status.ROLLBACK),
        (lambda log, anchor: (b"\0" + log[1:], anchor), Status.CORRUPT),
        (lambda log, anchor: (log, bytes(len(anchor))), Status.ANCHOR_CORRUPT),
    ],
)
def test_a_journal_that_cannot_be_trusted_is_refused_and_left_as_it_is(
    damage: Callable[[bytes, bytes], tuple[bytes, bytes]], status: Status
) -> None:
    written = write_journal()
    log, anchor = damage(written.log, written.anchor)
    storage = MemoryStorage()
    storage.seen = {File.LOG: bytearray(log), File.ANCHOR: bytearray(anchor)}

    with pytest.raises(JournalError) as refused:
        Journal.open(storage=storage, clock=clock)

    assert refused.value.code is CODES[status]
    assert str(refused.value).startswith(refused.value.code)
    assert storage.operations == 0
    assert storage.closed
    assert (storage.read(File.LOG), storage.read(File.ANCHOR)) == (log, anchor)


@pytest.mark.parametrize(("strict", "status"), [(False, Status.TORN_TAIL), (True, Status.CORRUPT)])
def test_only_a_strict_journal_tells_damage_after_a_power_cut_from_a_torn_batch(
    strict: bool, status: Status
) -> None:
    # The one limit: a power cut takes the anchor back, and then the last batch is damaged as well.
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock, strict=strict)
    for batch in BATCHES:
        journal.append(batch)
    disk = storage.after_power_cut(lambda *_: Survival.OLD)

    disk.seen[File.LOG][-1] ^= 1

    assert judge(bytes(disk.seen[File.LOG]), disk.read(File.ANCHOR)).status is status
