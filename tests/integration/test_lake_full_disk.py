"""A disk that is really full during `engine data pull`: one clear error, a whole lake, and it goes on."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine.domain.time import NANOSECONDS_PER_DAY
from engine.sandbox.background import BackgroundSandbox, in_background
from engine.sandbox.clock import Clock
from engine.sandbox.faults import plan_of_text
from engine.sandbox.server import SandboxServer
from tests.sandboxes import SEED, simulated_market

ROOT = Path(__file__).parents[2]
# Commands go by the clock of the machine, and so must the exchange that they ask.
NOW = time.time_ns()  # noqa: TID251

_SCRIPT = """
set -u
told() { "$@" >"$TOLD/$STEP.out" 2>"$TOLD/$STEP.err"; echo $? >"$TOLD/$STEP.code"; }
mount -t tmpfs -o size="$SIZE" tmpfs "$GAUNTLET_HOME" || exit 77
STEP=full told "$PYTHON" -c "$MAIN" data pull mine --symbols BTC/USD,ETH/USD --timeframe 1m \
  --start "$START" --stop "$STOP" --url "$URL" --json
STEP=whole told "$PYTHON" -c "$MAIN" data verify --json
mount -o remount,size=64m "$GAUNTLET_HOME"
STEP=room told "$PYTHON" -c "$MAIN" data pull mine --symbols BTC/USD,ETH/USD --timeframe 1m \
  --start "$START" --stop "$STOP" --url "$URL" --json
STEP=again told "$PYTHON" -c "$MAIN" data verify --json
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one command ended with."""

    code: int
    output: str
    errors: str


@pytest.fixture(scope="module")
def exchange() -> Iterator[BackgroundSandbox]:
    clock = Clock(start=NOW, speed=1, wall=time.monotonic_ns)
    server = SandboxServer(simulated_market(pairs=2), clock, faults=plan_of_text("none"), seed=SEED)
    with in_background(server) as running:
        yield running


def on_a_small_disk(exchange: BackgroundSandbox, tmp_path: Path, size: str) -> dict[str, Told]:
    """Pull onto a disk of some size, verify, make room, and do both again."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare: nobody can make a small disk here")
    home, told = tmp_path / "home", tmp_path / "told"
    home.mkdir()
    told.mkdir()
    of_day = [str(np.datetime64(NOW - back * NANOSECONDS_PER_DAY, "ns"))[:10] for back in (3, 1)]
    done = subprocess.run(
        [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", _SCRIPT],
        cwd=ROOT,
        env=os.environ
        | {"GAUNTLET_HOME": str(home), "PYTHON": sys.executable, "TOLD": str(told), "SIZE": size}
        | {
            "MAIN": "from engine.cli.main import main; main()",
            "URL": exchange.url,
            "START": of_day[0],
            "STOP": of_day[1],
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if not (told / "full.code").exists():
        pytest.skip(f"nobody may mount a small disk here: {done.stderr.strip()}")
    return {
        step: Told(
            code=int((told / f"{step}.code").read_text()),
            output=(told / f"{step}.out").read_text(),
            errors=(told / f"{step}.err").read_text(),
        )
        for step in ("full", "whole", "room", "again")
    }


@pytest.fixture(scope="module")
def clean_hash(exchange: BackgroundSandbox, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the data set that a disk with room gets."""
    told = on_a_small_disk(exchange, tmp_path_factory.mktemp("clean"), "64m")
    assert told["full"].code == 0, told["full"].errors
    return str(json.loads(told["full"].output)["data_sets"][0]["content_hash"])


# The first raw reply finds no room, the first part, or one of the later ones.
@pytest.mark.parametrize(("size", "has_rows"), [("24k", False), ("100k", False), ("400k", True)])
def test_a_full_disk_is_one_error_and_the_lake_is_whole(
    exchange: BackgroundSandbox, tmp_path: Path, clean_hash: str, size: str, has_rows: bool
) -> None:
    told = on_a_small_disk(exchange, tmp_path, size)

    # One line, though several workers met the same wall.
    (line,) = told["full"].errors.splitlines()
    refusal = json.loads(line)
    assert (told["full"].code, refusal["exit"], refusal["error"]) == (2, 2, "InputError")
    assert "the disk is full; what the lake held before it still holds" in refusal["message"]
    assert told["full"].output == ""
    whole = json.loads(told["whole"].output)
    assert (told["whole"].code, whole["problems"], whole["data_sets"]) == (0, [], [])
    assert (whole["series"] > 0) == has_rows

    assert told["room"].code == 0, told["room"].errors
    assert json.loads(told["room"].output)["data_sets"][0]["content_hash"] == clean_hash
    assert (told["again"].code, json.loads(told["again"].output)["problems"]) == (0, [])
