"""A tournament in MLflow's own store: one run, one table, child runs, nothing sent, nothing made twice."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from scoreboards.run_files import write_sums
from tests.rehearsal import Rehearsal

# Loads MLflow with every call that reaches for the network on record.
LISTENING = """
import json, sys
reached = []
def hear(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        reached.append([event, str(arguments)])
sys.addaudithook(hear)
from engine.cli.main import app
try:
    app(sys.argv[1:], prog_name="engine", standalone_mode=False)
finally:
    print(json.dumps({"reached": reached, "loaded": "mlflow" in sys.modules}))
"""


@pytest.fixture(scope="module")
def home(rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    return Rehearsal(tmp_path_factory.mktemp("tracking"), of=rehearsal)


@pytest.fixture(scope="module")
def first(home: Rehearsal) -> "tuple[dict[str, Any], dict[str, Any], str]":
    """Track the tournament: what was printed, what was heard, and what stands on stderr."""
    return track(home)


def track(home: Rehearsal) -> "tuple[dict[str, Any], dict[str, Any], str]":
    done = subprocess.run(
        [sys.executable, "-c", LISTENING, "runs", "track", home.board["run_id"], "--json"],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    printed, heard = map(json.loads, done.stdout.splitlines())
    return printed, heard, done.stderr


def ask(home: Rehearsal, query: str, *values: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home.home / "state" / "mlflow.db")) as store:
        return store.execute(query, values).fetchall()


def pairs(home: Rehearsal, table: str, run: str) -> Mapping[str, Any]:
    return dict(ask(home, f"select key, value from {table} where run_uuid = ?", run))


def test_a_run_is_tracked_and_nothing_is_sent_or_said(
    first: "tuple[dict[str, Any], dict[str, Any], str]",
) -> None:
    printed, heard, said = first

    assert printed["is_new"] is True
    assert heard == {"reached": [], "loaded": True}
    assert said == ""


@pytest.mark.usefixtures("first")
def test_an_equal_run_is_not_made_twice_and_loads_nothing(home: Rehearsal) -> None:
    [before] = ask(home, "select count(*) from runs")

    printed, heard, _ = track(home)

    assert printed["is_new"] is False
    assert heard["loaded"] is False
    assert ask(home, "select count(*) from runs") == [before]


def test_hashes_verdict_and_configuration_stand_on_the_parent(
    home: Rehearsal, first: "tuple[dict[str, Any], dict[str, Any], str]"
) -> None:
    parent = first[0]["tracking_id"]

    tags, told = pairs(home, "tags", parent), pairs(home, "params", parent)

    assert tags["gauntlet.run_id"] == home.board["run_id"]
    assert tags["gauntlet.content_hash"] == home.board["content_hash"]
    assert tags["verdict"] == "1 of 2 strategies may move to paper trading"
    assert len(tags["data_hash/planted"]) == 64
    assert told["source"] == "small.yaml"
    assert told["costs.taker_fee_bps"] == "10.0"
    [measured] = ask(home, "select value from metrics where run_uuid = ? and key = 'candidates'", parent)
    assert measured == (1.0,)


def test_the_cells_are_one_table_with_every_row_of_the_board(
    home: Rehearsal, first: "tuple[dict[str, Any], dict[str, Any], str]"
) -> None:
    folder = home.home / "state" / "mlflow-artifacts" / first[0]["tracking_id"] / "artifacts"

    table = pyarrow.parquet.read_table(folder / "cells.parquet")

    rows = home.board["rows"]
    assert table.column_names == sorted(home.board["columns"])
    for column in ("strategy_id", "excess_sharpe", "trades", "is_candidate", "simulator"):
        assert table.column(column).to_pylist() == [row[column] for row in rows], column
    board_csv = home.home / "runs" / home.board["run_id"] / "tournament_scoreboard.csv"
    assert (folder / "cells.csv").read_bytes() == board_csv.read_bytes()


def test_candidates_and_best_rows_are_children_with_parameters_figures_and_gates(
    home: Rehearsal, first: "tuple[dict[str, Any], dict[str, Any], str]"
) -> None:
    children = ask(
        home,
        "select run_uuid from tags where key = 'mlflow.parentRunId' and value = ?",
        first[0]["tracking_id"],
    )

    found = {pairs(home, "params", run)["strategy"]: run for (run,) in children}
    assert sorted(found) == ["mean_reversion", "trend"]
    passed = found["trend"]
    told, tags = pairs(home, "params", passed), pairs(home, "tags", passed)
    measured = pairs(home, "latest_metrics", passed)
    assert (told["parameter.fast"], told["selection"], told["engine"]) == ("20", "all", "native")
    assert tags["identity_hash"] == home.passed["identity_hash"]
    assert (tags["verdict"], tags["gate/deflated_sharpe"]) == ("PASS", "pass")
    for name in ("sharpe", "excess_sharpe", "excess_lower_bound", "deflated_sharpe"):
        assert measured[name] == pytest.approx(home.passed[name], rel=1e-12), name
    assert measured["gate/excess_lower_bound"] == measured["excess_lower_bound"]


@pytest.mark.usefixtures("first")
def test_a_page_that_was_edited_with_its_sum_is_told_by_the_copy(home: Rehearsal) -> None:
    folder = home.home / "runs" / home.board["run_id"]
    assert home.engine("runs", "verify").stdout.startswith("INTACT")
    page = folder / "scoreboard.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("FAIL", "PASS", 1), encoding="utf-8")
    write_sums(folder)

    done = home.engine("runs", "verify")

    page.write_text(text, encoding="utf-8")
    write_sums(folder)
    assert done.returncode == 1
    assert "scoreboard.html, against MLflow's copy" in done.stdout
    assert home.engine("runs", "verify").returncode == 0


@pytest.mark.usefixtures("first")
def test_a_copy_that_was_edited_is_told_by_its_hash(home: Rehearsal) -> None:
    [copy] = Path(home.home / "state" / "mlflow-artifacts").rglob("cells.parquet")
    content = copy.read_bytes()
    copy.write_bytes(content[:-1] + b"?")

    done = home.engine("runs", "verify")

    copy.write_bytes(content)
    assert done.returncode == 1
    assert "cells.parquet, against MLflow's hash" in done.stdout


def test_a_deleted_run_is_gone_from_the_store_with_its_rows(
    rehearsal: Rehearsal, home: Rehearsal, first: "tuple[dict[str, Any], dict[str, Any], str]", tmp_path: Path
) -> None:
    going = Rehearsal(tmp_path, of=home)

    # The promotion of another test may rest on the run; here nothing does.
    for log in (going.home / "state" / "promotions").glob("*"):
        log.unlink()
    document = going.json("runs", "delete", home.board["run_id"], "--yes")

    assert len(document["tracking_ids"]) == 3
    assert ask(going, "select distinct lifecycle_stage from runs") == [("deleted",)]
    assert not (going.home / "runs" / home.board["run_id"]).exists()
    assert rehearsal.home != going.home
    assert first[0]["tracking_id"] in document["tracking_ids"]
