"""`engine promote` and `engine report` as they are typed, on a small tournament with a planted edge."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from engine.journal.promotions import promoted
from engine.journal.reading import read
from tests.rehearsal import COSTS, Rehearsal

SECTIONS = [
    "Gates",
    "Growth against doing nothing clever",
    "Walk-forward windows",
    "How much hangs on the exact parameters",
    "Higher costs, later fills",
    "What it held",
    "Where it bought and sold",
    "Trades and costs",
    "Orders that were cut, and why",
    "Terms and hashes",
    "How to repeat",
]


@pytest.fixture(scope="module")
def page(rehearsal: Rehearsal) -> str:
    """Write the report on what passed and return its page."""
    strategy_id = rehearsal.passed["strategy_id"]
    done = rehearsal.engine("report", strategy_id)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.splitlines()[-1].split()[-1])
    assert path == rehearsal.report_folder(strategy_id) / "report.html"
    assert "Warning" not in done.stderr
    assert "WARNING" not in done.stderr
    return path.read_text(encoding="utf-8")


def test_the_board_has_what_the_tests_are_about(rehearsal: Rehearsal) -> None:
    assert rehearsal.passed["verdict"] == "PASS"
    assert rehearsal.failed["verdict"] == "FAIL"
    assert json.loads(rehearsal.passed["parameters"]) == {"fast": 20, "slow": 100}


# --- report ----------------------------------------------------------------------------------------------


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    assert re.findall(r"https?://", page) == []
    assert "<script" not in page
    assert "<link" not in page
    assert set(re.findall(r'(?:src|href)="([^"#][^"]*)"', page)) == set()
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert "prefers-color-scheme:dark" in page
    assert len(page) < 5_000_000


def test_the_page_says_what_came_of_it_then_why(rehearsal: Rehearsal, page: str) -> None:
    words = [re.sub(r"<[^>]+>", "", heading) for heading in re.findall(r"<h2[^>]*>(.*?)</h2>", page)]

    assert words == SECTIONS
    assert page.index("met all") < page.index("deepest drawdown") < page.index("<h2")
    assert page.count("<svg") == 7
    for value in ("strategy_id", "identity_hash"):
        assert rehearsal.passed[value] in page
    assert rehearsal.board["content_hash"] in page
    assert "engine tournament --config small.yaml" in page
    # Code stays in the notebook.
    assert "report_figures" not in page


def test_the_notebook_is_whole_and_tells_no_secrets_of_the_machine(rehearsal: Rehearsal, page: str) -> None:
    folder = rehearsal.report_folder(rehearsal.passed["strategy_id"])
    text = (folder / "report.ipynb").read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)

    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type in ("error", "stream")] == []
    for private in (str(rehearsal.home), str(rehearsal.project), sys.executable, "papermill"):
        assert private not in text
        assert private not in page
    inputs = json.loads((folder / "inputs.json").read_text())
    assert inputs["kind"] == "row"
    assert 'inputs_file = "runs/' in text.replace("\\", "")


def test_the_same_report_is_the_same_bytes(rehearsal: Rehearsal, page: str) -> None:
    strategy_id = rehearsal.passed["strategy_id"]
    folder = rehearsal.report_folder(strategy_id)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()

    document = rehearsal.json("report", strategy_id)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert document["strategy_id"] == strategy_id
    assert Path(document["html"]).read_text(encoding="utf-8") == page
    assert Path(document["notebook"]).is_file()


# --- promote ---------------------------------------------------------------------------------------------


def test_what_failed_is_refused_gate_by_gate_and_nothing_is_changed(rehearsal: Rehearsal) -> None:
    strategy_id = rehearsal.failed["strategy_id"]
    document = rehearsal.json("promote", strategy_id, "--to", "paper", code=5)

    assert document["promoted"] is False
    assert document["passport_hash"] is None
    assert document["failures"][0] == "scoreboard"
    failures = rehearsal.failed["candidate_failures"].split(";")
    assert document["failures"][1:] == [token.removeprefix("missing:") for token in failures]
    assert promoted(rehearsal.journal, strategy_id) is None

    done = rehearsal.engine("promote", strategy_id, "--to", "paper")
    assert done.returncode == 5
    assert "✕ not promoted" in done.stdout
    assert "Nothing was changed" in done.stdout


def test_costs_that_changed_since_are_refused_by_name(rehearsal: Rehearsal) -> None:
    strategy_id = rehearsal.passed["strategy_id"]
    rehearsal.costs.write_text(COSTS.replace("slippage_bps: 5.0", "slippage_bps: 1.0"))
    try:
        promotion = rehearsal.json("promote", strategy_id, "--to", "paper", code=5)
        report = rehearsal.engine("report", strategy_id)
    finally:
        rehearsal.costs.write_text(COSTS)

    assert promotion["failures"] == ["identity: costs: slippage_bps"]
    assert promotion["next"] == "engine tournament --config small.yaml"
    assert report.returncode == 5
    assert "costs: slippage_bps was 5.0, is 1.0" in report.stderr


def test_what_passed_is_promoted_once_with_a_passport_that_a_session_can_read(rehearsal: Rehearsal) -> None:
    strategy_id = rehearsal.passed["strategy_id"]
    arguments = ("promote", strategy_id, "--to", "paper", "--no-report", "--operator", "ann")
    document = rehearsal.json(*arguments, "--reason", "looks fine")

    assert set(document) == {
        "promoted", "strategy_id", "to", "gates", "failures", "next", "passport_hash",
    }  # fmt: skip
    assert document["promoted"] is True
    assert document["failures"] == []
    assert document["next"] == f"engine paper --strategy {strategy_id} --feed replay --data planted"
    assert {gate["status"] for gate in document["gates"]} == {"pass", "not_applicable"}
    passport = promoted(rehearsal.journal, strategy_id)
    assert passport is not None
    assert passport.hash == document["passport_hash"]
    assert passport.identity_hash == rehearsal.passed["identity_hash"]
    assert passport.board_hash == rehearsal.board["content_hash"]
    assert passport.synthetic
    [record] = list(read(rehearsal.journal))
    assert (record.body["operator"], record.body["reason"]) == ("ann", "looks fine")

    again = rehearsal.engine("promote", strategy_id, "--to", "paper")
    assert again.returncode == 0, again.stderr
    assert "promoted to paper before" in again.stdout
    assert len(list(read(rehearsal.journal))) == 1


@pytest.mark.parametrize("stage", ["micro-live", "live"])
def test_beyond_paper_it_says_what_is_missing(rehearsal: Rehearsal, stage: str) -> None:
    document = rehearsal.json("promote", rehearsal.passed["strategy_id"], "--to", stage, code=5)

    assert {"real prices", "sealed hold-out", "paper time", "second person"} <= set(document["failures"])
    assert document["to"] == stage


def test_an_id_that_nobody_has_names_those_that_are_near(rehearsal: Rehearsal) -> None:
    for command in (("promote", "trend", "--to", "paper"), ("report", "trend")):
        done = rehearsal.engine(*command)
        assert done.returncode == 2
        assert rehearsal.passed["strategy_id"] in done.stderr
        assert done.stdout == ""
    assert rehearsal.engine("promote", rehearsal.passed["strategy_id"], "--to", "moon").returncode == 2


def test_what_ran_without_a_promotion_never_goes_further(rehearsal: Rehearsal) -> None:
    arguments = ("--data", "planted", "--feed", "replay", "--to", "2008-01-31")
    done = rehearsal.engine("paper", "--strategy", "trend", *arguments, "--force-research")
    assert done.returncode == 0, done.stderr
    [session] = (rehearsal.home / "state" / "sessions").glob("*/journal.log")
    first = next(iter(read(session.parent)))
    strategy_id = first.body["passport"]["strategy_id"]

    refused = rehearsal.engine("promote", strategy_id, "--to", "paper")

    assert refused.returncode == 5
    assert "can never be promoted" in refused.stdout
    assert rehearsal.json("promote", strategy_id, "--to", "paper", code=5)["promoted"] is False
