"""`run_all` against the parts that it composes."""

from dataclasses import fields

import numpy as np
import pytest

from engine.core.account import new_accounts
from engine.core.market import market_of
from engine.core.records import FILL_FIELDS
from engine.core.settings import Costs, Limits, Rules, Terms
from engine.core.simulate import new_recorder, pack_plans, simulate
from engine.domain.errors import InvalidValueError
from engine.domain.portfolio import Invest, Plan
from engine.features.evaluate import evaluate
from engine.features.operators import close, sma, where
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from tests.builders import random_panel

PANEL = random_panel(1300, 4, seed=5, volatility=0.02, holes=0.01)


def equal_plan(drift_band: float = np.inf, first: int = 0) -> Plan:
    """Re-base to equal weights every 60 rows."""
    at = np.arange(first, len(PANEL), 60)
    return Plan(rows=at, weights=np.full((len(at), 4), 0.25), drift_band=drift_band)


def crossing(fast: int, slow: int) -> Column:
    """Be long while the fast average is above the slow one."""
    return Column(
        plan=equal_plan(),
        root=where(sma(close, fast) > sma(close, slow), 1.0, 0.0),
        invest=Invest.FULL if fast % 2 else Invest.SCALED,
    )


COLUMNS = [crossing(fast, slow) for fast in (3, 4, 9) for slow in (20, 50)] + [
    Column(plan=equal_plan()),
    Column(plan=equal_plan(drift_band=0.05)),
    Column(plan=equal_plan(drift_band=0.0), root=crossing(3, 20).root),
]


def assert_same(left: Outcome, right: Outcome) -> None:
    """Compare every array of two outcomes, bit for bit."""
    for field in fields(Outcome):
        first, second = getattr(left, field.name), getattr(right, field.name)
        if isinstance(first, tuple):
            assert [np.asarray(a).tobytes() for a in first] == [np.asarray(b).tobytes() for b in second]
        else:
            assert first.tobytes() == second.tobytes(), field.name


def test_threads_and_order_of_columns_change_no_bit() -> None:
    settings = Settings(limits=Limits(halt_bars=5))
    alone = run_all(PANEL, COLUMNS, settings, detail=Detail.RECORDS)

    assert_same(alone, run_all(PANEL, COLUMNS, settings, detail=Detail.RECORDS, threads=3))
    backwards = run_all(PANEL, COLUMNS[::-1], settings, detail=Detail.RECORDS)
    assert backwards.equity[::-1].tobytes() == alone.equity.tobytes()
    assert alone.fills.min() > 0


def test_metrics_are_those_of_the_curves() -> None:
    curves = run_all(PANEL, COLUMNS, Settings(), detail=Detail.CURVES)
    metrics = run_all(PANEL, COLUMNS, Settings())

    assert metrics.equity.size == 0
    assert metrics.final_equity.tobytes() == curves.final_equity.tobytes()
    assert np.array_equal(curves.equity[:, -1], metrics.final_equity)
    peaks = np.maximum.accumulate(curves.equity, axis=1)
    np.testing.assert_allclose(metrics.max_drawdown, (1 - curves.equity / peaks).max(axis=1), atol=1e-12)
    days = np.diff(np.column_stack([np.full(len(COLUMNS), 100_000.0), curves.equity]), axis=1)
    returns = days / np.column_stack([np.full(len(COLUMNS), 100_000.0), curves.equity[:, :-1]])
    sharpe = returns.mean(axis=1) / returns.std(axis=1, ddof=1) * np.sqrt(365)
    np.testing.assert_allclose(metrics.sharpe, sharpe, rtol=1e-9)
    np.testing.assert_allclose(metrics.turnover, curves.row_turnover.sum(axis=1), rtol=1e-12)


def test_fusing_evaluation_and_walk_changes_no_bit() -> None:
    column = crossing(3, 20)
    assert column.root is not None
    fused = run_all(PANEL, [column], Settings(), detail=Detail.CURVES)

    accounts = new_accounts(1, 4, 100_000.0)
    recorder = new_recorder(1, len(PANEL), 4, 0, curves=True)
    simulate(
        0, 1, 0, len(PANEL), evaluate([column.root], PANEL), True, np.zeros(1, dtype=np.int64),
        np.zeros((0, 1, 4)), market_of(PANEL, Rules()), pack_plans([column.plan], [column.invest]),
        Terms(Costs(), Rules(), Limits()),
        accounts, recorder,
    )  # fmt: skip

    assert fused.equity.tobytes() == recorder.equity.tobytes()
    assert fused.decided.tobytes() == recorder.decided.tobytes()


def test_an_account_that_starts_late_sees_signals_from_the_origin() -> None:
    column = Column(plan=equal_plan(first=700), root=crossing(4, 50).root)
    settings = Settings(start_row=700, stop_row=1200)

    outcome = run_all(PANEL, [column], settings, detail=Detail.RECORDS)

    assert outcome.equity.shape == (1, 500)
    assert outcome.equity[0, 0] == 100_000.0
    assert outcome.fill_records[0][0, 0] > 700
    assert outcome.rows == (700, 1200)


def test_a_ledger_of_integers_agrees_with_the_cash_of_the_core() -> None:
    """Book every fill in 1e-8 quote units with one half-even rounding, the fee up (RULINGS B1)."""
    settings = Settings(costs=Costs(taker_fee_bps=10.0, slippage_bps=5.0), rules=Rules(lot_size=0.001))
    outcome = run_all(PANEL, COLUMNS, settings, detail=Detail.RECORDS)

    for column, records in enumerate(outcome.fill_records):
        cash = 100_000 * 10**8
        turnover = 0
        for row in records:
            fill = dict(zip(FILL_FIELDS, map(int, row), strict=True))
            # 0.001 units a lot: the notional in 1e-8 quote units is lots * price / 1000.
            quotient, rest = divmod(fill["lots"] * fill["price_e8"], 1000)
            notional = quotient + (rest > 500 or (rest == 500 and quotient % 2 == 1))
            cash -= notional + fill["fee_e8"]
            turnover += abs(notional)
        core = outcome.equity[column, -1] * (1 - outcome.gross[column, -1])
        assert abs(core - cash / 1e8) <= len(records) * 1e-8 + 1e-9 * turnover / 1e8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(start_row=10, stop_row=5), "rows 10 to 5"),
        (Settings(stop_row=5000), "rows 0 to 5000"),
        (Settings(start_row=30), "plan begins at row 0"),
    ],
)
def test_rows_that_do_not_fit_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        run_all(PANEL, COLUMNS[:1], settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Settings(cash=0.0), "cash must be above 0"),
        (lambda: Settings(limits=Limits(halt_bars=0)), "halt_bars"),
        (lambda: Settings(rules=Rules(lot_size=0.0)), "lot_size"),
        (lambda: Settings(rules=Rules(cash_buffer=1.0)), "cash_buffer"),
        (lambda: Settings(costs=Costs(slippage_bps=-1.0)), "slippage_bps"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidValueError, match=message):
        make()
