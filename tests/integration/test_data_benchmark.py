"""The benchmark of minute bars in bulk does the same work twice, and says so where it is not the same."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import benchmarks.__main__ as command
from benchmarks import data, data_peer, data_work
from benchmarks.minutes import INSTRUMENTS, write_minutes
from engine.home import state_folder

MINUTES = 700


@pytest.fixture
def quick(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One run in this process: whether the figures are there, not how large they are."""
    assert home.is_dir()
    monkeypatch.setattr(data, "_work", data_work.do)
    monkeypatch.setattr(data, "_RUNS", 1)
    # The peak is that of this process, and of whatever ran in it before.
    monkeypatch.setattr(data, "PEAK_MB_MAX", 1e9)
    yield
    assert list(state_folder().iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_both_engines_hold_the_same_bars_and_the_table_has_a_line_each() -> None:
    found = data.measure_data(minutes=MINUTES, year=2 * MINUTES)

    assert [(one.what, one.engine, one.same) for one in found] == [
        ("import CSV", "gauntlet", None),
        ("import CSV", "pandas", True),
        ("import CSV", "pandas, pyarrow reader", True),
        ("import Parquet", "gauntlet", None),
        ("import Parquet", "pandas", True),
        ("freeze", "gauntlet", None),
        ("load", "gauntlet", None),
        ("load", "pandas, pivot", True),
        ("load", "pandas, columns", True),
        ("audit", "gauntlet", None),
        ("audit", "pandas", None),
    ]
    assert {one.rows for one in found if one.what.startswith("import")} == {MINUTES * INSTRUMENTS}
    assert {one.rows for one in found if not one.what.startswith("import")} == {2 * MINUTES * INSTRUMENTS}
    assert all(one.rows_per_s > 0 and one.wall_ratio > 0 and one.cpu_ratio > 0 for one in found)


@pytest.mark.usefixtures("quick")
def test_bars_that_differ_fail_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = data_peer.read_bars

    def wrong(folder: Path, symbol: str) -> pd.DataFrame:
        bars = read(folder, symbol)
        return bars.assign(close=bars["close"] + 1e-4 * (bars.index == MINUTES // 2))

    measure = data.measure_data
    monkeypatch.setattr(data, "measure_data", lambda: measure(minutes=MINUTES, year=MINUTES))
    assert command.main(["data"]) == 0
    monkeypatch.setattr(data_peer, "read_bars", wrong)

    assert command.main(["data"]) == 1
    assert "NO" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_more_memory_than_allowed_fails_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bench.json"
    assert command.main(["data", "--rows", "9000", "--json", str(path)]) == 0
    works = json.loads(path.read_text("utf-8"))["data"]["works"]
    assert [work["what"] for work in works] == ["import CSV", "import Parquet", "freeze", "audit"]
    monkeypatch.setattr(data, "PEAK_MB_MAX", 1.0)

    assert command.main(["data", "--rows", "9000"]) == 1


def test_only_imports_and_audits_have_to_be_small() -> None:
    small = data.DataTimes(what="audit", engine="gauntlet", rows=1, wall_s=1, cpu_s=1, peak_mb=1)

    assert data.is_bounded([small, replace(small, what="load", peak_mb=1e6)])
    assert data.is_bounded([small, replace(small, engine="pandas", peak_mb=1e6)])
    assert not data.is_bounded([small, replace(small, peak_mb=data.PEAK_MB_MAX)])


def test_work_in_a_process_of_its_own_says_what_it_took(home: Path) -> None:
    file = home / "minutes.parquet"
    rows = write_minutes(file, 50, seed=1)

    done = data._work("import", data_work.OURS, home / "lake", file)

    assert done.rows == rows == 50 * INSTRUMENTS
    assert done.cost.peak_mb > 20
    assert done.cost.wall_s > 0


def test_a_disk_without_room_is_said_before_it_is_full(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**9))

    with pytest.raises(SystemExit, match="25 GB are needed for the files, 1 GB are free"):
        data.measure_bound(10**8)


def test_files_of_minutes_are_equal_in_every_run_and_their_bars_can_be_true(tmp_path: Path) -> None:
    tables = []
    for name in ("one.parquet", "other.parquet"):
        write_minutes(tmp_path / name, MINUTES, seed=5)
        tables.append(pq.read_table(tmp_path / name))

    assert tables[0].equals(tables[1])
    assert not data_peer._impossible(tables[0].to_pandas()).any()


def test_the_peer_finds_what_is_planted(tmp_path: Path) -> None:
    write_minutes(tmp_path / "minutes.parquet", 2000, seed=5)
    bars = pd.read_parquet(tmp_path / "minutes.parquet").query("symbol == 'M00'").set_index("timestamp")
    clean = data_peer._checks(bars)
    row = np.arange(len(bars))
    dirty = bars.assign(
        close=bars["close"] * np.where(row == 500, 1.05, 1.0),
        high=bars["high"].where(row != 700, 1.0),
        volume=bars["volume"] * np.where(row == 900, 1e4, 1.0),
    ).drop(bars.index[100:110])

    found = data_peer._checks(dirty)

    assert set(clean.values()) == {0}
    assert found["gaps"] == 10
    assert found["bad ticks"] == 1
    assert found["impossible"] >= 1
    assert found["volume spikes"] == 1
