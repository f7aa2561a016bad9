"""`engine data pull` and `engine data sync` as a person or a script meets them, against a sandbox."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from engine.cli import data_pull, data_record, data_sync, data_verify
from engine.data import catalogue
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.time import NANOSECONDS_PER_DAY
from engine.sandbox.background import BackgroundSandbox, in_background
from engine.sandbox.clock import Clock
from engine.sandbox.faults import plan_of_text
from engine.sandbox.server import SandboxServer
from tests.sandboxes import SEED, set_faults, simulated_market

ROOT = Path(__file__).parents[2]
# Commands go by the clock of the machine, and so must the exchange that they ask.
NOW = time.time_ns()  # noqa: TID251


def day(back: int) -> str:
    """Return a day so many days ago."""
    return str(np.datetime64(NOW - back * NANOSECONDS_PER_DAY, "ns"))[:10]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAUNTLET_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def exchange() -> Iterator[BackgroundSandbox]:
    clock = Clock(start=NOW, speed=1, wall=time.monotonic_ns)
    server = SandboxServer(simulated_market(pairs=2), clock, faults=plan_of_text("none"), seed=SEED)
    with in_background(server) as running:
        yield running


def pull(exchange: BackgroundSandbox, *options: str, symbols: str = "BTC/USD,ETH/USD") -> Result:
    arguments = ["mine", "--symbols", symbols, "--start", day(2), "--url", exchange.url, *options]
    return CliRunner().invoke(data_pull.app, arguments)


def sync(exchange: BackgroundSandbox, *options: str) -> Result:
    return CliRunner().invoke(data_sync.app, ["--url", exchange.url, *options])


def document(result: Result) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    parsed = json.loads(result.stdout)
    assert isinstance(parsed, dict)
    return parsed


def test_a_pull_says_what_came_and_its_data_set_can_be_loaded_by_name(exchange: BackgroundSandbox) -> None:
    result = pull(exchange)

    assert result.exit_code == 0, result.exception
    assert "✓ mine pulled" in result.stdout
    assert "data set     mine@1" in result.stdout
    panel = catalogue.load("mine", sealed=False)
    assert panel.symbols == ("BTC/USD", "ETH/USD")
    # What a sandbox made must never be taken for a market.
    assert panel.synthetic
    assert catalogue.manifest("mine").synthetic
    assert len(panel) >= 48
    # The screen is not the result.
    assert "bars" in result.stderr
    assert "BTC/USD 1h" in result.stderr


def test_a_script_gets_one_document_with_rows_and_hashes(exchange: BackgroundSandbox) -> None:
    told = document(pull(exchange, "--timeframe", "1h", "--timeframe", "1m", "--json"))

    assert told["complete"] is True
    assert told["run"].startswith("pull-")
    assert [each["timeframe"] for each in told["series"]] == ["1h", "1h", "1m", "1m"]
    assert told["counts"]["new"] == sum(each["new"] for each in told["series"]) > 2000
    assert [each["name"] for each in told["data_sets"]] == ["mine-1h", "mine-1m"]
    assert told["data_sets"][0]["content_hash"] == catalogue.manifest("mine-1h").content_hash


def test_a_lake_is_verified_and_a_byte_that_was_changed_is_found(
    exchange: BackgroundSandbox, home: Path
) -> None:
    assert pull(exchange).exit_code == 0
    whole = CliRunner().invoke(data_verify.app)
    assert (whole.exit_code, "2 series and 1 data sets" in whole.stdout) == (0, True)

    part = min((home / "state" / "lake" / "bars").rglob("*.parquet"))
    changed = bytearray(part.read_bytes())
    changed[len(changed) // 2] ^= 1
    part.chmod(0o644)
    part.write_bytes(changed)

    damaged = CliRunner().invoke(data_verify.app, ["--json"])
    assert damaged.exit_code == 1
    problems = json.loads(damaged.stdout)["problems"]
    assert any(problem["loses_data"] and problem["path"].endswith(part.name) for problem in problems)


def test_a_sync_goes_on_and_lists_corrections(exchange: BackgroundSandbox) -> None:
    stop = str(np.datetime64(NOW - NANOSECONDS_PER_DAY, "ns"))[:13] + ":00"
    pull(exchange, "--stop", stop)
    set_faults(exchange, "missing=0.2")
    try:
        told = document(sync(exchange, "--once", "--json"))
    finally:
        set_faults(exchange, "none")

    assert told["complete"] is True
    # A day and perhaps an hour of two series, some of them late.
    assert told["counts"]["new"] + told["counts"]["late"] in range(46, 53)
    assert told["corrections_total"] == told["counts"]["late"] > 0
    assert {line["kind"] for line in told["corrections"]} == {"late"}
    # The data set ends where it was told to end.
    assert told["data_sets"] == []


def test_a_symbol_that_is_not_traded_is_exit_1_and_nothing_is_frozen(exchange: BackgroundSandbox) -> None:
    result = pull(exchange, symbols="BTC/USD,BTX/USD")

    assert result.exit_code == 1
    assert "✕ kraken@sandbox BTX/USD 1h bars: UNKNOWN_SYMBOL" in result.stdout
    assert "did you mean BTC/USD?" in result.stdout
    assert catalogue.lake_names() == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--provider", "krakn", "--symbols", "BTC/USD"], "UNKNOWN_PROVIDER.*did you mean kraken"),
        (["--provider", "fred", "--symbols", "BTC/USD"], "FORBIDDEN_PURPOSE"),
        (["--provider", "polygon", "--symbols", "BTC/USD"], "ENTITLEMENT_FAILURE: polygon"),
        (["--provider", "kraken", "--symbols", "AAPL"], "FORBIDDEN_ASSET_CLASS"),
        (["--symbols", "BTC/USD", "--start", "2001-01-01"], "HISTORY_TOO_LONG"),
        ([], "--symbols, --universe: state one"),
        (["--symbols", "BTC/USD", "--universe", "UNIVERSE_V1"], "--symbols, --universe: state one"),
        (["--symbols", "BTC/USD,BTC/USD"], "named twice"),
        (["--symbols", "BTC/USD", "--start", "soon"], "--start: must be a time like"),
        (["--symbols", "BTC/USD", "--stop", "2020-01-01"], "--start: must be before --stop"),
        (["--symbols", "BTC/USD", "--url", "localhost"], "--url: must be an address like"),
    ],
)
def test_what_cannot_be_pulled_is_one_error_and_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.delenv("POLYGON_API_KEY", raising=False)
    start = [] if "--start" in options else ["--start", day(2)]

    result = CliRunner().invoke(data_pull.app, ["mine", *start, *options])

    assert isinstance(result.exception, InputError)
    assert re.search(message, str(result.exception)), result.exception
    assert not (home / "state" / "lake").exists()


def test_a_name_that_stands_for_another_data_set_is_refused(exchange: BackgroundSandbox) -> None:
    result = CliRunner().invoke(
        data_pull.app, ["us5", "--symbols", "BTC/USD", "--start", day(2), "--url", exchange.url]
    )

    assert isinstance(result.exception, InputError)
    assert "us5" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--once", "--every", "30m"], "--once, --every"),
        (["--every", "7m"], "--every: schedule: every must be"),
        (["--every", "often"], "--every: must be a time like 30s, 10m or 1h"),
        (["--every", "30m", "--nightly", "25:00"], "--nightly: must be a time"),
        (["--provider", "krakn"], "did you mean kraken"),
        ([], "holds no bars"),
    ],
)
def test_a_sync_that_cannot_be_is_one_error(options: list[str], message: str) -> None:
    result = CliRunner().invoke(data_sync.app, options)

    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def started(module: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", f"from engine.cli.{module} import app; app()", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_universe_is_pulled_by_its_name() -> None:
    assert len(data_pull.symbols_of(None, "UNIVERSE_V1")) == 30
    assert data_pull.symbols_of(" BTC/USD, ETH/USD,", None) == ("BTC/USD", "ETH/USD")


def test_a_sync_on_a_schedule_looks_at_once_and_waits_until_ctrl_c(exchange: BackgroundSandbox) -> None:
    pull(exchange)
    process = started("data_sync", "--url", exchange.url, "--every", "30m", "--json")
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1] not in ("}\n", ""):
            lines.append(process.stdout.readline())
        is_waiting = process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()

    told = json.loads("".join(lines))
    assert told["complete"] is True
    assert told["run"].startswith("sync-")
    assert is_waiting
    assert process.returncode != 0


def test_ctrl_c_ends_a_pull_and_the_same_command_goes_on(exchange: BackgroundSandbox, home: Path) -> None:
    set_faults(exchange, "latency=0.5")
    arguments = ["mine", "--symbols", "BTC/USD,ETH/USD", "--start", day(4), "--timeframe", "1m"]
    process = started("data_pull", *arguments, "--url", exchange.url)
    raw = home / "state" / "lake" / "raw"
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and len(list(raw.glob("*/*"))) < 4:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()
        set_faults(exchange, "none")
    lake = catalogue.lake()
    held = sum(len(lake.read(key)) for key in lake.series())
    told = document(pull(exchange, "--start", day(4), "--timeframe", "1m", "--json"))

    assert process.returncode != 0
    assert held > 0
    assert lake.verify() == []
    assert told["complete"] is True
    assert told["counts"]["late"] == told["counts"]["corrected"] == 0
    assert held + told["counts"]["new"] == sum(len(lake.read(key)) for key in lake.series())


def quotes_of(symbol: str) -> SeriesKey:
    return SeriesKey(venue="kraken@sandbox", kind=SeriesKind.QUOTES, instrument=symbol)


def test_a_recording_says_what_is_in_the_lake(exchange: BackgroundSandbox) -> None:
    options = ["--symbols", "BTC/USD,ETH/USD", "--for", "3s", "--every", "1s", "--url", exchange.url]
    told = document(CliRunner().invoke(data_record.app, [*options, "--kind", "book", "--json"]))

    series = {line["instrument"]: line["moments"] for line in told["series"]}
    assert set(series) == {"BTC/USD", "ETH/USD"}
    assert told["replies"] == sum(series.values()) >= 4
    key = SeriesKey(venue="kraken@sandbox", kind=SeriesKind.BOOK, instrument="BTC/USD")
    assert len(catalogue.lake().read_book(key)) == 10 * series["BTC/USD"]


def test_a_recording_that_is_killed_loses_no_more_than_was_not_flushed(
    exchange: BackgroundSandbox, home: Path
) -> None:
    options = ["--symbols", "BTC/USD,ETH/USD", "--every", "1s", "--flush", "2s", "--url", exchange.url]
    process = started("data_record", *options)
    try:
        until = time.monotonic() + 60
        parts = home / "state" / "lake" / "quotes"
        while time.monotonic() < until and len(list(parts.rglob("part-*.parquet"))) < 4:
            time.sleep(0.05)
        killed_at = time.time_ns()  # noqa: TID251
    finally:
        process.kill()
    process.communicate(timeout=30)

    lake = catalogue.lake()
    assert lake.verify() == []
    held = lake.read_book(quotes_of("ETH/USD"))
    assert len(held) >= 2
    # Two seconds in hand, one to the next look, and what it takes to write.
    assert killed_at - int(held.stamps[-1]) < 6 * 10**9
    again = CliRunner().invoke(data_record.app, [*options, "--for", "2s"])
    assert again.exit_code == 0, again.exception
    whole = lake.read_book(quotes_of("ETH/USD"))
    assert whole.stamps[: len(held)].tolist() == held.stamps.tolist()
    assert len(whole) > len(held)
    assert lake.verify() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--symbols, --universe: state one of them"),
        (["--symbols", "BTC/USD", "--for", "soon"], "--for: must be a time like 30s, 10m or 1h, was 'soon'"),
        (["--symbols", "BTC/USD", "--venue", "krakn"], "did you mean kraken?"),
        (["--symbols", "AAPL"], "AAPL is stocks"),
    ],
)
def test_a_recording_that_cannot_be_is_one_error(options: list[str], message: str) -> None:
    result = CliRunner().invoke(data_record.app, options)

    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
