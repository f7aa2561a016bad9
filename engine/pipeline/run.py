"""Bars to booked fills, for many accounts at once: features, signals, targets, core."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from engine.core.account import (
    DAYS,
    EQUITY,
    EXITS,
    FEES,
    FILLS,
    HALTS,
    MAX_DRAWDOWN,
    ORDERS,
    REASONS,
    RETURN_SQUARES,
    RETURN_SUM,
    TRADES,
    TURNOVER,
    Accounts,
    new_accounts,
)
from engine.core.market import market_of
from engine.core.records import Recorder
from engine.core.settings import Costs, Limits, Rules, Terms
from engine.core.simulate import new_recorder, pack_plans
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.portfolio import Invest, Plan
from engine.domain.reasons import Reason
from engine.features.expression import Expression
from engine.pipeline.walk import deal, walk_chunks


class Detail(Enum):
    """How much of a run is kept. The memory of `METRICS` does not grow with the number of bars or columns."""

    METRICS = "metrics"
    CURVES = "curves"
    RECORDS = "records"


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One account of a run.

    Attributes
    ----------
    root
        The signal; None is 1 on every bar.
    order_roots
        How its orders are shaped (`engine.features.orders.Orders.roots`); empty: as the rules say.
    rows
        The account lives on rows `rows[0]` to `rows[1]` (not including it) instead of those of `Settings`,
        inside of which they lie. A fold of a walk-forward is such a range: its signals are the columns of
        other folds as well, and keep their warm-up.
    """

    plan: Plan
    root: Expression | None = None
    invest: Invest = Invest.SCALED
    order_roots: tuple[Expression, ...] = ()
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """What all accounts of a run share.

    Attributes
    ----------
    cash
        At the start, in quote currency.
    start_row, stop_row
        Accounts live on rows `start_row` to `stop_row` (not including it; None: the end). Signals are always
        evaluated from row 0, the origin.
    """

    costs: Costs = field(default_factory=Costs)
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    cash: float = 100_000.0
    start_row: int = 0
    stop_row: int | None = None

    def __post_init__(self) -> None:
        if not self.cash > 0:
            raise InvalidValueError(f"cash must be above 0, was {self.cash}")
        for name, bars in (("halt_bars", self.limits.halt_bars), ("stale_bars", self.rules.stale_bars)):
            if bars < 1:
                raise InvalidValueError(f"{name} must be at least 1, was {bars}")
        for name, size in (("lot_size", self.rules.lot_size), ("tick_size", self.rules.tick_size)):
            if not size > 0:
                raise InvalidValueError(f"{name} must be above 0, was {size}")
        if not 0 <= self.rules.cash_buffer < 1:
            raise InvalidValueError(f"cash_buffer must be from 0 to below 1, was {self.rules.cash_buffer}")
        if self.rules.latency_bars < 0:
            raise InvalidValueError(f"latency_bars must be at least 0, was {self.rules.latency_bars}")
        if not self.limits.leverage >= 1 or not self.limits.short >= 0 or not self.limits.net > 0:
            raise InvalidValueError(
                "leverage must be at least 1, short at least 0, net above 0; were "
                f"{self.limits.leverage}, {self.limits.short}, {self.limits.net}"
            )
        for name, cost in self.costs._asdict().items():
            if not cost >= 0:
                raise InvalidValueError(f"{name} must be at least 0, was {cost}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What P accounts did.

    Attributes
    ----------
    final_equity, total_return, max_drawdown, turnover, fees
        Shape (P,). Drawdown as a share of the peak, at least 0; turnover is the sum over all bars, one-way.
    sharpe
        Shape (P,), of daily returns, annualised by the calendar; NaN without variance.
    fills, orders, trades, halts, exits
        Shape (P,). Trades: round trips opened and closed by a signal or a re-base.
    reason_counts
        Shape (P, number of reasons).
    equity, cash, gross, row_turnover, decided
        With `CURVES`: shapes (P, rows), and (P, rows, N) for the weights decided after limits (NaN: none).
        0 on rows on which an account does not live.
    fill_records, order_records, close_records, accrual_records
        With `RECORDS`: one array an account, columns as `engine.core.records` names them.
    decisions
        With `RECORDS`: shape (P, rows, 3, N), see `engine.core.records.Recorder`.
    """

    rows: tuple[int, int]
    final_equity: FloatArray
    total_return: FloatArray
    max_drawdown: FloatArray
    sharpe: FloatArray
    turnover: FloatArray
    fees: FloatArray
    fills: IntArray
    orders: IntArray
    trades: IntArray
    halts: IntArray
    exits: IntArray
    reason_counts: IntArray
    equity: FloatArray
    cash: FloatArray
    gross: FloatArray
    row_turnover: FloatArray
    decided: FloatArray
    decisions: IntArray
    fill_records: tuple[IntArray, ...]
    order_records: tuple[IntArray, ...]
    close_records: tuple[IntArray, ...]
    accrual_records: tuple[IntArray, ...]


def run_all(
    panel: Panel,
    columns: Sequence[Column],
    settings: Settings,
    *,
    detail: Detail = Detail.METRICS,
    threads: int = 1,
) -> Outcome:
    """Run every column over the panel.

    Columns are independent of one another, so neither their order nor `threads` changes a bit of the result.

    Parameters
    ----------
    threads
        Columns are dealt to this many threads.

    Raises
    ------
    InvalidValueError
        For rows or plans that do not fit the panel.
    """
    start = settings.start_row
    stop = len(panel) if settings.stop_row is None else settings.stop_row
    if not columns:
        raise InvalidValueError("a run needs at least one column")
    if not 0 <= start < stop <= len(panel):
        raise InvalidValueError(f"rows {start} to {stop} do not fit a panel of {len(panel)} rows")
    instruments = len(panel.instruments)
    _refuse_misfits(panel, columns, start, stop)
    order = _together(columns)
    ordered = [columns[p] for p in order]
    plans = pack_plans([c.plan for c in ordered], [c.invest for c in ordered])
    market = market_of(panel, settings.rules)
    chunks = deal(panel, [c.root for c in ordered], [c.order_roots for c in ordered], threads)
    terms = terms_of(settings)
    lives = np.array([column.rows or (start, stop) for column in ordered], dtype=np.int64).T.copy()

    def run(recorder: Recorder) -> Accounts:
        accounts = new_accounts(len(ordered), instruments, settings.cash)
        walk_chunks(
            chunks,
            lives[0],
            lives[1],
            market,
            plans,
            terms,
            accounts,
            recorder,
            threads,
        )
        return accounts

    recorder = new_recorder(len(ordered), stop - start, instruments, start, curves=detail is Detail.CURVES)
    accounts = run(recorder)
    if detail is Detail.RECORDS:
        # The first run said how many records there are.
        recorder = new_recorder(len(ordered), stop - start, instruments, start, curves=True, counted=accounts)
        accounts = run(recorder)
    return _outcome(panel, settings.cash, (start, stop), accounts, recorder, np.argsort(order), detail)


def _refuse_misfits(panel: Panel, columns: Sequence[Column], start: int, stop: int) -> None:
    """Refuse columns that do not fit the panel or the rows of the run; each plan is looked at once."""
    fits: set[tuple[int, tuple[int, int] | None]] = set()
    for place, column in enumerate(columns):
        if column.order_roots:
            refuse_without_range(column.order_roots, has_range=panel.has_range)
        if (id(column.plan), column.rows) in fits:
            continue
        if column.plan.weights.shape[1] != len(panel.instruments):
            raise InvalidValueError(
                f"column {place}: the plan has {column.plan.weights.shape[1]} instruments, "
                f"the panel {len(panel.instruments)}"
            )
        begin, end = column.rows or (start, stop)
        if not start <= begin < end <= stop:
            raise InvalidValueError(f"column {place}: rows {begin} to {end} are not inside {start} to {stop}")
        if column.plan.rows[0] < begin:
            raise InvalidValueError(
                f"column {place}: plan begins at row {column.plan.rows[0]}, before the account at {begin}"
            )
        fits.add((id(column.plan), column.rows))


def terms_of(settings: Settings) -> Terms:
    """Return what the core is told. Whole numbers in place of others would compile everything once more."""
    return Terms(costs=Costs(*map(float, settings.costs)), rules=settings.rules, limits=settings.limits)


def refuse_without_range(order_roots: Sequence[Expression], *, has_range: bool) -> None:
    """Refuse orders that look inside a bar where the data has closes only.

    Raises
    ------
    InvalidValueError
        Naming the reason `NO_RANGE_DATA`.
    """
    if order_roots and not has_range:
        raise InvalidValueError(
            f"{Reason.NO_RANGE_DATA.name}: limits, stops and targets need opens, highs and lows; the data "
            "has closes only: use a data set with ranges or a strategy without orders()"
        )


def _together(columns: Sequence[Column]) -> list[int]:
    """Return the columns so that those of one signal follow each other: a block evaluates it once.

    Equal expressions are one object, so no graph needs to be hashed.
    """
    places: dict[object, int] = {}
    keys = [places.setdefault(column.root, len(places)) for column in columns]
    styles: dict[object, int] = {}
    outer = [styles.setdefault(column.order_roots, len(styles)) for column in columns]
    if len(styles) > 1:
        keys = [style * len(places) + place for style, place in zip(outer, keys, strict=True)]
    return sorted(range(len(columns)), key=keys.__getitem__)


def _sharpe(accounts: Accounts, days_per_year: int) -> FloatArray:
    days = accounts.counts[:, DAYS].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = accounts.values[:, RETURN_SUM] / days
        variance = (accounts.values[:, RETURN_SQUARES] - days * mean**2) / (days - 1.0)
        return np.where(variance > 0.0, mean / np.sqrt(variance) * np.sqrt(days_per_year), np.nan)


def _outcome(
    panel: Panel,
    cash: float,
    rows: tuple[int, int],
    accounts: Accounts,
    recorder: Recorder,
    place: IntArray,
    detail: Detail,
) -> Outcome:
    """Put the columns back into the order in which they came."""
    values = accounts.values[place]
    counts = accounts.counts[place]
    kept = recorder.equity.shape[0] > 0

    def split(records: IntArray, starts: IntArray) -> tuple[IntArray, ...]:
        if detail is not Detail.RECORDS:
            return ()
        return tuple(records[starts[p] : starts[p + 1]] for p in place)

    return Outcome(
        rows=rows,
        final_equity=values[:, EQUITY],
        total_return=values[:, EQUITY] / cash - 1.0,
        max_drawdown=values[:, MAX_DRAWDOWN],
        sharpe=_sharpe(accounts, panel.calendar.days_per_year)[place],
        turnover=values[:, TURNOVER],
        fees=values[:, FEES],
        fills=counts[:, FILLS],
        orders=counts[:, ORDERS],
        trades=counts[:, TRADES],
        halts=counts[:, HALTS],
        exits=counts[:, EXITS],
        reason_counts=counts[:, REASONS:],
        equity=recorder.equity[place] if kept else recorder.equity,
        cash=recorder.cash[place] if kept else recorder.cash,
        gross=recorder.gross[place] if kept else recorder.gross,
        row_turnover=recorder.turnover[place] if kept else recorder.turnover,
        decided=recorder.decided[place] if kept else recorder.decided,
        decisions=recorder.decisions[place] if detail is Detail.RECORDS else recorder.decisions,
        fill_records=split(recorder.fills, recorder.fill_start),
        order_records=split(recorder.orders, recorder.order_start),
        close_records=split(recorder.closes, recorder.close_start),
        accrual_records=split(recorder.accruals, recorder.accrual_start),
    )
