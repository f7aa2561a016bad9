"""`engine paper` as it is typed: it does to the last lot what a backtest does, and says no when it must."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli.backtest import settings_for
from engine.core.records import ACCRUAL_FIELDS, ACCRUAL_NAMES, CLOSE_FIELDS, FILL_FIELDS, ORDER_FIELDS
from engine.data import catalogue
from engine.domain.panel import IntArray, Panel
from engine.domain.passport import Passport, PlanKind, PlanTerms
from engine.features.strategy import Strategy
from engine.home import promotions_folder, runs_folder, sessions_folder
from engine.journal.canonical import array_of
from engine.journal.chain import Status
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.promotions import Promotion, record
from engine.journal.reading import read, verify
from engine.pipeline.planning import batch_plan
from engine.pipeline.run import Column, Detail, Outcome, run_all
from engine.strategy_files import load_strategy
from research.backtest import whole_history
from research.passports import research_passport
from scoreboards.board import Board
from scoreboards.judging import build
from scoreboards.publish import publish
from tests.boards import market_returns, skilled, three_simulators, tournament, universe, with_baselines
from tests.boards import settings as made_up_settings
from tests.paper import EVERY_ORDER, PACKAGED, engine, facts, project_with_every_order, replayed

pytestmark = pytest.mark.usefixtures("home")

KEYS = {
    "session_id", "strategy_id", "data", "research_only", "synthetic", "resumed", "finished", "bars",
    "intents", "orders", "fills", "cash", "equity", "content_hash", "journal",
}  # fmt: skip
# Five years, and two of the generated bars.
DATES = {"us5": ("2003-01-01", "2007-12-31"), "planted": ("2011-01-01", "2012-12-31")}
WALK = PlanTerms(
    kind=PlanKind.WALK_FORWARD, selection="all", engine="native", profile="inverse_volatility",
    rebalance="daily_5pct", train=180, test=40, step=20, purge=1, floor=10, seed=7,
)  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a project whose own strategy sends every kind of order."""
    folder = project_with_every_order(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def backtested(strategy: Strategy, fed: Panel, start_row: int, plan: PlanTerms) -> Outcome:
    """Run the same bars through the whole-panel path."""
    settings = replace(whole_history(settings_for(fed.name), fed), start_row=start_row)
    column = Column(
        plan=batch_plan(fed, plan, start_row, len(fed)),
        root=strategy.signal(),
        invest=strategy.invest,
        order_roots=strategy.order_roots,
    )
    return run_all(fed, [column], settings, detail=Detail.RECORDS)


def table(folder: Path, kind: Kind, columns: tuple[str, ...]) -> IntArray:
    def whole(name: str, value: Any) -> int:
        if name == "what":
            return ACCRUAL_NAMES.index(value)
        return -1 if value is None else int(value)

    rows = [
        [whole(name, record.body[name]) for name in columns]
        for record in facts(folder)
        if record.kind is kind
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, len(columns))


def assert_equal_to_backtest(folder: Path, strategy: Strategy, data: str, plan: PlanTerms) -> Outcome:
    """Compare every fact of a session with the whole-panel path, as integers and as bits."""
    begun = facts(folder)[0].body
    panel = catalogue.load(data)
    origin = int(np.searchsorted(panel.timestamps, begun["origin_us"] * 1000))
    fed = panel.rows(origin, origin + begun["rows"])
    outcome = backtested(strategy, fed, begun["start_row"], plan)
    # What is not known yet when an order is written down stands in a record of its own.
    ordered = tuple(name for name in ORDER_FIELDS if name not in ("filled", "outcome", "closed"))
    known = [ORDER_FIELDS.index(name) for name in ordered]
    np.testing.assert_array_equal(table(folder, Kind.FILL, FILL_FIELDS), outcome.fill_records[0])
    np.testing.assert_array_equal(table(folder, Kind.ORDER, ordered), outcome.order_records[0][:, known])
    np.testing.assert_array_equal(table(folder, Kind.ORDER_CLOSED, CLOSE_FIELDS), outcome.close_records[0])
    np.testing.assert_array_equal(table(folder, Kind.CASH, ACCRUAL_FIELDS), outcome.accrual_records[0])
    decisions = [record.body for record in facts(folder) if record.kind is Kind.DECISION]
    assert [body["row"] for body in decisions] == list(range(begun["start_row"], begun["rows"]))
    for name, curve in (("cash", outcome.cash), ("equity", outcome.equity)):
        numbers = np.concatenate([array_of(body[name]) for body in decisions])
        assert numbers.tobytes() == curve[0].tobytes(), name
    return outcome


@pytest.mark.parametrize("data", DATES)
@pytest.mark.parametrize("name", [*PACKAGED, EVERY_ORDER])
def test_a_session_does_to_the_last_lot_what_a_backtest_does(name: str, data: str) -> None:
    first, last = DATES[data]

    said = engine(*replayed(name, data, "--from", first, "--to", last, "--json")).document

    folder = sessions_folder() / said["session_id"]
    outcome = assert_equal_to_backtest(folder, load_strategy(name), data, PlanTerms(kind=PlanKind.LISTED))
    found = verify(folder)
    assert set(said) == KEYS
    assert (said["research_only"], said["finished"], said["resumed"]) == (True, True, False)
    assert said["fills"] == outcome.fills[0] > 0
    assert said["orders"] == outcome.orders[0]
    assert said["equity"] == outcome.final_equity[0]
    assert said["journal"] == str(folder / "journal.log")
    assert (found.status, found.content_hash) == (Status.CLEAN, said["content_hash"])


def test_a_session_over_all_bars_is_the_backtest_that_is_typed() -> None:
    said = engine(*replayed("trend", "us5", "--json")).document
    typed = engine("backtest", "--strategy", "trend", "--data", "us5", "--json").document

    fills = table(sessions_folder() / said["session_id"], Kind.FILL, FILL_FIELDS)
    assert said["equity"] == typed["final_equity"]
    assert said["bars"] == typed["bars"]
    assert [
        [fill["lots"], round(fill["price"] * 1e8), round(fill["fee"] * 1e8)] for fill in typed["fill_records"]
    ] == fills[:, 2:5].tolist()


# --------------------------------------------------------------------------------------------- promoted


def promoted(strategy: Strategy, data: str, **changes: Any) -> str:
    """Promote a strategy, as if a board had it; return its id."""
    panel = catalogue.load(data)
    mark = "-synthetic" if panel.synthetic else ""
    known: dict[str, Any] = {
        "strategy_id": f"{strategy.name}{mark}-0a1b2c3d",
        "plan": WALK,
        "research_only": False,
        "run_id": "t-1",
        "identity_hash": "0a1b2c3d" + "0" * 56,
    }
    passport = replace(research_passport(strategy, data, settings_for(data)), **(known | changes))
    promotion = Promotion(
        strategy_id=passport.strategy_id, to="paper", passport=passport, gates=(), operator="ann", reason="-"
    )
    record(promotions_folder(), promotion, clock=lambda: 0)
    return passport.strategy_id


def paper(strategy: str, *more: str) -> tuple[str, ...]:
    return ("paper", "--strategy", strategy, "--feed", "replay", *more)


def test_what_was_promoted_runs_on_the_windows_of_its_tournament() -> None:
    strategy = load_strategy("trend")
    promoted_id = promoted(strategy, "planted")

    said = engine(*paper(promoted_id, "--data", "planted", "--to", "2010-06-30", "--json")).document

    folder = sessions_folder() / said["session_id"]
    assert_equal_to_backtest(folder, strategy, "planted", WALK)
    begun = facts(folder)[0].body
    weights = [entry.body for entry in facts(folder) if entry.kind is Kind.WEIGHTS]
    assert (begun["start_row"], said["strategy_id"], said["research_only"]) == (180, promoted_id, False)
    assert said["session_id"].startswith(promoted_id)
    assert [body["row"] for body in weights] == list(range(180, begun["rows"], 20))
    assert [body["window"] for body in weights] == list(range(len(weights)))
    assert all(sum(body["units"]) == 10_000 for body in weights)


def test_a_later_start_learns_from_the_bars_before_it() -> None:
    strategy = load_strategy("buy_and_hold")
    promoted_id = promoted(strategy, "planted")

    said = engine(
        *paper(promoted_id, "--data", "planted", "--from", "2015-01-01", "--to", "2015-06-30", "--json")
    ).document

    folder = sessions_folder() / said["session_id"]
    assert facts(folder)[0].body["start_row"] == 180
    assert_equal_to_backtest(folder, strategy, "planted", WALK)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"core_version": "0" * 16}, "core version was 0000"),
        ({"graph_hash": "0" * 64}, "graph of trend was 0000"),
        ({"symbols": ("AAA",)}, "symbols was AAA, is"),
        ({"universe": "us20"}, "was judged on us20, not on planted"),
        ({"timeframe": "1h"}, "timeframe was 1h, is 1d"),
    ],
)
def test_what_is_no_longer_what_was_promoted_does_not_start(changes: Mapping[str, Any], said: str) -> None:
    promoted_id = promoted(load_strategy("trend"), "planted", **changes)

    answered = engine(*paper(promoted_id, "--data", "planted"))

    assert answered.code == 5
    assert said in answered.errors
    assert not sessions_folder().exists(), "what cannot begin leaves nothing behind"


def test_other_parameters_than_those_that_passed_do_not_start() -> None:
    promoted_id = promoted(load_strategy("trend"), "planted", parameters={"fast": 21, "slow": 100})

    answered = engine(*paper(promoted_id, "--data", "planted"))

    assert answered.code == 5
    assert "graph of trend" in answered.errors


def test_a_damaged_journal_of_promotions_promotes_nobody() -> None:
    promoted_id = promoted(load_strategy("trend"), "planted")
    log = promotions_folder() / "journal.log"
    log.write_bytes(log.read_bytes()[:-9] + b"x" * 9)

    answered = engine(*paper(promoted_id, "--data", "planted"))

    assert answered.code == 1
    assert "LEDGER_CORRUPT" in answered.errors


# ----------------------------------------------------------------------------------------- scoreboards


def board_with(edge: float, data_hash: str, strategy: str = "trend") -> Board:
    """Put a made-up scoreboard with rows of a strategy on us20 into the runs."""
    market = market_returns()
    cells = three_simulators(
        skilled(market, edge=edge, seed=0), strategy=strategy, profile="equal_weight", gross=0.6
    )
    played = tournament(
        with_baselines(cells, market),
        universes=[universe(content_hash=data_hash)],
        inputs={"edge": str(edge)},
    )
    board = build(played, made_up_settings())
    publish(board, runs_folder() / board.run_id)
    return board


# A long name is spelled much like the ids of its own rows.
@pytest.mark.parametrize("strategy", ["trend", "cross_sectional_momentum"])
@pytest.mark.parametrize(("edge", "verdict"), [(0.0015, "PASS"), (-0.001, "FAIL")])
def test_a_row_of_a_scoreboard_that_nobody_promoted_is_refused_with_its_verdict(
    edge: float, verdict: str, strategy: str
) -> None:
    board = board_with(edge, "a" * 64, strategy)
    row_id = next(row.text("strategy_id") for row in board.rows if row.text("verdict") == verdict)

    answered = engine(*paper(row_id, "--data", "us20"))

    assert answered.code == 5
    assert f"last result  {board.run_id}  {verdict}" in answered.errors
    assert "--force-research" in answered.errors
    then = (
        f"engine promote {row_id} --to paper"
        if verdict == "PASS"
        else f"engine scoreboard --run {board.run_id}"
    )
    assert f"next  {then}" in answered.errors


def test_an_id_that_no_scoreboard_has_is_answered_with_those_that_are_near() -> None:
    board = board_with(0.0015, "a" * 64)
    row_id = next(row.text("strategy_id") for row in board.rows if row.text("verdict") == "PASS")
    wrong = row_id[:-1] + ("0" if row_id[-1] != "0" else "1")

    answered = engine(*paper(wrong, "--data", "us20"))

    assert answered.code == 2
    assert row_id in answered.errors


@pytest.mark.parametrize("is_same", [True, False])
def test_bars_that_are_not_those_of_the_scoreboard_do_not_start(is_same: bool) -> None:
    data_hash = catalogue.manifest("us20").content_hash if is_same else "a" * 64
    board = board_with(0.0015, data_hash)
    row_id = next(row.text("strategy_id") for row in board.rows if row.text("verdict") == "PASS")
    promoted_id = promoted(load_strategy("trend"), "us20", strategy_id=row_id, run_id=board.run_id)

    answered = engine(*paper(promoted_id, "--data", "us20", "--to", "1991-03-31"))

    assert answered.code == (0 if is_same else 5)
    assert ("hash of data set us20 was aaaaaaaaaaaaaaaa, is" in answered.errors) is not is_same


def test_a_scoreboard_that_is_gone_is_said() -> None:
    promoted_id = promoted(load_strategy("trend"), "planted")

    answered = engine(*paper(promoted_id, "--data", "planted", "--to", "2008-12-31"))

    assert answered.code == 0
    assert "the scoreboard of run t-1 is gone" in answered.errors


# ---------------------------------------------------------------------------------------- research only


def test_a_strategy_without_a_promotion_is_refused_with_the_way_to_explore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = engine(*paper("trend", "--data", "us5"))

    assert answered.code == 5
    assert "refused" in answered.errors
    assert "--force-research" in answered.errors
    assert not sessions_folder().exists()
    # Errors look at what was typed, whichever command it was.
    command = paper("trend", "--data", "us5", "--json")
    monkeypatch.setattr(sys, "argv", ["engine", *command])
    as_json = json.loads(engine(*command).errors)
    assert (as_json["exit"], as_json["error"]) == (5, "RefusedError")


def test_exploring_is_marked_everywhere() -> None:
    answered = engine(*replayed("trend", "planted", "--to", "2008-06-30"))

    assert answered.code == 0
    assert "RESEARCH ONLY" in answered.output
    assert "SYNTHETIC DATA" in answered.output
    assert "RESEARCH ONLY" in answered.errors
    [folder] = sessions_folder().iterdir()
    body = facts(folder)[0].body
    assert folder.name.startswith("research-trend-synthetic-")
    assert (body["passport"]["research_only"], body["data"]["synthetic"]) == (True, True)


def test_exploring_what_was_promoted_is_still_exploring() -> None:
    promoted_id = promoted(load_strategy("trend"), "planted")

    said = engine(*replayed(promoted_id, "planted", "--to", "2008-12-31", "--json")).document

    assert said["research_only"] is True
    assert said["session_id"].startswith("research-")
    promoted_said = engine(*paper(promoted_id, "--data", "planted", "--to", "2008-12-31", "--json")).document
    assert promoted_said["research_only"] is False
    assert promoted_said["session_id"] != said["session_id"]
    assert promoted_said["equity"] == said["equity"]


# ---------------------------------------------------------------------------------- going on, beginning


def test_the_same_command_begins_another_session_when_the_last_is_finished() -> None:
    command = replayed("trend", "us5", "--from", "2003-01-01", "--to", "2003-06-30", "--json")

    first, second = engine(*command).document, engine(*command).document

    assert first["session_id"].removesuffix("-1") == second["session_id"].removesuffix("-2")
    assert first["content_hash"] == second["content_hash"], "equal runs have equal facts"


def test_a_session_that_never_got_further_than_its_folder_begins() -> None:
    command = replayed("trend", "us5", "--from", "2003-01-01", "--to", "2003-06-30", "--json")
    usual = engine(*command).document
    folder = sessions_folder() / f"{usual['session_id'].removesuffix('-1')}-2"
    Journal.create(folder, clock=lambda: 0).close()

    said = engine(*command).document

    assert said["session_id"] == folder.name
    assert said["content_hash"] == usual["content_hash"]


def test_a_session_goes_on_by_its_id() -> None:
    said = engine(*replayed("trend", "us5", "--to", "2000-06-30", "--json")).document

    finished = engine("paper", "--session", said["session_id"])
    unknown = engine("paper", "--session", "trend-9")
    both = engine("paper", "--session", said["session_id"], "--data", "us5")

    assert (finished.code, unknown.code, both.code) == (2, 2, 2)
    assert "is finished" in finished.errors
    assert said["session_id"] in unknown.errors
    assert "--speed" in both.errors


def test_a_slow_replay_says_the_same_as_a_fast_one() -> None:
    command = replayed("trend", "us5", "--from", "2003-01-01", "--to", "2003-01-31", "--json")

    fast = engine(*command).document
    slow = engine(*command, "--speed", "1000").document

    assert fast["content_hash"] == slow["content_hash"]
    batches = [entry.batch for entry in read(Path(slow["journal"]).parent) if entry.kind is Kind.BAR]
    assert len(set(batches)) == len(batches) > slow["bars"] > 10


# ----------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (replayed("trnd", "us5"), "did you mean 'trend'"),
        (paper("trnd", "--data", "us5"), "did you mean 'trend'"),
        (paper("nothing-like-it", "--data", "us5"), "strategies are buy_and_hold"),
        (replayed("trend", "us"), "Did you mean us5"),
        (("paper", "--strategy", "trend", "--data", "us5"), "--feed is missing"),
        (("paper", "--feed", "replay", "--data", "us5"), "--strategy is missing"),
        (("paper", "--feed", "replay", "--strategy", "trend"), "--data is missing"),
        (("paper", "--feed", "live", "--strategy", "trend", "--data", "us5"), "'live' is not known"),
        (replayed("trend", "us5", "--from", "2003-13-01"), "is not a date"),
        (replayed("trend", "us5", "--from", "1999-01-01"), "from 2000-03-01 to 2011-02-28"),
        (replayed("trend", "us5", "--to", "2012-01-01"), "from 2000-03-01 to 2011-02-28"),
        (replayed("trend", "us5", "--from", "2004-01-01", "--to", "2003-01-01"), "is after --to"),
        (replayed("trend", "us5", "--speed", "0"), "--speed must be"),
        (replayed("trend", "us5", "--speed", "fast"), "--speed must be"),
        (replayed("every_order", "us20"), "NO_RANGE_DATA"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_left_behind(
    arguments: tuple[str, ...], said: str
) -> None:
    answered = engine(*arguments)

    assert answered.code == 2
    assert said in answered.errors
    assert not sessions_folder().exists()


def test_a_passport_is_written_whole_and_comes_back() -> None:
    said = engine(*replayed("trend", "us5", "--to", "2000-04-30", "--json")).document

    body = facts(sessions_folder() / said["session_id"])[0].body

    assert Passport.from_body(body["passport"]) == research_passport(
        load_strategy("trend"), "us5", settings_for("us5")
    )
