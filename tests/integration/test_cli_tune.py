"""`engine tune` as it is typed: equal inputs, equal bytes, whatever happened in between."""

import csv
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from tests.conftest import KERNELS

ENGINE = "from engine.cli.main import main; main()"
# Four windows on two of the five instruments' years; the untuned set is out of range.
COMMAND = (
    "tune", "--strategy", "trend", "--data", "us5", "--trials", "25", "--param", "fast=2:15",
    "--param", "slow=20:60", "--train", "700", "--retune", "650", "--seed", "3", "--prune",
)  # fmt: skip
WINDOWS = 4


def made(folder: Path) -> Path:
    """Make a home; only compiled kernels are shared."""
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "kernels").symlink_to(KERNELS, target_is_directory=True)
    return folder


def engine(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), prog_name="engine")
    return result.exit_code, result.stdout, result.stderr


def tuned(home: Path, *more: str, command: Sequence[str] = COMMAND) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAUNTLET_HOME", str(home))
        code, output, errors = engine(*command, "--json", *more)
    assert code == 0, output + errors
    document: dict[str, Any] = json.loads(output)
    return document


def start(home: Path, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", ENGINE, *COMMAND, *more],
        env={**os.environ, "GAUNTLET_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def files(home: Path) -> Mapping[str, str]:
    """Hash every file of every run, by its path."""
    runs = home / "runs"
    return {
        str(path.relative_to(runs)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(runs.rglob("*"))
        if path.is_file()
    }


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    for _ in range(6_000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    home = made(tmp_path_factory.mktemp("tune") / "home")
    return home, tuned(home, "--workers", "1")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run_folder(undisturbed: tuple[Path, dict[str, Any]]) -> Path:
    home, document = undisturbed
    return home / "runs" / str(document["run_id"])


def test_the_document_says_what_was_searched_and_what_came_of_it(
    undisturbed: tuple[Path, dict[str, Any]],
) -> None:
    _, document = undisturbed

    assert document == json.loads((run_folder(undisturbed) / "tuning.json").read_text())
    assert document["verdict"] in {"HELPED", "NOT PROVEN", "NO HELP", "NO CHANGE"}
    assert document["ranges"] == {"fast": [2, 15], "slow": [20, 60]}
    assert [len(document["windows"]), document["sets_a_window"]] == [WINDOWS, 25]
    fates = document["fates"]
    assert fates["complete"] + fates["pruned"] + fates["void"] == WINDOWS * 25
    assert set(document["accounts"]) == {"tuned", "untuned", "pool"}
    tuned_ratio, untuned_ratio = (
        document["accounts"][name]["excess_sharpe"] for name in ("tuned", "untuned")
    )
    assert document["gain"] == pytest.approx(tuned_ratio - untuned_ratio)
    assert document["untuned_parameters"] == {"fast": 20, "slow": 100}
    assert document["parameters"] == document["windows"][-1]["parameters"]
    assert len(document["content_hash"]) == 64


def test_every_trial_is_in_the_register_and_in_the_file(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    home, document = undisturbed
    rows = table(run_folder(undisturbed) / "trials.csv")
    played = {(row["fast"], row["slow"]) for row in rows if row["fate"] != "refused"}
    lines = (home / "state" / "trials" / "us5-1d.jsonl").read_text().splitlines()

    assert len(lines) == len(played) + 1 == document["trials"]["count"]
    assert sum(row["chosen"] == "true" for row in rows) == WINDOWS
    chosen = [(int(row["fast"]), int(row["slow"])) for row in rows if row["chosen"] == "true"]
    windows = table(run_folder(undisturbed) / "parameters.csv")
    assert [(int(row["fast"]), int(row["slow"])) for row in windows] == chosen
    assert [window["in_sample"]["excess_sharpe"] for window in document["windows"]] == [
        max(
            float(row["excess_sharpe"])
            for row in rows
            if row["window"] == str(n) and row["fate"] == "complete"
        )
        for n in range(WINDOWS)
    ]
    for name, hashed in document["files"].items():
        assert hashlib.sha256((run_folder(undisturbed) / name).read_bytes()).hexdigest() == hashed


def test_repeated_it_adds_no_trial_changes_no_byte_and_says_verdict_reason_next_command_and_path(
    undisturbed: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, document = undisturbed
    before = files(home)
    monkeypatch.setenv("GAUNTLET_HOME", str(home))

    code, output, _ = engine(*COMMAND, "--workers", "1")

    assert code == 0
    assert files(home) == before
    assert len(before) > 6
    lines = output.splitlines()
    assert lines[0] == f"{document['verdict']}  {document['headline']}"
    assert lines[1].strip() == document["reason"]
    assert lines[-2].startswith("  next   engine ")
    assert lines[-1].endswith(f"{document['run_id']}/tuning.html")


def test_killed_in_the_search_and_run_again_with_other_workers_it_gives_the_same_bytes(
    undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, document = made(tmp_path / "home"), undisturbed[1]
    process = start(home, "--workers", "2")
    folder = home / "state" / "tuning" / str(document["run_id"])
    wait_for(lambda: len(list(folder.glob("*.journal"))) >= 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (home / "runs").exists()
    # Half a batch, as a kill in the middle of a write leaves it.
    journal = min(folder.glob("*.journal"))
    journal.write_bytes(journal.read_bytes()[:-100])

    assert tuned(home, "--workers", "1") == document
    assert files(home) == files(undisturbed[0])


def test_ctrl_c_says_so_and_keeps_what_is_finished(
    undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, document = made(tmp_path / "home"), undisturbed[1]
    process = start(home, "--workers", "1")
    folder = home / "state" / "tuning" / str(document["run_id"])
    wait_for(lambda: bool(list(folder.glob("*.journal"))), process)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert output == ""
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert list(folder.glob("*.journal"))
    assert not (home / "runs").exists()


def test_two_at_a_time_do_not_write_the_same_files(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    home, document = undisturbed
    lock = home / "state" / "tuning" / str(document["run_id"]) / "lock"
    with lock.open("r+") as held, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(held, fcntl.LOCK_EX)
        patch.setenv("GAUNTLET_HOME", str(home))
        code, output, errors = engine(*COMMAND, "--workers", "1")

    assert code == 2
    assert output == ""
    assert "the same tuning runs in another process" in errors


def test_the_page_holds_all_it_shows_and_asks_for_nothing(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    _, document = undisturbed
    page = (run_folder(undisturbed) / "tuning.html").read_text()

    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!#)', page) == []
    assert "url(http" not in page
    assert document["verdict"] in page
    assert document["content_hash"] in page
    names = {path.stem for path in (run_folder(undisturbed) / "figures").glob("*.svg")}
    assert names == {"equity", "promised", "parameters", "heat_map", "slices", "history"}
    assert page.count("<figure>") == len(names)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).lower().replace("nanosecond", "")


def test_a_second_seed_is_another_tuning_and_more_trials(
    undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, document = made(tmp_path / "home"), undisturbed[1]
    register = undisturbed[0] / "state" / "trials" / "us5-1d.jsonl"
    (home / "state" / "trials").mkdir(parents=True)
    (home / "state" / "trials" / register.name).write_bytes(register.read_bytes())

    command = [word for word in COMMAND if word != "--prune"]
    other = tuned(
        home,
        "--workers",
        "1",
        "--seed",
        "4",
        "--objective",
        "calmar",
        "--objective",
        "low_turnover",
        "--trials",
        "4",
        command=command,
    )

    assert other["run_id"] != document["run_id"]
    assert other["objectives"] == ["calmar", "low_turnover"]
    assert other["trials"]["count"] > document["trials"]["count"]
    assert other["trials"]["n_effective"] >= document["trials"]["n_effective"]
    assert (home / "runs" / other["run_id"] / "figures" / "front.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--strategy", "trent", "--data", "us5"),
            "no strategy 'trent' in strategies/, did you mean 'trend'?",
        ),
        (("--strategy", "buy_and_hold", "--data", "us5"), "buy_and_hold has no parameter to tune"),
        (("--strategy", "trend", "--data", "us55"), "data set 'us55' is not known. Did you mean us5"),
        (("--strategy", "trend"), "name a data set (--data us20) or a file (--config FILE)"),
        (
            ("--strategy", "trend", "--data", "us5", "--objective", "sharp"),
            "--objective: 'sharp' is not known, did you mean 'sharpe'? known are excess_sharpe, sharpe,",
        ),
        (
            ("--strategy", "trend", "--data", "us5", "--param", "fats=3"),
            "trend: no parameter 'fats', did you mean 'fast'?",
        ),
        (
            (
                *("--strategy", "trend", "--data", "us5", "--prune"),
                *("--objective", "sharpe", "--objective", "cagr"),
            ),
            "--prune needs one --objective",
        ),
        (("--strategy", "trend", "--data", "us5", "--param", "fast"), "must be NAME=LOW:HIGH or NAME=VALUE"),
        (("--strategy", "trend", "--data", "us5", "--param", "fast=a:b"), "--param fast=a: must be a number"),
        (("--strategy", "trend", "--data", "us5", "--param", "fast=1:9"), "trend takes 2 to 60, was 1 to 9"),
        (
            ("--strategy", "trend", "--data", "us5", "--param", "slow=10"),
            "trend: fast must be below slow, was 20 against 10",
        ),
        (("--strategy", "trend", "--data", "us5", "--train", "9000"), "hold no window, one needs 9,020"),
        (
            ("--strategy", "trend", "--data", "us5", "--train", "20"),
            "--train must be at least 60 bars, was 20",
        ),
    ],
)
def test_what_cannot_be_tuned_is_one_clear_error(home: Path, arguments: tuple[str, ...], words: str) -> None:
    code, output, errors = engine("tune", *arguments, "--workers", "1")

    assert code == 2
    assert output == ""
    assert words in " ".join(errors.split())
    assert "Traceback" not in errors
    assert not (home / "runs").exists()


@pytest.mark.usefixtures("home")
def test_a_strategy_that_reads_the_future_is_not_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project" / "strategies"
    folder.mkdir(parents=True)
    (folder / "seer.py").write_text(SEER)
    monkeypatch.chdir(folder.parent)
    import strategies

    monkeypatch.setattr(strategies, "__path__", list(strategies.__path__))

    code, output, errors = engine("tune", "--strategy", "seer", "--data", "us5", "--workers", "1")

    assert code == 5
    assert output == ""
    assert "seer may not be tuned on us5" in errors
    assert "engine strategy check seer" in errors
    sys.modules.pop("strategies.seer", None)


SEER = '''
"""Knows tomorrow."""

from dataclasses import dataclass

import numpy as np

from engine.data import catalogue
from engine.features.operators import close, window_function
from engine.features.strategy import Strategy, parameter


class Seen:
    panel = None


def later(closes):
    if Seen.panel is None:
        Seen.panel = catalogue.load("us5")
    whole = Seen.panel.close
    row, column = np.argwhere(whole == closes[-1])[0]
    return float(row + 1 < len(whole) and whole[row + 1, column] > whole[row, column])


@dataclass(frozen=True)
class Seer(Strategy):
    """Long before every rise (a cheat)."""

    length: int = parameter(3, low=1, high=9)

    def signal(self):
        return window_function(later, self.length, close)
'''
