"""The ladder: what passed may go on, and whatever stands in the way has a name and a next step."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.domain.errors import InputError
from engine.domain.gates import GateStatus, Verdict
from research.passports import Drift
from scoreboards import promotion
from scoreboards.board import Board, Row, from_text
from scoreboards.finding import Found, find
from scoreboards.judging import build
from scoreboards.promotion import Stage, review
from scoreboards.sealed import Seen
from tests.boards import (
    good_controls,
    market_returns,
    settings,
    skilled,
    three_simulators,
    with_baselines,
)
from tests.boards import tournament as tournament_of
from tests.unit.test_promotions import PASSPORT

MARKET = market_returns()
EDGES = {"good": 0.0015, "weak": 0.0004, "bad": -0.001}


@pytest.fixture(scope="module")
def board() -> Board:
    cells = []
    for seed, (name, edge) in enumerate(EDGES.items()):
        returns = skilled(MARKET, edge=edge, seed=seed)
        cells += three_simulators(returns, strategy=name, gross=0.6, parameters={"span": 5})
    return build(tournament_of(with_baselines(cells, MARKET)), settings())


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every row one that can be made again as it was."""
    monkeypatch.setattr(
        promotion, "rebuild", lambda entry: SimpleNamespace(drift=(), passport=PASSPORT, entry=entry)
    )


def found(board: Board, strategy: str, simulator: str = "core") -> Found:
    return Found(row=row_of(board, strategy, simulator), board=board, folder=Path("runs") / board.run_id)


def row_of(board: Board, strategy: str, simulator: str = "core") -> Row:
    (row,) = (r for r in board.rows if (r.text("strategy"), r.text("simulator")) == (strategy, simulator))
    return row


@pytest.mark.usefixtures("unchanged")
def test_what_passed_and_did_not_change_may_go_to_paper(board: Board) -> None:
    judged = review(found(board, "good"), Stage.PAPER)

    assert judged.passport == PASSPORT
    assert judged.failures == ()
    assert judged.following == "engine paper --strategy trend-aaaa1111 --feed replay --data us20"
    assert [answer.gate for answer in judged.answers[:5]] == [
        "scoreboard", "board", "controls", "simulator", "identity",
    ]  # fmt: skip
    assert [answer.gate for answer in judged.answers[5:]] == [
        gate.gate for gate in row_of(board, "good").gates
    ]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("strategy", ["weak", "bad"])
def test_every_gate_that_is_not_met_is_named_with_a_next_step(board: Board, strategy: str) -> None:
    judged = review(found(board, strategy), Stage.PAPER)

    open_gates = [
        gate.gate
        for gate in row_of(board, strategy).gates
        if gate.status in (GateStatus.FAIL, GateStatus.MISSING)
    ]
    assert judged.passport is None
    assert len(open_gates) >= 2
    assert [answer.gate for answer in judged.failures] == ["scoreboard", *open_gates]
    assert all(answer.step for answer in judged.failures)
    assert judged.following.startswith(f"engine report {strategy}-")


@pytest.mark.usefixtures("unchanged")
def test_no_row_of_a_void_board_moves_up() -> None:
    cells = three_simulators(skilled(MARKET, edge=0.0015), strategy="good", gross=0.6, parameters={})
    first, *others = good_controls(MARKET)
    controls = (replace(first, cells=()), *others)
    void = build(tournament_of(with_baselines(cells, MARKET), controls=controls), settings())

    judged = review(found(void, "good"), Stage.PAPER)

    assert void.void
    assert judged.passport is None
    assert [answer.gate for answer in judged.failures] == ["scoreboard", "controls"]


@pytest.mark.usefixtures("unchanged")
def test_a_board_that_was_edited_promotes_nobody(board: Board) -> None:
    bad = row_of(board, "bad")
    good = row_of(board, "good")
    forged = replace(bad, values={**bad.values, "verdict": "PASS", "is_candidate": True}, gates=good.gates)
    edited = replace(board, rows=tuple(forged if row is bad else row for row in board.rows))

    judged = review(found(edited, "bad"), Stage.PAPER)

    assert [answer.gate for answer in judged.failures] == ["board"]
    assert judged.passport is None


def test_a_board_is_intact_after_it_was_written_and_read(board: Board) -> None:
    again = from_text(board.file_text(), Path("board.json"))

    assert again.is_intact
    assert again.configuration == settings().document
    assert not from_text(
        board.file_text().replace('"verdict":"HOLD"', '"verdict":"PASS"'), Path("b")
    ).is_intact


@pytest.mark.usefixtures("unchanged")
def test_rows_of_other_simulators_are_evidence_and_never_promoted(board: Board) -> None:
    judged = review(found(board, "good", "frictionless"), Stage.PAPER)

    assert "simulator" in [answer.gate for answer in judged.failures]
    assert judged.passport is None


def test_what_drifted_is_refused_by_name(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    drift = (
        Drift(what="core version", was="a" * 16, now="b" * 16, mend="play it again"),
        Drift(what="costs: taker_fee_bps", was="10.0", now="12.0", mend="put it back"),
    )
    monkeypatch.setattr(promotion, "rebuild", lambda _: SimpleNamespace(drift=drift, passport=PASSPORT))

    judged = review(found(board, "good"), Stage.PAPER)

    assert judged.passport is None
    assert [(answer.gate, answer.needs, answer.has) for answer in judged.failures] == [
        ("identity: core version", "a" * 16, "b" * 16),
        ("identity: costs: taker_fee_bps", "10.0", "12.0"),
    ]
    assert judged.following == "make port-test"


def test_what_cannot_be_made_again_is_refused(board: Board) -> None:
    # There is no strategy of that name.
    judged = review(found(board, "good"), Stage.PAPER)

    (answer,) = judged.failures
    assert answer.gate == "identity"
    assert "no strategy 'good'" in answer.has


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("stage", [Stage.MICRO_LIVE, Stage.LIVE])
def test_money_asks_for_what_nobody_can_show_yet(
    board: Board, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "seen", lambda _: None)

    judged = review(found(board, "good"), stage, is_in_paper=True)

    names = [answer.gate for answer in judged.failures]
    assert judged.passport is None
    assert {"sealed hold-out", "paper time", "reconciliation", "kill drill", "second person"} <= set(names)
    assert ("micro-live" in names) is (stage is Stage.LIVE)
    assert "paper" not in names
    assert all(answer.status is GateStatus.MISSING for answer in judged.failures)
    assert review(found(board, "good"), stage).failures[0].gate == "paper"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.PASS, GateStatus.PASS),
        (Verdict.HOLD, GateStatus.FAIL),
        (Verdict.FAIL, GateStatus.FAIL),
        # Opened, and what came of it is gone.
        (None, GateStatus.FAIL),
    ],
)
def test_money_asks_what_the_sealed_bars_said(
    board: Board, verdict: Verdict | None, status: GateStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "seen", lambda _: Seen(verdict=verdict, words="opened 2026-01-02"))

    judged = review(found(board, "good"), Stage.MICRO_LIVE, is_in_paper=True)

    (answer,) = (one for one in judged.answers if one.gate == "sealed hold-out")
    assert (answer.status, answer.has) == (status, "opened 2026-01-02")


@pytest.mark.usefixtures("unchanged")
def test_a_record_of_sealed_bars_that_cannot_be_read_is_no_evidence(board: Board) -> None:
    # There is no strategy of that name, so nobody can tell which openings are its own.
    judged = review(found(board, "good"), Stage.MICRO_LIVE, is_in_paper=True)

    (answer,) = (one for one in judged.answers if one.gate == "sealed hold-out")
    assert (answer.status, answer.has) == (GateStatus.FAIL, "no record that can be trusted")
    assert "no strategy 'good'" in answer.step


@pytest.mark.usefixtures("unchanged")
def test_the_document_of_a_gate_is_a_contract_and_fits_a_journal(board: Board) -> None:
    judged = review(found(board, "weak"), Stage.PAPER)

    for answer in judged.answers:
        assert set(answer.document()) == {"gate", "status", "value", "threshold", "direction"}
        assert all(value is None or type(value) is str for value in answer.body().values())


def test_baselines_and_boards_of_an_earlier_version_are_no_candidates(board: Board) -> None:
    with pytest.raises(InputError, match="is a baseline"):
        review(replace(found(board, "good"), row=board.baselines[0]), Stage.PAPER)
    with pytest.raises(InputError, match="earlier version"):
        review(replace(found(board, "good"), board=replace(board, configuration={})), Stage.PAPER)


def test_a_row_is_found_on_the_newest_board_that_has_it(board: Board, tmp_path: Path) -> None:
    newer = replace(board, run_id="newer", rows=board.rows[3:])
    for place, one in enumerate((board, newer)):
        (tmp_path / one.run_id).mkdir()
        (tmp_path / one.run_id / "board.json").write_text(one.file_text())
        stamp = 1_000_000_000 + place
        os.utime(tmp_path / one.run_id / "board.json", (stamp, stamp))
    ids = {name: row_of(board, name).text("strategy_id") for name in EDGES}
    left = {row.text("strategy_id") for row in newer.rows}
    gone = next(strategy_id for strategy_id in ids.values() if strategy_id not in left)
    stays = next(strategy_id for strategy_id in ids.values() if strategy_id in left)

    assert find(gone, tmp_path).board.run_id == board.run_id
    assert find(stays, tmp_path).board.run_id == "newer"
    assert find(stays, tmp_path).row.text("simulator") == "core"
    assert find(stays, tmp_path, board.run_id).board.run_id == board.run_id
    with pytest.raises(InputError, match="in run newer"):
        find(gone, tmp_path, "newer")
    with pytest.raises(InputError, match="no run nowhere"):
        find(gone, tmp_path, "nowhere")


def test_an_unknown_id_names_those_that_are_near(board: Board, tmp_path: Path) -> None:
    (tmp_path / board.run_id).mkdir()
    (tmp_path / board.run_id / "board.json").write_text(board.file_text())
    good = row_of(board, "good").text("strategy_id")

    with pytest.raises(InputError, match=good):
        find("good", tmp_path)
    with pytest.raises(InputError, match=good):
        find(good[:-1] + "_", tmp_path)
    with pytest.raises(InputError, match="see  engine scoreboard"):
        find("zzzz", tmp_path)
