"""`engine holdout` as it is typed: one look at the sealed bars for a candidate, on record for good."""

import csv
import io
import json
import math
from typing import Any

import pytest

from tests.rehearsal import Rehearsal

ASK = ("--data", "planted", "--operator", "ada", "--reason", "before paper")


@pytest.fixture(scope="module")
def home(rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    return Rehearsal(tmp_path_factory.mktemp("holdout"), of=rehearsal)


@pytest.fixture(scope="module")
def opened(home: Rehearsal) -> dict[str, Any]:
    return home.json("holdout", "open", home.passed["strategy_id"], *ASK)


def seal_of(home: Rehearsal) -> dict[str, Any]:
    [known] = home.json("holdout", "list", "--data", "planted")["data_sets"]
    found: dict[str, Any] = known
    return found


def test_what_is_no_candidate_is_refused_and_opens_nothing(home: Rehearsal) -> None:
    before = seal_of(home)["openings"]

    done = home.engine("holdout", "open", home.failed["strategy_id"], *ASK)

    assert done.returncode == 5
    assert "is no candidate" in done.stderr
    assert seal_of(home)["openings"] == before


def test_a_row_is_opened_on_its_own_data_alone(home: Rehearsal) -> None:
    done = home.engine("holdout", "open", home.passed["strategy_id"], "--data", "us20", *ASK[2:])

    assert done.returncode == 2
    assert "is a row of planted" in done.stderr


def test_the_planted_edge_lives_on_in_the_sealed_bars(home: Rehearsal, opened: dict[str, Any]) -> None:
    assert (opened["verdict"], opened["band"]) == ("PASS", "inside")
    assert opened["promised"]["excess_sharpe"] == pytest.approx(home.passed["excess_sharpe"])
    assert opened["identity_hash"] == home.passed["identity_hash"]


def test_every_sealed_day_is_played_and_no_other(home: Rehearsal, opened: dict[str, Any]) -> None:
    folder = home.home / "runs" / f"holdout-{home.passed['strategy_id']}"
    days = list(csv.DictReader(io.StringIO((folder / "returns.csv").read_text(encoding="utf-8"))))
    seal = seal_of(home)

    assert len(days) == opened["sealed_rows"] == seal["sealed_rows"] == 504
    assert (days[0]["day"], days[-1]["day"]) == (seal["first"], seal["last"])
    grown = math.prod(1.0 + float(day["account"]) for day in days)
    account = opened["account"]
    assert grown == pytest.approx(account["final_equity"] / account["start_cash"], rel=1e-9)


@pytest.mark.usefixtures("opened")
def test_a_second_look_is_refused_with_the_date_and_place_of_the_first(home: Rehearsal) -> None:
    done = home.engine("holdout", "open", home.passed["strategy_id"], *ASK)

    opening = seal_of(home)["opened_by"][0]
    assert done.returncode == 5
    assert opening["opened_at"] in done.stderr
    assert f"runs/holdout-{home.passed['strategy_id']}" in done.stderr


@pytest.mark.usefixtures("opened")
def test_an_opening_by_force_says_so_and_is_counted(home: Rehearsal) -> None:
    document = home.json("holdout", "open", home.failed["strategy_id"], *ASK, "--force-research")

    assert (document["is_candidate"], document["verdict"]) == (False, "FAIL")
    assert document["opening"]["number"] == 2
    assert [item["is_candidate"] for item in seal_of(home)["opened_by"]] == [True, False]


@pytest.mark.usefixtures("opened")
def test_the_ladder_reads_what_the_sealed_bars_said(home: Rehearsal) -> None:
    asked = json.loads(
        home.engine("promote", home.passed["strategy_id"], "--to", "micro-live", "--json").stdout
    )

    [gate] = [gate for gate in asked["gates"] if gate["gate"] == "sealed hold-out"]
    assert gate["status"] == "pass"


@pytest.mark.usefixtures("opened")
def test_results_of_sealed_bars_are_runs_and_stay(home: Rehearsal) -> None:
    run_id = f"holdout-{home.passed['strategy_id']}"

    assert run_id in home.engine("runs", "list").stdout
    assert home.engine("runs", "verify", run_id).stdout.startswith("INTACT")
    assert home.engine("runs", "delete", run_id, "--yes").returncode == 5
