"""Real processes on a real disk: killed while writing, kept out while another writes, watched at it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.domain.errors import JournalCode, JournalError
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.reading import read, verify

REPOSITORY = Path(__file__).parents[2]
KILLS = 10
# Written until killed; what is printed was acknowledged before.
WRITER = """
import sys, time
from pathlib import Path
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
with Journal.open(Path(sys.argv[1]), clock=time.time_ns) as journal:
    print("open", flush=True)
    while True:
        row = journal.next_sequence
        body = {"row": row, "note": "x" * (row * 37 % 3000)}
        print(journal.append([(Kind.BAR, body), (Kind.DECISION, {"row": row})]), flush=True)
"""
FILLER = """
import resource, sys, time
from pathlib import Path
from engine.domain.errors import JournalError
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
journal = Journal.open(Path(sys.argv[1]), clock=time.time_ns)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
for attempt in range(2):
    try:
        while True:
            print(journal.append([(Kind.BAR, {"row": 0, "note": "x" * 700})]), flush=True)
    except JournalError as error:
        print(error.code, flush=True)
"""


@contextmanager
def running(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that prints, and end it."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process: subprocess.Popen[str], count: int) -> list[str]:
    """Return the next lines that a process prints."""
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    Journal.create(folder, clock=lambda: 0).close()
    acknowledged = -1
    killed_in_a_batch = 0
    for round_number in range(KILLS):
        with running(WRITER, str(folder)) as process:
            printed = lines_of(process, 2 + round_number * 5)
            # A little later each time, so that the kill meets another moment of a batch.
            time.sleep(round_number * 0.0003)
            process.send_signal(signal.SIGKILL)
            assert process.stdout is not None
            printed += process.stdout.read().split()
        acknowledged = max(acknowledged, *(int(line) for line in printed if line.isdigit()))

        records = list(read(folder))
        killed_in_a_batch += verify(folder).status == "TORN_TAIL" or records[-1].sequence > acknowledged

        assert [record.sequence for record in records] == list(range(len(records)))
        assert acknowledged < len(records) <= acknowledged + 4
        bars = [record for record in records if record.kind is Kind.BAR]
        assert all(bar.body["note"] == "x" * (bar.body["row"] * 37 % 3000) for bar in bars)
    assert acknowledged > KILLS * 2
    with Journal.open(folder, clock=lambda: 0) as journal:
        assert journal.next_sequence > acknowledged
    assert verify(folder).status == "CLEAN"
    print(f"{acknowledged + 1} records, {killed_in_a_batch} of {KILLS} kills met a batch")  # noqa: T201


def test_a_second_process_is_refused_and_told_who_holds_the_lock(tmp_path: Path) -> None:
    with Journal.create(tmp_path, clock=lambda: 0) as journal:
        journal.append([(Kind.BAR, {"row": 0})])
        second = subprocess.run(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert journal.append([(Kind.BAR, {"row": 1})]) == 1

    assert second.returncode == 1
    assert second.stdout == ""
    assert f"LOCK_HELD: {tmp_path} is being written by process {os.getpid()}" in second.stderr
    assert len(list(read(tmp_path))) == 2


def test_a_killed_process_gives_the_lock_back(tmp_path: Path) -> None:
    Journal.create(tmp_path, clock=lambda: 0).close()
    with running(WRITER, str(tmp_path)) as process:
        lines_of(process, 1)
        with pytest.raises(JournalError) as refused:
            Journal.open(tmp_path, clock=lambda: 0)
        process.send_signal(signal.SIGKILL)
        process.wait()

    Journal.open(tmp_path, clock=lambda: 0).close()

    assert refused.value.code is JournalCode.LOCK_HELD
    assert f"process {process.pid}" in str(refused.value)


def test_a_reader_sees_whole_batches_while_another_process_writes(tmp_path: Path) -> None:
    Journal.create(tmp_path, clock=lambda: 0).close()
    seen, offset, folds = 0, 0, 0
    with running(WRITER, str(tmp_path)) as process:
        lines_of(process, 3)
        began = time.monotonic()
        # Longer where the other worker of a parallel run leaves the two of them little time.
        while (elapsed := time.monotonic() - began) < 0.7 or (folds <= 5 and elapsed < 60):
            assert verify(tmp_path).status in ("CLEAN", "TORN_TAIL")
            records = list(read(tmp_path, offset=offset))
            folds += bool(records)
            assert [record.sequence for record in records] == list(range(seen, seen + len(records)))
            seen, offset = seen + len(records), records[-1].end if records else offset

    assert folds > 5
    whole = list(read(tmp_path))
    assert whole[seen - 1].end == offset


def test_copies_made_anchor_first_while_another_process_writes_are_valid(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    Journal.create(folder, clock=lambda: 0).close()
    with running(WRITER, str(folder)) as process:
        for number in range(20):
            copy = tmp_path / str(number)
            copy.mkdir()
            lines_of(process, 3)
            for name in ("journal.anchor", "journal.log"):
                (copy / name).write_bytes((folder / name).read_bytes())
    batches = []
    for number in range(20):
        Journal.open(tmp_path / str(number), clock=lambda: 0).close()
        verification = verify(tmp_path / str(number))
        assert verification.status == "CLEAN"
        batches.append(verification.batches)

    assert batches == sorted(batches)
    assert batches[0] < batches[-1]


def test_where_the_file_may_not_grow_the_journal_ends_with_its_last_acknowledged_batch(
    tmp_path: Path,
) -> None:
    Journal.create(tmp_path, clock=lambda: 0).close()
    result = subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path), "50000"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    *acknowledged, first, second = result.stdout.split()

    assert (first, second) == ("DISK_FULL", "DISK_FULL")
    assert len(acknowledged) > 50
    assert verify(tmp_path).status == "TORN_TAIL"
    assert len(list(read(tmp_path))) == len(acknowledged)
    with Journal.open(tmp_path, clock=lambda: 0) as journal:
        # One record says that a part of a batch was cut off.
        assert journal.next_sequence == len(acknowledged) + 1
        journal.append([(Kind.BAR, {"row": 1})])
    assert verify(tmp_path).status == "CLEAN"
