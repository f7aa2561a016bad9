"""`engine data import --lake` as a person or a script meets it."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.data import catalogue
from engine.domain.panel import FloatArray
from tests.lakes import HOUR, START

N = 200

pytestmark = pytest.mark.usefixtures("home")


def write(folder: Path, symbol: str, close: FloatArray, first: int = 0) -> Path:
    """Write hours from one on as a file, and return it."""
    lines = ["time,open,high,low,close,volume"]
    for number, price in enumerate(close.tolist(), start=first):
        lines.append(f"{(START + number * HOUR) // 10**9},{price},{price + 1},{price - 1},{price},10")
    path = folder / f"{symbol}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def walk(seed: int) -> FloatArray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.002, N)))


def asked(*paths: Path, options: tuple[str, ...] = ("--calendar", "24/7")) -> Result:
    files = [str(path) for path in paths]
    return CliRunner().invoke(
        app, ["data", "import", "mine", *files, "--timeframe", "1h", "--lake", *options]
    )


def document(*paths: Path) -> dict[str, Any]:
    result = asked(*paths, options=("--calendar", "24/7", "--json"))
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def test_files_become_a_version_and_mended_files_the_next(tmp_path: Path) -> None:
    close = walk(1)
    first = document(write(tmp_path, "AAA", close), write(tmp_path, "BBB", walk(2)))
    again = document(tmp_path / "AAA.csv")
    mended = close.copy()
    mended[3] *= 1.01
    second = document(write(tmp_path, "AAA", mended))

    assert (first["version"], first["counts"]["new"], first["rows"]) == (1, 2 * N, N)
    assert (again["version"], again["counts"]) == (1, {"new": 0, "same": N, "corrected": 0, "late": 0})
    assert (second["version"], second["counts"]["corrected"]) == (2, 1)
    # The other instrument is still in it.
    assert second["instruments"] == ["AAA", "BBB"]
    assert catalogue.load("mine").close[3, 0] == pytest.approx(mended[3])
    assert catalogue.load("mine@1").close[3, 0] == pytest.approx(close[3])
    listed = json.loads(CliRunner().invoke(app, ["data", "corrections", "mine", "--json"]).stdout)
    assert {line["field"] for line in listed["corrections"]} == {"open", "high", "low", "close"}


def test_the_screen_says_what_came_and_what_to_do_next(tmp_path: Path) -> None:
    shown = asked(write(tmp_path, "AAA", walk(1)))

    assert shown.exit_code == 0, shown.output
    assert "✓ mine@1 imported   bars: 200 new" in shown.stdout
    assert "engine tournament --data mine" in shown.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--calendar: state it with --lake"),
        (("--calendar", "24/7", "--replace"), "replaces nothing"),
        (("--calendar", "24/7", "--adjustment", "split"), "keeps prices as they are printed"),
    ],
)
def test_what_the_lake_does_not_do_is_bad_input(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = asked(write(tmp_path, "AAA", walk(1)), options=options)

    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert catalogue.lake_names() == ()


def test_a_name_that_stands_for_another_set_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "AAA", walk(1))
    result = CliRunner().invoke(
        app, ["data", "import", "us5", str(path), "--timeframe", "1h", "--lake", "--calendar", "24/7"]
    )

    assert result.exit_code == 2
    assert "us5 exists already" in result.stderr
    assert catalogue.lake().series() == []


def test_compacting_changes_no_data_set(tmp_path: Path) -> None:
    close = walk(1)
    # Two files lie in January, which is over; February still grows.
    for first, stop in pairwise([0, 1, 2, *range(20, N + 1, 20)]):
        document(write(tmp_path, "AAA", close[first:stop], first))
    versions = catalogue.lake().versions("mine")
    before = [catalogue.manifest(f"mine@{number}").content_hash for number in versions]

    done = CliRunner().invoke(app, ["data", "compact", "--json"])
    shown = CliRunner().invoke(app, ["data", "compact"])

    told = json.loads(done.stdout)
    assert (told["series"], told["before"], told["after"]) == (1, 12, 11)
    assert "1 series: 11 parts are read as 11" in shown.stdout
    assert [catalogue.load(f"mine@{number}", sealed=False).content_hash for number in versions] == before
