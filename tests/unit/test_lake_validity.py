"""INVALID_DATA: what scores under 0.6 when it comes in is stored and shown, and refused to all who use it."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from engine.data import catalogue, holdout, store
from engine.data.holdout import Request
from engine.data.importer import Request as ImportRequest
from engine.data.importer import import_files
from engine.data.lake.lake import Lake
from engine.data.lake.versions import DataSetVersion
from engine.data.series import BarSeries
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, ETH, hours

EARLY, LATER = 10**18, 2 * 10**18
N = 400
TICK = 101

pytestmark = pytest.mark.usefixtures("home")


def walk(*, every: int = 1, tick: float = 1.0) -> BarSeries:
    """Return hours of a quiet walk, some of them, with one close that is some times what it should be."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.002, N)))
    close[TICK] *= tick
    numbers = np.arange(N) if every == 1 else np.union1d(np.arange(0, N, every), [TICK - 1, TICK, TICK + 1])
    return hours(close, numbers, reach=0.001, volume=10.0)


@pytest.fixture
def lake(home: Path) -> Lake:
    """One with a data set `mine` whose second instrument has one bar of three, and a bad tick."""
    made = Lake(home / "state" / "lake")
    made.append(BTC, walk(), known_at=EARLY, source="test", run="run-1")
    made.append(ETH, walk(every=3, tick=3.0), known_at=EARLY, source="test", run="run-1")
    freeze(made)
    return made


def freeze(lake: Lake) -> DataSetVersion:
    return lake.freeze("mine", [BTC, ETH], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)


def test_score_and_verdict_are_frozen_with_the_bars(lake: Lake) -> None:
    quality = Lake(lake.root).version("mine").manifest.quality

    assert quality.invalid == ("ETH/USD",)
    # Two of three bars are missing, and one spike in 136 bars is a broken feed: 1 - 0.3 x 0.66 - 0.3.
    assert quality.scores["BTC/USD"] == 1.0
    assert quality.scores["ETH/USD"] == pytest.approx(1 - 0.3 * (398 - 135) / 398 - 0.3, abs=0.002)
    assert lake.verify() == []


@pytest.mark.usefixtures("lake")
def test_every_loader_refuses_it_and_names_instrument_score_and_command() -> None:
    message = r"mine@1 is INVALID_DATA: ETH/USD scores 0\.50; .*engine data audit mine@1"
    with pytest.raises(InputError, match=message):
        catalogue.load("mine@1")
    with pytest.raises(InputError, match="INVALID_DATA"):
        catalogue.load("mine", as_of=LATER)


@pytest.mark.usefixtures("lake")
def test_its_hold_out_is_not_opened_and_no_opening_is_counted() -> None:
    request = Request(strategy_id="a-1", operator="anna", reason="to see", identity_hash="f" * 64)

    with pytest.raises(InputError, match="INVALID_DATA"):
        holdout.open_holdout("mine", request, clock=lambda: 1)
    assert holdout.openings("mine") == 0
    seal = holdout.seal("mine")
    assert seal is not None
    assert seal.rows == 80


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    "command",
    [
        ["backtest", "--strategy", "trend", "--data", "mine"],
        ["paper", "--feed", "replay", "--strategy", "trend", "--data", "mine", "--force-research"],
        ["tournament", "--data", "mine"],
        ["tune", "--strategy", "trend", "--data", "mine"],
    ],
)
def test_every_command_that_uses_bars_ends_with_bad_input(command: list[str]) -> None:
    done = CliRunner().invoke(app, command)

    assert done.exit_code == 2, done.output
    assert "INVALID_DATA: ETH/USD scores 0.50" in done.output + done.stderr


@pytest.mark.usefixtures("lake")
def test_it_can_be_looked_at() -> None:
    listed = CliRunner().invoke(app, ["data", "list"])
    shown = CliRunner().invoke(app, ["data", "show", "mine"])
    audited = CliRunner().invoke(app, ["data", "audit", "mine"])

    assert "INVALID_DATA, not used: ETH/USD" in listed.stdout
    assert "INVALID_DATA: ETH/USD; the set is stored and not used" in shown.stdout
    assert (listed.exit_code, shown.exit_code, audited.exit_code) == (0, 0, 1)
    assert "ETH/USD is INVALID_DATA" in audited.stdout


def test_mended_bars_become_a_version_that_loads(lake: Lake) -> None:
    lake.append(ETH, walk(), known_at=LATER, source="test", run="run-2")

    mended = freeze(lake)

    assert (mended.version, mended.manifest.quality.invalid) == (2, ())
    assert len(catalogue.load("mine")) == 320
    with pytest.raises(InputError, match="mine@1 is INVALID_DATA"):
        catalogue.load("mine@1")


def test_a_moment_before_the_mending_is_refused(lake: Lake) -> None:
    """The version is sound, what was known then was not."""
    lake.append(ETH, walk(), known_at=LATER, source="test", run="run-2")
    freeze(lake)

    assert len(catalogue.load("mine", as_of=LATER)) == 320
    with pytest.raises(InputError, match="INVALID_DATA: ETH/USD"):
        catalogue.load("mine", as_of=LATER - 1)


def test_an_import_is_judged_too(tmp_path: Path) -> None:
    bars = walk(every=3, tick=3.0)
    lines = [
        f"{stamp // 10**9},{close},{close},{close},{close},1"
        for stamp, close in zip(bars.stamps.tolist(), bars.close.tolist(), strict=True)
    ]
    file = tmp_path / "ETH.csv"
    file.write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    request = ImportRequest(
        name="file", paths=(file,), timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS, timezone="UTC"
    )
    import_files(request)

    assert store.read_manifest("file").quality.invalid == ("ETH",)
    with pytest.raises(InputError, match="file is INVALID_DATA: ETH scores"):
        catalogue.load("file")
