"""`engine data audit` of one's own bars: exit codes, health, documents and the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from engine.cli.data_audit import app
from engine.data.importer import Request, import_files
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from tests import mutator

pytestmark = pytest.mark.usefixtures("home")

SIZE = 300
# The last bar opens on 2015-01-17 at 11:00 UTC.
AFTER = "2015-01-17T12:00"


def imported(tmp_path: Path, *, gap: bool = False) -> None:
    bars = mutator.realistic(np.random.default_rng(1), size=SIZE)
    if gap:
        bars = mutator.taken(bars, np.delete(np.arange(SIZE), np.arange(24, 48)))
    frame = pd.DataFrame(
        {"timestamp": pd.DatetimeIndex(bars.stamps.view("datetime64[ns]"), tz="UTC")}
        | {name: getattr(bars, name) for name in (*mutator.PRICES, "volume")}
    )
    path = tmp_path / "AAA.csv"
    frame.to_csv(path, index=False)
    import_files(Request(name="mine", paths=(path,), timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS))


def audited(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["mine", *arguments], catch_exceptions=False)


def document(*arguments: str) -> dict[str, Any]:
    return dict(json.loads(audited(*arguments, "--json").stdout))


def test_good_bars_end_with_0(tmp_path: Path) -> None:
    imported(tmp_path)

    result = audited("--now", AFTER)

    assert result.exit_code == 0
    assert "no errors, 0 warnings" in result.stdout
    assert document("--now", AFTER)["score"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "status", "exit_code"),
    [
        (["--now", AFTER, "--mode", "selected"], "OK", 0),
        (["--now", "2015-01-20T12:00", "--mode", "selected"], "OK", 0),
        (["--now", "2015-01-20T12:01", "--mode", "selected"], "STALE", 1),
        (["--now", "2015-01-20T12:01", "--mode", "raw"], "STALE", 0),
        (["--now", "2015-01-20T12:01", "--mode", "selected", "--venue", "equity"], "OK", 0),
    ],
)
def test_old_bars_fail_what_is_selected(
    tmp_path: Path, arguments: list[str], status: str, exit_code: int
) -> None:
    imported(tmp_path)

    result = audited(*arguments)

    assert result.exit_code == exit_code
    assert [entry["status"] for entry in document(*arguments)["health"]] == [status]


def test_gaps_fail_only_if_strict(tmp_path: Path) -> None:
    imported(tmp_path, gap=True)
    selected = ["--now", AFTER, "--mode", "selected"]

    assert audited(*selected).exit_code == 0
    strict = audited(*selected, "--strict")
    assert strict.exit_code == 1
    assert "AAA is DEGRADED (GAPS)" in strict.stdout


def test_a_symbol_that_there_has_to_be_is_missing_in_any_mode(tmp_path: Path) -> None:
    imported(tmp_path)
    arguments = ["--now", AFTER, "--mode", "raw", "--symbols", "AAA,BBB"]

    assert audited(*arguments).exit_code == 1
    assert document(*arguments)["failed"] == ["BBB is MISSING"]


def test_bars_later_than_now_are_errors(tmp_path: Path) -> None:
    imported(tmp_path)

    result = document("--now", "2015-01-05T03:30")

    assert result["errors"].keys() == {"future"}
    assert result["failed"] == [f"{result['errors']['future']:,} errors"]


def test_a_page_is_written_and_says_what_is_sealed(tmp_path: Path) -> None:
    imported(tmp_path, gap=True)
    target = tmp_path / "audit.html"

    result = audited("--now", AFTER, "--page", str(target), "--mode", "raw")

    assert str(target) in result.stdout
    text = target.read_text()
    assert "<h1>Audit of mine</h1>" in text
    assert "bars are sealed" in text
    assert "DEGRADED (GAPS)" in text


def test_a_moment_that_is_none_is_one_message(tmp_path: Path) -> None:
    imported(tmp_path)

    for wrong in ("noon", "", "NaT", "99999-01-01"):
        with pytest.raises(InputError, match="--now: must be"):
            audited("--now", wrong)


@pytest.mark.parametrize("symbols", ["", ",", " , "])
def test_health_of_no_symbol_is_no_good_news(tmp_path: Path, symbols: str) -> None:
    imported(tmp_path)

    with pytest.raises(InputError, match="--symbols: name at least one"):
        audited("--now", AFTER, "--mode", "raw", "--symbols", symbols)


@pytest.mark.parametrize("about_health", [["--symbols", "BBB"], ["--venue", "equity"], ["--strict"]])
def test_what_is_asked_of_health_is_not_passed_over_without_a_mode(
    tmp_path: Path, about_health: list[str]
) -> None:
    imported(tmp_path)

    with pytest.raises(InputError, match="state --mode raw or --mode selected"):
        audited("--now", AFTER, *about_health)
