"""The board: order, verdicts, controls, hash, and that nothing stands on it that its account does not say."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_allclose

from engine.cli.tournament import answers
from engine.core import metrics
from engine.domain.errors import IdentityError, InputError
from engine.domain.gates import Verdict
from engine.domain.panel import FloatArray
from engine.domain.time import Timeframe
from research.cells import (
    BaselineRole,
    CellResult,
    Control,
    ControlExpectation,
    Refusal,
    Simulator,
    Tournament,
    TrialsRecord,
)
from scoreboards.board import COLUMNS, FIRST_COLUMNS, STANDARD_COLUMNS, Board, from_text
from scoreboards.judging import build, judge_controls
from scoreboards.publish import csv_text
from scoreboards.regimes import Regime, decision_regime, worst_regime
from scoreboards.sentences import headline, pass_words, row_reasons
from tests import boards
from tests.boards import (
    cell,
    good_controls,
    market_returns,
    missing,
    settings,
    skilled,
    three_simulators,
    tournament,
    universe,
    with_baselines,
)

MARKET = market_returns()


def contest(*, edges: dict[str, float], **changes: object) -> Tournament:
    """Return a tournament of strategies with edges a day beyond 0.6 of the market."""
    cells: list[CellResult] = []
    for seed, (name, edge) in enumerate(edges.items()):
        cells += three_simulators(skilled(MARKET, edge=edge, seed=seed), strategy=name, gross=0.6)
    return tournament(with_baselines(cells, MARKET), **changes)  # type: ignore[arg-type]


def judged(*, edges: dict[str, float], **changes: object) -> Board:
    return build(contest(edges=edges, **changes), settings())


@pytest.fixture(scope="module")
def board() -> Board:
    return judged(edges={"good": 0.0015, "weak": 0.0004, "bad": -0.001})


def test_the_columns_are_the_identity_then_the_standard_in_its_order() -> None:
    header = next(csv.reader(io.StringIO(csv_text([]))))

    assert header[:3] == ["strategy_id", "strategy", "universe"]
    assert header[3:35] == list(STANDARD_COLUMNS)
    assert len(FIRST_COLUMNS + STANDARD_COLUMNS) == 35
    assert header[3] == "selection"
    assert header[34] == "candidate_failures"
    assert len(header) == len(set(header)) == len(COLUMNS)


def test_candidates_come_first_then_the_lower_bound_decides(board: Board) -> None:
    core = [row for row in board.rows if row.is_judged]

    assert [row.text("strategy") for row in core] == ["good", "weak", "bad"]
    assert [row.verdict for row in core] == [Verdict.PASS, Verdict.HOLD, Verdict.FAIL]
    assert board.rows[0].values["is_candidate"] is True
    bounds = [row.number("excess_lower_bound") for row in board.rows[1:]]
    known = [bound for bound in bounds if not np.isnan(bound)]
    assert known == sorted(known, reverse=True)
    assert np.isnan(bounds[len(known) :]).all()


def test_only_core_rows_are_judged_the_others_are_evidence(board: Board) -> None:
    for row in board.rows:
        is_core_strategy = row.text("simulator") == "core" and row.values["is_baseline"] is False
        assert row.is_judged is is_core_strategy
        assert bool(row.gates) is is_core_strategy


def test_a_baseline_is_never_a_winner(board: Board) -> None:
    assert [row.text("strategy") for row in board.candidates] == ["good"]
    for row in board.baselines:
        assert row.verdict is Verdict.BASELINE
        assert row.values["is_candidate"] is False


def test_the_market_row_is_its_own_measure(board: Board) -> None:
    (market,) = [row for row in board.baselines if row.text("baseline_role") == "market"]

    assert_allclose(market.number("beta"), 1.0, rtol=1e-12)
    assert_allclose(market.number("cvar_mult"), 1.0, rtol=1e-9)
    assert_allclose(market.number("mdd_mult"), 1.0, rtol=1e-9)
    assert market.number("stress_alpha") == 0.0


def test_a_set_that_names_no_market_says_what_its_market_row_is(board: Board) -> None:
    played = contest(edges={"good": 0.0015}, universes=[universe(market="")])

    row = build(played, settings()).candidates[0]

    assert (row.text("stress_ref"), row.text("market")) == ("raw_pool_ew", "raw_pool_ew")
    named = board.candidates[0]
    assert (named.text("stress_ref"), named.text("market")) == ("market", "S&P 500")


def test_a_row_says_what_the_account_did(board: Board) -> None:
    row = board.candidates[0]
    change = row.number("final_equity") / row.number("start_cash")

    assert_allclose(1 + row.number("total_return"), change, rtol=1e-12)
    assert row.number("g") == 0.6
    assert row.number("trades") == 100
    assert row.text("reasons") == "CUT_CASH:3"
    # Four instruments at a quarter each, in every window.
    assert (row.number("hhi"), row.number("max_weight"), row.number("n_assets")) == (0.25, 0.25, 4)
    assert len(row.text("block_sharpes").split(";")) == 1261 // 252


def test_the_hash_does_not_know_when_or_where_a_run_was_made(board: Board) -> None:
    played = contest(edges={"good": 0.0015, "weak": 0.0004, "bad": -0.001})

    again = build(replace(played, run_id="another"), replace(settings(), source="/elsewhere/x.yaml"))

    assert again.content_hash == board.content_hash


def test_the_hash_does_not_depend_on_the_order_in_which_cells_were_played(board: Board) -> None:
    played = contest(edges={"good": 0.0015, "weak": 0.0004, "bad": -0.001})

    again = build(replace(played, cells=played.cells[::-1]), settings())

    assert again.content_hash == board.content_hash


@pytest.mark.parametrize("change", ["a value", "a gate", "the register", "the inputs"])
def test_the_hash_knows_every_input(board: Board, change: str) -> None:
    played = contest(edges={"good": 0.0015, "weak": 0.0004, "bad": -0.001})
    by = settings()
    match change:
        case "a value":
            first = replace(played.cells[0], fees=played.cells[0].fees + 0.01)
            played = replace(played, cells=(first, *played.cells[1:]))
        case "a gate":
            by = settings(gates={"trades": 31})
        case "the register":
            trials = TrialsRecord(count=48, head="other", n_effective=6.2)
            played = replace(played, universes=(universe(trials=trials),))
        case _:
            played = replace(played, inputs_hash="other")

    assert build(played, by).content_hash != board.content_hash


def test_a_board_read_back_is_the_board(board: Board) -> None:
    again = from_text(board.file_text(), Path("board.json"))

    assert again.file_text() == board.file_text()
    assert again.content_hash == board.content_hash
    assert [row.values for row in again.rows] == [row.values for row in board.rows]
    # repr: NaN thresholds of gates that do not apply are not equal to themselves.
    assert repr([row.gates for row in again.rows]) == repr([row.gates for row in board.rows])


def test_an_infinite_fragility_survives_the_file() -> None:
    lost = judged(edges={"bad": -0.002})

    (row,) = [row for row in from_text(lost.file_text(), Path("x")).rows if row.is_judged]

    assert row.number("temporal_fragility") == np.inf
    assert "beyond measure" in " ".join(row_reasons(row))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": "scoreboard/1"}', '{"schema": "scoreboard/2"}'])
def test_a_file_that_is_no_board_says_so(text: str) -> None:
    with pytest.raises(InputError, match=r"board\.json: .*run"):
        from_text(text, Path("board.json"))


def test_the_document_is_the_contract(board: Board) -> None:
    document = json.loads(json.dumps(board.document(), allow_nan=False))

    assert list(document) == ["run_id", "content_hash", "columns", "rows", "candidates", "controls", "void"]
    assert document["void"] is False
    assert document["columns"] == list(COLUMNS)
    assert all(list(row) == document["columns"] for row in document["rows"])
    assert document["candidates"] == [board.candidates[0].text("strategy_id")]
    assert [control["behaved"] for control in document["controls"]] == [True, True, True]


def test_nearest_misses_are_held_ones_first_and_one_a_strategy() -> None:
    board = judged(edges={"worse": -0.001, "weak": 0.0004, "bad": -0.0005})

    assert board.candidates == ()
    assert headline(board) == "Nothing passed: none of 3 strategies may move to paper trading"
    misses = board.nearest_misses()
    assert misses[0].text("strategy") == "weak"
    assert sorted(row.text("strategy") for row in misses) == ["bad", "weak", "worse"]


def test_what_earned_no_excess_is_told_so_and_not_that_it_may_be_luck() -> None:
    board = judged(edges={"bad": -0.001})

    why = row_reasons(board.nearest_misses()[0])

    assert why[0].startswith("earned no more than the pool at its own exposure: excess Sharpe -")
    assert not any("luck" in text for text in why)


def test_a_cell_that_gave_nothing_fails_with_its_reason() -> None:
    cells = with_baselines([cell(skilled(MARKET, edge=0.001), strategy="good")], MARKET)
    board = build(tournament([*cells, missing(strategy="broken")]), settings())

    (row,) = [row for row in board.rows if row.text("strategy") == "broken"]

    assert row.verdict is Verdict.FAIL
    assert row.values["sharpe"] is None
    assert "missing:excess_lower_bound" in row.text("candidate_failures").split(";")
    assert row_reasons(row) == ["gave no result: the solver gave no weights"]


def test_a_refused_strategy_is_shown_and_cannot_pass() -> None:
    refusal = Refusal(strategy="peeker", universe="us20", reason="orders changed when rows were cut off")
    board = judged(edges={"good": 0.0015}, refusals=[refusal])

    (row,) = [row for row in board.rows if row.text("strategy") == "peeker"]

    assert row.verdict is Verdict.FAIL
    assert row.text("candidate_failures") == "refused"
    assert headline(board) == "1 of 2 strategies may move to paper trading"


def test_a_baseline_in_disguise_is_reported_and_never_held() -> None:
    disguised = cell(0.99 * MARKET, strategy="buy_and_hold", gross=0.99)
    board = build(tournament(with_baselines([disguised], MARKET)), settings())

    (row,) = [row for row in board.rows if row.is_judged]

    assert row.verdict is Verdict.FAIL
    assert row.text("baseline_equivalent") == "market"
    assert row.values["excess_lower_bound"] is None
    assert row.values["deflated_sharpe"] is None
    assert board.nearest_misses() == ()


def test_an_account_that_does_not_compound_to_its_returns_makes_no_board(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = contest(edges={"good": 0.0015})

    right = metrics.daily_returns

    def wrong(equity: FloatArray, day_ends: npt.NDArray[np.bool_]) -> FloatArray:
        returns = right(equity, day_ends).copy()
        returns[7] += 1e-8
        return returns

    monkeypatch.setattr("engine.core.metrics.daily_returns", wrong)
    with pytest.raises(IdentityError, match="nothing was written"):
        build(played, settings())


def test_an_account_that_starts_with_other_cash_makes_no_board() -> None:
    played = contest(edges={"good": 0.0015})
    richer = replace(played.cells[0], equity=played.cells[0].equity * 1.01)

    with pytest.raises(IdentityError, match=r"starts with 101000\.0, was given 100000\.0"):
        build(replace(played, cells=(richer, *played.cells[1:])), settings())


def test_two_cells_of_one_key_are_refused() -> None:
    played = contest(edges={"good": 0.0015})

    with pytest.raises(ValueError, match="two cells have the key"):
        build(replace(played, cells=(*played.cells, played.cells[0])), settings())


# --- controls --------------------------------------------------------------------------------------------


def with_control(expectation: ControlExpectation, **changes: object) -> tuple[Control, ...]:
    return tuple(
        replace(control, **changes) if control.expectation is expectation else control  # type: ignore[arg-type]
        for control in good_controls(MARKET)
    )


def test_controls_that_behave_leave_the_run_valid() -> None:
    verdicts = judge_controls(good_controls(MARKET), settings())

    assert [(control.observed, control.behaved) for control in verdicts] == [
        ("FAIL", True),
        ("REFUSED", True),
        ("PASS", True),
    ]


def test_a_random_strategy_that_passes_voids_the_run_and_takes_the_candidates() -> None:
    lucky = with_baselines([cell(skilled(MARKET, edge=0.002), strategy="no_edge_0")], MARKET)

    board = judged(
        edges={"good": 0.0015}, controls=with_control(ControlExpectation.NOT_PASS, cells=tuple(lucky))
    )

    assert board.void
    assert board.candidates == ()
    assert [row.verdict for row in board.rows if row.is_judged] == [Verdict.PASS]
    assert headline(board).startswith("VOID")


def test_a_random_strategy_on_hold_is_no_misbehaviour() -> None:
    held = with_baselines(
        [cell(skilled(MARKET, edge=0.0004, seed=1), strategy="no_edge_0", gross=0.6)], MARKET
    )

    (first, *_) = judge_controls(with_control(ControlExpectation.NOT_PASS, cells=tuple(held)), settings())

    assert (first.observed, first.behaved) == ("HOLD", True)


def test_a_peek_that_is_not_refused_voids_the_run() -> None:
    assert judged(
        edges={"good": 0.0015}, controls=with_control(ControlExpectation.REFUSED, refused=False)
    ).void


@pytest.mark.parametrize("cells", [(), None])
def test_a_planted_edge_that_does_not_pass_voids_the_run(cells: tuple[CellResult, ...] | None) -> None:
    weak = with_baselines([cell(skilled(MARKET, edge=0.0), strategy="planted_trend")], MARKET)
    given = tuple(weak) if cells is None else cells

    assert judged(edges={"good": 0.0015}, controls=with_control(ControlExpectation.PASS, cells=given)).void


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_control_that_was_not_played_voids_the_run(left_out: int) -> None:
    controls = list(good_controls(MARKET))
    del controls[left_out]

    board = judged(edges={"good": 0.0015}, controls=controls)

    assert board.void
    assert "not played" in [control.observed for control in board.controls]


# --- head and windows ------------------------------------------------------------------------------------


def test_the_head_says_what_a_reader_must_know() -> None:
    data = (
        universe(holdout_openings=2),
        universe("made", synthetic=True, market="", trials=TrialsRecord(count=0, head="", n_effective=0.0)),
    )
    played = contest(edges={"good": 0.0015}, universes=data)

    notes = " | ".join(build(played, settings(gates={"trades": 1})).notes)

    assert "us20, made: all 20 survived, the index has no dividends" in notes
    assert (
        "us20, made: prices are adjusted (total_return) and traded under the rules research_fractional"
        in notes
    )
    assert "us20: the hold-out was opened 2 times" in notes
    assert "made: synthetic prices" in notes
    assert "made: names no market, so its market row is the equally weighted pool" in notes
    assert "made: the trials register is missing or empty" in notes
    assert "judged by other than the standard gates: trades 1 (standard 30)" in notes


def test_a_register_that_knows_this_board_alone_is_named() -> None:
    def notes(count: int) -> str:
        trials = TrialsRecord(count=count, head="head", n_effective=1.0)
        played = contest(edges={"good": 0.0015, "bad": 0.0}, universes=(universe(trials=trials),))
        return " | ".join(build(played, settings()).notes)

    assert "us20: the trials register knows no trials but those of this board" in notes(2)
    assert "register" not in notes(3)


def test_gates_that_no_simulator_was_there_for_are_named() -> None:
    played = contest(edges={"good": 0.0015})
    alone = " | ".join(build(played, settings(simulators=["core"])).notes)
    both = " | ".join(build(played, settings(simulators=["core", "frictionless", "vectorbt"])).notes)

    assert "gates without a simulator to ask, which nobody had to pass: friction_decay, sim_parity" in alone
    assert "gates without a simulator" not in both


@pytest.mark.parametrize(
    "change",
    [
        lambda board: {"void": not board.void},
        lambda board: {"notes": board.notes[1:]},
        lambda board: {"settings": {**board.settings, "costs": "nothing"}},
        lambda board: {"settings": {**board.settings, "inputs_hash": "0" * 64}},
    ],
)
def test_a_board_of_which_any_word_was_edited_is_not_intact(
    change: Callable[[Board], dict[str, object]],
) -> None:
    board = judged(edges={"good": 0.0015})

    assert board.is_intact
    assert replace(board, settings={**board.settings, "source": "another/place.yaml"}).is_intact
    assert not replace(board, **change(board)).is_intact  # type: ignore[arg-type]


def test_a_board_is_found_again_for_its_own_run_and_words_only() -> None:
    board = judged(edges={"good": 0.0015})
    run_id = f"t-{board.settings['inputs_hash']}"[:14]
    mine = replace(board, run_id=run_id)

    assert answers(mine, run_id, "configs/port-test.yaml")
    assert not answers(mine, run_id, "configs/mine.yaml")
    assert not answers(mine, "t-000000000000", "configs/port-test.yaml")
    # Put into the folder of another run, and named after it.
    assert not answers(replace(board, run_id="t-000000000000"), "t-000000000000", "configs/port-test.yaml")


def test_a_board_on_which_a_simulator_failed_is_played_again() -> None:
    played = contest(edges={"good": 0.0015})
    broken = tuple(
        missing("good", "vectorbt: its worker process ended unexpectedly", simulator=Simulator.VECTORBT)
        if cell.key.simulator is Simulator.VECTORBT and not cell.is_baseline
        else cell
        for cell in played.cells
    )
    board = build(replace(played, cells=broken), settings())
    run_id = f"t-{board.settings['inputs_hash']}"[:14]

    assert not answers(replace(board, run_id=run_id), run_id, "configs/port-test.yaml")


@pytest.mark.parametrize(
    ("recent", "expected"),
    [(0.5, Regime.QUIET), (1.0, Regime.NORMAL), (1.6, Regime.TURBULENT), (4.0, Regime.CRISIS)],
)
def test_the_regime_is_the_recent_volatility_over_that_of_the_training_window(
    recent: float, expected: Regime
) -> None:
    returns = np.tile([0.01, -0.01], 100)
    returns[-10:] *= recent

    assert decision_regime(returns, 199, 180) is expected


def test_a_regime_needs_sixty_known_days_and_sees_none_after() -> None:
    returns = np.tile([0.01, -0.01], 100)
    calm = returns.copy()
    calm[120:] *= 50

    assert decision_regime(returns, 58, 180) is Regime.UNKNOWN
    assert decision_regime(returns, 59, 180) is Regime.NORMAL
    assert decision_regime(calm, 119, 180) is decision_regime(returns, 119, 180)


def test_the_worst_regime_has_the_lowest_mean_window_return() -> None:
    regimes = [Regime.QUIET, Regime.CRISIS, Regime.QUIET, Regime.UNKNOWN]

    # Quiet: (.02 - .04) / 2 = -.01; crisis .01; the window of an unknown regime does not count.
    worst, mean = worst_regime(regimes, [0.02, 0.01, -0.04, -0.5])

    assert worst is Regime.QUIET
    assert_allclose(mean, -0.01)


def test_the_average_window_sharpe_is_read_where_each_fit_is_in_force() -> None:
    # Two windows of 20 rows: the first alternates +2% and -1%, the second stands still and counts as 0.
    returns = np.concatenate((np.tile([0.02, -0.01], 10)[:19], np.zeros(20)))
    played = cell(returns, step=20)
    board = build(
        tournament(with_baselines([played], np.zeros(39) + np.tile([0.01, -0.01], 20)[:39])), settings()
    )

    (row,) = [row for row in board.rows if row.is_judged]

    first = np.concatenate(([0.0], returns[:19]))
    by_hand = first.mean() / first.std(ddof=1) * np.sqrt(252) / 2
    assert_allclose(row.number("avg_window_sharpe"), by_hand, rtol=1e-9)


def test_bars_of_hours_are_judged_by_days() -> None:
    hourly = np.random.default_rng(8).normal(0.0, 0.002, 24 * 50 - 1)
    market = boards.market_returns(24 * 50 - 1)
    stamps = np.arange(24 * 50, dtype=np.int64) * Timeframe.HOUR_1.nanoseconds
    cells = [
        replace(item, timestamps=stamps) for item in with_baselines([cell(hourly, strategy="hours")], market)
    ]
    data = universe(timeframe=Timeframe.HOUR_1)
    board = build(tournament(cells, universes=[data]), settings())

    (row,) = [row for row in board.rows if row.is_judged]

    assert row.number("days") == 50
    assert row.text("first_bar") == "1970-01-01T00:00Z"
    assert_allclose(1 + row.number("total_return"), np.prod(1 + hourly), rtol=1e-12)
    assert row.text("simulator") == Simulator.CORE
    assert row.text("baseline_role") == BaselineRole.NONE


@pytest.mark.parametrize(
    "changes",
    [
        {"gates": {"deflated_sharpe": 0.5}},
        {"gates": {"spa": 0.2}},
        {"gates": {"af_dist_margin": 9.0}},
        {"resampling": {"permutations": 0}},
    ],
)
def test_what_is_judged_less_strictly_than_the_standard_is_no_candidate(changes: dict[str, object]) -> None:
    market = market_returns()
    cells = with_baselines(three_simulators(skilled(market, edge=0.0012), strategy="good"), market)

    strict = build(tournament(cells), settings())
    lax = build(tournament(cells), settings(**changes))
    stricter = build(tournament(cells), settings(gates={"spa": 0.005}))

    assert [len(board.candidates) for board in (strict, lax, stricter)] == [1, 0, 1]
    assert any("nothing here is a candidate" in note for note in lax.notes)
    assert pass_words(lax.judged[0], lax).endswith("they were not all the standard's: it may not move up")
