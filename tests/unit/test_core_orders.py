"""The fill table of the core, row by row: what fills, on which bar, at which price, as maker or taker.

Every case is worked out by hand from the rules: a limit needs a trade through it by a tick; what the open
has gone through fills at the open; a stop fills at the worse of trigger and open; where the order of prices
inside a bar decides, the worse outcome is taken and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest

from engine.compiled import kernel
from engine.core.account import ACCRUED, BUSY, CASH, LOTS, REASONS, TRADES
from engine.core.records import NO_TARGET
from engine.core.settings import FRICTIONLESS, UNLIMITED, Costs, Limits, Rules
from engine.core.sizing import lots_for_weight
from engine.core.styles import (
    STYLE_FORCE,
    STYLE_GOOD_FOR,
    STYLE_KIND,
    STYLE_LIMIT,
    STYLE_ROWS,
    STYLE_STOP,
    STYLE_TAKE,
    STYLE_TRAIL,
    STYLE_TRIGGER,
)
from engine.domain.orders import Liquidity, OrderKind, TimeInForce
from engine.domain.panel import FloatArray, Panel
from engine.domain.reasons import Cause, Reason
from engine.domain.time import Timeframe
from engine.features.orders import Orders
from tests.builders import NAN, panel_of
from tests.play import WHOLE_LOTS, Played, play, weights

MARKET, LIMIT, STOP, STOP_LIMIT = OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP, OrderKind.STOP_LIMIT
MAKER, TAKER = Liquidity.MAKER, Liquidity.TAKER
IOC, GTC, DAY, FOK = TimeInForce.IOC, TimeInForce.GTC, TimeInForce.DAY, TimeInForce.FOK

Prices = tuple[float, float, float, float]
"""Open, high, low, close."""

NOTHING: Mapping[str, float] = MappingProxyType({})
DECISION: Prices = (100.0, 100.0, 100.0, 100.0)
# Taker 10 bps + 5 bps slippage, maker 2 bps.
COSTS = Costs(taker_fee_bps=10.0, maker_fee_bps=2.0, slippage_bps=5.0)


def bars(*rows: Prices, volumes: list[float] | None = None) -> Panel:
    """Make one instrument from rows of open, high, low, close."""
    table = np.array(rows)
    return panel_of(
        {"A": list(table[:, 3])},
        opens={"A": list(table[:, 0])},
        highs={"A": list(table[:, 1])},
        lows={"A": list(table[:, 2])},
        volumes=None if volumes is None else {"A": volumes},
    )


def style(rows: int, **values: float) -> FloatArray:
    """Make the style of one instrument, the same on every row."""
    named = {
        "kind": STYLE_KIND,
        "limit": STYLE_LIMIT,
        "trigger": STYLE_TRIGGER,
        "force": STYLE_FORCE,
        "good_for": STYLE_GOOD_FOR,
        "stop": STYLE_STOP,
        "take": STYLE_TAKE,
        "trail": STYLE_TRAIL,
    }
    table = np.full((STYLE_ROWS, rows, 1), NAN)
    table[STYLE_KIND], table[STYLE_FORCE], table[STYLE_GOOD_FOR] = OrderKind.MARKETABLE_LIMIT, GTC, 0.0
    for name, value in values.items():
        table[named[name]] = value
    return table


def enter(
    *rows: Prices,
    side: int = 1,
    costs: Costs = FRICTIONLESS,
    rules: Rules = WHOLE_LOTS,
    limits: Limits | None = None,
    volumes: list[float] | None = None,
    signals: list[float] | None = None,
    weight: float = 0.5,
    order: Mapping[str, float] = NOTHING,
    **values: float,
) -> Played:
    """Decide at 100 to hold half of 1,000: 5 lots; the rows are the bars after."""
    panel = bars(DECISION, *rows, volumes=None if volumes is None else [0.0, *volumes])
    shape = len(panel)
    table = np.full((shape, 1), float(side)) if signals is None else np.array(signals)[:, None]
    shorts = UNLIMITED._replace(short=10.0)
    return play(
        panel,
        weights(weight),
        signals=table,
        styles=style(shape, **order, **values),
        costs=costs,
        rules=rules,
        limits=limits or (UNLIMITED if side > 0 else shorts),
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table: an order, the bars after its decision, and its fill (bar, price, liquidity)."""

    name: str
    order: dict[str, float]
    rows: tuple[Prices, ...]
    fill: tuple[int, float, Liquidity] | None
    side: int = 1
    reason: Reason | None = None


TABLE = (
    # market: the first open, whatever it is
    Case(name="market", order={"kind": MARKET}, rows=((130, 131, 129, 130),), fill=(1, 130, TAKER)),
    # limit
    Case(
        name="a limit that is touched is not filled",
        order={"kind": LIMIT, "limit": 95},
        rows=((100, 101, 95, 99),),
        fill=None,
    ),
    Case(
        name="a limit fills when traded through by a tick, at its own price",
        order={"kind": LIMIT, "limit": 95},
        rows=((100, 101, 94.99, 99),),
        fill=(1, 95, MAKER),
    ),
    Case(
        name="a limit that the open is through fills at the open, as taker",
        order={"kind": LIMIT, "limit": 95},
        rows=((93, 96, 92, 95),),
        fill=(1, 93, TAKER),
    ),
    Case(
        name="a limit rests over bars",
        order={"kind": LIMIT, "limit": 95},
        rows=((100, 101, 98, 99), (99, 99, 90, 92)),
        fill=(2, 95, MAKER),
    ),
    Case(
        name="a sell limit fills when traded through upwards",
        order={"kind": LIMIT, "limit": 105},
        rows=((100, 105, 99, 100), (100, 105.01, 99, 100)),
        fill=(2, 105, MAKER),
        side=-1,
    ),
    Case(
        name="a sell limit that the open is through fills at the open",
        order={"kind": LIMIT, "limit": 105},
        rows=((107, 108, 99, 100),),
        fill=(1, 107, TAKER),
        side=-1,
    ),
    Case(
        name="a limit that the open only touches waits for a trade through it",
        order={"kind": LIMIT, "limit": 95},
        rows=((95, 96, 95, 95.5),),
        fill=None,
    ),
    Case(
        name="slippage never takes a limit beyond its own price",
        order={"kind": LIMIT, "limit": 95},
        rows=((94.98, 96, 94, 95),),
        fill=(1, 94.98, TAKER),
    ),
    # stop
    Case(
        name="a stop that is not reached rests",
        order={"kind": STOP, "trigger": 105},
        rows=((100, 104.99, 99, 100),),
        fill=None,
    ),
    Case(
        name="a stop is filled at its trigger when the bar reaches it",
        order={"kind": STOP, "trigger": 105},
        rows=((100, 105, 99, 101),),
        fill=(1, 105, TAKER),
    ),
    Case(
        name="a stop that the open has passed is filled at the worse open",
        order={"kind": STOP, "trigger": 105},
        rows=((108, 109, 104, 106),),
        fill=(1, 108, TAKER),
    ),
    Case(
        name="a sell stop is filled at its trigger",
        order={"kind": STOP, "trigger": 95},
        rows=((100, 101, 95, 99),),
        fill=(1, 95, TAKER),
        side=-1,
    ),
    Case(
        name="a sell stop that the open has passed is filled at the worse open",
        order={"kind": STOP, "trigger": 95},
        rows=((92, 96, 91, 95),),
        fill=(1, 92, TAKER),
        side=-1,
    ),
    # stop limit
    Case(
        name="a stop limit that is triggered inside a bar waits for the next one",
        order={"kind": STOP_LIMIT, "trigger": 105, "limit": 104},
        rows=((100, 106, 99, 105), (105, 106, 103, 104)),
        fill=(2, 104, MAKER),
    ),
    Case(
        name="a stop limit fills on the bar of its trigger if the close is beyond the limit",
        order={"kind": STOP_LIMIT, "trigger": 105, "limit": 104},
        rows=((100, 106, 99, 103),),
        fill=(1, 104, MAKER),
    ),
    Case(
        name="a stop limit above its trigger takes liquidity",
        order={"kind": STOP_LIMIT, "trigger": 105, "limit": 106},
        rows=((100, 107, 99, 105.5),),
        fill=(1, 106, TAKER),
    ),
    Case(
        name="a stop limit that the open triggers inside its limit fills at the open",
        order={"kind": STOP_LIMIT, "trigger": 105, "limit": 107},
        rows=((106, 108, 104, 107),),
        fill=(1, 106, TAKER),
    ),
    Case(
        name="a stop limit that the open passes altogether rests at its limit",
        order={"kind": STOP_LIMIT, "trigger": 105, "limit": 107},
        rows=((110, 111, 108, 109), (109, 110, 106, 108)),
        fill=(2, 107, MAKER),
    ),
    Case(
        name="a sell stop limit mirrors it",
        order={"kind": STOP_LIMIT, "trigger": 95, "limit": 94},
        rows=((100, 101, 93, 93.5), (93.5, 94.5, 93, 94)),
        fill=(2, 94, MAKER),
        side=-1,
    ),
    # time in force
    Case(
        name="immediate or cancel does not wait for the bar",
        order={"kind": LIMIT, "limit": 95, "force": IOC},
        rows=((100, 101, 90, 92), (90, 91, 89, 90)),
        fill=None,
        reason=Reason.PRICE_OUTSIDE_BOUND,
    ),
    Case(
        name="immediate or cancel fills what the open gives",
        order={"kind": LIMIT, "limit": 95, "force": IOC},
        rows=((94, 95, 90, 92),),
        fill=(1, 94, TAKER),
    ),
    Case(
        name="an order of the day is gone with it",
        order={"kind": LIMIT, "limit": 95, "force": DAY},
        rows=((100, 101, 98, 99), (99, 99, 90, 92)),
        fill=None,
        reason=Reason.EXPIRED,
    ),
    Case(
        name="good for two bars expires after the second",
        order={"kind": LIMIT, "limit": 95, "good_for": 2},
        rows=((100, 101, 98, 99), (99, 100, 96, 98), (98, 98, 90, 92)),
        fill=None,
        reason=Reason.EXPIRED,
    ),
    Case(
        name="good for two bars still fills on the second",
        order={"kind": LIMIT, "limit": 95, "good_for": 2},
        rows=((100, 101, 98, 99), (99, 100, 94, 98)),
        fill=(2, 95, MAKER),
    ),
    # what cannot be sent
    Case(
        name="a limit without a price is not sent",
        order={"kind": LIMIT},
        rows=((100, 101, 90, 99),),
        fill=None,
        reason=Reason.NO_PRICE,
    ),
    Case(
        name="a stop without a trigger is not sent",
        order={"kind": STOP},
        rows=((100, 101, 90, 99),),
        fill=None,
        reason=Reason.NO_PRICE,
    ),
    Case(
        name="nothing fills on a bar without trades",
        order={"kind": LIMIT, "limit": 95},
        rows=((NAN, NAN, NAN, NAN), (100, 101, 94, 99)),
        fill=(2, 95, MAKER),
    ),
)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_the_fill_table(case: Case) -> None:
    played = enter(*case.rows, side=case.side, costs=COSTS, order=case.order)

    fills = played.fills()
    if case.fill is None:
        assert fills == []
    else:
        row, price, liquidity = case.fill
        [fill] = fills
        # A maker gets its price; a taker pays slippage, but a limit never more than its own price.
        costed = price if liquidity is MAKER else price * (1 + case.side * 5e-4)
        if "limit" in case.order:
            bound = min if case.side > 0 else max
            costed = bound(costed, case.order["limit"])
        assert (fill["row"], fill["lots"], fill["liquidity"]) == (row, 5 * case.side, liquidity)
        assert fill["price_e8"] == round(costed * 1e8)
        fee_bps = 2.0 if liquidity is MAKER else 10.0
        assert fill["fee_e8"] == pytest.approx(5 * costed * fee_bps / 1e4 * 1e8, abs=1)
    if case.reason is not None:
        assert played.accounts.counts[0, REASONS + case.reason] == 1


def test_a_limit_price_is_rounded_to_the_tick_towards_its_own_side() -> None:
    buy = enter((100, 101, 94, 99), kind=LIMIT, limit=95.019)
    sell = enter((100, 106, 94, 99), side=-1, kind=LIMIT, limit=105.011)

    assert [fill["price_e8"] for fill in buy.fills()] == [9_501_000_000]
    assert [fill["price_e8"] for fill in sell.fills()] == [10_502_000_000]


def test_what_the_volume_leaves_of_a_resting_order_is_carried() -> None:
    played = enter(
        (100, 101, 94, 99),
        (99, 100, 94, 99),
        (99, 100, 98, 99),
        (99, 100, 94, 99),
        rules=WHOLE_LOTS._replace(participation=0.1),
        volumes=[20, 10, 1000, 1000],
        kind=LIMIT,
        limit=95,
    )

    assert [(fill["row"], fill["lots"]) for fill in played.fills()] == [(1, 2), (2, 1), (4, 2)]
    [order] = played.orders()
    assert (order["lots"], order["filled"], order["outcome"], order["closed"]) == (5, 5, Reason.NONE, 4)


def test_an_order_of_the_day_waits_until_the_last_bar_of_the_day() -> None:
    # Hours from midnight on: the decision of hour 21 can fill in hours 22 and 23.
    quiet = [100.0] * 26
    lows = {"A": [*quiet[:23], 96.0, 90.0, 90.0]}
    panel = panel_of({"A": quiet}, lows=lows, timeframe=Timeframe.HOUR_1)
    signals = np.zeros((26, 1))
    signals[21:] = 1.0

    def fills(limit: float) -> list[int]:
        played = play(
            panel, weights(0.5), signals=signals, styles=style(26, kind=LIMIT, limit=limit, force=DAY)
        )  # fmt: skip
        return [fill["row"] for fill in played.fills()]

    assert fills(97) == [23]
    assert fills(95) == []


def test_a_bracket_is_armed_once_by_all_parts_of_its_entry() -> None:
    played = enter(
        (100, 101, 94, 99), (99, 100, 94, 99), (99, 100, 89, 95),
        rules=WHOLE_LOTS._replace(participation=0.1), volumes=[20, 1000, 1000],
        kind=LIMIT, limit=95, stop=90, take=120,
    )  # fmt: skip

    assert [(fill["row"], fill["lots"]) for fill in played.fills()] == [(1, 2), (2, 3), (3, -5)]
    assert [order["kind"] for order in played.orders()] == [LIMIT, STOP, OrderKind.TAKE_PROFIT]


def test_an_entry_and_its_stop_share_the_volume_of_the_bar() -> None:
    played = enter(
        (100, 101, 94, 96), (96, 97, 95, 96),
        rules=WHOLE_LOTS._replace(participation=0.1), volumes=[60, 100], stop=95,
    )  # fmt: skip

    # Six lots of the bar are ours: five bought at the open, one sold at the stop.
    assert [(fill["row"], fill["lots"]) for fill in played.fills()] == [(1, 5), (1, -1), (2, -4)]


def test_a_trailing_stop_of_an_entry_inside_a_bar_starts_from_its_close() -> None:
    played = enter((100, 111, 94, 96), (96, 97, 92, 96), kind=LIMIT, limit=95, trail=5)

    # The high of 111 may have come before the entry: the stop stands at 96 - 5, not at 111 - 5.
    assert len(played.fills()) == 1


def test_fill_or_kill_is_filled_in_full_at_once_or_not_at_all() -> None:
    def played(volume: float) -> Played:
        return enter(
            (94, 95, 90, 92),
            (94, 95, 90, 92),
            rules=WHOLE_LOTS._replace(participation=0.1),
            volumes=[volume, 1000],
            kind=LIMIT,
            limit=95,
            force=FOK,
        )

    assert [(fill["row"], fill["lots"]) for fill in played(50).fills()] == [(1, 5)]
    assert played(49).fills() == []
    assert played(49).orders()[0]["outcome"] == Reason.FILL_OR_KILL


def test_an_order_under_way_meets_no_bar_before_it_arrives() -> None:
    plain = enter((99, 99, 99, 99), (98, 98, 98, 98), (97, 97, 97, 97))
    late = enter(
        (99, 99, 99, 99),
        (98, 98, 98, 98),
        (97, 97, 97, 97),
        rules=WHOLE_LOTS._replace(latency_bars=1),
    )

    assert [fill["row"] for fill in plain.fills()] == [1]
    assert [fill["row"] for fill in late.fills()] == [2]


def test_a_decision_while_an_order_is_under_way_waits_until_it_has_arrived() -> None:
    played = enter(
        (100, 100, 100, 100),
        (100, 100, 100, 100),
        (100, 100, 100, 100),
        (100, 100, 100, 100),
        (100, 100, 100, 100),
        rules=WHOLE_LOTS._replace(latency_bars=1),
        signals=[1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    )

    # Bought on bar 2, as decided on bar 0. The exit of bar 1 is decided again on bar 2, filled on bar 4.
    assert [(fill["row"], fill["lots"]) for fill in played.fills()] == [(2, 5), (4, -5)]


# ------------------------------------------------------------------------------------ protective orders


@dataclass(frozen=True, kw_only=True)
class Exit:
    """A position bought at the open of bar 1 at 100, the bars from there on, and how it ends."""

    name: str
    order: dict[str, float]
    rows: tuple[Prices, ...]
    fill: tuple[int, float, Cause, Liquidity] | None
    side: int = 1
    ambiguous: int = 0


EXITS = (
    Exit(
        name="a stop loss at its trigger",
        order={"stop": 95},
        rows=((100, 101, 99, 100), (100, 101, 95, 99)),
        fill=(2, 95, Cause.STOP, TAKER),
    ),
    Exit(
        name="a stop loss at the worse open",
        order={"stop": 95},
        rows=((100, 101, 99, 100), (92, 96, 91, 95)),
        fill=(2, 92, Cause.STOP, TAKER),
    ),
    Exit(
        name="a stop loss on the bar of the entry",
        order={"stop": 95},
        rows=((100, 101, 94, 100),),
        fill=(1, 95, Cause.STOP, TAKER),
    ),
    Exit(
        name="a target that is touched is not filled",
        order={"take": 110},
        rows=((100, 101, 99, 100), (100, 110, 99, 105)),
        fill=None,
    ),
    Exit(
        name="a target at its own price",
        order={"take": 110},
        rows=((100, 101, 99, 100), (100, 110.01, 99, 105)),
        fill=(2, 110, Cause.TAKE_PROFIT, MAKER),
    ),
    Exit(
        name="a target that the open is through is filled at the open, as taker",
        order={"take": 110},
        rows=((100, 101, 99, 100), (112, 113, 109, 110)),
        fill=(2, 112, Cause.TAKE_PROFIT, TAKER),
    ),
    Exit(
        name="the stop comes before the target inside one bar",
        order={"stop": 95, "take": 110},
        rows=((100, 101, 99, 100), (100, 111, 94, 105)),
        fill=(2, 95, Cause.STOP, TAKER),
        ambiguous=1,
    ),
    Exit(
        name="an open through the target comes before the stop for certain",
        order={"stop": 95, "take": 110},
        rows=((100, 101, 99, 100), (112, 113, 94, 105)),
        fill=(2, 112, Cause.TAKE_PROFIT, TAKER),
    ),
    Exit(
        name="an open through the stop comes before the target for certain",
        order={"stop": 95, "take": 110},
        rows=((100, 101, 99, 100), (94, 113, 93, 105)),
        fill=(2, 94, Cause.STOP, TAKER),
    ),
    Exit(
        name="a trailing stop follows the best price of the bars before",
        order={"trail": 5},
        rows=((100, 104, 99, 103), (103, 120, 101, 118), (118, 119, 114, 116)),
        fill=(3, 115, Cause.TRAIL, TAKER),
    ),
    Exit(
        name="a trailing stop starts from the price of the entry",
        order={"trail": 5},
        rows=((100, 100, 94, 96),),
        fill=(1, 95, Cause.TRAIL, TAKER),
    ),
    Exit(
        name="the nearer of stop and trailing stop closes",
        order={"stop": 98, "trail": 5},
        rows=((100, 101, 99, 100), (100, 101, 95, 96)),
        fill=(2, 98, Cause.STOP, TAKER),
    ),
    Exit(
        name="a short is stopped above",
        order={"stop": 105},
        rows=((100, 101, 99, 100), (100, 105, 99, 101)),
        fill=(2, 105, Cause.STOP, TAKER),
        side=-1,
    ),
    Exit(
        name="a short takes its profit below",
        order={"take": 90},
        rows=((100, 101, 99, 100), (100, 101, 89.99, 95)),
        fill=(2, 90, Cause.TAKE_PROFIT, MAKER),
        side=-1,
    ),
    Exit(
        name="the trailing stop of a short follows the lowest price",
        order={"trail": 5},
        rows=((100, 101, 90, 91), (91, 95, 90, 94)),
        fill=(2, 95, Cause.TRAIL, TAKER),
        side=-1,
    ),
)


@pytest.mark.parametrize("case", EXITS, ids=lambda case: case.name)
def test_the_table_of_protective_orders(case: Exit) -> None:
    played = enter(*case.rows, side=case.side, order=case.order)

    entry, *exits = played.fills()
    assert (entry["row"], entry["lots"], entry["price_e8"]) == (1, 5 * case.side, 10_000_000_000)
    if case.fill is None:
        assert exits == []
    else:
        row, price, cause, liquidity = case.fill
        [fill] = exits
        assert (fill["row"], fill["lots"], fill["price_e8"]) == (row, -5 * case.side, round(price * 1e8))
        assert (fill["cause"], fill["liquidity"]) == (cause, liquidity)
        assert played.accounts.lots[0, LOTS, 0] == 0
        assert played.accounts.counts[0, TRADES] == 1
        assert played.accounts.counts[0, BUSY] == 0
    assert played.accounts.counts[0, REASONS + Reason.AMBIGUOUS_BAR] == case.ambiguous


def test_one_order_of_a_bracket_cancels_the_other() -> None:
    played = enter((100, 101, 99, 100), (100, 101, 94, 99), stop=95, take=110)

    entry, stop, take = played.orders()
    assert (stop["kind"], take["kind"]) == (OrderKind.STOP, OrderKind.TAKE_PROFIT)
    assert stop["parent"] == take["parent"] == 0
    assert (stop["filled"], stop["outcome"], stop["closed"]) == (-5, Reason.NONE, 2)
    assert (take["filled"], take["outcome"], take["closed"]) == (0, Reason.ONE_CANCELS_OTHER, 2)
    assert entry["closed"] == 1


def test_a_signal_that_ends_the_position_cancels_its_protective_orders() -> None:
    played = enter(
        (100, 101, 99, 100), (100, 101, 99, 100), (100, 120, 80, 100),
        signals=[1.0, 1.0, 0.0, 0.0], stop=90, take=110,
    )  # fmt: skip

    assert [(fill["row"], fill["lots"]) for fill in played.fills()] == [(1, 5), (3, -5)]
    assert [order["outcome"] for order in played.orders()[1:3]] == [Reason.POSITION_CLOSED] * 2
    assert played.accounts.counts[0, BUSY] == 0


def test_a_position_that_was_stopped_out_waits_for_another_signal() -> None:
    rows: list[Prices] = [(100, 101, 99, 100), (100, 101, 94, 99), *[DECISION] * 5]
    played = enter(*rows, signals=[1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0], stop=95)

    # Stopped on bar 2; the signal goes away on bar 4 and comes back on bar 5.
    assert [(fill["row"], fill["lots"] > 0) for fill in played.fills()] == [(1, True), (2, False), (6, True)]


def test_a_stop_that_the_volume_cannot_fill_goes_on_as_a_plain_exit() -> None:
    played = enter(
        (100, 101, 99, 100), (100, 101, 94, 96), (96, 97, 95, 96),
        rules=WHOLE_LOTS._replace(participation=0.1), volumes=[100, 20, 100], stop=95, take=120,
    )  # fmt: skip

    fills = [(fill["row"], fill["lots"], fill["price_e8"] / 1e8) for fill in played.fills()]
    assert fills == [(1, 5, 100.0), (2, -2, 95.0), (3, -3, 96.0)]
    assert played.accounts.lots[0, LOTS, 0] == 0
    assert played.accounts.counts[0, BUSY] == 0


def test_an_entry_inside_a_bar_can_be_stopped_but_not_take_profit_in_it() -> None:
    took = enter((100, 111, 94, 105), (105, 111, 104, 110), kind=LIMIT, limit=95, take=110)
    stopped = enter((100, 101, 89, 95), kind=LIMIT, limit=95, stop=90)
    unsure = enter((100, 106, 97, 104), kind=STOP, trigger=105, stop=98)

    assert [(fill["row"], fill["price_e8"] / 1e8) for fill in took.fills()] == [(1, 95.0), (2, 110.0)]
    assert took.accounts.counts[0, REASONS + Reason.AMBIGUOUS_BAR] == 1
    # A limit entry lies between the open and the stop, so that stop is certain.
    assert [(fill["row"], fill["price_e8"] / 1e8) for fill in stopped.fills()] == [(1, 95.0), (1, 90.0)]
    assert stopped.accounts.counts[0, REASONS + Reason.AMBIGUOUS_BAR] == 0
    assert [(fill["row"], fill["price_e8"] / 1e8) for fill in unsure.fills()] == [(1, 105.0), (1, 98.0)]
    assert unsure.accounts.counts[0, REASONS + Reason.AMBIGUOUS_BAR] == 1


def test_a_resting_order_is_replaced_by_a_later_decision() -> None:
    played = enter((100, 101, 98, 99), (99, 100, 98, 99), signals=[1.0, 0.5, 0.5], kind=LIMIT, limit=95)

    first, second = played.orders()
    assert (first["lots"], first["outcome"], first["closed"]) == (5, Reason.REPLACED, 1)
    assert (second["row"], second["lots"], second["closed"]) == (1, 2, -1)


def test_the_way_out_is_a_plain_order_whatever_the_style() -> None:
    played = enter(
        (94, 95, 90, 92), (92, 92, 92, 92), (91, 91, 91, 91),
        signals=[1.0, 1.0, 0.0, 0.0], kind=LIMIT, limit=95,
    )  # fmt: skip

    assert played.orders()[1]["kind"] == OrderKind.MARKETABLE_LIMIT
    assert [(fill["row"], fill["price_e8"] / 1e8) for fill in played.fills()] == [(1, 94.0), (3, 91.0)]


# ------------------------------------------------------------------------- shorts, leverage, accruals


def test_shorts_need_a_profile_that_allows_them() -> None:
    refused = enter(DECISION, side=-1, limits=UNLIMITED)
    allowed = enter(DECISION, side=-1, limits=UNLIMITED._replace(short=0.3), weight=0.5)

    assert refused.fills() == []
    # Half is asked for, three tenths are allowed.
    assert [(fill["lots"], fill["price_e8"]) for fill in allowed.fills()] == [(-3, 10_000_000_000)]
    assert allowed.accounts.counts[0, REASONS + Reason.CUT_SHORT] == 1
    assert allowed.accounts.values[0, CASH] == 1300.0


def test_cash_is_borrowed_only_as_far_as_the_profile_says() -> None:
    without = enter(DECISION, weight=1.5)
    with_leverage = enter(DECISION, weight=1.5, limits=UNLIMITED._replace(leverage=2.0))
    too_much = enter(DECISION, weight=2.5, limits=UNLIMITED._replace(leverage=2.0))

    assert [fill["lots"] for fill in without.fills()] == [9]  # the margin for rounding leaves 9 of 10
    assert [fill["lots"] for fill in with_leverage.fills()] == [15]
    assert with_leverage.accounts.values[0, CASH] == -500.0
    assert [fill["lots"] for fill in too_much.fills()] == [19]


def test_the_net_limit_counts_shorts_against_longs() -> None:
    panel = panel_of({"A": [100, 100], "B": [100, 100]})
    limits = UNLIMITED._replace(short=1.0, net=0.2)

    played = play(panel, weights(0.6, 0.2), signals=np.array([[1.0, -1.0]] * 2), limits=limits)

    # 0.6 long less 0.2 short is 0.4: the longs are cut to 0.4, so that 0.2 is left.
    assert [(fill["instrument"], fill["lots"]) for fill in played.fills()] == [(1, -2), (0, 4)]


def test_borrowed_shares_and_borrowed_cash_cost_by_the_bar() -> None:
    costs = FRICTIONLESS._replace(borrow_bps=1.0, interest_bps=2.0)
    short = enter(DECISION, DECISION, side=-1, costs=costs)
    debt = enter(
        DECISION, DECISION, weight=1.5, costs=costs, limits=UNLIMITED._replace(leverage=2.0)
    )  # fmt: skip

    # 500 short on the bars 1 and 2, a basis point each; 500 of debt at two basis points.
    assert short.accounts.values[0, ACCRUED] == pytest.approx(-0.10)
    assert debt.accounts.values[0, ACCRUED] == pytest.approx(-0.10 - 0.10 * (1 + 2e-4), abs=1e-7)
    assert short.recorder.accruals[:, 2].sum() == -10_000_000


def test_funding_is_paid_by_longs_and_received_by_shorts() -> None:
    from dataclasses import replace

    panel = replace(bars(*[DECISION] * 3), fields={"funding_rate": np.array([0.01, 0.01, np.nan])})

    long = play(panel, weights(0.5))
    short = play(
        panel, weights(0.5), signals=np.full((3, 1), -1.0), limits=UNLIMITED._replace(short=1.0)
    )  # fmt: skip

    assert long.accounts.values[0, ACCRUED] == -5.0
    assert short.accounts.values[0, ACCRUED] == 5.0


def test_an_account_without_equity_is_closed_for_good() -> None:
    played = enter(
        DECISION, (240, 250, 240, 250), (240, 240, 240, 240), DECISION, DECISION,
        side=-1, weight=0.9, limits=UNLIMITED._replace(short=10.0),
    )  # fmt: skip

    # Nine lots short at 100 with 1,000: at 250 the account owes 2,250 and has 1,900. What cash could not buy
    # back is tried again on every bar: a way out does not wait for a decision.
    assert [(fill["row"], fill["lots"], fill["cause"]) for fill in played.fills()] == [
        (1, -9, Cause.REBASE),
        (3, 7, Cause.HALT),
        (4, 2, Cause.HALT),
    ]
    assert played.accounts.counts[0, REASONS + Reason.RUINED] >= 1


# ----------------------------------------------------------------------------- better than the market gave


def prices_of(played: Played) -> list[tuple[int, int, float]]:
    """Return row, lots and price of every fill."""
    return [(fill["row"], fill["lots"], fill["price_e8"] / 1e8) for fill in played.fills()]


@pytest.mark.parametrize(
    ("side", "row", "order"),
    [
        (1, (100, 101, 94, 99), {"kind": LIMIT, "limit": 95, "stop": 97}),
        (1, (100, 101, 94, 99), {"kind": LIMIT, "limit": 95, "stop": 200}),
        (-1, (100, 106, 99, 101), {"kind": LIMIT, "limit": 105, "stop": 103}),
    ],
)
def test_what_is_entered_inside_a_bar_is_not_stopped_in_it_at_a_gain(
    side: int, row: Prices, order: dict[str, float]
) -> None:
    played = enter(row, side=side, order=order)

    entry, stop = prices_of(played)
    assert entry == (1, 5 * side, order["limit"])
    assert stop == (1, -5 * side, order["limit"])


def test_a_stop_that_the_open_triggered_is_not_filled_at_its_trigger_later_in_the_bar() -> None:
    played = enter((110, 111, 109, 110), weight=1.0, kind=STOP, trigger=9)

    # Ten lots were wanted, nine are paid for at 110; ten in cash are left, and nothing trades at 9.
    assert prices_of(played) == [(1, 9, 110.0)]


def test_a_target_that_the_open_is_through_pays_like_a_taker_and_gets_its_price_at_least() -> None:
    played = enter((100, 101, 99, 100), (110.04, 113, 109, 110), take=110, costs=COSTS)

    _, exit_fill = played.fills()
    assert exit_fill["liquidity"] == TAKER
    assert exit_fill["price_e8"] == 110 * 10**8
    assert exit_fill["fee_e8"] == pytest.approx(exit_fill["price_e8"] * -exit_fill["lots"] * 10e-4, abs=1)


def test_a_stop_is_filled_in_full_or_not_at_all_inside_a_bar_as_well() -> None:
    played = enter(
        (100, 106, 99, 105), DECISION, rules=WHOLE_LOTS._replace(participation=0.1), volumes=[20, 1000],
        kind=STOP, trigger=105, force=FOK,
    )  # fmt: skip

    assert played.fills() == []
    assert [order["outcome"] for order in played.orders()] == [Reason.FILL_OR_KILL]


def test_an_exit_inside_a_bar_does_not_pay_for_an_entry_in_it() -> None:
    panel = panel_of(
        {"A": [100, 100, 95, 95], "B": [100, 100, 100, 100]},
        highs={"A": [100, 100, 100, 95], "B": [100, 100, 100, 100]},
        lows={"A": [100, 100, 94, 95], "B": [100, 100, 94, 100]},
    )
    styles = np.repeat(style(4), 2, axis=2)
    styles[STYLE_STOP, :, 0] = 95.0
    styles[STYLE_KIND, :, 1], styles[STYLE_LIMIT, :, 1] = LIMIT, 95.0
    played = play(panel, weights(1.0, 1.0), styles=styles, limits=UNLIMITED)

    # All cash is in A when B trades through its limit; whether A was stopped before, the bar does not tell.
    assert [(fill["row"], fill["instrument"]) for fill in played.fills()] == [(1, 0), (2, 0)]


# --------------------------------------------------------------------------------- more than was allowed


def test_an_exit_under_way_never_sells_what_a_target_has_sold() -> None:
    for late in range(3, 7):
        rows: list[Prices] = [DECISION] * 12
        rows[late] = (100, 111, 99, 105)
        volumes = [100.0] * 12
        volumes[late] = 30.0
        played = enter(
            *rows, rules=WHOLE_LOTS._replace(participation=0.1, latency_bars=2, order_bound_bps=2000.0),
            volumes=volumes, signals=[1.0] * 4 + [0.0] * 9, take=110,
        )  # fmt: skip

        held = np.cumsum([fill["lots"] for fill in played.fills()])
        assert (held >= 0).all(), late
        assert held[-1] == 0, late


def test_a_target_filled_in_parts_says_how_much() -> None:
    played = enter(
        DECISION, (100, 111, 99, 105), (105, 112, 104, 110),
        rules=WHOLE_LOTS._replace(participation=0.1), volumes=[100, 20, 100], take=110,
    )  # fmt: skip
    cut = enter(
        DECISION, (100, 111, 99, 105), DECISION, DECISION, signals=[1.0, 1.0, 1.0, 0.0, 0.0],
        rules=WHOLE_LOTS._replace(participation=0.1, order_bound_bps=2000.0), volumes=[100, 20, 100, 100],
        take=110,
    )  # fmt: skip

    assert prices_of(played)[1:] == [(2, -2, 110.0), (3, -3, 110.0)]
    assert played.orders()[1]["filled"] == -5
    _, take, _ = cut.orders()
    assert (take["filled"], take["outcome"]) == (-2, Reason.POSITION_CLOSED)


def two_that_rest(signals: list[list[float]], limits: Limits, a: list[float], b: list[float]) -> Played:
    """Decide on two instruments by resting limits at 90, under limits; A and B are their lows."""
    rows = len(signals)
    closes = {name: [100.0] * rows for name in "AB"}
    panel = panel_of(closes, lows={"A": a, "B": b})
    styles = np.repeat(style(rows, kind=LIMIT, limit=90), 2, axis=2)
    return play(panel, weights(0.5, 0.5), signals=np.array(signals), styles=styles, limits=limits)


def test_what_waits_to_be_filled_counts_against_the_limits() -> None:
    played = two_that_rest(
        [[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]], UNLIMITED._replace(gross=0.8), [100, 100, 89], [100, 100, 89]
    )

    # A waits for 5 lots of 100 in 1,000; that leaves .3 for B.
    assert [(fill["instrument"], fill["lots"]) for fill in played.fills()] == [(0, 5), (1, 3)]


def test_a_tier_cancels_entries_that_were_sized_before_it() -> None:
    limits = Limits(gross=1.0, instrument=1.0, tier_1_drawdown=0.05, tier_1_scale=0.5)
    panel = panel_of(
        {"A": [100, 100, 80, 80, 80], "B": [100, 100, 100, 100, 100]},
        opens={"A": [100, 100, 80, 80, 80], "B": [100, 100, 100, 100, 100]},
        lows={"A": [100, 100, 80, 80, 80], "B": [100, 100, 100, 100, 89]},
    )
    styles = np.repeat(style(5), 2, axis=2)
    styles[STYLE_KIND, :, 1], styles[STYLE_LIMIT, :, 1] = LIMIT, 90.0
    played = play(panel, weights(0.5, 0.5), styles=styles, limits=limits)

    assert {fill["instrument"] for fill in played.fills()} == {0}
    [resting] = [order for order in played.orders() if order["instrument"] == 1]
    assert (resting["outcome"], resting["closed"]) == (Reason.REPLACED, 2)


def test_a_price_of_a_few_ticks_is_no_trap() -> None:
    played = enter(
        DECISION, (0.05, 0.05, 0.05, 0.05), (0.05, 0.05, 0.05, 0.05), costs=COSTS,
        rules=WHOLE_LOTS._replace(order_bound_bps=500.0), signals=[1.0, 1.0, 0.0, 0.0],
    )  # fmt: skip

    # Five per cent of 5 cents is less than a tick: rounded up to it, the bound was the price itself.
    assert played.accounts.lots[0, LOTS, 0] == 0


@kernel
def sized(weight: float) -> int:
    return lots_for_weight(weight, 1e6, 0.0, 1e-7, 1e-12)


def test_lots_never_leave_what_integers_and_journals_hold() -> None:
    for weight in (1.0, -1.0):
        lots = sized(weight)
        assert abs(lots) < 2**52
        assert (lots > 0) == (weight > 0)


# ---------------------------------------------------------------------------------------- what is written


def test_every_bar_says_what_it_decided() -> None:
    played = enter(DECISION, DECISION, signals=[1.0, 1.0, 0.0], kind=MARKET)

    decisions = played.recorder.decisions[0]
    assert decisions[:, 0, 0].tolist() == [5, NO_TARGET, 0]
    assert decisions[:, 1, 0].tolist() == [Reason.NONE, Reason.NOT_DECIDED, Reason.NONE]
    assert decisions[:, 2, 0].tolist() == [Cause.REBASE, 0, Cause.SIGNAL]


def test_the_attributes_of_orders_are_the_rows_of_a_style() -> None:
    names = list(Orders.__dataclass_fields__)
    rows = [
        STYLE_KIND, STYLE_LIMIT, STYLE_TRIGGER, STYLE_FORCE, STYLE_GOOD_FOR, STYLE_STOP, STYLE_TAKE,
        STYLE_TRAIL,
    ]  # fmt: skip

    assert rows == list(range(STYLE_ROWS))
    assert names == [
        "kind", "limit", "trigger", "time_in_force", "good_for", "stop_loss", "take_profit", "trail",
    ]  # fmt: skip
