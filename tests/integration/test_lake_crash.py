"""A lake survives a kill -9 at every operation on the disk, and a disk that is full."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.data.lake.lake import Lake
from engine.domain.errors import InputError
from tests.lakes import BTC, bars, closes

_ROOT = Path(__file__).parents[2]


def test_a_writer_may_be_killed_before_any_operation(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.lake_crash", str(tmp_path), "3"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    # Every part, and every folder that it needs, takes several: fewer would mean that none was seen.
    assert int(done.stdout) > 60


def test_a_file_that_finds_no_room_is_one_error_and_the_lake_is_whole(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(BTC, bars({0: 10.0}), known_at=10**18, source="test", run="run-1")
    noise = np.random.default_rng(7).normal(size=500)
    many = bars({number: 10.0 + float(noise[number]) for number in range(1, 500)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # The kernel itself refuses: the write is cut short, the next one fails.
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(InputError, match="the disk is full"):
            lake.append(BTC, many, known_at=2 * 10**18, source="test", run="run-1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)

    assert lake.verify() == []
    # The part of January fitted, that of February did not.
    known = closes(lake.read(BTC))
    assert 1 <= len(known) < 500
    lake.append(BTC, many, known_at=3 * 10**18, source="test", run="run-1")
    assert len(lake.read(BTC)) == 500
    assert lake.corrections(BTC) == []


def test_writers_take_turns(tmp_path: Path) -> None:
    """Four processes append overlapping bars of one series at once; none is doubled and none is lost."""
    code = """
import sys
from pathlib import Path
from engine.data.lake.lake import Lake
from tests.lakes import BTC, bars
lake, first = Lake(Path(sys.argv[1])), int(sys.argv[2])
for number in range(first, first + 30):
    page = bars({k: 10.0 + k for k in range(number, number + 5)})
    lake.append(BTC, page, known_at=10**18 + number, source="test", run=f"run-{first}")
"""
    root = tmp_path / "lake"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(root), str(first)], cwd=_ROOT)
        for first in (0, 10, 20, 30)
    ]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0, 0, 0]

    lake = Lake(root)
    assert closes(lake.read(BTC)) == {number: 10.0 + number for number in range(64)}
    assert lake.verify() == []
