"""`engine backtest` as it is typed: its contract, and numbers that a person can work out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from engine.data import catalogue

pytestmark = pytest.mark.usefixtures("home")

KEYS = {"final_equity", "first_bar", "last_bar", "metrics", "fills", "trades", "hashes"}
FREE = ("--fee-bps", "0", "--slippage-bps", "0")

# Days, open, high, low, close, volume. 40 rows, of which 8 are sealed.
ROWS = 40


def engine(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), prog_name="engine")
    return result.exit_code, result.stdout, result.stderr


def backtest(*arguments: str) -> dict[str, Any]:
    code, output, errors = engine("backtest", *arguments, "--json")
    assert code == 0, errors
    document: dict[str, Any] = json.loads(output)
    return document


@pytest.fixture
def ramp(home: Path) -> np.ndarray:
    """Import two instruments whose opens and closes are easy to compute with; return their opens."""
    days = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-01-01") + ROWS)
    opens = np.stack([100.0 + np.arange(ROWS), 50.0 + 0.25 * np.arange(ROWS)], axis=1)
    for column, name in enumerate(("AAA", "BBB")):
        lines = ["date,open,high,low,close,volume"]
        for day, price in zip(days, opens[:, column], strict=True):
            lines.append(f"{day},{price},{price + 0.5},{price - 0.5},{price + 0.25},1e9")
        (home.parent / f"{name}.csv").write_text("\n".join(lines) + "\n")
    code, output, errors = engine(
        "data", "import", "ramp", str(home.parent / "AAA.csv"), str(home.parent / "BBB.csv"),
        "--timeframe", "1d", "--timezone", "UTC", "--calendar", "24/7", "--json",
    )  # fmt: skip
    assert code == 0, output + errors
    return opens


def test_buy_and_hold_is_what_a_person_computes(ramp: np.ndarray) -> None:
    done = backtest("--strategy", "buy_and_hold", "--data", "ramp", *FREE)

    # Decided at the first close on 99% of 100,000, half each, in millionths; bought at the next open.
    cash, closes = 100_000.0, ramp + 0.25
    lots = np.floor(0.5 * 0.99 * cash / closes[0] * 1e6)
    last = ROWS - ROWS // 5 - 1
    expected = cash - (lots / 1e6 * ramp[1]).sum() + (lots / 1e6 * closes[last]).sum()
    assert done["final_equity"] == pytest.approx(expected, abs=1e-6)
    assert done["fills"] == 2
    assert done["trades"] == 0
    assert [(fill["bar"], fill["symbol"], fill["lots"], fill["price"]) for fill in done["fill_records"]] == [
        ("2024-01-02T00:00:00Z", "AAA", int(lots[0]), 101.0),
        ("2024-01-02T00:00:00Z", "BBB", int(lots[1]), 50.25),
    ]


def test_fee_and_slippage_cost_what_a_person_computes(ramp: np.ndarray) -> None:
    done = backtest(
        "--strategy", "buy_and_hold", "--data", "ramp", "--no-limits",
        "--fee-bps", "10", "--slippage-bps", "5", "--cash-buffer", "0.1", "--cash", "50000",
    )  # fmt: skip

    lots = np.floor(0.5 * 0.9 * 50_000.0 / (ramp[0] + 0.25) * 1e6)
    paid = np.round(ramp[1] * 1.0005, 8)
    notional = lots / 1e6 * paid
    last = ROWS - ROWS // 5 - 1
    expected = 50_000.0 - notional.sum() * 1.001 + (lots / 1e6 * (ramp[last] + 0.25)).sum()
    assert done["final_equity"] == pytest.approx(expected, abs=1e-4)
    assert done["metrics"]["fees"] == pytest.approx(notional.sum() * 0.001, abs=1e-4)


def test_limits_of_the_standard_tournament_hold_unless_switched_off() -> None:
    limited = backtest("--strategy", "buy_and_hold", "--data", "us20")
    free = backtest("--strategy", "buy_and_hold", "--data", "us20", "--no-limits")

    assert limited["metrics"]["halts"] > 0
    assert limited["reasons"]["HALT_DRAWDOWN"] > 0
    assert free["metrics"]["halts"] == 0
    assert set(free["reasons"]) <= {"CUT_CASH", "PRICE_OUTSIDE_BOUND"}


def test_the_document_is_a_contract() -> None:
    done = backtest("--strategy", "trend", "--data", "us5", "--param", "fast=10", "--param", "slow=50")

    assert set(done) >= KEYS
    assert done["parameters"] == {"fast": 10, "slow": 50}
    assert isinstance(done["fills"], int)
    assert isinstance(done["trades"], int)
    assert done["fills"] == len(done["fill_records"])
    assert set(done["hashes"]) >= {"data", "strategy", "configuration", "core"}
    panel = catalogue.load("us5")
    assert done["first_bar"] == "2000-03-01T00:00:00Z"
    assert done["bars"] == len(panel)
    last = np.datetime_as_string(panel.timestamps[-1].astype("datetime64[ns]"), unit="s")
    assert done["last_bar"] == f"{last}Z"


def test_total_return_is_the_change_of_the_account() -> None:
    done = backtest("--strategy", "channel_breakout", "--data", "us20")

    assert done["metrics"]["total_return"] == pytest.approx(done["final_equity"] / 100_000.0 - 1.0, abs=1e-9)


def test_equal_runs_give_equal_documents_but_for_the_trial_that_is_no_longer_new() -> None:
    first = backtest("--strategy", "trend", "--data", "us5")
    second = backtest("--strategy", "trend", "--data", "us5")

    assert first["trials"].pop("is_new")
    assert not second["trials"].pop("is_new")
    assert first == second


def test_every_parameter_set_that_is_tried_counts_as_a_trial() -> None:
    counts = [
        backtest("--strategy", "trend", "--data", "us5", "--param", f"fast={fast}")["trials"]["count"]
        for fast in (10, 15, 10, 20)
    ]

    assert counts == [1, 2, 2, 3]


@pytest.mark.usefixtures("ramp")
def test_the_hold_out_is_not_read() -> None:
    done = backtest("--strategy", "buy_and_hold", "--data", "ramp", *FREE)

    assert done["bars"] == ROWS - ROWS // 5
    assert done["last_bar"] == "2024-02-01T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategy", "tredn", "--data", "us5"), "did you mean 'trend'"),
        (("--strategy", "trend", "--data", "us21"), "Did you mean us20"),
        (("--strategy", "trend", "--data", "us5", "--param", "fsat=3"), "did you mean 'fast'"),
        (("--strategy", "trend", "--data", "us5", "--param", "fast"), "must be NAME=VALUE"),
        (("--strategy", "trend", "--data", "us5", "--param", "fast=x"), "must be a whole number from"),
        (("--strategy", "trend", "--data", "us5", "--cash", "0"), "--cash must be above 0"),
        (("--strategy", "trend", "--data", "us5", "--fee-bps", "inf"), "--fee-bps must be below 10000"),
        (("--strategy", "trend", "--data", "us5", "--slippage-bps", "2e4"), "--slippage-bps must be below"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(arguments: tuple[str, ...], words: str) -> None:
    code, output, errors = engine("backtest", *arguments)

    assert code == 2
    assert output == ""
    assert words in " ".join(errors.split())


def test_a_person_reads_what_was_measured_and_that_it_is_no_verdict() -> None:
    code, output, _ = engine("backtest", "--strategy", "trend", "--data", "us5")

    assert code == 0
    assert "MEASURED" in output
    assert "no verdict" in output
    assert "engine tournament --data us5" in output


@pytest.mark.parametrize("place", ["a-file", "a-file/below"])
def test_a_home_that_cannot_be_written_is_named_without_a_traceback(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("GAUNTLET_HOME", str(tmp_path / place))

    code, output, errors = engine("backtest", "--strategy", "buy_and_hold", "--data", "us5")

    assert code == 2
    assert output == ""
    assert f"{tmp_path / place} cannot be used" in " ".join(errors.split())
    assert "set GAUNTLET_HOME to a folder that can be written" in " ".join(errors.split())
