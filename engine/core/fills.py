"""Fill at the open of a bar what was decided before, and book it."""

import math

import numpy as np

from engine.compiled import NO, constant, inlined_kernel, inner_kernel
from engine.core.account import (
    AGAIN,
    ARMED,
    ARRIVES,
    BUSY,
    CASH,
    CAUSE,
    CUT,
    DONE,
    ENTERED,
    EQUITY,
    EXITS,
    FEES,
    FILLABLE,
    FILLS,
    FIRST,
    FORCE,
    KIND,
    LIMIT,
    LOTS,
    NOTIONAL,
    OPEN_CAUSE,
    ORDER,
    PENDING,
    PRICE,
    REASONS,
    THEN,
    TRADES,
    TRIGGER,
    TRIGGERED,
    UNITS,
    USED,
    Books,
)
from engine.core.costs import PRICE_UNITS, fill_price_e8, taker_fee
from engine.core.market import Market
from engine.core.protection import arm, disarm
from engine.core.records import Recorder, close_order
from engine.core.settings import Limits, Rules, Terms
from engine.domain.orders import Liquidity, OrderKind, TimeInForce
from engine.domain.reasons import Cause, Reason

NOT_TRADED = constant(Reason.NOT_TRADED)
NO_VOLUME = constant(Reason.NO_VOLUME)
CUT_PARTICIPATION = constant(Reason.CUT_PARTICIPATION)
CUT_CASH = constant(Reason.CUT_CASH)
POSITION_CLOSED = constant(Reason.POSITION_CLOSED)
OUTSIDE_BOUND = constant(Reason.PRICE_OUTSIDE_BOUND)
DELISTED_EXIT = constant(Reason.DELISTED_EXIT)
FILL_OR_KILL = constant(Reason.FILL_OR_KILL)
NO_REASON = constant(Reason.NONE)
SIGNAL_CAUSE = constant(Cause.SIGNAL)
REBASE_CAUSE = constant(Cause.REBASE)
DELISTED_CAUSE = constant(Cause.DELISTED)
STOP_CAUSE = constant(Cause.STOP)
MARKETABLE = constant(OrderKind.MARKETABLE_LIMIT)
RESTING_LIMIT = constant(OrderKind.LIMIT)
RESTING_STOP = constant(OrderKind.STOP)
ENTERED_AT_OPEN = constant(1)
ENTERED_INSIDE = constant(2)
IOC = constant(TimeInForce.IOC)
FOK = constant(TimeInForce.FOK)
TAKER = constant(Liquidity.TAKER)


@inlined_kernel
def by_strategy(cause: int) -> bool:
    """Say whether a strategy caused it (its signal, a re-base or its protective orders), and not a limit."""
    return cause == SIGNAL_CAUSE or cause == REBASE_CAUSE or cause >= STOP_CAUSE


@inlined_kernel
def book(
    account: int,
    row: int,
    n: int,
    filled: int,
    price_e8: int,
    notional: float,
    fee: float,
    cause: int,
    reason: int,
    order: int,
    liquidity: int,
    lot_size: float,
    books: Books,
    recorder: Recorder,
) -> None:
    """Book one fill of `filled` signed lots and this signed notional: cash moves by `-(notional + fee)`."""
    books.values[CASH] -= notional + fee
    books.values[FEES] += fee
    before = books.lots[LOTS, n]
    books.lots[LOTS, n] = before + filled
    books.holdings[UNITS, n] = books.lots[LOTS, n] * lot_size
    if before == 0:
        books.lots[OPEN_CAUSE, n] = cause
    elif books.lots[LOTS, n] == 0 or (before > 0) != (books.lots[LOTS, n] > 0):
        if by_strategy(cause) and by_strategy(books.lots[OPEN_CAUSE, n]):
            books.counts[TRADES] += 1
        books.lots[OPEN_CAUSE, n] = cause
        if books.lots[ARMED, n] != 0:
            disarm(account, row, n, POSITION_CLOSED, books, recorder)
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
        recorder.fills[place, 7] = order
        recorder.fills[place, 8] = liquidity


@inlined_kernel
def notional_of(lots: int, lot_size: float, price_e8: int) -> float:
    """Return what a fill is worth, with the sign of its lots."""
    return lots * lot_size * (price_e8 / PRICE_UNITS)


@inlined_kernel
def fillable_lots(wanted: int, used: int, row: int, n: int, market: Market, rules: Rules) -> tuple[int, int]:
    """Return how many of the wanted lots (unsigned) the bar can fill, and why not all.

    `used`: lots of this bar's volume that other orders of ours took.
    """
    if np.isnan(market.fill[row, n]):
        return 0, NOT_TRADED
    volume = market.volume[row, n]
    if np.isnan(volume) or rules.participation == np.inf:
        return wanted, NO_REASON
    if volume <= 0.0:
        return 0, NO_VOLUME
    largest = rules.participation * volume / market.lot_size[n] - used
    if wanted <= largest:
        return wanted, NO_REASON
    return max(0, int(math.floor(largest))), CUT_PARTICIPATION


@inlined_kernel
def opens_through(open_price: float, side: int, limit: float, tick_size: float) -> bool:
    """Say whether a bar opens beyond a resting limit by a tick at least: it then fills at the open."""
    return open_price <= limit - tick_size if side > 0 else open_price >= limit + tick_size


@inlined_kernel
def executes_at_open(n: int, row: int, side: int, market: Market, books: Books) -> bool:
    """Say whether a limit, stop or stop-limit order trades at the open, which may trigger a stop."""
    open_price = market.fill[row, n]
    if np.isnan(open_price):
        return False
    kind, lots = books.lots[KIND, n], books.lots
    if kind != RESTING_LIMIT and lots[TRIGGERED, n] == 0:
        if side * open_price < side * books.holdings[TRIGGER, n]:
            return False
        lots[TRIGGERED, n] = 1
    if kind == RESTING_STOP:
        return True
    return opens_through(open_price, side, books.holdings[LIMIT, n], market.tick_size[n])


@inlined_kernel
def bounded_price(price_e8: int, kind: int, side: int, limit: float) -> int:
    """Return the price at which an order trades at the open, -1 where its bound refuses it.

    A resting limit that the open has gone through is never filled at a worse price than its own.
    """
    if kind == MARKETABLE:
        # One comparison for both sides: which one comes next is anybody's guess.
        return price_e8 if side * (price_e8 / PRICE_UNITS) <= side * limit else -1
    if kind == RESTING_LIMIT or kind > RESTING_STOP:
        limit_e8 = int(math.floor(limit * PRICE_UNITS + 0.5))
        return min(price_e8, limit_e8) if side > 0 else max(price_e8, limit_e8)
    return price_e8


@inlined_kernel
def settle_order(
    account: int,
    row: int,
    n: int,
    done: int,
    reason: int,
    stands: bool,
    books: Books,
    recorder: Recorder,
) -> None:
    """Close a pending order, `done` lots of it filled; `stands`: the rest is decided again on this bar."""
    counts, lots = books.counts, books.lots
    if reason != NO_REASON:
        counts[REASONS + reason] += 1
    close_order(account, row, lots[ORDER, n], done, reason, counts, recorder)
    lots[PENDING, n] = 0
    counts[BUSY] -= 1
    if stands:
        if lots[AGAIN, n] == 0:
            counts[BUSY] += 1
        lots[AGAIN, n] = lots[CAUSE, n]


@inlined_kernel
def after_fill(
    account: int,
    row: int,
    n: int,
    filled: int,
    price_e8: int,
    reason: int,
    stands: bool,
    entered: int,
    styled: bool,
    books: Books,
    recorder: Recorder,
) -> None:
    """Settle or carry an order after a fill of `filled` signed lots, and arm what it brings with it.

    An order that is immediate or cancel is over; what rests goes on with what is left.
    """
    lots = books.lots
    if not styled:
        settle_order(account, row, n, filled, reason, stands, books, recorder)
        return
    lots[DONE, n] += filled
    lots[USED, n] += abs(filled)
    lots[ENTERED, n] = entered
    parent = lots[ORDER, n]
    if lots[KIND, n] <= MARKETABLE or filled == lots[PENDING, n]:
        stands = stands and lots[KIND, n] <= MARKETABLE
        settle_order(account, row, n, lots[DONE, n], reason, stands, books, recorder)
    else:
        lots[PENDING, n] -= filled
        if lots[FORCE, n] == IOC:
            settle_order(account, row, n, lots[DONE, n], reason, NO, books, recorder)
    arm(account, row, n, price_e8 / PRICE_UNITS, parent, books, recorder)


@inlined_kernel
def spendable(limits: Limits, books: Books) -> float:
    """Return the cash that buys may use: what is there, and what a leverage profile may borrow."""
    cash: float = books.values[CASH]
    if limits.leverage > 1.0:
        cash += (limits.leverage - 1.0) * max(0.0, books.values[EQUITY])
    return cash


@inlined_kernel
def fill_orders(
    account: int,
    row: int,
    bar: int,
    styled: bool,
    market: Market,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> tuple[float, float]:
    """Fill the pending orders at the open of a bar: all sells first, then all buys, in instrument order.

    Parameters
    ----------
    styled
        Whether the strategy shapes its orders: then they may rest, and bring protective orders with them.

    Returns
    -------
    Sum of the absolute and of the signed notionals.
    """
    lots = books.lots
    first, then, need = meet_open(row, bar, styled, market, terms, books)
    traded = 0.0
    net = 0.0
    for place in range(first):
        n = lots[FIRST, place]
        sold, reason = lots[FILLABLE, n], lots[CUT, n]
        if sold == 0:
            stands = lots[KIND, n] <= MARKETABLE or lots[PRICE, n] < 0
            settle_order(account, bar, n, lots[DONE, n], reason, stands, books, recorder)
            continue
        lot_size, price_e8, notional = market.lot_size[n], lots[PRICE, n], books.holdings[NOTIONAL, n]
        lots[FILLABLE, n] = 0
        book(
            account, bar, n, -sold, price_e8, -notional, taker_fee(notional, terms.costs), lots[CAUSE, n],
            reason, lots[ORDER, n], TAKER, lot_size, books, recorder,
        )  # fmt: skip
        traded += notional
        net -= notional
        stands = reason != NO_REASON
        after_fill(account, bar, n, -sold, price_e8, reason, stands, ENTERED_AT_OPEN, styled, books, recorder)
    if then > 0:
        bought = fill_buys(account, bar, then, need, styled, market, terms, books, recorder)
        traded += bought
        net += bought
    return traded, net


@inlined_kernel
def meet_open(
    row: int, bar: int, styled: bool, market: Market, terms: Terms, books: Books
) -> tuple[int, int, float]:
    """Find out what the open of a bar does to each pending order: lots, price and reason go to scratch rows.

    It lists who sells or misses (row `FIRST`) and who buys (row `THEN`), without a branch on the side, which
    no processor can guess.

    Returns
    -------
    Length of the two lists, and the cash that all buys need.
    """
    costs, rules, lots = terms.costs, terms.rules, books.lots
    first = 0
    then = 0
    need = 0.0
    for n in range(market.mark.shape[1]):
        wanted = lots[PENDING, n]
        if styled:
            lots[USED, n] = 0
        if wanted == 0 or bar < lots[ARRIVES, n]:
            continue
        side = 1 if wanted > 0 else -1
        kind, force = lots[KIND, n], lots[FORCE, n]
        rests = styled and kind > MARKETABLE
        if rests and not executes_at_open(n, row, side, market, books):
            if kind == RESTING_LIMIT and (force == IOC or force == FOK):
                lots[FILLABLE, n], lots[PRICE, n] = 0, 0
                lots[CUT, n] = NOT_TRADED if np.isnan(market.fill[row, n]) else OUTSIDE_BOUND
                lots[FIRST, first] = n
                first += 1
            continue
        lot_size = market.lot_size[n]
        possible, reason = fillable_lots(abs(wanted), 0, row, n, market, rules)
        price_e8 = 0
        if possible == 0 or (force == FOK and possible < abs(wanted)):
            if rests and force != IOC and force != FOK:
                continue
            possible, reason = 0, FILL_OR_KILL if rests else reason
        else:
            quantity = possible * lot_size
            price_e8 = fill_price_e8(market.fill[row, n], side, quantity, market.volume[row, n], costs)
            price_e8 = bounded_price(price_e8, kind, side, books.holdings[LIMIT, n])
            if price_e8 < 0:
                possible, reason = 0, OUTSIDE_BOUND
        notional = notional_of(possible, lot_size, price_e8)
        books.holdings[NOTIONAL, n] = notional
        lots[FILLABLE, n], lots[PRICE, n], lots[CUT, n] = possible, price_e8, reason
        buys = side > 0 and possible > 0
        need += notional + taker_fee(notional, costs) if buys else 0.0
        lots[FIRST, first] = n
        lots[THEN, then] = n
        first += 0 if buys else 1
        then += 1 if buys else 0
    return first, then, need


@inlined_kernel
def fill_buys(
    account: int,
    bar: int,
    count: int,
    need: float,
    styled: bool,
    market: Market,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> float:
    """Fill the first `count` buys of row `THEN`; where cash is short, all are cut by the same share.

    Returns
    -------
    Sum of their notionals.
    """
    costs, lots = terms.costs, books.lots
    share = 1.0
    cash = spendable(terms.limits, books)
    if need > cash:
        # The margin keeps the rounding of the sum from taking cash below zero.
        share = max(0.0, cash / need * (1.0 - 1e-12))
    traded = 0.0
    for place in range(count):
        n = lots[THEN, place]
        possible, price_e8, reason = lots[FILLABLE, n], lots[PRICE, n], lots[CUT, n]
        lots[FILLABLE, n] = 0
        lot_size = market.lot_size[n]
        stands = reason != NO_REASON
        if share < 1.0:
            possible = int(math.floor(possible * share))
            reason = CUT_CASH
            # What cash could not buy is not tried again on every bar: a later decision sizes it anew. A way
            # out of a short is: it does not wait for one.
            stands = lots[LOTS, n] + possible < 0
            if lots[FORCE, n] == FOK:
                possible, reason = 0, FILL_OR_KILL
        if possible > 0:
            notional = books.holdings[NOTIONAL, n]
            if share < 1.0:
                notional = notional_of(possible, lot_size, price_e8)
            traded += notional
            book(
                account, bar, n, possible, price_e8, notional, taker_fee(notional, costs), lots[CAUSE, n],
                reason, lots[ORDER, n], TAKER, lot_size, books, recorder,
            )  # fmt: skip
            after_fill(
                account, bar, n, possible, price_e8, reason, stands, ENTERED_AT_OPEN, styled, books, recorder
            )
        else:
            settle_order(account, bar, n, lots[DONE, n], reason, stands, books, recorder)
    return traded


@inner_kernel
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
            settle_order(account, bar, n, books.lots[DONE, n], DELISTED_EXIT, NO, books, recorder)
        if books.lots[AGAIN, n] != 0:
            books.lots[AGAIN, n] = 0
            books.counts[BUSY] -= 1
        if books.lots[LOTS, n] == 0:
            continue
        price = market.mark[row, n] * (1.0 - market.haircut[n])
        price_e8 = int(math.floor(price * PRICE_UNITS + 0.5))
        books.counts[EXITS] += 1
        books.counts[REASONS + DELISTED_EXIT] += 1
        held, lot_size = books.lots[LOTS, n], market.lot_size[n]
        notional = notional_of(-held, lot_size, price_e8)
        book(
            account, bar, n, -held, price_e8, notional, 0.0, DELISTED_CAUSE, DELISTED_EXIT, -1, TAKER,
            lot_size, books, recorder,
        )  # fmt: skip
        traded -= notional
    return traded
