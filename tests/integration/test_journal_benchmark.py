"""The benchmark of the journal runs, and measures what it says."""

from pathlib import Path

from benchmarks.journal import batch_of, measure_journal
from engine.home import state_folder
from engine.journal.canonical import encode


def test_the_benchmark_compares_the_journal_with_a_bare_flush_of_the_same_bytes(home: Path) -> None:
    times = measure_journal(3, batches_a_block=4, read_batches=20)

    assert home.is_dir()
    assert list(state_folder().iterdir()) == []
    assert times.batches_per_s > 0
    assert times.raw_us > 0
    assert 0 < times.ratio < 10
    records = sum(6 + len(encode(body)) for _, body in batch_of(0))
    assert times.batch_bytes == 96 + records + -records % 8
    assert all(300 < len(encode(body)) < 500 for _, body in batch_of(0))
