"""All bars of all accounts from signals that stand in memory, and one bar of one account."""

from collections.abc import Sequence

import numpy as np

from engine.compiled import kernel
from engine.core.account import ACCRUALS, CLOSES, FILLS, ORDERS, Accounts
from engine.core.market import Market
from engine.core.records import (
    ACCRUAL_FIELDS,
    CLOSE_FIELDS,
    DECISION_CAUSE,
    DECISION_REASON,
    DECISION_ROWS,
    DECISION_TARGET,
    FILL_FIELDS,
    NO_TARGET,
    ORDER_FIELDS,
    Recorder,
)
from engine.core.settings import Terms
from engine.core.step import advance
from engine.core.targets import FULL, SCALED, Plans
from engine.domain.panel import FloatArray, IntArray
from engine.domain.portfolio import Invest, Plan
from engine.domain.reasons import Reason


def invest_code(invest: Invest) -> int:
    """Return what the core calls a way to invest."""
    return FULL if invest is Invest.FULL else SCALED


def pack_plans(plans: Sequence[Plan], invests: Sequence[Invest]) -> Plans:
    """Lay the plans of P accounts behind one another; a plan that many accounts share stands once."""
    distinct: dict[int, int] = {}
    first: list[Plan] = []
    for plan in plans:
        if id(plan) not in distinct:
            distinct[id(plan)] = len(first)
            first.append(plan)
    # A sweep has thousands of accounts on a few plans: what belongs to a plan is worked out once.
    which = np.array([distinct[id(plan)] for plan in plans], dtype=np.int64)
    edges = np.concatenate(([0], np.cumsum([len(plan.rows) for plan in first]))).astype(np.int64)
    return Plans(
        rows=np.concatenate([plan.rows for plan in first]).astype(np.int64),
        weights=np.ascontiguousarray(np.concatenate([plan.weights for plan in first]), dtype=np.float64),
        start=edges[which],
        stop=edges[which + 1],
        drift_band=np.array([plan.drift_band for plan in first], dtype=np.float64)[which],
        invest=np.array([invest_code(invest) for invest in invests], dtype=np.int64),
    )


def new_recorder(
    accounts: int,
    rows: int,
    instruments: int,
    first_row: int,
    *,
    curves: bool,
    counted: Accounts | None = None,
) -> Recorder:
    """Return arrays to record into.

    Parameters
    ----------
    curves
        Whether to keep curves and decided weights.
    counted
        Accounts after an equal run without records: they say how many fills and orders will come.
    """

    def many(count: int) -> IntArray:
        return np.zeros(accounts, dtype=np.int64) if counted is None else counted.counts[:, count]

    def starts(counts: IntArray) -> IntArray:
        return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)

    fills, orders, closes, accruals = many(FILLS), many(ORDERS), many(CLOSES), many(ACCRUALS)
    shape = (accounts, rows) if curves else (0, 0)
    deep = (accounts, rows, instruments) if curves else (0, 0, 0)
    decisions = (accounts, rows, DECISION_ROWS, instruments) if counted is not None else (0, 0, 0, 0)
    return Recorder(
        fills=np.zeros((int(fills.sum()), len(FILL_FIELDS)), dtype=np.int64),
        orders=np.zeros((int(orders.sum()), len(ORDER_FIELDS)), dtype=np.int64),
        closes=np.zeros((int(closes.sum()), len(CLOSE_FIELDS)), dtype=np.int64),
        accruals=np.zeros((int(accruals.sum()), len(ACCRUAL_FIELDS)), dtype=np.int64),
        fill_start=starts(fills),
        order_start=starts(orders),
        close_start=starts(closes),
        accrual_start=starts(accruals),
        equity=np.zeros(shape),
        cash=np.zeros(shape),
        gross=np.zeros(shape),
        turnover=np.zeros(shape),
        decided=np.full(deep, np.nan),
        decisions=blank_decisions(decisions),
        first_row=first_row,
    )


def blank_decisions(shape: tuple[int, ...]) -> IntArray:
    """Return decisions of a bar that decided nothing, shape (..., 3, N)."""
    decisions = np.zeros(shape, dtype=np.int64)
    decisions[..., DECISION_TARGET : DECISION_TARGET + 1, :] = NO_TARGET
    decisions[..., DECISION_REASON : DECISION_REASON + 1, :] = Reason.NOT_DECIDED
    decisions[..., DECISION_CAUSE : DECISION_CAUSE + 1, :] = 0
    return decisions


@kernel
def simulate(
    first: int,
    last: int,
    row: int,
    stop: int,
    signals: FloatArray,
    has_signals: bool,
    signal_of: IntArray,
    styles: FloatArray,
    market: Market,
    plans: Plans,
    terms: Terms,
    accounts: Accounts,
    recorder: Recorder,
) -> None:
    """Walk accounts `first` to `last` over rows `row` to `stop`.

    Parameters
    ----------
    signals
        Shape (S, stop - row, N), or (1, 1, N) where `has_signals` is false: the signals that hold throughout.
    signal_of
        Shape (P,): which of the S signals an account follows.
    styles
        As `advance` takes them, the same for all accounts.
    """
    for account in range(first, last):
        advance(
            account,
            row,
            stop,
            row,
            signals[signal_of[account]],
            has_signals,
            styles,
            market,
            plans,
            terms,
            accounts,
            recorder,
        )


@kernel
def step(
    account: int,
    bar: int,
    signals: FloatArray,
    styles: FloatArray,
    market: Market,
    plans: Plans,
    terms: Terms,
    accounts: Accounts,
    recorder: Recorder,
) -> None:
    """Walk one account over one bar.

    Parameters
    ----------
    bar
        Its number, counted from the origin.
    signals
        Shape (1, N).
    styles, market
        Of that bar alone.
    """
    advance(account, 0, 1, bar, signals, True, styles, market, plans, terms, accounts, recorder)
