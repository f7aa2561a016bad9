"""`engine parity` and `engine replay` as they are typed: TRUE for what ran, the first difference else."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.home import sessions_folder
from engine.journal.kinds import Kind
from engine.journal.reading import Record
from engine.session.drill import edited, rewrite
from tests.paper import EVERY_ORDER, engine, project_with_every_order, replayed
from tests.tampering import nth

pytestmark = pytest.mark.usefixtures("home")

KEYS = {"parity", "intents", "orders", "fills", "first_difference"}
DIFFERENCE_KEYS = {
    "what", "cause", "row", "opened", "closed", "instrument", "journal", "backtest", "explanation",
}  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a project whose own strategy sends every kind of order."""
    folder = project_with_every_order(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def run(strategy: str, data: str, *more: str) -> str:
    """Run a session; return its id."""
    return str(engine(*replayed(strategy, data, *more, "--json")).document["session_id"])


def broken(session: str, kind: Kind, number: int, **values: Any) -> Record:
    """Copy a session under the id `broken`, one record changed; return that record."""
    folder = sessions_folder() / session
    target = nth(folder, kind, number)

    def change(record: Record) -> Record:
        return edited(record, **values) if record.sequence == target.sequence else record

    assert rewrite(folder, sessions_folder() / "broken", change) == 1
    return target


@pytest.mark.parametrize(
    ("strategy", "data", "first", "last"),
    [
        ("trend", "planted", "2011-01-01", "2012-12-31"),
        (EVERY_ORDER, "us5", "2005-01-01", "2006-06-30"),
        ("mean_reversion", "us20", "2005-01-01", "2005-12-31"),
        ("time_series_momentum", "planted-1h", "2016-03-01", "2016-03-20"),
    ],
)
def test_a_session_equals_its_backtest_and_comes_out_of_its_journal(
    strategy: str, data: str, first: str, last: str
) -> None:
    ran = engine(*replayed(strategy, data, "--from", first, "--to", last, "--json")).document

    parity = engine("parity", "--session", ran["session_id"], "--json").document
    replay = engine("replay", "--session", ran["session_id"], "--json").document

    assert parity.keys() >= KEYS
    assert parity["parity"] is True
    assert parity["first_difference"] is None
    assert {name: parity[name] for name in ("intents", "orders", "fills")} == {
        name: ran[name] for name in ("intents", "orders", "fills")
    }
    assert parity["fills"] > 0
    assert parity["journal"] == parity["backtest"]
    assert parity["notes"] == []
    assert replay["replay_parity"] is True
    assert replay["replay_root_hash"] == replay["journal_root_hash"] == ran["content_hash"]
    assert {check["status"] for check in replay["checks"]} <= {"pass", "not_applicable"}


def test_one_fill_that_was_broken_is_found() -> None:
    session = run("trend", "us5", "--from", "2005-01-01", "--to", "2006-06-30")
    price = nth(sessions_folder() / session, Kind.FILL, 4).body["price_e8"]
    fill = broken(session, Kind.FILL, 4, price_e8=price - 1)

    verified = engine("journal", "verify", "--session", "broken")
    parity = engine("parity", "--session", "broken", "--json")
    replay = engine("replay", "--session", "broken", "--json")

    assert verified.code == 0
    assert (parity.code, replay.code) == (1, 1)
    said = json.loads(parity.output)
    assert said["parity"] is False
    found = said["first_difference"]
    assert found.keys() >= DIFFERENCE_KEYS
    assert (found["cause"], found["what"], found["row"]) == ("FILL_PRICE", "fill", fill.body["row"])
    assert (found["journal"], found["backtest"]) == (price - 1, price)
    assert found["opened"] < found["closed"]
    work = json.loads(replay.output)
    assert [failure["class"] for failure in work["failures"]] == ["ROOT_HASH_MISMATCH"]
    assert [failure["severity"] for failure in work["failures"]] == ["CRITICAL"]
    assert (work["differences"][0]["row"], work["differences"][0]["field"]) == (fill.body["row"], "price_e8")


def test_screens_say_verdict_reason_next_command_and_path_last() -> None:
    session = run("trend", "us5", "--from", "2005-01-01", "--to", "2005-12-31")
    broken(session, Kind.FILL, 1, fee_e8=1)

    good, bad = (engine("parity", "--session", name) for name in (session, "broken"))
    whole, parts = (engine("replay", "--session", name) for name in (session, "broken"))

    assert (good.code, bad.code, whole.code, parts.code) == (0, 1, 0, 1)
    assert "PARITY: TRUE" in good.output.splitlines()[0]
    assert "PARITY: FALSE" in bad.output.splitlines()[0]
    assert "fee_e8 is 1 in the journal" in bad.output.splitlines()[1]
    assert "REPLAY PARITY: TRUE" in whole.output.splitlines()[0]
    assert "REPLAY PARITY: FALSE" in parts.output.splitlines()[0]
    assert "CRITICAL  ROOT_HASH_MISMATCH" in parts.output
    assert "✓ no_look_ahead" in whole.output
    assert "✕ ledger" in parts.output
    for said, name, following in (
        (good, session, "replay"),
        (bad, "broken", "replay"),
        (whole, session, "parity"),
    ):
        *_, before_last, last = said.output.splitlines()
        assert before_last == f"next   engine {following} --session {name}"
        assert last == f"path   {sessions_folder() / name / 'journal.log'}"


def test_a_damaged_journal_is_named_and_not_compared() -> None:
    session = run("trend", "us5", "--from", "2005-01-01", "--to", "2005-12-31")
    log = sessions_folder() / session / "journal.log"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 4
    log.write_bytes(data)

    parity = engine("parity", "--session", session, "--json")
    replay = engine("replay", "--session", session, "--json")
    screen = engine("parity", "--session", session)

    assert (parity.code, replay.code, screen.code) == (1, 1, 1)
    said = json.loads(parity.output)
    assert (said["parity"], said["fills"]) == (False, 0)
    assert said["first_difference"]["cause"] == "JOURNAL_DAMAGED"
    assert "LEDGER_CORRUPT" in said["first_difference"]["explanation"]
    assert json.loads(replay.output)["failures"][0]["class"] == "JOURNAL_DAMAGED"
    assert f"next   engine journal verify --session {session}" in screen.output


def test_replay_needs_nothing_but_the_journal() -> None:
    session = run("trend", "us5", "--from", "2005-01-01", "--to", "2005-12-31")
    alone = sessions_folder() / "alone"
    alone.mkdir()
    for name in ("journal.log", "journal.anchor"):
        shutil.copy(sessions_folder() / session / name, alone / name)

    assert engine("replay", "--session", "alone", "--json").document["replay_parity"] is True


@pytest.mark.parametrize("command", ["parity", "replay"])
def test_what_is_not_there_is_named(command: str) -> None:
    nowhere = engine(command, "--session", "nowhere")

    assert nowhere.code == 2
    assert "nowhere" in nowhere.errors


def test_a_strategy_that_is_gone_is_named(project: Path) -> None:
    own = project / "strategies"
    text = (own / f"{EVERY_ORDER}.py").read_text("utf-8")
    (own / "soon_gone.py").write_text(text.replace("EveryOrder", "SoonGone"), "utf-8")
    session = run("soon_gone", "us5", "--from", "2005-01-01", "--to", "2005-03-31")
    (own / "soon_gone.py").unlink()

    for command in ("parity", "replay"):
        said = engine(command, "--session", session)
        assert said.code == 2
        assert "soon_gone" in said.errors


def test_a_data_set_that_was_replaced_is_named(tmp_path: Path) -> None:
    def write(folder: Path, *, revised: bool) -> Path:
        folder.mkdir()
        for symbol, first in (("AAA", 50.0), ("BBB", 80.0)):
            lines = ["date,open,high,low,close,volume"]
            for day in range(300):
                stamp = np.datetime64("2020-01-01") + np.timedelta64(day, "D")
                close = round(first * (1.0 + 0.2 * np.sin(day / 9.0 + first)), 4)
                close += 0.01 if revised and (symbol, day) == ("BBB", 100) else 0.0
                lines.append(f"{stamp},{close},{close + 1},{close - 1},{close:.4f},100000")
            (folder / f"{symbol}.csv").write_text("\n".join(lines) + "\n", "utf-8")
        return folder

    options = ("--timeframe", "1d", "--timezone", "UTC", "--calendar", "24/7")
    assert engine("data", "import", "mine", str(write(tmp_path / "was", revised=False)), *options).code == 0
    session = run("mean_reversion", "mine")
    assert engine("parity", "--session", session).code == 0
    again = ("data", "import", "mine", str(write(tmp_path / "now", revised=True)), *options, "--replace")
    assert engine(*again).code == 0

    said = engine("parity", "--session", session, "--json")

    assert said.code == 1
    found = json.loads(said.output)["first_difference"]
    assert (found["cause"], found["row"], found["instrument"]) == ("DATA_REVISED", 100, "BBB")
    assert engine("replay", "--session", session).code == 0
