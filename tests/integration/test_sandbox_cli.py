"""`engine sandbox` as a person starts it: says where it is, serves, and goes when it is told to."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ccxt
import pytest
from typer.testing import CliRunner

from engine.cli.sandbox import app
from engine.data import catalogue
from engine.domain.errors import InputError

ROOT = Path(__file__).parents[2]


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-c", "from engine.cli.sandbox import app; app()", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_ccxt_until_it_is_told_to_stop_and_leaves_no_traceback(number: signal.Signals) -> None:
    with started("--seed", "3", "--start", "2025-06-18T12:00", "--speed", "0") as (process, said):
        exchange: Any = ccxt.kraken(said["ccxt"] | {"enableRateLimit": False})
        try:
            assert exchange.fetch_time() == 1_750_248_000_000
            rows = exchange.fetch_ohlcv("BTC/USD", "1h")
        finally:
            exchange.session.close()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)

    assert rows[-1][0] == 1_750_248_000_000 - 3_600_000 or rows[-1][0] == 1_750_248_000_000
    assert len(said["pairs"]) == 30
    assert (process.returncode, out, err) == (0, "", "")


def test_a_packaged_data_set_is_replayed_bar_by_bar() -> None:
    panel = catalogue.load("planted-1h")
    with started("--data", "planted-1h", "--speed", "0") as (_, said):
        exchange: Any = ccxt.kraken(said["ccxt"] | {"enableRateLimit": False})
        try:
            rows = exchange.fetch_ohlcv("PLANT01/USD", "1h")
        finally:
            exchange.session.close()

    expected = [
        [
            int(stamp) // 10**6,
            *(float(getattr(panel, name)[row, 0]) for name in ("open", "high", "low", "close")),
        ]
        for row, stamp in enumerate(panel.timestamps[:720])
    ]
    closed = [row[:5] for row in rows if row[0] < int(panel.timestamps[720]) // 10**6]
    assert len(closed) >= 719
    assert closed == expected[-len(closed) :]


def test_faults_of_the_command_line_are_on_and_are_changed_over_http() -> None:
    with started("--faults", "429") as (_, said):
        address = said["url"].removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request("GET", "/0/public/Time")
            refused = connection.getresponse()
            refused.read()
            connection.request("POST", "/sandbox/faults", body="{}")
            connection.getresponse().read()
            connection.request("GET", "/0/public/Time")
            answered = connection.getresponse()
            answered.read()
        finally:
            connection.close()

    assert said["faults"] == {"429": 1.0}
    assert (refused.status, answered.status) == (429, 200)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--faults", "gremlins"], "fault 'gremlins' is not known"),
        (["--speed", "-1"], "speed must be from 0"),
        (["--start", "noon"], "--start must be a time like"),
        (["--start", "1999-01-01"], "--start must be from 2022-01-01"),
        (["--empty", "maybe"], "--empty must be absent or flat, was 'maybe'"),
        (["--activity", "0"], "activity must be above 0"),
        (["--limit", "0"], "requests a second must be above 0"),
        (["--data", "no-such-set"], "'no-such-set' is not known"),
    ],
)
def test_what_cannot_be_is_one_clear_error(options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["--port", "0", *options])

    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["--port", str(port)])

    assert isinstance(result.exception, InputError)
    assert f"port {port} cannot be opened" in str(result.exception)
