"""Codes and files of the past: a code keeps its meaning for ever, and an old journal stays readable."""

import shutil
from pathlib import Path

import pytest

from engine.domain.errors import JournalCode, JournalError
from engine.journal.canonical import encode
from engine.journal.frames import NO_HASH, pack, unpack
from engine.journal.journal import Journal
from engine.journal.kinds import FACTS, RETIRED, SCHEMA_VERSION, Kind
from engine.journal.memory import MemoryStorage
from engine.journal.reading import read, verify
from engine.journal.storage import File

GOLDEN = Path(__file__).parents[1] / "golden" / "journal_v1"
GOLDEN_ID = b"golden journal 1"
GOLDEN_HEAD = "a3e75235648bc048b15ea0cc391a1cf1ac0353764dd9db98123761d575b40f65"
GOLDEN_CONTENT_HASH = "ffb70f520c2351a8cac5175a940abd0fb89ddba0c365c486e0722b7d145c5733"

# Every code that was ever published. Lines are added and never changed: a kind that is no longer written goes
# into RETIRED and stays here.
PUBLISHED = {
    1: "SESSION_STARTED",
    2: "WEIGHTS",
    3: "BAR",
    4: "DECISION",
    5: "ORDER",
    6: "FILL",
    7: "ORDER_CLOSED",
    8: "CASH",
    9: "SESSION_FINISHED",
    10: "PROMOTED",
    11: "SCAN_STARTED",
    12: "SCAN_FINISHED",
    100: "SESSION_RESUMED",
    101: "TAIL_TRUNCATED",
    102: "SESSION_INTERRUPTED",
}


# Those that the first schema had.
FIRST = frozenset(range(1, 11)) | {100, 101, 102}


def golden_batches() -> list[list[tuple[Kind, dict[str, object]]]]:
    """Return what the golden journal says: one record of every kind, and every type that a body may hold."""
    batches: list[list[tuple[Kind, dict[str, object]]]] = [
        [(kind, {"code": int(kind), "name": kind.name})] for kind in Kind if kind in FIRST
    ]
    batches.append(
        [
            (Kind.BAR, {"text": 'Zürich "1"\n\u0001', "flag": True, "none": None, "most": 2**53 - 1}),
            (Kind.DECISION, {"targets": [1, None, -(2**53 - 1)], "nested": {"b": [], "a": {}}}),
        ]
    )
    return batches


def golden_log() -> bytes:
    """Return the golden journal. This made the file in the repository once; it is never made again."""
    log, previous, first = b"", NO_HASH, 0
    for number, batch in enumerate(golden_batches()):
        frame, previous = pack(
            [(int(kind), encode(body)) for kind, body in batch],
            batch=number,
            first_sequence=first,
            time_ns=1_700_000_000_000_000_000 + number * 1_000_000_007,
            journal_id=GOLDEN_ID,
            previous=previous,
            schema=1,
        )
        log, first = log + frame, first + len(batch)
    return log


def test_a_published_code_is_never_used_again_for_something_else() -> None:
    assert {kind.value: kind.name for kind in Kind} == PUBLISHED
    assert set(Kind) >= RETIRED
    # An alias would hide that two names share one code.
    assert len(Kind.__members__) == len(Kind)


def test_facts_are_what_was_known_decided_and_done() -> None:
    assert {kind.name for kind in Kind} - {kind.name for kind in FACTS} == {
        "SESSION_RESUMED",
        "TAIL_TRUNCATED",
        "SESSION_INTERRUPTED",
    }


def test_a_journal_of_the_first_schema_is_read_as_it_was_written() -> None:
    verification = verify(GOLDEN)
    records = list(read(GOLDEN))

    assert (verification.status, verification.head, verification.content_hash) == (
        "CLEAN",
        GOLDEN_HEAD,
        GOLDEN_CONTENT_HASH,
    )
    written = [record for batch in golden_batches() for record in batch]
    assert [(record.kind, record.body) for record in records] == written
    assert [record.time_ns % 1_000_000_007 for record in records[:2]] == [
        1_700_000_000_000_000_000 % 1_000_000_007
    ] * 2


def test_a_journal_of_the_first_schema_can_be_carried_on(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "copy")

    with Journal.open(tmp_path / "copy", clock=lambda: 0) as journal:
        sequence = journal.append([(Kind.BAR, {"row": 0})])

    assert sequence == len(list(read(GOLDEN)))
    assert verify(tmp_path / "copy").status == "CLEAN"


def test_the_same_batches_give_the_same_bytes() -> None:
    assert golden_log() == (GOLDEN / "journal.log").read_bytes()


def test_a_journal_carried_on_by_a_newer_engine_has_frames_of_both_schemas(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "copy")
    with Journal.open(tmp_path / "copy", clock=lambda: 0) as journal:
        journal.append([(Kind.SCAN_STARTED, {"data": "us20"})])

    log = (tmp_path / "copy" / "journal.log").read_bytes()
    last = unpack(log, (GOLDEN / "journal.log").stat().st_size)

    assert log.startswith(golden_log())
    assert last is not None
    assert (last.schema, SCHEMA_VERSION) == (2, 2)


@pytest.mark.parametrize(("schema", "kind"), [(SCHEMA_VERSION + 1, Kind.BAR), (SCHEMA_VERSION, 77)])
def test_what_a_newer_engine_wrote_is_refused_by_name(schema: int, kind: int) -> None:
    storage = MemoryStorage()
    Journal.create(storage=storage, clock=lambda: 0, journal_id=GOLDEN_ID)
    frame, _ = pack(
        [(kind, b"{}")],
        batch=0,
        first_sequence=0,
        time_ns=0,
        journal_id=GOLDEN_ID,
        previous=NO_HASH,
        schema=schema,
    )
    storage.write(File.LOG, frame, 0)

    with pytest.raises(JournalError, match=r"schema 3|kinds \[77\]") as refused:
        Journal.open(storage=storage, clock=lambda: 0)

    assert refused.value.code is JournalCode.SCHEMA_NEWER
    assert bytes(storage.seen[File.LOG]) == frame


def test_a_body_that_no_journal_writes_is_refused_with_its_batch(tmp_path: Path) -> None:
    Journal.create(tmp_path, clock=lambda: 0, journal_id=GOLDEN_ID).close()
    frame, _ = pack(
        [(Kind.BAR, b'{"row": 1}')],
        batch=0,
        first_sequence=0,
        time_ns=0,
        journal_id=GOLDEN_ID,
        previous=NO_HASH,
    )
    (tmp_path / "journal.log").write_bytes(frame)

    with pytest.raises(JournalError, match="batch 0: not canonical") as refused:
        list(read(tmp_path))

    assert refused.value.code is JournalCode.LEDGER_CORRUPT
