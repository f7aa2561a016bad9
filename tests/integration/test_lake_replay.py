"""A backtest on an old version of a data set is the old backtest, whatever was learned since."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from engine.data import catalogue
from engine.data.lake.lake import Lake
from engine.data.series import BarSeries
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, ETH, hours

FIRST, CORRECTED, LATE, GROWN = (n * 10**18 for n in (1, 2, 3, 4))
N = 600


def walk(seed: int) -> FloatArray:
    """Return closes, shape (N,)."""
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.002, N)))


def bars(close: FloatArray, numbers: IntArray) -> BarSeries:
    return hours(close, numbers, reach=0.002, volume=1e6)


@pytest.fixture
def lake(home: Path) -> Lake:
    """One in which the data set `mine` has three versions, each with its moment."""
    made = Lake(home / "state" / "lake")

    def learn(closes: FloatArray, numbers: np.ndarray, moment: int) -> None:
        made.append(BTC, bars(closes, numbers), known_at=moment, source="test", run=f"run-{moment}")
        made.freeze("mine", [BTC, ETH], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)

    btc, numbers = walk(1), np.arange(N)
    missing = np.arange(200, 210)
    made.append(ETH, bars(walk(2), numbers), known_at=FIRST, source="test", run="run-1")
    learn(btc, np.setdiff1d(numbers, missing), FIRST)
    learn(btc * 1.03, np.arange(100, 130), CORRECTED)
    learn(btc, missing, LATE)
    return made


def played(data: str) -> dict[str, Any]:
    """Return what a backtest says of its account: all but how often the like of it was tried."""
    done = CliRunner().invoke(
        app,
        [
            "backtest",
            "--strategy",
            "trend",
            "--param",
            "fast=5",
            "--param",
            "slow=20",
            "--data",
            data,
            "--json",
        ],
    )
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    assert document.pop("data") == data
    del document["trials"]
    return document


def same_bits(one: str, other: str, moment: int) -> bool:
    """Return whether a version gives the bytes that a reader of another saw at a moment."""
    left, right = catalogue.load(one), catalogue.load(other, as_of=moment)
    return all(
        getattr(left, name).tobytes() == getattr(right, name).tobytes()
        for name in ("timestamps", "open", "high", "low", "close", "volume")
    )


def test_corrections_and_late_bars_change_the_newest_result_and_none_of_the_old_ones(lake: Lake) -> None:
    before = {name: played(name) for name in ("mine@1", "mine@2", "mine@3")}
    assert len({each["hashes"]["bars"] for each in before.values()}) == 3
    assert len({each["final_equity"] for each in before.values()}) == 3
    assert played("mine")["fill_records"] == before["mine@3"]["fill_records"]

    # More of everything: revised, late and new.
    lake.append(ETH, bars(walk(2) * 1.01, np.arange(50, 60)), known_at=GROWN, source="test", run="run-4")
    lake.freeze("mine", [BTC, ETH], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)

    assert {name: played(name) for name in before} == before
    assert played("mine")["hashes"]["bars"] not in {each["hashes"]["bars"] for each in before.values()}


@pytest.mark.usefixtures("lake")
def test_a_moment_gives_the_bytes_that_were_seen_then() -> None:
    assert same_bits("mine@1", "mine", FIRST)
    assert same_bits("mine@2", "mine", CORRECTED)
    assert same_bits("mine@3", "mine", LATE)
    assert same_bits("mine@1", "mine@2", CORRECTED - 1)
    assert not same_bits("mine@1", "mine", CORRECTED)
