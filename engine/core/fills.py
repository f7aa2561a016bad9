"""Fill what was decided on the bar before, and book it."""

import math

import numpy as np

from engine.compiled import inlined_kernel
from engine.core.account import (
    AGAIN,
    BUSY,
    CASH,
    CAUSE,
    CUT,
    EXITS,
    FEES,
    FILLABLE,
    FILLS,
    LIMIT,
    LOTS,
    OPEN_CAUSE,
    ORDER,
    PENDING,
    PRICE,
    REASONS,
    TRADES,
    UNITS,
    Books,
)
from engine.core.costs import PRICE_UNITS, fill_price_e8, taker_fee
from engine.core.market import Market
from engine.core.records import ORDER_FILLED, ORDER_OUTCOME, Recorder
from engine.core.settings import MARKETABLE_LIMIT, Rules, Terms
from engine.domain.reasons import Cause, Reason

NOT_TRADED = int(Reason.NOT_TRADED)
NO_VOLUME = int(Reason.NO_VOLUME)
CUT_PARTICIPATION = int(Reason.CUT_PARTICIPATION)
CUT_CASH = int(Reason.CUT_CASH)
OUTSIDE_BOUND = int(Reason.PRICE_OUTSIDE_BOUND)
DELISTED_EXIT = int(Reason.DELISTED_EXIT)
NO_REASON = int(Reason.NONE)
SIGNAL_CAUSE = int(Cause.SIGNAL)
REBASE_CAUSE = int(Cause.REBASE)
DELISTED_CAUSE = int(Cause.DELISTED)


@inlined_kernel
def by_strategy(cause: int) -> bool:
    """Say whether a strategy's signal or a re-base caused it, and not a limit."""
    return cause == SIGNAL_CAUSE or cause == REBASE_CAUSE


@inlined_kernel
def book(
    account: int,
    row: int,
    n: int,
    filled: int,
    price_e8: int,
    fee: float,
    cause: int,
    reason: int,
    lot_size: float,
    books: Books,
    recorder: Recorder,
) -> float:
    """Book one fill of `filled` signed lots; return its signed notional.

    Cash moves by `-(notional + fee)`.
    """
    notional = filled * lot_size * (price_e8 / PRICE_UNITS)
    books.values[CASH] -= notional + fee
    books.values[FEES] += fee
    before = books.lots[LOTS, n]
    books.lots[LOTS, n] = before + filled
    books.holdings[UNITS, n] = books.lots[LOTS, n] * lot_size
    if before == 0:
        books.lots[OPEN_CAUSE, n] = cause
    elif books.lots[LOTS, n] == 0 and by_strategy(cause) and by_strategy(books.lots[OPEN_CAUSE, n]):
        books.counts[TRADES] += 1
    place = recorder.fill_start[account] + books.counts[FILLS]
    books.counts[FILLS] += 1
    if place < recorder.fill_start[account + 1]:
        recorder.fills[place, 0] = row
        recorder.fills[place, 1] = n
        recorder.fills[place, 2] = filled
        recorder.fills[place, 3] = price_e8
        # A fee is never rounded in the account's favour.
        recorder.fills[place, 4] = int(math.ceil(fee * PRICE_UNITS))
        recorder.fills[place, 5] = cause
        recorder.fills[place, 6] = reason
    return notional


@inlined_kernel
def fillable_lots(wanted: int, row: int, n: int, market: Market, rules: Rules) -> tuple[int, int]:
    """Return how many of the wanted lots (unsigned) the bar can fill, and why not all."""
    if np.isnan(market.fill[row, n]):
        return 0, NOT_TRADED
    volume = market.volume[row, n]
    if np.isnan(volume) or rules.participation == np.inf:
        return wanted, NO_REASON
    if volume <= 0.0:
        return 0, NO_VOLUME
    largest = rules.participation * volume / market.lot_size[n]
    if wanted <= largest:
        return wanted, NO_REASON
    return int(math.floor(largest)), CUT_PARTICIPATION


@inlined_kernel
def inside_bound(price_e8: int, side: int, limit: float, rules: Rules) -> bool:
    """Say whether a costed price is one that the order accepts."""
    if rules.order_kind != MARKETABLE_LIMIT:
        return True
    price = price_e8 / PRICE_UNITS
    return price <= limit if side > 0 else price >= limit


@inlined_kernel
def settle_order(
    account: int,
    n: int,
    filled: int,
    reason: int,
    stands: bool,
    books: Books,
    recorder: Recorder,
) -> None:
    """Close a pending order; `stands`: what was not filled is decided again on this bar."""
    counts, lots = books.counts, books.lots
    if reason != NO_REASON:
        counts[REASONS + reason] += 1
    if lots[ORDER, n] >= 0 and lots[ORDER, n] < recorder.order_start[account + 1]:
        recorder.orders[lots[ORDER, n], ORDER_FILLED] = filled
        recorder.orders[lots[ORDER, n], ORDER_OUTCOME] = reason
    lots[PENDING, n] = 0
    counts[BUSY] -= 1
    if stands:
        if lots[AGAIN, n] == 0:
            counts[BUSY] += 1
        lots[AGAIN, n] = lots[CAUSE, n]


@inlined_kernel
def fill_orders(
    account: int,
    row: int,
    bar: int,
    market: Market,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> tuple[float, float]:
    """Fill the pending orders against one bar: all sells first, then all buys, in instrument order.

    Returns
    -------
    Sum of the absolute and of the signed notionals.
    """
    costs, rules, lots = terms.costs, terms.rules, books.lots
    traded = 0.0
    net = 0.0
    need = 0.0
    for n in range(market.mark.shape[1]):
        wanted = lots[PENDING, n]
        if wanted == 0:
            continue
        side = 1 if wanted > 0 else -1
        possible, reason = fillable_lots(abs(wanted), row, n, market, rules)
        if possible == 0:
            settle_order(account, n, 0, reason, True, books, recorder)
            continue
        lot_size = market.lot_size[n]
        price_e8 = fill_price_e8(market.fill[row, n], side, possible * lot_size, market.volume[row, n], costs)
        if not inside_bound(price_e8, side, books.holdings[LIMIT, n], rules):
            settle_order(account, n, 0, OUTSIDE_BOUND, True, books, recorder)
            continue
        notional = possible * lot_size * (price_e8 / PRICE_UNITS)
        if side > 0:
            need += notional + taker_fee(notional, costs)
            lots[FILLABLE, n], lots[PRICE, n], lots[CUT, n] = possible, price_e8, reason
            continue
        fee = taker_fee(notional, costs)
        signed = book(
            account, bar, n, -possible, price_e8, fee, lots[CAUSE, n], reason, lot_size, books, recorder
        )  # fmt: skip
        traded -= signed
        net += signed
        settle_order(account, n, -possible, reason, reason != NO_REASON, books, recorder)
    if need > 0.0:
        bought = fill_buys(account, bar, need, market, terms, books, recorder)
        traded += bought
        net += bought
    return traded, net


@inlined_kernel
def fill_buys(
    account: int,
    bar: int,
    need: float,
    market: Market,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> float:
    """Fill the buys that `fill_orders` found fillable; where cash is short, all are cut by the same share.

    Returns
    -------
    Sum of their notionals.
    """
    costs, lots = terms.costs, books.lots
    share = 1.0
    if need > books.values[CASH]:
        # The margin keeps the rounding of the sum from taking cash below zero.
        share = max(0.0, books.values[CASH] / need * (1.0 - 1e-12))
    traded = 0.0
    for n in range(market.mark.shape[1]):
        if lots[PENDING, n] <= 0:
            continue
        possible, price_e8, reason = lots[FILLABLE, n], lots[PRICE, n], lots[CUT, n]
        lot_size = market.lot_size[n]
        stands = reason != NO_REASON
        if share < 1.0:
            possible = int(math.floor(possible * share))
            reason = CUT_CASH
            # What cash could not buy is not tried again on every bar: a later decision sizes it anew.
            stands = False
        if possible > 0:
            fee = taker_fee(possible * lot_size * (price_e8 / PRICE_UNITS), costs)
            traded += book(
                account, bar, n, possible, price_e8, fee, lots[CAUSE, n], reason, lot_size, books, recorder
            )  # fmt: skip
        settle_order(account, n, possible, reason, stands, books, recorder)
    return traded


@inlined_kernel
def book_exits(
    account: int,
    row: int,
    bar: int,
    market: Market,
    books: Books,
    recorder: Recorder,
) -> float:
    """Book out what is held of instruments that stopped trading; return the sum of the notionals."""
    traded = 0.0
    for n in range(market.mark.shape[1]):
        if market.leaves[row, n] == 0:
            continue
        if books.lots[PENDING, n] != 0:
            settle_order(account, n, 0, DELISTED_EXIT, False, books, recorder)
        if books.lots[AGAIN, n] != 0:
            books.lots[AGAIN, n] = 0
            books.counts[BUSY] -= 1
        if books.lots[LOTS, n] == 0:
            continue
        price = market.mark[row, n] * (1.0 - market.haircut[n])
        price_e8 = int(math.floor(price * PRICE_UNITS + 0.5))
        books.counts[EXITS] += 1
        books.counts[REASONS + DELISTED_EXIT] += 1
        traded -= book(
            account, bar, n, -books.lots[LOTS, n], price_e8, 0.0, DELISTED_CAUSE, DELISTED_EXIT,
            market.lot_size[n], books, recorder,
        )  # fmt: skip
    return traded
