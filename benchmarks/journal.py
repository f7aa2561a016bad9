"""What safety costs: batches a second of the journal, beside the same bytes appended and flushed alone.

`python -m benchmarks.journal` prints the figures; `measure_journal` returns them.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.home import state_folder
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.reading import read, verify

PAIRS = 41
BATCHES_A_BLOCK = 50
READ_BATCHES = 5_000

Batch = Sequence[tuple[Kind, Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class JournalTimes:
    """Medians over interleaved blocks of batches, on the disk of the state folder.

    Attributes
    ----------
    batches_per_s, raw_batches_per_s
        Of the journal, and of a file to which the same bytes are appended and flushed.
    ratio
        The first over the second, median over pairs: 1 is as fast as the disk.
    append_us, raw_us
        Wall time of one batch.
    cpu_us
        CPU time of one batch of the journal.
    batch_bytes, records_per_batch
        Size of what was written.
    verify_s, read_s
        To check, and to check and decode, `read_batches` batches.
    """

    batches_per_s: float
    raw_batches_per_s: float
    ratio: float
    append_us: float
    raw_us: float
    cpu_us: float
    batch_bytes: int
    records_per_batch: int
    read_batches: int
    verify_s: float
    read_s: float


def batch_of(row: int) -> Batch:
    """Return what a bar of ten instruments with one order writes: three records of some 400 bytes."""
    numbers = "9a9999999999b93f" * 10
    return (
        (
            Kind.BAR,
            {"row": row, "opened_us": 1_700_000_000_000_000, "fields": {"close": numbers, "volume": numbers}},
        ),
        (
            Kind.DECISION,
            {
                "row": row,
                "signals": numbers,
                "targets": [100] * 10,
                "reasons": [0] * 10,
                "causes": [1] * 10,
                "lots": [100] * 10,
                "cash": "00000000006af840",
                "equity": "00000000006af840",
                "scale": "000000000000f03f",
                "mode": "ACTIVE",
            },
        ),
        (
            Kind.ORDER,
            {
                "row": row,
                "order": row,
                "client_order_id": "0123456789abcdef" * 2,
                "instrument": 3,
                "lots": -100,
                "kind": "market",
                "limit_e8": 0,
                "trigger_e8": 0,
                "time_in_force": "day",
                "expires": None,
                "cause": 1,
                "reason": 0,
                "parent": None,
                "note": "x" * 120,
            },
        ),
    )


@contextmanager
def _folder() -> Iterator[Path]:
    # Where real journals are: a temporary folder may be in memory, and memory flushes nothing.
    state_folder().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-journal-", dir=state_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def measure_journal(
    pairs: int = PAIRS, *, batches_a_block: int = BATCHES_A_BLOCK, read_batches: int = READ_BATCHES
) -> JournalTimes:
    """Measure the journal and the bare disk in turn, so that a slow disk and other load meet both.

    Parameters
    ----------
    pairs
        Of blocks; the order within a pair alternates. One more is run first and not counted.
    """
    ours: list[float] = []
    raw: list[float] = []
    cpu: list[float] = []
    with _folder() as folder:
        with Journal.create(folder / "journal", clock=time.time_ns) as journal:  # noqa: TID251 edge of a benchmark
            journal.append(batch_of(0))
            data = (folder / "journal" / "journal.log").read_bytes()
            descriptor = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            row = 0
            for pair in range(pairs + 1):
                for ours_now in (pair % 2 == 0, pair % 2 == 1):
                    # Bodies are made by the pipeline; writing them is what is timed.
                    batches = [batch_of(row + number) for number in range(batches_a_block)]
                    row += batches_a_block if ours_now else 0
                    began, cpu_began = time.perf_counter(), time.process_time()
                    if ours_now:
                        for batch in batches:
                            journal.append(batch)
                    else:
                        for _ in batches:
                            os.write(descriptor, data)
                            os.fdatasync(descriptor)
                    wall = (time.perf_counter() - began) / batches_a_block
                    if pair == 0:
                        continue
                    (ours if ours_now else raw).append(wall)
                    if ours_now:
                        cpu.append((time.process_time() - cpu_began) / batches_a_block)
            os.close(descriptor)
        verify_s, read_s = _reading_seconds(folder, read_batches)
    return JournalTimes(
        batches_per_s=1 / statistics.median(ours),
        raw_batches_per_s=1 / statistics.median(raw),
        ratio=statistics.median(bare / whole for whole, bare in zip(ours, raw, strict=True)),
        append_us=statistics.median(ours) * 1e6,
        raw_us=statistics.median(raw) * 1e6,
        cpu_us=statistics.median(cpu) * 1e6,
        batch_bytes=len(data),
        records_per_batch=len(batch_of(0)),
        read_batches=read_batches,
        verify_s=verify_s,
        read_s=read_s,
    )


def _reading_seconds(folder: Path, batches: int) -> tuple[float, float]:
    with Journal.create(folder / "long", clock=lambda: 0) as journal:
        for row in range(batches):
            journal.append(batch_of(row))
    verifying, reading = [], []
    for _ in range(3):
        began = time.perf_counter()
        assert verify(folder / "long").batches == batches
        verifying.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert sum(1 for _ in read(folder / "long")) == batches * len(batch_of(0))
        reading.append(time.perf_counter() - began)
    return min(verifying), min(reading)


def show(times: JournalTimes) -> None:
    """Print the figures."""
    print(
        "    journal: {batches_per_s:,.0f} batches/s of {records_per_batch} records, {batch_bytes:,} bytes "
        "({append_us:.0f} us, {cpu_us:.0f} us of it CPU); bare append + fdatasync {raw_batches_per_s:,.0f}/s "
        "({raw_us:.0f} us); ratio {ratio:.2f}\n"
        "    {read_batches:,} batches: verified in {verify_s:.3f} s, read in {read_s:.3f} s".format(
            **asdict(times)
        )
    )


if __name__ == "__main__":
    show(measure_journal())
    sys.exit(0)
