"""`make bench` compares engines that hold the same money, and its JSON keeps its keys."""

import json
from pathlib import Path

import numpy as np
import pytest

import benchmarks.__main__ as command
from benchmarks.bars import GRID, random_walks
from benchmarks.checks import compare
from benchmarks.workloads import w3
from engine.domain.time import Timeframe


def test_a_workload_runs_agrees_and_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Short bars, and no fresh processes for memory: whether the figures are there, not how large they are.
    monkeypatch.setattr(command, "WORKLOADS", {"W3": lambda: w3().shortened(100)})
    monkeypatch.setattr(command, "extra_memory_mb", lambda _workload, _engine: 1.5)
    path = tmp_path / "bench.json"

    code = command.main(["W3", "--pairs", "1", "--json", str(path)])

    assert code == 0
    figures = json.loads(path.read_text("utf-8"))["W3"]
    assert figures["equity_check"] is True
    assert figures["extra_memory_mb"] == 1.5
    assert figures["gauntlet"]["cpu_s"] > 0
    peer = figures["peers"]["vectorbt_numba"]
    assert peer["cpu_ratio"] > 1
    assert 0 < peer["equity_check"]["relative_difference"] <= 1e-6
    assert "W3  64 weight sets" in capsys.readouterr().out


def test_an_unknown_workload_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(["W9"])

    assert refused.value.code == 2
    assert "there is no W9; choose from W1, W2, W3, W5, W4, cells" in capsys.readouterr().err


def test_engines_that_differ_by_more_than_a_millionth_do_not_agree() -> None:
    ours = np.array([100.0, 200.0])

    assert compare(ours, np.array([100.0, 200.0001])).agrees
    assert not compare(ours, np.array([100.0, 200.001])).agrees


def test_an_account_that_is_not_a_number_does_not_agree() -> None:
    assert not compare(np.array([np.nan]), np.array([100.0])).agrees


@pytest.mark.parametrize("has_range", [True, False])
def test_bars_are_equal_in_every_run_and_their_sums_are_exact(has_range: bool) -> None:
    first, second = (
        random_walks(200, 3, timeframe=Timeframe.HOUR_1, volatility=0.01, seed=7, has_range=has_range)
        for _ in range(2)
    )

    assert first.content_hash == second.content_hash
    # On a binary grid prices are whole numbers of steps, and whole numbers add without rounding.
    assert np.array_equal(np.round(first.close / GRID) * GRID, first.close)
    assert (first.high >= np.maximum(first.open, first.close)).all()
    assert (first.low <= np.minimum(first.open, first.close)).all()
