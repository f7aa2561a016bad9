"""The core and vectorbt agree trade by trade where their rules are the same; a test names what differs."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.core.settings import MARKET, UNLIMITED, Costs, Limits, Rules
from engine.domain.errors import InvalidValueError, SimulatorError
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.portfolio import Plan
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from research import simulators
from research.simulators import QuantityRun, TargetRun, VectorbtWorker
from tests.builders import NAN, panel_of, random_panel

COSTS = Costs(taker_fee_bps=10.0, slippage_bps=5.0)
# Rules that vectorbt has as well: no bound on the price, no participation limit, no book-out, and a cash
# buffer large enough that no buy runs out of cash.
SAME_RULES = Rules(order_kind=MARKET, participation=np.inf, cash_buffer=0.25, stale_bars=10_000)


@pytest.fixture(scope="module")
def vectorbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorbtWorker]:
    with VectorbtWorker(tmp_path_factory.mktemp("kernels")) as worker:
        yield worker


@dataclass(frozen=True, eq=False)
class Played:
    panel: Panel
    settings: Settings
    outcome: Outcome

    @property
    def as_targets(self) -> TargetRun:
        return TargetRun(
            fills=self.panel.open,
            closes=self.panel.close,
            decided=self.outcome.decided[0],
            cash=self.settings.cash,
            cash_buffer=self.settings.rules.cash_buffer,
            fee_rate=COSTS.taker_fee_bps / 1e4,
            slippage_rate=(COSTS.half_spread_bps + COSTS.slippage_bps) / 1e4,
        )

    @property
    def as_quantities(self) -> QuantityRun:
        rows, columns, lots, prices = self.outcome.fill_records[0][:, :4].T
        quantities, fills = np.zeros(self.panel.close.shape), np.full(self.panel.close.shape, NAN)
        quantities[rows, columns] = lots * self.settings.rules.lot_size
        fills[rows, columns] = prices / 1e8
        return QuantityRun(
            fills=fills,
            closes=self.panel.close,
            quantities=quantities,
            cash=self.settings.cash,
            fee_rate=COSTS.taker_fee_bps / 1e4,
        )


def play(panel: Panel, *, rules: Rules, limits: Limits = UNLIMITED, drift_band: float = np.inf) -> Played:
    """Re-base to random weights every 20 rows."""
    instruments = len(panel.instruments)
    rows = np.arange(0, len(panel), 20)
    weights = np.random.default_rng(3).dirichlet(np.ones(instruments), rows.size)
    settings = Settings(costs=COSTS, rules=rules, limits=limits)
    column = Column(plan=Plan(rows=rows, weights=weights, drift_band=drift_band))
    return Played(panel, settings, run_all(panel, [column], settings, detail=Detail.RECORDS))


@dataclass(frozen=True, eq=False)
class Inside:
    """What vectorbt itself says: its orders, row by row and instrument by instrument, and its equity."""

    rows: IntArray
    instruments: IntArray
    units: FloatArray
    prices: FloatArray
    equity: FloatArray
    our_equity: FloatArray


def look_inside(run: TargetRun) -> Inside:
    """Play an account as the worker does and keep vectorbt's own object. Runs in the worker."""
    import vectorbt as vbt

    made: list[vbt.Portfolio] = []
    original = vbt.Portfolio.from_orders

    def kept(**settings: object) -> object:
        made.append(original(**settings))
        return made[-1]

    try:
        vbt.Portfolio.from_orders = kept
        answer = simulators._play(run)
    finally:
        vbt.Portfolio.from_orders = original
    orders = np.sort(made[0].orders.values, order=["idx", "col"])
    return Inside(
        rows=orders["idx"],
        instruments=orders["col"],
        units=np.where(orders["side"] == 0, orders["size"], -orders["size"]),
        prices=orders["price"],
        equity=np.array(made[0].value()),
        our_equity=answer.equity,
    )


@pytest.mark.parametrize("drift_band", [np.inf, 0.0, 0.05])
@pytest.mark.parametrize("limits", [UNLIMITED, Limits()])
def test_both_make_the_same_trades_where_the_rules_are_the_same(
    vectorbt: VectorbtWorker, drift_band: float, limits: Limits
) -> None:
    played = play(random_panel(400, 6, seed=1), rules=SAME_RULES, limits=limits, drift_band=drift_band)

    answer = vectorbt.result(vectorbt.submit(played.as_targets))

    assert answer.fills == played.outcome.fills[0] > 100
    # The core floors to lots of 1e-6 units and rounds prices to 1e-8: a few billionths of the account.
    assert_allclose(answer.equity, played.outcome.equity[0], rtol=1e-8)
    assert_allclose(answer.gross, played.outcome.gross[0], atol=1e-8)
    assert_allclose(answer.turnover, played.outcome.row_turnover[0], atol=1e-8)
    assert answer.fees == pytest.approx(played.outcome.fees[0], rel=1e-8)


def test_instruments_listed_late_and_bars_without_trades_agree(vectorbt: VectorbtWorker) -> None:
    played = play(random_panel(400, 6, seed=2, holes=0.03), rules=SAME_RULES)
    assert np.isnan(played.panel.close).any()

    answer = vectorbt.result(vectorbt.submit(played.as_targets))

    assert_allclose(answer.equity, played.outcome.equity[0], rtol=1e-8)


def test_trade_by_trade_rows_instruments_units_and_prices_are_the_same(vectorbt: VectorbtWorker) -> None:
    played = play(random_panel(200, 5, seed=3), rules=SAME_RULES, drift_band=0.05)
    fills = played.outcome.fill_records[0]
    fills = fills[np.lexsort((fills[:, 1], fills[:, 0]))]

    inside = vectorbt._pool.submit(look_inside, played.as_targets).result()

    assert inside.rows.tolist() == fills[:, 0].tolist()
    assert inside.instruments.tolist() == fills[:, 1].tolist()
    assert np.sign(inside.units).tolist() == np.sign(fills[:, 2]).tolist()
    # Each order is floored to a lot of 1e-6 from a position that was floored as well.
    assert_allclose(inside.units, fills[:, 2] * 1e-6, atol=1e-5)
    assert_allclose(inside.prices, fills[:, 3] / 1e8, atol=1e-8)


def test_our_sum_of_its_records_is_the_equity_that_vectorbt_reports(vectorbt: VectorbtWorker) -> None:
    played = play(random_panel(200, 5, seed=4, holes=0.02), rules=Rules(), drift_band=0.0)

    inside = vectorbt._pool.submit(look_inside, played.as_targets).result()

    assert_allclose(inside.our_equity, inside.equity, rtol=1e-12)


@pytest.mark.parametrize("rules", [SAME_RULES, Rules()])
@pytest.mark.parametrize("limits", [UNLIMITED, Limits()])
def test_with_our_quantities_the_books_agree_to_a_billionth(
    vectorbt: VectorbtWorker, rules: Rules, limits: Limits
) -> None:
    # Whole rules of the core: bounds, participation, cash cuts and limits are all in the quantities.
    panel = random_panel(400, 6, seed=5)
    played = play(panel, rules=rules._replace(stale_bars=10_000), limits=limits, drift_band=0.05)

    answer = vectorbt.result(vectorbt.submit(played.as_quantities))

    assert answer.fills == played.outcome.fills[0]
    assert_allclose(answer.equity, played.outcome.equity[0], rtol=1e-9)


def targets(closes: FloatArray, decided: FloatArray, **changed: float) -> TargetRun:
    settings = {"cash": 1000.0, "cash_buffer": 0.0, "fee_rate": 0.0, "slippage_rate": 0.0} | changed
    return TargetRun(fills=closes, closes=closes, decided=decided, **settings)


def test_an_account_by_hand(vectorbt: VectorbtWorker) -> None:
    # A quarter of 2000 is 50 units at the close of 10; at 20 and 1% more they cost 1010, and a fee of 1%.
    closes = np.array([[10.0], [20.0], [40.0], [40.0]])
    decided = np.array([[0.25], [NAN], [0.0], [NAN]])

    answer = vectorbt.result(
        vectorbt.submit(targets(closes, decided, cash=2000.0, fee_rate=0.01, slippage_rate=0.01))
    )

    # Then 50 units are sold at 39.60: 1980 less 19.80.
    cash = 2000 - 1010 - 10.10
    after = cash + 1980 - 19.80
    assert_allclose(answer.equity, [2000.0, cash + 1000.0, cash + 2000.0, after])
    assert_allclose(answer.gross, [0.0, 1000 / (cash + 1000), 2000 / (cash + 2000), 0.0], atol=1e-15)
    assert_allclose(answer.turnover, [0.0, 1010 / (cash + 1000), 0.0, 1980 / after])
    assert answer.fills == 2
    assert answer.fees == pytest.approx(29.90)


def test_sizing_leaves_the_buffer_out_and_uses_the_close_of_the_decision(vectorbt: VectorbtWorker) -> None:
    closes = np.array([[10.0, 50.0], [8.0, 50.0]])
    decided = np.array([[1.0, NAN], [NAN, NAN]])

    answer = vectorbt.result(vectorbt.submit(targets(closes, decided, cash_buffer=0.10)))

    # 900 / 10 = 90 units, at 8.
    assert_allclose(answer.turnover[1], 720 / 1000)


def test_sells_pay_for_buys_on_the_same_row(vectorbt: VectorbtWorker) -> None:
    closes = np.full((4, 2), 10.0)
    decided = np.array([[0.0, 1.0], [1.0, 0.0], [NAN, NAN], [NAN, NAN]])

    answer = vectorbt.result(vectorbt.submit(targets(closes, decided)))

    assert_allclose(answer.turnover, [0.0, 1.0, 1.0, 0.0])
    assert answer.fills == 3


def test_an_order_on_a_bar_without_a_trade_is_lost_and_the_last_close_stays_the_mark(
    vectorbt: VectorbtWorker,
) -> None:
    closes = np.array([[10.0, 10.0], [10.0, NAN], [12.0, NAN], [12.0, 20.0]])
    decided = np.array([[0.5, 0.5], [NAN, NAN], [NAN, NAN], [NAN, NAN]])

    answer = vectorbt.result(vectorbt.submit(targets(closes, decided)))

    assert_allclose(answer.equity, [1000, 1000, 1100, 1100])

    held = np.array([[10.0], [10.0], [NAN], [30.0]])
    kept = vectorbt.result(vectorbt.submit(targets(held, np.array([[1.0], [NAN], [NAN], [NAN]]))))
    assert_allclose(kept.equity, [1000, 1000, 1000, 3000])


def test_a_buy_that_finds_too_little_cash_is_cut_differently(vectorbt: VectorbtWorker) -> None:
    """A rule that differs: the core cuts all buys pro rata, vectorbt gives the last one what is left."""
    panel = panel_of({"A": [10.0, 12.0], "B": [10.0, 12.0]})
    weights = np.array([[0.4, 0.6]])
    free = Costs(taker_fee_bps=0.0, slippage_bps=0.0)
    settings = Settings(cash=1000.0, costs=free, rules=SAME_RULES._replace(cash_buffer=0.0))
    column = Column(plan=Plan(rows=np.array([0]), weights=weights))

    core = run_all(panel, [column], settings, detail=Detail.RECORDS).fill_records[0]
    run = targets(panel.close, np.vstack((weights, [[NAN, NAN]])))
    theirs = vectorbt._pool.submit(look_inside, run).result()

    # 40 and 60 units are wanted and 83.33 can be paid.
    assert_allclose(core[:, 2] * 1e-6, [40 / 1.2, 60 / 1.2], atol=1e-5)
    assert_allclose(theirs.units, [40.0, 1000 / 12 - 40])


def test_what_vectorbt_refuses_is_said_in_its_words(vectorbt: VectorbtWorker) -> None:
    closes = np.full((3, 1), 10.0)
    pending = vectorbt.submit(targets(closes, np.full((3, 1), 0.5), cash=-1.0))

    with pytest.raises(SimulatorError, match="vectorbt: "):
        vectorbt.result(pending)
    # The process lives on.
    assert vectorbt.result(vectorbt.submit(targets(closes, np.full((3, 1), 0.5)))).fills == 1


def test_arrays_of_other_shapes_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"decided \(2, 1\)"):
        targets(np.full((3, 1), 10.0), np.full((2, 1), 0.5))


def test_a_worker_that_dies_is_an_error_and_no_other_answer(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = targets(np.full((3, 1), 10.0), np.full((3, 1), 0.5))
    with VectorbtWorker(tmp_path_factory.mktemp("kernels")) as worker:
        (process,) = (worker._pool._processes or {}).values()
        assert process.pid is not None
        pending = worker.submit(run)
        os.kill(process.pid, signal.SIGKILL)

        with pytest.raises(SimulatorError, match="ended unexpectedly"):
            worker.result(pending)
        with pytest.raises(SimulatorError, match="ended unexpectedly"):
            worker.submit(run)


def test_the_engine_that_ran_is_recorded(vectorbt: VectorbtWorker) -> None:
    run = targets(np.full((3, 1), 10.0), np.full((3, 1), 0.5))

    assert vectorbt.result(vectorbt.submit(run)).engine in ("rust", "numba")
