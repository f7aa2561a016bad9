"""What holds on every bar of every account, whatever prices, orders, terms and holes are drawn."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest

from engine.core.account import (
    AGAIN,
    ARMED,
    ARRIVES,
    BUSY,
    CASH,
    EQUITY,
    HALT_UNTIL,
    LOTS,
    PENDING,
    SIGNAL,
    STOP_ORDER,
    STOPPED,
    TAKE_ORDER,
    UNITS,
    Accounts,
    new_accounts,
)
from engine.core.account import (
    ORDER as PENDING_ORDER,
)
from engine.core.costs import PRICE_UNITS
from engine.core.market import Market, market_of
from engine.core.records import (
    CLOSE_FIELDS,
    FILL_FIELDS,
    ORDER_FIELDS,
    Recorder,
)
from engine.core.settings import Costs, Limits, Rules, Terms
from engine.core.simulate import new_recorder, pack_plans, simulate
from engine.core.styles import STYLE_ROWS
from engine.domain.orders import OrderKind, TimeInForce
from engine.domain.panel import FloatArray, IntArray
from engine.domain.portfolio import Invest, Plan
from engine.domain.reasons import Cause
from tests.builders import random_panel

ROWS = 120
CASES = 120
CASH_AT_START = 10_000.0
# Money is a sum of floats; a share of what was at stake.
NEARLY = 1e-9
FILL = {name: place for place, name in enumerate(FILL_FIELDS)}
ORDER = {name: place for place, name in enumerate(ORDER_FIELDS)}
CLOSE = {name: place for place, name in enumerate(CLOSE_FIELDS)}
STOPS = (OrderKind.STOP, OrderKind.TRAILING_STOP)


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """One account: what it is told, and its bars."""

    market: Market
    close: FloatArray
    signals: FloatArray
    styles: FloatArray
    plan: Plan
    invest: Invest
    terms: Terms


def drawn(seed: int) -> Drawn:
    """Draw prices with holes and wide ranges, orders of every kind around them, and terms."""
    rng = np.random.default_rng([seed, 7])
    instruments = int(rng.integers(1, 6))
    panel = random_panel(
        ROWS, instruments, seed=seed, volatility=float(rng.choice([0.01, 0.04])), holes=0.02 * (seed % 2)
    )
    shape = panel.close.shape
    scale = float(rng.choice([1.0, 1.0, 1e-6, 1e5]))
    wide = np.abs(rng.normal(0.0, 0.02, shape)) * panel.close
    prices = {
        "open": panel.open * scale,
        "high": (panel.high + wide) * scale,
        "low": (panel.low - wide) * scale,
        "close": panel.close * scale,
    }
    volume = panel.volume * float(rng.choice([0.05, 1.0])) / scale
    volume[rng.random(shape) < 0.03] = 0.0
    tick = float(rng.choice([1e-6, 1e-2])) * scale
    lot = float(rng.choice([1e-12, 1e-9, 1e-6, 0.01])) / scale
    shorts = seed % 3 == 0
    limits = Limits(
        gross=0.9, instrument=0.4, halt_bars=4, recovery_bars=9, tier_1_drawdown=0.03, tier_2_drawdown=0.06,
        halt_drawdown=float(rng.choice([0.08, 0.5])),
    )  # fmt: skip
    if shorts:
        limits = limits._replace(gross=1.6, short=0.5, net=0.8, leverage=float(rng.choice([1.0, 2.0])))
    rules = Rules(
        participation=float(rng.choice([0.05, np.inf])), order_bound_bps=200.0, lot_size=lot, tick_size=tick,
        latency_bars=int(rng.choice([0, 0, 1, 2])), cash_buffer=float(rng.choice([0.0, 0.01])),
        minimum_notional=float(rng.choice([0.0, 20.0])),
    )  # fmt: skip
    costs = Costs(10.0, 2.0, 1.0, 5.0, float(rng.choice([0.0, 30.0])), 0.5, 0.5)
    signals = np.full(shape, np.nan)
    change = rng.random(shape) < 0.12
    change[0] = True
    low = -1.0 if shorts else 0.0
    signals[change] = rng.choice([low, 0.0, 0.5, 1.0], int(change.sum()))

    def near(width: float, share: float) -> FloatArray:
        values: FloatArray = prices["close"] * (1.0 + rng.normal(0.0, width, shape))
        values[rng.random(shape) > share] = np.nan
        return values

    styles = np.zeros((STYLE_ROWS, *shape))
    styles[0] = rng.integers(0, OrderKind.STOP_LIMIT + 1, shape)
    styles[1], styles[2] = near(0.02, 0.95), near(0.02, 0.95)
    styles[3] = rng.integers(0, TimeInForce.FOK + 1, shape)
    styles[4] = rng.integers(0, 6, shape)
    styles[5], styles[6] = near(0.03, 0.6), near(0.03, 0.6)
    styles[7] = np.abs(near(0.03, 0.5) - prices["close"])
    rows = np.unique(np.concatenate(([0], rng.integers(1, ROWS, 4))))
    weights = rng.uniform(0.0, 1.0, (len(rows), instruments))
    weights[rng.random(weights.shape) < 0.2] = 0.0
    weights /= np.maximum(1.0, weights.sum(axis=1, keepdims=True)) / float(rng.choice([1.0, 1.5]))
    # Prices and not the panel are scaled: instruments, flags and exits stay as they are.
    plain = market_of(panel, rules)
    moved = (*(prices[name] for name in ("open", "high", "low")), plain.mark * scale, volume)
    for values in moved:
        # As a panel's arrays are: another kind would compile the core once more.
        values.flags.writeable = False
    opens, highs, lows, marks, volumes = moved
    market = plain._replace(fill=opens, high=highs, low=lows, mark=marks, volume=volumes)
    return Drawn(
        market=market,
        close=prices["close"],
        signals=signals,
        styles=np.ascontiguousarray(styles),
        plan=Plan(rows=rows, weights=weights, drift_band=float(rng.choice([np.inf, np.inf, 0.0, 0.05]))),
        invest=Invest.FULL if rng.random() < 0.4 else Invest.SCALED,
        terms=Terms(costs, rules, limits),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Bar:
    """The account after one bar."""

    values: FloatArray
    counts: IntArray
    holdings: FloatArray
    lots: IntArray


def walk(case: Drawn) -> tuple[list[Bar], Recorder]:
    """Walk the account bar by bar, and keep what it was after each."""
    count = case.close.shape[1]
    plans = pack_plans([case.plan], [case.invest])
    one: IntArray = np.zeros(1, dtype=np.int64)

    def run(accounts: Accounts, recorder: Recorder, row: int, stop: int) -> None:
        simulate(
            0, 1, row, stop, case.signals[None, row:stop], True, one, case.styles, case.market, plans,
            case.terms, accounts, recorder,
        )  # fmt: skip

    counted = new_accounts(1, count, CASH_AT_START)
    run(counted, new_recorder(1, ROWS, count, 0, curves=True), 0, ROWS)
    recorder = new_recorder(1, ROWS, count, 0, curves=True, counted=counted)
    accounts = new_accounts(1, count, CASH_AT_START)
    bars = []
    for row in range(ROWS):
        run(accounts, recorder, row, row + 1)
        bars.append(
            Bar(
                values=accounts.values[0].copy(),
                counts=accounts.counts[0].copy(),
                holdings=accounts.holdings[0].copy(),
                lots=accounts.lots[0].copy(),
            )
        )
    for ours, theirs in zip(accounts, counted, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    return bars, recorder


def check_books(case: Drawn, bars: list[Bar], recorder: Recorder) -> None:
    """What waits is counted, what is held was filled, and nothing is owed that was not allowed."""
    limits = case.terms.limits
    held = np.zeros(case.close.shape[1], dtype=np.int64)
    for row, bar in enumerate(bars):
        lots = bar.lots
        waits = [int((lots[kind] != 0).sum()) for kind in (PENDING, AGAIN, ARMED)]
        assert bar.counts[BUSY] == sum(waits), row
        for fill in recorder.fills[recorder.fills[:, FILL["row"]] == row]:
            held[fill[FILL["instrument"]]] += fill[FILL["lots"]]
        np.testing.assert_array_equal(lots[LOTS], held, err_msg=str(row))
        np.testing.assert_array_equal(bar.holdings[UNITS], held * case.market.lot_size)
        assert not ((lots[ARMED] != 0) & (lots[LOTS] == 0)).any(), row
        armed = (lots[STOP_ORDER : TAKE_ORDER + 1] >= 0).any(axis=0) & (lots[ARMED] != 0)
        assert (armed == (lots[ARMED] != 0)).all(), row
        if limits.short == 0.0:
            assert (lots[LOTS] >= 0).all(), row
            if limits.leverage == 1.0:
                assert bar.values[CASH] >= -NEARLY * CASH_AT_START, row


def check_orders(bars: list[Bar], recorder: Recorder) -> None:
    """Orders end once, are never filled beyond their lots, and protect what is held."""
    filled: dict[int, int] = defaultdict(int)
    for fill in recorder.fills:
        filled[int(fill[FILL["order"]])] += int(fill[FILL["lots"]])
    ended: dict[int, int] = {}
    for close in recorder.closes:
        number = int(close[CLOSE["order"]])
        assert number not in ended, number
        ended[number] = int(close[CLOSE["filled"]])
    last = bars[-1].lots
    waiting = {int(number) for number in last[PENDING_ORDER][last[PENDING] != 0]}
    for n in np.flatnonzero(last[ARMED]):
        waiting |= {int(number) for number in last[STOP_ORDER : TAKE_ORDER + 1, n] if number >= 0}
    assert waiting.isdisjoint(ended)
    assert waiting | set(ended) == set(range(len(recorder.orders)))
    for number, order in enumerate(recorder.orders):
        lots = int(order[ORDER["lots"]])
        if lots:
            assert 0 <= filled[number] * np.sign(lots) <= abs(lots), number
        if number in ended:
            assert ended[number] == filled[number], (number, order)
            assert order[ORDER["closed"]] >= order[ORDER["row"]]


def check_fills(case: Drawn, recorder: Recorder) -> None:
    """No fill is better than the market was, nor takes more of it than allowed."""
    market, rules = case.market, case.terms.rules
    taken: dict[tuple[int, int], int] = defaultdict(int)
    for fill in recorder.fills:
        row, n, lots = (int(fill[FILL[name]]) for name in ("row", "instrument", "lots"))
        price, fee = fill[FILL["price_e8"]] / PRICE_UNITS, fill[FILL["fee_e8"]] / PRICE_UNITS
        assert lots != 0
        assert price >= 0.0
        if fill[FILL["cause"]] == Cause.DELISTED:
            continue
        number = int(fill[FILL["order"]])
        order = recorder.orders[number]
        kind, is_maker = OrderKind(order[ORDER["kind"]]), bool(fill[FILL["liquidity"]])
        earliest = order[ORDER["row"]] + (1 + rules.latency_bars if order[ORDER["parent"]] < 0 else 0)
        assert row >= earliest, "filled before it arrived"
        assert not np.isnan(market.fill[row, n])
        taken[row, n] += abs(lots)
        rate = case.terms.costs.maker_fee_bps if is_maker else case.terms.costs.taker_fee_bps
        notional = abs(lots) * market.lot_size[n] * price
        assert fee >= notional * rate / 1e4 * (1.0 - NEARLY)
        side = 1 if lots > 0 else -1
        # One unit of 1e-8: prices are rounded to it.
        unit = 1.01e-8
        best = market.low[row, n] if side > 0 else market.high[row, n]
        assert side * price >= side * best - unit, "better than the bar"
        limit, trigger = order[ORDER["limit_e8"]] / PRICE_UNITS, order[ORDER["trigger_e8"]] / PRICE_UNITS
        if kind in (OrderKind.MARKETABLE_LIMIT, OrderKind.LIMIT, OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT):
            assert side * price <= side * limit + unit, "worse than its limit"
        if kind is OrderKind.STOP and order[ORDER["parent"]] >= 0:
            assert side * price >= side * trigger - unit, "better than its trigger"
        if is_maker:
            assert kind in (OrderKind.LIMIT, OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT)
        elif kind not in (OrderKind.LIMIT, OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT):
            costs = case.terms.costs
            floor = market.fill[row, n] * (1.0 + side * (costs.half_spread_bps + costs.slippage_bps) / 1e4)
            if kind in (OrderKind.MARKET, OrderKind.MARKETABLE_LIMIT):
                assert side * price >= side * floor - unit, "better than the open"
    for (row, n), lots in taken.items():
        volume = market.volume[row, n]
        if rules.participation < np.inf and not np.isnan(volume):
            assert lots * market.lot_size[n] <= rules.participation * volume * (1.0 + NEARLY), (row, n)


def check_entries_stopped_inside(recorder: Recorder) -> None:
    """A position that is entered and stopped inside one bar has not gained on the way."""
    entered: dict[tuple[int, int], list[tuple[int, float]]] = defaultdict(list)
    for fill in recorder.fills:
        key = (int(fill[FILL["row"]]), int(fill[FILL["instrument"]]))
        cause, lots, price = fill[FILL["cause"]], int(fill[FILL["lots"]]), float(fill[FILL["price_e8"]])
        if cause in (Cause.STOP, Cause.TRAIL):
            for before, paid in entered[key]:
                if (before > 0) != (lots > 0):
                    assert (price - paid) * np.sign(before) <= 1.0, (key, paid, price)
        else:
            entered[key].append((lots, price))


def check_ways_out(case: Drawn, bars: list[Bar]) -> None:
    """Whatever has a target of 0 is on its way out, on every bar, until it is."""
    for row, bar in enumerate(bars):
        halted = bar.counts[HALT_UNTIL] > row
        for n in range(case.close.shape[1]):
            held = int(bar.lots[LOTS, n])
            closed = halted or bar.holdings[SIGNAL, n] == 0.0 or bar.lots[STOPPED, n] != 0
            if held and closed and case.market.mark[row, n] > 0.0:
                under_way = bar.lots[PENDING, n] != 0 and bar.lots[ARRIVES, n] > row + 1
                leaves = bar.lots[PENDING, n] == -held or bar.lots[AGAIN, n] != 0 or under_way
                assert leaves, (row, n, held)


def check_limits(case: Drawn, bars: list[Bar], recorder: Recorder) -> None:
    """No bar leaves orders that could take the account beyond its limits, if all that waits is filled."""
    limits, rules = case.terms.limits, case.terms.rules
    if rules.latency_bars:
        return
    count = case.close.shape[1]
    cap = limits.instrument if count >= 4 else max(limits.instrument, 1.0)
    for row, bar in enumerate(bars):
        equity = bar.values[EQUITY]
        orders = recorder.orders[recorder.orders[:, ORDER["row"]] == row]
        orders = orders[orders[:, ORDER["parent"]] < 0]
        fresh = {int(order[ORDER["instrument"]]): order for order in orders}
        worth = case.market.lot_size * case.market.mark[row] / equity
        target, most, least = np.zeros(count), np.zeros(count), np.zeros(count)
        grows = False
        for n in range(count):
            held, waits = int(bar.lots[LOTS, n]), int(bar.lots[PENDING, n])
            after = held + waits
            sizes = (after,) if n in fresh else (held, after)
            most[n], least[n] = max(sizes) * worth[n], min(sizes) * worth[n]
            target[n] = max(map(abs, sizes)) * worth[n]
            if n in fresh and abs(after) > abs(held):
                grows = True
                assert abs(after) * worth[n] <= cap * (1.0 + NEARLY), (row, n)
        if not grows:
            continue
        assert target.sum() <= limits.gross * (1.0 + NEARLY), (row, target)
        if limits.short > 0.0:
            grows_short = any(bar.lots[LOTS, n] + bar.lots[PENDING, n] < 0 for n in fresh)
            if grows_short:
                assert -np.minimum(least, 0.0).sum() <= limits.short * (1.0 + NEARLY), row


@pytest.mark.parametrize("seed", range(CASES))
def test_whatever_is_drawn_the_account_keeps_its_rules(seed: int) -> None:
    case = drawn(seed)
    bars, recorder = walk(case)
    check_books(case, bars, recorder)
    check_orders(bars, recorder)
    check_fills(case, recorder)
    check_entries_stopped_inside(recorder)
    check_ways_out(case, bars)
    check_limits(case, bars, recorder)
