"""Bar by bar is the backtest: the same decisions, orders, fills and cash, with every kind of order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from engine.core.account import CASH
from engine.core.records import FILL_FIELDS, ORDER_FIELDS
from engine.core.settings import Costs, Limits, Rules
from engine.domain.errors import InvalidValueError
from engine.domain.orders import OrderKind, TimeInForce
from engine.domain.panel import Panel
from engine.domain.portfolio import Invest, Plan
from engine.domain.reasons import Reason
from engine.features.expression import Expression
from engine.features.operators import close, field, lag
from engine.features.orders import Orders
from engine.features.strategy import Strategy
from engine.pipeline.push import Bar, Pipeline, Pushed
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from tests.builders import random_panel
from tests.property.test_core_parity import random_plan, random_signals

ORDER = {name: place for place, name in enumerate(ORDER_FIELDS)}
FILL = {name: place for place, name in enumerate(FILL_FIELDS)}
# What an order is when it is sent; what becomes of it, the backtest writes beside it later.
SENT = [ORDER[name] for name in ORDER_FIELDS if name not in ("filled", "outcome", "closed")]


@dataclass(frozen=True)
class Drawn(Strategy):
    """Follow signals and orders that are fields of the panel."""

    def signal(self) -> Expression:
        return field("signal")

    def orders(self) -> Orders | None:
        return Orders(
            kind=field("kind"),
            limit=close * field("limit"),
            trigger=lag(close) * field("trigger"),
            time_in_force=field("force"),
            good_for=field("good_for"),
            stop_loss=close * field("stop"),
            take_profit=close * field("take"),
            trail=close * field("trail"),
        )


@dataclass(frozen=True)
class DrawnFull(Drawn):
    """The same, sharing the whole account."""

    invest = Invest.FULL


@dataclass(frozen=True)
class Plain(Strategy):
    """Follow signals that are fields of the panel, by the usual orders."""

    def signal(self) -> Expression:
        return field("signal")


def drawn_panel(rows: int, instruments: int, seed: int) -> Panel:
    """Draw prices with wide ranges and holes, signals, and orders of every kind around them."""
    panel = random_panel(rows, instruments, seed=seed, volatility=0.02, holes=0.01)
    rng = np.random.default_rng([seed, 1])
    shape = panel.close.shape

    def near(width: float, share: float) -> np.ndarray:
        values = 1.0 + rng.normal(0.0, width, shape)
        values[rng.random(shape) > share] = np.nan
        return values

    signals = random_signals(rows, instruments, seed)
    if seed % 3 == 0:
        signals = signals * np.where(np.arange(instruments) % 2 == 0, -1.0, 1.0)
    fields = {
        "signal": signals,
        "kind": rng.integers(OrderKind.MARKET, OrderKind.STOP_LIMIT + 1, shape).astype(float),
        "limit": near(0.02, 0.95),
        "trigger": near(0.02, 0.95),
        "force": rng.integers(TimeInForce.IOC, TimeInForce.FOK + 1, shape).astype(float),
        "good_for": rng.integers(0, 6, shape).astype(float),
        "stop": near(0.03, 0.6),
        "take": near(0.03, 0.6),
        "trail": np.abs(near(0.5, 0.4) - 1.0) * 0.1,
        "funding_rate": rng.normal(0.0, 1e-4, shape),
    }
    wide = np.abs(rng.normal(0.0, 0.015, shape)) * panel.close
    return replace(panel, high=panel.high + wide, low=panel.low - wide, fields=fields)


def settings_of(seed: int) -> Settings:
    """Draw terms: every third case may sell short and borrow, every fourth has orders under way for a bar."""
    limits = Limits(halt_bars=5, recovery_bars=15)
    if seed % 3 == 0:
        limits = limits._replace(gross=2.0, short=0.4, net=0.3, leverage=2.0, halt_drawdown=0.5)
    elif seed % 3 == 1:
        limits = limits._replace(gross=0.8)
    return Settings(
        costs=Costs(
            taker_fee_bps=10.0, maker_fee_bps=2.0, slippage_bps=5.0, impact_coefficient=30.0,
            borrow_bps=0.5, interest_bps=0.5,
        ),
        rules=Rules(
            participation=0.1, order_bound_bps=300.0, minimum_notional=5.0, lot_size=(0.01, 1e-9)[seed % 2],
            tick_size=0.01, latency_bars=int(seed % 4 == 0),
        ),
        limits=limits,
        cash=10_000.0,
        start_row=20,
    )  # fmt: skip


def bars_of(panel: Panel) -> Iterator[Bar]:
    """Feed a panel bar by bar."""
    fields = {name: getattr(panel, name) for name in ("open", "high", "low", "close", "volume")} | dict(
        panel.fields
    )
    for row in range(len(panel)):
        yield Bar(
            row=row,
            opened_at=int(panel.timestamps[row]),
            day_end=bool(panel.day_ends[row]),
            fields={name: values[row] for name, values in fields.items()},
        )


def pipeline_of(panel: Panel, strategy: Strategy, settings: Settings, plan: Plan) -> Pipeline:
    """Open the account that `run_all` would play."""
    return Pipeline(
        strategy=strategy,
        instruments=panel.instruments,
        settings=settings,
        drift_band=plan.drift_band,
        has_range=panel.has_range,
        has_funding="funding_rate" in panel.fields,
    )


def push_all(
    panel: Panel,
    pipeline: Pipeline,
    settings: Settings,
    plan: Plan,
    *,
    first: int = 0,
    stop: int | None = None,
) -> list[Pushed]:
    """Push bars `first` up to `stop`."""
    weights = dict(zip(plan.rows.tolist(), plan.weights, strict=True))
    pushed = []
    for bar in bars_of(panel):
        if bar.row < first or (stop is not None and bar.row >= stop):
            continue
        if bar.row < settings.start_row:
            pipeline.warm(bar)
        else:
            pushed.append(pipeline.push(bar, weights.get(bar.row)))
    return pushed


def played(seed: int) -> tuple[Panel, Strategy, Settings, Plan, Outcome]:
    """Play one case as a backtest."""
    instruments = 1 + seed % 5
    panel = drawn_panel(300, instruments, seed)
    strategy = (Drawn(), DrawnFull(), Plain())[seed % 7 % 3]
    settings = settings_of(seed)
    drawn = random_plan(300, instruments, seed, (np.inf, 0.05, 0.0)[seed % 5 % 3])
    late = drawn.rows >= settings.start_row
    plan = Plan(rows=drawn.rows[late], weights=drawn.weights[late], drift_band=drawn.drift_band)
    column = Column(
        plan=plan, root=strategy.signal(), invest=strategy.invest, order_roots=strategy.order_roots
    )  # fmt: skip
    return panel, strategy, settings, plan, run_all(panel, [column], settings, detail=Detail.RECORDS)


def assert_equal(pushed: list[Pushed], outcome: Outcome, *, rows: int) -> None:
    """Compare every fact of the first `rows` bars as integers, and cash and equity by their bits."""
    together = {
        name: np.concatenate([getattr(bar, name) for bar in pushed])
        for name in ("fills", "orders", "closes", "accruals")
    }
    last = outcome.rows[0] + rows
    for name, records in (
        ("fills", outcome.fill_records[0]),
        ("closes", outcome.close_records[0]),
        ("accruals", outcome.accrual_records[0]),
    ):
        assert together[name].tolist() == records[records[:, 0] < last].tolist()
    orders = outcome.order_records[0]
    assert together["orders"][:, SENT].tolist() == orders[orders[:, 0] < last][:, SENT].tolist()
    decisions = np.array([[bar.targets, bar.reasons, bar.causes] for bar in pushed])
    assert decisions.tobytes() == outcome.decisions[0, :rows].tobytes()
    assert np.array([bar.cash for bar in pushed]).tobytes() == outcome.cash[0, :rows].tobytes()
    assert np.array([bar.equity for bar in pushed]).tobytes() == outcome.equity[0, :rows].tobytes()


@pytest.mark.parametrize("seed", range(24))
def test_bars_pushed_one_by_one_are_the_backtest(seed: int) -> None:
    panel, strategy, settings, plan, outcome = played(seed)

    pushed = push_all(panel, pipeline_of(panel, strategy, settings, plan), settings, plan)

    assert outcome.fills[0] > 0
    assert_equal(pushed, outcome, rows=len(panel) - settings.start_row)


@pytest.mark.parametrize("seed", range(6))
def test_a_pipeline_goes_on_from_a_saved_state_as_if_nothing_happened(seed: int) -> None:
    panel, strategy, settings, plan, outcome = played(seed)
    first = pipeline_of(panel, strategy, settings, plan)
    pushed = push_all(panel, first, settings, plan, stop=150)

    second = pipeline_of(panel, strategy, settings, plan)
    second.restore(first.state())
    pushed += push_all(panel, second, settings, plan, first=150)

    assert_equal(pushed, outcome, rows=len(panel) - settings.start_row)


def test_a_state_of_other_terms_is_refused() -> None:
    panel, strategy, settings, plan, _ = played(1)
    state = pipeline_of(panel, strategy, settings, plan).state()
    other = replace(settings, cash=settings.cash + 1.0)

    with pytest.raises(InvalidValueError, match="another strategy, universe or terms"):
        pipeline_of(panel, strategy, other, plan).restore(state)


def test_a_bar_out_of_turn_is_refused() -> None:
    panel, strategy, settings, plan, _ = played(1)
    pipeline = pipeline_of(panel, strategy, settings, plan)
    bars = list(bars_of(panel))

    pipeline.warm(bars[0])
    with pytest.raises(InvalidValueError, match="expected the bar of row 1, got row 0"):
        pipeline.warm(bars[0])


def test_the_cases_reach_every_kind_of_order_and_every_reason() -> None:
    kinds: set[int] = set()
    liquidity: set[int] = set()
    reasons = np.zeros(len(Reason), dtype=np.int64)
    for seed in range(24):
        *_, outcome = played(seed)
        kinds |= set(outcome.order_records[0][:, ORDER["kind"]].tolist())
        liquidity |= set(outcome.fill_records[0][:, FILL["liquidity"]].tolist())
        reasons += outcome.reason_counts[0]

    assert kinds == {int(kind) for kind in OrderKind}
    assert liquidity == {0, 1}
    missed = {Reason(int(code)).name for code in np.flatnonzero(reasons == 0)}
    # Those that are no outcome of an order, need clusters, an empty bar or a ruined account.
    assert missed <= {
        "NONE", "CUT_CLUSTER", "NO_RANGE_DATA", "AT_TARGET", "NOT_DECIDED", "IN_FLIGHT",
        "RUINED", "NO_VOLUME",
    }  # fmt: skip


def test_without_a_leverage_profile_cash_never_falls_below_zero() -> None:
    for seed in range(24):
        panel, strategy, settings, plan, _ = played(seed)
        if settings.limits.leverage == 1.0:
            # Funding is paid whether there is cash or not.
            dry = replace(
                panel, fields={name: panel.fields[name] for name in panel.fields if "rate" not in name}
            )
            column = Column(plan=plan, root=strategy.signal(), order_roots=strategy.order_roots)
            assert run_all(dry, [column], settings, detail=Detail.CURVES).cash[0].min() >= 0.0, seed


def test_closes_only_refuse_orders_that_look_inside_a_bar() -> None:
    panel, strategy, settings, plan, _ = played(0)
    flat = replace(panel, has_range=False)

    with pytest.raises(InvalidValueError, match="NO_RANGE_DATA"):
        pipeline_of(flat, strategy, settings, plan)
    with pytest.raises(InvalidValueError, match="NO_RANGE_DATA"):
        run_all(flat, [Column(plan=plan, order_roots=strategy.order_roots)], settings)


def test_cash_is_where_the_account_keeps_it() -> None:
    panel, strategy, settings, plan, outcome = played(2)
    pipeline = pipeline_of(panel, strategy, settings, plan)
    pushed = push_all(panel, pipeline, settings, plan)

    assert pushed[-1].cash == outcome.cash[0, -1] == pipeline.state()["account.values"][0, CASH]
