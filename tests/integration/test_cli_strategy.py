"""`engine strategy` as a person types it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def engine(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from engine.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "strategy", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
    )


def document(*arguments: str, folder: Path) -> dict[str, Any]:
    answer = engine(*arguments, "--json", folder=folder)
    assert answer.returncode == 0, answer.stderr
    parsed: dict[str, Any] = json.loads(answer.stdout)
    return parsed


def test_a_new_strategy_and_its_test_pass_at_once(tmp_path: Path) -> None:
    written = document("new", "dip_buyer", folder=tmp_path)

    assert written == {
        "strategy": "dip_buyer",
        "file": "strategies/dip_buyer.py",
        "test": "tests/test_dip_buyer.py",
    }
    played = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "2 passed" in played.stdout, played.stdout
    checked = document("check", "dip_buyer", "--data", "us5", folder=tmp_path)
    assert checked["passed"] is True
    assert {entry["check"]: entry["outcome"] for entry in checked["checks"]} == {
        "truncation": "PASS",
        "warm-up": "PASS",
        "scale by 10": "PASS",
        "determinism": "PASS",
        "batch = stream": "PASS",
        "range": "PASS",
    }


def test_the_files_of_a_new_strategy_satisfy_the_linter(tmp_path: Path) -> None:
    document("new", "a_b2", folder=tmp_path)

    linted = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "strategies"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout
    assert "class AB2(Strategy):" in (tmp_path / "strategies" / "a_b2.py").read_text()
    assert document("show", "a_b2", folder=tmp_path)["name"] == "a_b2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2fast", "'2fast' cannot be the name of a strategy"),
        ("Trend", "'Trend' cannot be the name of a strategy"),
        ("class", "'class' cannot be the name of a strategy"),
        ("a__b", "'a__b' cannot be the name of a strategy"),
        ("a_1", "'a_1' cannot be the name of a strategy"),
        ("../up", "cannot be the name of a strategy"),
        ("trend", "Gauntlet comes with a strategy trend"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, message: str
) -> None:
    answer = engine("new", name, folder=tmp_path)

    assert answer.returncode == 2
    assert message in answer.stderr
    assert not (tmp_path / "strategies").exists()
    assert not (tmp_path / "tests").exists()


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_mine.py").write_text("# mine\n")

    answer = engine("new", "mine", folder=tmp_path)

    assert answer.returncode == 2
    assert "tests/test_mine.py exists already, nothing was written" in answer.stderr
    assert (tmp_path / "tests" / "test_mine.py").read_text() == "# mine\n"
    assert not (tmp_path / "strategies" / "mine.py").exists()


def test_list_shows_every_strategy_and_what_is_wrong_with_a_broken_one(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "broken.py").write_text("def (\n")
    (tmp_path / "strategies" / "quits.py").write_text("raise SystemExit(5)\n")

    listed = {entry["name"]: entry for entry in document("list", folder=tmp_path)["strategies"]}

    assert listed["trend"]["parameters"] == {"fast": 20, "slow": 100}
    assert listed["trend"]["invest"] == "full"
    assert "Brock" in listed["trend"]["reference"]
    assert "strategies/broken.py cannot be imported: SyntaxError" in listed["broken"]["problem"]
    assert "strategies/quits.py cannot be imported: SystemExit" in listed["quits"]["problem"]
    text = engine("list", folder=tmp_path).stdout
    assert "cross_sectional_momentum" in text
    assert "✕" in text


def test_the_words_of_a_strategy_are_listed_with_what_they_do_in_doubt(tmp_path: Path) -> None:
    listed = {entry["call"]: entry for entry in document("operators", folder=tmp_path)["operators"]}

    assert len(listed) >= 80
    assert listed["ema(x, span)"]["gives"].startswith("the exponential average with weight 2 / (span + 1)")
    assert listed["top_k(x, k)"]["ties"] == "of equal values the earlier column is taken"
    assert listed["last_known(x, limit)"]["unknown"] == "bridged"
    assert all(entry["gives"] and entry["unknown_means"] for entry in listed.values())
    assert "rolling_skew(x, length)" in engine("operators", folder=tmp_path).stdout


def test_show_says_how_many_bars_a_slower_timeframe_needs(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "slow.py").write_text(
        "from dataclasses import dataclass\n"
        "from engine.features.operators import close, resample, sma, where\n"
        "from engine.features.orders import Orders\n"
        "from engine.features.strategy import Strategy\n\n"
        "@dataclass(frozen=True)\nclass Slow(Strategy):\n"
        '    """Long above the average of three days, with a stop."""\n\n'
        "    def signal(self):\n        return where(close > resample('1d', sma(close, 3)), 1.0, 0.0)\n\n"
        "    def orders(self):\n        return Orders(stop_loss=0.9 * close)\n"
    )

    shown = document("show", "slow", folder=tmp_path)

    assert shown["warmup"] is None
    assert shown["warmup_by_timeframe"]["1h"] == 94
    assert shown["warmup_by_timeframe"]["1d"] == 2
    assert shown["orders"]["stop_loss"] == "(0.9 * close)"
    text = engine("show", "slow", folder=tmp_path).stdout
    assert "94 bars of 1h" in text
    assert "stop_loss      (0.9 * close)" in text


def test_show_draws_the_graph_with_the_parameters_given(tmp_path: Path) -> None:
    shown = document("show", "trend", "--param", "fast=5", folder=tmp_path)

    assert shown["parameters"] == {"fast": 5, "slow": 100}
    assert shown["bounds"]["fast"] == {"low": 2, "high": 60, "default": 20}
    assert shown["warmup"] == 2400
    assert shown["graph"] == "where((ema(close, 5) > ema(close, 100)), 1, 0)"
    assert shown["hash"] != document("show", "trend", folder=tmp_path)["hash"]
    assert "├── ema(5)" in engine("show", "trend", "--param", "fast=5", folder=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "trnd"), "no strategy 'trnd' in strategies/, did you mean 'trend'?"),
        (("show", "trend", "--param", "fst=5"), "trend: no parameter 'fst', did you mean 'fast'?"),
        (("show", "trend", "--param", "fast"), "--param 'fast': write it as KEY=VALUE"),
        (
            ("show", "trend", "--param", "fast=900"),
            "trend: fast must be a whole number from 2 to 60, was 900",
        ),
        (("check", "trend", "--data", "us21"), "us21"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    answer = engine(*arguments, folder=tmp_path)

    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_check_that_says_no_names_the_bar_and_exits_with_one(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "dollars.py").write_text(
        "from dataclasses import dataclass\n"
        "from engine.features.operators import close, where\n"
        "from engine.features.strategy import Strategy\n\n"
        "@dataclass(frozen=True)\nclass Dollars(Strategy):\n"
        '    """Long above 30 dollars."""\n\n'
        "    def signal(self):\n        return where(close > 30.0, 1.0, 0.0)\n"
    )

    answer = engine("check", "dollars", "--data", "us5", folder=tmp_path)
    as_json = engine("check", "dollars", "--data", "us5", "--json", folder=tmp_path)

    assert answer.returncode == as_json.returncode == 1
    assert "✕ FAIL" in answer.stdout
    assert "it depends on the unit of prices, so a split would trade" in answer.stdout
    assert "bar opened 2000-03-01T00:00:00Z, closed 2000-03-02T00:00:00Z" in answer.stdout
    assert "1 of 6 checks failed" in answer.stdout
    checks = {entry["check"]: entry for entry in json.loads(as_json.stdout)["checks"]}
    assert checks["scale by 10"]["difference"]["opened"] == "2000-03-01T00:00:00Z"
    assert checks["scale by 10"]["difference"]["measured"] == "signal"
    assert checks["scale by 10"]["difference"]["operator"] == ">"
    assert checks["scale by 10"]["difference"]["graph"].splitlines() == [">", "├── close", "└── 30"]
    assert "begins in >" in answer.stdout
    assert checks["truncation"]["difference"] is None
