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
    BOUGHT,
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
    REASONS,
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
from engine.core.sizing import wanted_lots
from engine.domain.panel import FloatArray
from engine.domain.reasons import Cause

FEW = 7
HALT_CAUSE = int(Cause.HALT)


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
    """Say whether the open fills every pending order in full; leave signed notionals in row `NOTIONAL`."""
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
        holdings[NOTIONAL, n] = wanted * lot_size * price if wanted != 0 else 0.0
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
    values, holdings = books.values, books.holdings
    instruments = market.mark.shape[1]
    fee_rate = terms.costs.taker_fee_bps / 1e4
    # An addition waits for the one before: each sum runs over its own side only.
    sells, buys = 0, 0
    for n in range(instruments):
        notional = holdings[NOTIONAL, n]
        holdings[NOTIONAL, sells] = notional
        holdings[BOUGHT, buys] = notional
        sells += 1 if notional < 0.0 else 0
        buys += 1 if notional > 0.0 else 0
    cash, fees, sold, bought, need = values[CASH], values[FEES], 0.0, 0.0, 0.0
    for place in range(sells):
        notional = holdings[NOTIONAL, place]
        fee = -notional * fee_rate
        cash -= notional + fee
        fees += fee
        sold -= notional
    before, values[CASH] = values[CASH], cash
    most = spendable(terms.limits, books)
    for place in range(buys):
        notional = holdings[BOUGHT, place]
        fee = notional * fee_rate
        cash -= notional + fee
        fees += fee
        bought += notional
        need += notional + fee
    if need > most:
        values[CASH] = before
        return NO, 0.0, 0.0
    values[CASH], values[FEES] = cash, fees
    hold_together(market, books)
    return YES, sold + bought, bought - sold


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
def count_cuts(cuts: int, books: Books) -> None:
    """Count the reasons of so many orders that a limit made smaller: one reason after the other."""
    lots = books.lots
    reason = 0
    for n in range(lots.shape[1]):
        reason = max(reason, lots[CUT, n])
    while cuts > 0:
        counted = 0
        for n in range(lots.shape[1]):
            sends = (lots[DECIDED, n] != 0) & (lots[PENDING, n] != 0)
            counted += 1 if sends & (lots[CUT, n] == reason) else 0
        books.counts[REASONS + reason] += counted
        cuts -= counted
        reason -= 1


@inlined_kernel
def plain_order(n: int, bar: int, rules: Rules, books: Books) -> None:
    """Write an order of the usual kind into the books: immediate or cancel, at the first open."""
    lots = books.lots
    books.holdings[LIMIT, n] = books.holdings[BOUND, n]
    lots[KIND, n] = rules.order_kind
    lots[FORCE, n] = IOC
    lots[ARRIVES, n] = bar + 1 + rules.latency_bars
    lots[EXPIRES, n] = bar + 1 + rules.latency_bars


@inlined_kernel
def send_all(bar: int, rules: Rules, books: Books) -> None:
    """Send an order for each instrument: plain copies."""
    counts, lots, holdings = books.counts, books.lots, books.holdings
    instruments, arrives = lots.shape[1], bar + 1 + rules.latency_bars
    for n in range(instruments):
        lots[PENDING, n] = lots[SIZED, n] - lots[LOTS, n]
    for n in range(instruments):
        lots[CAUSE, n] = lots[DECIDED, n]
    for n in range(instruments):
        holdings[LIMIT, n] = holdings[BOUND, n]
    for n in range(instruments):
        lots[ORDER, n] = counts[ORDERS] + n
    for n in range(instruments):
        lots[KIND, n] = rules.order_kind
        lots[FORCE, n] = IOC
    for n in range(instruments):
        lots[ARRIVES, n] = arrives
        lots[EXPIRES, n] = arrives


@inlined_kernel
def send_some(bar: int, rules: Rules, books: Books) -> None:
    """Send an order where one is decided and something is wanted."""
    lots, number = books.lots, books.counts[ORDERS]
    for n in range(lots.shape[1]):
        wanted = wanted_lots(n, lots)
        if (lots[DECIDED, n] == 0) | (wanted == 0):
            continue
        lots[PENDING, n] = wanted
        lots[CAUSE, n] = lots[DECIDED, n]
        lots[ORDER, n] = number
        number += 1
        plain_order(n, bar, rules, books)


@inlined_kernel
def emit_together(mark_row: FloatArray, bar: int, market: Market, rules: Rules, books: Books) -> bool:
    """Send an order for every decided target, as it was sized; say whether there was nothing else to do."""
    counts, lots = books.counts, books.lots
    instruments = mark_row.shape[0]
    unusual, sent, cuts = 0, 0, 0
    for n in range(instruments):
        cause, target, wanted = lots[DECIDED, n], lots[SIZED, n], wanted_lots(n, lots)
        small = abs(wanted) * market.lot_size[n] * mark_row[n] < market.minimum_notional[n]
        held_up = (mark_row[n] <= 0.0) | (lots[PENDING, n] != 0)
        other = (cause == HALT_CAUSE) | (small & (target != 0) & (wanted != 0))
        unusual += 1 if (cause != 0) & (held_up | other) else 0
        sends = (cause != 0) & (wanted != 0)
        sent += 1 if sends else 0
        cuts += 1 if sends & (lots[CUT, n] != 0) else 0
    if unusual != 0:
        return False
    if sent == instruments:
        send_all(bar, rules, books)
    else:
        send_some(bar, rules, books)
    count_cuts(cuts, books)
    for n in range(instruments):
        lots[DECIDED, n] = 0
    counts[BUSY] += sent
    counts[ORDERS] += sent
    return True
