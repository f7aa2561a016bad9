"""`engine runs`: what was played, whether two runs differ, whether a byte was changed, and what may go."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.cli.tracking import finish, tracking_of
from engine.domain.errors import InputError
from engine.home import cache_folder, promotions_folder, runs_folder, state_folder
from engine.journal.promotions import record
from scoreboards.board import Board
from scoreboards.comparison import compare
from scoreboards.judging import build
from scoreboards.publish import publish
from scoreboards.run_checks import Answer, verify
from scoreboards.run_files import RunSummary, read_sums, summaries, summary_of, write_sums
from tests.boards import market_returns, settings, skilled, three_simulators, with_baselines
from tests.boards import tournament as tournament_of
from tests.unit.test_promotions import PASSPORT, PROMOTION

MARKET = market_returns()
FILES = [
    "board.json",
    "scoreboard.html",
    "tournament_candidates.csv",
    "tournament_scoreboard.csv",
    "tournament_scoreboard.md",
]


def board_of(edges: dict[str, float], run: str) -> Board:
    cells = []
    for seed, (name, edge) in enumerate(edges.items()):
        cells += three_simulators(skilled(MARKET, edge=edge, seed=seed), strategy=name, gross=0.6)
    return replace(build(tournament_of(with_baselines(cells, MARKET)), settings()), run_id=run)


@pytest.fixture(scope="module")
def passing() -> Board:
    return board_of({"good": 0.0015, "bad": -0.001}, "t-good")


@pytest.fixture(scope="module")
def empty() -> Board:
    """The same strategies, and what was good is bad now; another one is new."""
    return board_of({"good": -0.0015, "bad": -0.001, "new": -0.002}, "t-empty")


@pytest.fixture
def runs(home: Path, passing: Board, empty: Board) -> Path:
    for second, board in enumerate((passing, empty)):
        folder = runs_folder() / board.run_id
        publish(board, folder)
        write_sums(folder)
        os.utime(folder / "board.json", ns=(0, 1_800_000_000_000_000_000 + second * 1_000_000_000))
    return home


def engine(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["runs", *arguments])


def document(*arguments: str) -> dict[str, Any]:
    done = engine(*arguments, "--json")
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def change_a_byte(path: Path, place: int = -10) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


# --- list ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("runs")
def test_runs_are_listed_with_verdict_and_reason_the_newest_first() -> None:
    newest, oldest = document("list")["runs"]

    assert (newest["run_id"], newest["verdict"], newest["candidates"]) == ("t-empty", "FAIL", 0)
    assert (oldest["run_id"], oldest["verdict"], oldest["candidates"]) == ("t-good", "PASS", 1)
    assert oldest["words"] == "1 of 2 strategies may move to paper"
    assert (oldest["behaved"], oldest["controls"], oldest["data"]) == (3, 3, ["us20"])
    assert oldest["finished"] == "2027-01-15T08:00:00Z"
    assert oldest["tracking_id"] is None


def test_before_the_first_run_the_list_says_how_to_make_one(home: Path) -> None:
    done = engine("list")

    assert (done.exit_code, done.stdout) == (0, "no run yet\n\nnext   engine tournament --data us20\n")
    assert list(home.glob("cache/runs.json")) == []


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("columns", [60, 100])
def test_no_line_of_the_list_is_wider_than_the_screen(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    lines = engine("list").stdout.splitlines()

    # The last line is a command to copy.
    assert max(map(len, lines[:-1])) <= columns
    assert (
        lines[-1].strip().startswith("MLFLOW_DISABLE_TELEMETRY=true mlflow ui --backend-store-uri sqlite:///")
    )


@pytest.mark.usefixtures("runs")
def test_the_list_loads_no_library_that_takes_long() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['engine', 'runs', 'list']\n"
        "from engine.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'numpy', 'pandas', 'mlflow', 'pydantic', 'rich', 'jinja2'} & set(sys.modules)\n"
        "    print('loaded', sorted(heavy))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert "t-good" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.usefixtures("runs")
def test_a_run_that_cannot_be_read_is_listed_as_damaged() -> None:
    assert summary_of("t-good").verdict == "PASS"

    (runs_folder() / "t-good" / "board.json").write_text("{")

    damaged = summary_of("t-good")
    assert damaged.verdict == "DAMAGED"
    assert "board.json cannot be read" in damaged.words


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    "content", ["", "{}", '{"format": 1, "runs": {"t-good/board.json": {"summary": {}}}}']
)
def test_a_cache_that_says_nothing_is_made_anew(content: str) -> None:
    before = summaries()

    (cache_folder() / "runs.json").write_text(content)

    assert summaries() == before


@pytest.mark.usefixtures("runs")
def test_an_unknown_run_names_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"no run t-none .*; there are t-empty, t-good"):
        summary_of("t-none")


@pytest.mark.usefixtures("runs")
def test_a_run_shows_its_hashes_its_files_and_how_to_repeat_it(passing: Board) -> None:
    shown = document("show", "t-good")

    assert shown["content_hash"] == passing.content_hash
    assert shown["hashes"]["inputs"] == passing.settings["inputs_hash"]
    assert shown["repeat"] == "make port-test"
    assert [item["file"] for item in shown["files"]] == ["SHA256SUMS", *FILES]
    assert {item["file"]: item["sha256"] for item in shown["files"]}.items() >= (
        read_sums(runs_folder() / "t-good") or {}
    ).items()


# --- compare ---------------------------------------------------------------------------------------------


def test_a_board_is_the_same_as_itself(passing: Board) -> None:
    found = compare(passing, replace(passing, run_id="t-again"))

    assert found.is_same
    assert found.n_same == 2


def test_a_row_with_another_verdict_comes_first_with_its_gates_and_figures(
    passing: Board, empty: Board
) -> None:
    found = compare(passing, empty)

    change = found.changes[0]
    assert (change.coordinates["strategy"], change.verdicts) == ("good", ("PASS", "FAIL"))
    gate = next(gate for gate in change.gates if gate.gate == "excess_lower_bound")
    assert (gate.first, gate.second, gate.second_threshold) == ("pass", "fail", 0.0)
    was, now = gate.first_value, gate.second_value
    assert was is not None
    assert now is not None
    assert was > 0.0 > now
    moved = {item.what: (item.first, item.second) for item in change.metrics}
    assert moved["excess_lower_bound"] == (was, now)
    assert [name.split()[0] for name in found.only_second] == ["new"]
    assert found.only_first == ()
    assert [change.coordinates["strategy"] for change in found.changes if change.has_other_verdict] == [
        "good"
    ]


def test_inputs_that_differ_are_named_with_both_values(passing: Board) -> None:
    universe = replace(passing.universes[0], content_hash="f" * 64, trials=49)
    other = replace(
        passing,
        universes=(universe,),
        settings={**passing.settings, "core_version": "2"},
        configuration={**passing.configuration, "configuration": {"seed": 2}},
    )

    told = {item.what: (item.first, item.second) for item in compare(passing, other).inputs}

    assert told["core version"] == ("1", "2")
    assert told["us20: data hash"] == (passing.universes[0].content_hash, "f" * 64)
    assert told["us20: tries on record"] == (48, 49)
    assert told["configuration: configuration.seed"] == (1, 2)


@pytest.mark.usefixtures("runs")
def test_the_comparison_is_one_document_and_says_different() -> None:
    assert document("compare", "t-good", "t-empty")["same"] is False
    assert engine("compare", "t-good", "t-empty").stdout.startswith(
        "DIFFERENT  t-good and t-empty: 1 rows have"
    )


# --- verify ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("runs")
def test_what_nobody_touched_is_intact() -> None:
    done = engine("verify")

    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].startswith("INTACT  t-empty")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found_and_its_file_named(name: str) -> None:
    change_a_byte(runs_folder() / "t-good" / name)

    done = engine("verify", "t-good")

    assert done.exit_code == 1
    assert done.stdout.splitlines()[0] == f"CHANGED  t-good  {name}"
    assert document("verify")["intact"] is False


def changed(run: RunSummary) -> set[tuple[str, str]]:
    return {(check.file, check.against) for check in verify(run) if check.answer is Answer.CHANGED}


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", ["tournament_candidates.csv", "tournament_scoreboard.csv"])
def test_a_table_is_held_against_the_board_whatever_the_sums_say(name: str) -> None:
    path = runs_folder() / "t-good" / name
    path.write_text(path.read_text().replace(",PASS,", ",FAIL,", 1))
    write_sums(path.parent)

    assert changed(summary_of("t-good")) == {(name, "board.json")}


@pytest.mark.usefixtures("runs")
def test_a_number_changed_on_the_board_is_found_whatever_the_sums_say() -> None:
    path = runs_folder() / "t-good" / "board.json"
    text = path.read_text()
    path.write_text(text.replace('"trades":100.0', '"trades":101.0', 1))
    assert path.read_text() != text
    write_sums(path.parent)

    assert ("board.json", "the content hash in it") in changed(summary_of("t-good"))


@pytest.mark.usefixtures("runs")
def test_a_file_that_is_gone_was_changed() -> None:
    (runs_folder() / "t-good" / "scoreboard.html").unlink()

    assert changed(summary_of("t-good")) == {("scoreboard.html", "SHA256SUMS")}


@pytest.mark.usefixtures("runs")
def test_a_board_of_another_version_is_not_called_changed() -> None:
    path = runs_folder() / "t-good" / "board.json"
    path.write_text(path.read_text().replace('"schema":"scoreboard/2"', '"schema":"scoreboard/0"'))
    write_sums(path.parent)

    done = engine("verify", "t-good")

    assert (done.exit_code, done.stdout.split()[0]) == (0, "UNCHECKED")


# --- delete ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("runs")
def test_a_run_is_deleted_when_somebody_means_it() -> None:
    assert engine("delete", "t-good").exit_code == 2
    assert summary_of("t-good").verdict == "PASS"

    assert engine("delete", "t-good", "--yes").exit_code == 0

    assert [run.run_id for run in summaries()] == ["t-empty"]
    assert [path.name for path in runs_folder().iterdir()] == ["t-empty"]


@pytest.mark.usefixtures("runs")
def test_what_a_promotion_rests_on_is_kept() -> None:
    promotion = replace(PROMOTION, passport=replace(PASSPORT, run_id="t-good"))
    record(promotions_folder(), promotion, clock=lambda: 1)

    done = engine("delete", "t-good", "--yes")

    assert done.exit_code == 5
    assert summary_of("t-good").verdict == "PASS"


@pytest.mark.usefixtures("runs")
def test_the_result_of_a_hold_out_is_kept() -> None:
    folder = runs_folder() / "holdout-trend-1"
    folder.mkdir()
    (folder / "holdout.json").write_text("{}")

    assert engine("delete", "holdout-trend-1", "--yes").exit_code == 5
    assert folder.is_dir()


# --- tracking, as far as it goes without MLflow ----------------------------------------------------------


def test_the_command_line_decides_where_to_track_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GAUNTLET_TRACKING", "on")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")

    given, found = tracking_of("sqlite:///x.db", wanted=True), tracking_of(None, wanted=True)

    assert given is not None
    assert (given.uri, given.is_asked_for) == ("sqlite:///x.db", True)
    assert found is not None
    assert (found.uri, found.is_asked_for) == ("http://there", False)
    assert tracking_of(None, wanted=False) is None
    with pytest.raises(InputError, match="give one of them"):
        tracking_of("sqlite:///x.db", wanted=False)
    monkeypatch.setenv("GAUNTLET_TRACKING", "off")
    assert tracking_of(None, wanted=True) is None


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(("is_asked_for", "code"), [(False, 0), (True, 1)])
def test_a_store_that_fails_takes_nothing_away(
    is_asked_for: bool, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    state_folder().mkdir()
    (state_folder() / "mlflow.db").write_text("no store of anything" * 100)
    folder = runs_folder() / "t-good"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    tracking = tracking_of("sqlite:///" + str(state_folder() / "mlflow.db"), wanted=True)
    assert tracking is not None

    assert finish(folder, replace(tracking, is_asked_for=is_asked_for)) == code

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "! not tracked" in said.err
    assert "engine runs track t-good" in said.err
