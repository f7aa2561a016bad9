"""Bars on which nothing unusual happens to many plain orders: all instruments at once.

`fill_together` and `emit_together` do what `fill_orders` and `emit_orders` do, number by number in the same
order, where every order fills in full or is sent as it was asked for and nothing is written down. They look
first, and leave everything as it is where something is otherwise. Loops without a branch that write one row
each are what a compiler turns into instructions for several instruments at a time.
"""

import numpy as np

from engine.compiled import NO, YES, inlined_kernel
from engine.core.account import (
    ARRIVES,
    BOUND,
    BUSY,
    CASH,
    CAUSE,
    CLOSES,
    CUT,
    DECIDED,
    EXPIRES,
    FEES,
    FILLS,
    FORCE,
    KIND,
    LIMIT,
    LOTS,
    NOTIONAL,
    OPEN_CAUSE,
    ORDER,
    ORDERS,
    PENDING,
    SIZED,
    TRADES,
    UNITS,
    Books,
)
from engine.core.costs import PRICE_UNITS
from engine.core.fills import IOC, MARKETABLE, by_strategy, spendable
from engine.core.market import Market
from engine.core.records import Recorder
from engine.core.settings import Rules, Terms
from engine.domain.panel import FloatArray
from engine.domain.reasons import Cause

FEW = 7
TIER_CAUSE, HALT_CAUSE = int(Cause.TIER), int(Cause.HALT)


@inlined_kernel
def goes_together(styles: FloatArray, market: Market, terms: Terms, recorder: Recorder) -> bool:
    """Say whether bars of many plain orders may be taken at once: nobody asks for one record of each."""
    silent = (
        recorder.fills.shape[0] == 0
        and recorder.orders.shape[0] == 0
        and recorder.closes.shape[0] == 0
        and recorder.decided.shape[0] == 0
        and recorder.decisions.shape[0] == 0
    )
    many = market.mark.shape[1] > FEW and styles.shape[0] == 0
    return silent and many and terms.costs.impact_coefficient <= 0.0


@inlined_kernel
def is_in_full(row: int, bar: int, market: Market, terms: Terms, books: Books) -> bool:
    """Say whether the open fills every pending order in full; leave what each is worth in row `NOTIONAL`."""
    costs, rules, lots, holdings = terms.costs, terms.rules, books.lots, books.holdings
    rate = (costs.half_spread_bps + costs.slippage_bps) / 1e4
    unlimited = rules.participation == np.inf
    unusual = 0
    for n in range(market.mark.shape[1]):
        wanted = lots[PENDING, n]
        lot_size = market.lot_size[n]
        side = 1.0 if wanted > 0 else -1.0
        price = np.floor(market.fill[row, n] * (1.0 + side * rate) * PRICE_UNITS + 0.5) / PRICE_UNITS
        volume = market.volume[row, n]
        largest = rules.participation * volume / lot_size
        allowed = unlimited | (volume != volume) | (abs(wanted) <= largest)
        inside = (lots[KIND, n] != MARKETABLE) | (side * price <= side * holdings[LIMIT, n])
        fills = allowed & inside & (price >= 0.0) & (bar >= lots[ARRIVES, n])
        unusual += 0 if fills | (wanted == 0) else 1
        holdings[NOTIONAL, n] = abs(wanted) * lot_size * price if wanted != 0 else 0.0
    return unusual == 0


@inlined_kernel
def fill_together(
    row: int, bar: int, market: Market, terms: Terms, books: Books
) -> tuple[bool, float, float]:
    """Fill all pending orders, unless one of them does not fill in full.

    Returns
    -------
    Whether it did, and the sums of the absolute and of the signed notionals.
    """
    if not is_in_full(row, bar, market, terms, books):
        return NO, 0.0, 0.0
    values, lots, holdings = books.values, books.lots, books.holdings
    instruments = market.mark.shape[1]
    fee_rate = terms.costs.taker_fee_bps / 1e4
    kept = values[CASH]
    cash, fees, traded, net, need = kept, values[FEES], 0.0, 0.0, 0.0
    for n in range(instruments):
        notional = holdings[NOTIONAL, n]
        fee = notional * fee_rate
        sells = lots[PENDING, n] < 0
        cash -= -notional + fee if sells else 0.0
        fees += fee if sells else 0.0
        traded += notional if sells else 0.0
        net -= notional if sells else 0.0
        need += 0.0 if sells else notional + fee
    values[CASH] = cash
    if need > spendable(terms.limits, books):
        values[CASH] = kept
        return NO, 0.0, 0.0
    bought = 0.0
    for n in range(instruments):
        notional = holdings[NOTIONAL, n]
        fee = notional * fee_rate
        sells = lots[PENDING, n] < 0
        cash -= 0.0 if sells else notional + fee
        fees += 0.0 if sells else fee
        bought += 0.0 if sells else notional
    values[CASH], values[FEES] = cash, fees
    hold_together(market, books)
    return YES, traded + bought, net + bought


@inlined_kernel
def hold_together(market: Market, books: Books) -> None:
    """Turn every pending order into a holding."""
    counts, lots = books.counts, books.lots
    instruments = lots.shape[1]
    trades = 0
    for n in range(instruments):
        wanted, before, cause, opened_by = (
            lots[PENDING, n],
            lots[LOTS, n],
            lots[CAUSE, n],
            lots[OPEN_CAUSE, n],
        )
        after = before + wanted
        turns = (after == 0) | ((before > 0) != (after > 0))
        trades += 1 if (before != 0) & turns & (by_strategy(cause) & by_strategy(opened_by)) else 0
        lots[OPEN_CAUSE, n] = cause if (wanted != 0) & ((before == 0) | turns) else opened_by
    filled = 0
    for n in range(instruments):
        filled += 1 if lots[PENDING, n] != 0 else 0
        lots[LOTS, n] += lots[PENDING, n]
    for n in range(instruments):
        books.holdings[UNITS, n] = lots[LOTS, n] * market.lot_size[n]
    for n in range(instruments):
        lots[PENDING, n] = 0
    counts[TRADES] += trades
    counts[FILLS] += filled
    counts[CLOSES] += filled
    counts[BUSY] -= filled


@inlined_kernel
def for_all_sent(field: int, value: int, every: bool, books: Books) -> None:
    """Set a field of each order that is sent now; `every`: that is one for each instrument."""
    lots = books.lots
    if every:
        for n in range(lots.shape[1]):
            lots[field, n] = value
        return
    for n in range(lots.shape[1]):
        sends = (lots[DECIDED, n] != 0) & (lots[PENDING, n] != 0)
        lots[field, n] = value if sends else lots[field, n]


@inlined_kernel
def emit_together(mark_row: FloatArray, bar: int, market: Market, rules: Rules, books: Books) -> bool:
    """Send an order for every decided target, as it was sized; say whether there was nothing else to do."""
    counts, lots, holdings = books.counts, books.lots, books.holdings
    instruments = mark_row.shape[0]
    unusual = 0
    for n in range(instruments):
        cause, target = lots[DECIDED, n], lots[SIZED, n]
        wanted = target - lots[LOTS, n]
        small = abs(wanted) * market.lot_size[n] * mark_row[n] < market.minimum_notional[n]
        held_up = (mark_row[n] <= 0.0) | (lots[PENDING, n] != 0) | (lots[CUT, n] != 0)
        other = (cause == TIER_CAUSE) | (cause == HALT_CAUSE) | (small & (target != 0) & (wanted != 0))
        unusual += 1 if (cause != 0) & (held_up | other) else 0
    if unusual != 0:
        return False
    number = counts[ORDERS]
    for n in range(instruments):
        sends = (lots[DECIDED, n] != 0) & (lots[SIZED, n] != lots[LOTS, n])
        lots[ORDER, n] = number if sends else lots[ORDER, n]
        number += 1 if sends else 0
    for n in range(instruments):
        wanted = lots[SIZED, n] - lots[LOTS, n]
        lots[PENDING, n] = wanted if lots[DECIDED, n] != 0 else lots[PENDING, n]
    # From here on a decided instrument sends an order if one is pending.
    for n in range(instruments):
        sends = (lots[DECIDED, n] != 0) & (lots[PENDING, n] != 0)
        lots[CAUSE, n] = lots[DECIDED, n] if sends else lots[CAUSE, n]
    for n in range(instruments):
        sends = (lots[DECIDED, n] != 0) & (lots[PENDING, n] != 0)
        holdings[LIMIT, n] = holdings[BOUND, n] if sends else holdings[LIMIT, n]
    arrives = bar + 1 + rules.latency_bars
    every = number - counts[ORDERS] == instruments
    for_all_sent(KIND, rules.order_kind, every, books)
    for_all_sent(FORCE, IOC, every, books)
    for_all_sent(ARRIVES, arrives, every, books)
    for_all_sent(EXPIRES, arrives, every, books)
    for n in range(instruments):
        lots[DECIDED, n] = 0
    counts[BUSY] += number - counts[ORDERS]
    counts[ORDERS] = number
    return True
