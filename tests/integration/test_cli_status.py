"""`engine status` and `engine orders` as they are typed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from engine.domain.reasons import Reason
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from tests.sessions import (
    Batch,
    Clock,
    bar,
    decision,
    finished,
    order,
    started,
    traded_batches,
    write,
)

SESSION_KEYS = {
    "strategy_id", "strategy", "asked", "research_only", "synthetic", "data", "timeframe", "instance",
    "state", "interrupted_row", "resumed", "start_row", "next_row", "rows", "started", "written", "quote",
    "start_cash", "cash", "fees", "equity", "since_start", "drawdown", "drawdown_max", "exposure", "scale",
    "mode", "why", "positions", "decisions", "orders", "open_orders", "fills", "last_decision", "last_fill",
}  # fmt: skip
ORDER_KEYS = {
    "order", "client_order_id", "decided", "symbol", "side", "kind", "quantity", "limit", "trigger",
    "time_in_force", "expires", "parent", "state", "filled", "average_price", "fees", "cause", "reason",
    "outcome", "why", "closed",
}  # fmt: skip
HEAVY = {"numpy", "numba", "pandas", "pydantic", "pydantic_core", "rich", "scipy", "pyarrow"}


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.stdout


def statuses(*arguments: str, code: int = 0) -> list[dict[str, Any]]:
    document: dict[str, list[dict[str, Any]]] = json.loads(run("status", *arguments, "--json", code=code))
    return document["sessions"]


@pytest.fixture
def sessions(home: Path) -> Path:
    folder = home / "state" / "sessions"
    folder.mkdir(parents=True)
    return folder


def explored() -> list[Batch]:
    """Return a session that nothing promoted."""
    return [[started(rows=6, research_only=True)], *traded_batches()[1:]]


def test_where_nothing_ran_the_next_step_is_named(home: Path) -> None:
    assert home.is_dir()
    assert statuses() == []
    assert "no session yet" in run("status")
    assert "engine paper --strategy" in run("status")
    assert "there is no session yet" in CliRunner().invoke(app, ["orders"]).stderr


def test_a_finished_session_is_told_in_a_line(sessions: Path) -> None:
    write(sessions / "s-1", [*traded_batches(), [finished(6)]])

    lines = run("status").splitlines()

    assert lines[0] == "SYNTHETIC DATA   PAPER finished"
    assert lines[1].split(maxsplit=1) == ["why", "all 6 bars of planted were played"]
    text = "\n".join(lines)
    assert "95,000.00 USD, -5.00% since the start" in text
    assert "30 ABC bought at 101, now 119.5" in text
    assert "bar 5 from 2024-01-06 00:00 to 2024-01-07 00:00 UTC" in text
    assert "next       engine parity --session s-1" in text
    assert lines[-1].endswith("s-1")


def test_a_session_that_died_says_where_and_how_it_goes_on(sessions: Path) -> None:
    write(sessions / "s-1", explored())
    write(sessions / "s-2", [*explored(), [(Kind.SESSION_INTERRUPTED, {"row": 5})]])

    [died] = statuses("--session", "s-1")
    [interrupted] = statuses("--session", "s-2")

    assert died["verdict"] == interrupted["verdict"] == "STOPPED"
    assert died["headline"] == "PAPER stopped at bar 5, closed 2024-01-07 00:00 UTC"
    assert died["why"] == "its process ended without a word; nothing is lost"
    assert interrupted["why"] == "it was interrupted"
    assert died["next"] == "engine paper --session s-1"
    assert run("status", "--session", "s-1").startswith("RESEARCH ONLY   PAPER stopped")


def test_of_many_sessions_only_what_needs_a_person_and_the_newest_are_told_in_full(sessions: Path) -> None:
    for name in ("s-1", "s-2", "s-3"):
        write(sessions / name, [*traded_batches(), [finished(6)]])
    write(sessions / "s-0", explored())

    text = run("status")

    assert text.count("PAPER finished") == 1
    assert text.count("PAPER stopped") == 1
    assert text.index("PAPER stopped") < text.index("PAPER finished")
    assert "2 more, finished; in full:  engine status --session ID" in text
    assert "-5.00%" in text.splitlines()[-1]


@pytest.mark.parametrize(
    ("scale", "mode", "headline"),
    [
        (1.0, "ACTIVE", "PAPER trading normally"),
        (0.75, "ACTIVE", "PAPER trading smaller after a drawdown"),
        (0.0, "ACTIVE", "PAPER halted: it holds nothing until its drawdown was reviewed"),
        (1.0, "REDUCE_ONLY", "PAPER opens nothing new: REDUCE_ONLY"),
    ],
)
def test_a_session_that_runs_says_what_it_may_do(
    sessions: Path, scale: float, mode: str, headline: str
) -> None:
    with Journal.create(sessions / "s-1", clock=Clock()) as journal:
        journal.append([started()])
        journal.append([bar(1, [1.0, 2.0]), decision(1, 100_000.0, scale=scale, mode=mode)])
        [running] = statuses()

    assert (running["verdict"], running["headline"]) == ("RUNNING", headline)
    assert (running["running"], running["process"]) == (True, os.getpid())
    assert running["why"].endswith("last bar: no order: nothing changed")
    assert statuses()[0]["verdict"] == "STOPPED"


def test_the_last_bar_tells_its_orders_or_why_there_are_none(sessions: Path) -> None:
    reasons = (Reason.AT_TARGET, Reason.AT_TARGET)
    with Journal.create(sessions / "s-1", clock=Clock()) as journal:
        journal.append([started()])
        journal.append([bar(1, [1.0, 2.0]), order(1, 0, 0, 5), order(1, 1, 1, 5), decision(1, 1e5)])
        assert statuses()[0]["why"] == "last bar: 2 orders"
        journal.append([bar(2, [1.0, 2.0]), decision(2, 1e5, reasons=reasons)])
        assert statuses()[0]["why"] == "last bar: no order: the position is at its target"


def test_the_newest_session_comes_first(sessions: Path) -> None:
    for name, start in (("a", 1_767_000_300), ("c", 1_767_000_100), ("b", 1_767_000_200)):
        write(sessions / name, [[started()], [bar(1, [1.0, 1.0]), order(1, 0, 0, 5)]], Clock(start))

    assert [entry["session_id"] for entry in statuses()] == ["a", "b", "c"]
    assert json.loads(run("orders", "--json"))["session_id"] == "a"


def test_a_damaged_journal_shows_no_figure_and_hides_no_other_session(sessions: Path) -> None:
    write(sessions / "bad", traded_batches())
    write(sessions / "good", traded_batches())
    write(sessions / "new", [])
    log = sessions / "bad" / "journal.log"
    data = bytearray(log.read_bytes())
    data[2000] ^= 1
    log.write_bytes(bytes(data))

    found = {entry["session_id"]: entry for entry in statuses(code=1)}

    assert {name: entry["verdict"] for name, entry in found.items()} == {
        "bad": "DAMAGED", "good": "STOPPED", "new": "EMPTY",
    }  # fmt: skip
    assert found["bad"]["session"] is None
    assert "LEDGER_CORRUPT" in found["bad"]["why"]
    assert found["bad"]["next"] == "engine journal verify --session bad"
    text = run("status", code=1)
    assert "PAPER journal is damaged: nothing it says can be trusted" in text
    assert "PAPER has recorded nothing yet" in text
    assert json.loads(run("orders", "--session", "good", "--json"))["orders"]


@pytest.mark.parametrize("was_read_before", [False, True])
def test_a_session_whose_log_was_deleted_does_not_vanish(sessions: Path, was_read_before: bool) -> None:
    write(sessions / "gone", traded_batches())
    if was_read_before:
        statuses()
    (sessions / "gone" / "journal.log").unlink()

    (found,) = statuses(code=1)

    assert (found["session_id"], found["verdict"]) == ("gone", "DAMAGED")
    assert "LEDGER_ROLLBACK" in found["why"]
    assert found["next"] == "engine journal verify --session gone"


def test_the_documents_are_contracts(sessions: Path) -> None:
    write(sessions / "s-1", traded_batches())

    [entry] = statuses()
    orders = json.loads(run("orders", "--session", "s-1", "--json"))

    assert set(entry) == {
        "session_id", "verdict", "headline", "why", "next", "running", "process", "path", "session",
    }  # fmt: skip
    assert set(entry["session"]) == SESSION_KEYS
    assert set(orders) == {"session_id", "orders"}
    assert all(set(row) == ORDER_KEYS for row in orders["orders"])
    assert orders["orders"][1]["average_price"] == "52.00000001"
    assert entry["session"]["cash"] == {"USD": "96470.45999182"}


def test_orders_are_shown_with_their_reasons(sessions: Path) -> None:
    write(sessions / "s-1", traded_batches())

    lines = run("orders").splitlines()

    assert lines[0].split()[0] == "order"
    assert [line.split()[0] for line in lines[1:6]] == ["0", "1", "2", "3", "4"]
    assert "2024-01-02 00:00 to 2024-01-03 00:00" in lines[1]
    assert lines[2].endswith("reduced: not enough cash for all buys of the bar")
    assert "if 90" in lines[3]
    assert [line.split()[0] for line in run("orders", "--last", "2").splitlines()[1:3]] == ["3", "4"]
    assert [line.split()[0] for line in run("orders", "--open").splitlines()[1:2]] == ["2"]
    assert "next   engine status --session s-1" in lines


def test_no_open_order_is_said_in_words(sessions: Path) -> None:
    write(sessions / "s-1", [[started()], [bar(1, [1.0, 1.0]), decision(1, 1e5)]])

    assert "no order yet" in run("orders")
    assert "no open order" in run("orders", "--open")


@pytest.mark.parametrize("command", ["status", "orders"])
def test_a_session_that_is_not_there_is_named(sessions: Path, command: str) -> None:
    write(sessions / "s-1", traded_batches())

    result = CliRunner().invoke(app, [command, "--session", "s-9"])

    assert result.exit_code == 2
    assert "--session s-9: there is no such session; there are s-1" in " ".join(result.stderr.split())


def test_colour_is_left_out_where_it_is_not_wanted(sessions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(sessions / "s-1", traded_batches())

    coloured = CliRunner().invoke(app, ["status"], color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(app, ["status"], color=True).stdout

    assert "\x1b[" in coloured
    assert "\x1b[" not in plain


RUN_AND_LIST_MODULES = """
import json, sys
from engine.cli.main import main
sys.argv = ["engine", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
sys.stderr.write(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_status_loads_nothing_heavy(sessions: Path) -> None:
    write(sessions / "s-1", traded_batches())

    for arguments in (["status"], ["status"], ["status", "--session", "s-1", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", RUN_AND_LIST_MODULES, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        assert set(json.loads(done.stderr)) & HEAVY == set()
        assert "s-1" in done.stdout
