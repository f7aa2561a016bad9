"""What stands in the files of a journal, worked out by hand, and what its writer refuses."""

import collections
import errno
import hashlib
import os
import stat
import struct
from pathlib import Path

import google_crc32c
import pytest

from engine.domain.errors import InputError, InvalidValueError, JournalCode, JournalError
from engine.journal import storage as storage_module
from engine.journal.frames import MAGIC
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.memory import MemoryStorage
from engine.journal.reading import read, verify
from engine.journal.space import Mode, mode_of
from engine.journal.storage import BALLAST_BYTES, File

JOURNAL_ID = b"0123456789abcdef"
NOON = 1_700_000_000_000_000_000


def clock() -> int:
    return NOON


def test_a_batch_is_one_frame_of_the_written_layout() -> None:
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock, journal_id=JOURNAL_ID)

    journal.append([(Kind.BAR, {"row": 7}), (Kind.CASH, {"row": 7})])
    journal.append([(Kind.BAR, {"row": 8})])

    body = b'{"row":7}'
    records = struct.pack("<IH", 9, 3) + body + struct.pack("<IH", 9, 8) + body + b"\0\0"
    fields = (b"\x89GJ1", 32, 0, 2, 0, 0, NOON, JOURNAL_ID, bytes(32), 2)
    unsigned = struct.pack("<4sIIIQQq16s32sQ", *fields) + records
    checksum = google_crc32c.value(unsigned)
    first = unsigned[:8] + struct.pack("<I", checksum) + unsigned[12:]
    log = bytes(storage.seen[File.LOG])
    assert log[:128] == first
    assert len(log) == 128 + 96 + 16
    second = struct.unpack_from("<4sIIIQQq16s32sQ", log, 128)
    assert second[3:9] == (1, 1, 2, NOON, JOURNAL_ID, hashlib.sha256(unsigned).digest())
    assert journal.head == hashlib.sha256(log[128:136] + bytes(4) + log[140:]).hexdigest()


def test_the_anchor_says_where_the_log_ends_before_a_batch_is_acknowledged() -> None:
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock, journal_id=JOURNAL_ID)

    journal.append([(Kind.BAR, {"row": 7})])

    log, anchor = storage.seen[File.LOG], bytes(storage.seen[File.ANCHOR])
    content = struct.pack("<4sQQQQ16s", b"\x89GA1", 2, 1, 1, len(log), JOURNAL_ID)
    content += bytes.fromhex(journal.head)
    assert anchor[4:512] == content.ljust(508, b"\0")
    assert anchor[:4] == struct.pack("<I", google_crc32c.value(anchor[4:512]))
    assert len(anchor) == 1024


def test_the_content_hash_is_of_the_facts_alone() -> None:
    first = Journal.create(storage=MemoryStorage(), clock=clock)
    first.append([(Kind.BAR, {"row": 0}), (Kind.CASH, {"row": 0})])
    other = Journal.create(storage=MemoryStorage(), clock=lambda: 5)
    other.append([(Kind.BAR, {"row": 0})])
    other.append([(Kind.SESSION_RESUMED, {"row": 0, "sequence": 1}), (Kind.CASH, {"row": 0})])

    bar = hashlib.sha256(b"\x03\x00" + b'{"row":0}').digest()
    cash = hashlib.sha256(b"\x08\x00" + b'{"row":0}').digest()
    after_bar = hashlib.sha256(bytes(32) + bar).digest()
    assert first.content_hash == hashlib.sha256(after_bar + cash).hexdigest()
    assert other.content_hash == first.content_hash
    assert other.head != first.head


def test_records_are_counted_from_0_and_read_as_they_were_written(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "j", clock=clock) as journal:
        assert journal.append([(Kind.BAR, {"row": 0}), (Kind.CASH, {"what": "Zürich"})]) == 1
        assert journal.append([(Kind.BAR, {"row": 1})]) == 2
        assert (journal.next_sequence, journal.batches) == (3, 2)

    records = list(read(tmp_path / "j"))

    assert [(r.sequence, r.batch, r.kind, r.body, r.time_ns) for r in records] == [
        (0, 0, Kind.BAR, {"row": 0}, NOON),
        (1, 0, Kind.CASH, {"what": "Zürich"}, NOON),
        (2, 1, Kind.BAR, {"row": 1}, NOON),
    ]
    assert records[0].content_hash == hashlib.sha256(b"\x03\x00" + b'{"row":0}').hexdigest()
    assert list(read(tmp_path / "j", offset=records[1].end)) == records[2:]
    assert list(read(tmp_path / "j", offset=records[2].end)) == []


def test_reading_goes_on_from_where_it_stopped_and_sees_damage_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    with Journal.create(folder, clock=clock) as journal:
        journal.append([(Kind.BAR, {"row": 0})])
        stopped = list(read(folder))[-1].end
        journal.append([(Kind.BAR, {"row": 1})])
        journal.append([(Kind.BAR, {"row": 2})])
        assert [r.sequence for r in read(folder, offset=stopped)] == [1, 2]
    log = folder / "journal.log"
    whole = log.read_bytes()

    for damaged, code in (
        (whole[:-1], JournalCode.LEDGER_ROLLBACK),
        (whole[:stopped], JournalCode.LEDGER_ROLLBACK),
        (whole[:-1] + b"\1", JournalCode.LEDGER_CORRUPT),
        (whole + whole[stopped : 2 * stopped], JournalCode.LEDGER_CORRUPT),
    ):
        log.write_bytes(damaged)
        with pytest.raises(JournalError) as refused:
            read(folder, offset=stopped)
        assert refused.value.code is code


def test_a_body_that_cannot_be_written_leaves_the_journal_as_it_was() -> None:
    journal = Journal.create(storage=MemoryStorage(), clock=clock)
    with pytest.raises(InvalidValueError, match="cash"):
        journal.append([(Kind.BAR, {"row": 0}), (Kind.CASH, {"cash": 1.5})])
    with pytest.raises(InvalidValueError, match="at least one record"):
        journal.append([])

    assert journal.append([(Kind.BAR, {"row": 0})]) == 0


def test_a_retired_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.journal.journal.RETIRED", frozenset({Kind.CASH}))
    journal = Journal.create(storage=MemoryStorage(), clock=clock)

    with pytest.raises(InvalidValueError, match="CASH is retired"):
        journal.append([(Kind.CASH, {"row": 0})])


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_after_the_first_error_nothing_is_written_any_more(failing: int) -> None:
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock)
    journal.append([(Kind.BAR, {"row": 0})])
    # Of one batch: the write, its flush, and the write of the anchor.
    storage.faults = {storage.operations + failing: errno.EIO}
    with pytest.raises(JournalError) as first:
        journal.append([(Kind.BAR, {"row": 1})])
    operations, files = storage.operations, (bytes(storage.seen[File.LOG]), bytes(storage.seen[File.ANCHOR]))

    for attempt in (lambda: journal.append([(Kind.BAR, {"row": 2})]), journal.flush_anchor):
        with pytest.raises(JournalError, match="nothing more is written") as later:
            attempt()
        assert later.value.code is JournalCode.JOURNAL_IO
    journal.close()

    assert first.value.code is JournalCode.JOURNAL_IO
    assert storage.operations == operations
    assert (bytes(storage.seen[File.LOG]), bytes(storage.seen[File.ANCHOR])) == files


def test_an_interrupted_batch_ends_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock)

    def interrupted(_: File) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "sync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.append([(Kind.BAR, {"row": 0})])
    monkeypatch.undo()

    with pytest.raises(JournalError, match="interrupted"):
        journal.append([(Kind.BAR, {"row": 1})])


def test_writes_that_take_a_part_only_are_carried_on() -> None:
    whole, parts = MemoryStorage(), MemoryStorage(take_max=7)
    for storage in (whole, parts):
        with Journal.create(storage=storage, clock=clock, journal_id=JOURNAL_ID) as journal:
            journal.append([(Kind.BAR, {"row": 0}), (Kind.CASH, {"row": 0})])

    assert parts.seen == whole.seen
    assert parts.operations > whole.operations


def test_a_disk_that_takes_nothing_is_an_error_and_no_endless_loop() -> None:
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock)
    storage.take_max = 0

    with pytest.raises(JournalError, match="takes no bytes"):
        journal.append([(Kind.BAR, {"row": 0})])


def test_on_a_full_disk_the_ballast_holds_the_last_batches() -> None:
    storage = MemoryStorage(room=BALLAST_BYTES + 1000)
    journal = Journal.create(storage=storage, clock=clock)
    bar = {"row": 0, "note": "x" * 700}
    journal.append([(Kind.BAR, bar)])
    before = journal.disk_full

    journal.append([(Kind.BAR, bar)])
    asked = journal.space()
    with pytest.raises(JournalError) as full:
        collections.deque((journal.append([(Kind.BAR, bar)]) for _ in range(BALLAST_BYTES)), maxlen=0)

    assert (before, journal.disk_full, asked) == (False, True, Mode.KILL)
    assert full.value.code is JournalCode.DISK_FULL
    assert journal.batches > 1000
    disk = storage.after_kill()
    with Journal.open(storage=disk, clock=clock) as reopened:
        assert reopened.batches == journal.batches + 1
        assert len(disk.kept) == 1


@pytest.mark.parametrize(
    ("free", "mode"),
    [
        (10**12, Mode.ACTIVE),
        (10**9, Mode.ACTIVE),
        (10**9 - 1, Mode.REDUCE_ONLY),
        (256 * 10**6, Mode.REDUCE_ONLY),
        (256 * 10**6 - 1, Mode.KILL),
        (0, Mode.KILL),
    ],
)
def test_room_on_the_disk_asks_for_a_mode(free: int, mode: Mode) -> None:
    assert mode_of(free) is mode


def test_files_are_for_the_user_alone_and_the_ballast_goes_with_the_process(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "deep" / "j"
    with Journal.create(folder, clock=clock) as journal:
        journal.append([(Kind.BAR, {"row": 0})])
        assert (folder / "journal.ballast").stat().st_size == BALLAST_BYTES
        assert (folder / "journal.ballast").stat().st_blocks * 512 >= BALLAST_BYTES
        assert journal.space() in Mode

    assert sorted(path.name for path in folder.iterdir()) == ["journal.anchor", "journal.log"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_torn_batch_is_kept_before_it_is_cut_off_and_both_are_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    with Journal.create(folder, clock=clock) as journal:
        journal.append([(Kind.BAR, {"row": 0})])
        content_hash = journal.content_hash
    torn = MAGIC + b"half a batch"
    with (folder / "journal.log").open("ab") as log:
        log.write(torn)
    size = (folder / "journal.log").stat().st_size
    assert verify(folder).status == "TORN_TAIL"
    assert [record.body for record in read(folder)] == [{"row": 0}]
    assert (folder / "journal.log").stat().st_size == size

    Journal.open(folder, clock=clock).close()

    (kept,) = (folder / "quarantine").iterdir()
    last = list(read(folder))[-1]
    assert kept.read_bytes() == torn
    assert last.kind is Kind.TAIL_TRUNCATED
    assert last.body == {
        "bytes": len(torn),
        "sha256": hashlib.sha256(torn).hexdigest(),
        "file": kept.name,
    }
    assert verify(folder).status == "CLEAN"
    assert verify(folder).content_hash == content_hash
    Journal.open(folder, clock=clock).close()
    assert len(list(read(folder))) == 2


def test_a_crash_between_cutting_and_recording_is_made_good(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    with Journal.create(folder, clock=clock) as journal:
        journal.append([(Kind.BAR, {"row": 0})])
    (folder / "quarantine").mkdir()
    (folder / "quarantine" / "tail-112-0123456789abcdef.bin").write_bytes(b"torn")

    Journal.open(folder, clock=clock).close()

    assert [record.kind for record in read(folder)] == [Kind.BAR, Kind.TAIL_TRUNCATED]


def test_a_journal_is_made_once(tmp_path: Path) -> None:
    with Journal.create(tmp_path, clock=clock) as journal:
        journal.append([(Kind.BAR, {"row": 0})])

    with pytest.raises(JournalError) as refused:
        Journal.create(tmp_path, clock=clock)

    assert refused.value.code is JournalCode.JOURNAL_EXISTS
    assert len(list(read(tmp_path))) == 1


def test_a_creation_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "journal.log").touch()

    with pytest.raises(JournalError) as unsure:
        Journal.open(tmp_path, clock=clock)
    with Journal.create(tmp_path, clock=clock) as journal:
        journal.append([(Kind.BAR, {"row": 0})])

    assert unsure.value.code is JournalCode.ANCHOR_CORRUPT
    assert verify(tmp_path).status == "CLEAN"


def test_a_log_that_was_deleted_is_missed(tmp_path: Path) -> None:
    with Journal.create(tmp_path, clock=clock) as journal:
        journal.append([(Kind.BAR, {"row": 0})])
    (tmp_path / "journal.log").unlink()

    for attempt in (Journal.open, Journal.create):
        with pytest.raises(JournalError):
            attempt(tmp_path, clock=clock)
    (tmp_path / "journal.log").unlink(missing_ok=True)

    assert verify(tmp_path).status == "ROLLBACK"


def test_a_folder_without_a_journal_is_named(tmp_path: Path) -> None:
    for attempt in (lambda: Journal.open(tmp_path / "no", clock=clock), lambda: read(tmp_path / "no")):
        with pytest.raises(InputError, match="holds no journal"):
            attempt()
    assert not (tmp_path / "no").exists()


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "journal.log").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(JournalError) as refused:
        Journal.create(tmp_path / "j", clock=clock)

    assert refused.value.code is JournalCode.JOURNAL_IO


def test_one_process_cannot_write_a_journal_twice(tmp_path: Path) -> None:
    with Journal.create(tmp_path, clock=clock), pytest.raises(JournalError) as refused:
        Journal.open(tmp_path, clock=clock)

    assert refused.value.code is JournalCode.LOCK_HELD
    assert f"process {os.getpid()}" in str(refused.value)


def test_a_network_disk_is_refused_and_an_overlay_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay, ext4, tmpfs, btrfs, xfs = 0x794C7630, 0xEF53, 0x01021994, 0x9123683E, 0x58465342
    local = {overlay, ext4, tmpfs, btrfs, xfs}
    assert local & set(storage_module._NETWORK_DISKS) == set()
    Journal.create(tmp_path / "local", clock=clock).close()

    monkeypatch.setattr(storage_module, "_NETWORK_DISKS", dict.fromkeys(local, "NFS"))
    with pytest.raises(JournalError) as refused:
        Journal.create(tmp_path / "remote", clock=clock)

    assert refused.value.code is JournalCode.NETWORK_DISK
    assert "is on NFS" in str(refused.value)


def test_a_closed_journal_says_so_and_closes_twice(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, clock=clock)
    journal.close()
    journal.close()

    with pytest.raises(InvalidValueError, match="closed"):
        journal.append([(Kind.BAR, {"row": 0})])


def test_a_copy_made_anchor_first_is_a_valid_beginning(tmp_path: Path) -> None:
    storage = MemoryStorage()
    journal = Journal.create(storage=storage, clock=clock)
    journal.append([(Kind.BAR, {"row": 0})])
    (tmp_path / "journal.anchor").write_bytes(storage.seen[File.ANCHOR])
    journal.append([(Kind.BAR, {"row": 1})])
    (tmp_path / "journal.log").write_bytes(storage.seen[File.LOG])

    verification = verify(tmp_path)

    assert (verification.status, verification.batches, verification.facts) == ("CLEAN", 2, 2)
    assert (verification.head, verification.content_hash) == (journal.head, journal.content_hash)
