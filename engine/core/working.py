"""What happens to orders inside a bar, after its open: resting entries first, then protective orders.

A bar tells its open, high, low and close, and not in which order high and low came. Where that decides, the
worse outcome is taken and the bar is counted as ambiguous: a stop comes before a target, and a position that
was entered inside the bar is stopped by it but never takes its profit in it (VENUES 1.4).
"""

import math

import numpy as np

from engine.compiled import NO, YES, constant, inlined_kernel, inner_kernel
from engine.core.account import (
    AGAIN,
    ARMED,
    ARRIVES,
    BUSY,
    CAUSE,
    DONE,
    ENTERED,
    EXPIRES,
    EXTREME,
    FORCE,
    KIND,
    LIMIT,
    LOTS,
    ORDER,
    PENDING,
    REASONS,
    STOP,
    STOP_ORDER,
    STOPPED,
    TAKE,
    TAKE_ORDER,
    TAKEN,
    TRAIL,
    TRAIL_ORDER,
    TRIGGER,
    TRIGGERED,
    USED,
    Books,
)
from engine.core.costs import PRICE_UNITS, fill_price_e8, maker_fee, taker_fee
from engine.core.fills import (
    CUT_CASH,
    ENTERED_INSIDE,
    FILL_OR_KILL,
    FOK,
    IOC,
    MARKETABLE,
    NO_REASON,
    POSITION_CLOSED,
    RESTING_LIMIT,
    RESTING_STOP,
    TAKER,
    after_fill,
    book,
    bounded_price,
    fillable_lots,
    notional_of,
    settle_order,
    spendable,
)
from engine.core.market import DAY_END, Market
from engine.core.protection import REPLACED, STOP_CAUSE, TAKE_CAUSE, TRAIL_CAUSE, disarm
from engine.core.records import Recorder, close_order
from engine.core.settings import Terms
from engine.domain.orders import Liquidity, TimeInForce
from engine.domain.reasons import Reason

MAKER = constant(Liquidity.MAKER)
DAY = constant(TimeInForce.DAY)
EXPIRED = constant(Reason.EXPIRED)
AMBIGUOUS_BAR = constant(Reason.AMBIGUOUS_BAR)
ONE_CANCELS_OTHER = constant(Reason.ONE_CANCELS_OTHER)

NO_FILL, AT_LIMIT, AT_LIMIT_AS_TAKER, AT_TRIGGER = 0, 1, 2, 3


@inlined_kernel
def to_e8(price: float) -> int:
    """Return a price in 1e-8 quote units."""
    return int(math.floor(price * PRICE_UNITS + 0.5))


@inlined_kernel
def trades_through(n: int, row: int, side: int, limit: float, market: Market) -> bool:
    """Say whether a bar goes beyond a resting limit by a tick at least; a touch is no fill."""
    tick = market.tick_size[n]
    through: bool = market.low[row, n] <= limit - tick if side > 0 else market.high[row, n] >= limit + tick
    return through


@inlined_kernel
def inside_bar(n: int, row: int, side: int, market: Market, books: Books) -> int:
    """Say how a resting order trades inside a bar that its open did not fill."""
    lots, limit, trigger = books.lots, books.holdings[LIMIT, n], books.holdings[TRIGGER, n]
    kind = lots[KIND, n]
    if kind == RESTING_LIMIT or (kind > RESTING_STOP and lots[TRIGGERED, n] != 0):
        return AT_LIMIT if trades_through(n, row, side, limit, market) else NO_FILL
    if lots[TRIGGERED, n] != 0:
        # The open took what it could of it; the market may be far from the trigger by now.
        return NO_FILL
    reached = market.high[row, n] >= trigger if side > 0 else market.low[row, n] <= trigger
    if not reached:
        return NO_FILL
    lots[TRIGGERED, n] = 1
    if kind == RESTING_STOP:
        return AT_TRIGGER
    # Only the close is known to come after the trigger.
    tick, close = market.tick_size[n], market.mark[row, n]
    beyond = close <= limit - tick if side > 0 else close >= limit + tick
    if not beyond:
        return NO_FILL
    return AT_LIMIT_AS_TAKER if side * trigger <= side * limit else AT_LIMIT


@inlined_kernel
def fill_inside(
    account: int, row: int, bar: int, n: int, market: Market, terms: Terms, books: Books, recorder: Recorder
) -> float:
    """Fill a resting entry inside a bar as far as volume and cash allow; return its signed notional."""
    lots, costs = books.lots, terms.costs
    wanted = lots[PENDING, n]
    side = 1 if wanted > 0 else -1
    how = inside_bar(n, row, side, market, books)
    if how == NO_FILL:
        return 0.0
    possible, reason = fillable_lots(abs(wanted), lots[USED, n], row, n, market, terms.rules)
    if possible == 0:
        return 0.0
    lot_size = market.lot_size[n]
    price_e8 = to_e8(books.holdings[LIMIT, n])
    if how == AT_TRIGGER:
        reference = books.holdings[TRIGGER, n]
        price_e8 = max(0, fill_price_e8(reference, side, possible * lot_size, market.volume[row, n], costs))
    maker = how == AT_LIMIT
    rate = (costs.maker_fee_bps if maker else costs.taker_fee_bps) / 1e4
    if side > 0:
        affordable = spendable(terms.limits, books) / (lot_size * (price_e8 / PRICE_UNITS) * (1.0 + rate))
        if possible > affordable:
            possible, reason = max(0, int(math.floor(affordable * (1.0 - 1e-12)))), CUT_CASH
    if lots[FORCE, n] == FOK and possible < abs(wanted):
        possible, reason = 0, FILL_OR_KILL
    if possible == 0:
        settle_order(account, bar, n, lots[DONE, n], reason, NO, books, recorder)
        return 0.0
    notional = notional_of(possible, lot_size, price_e8)
    fee = maker_fee(notional, costs) if maker else taker_fee(notional, costs)
    signed = side * notional
    book(
        account, bar, n, side * possible, price_e8, signed, fee, lots[CAUSE, n], reason, lots[ORDER, n],
        MAKER if maker else TAKER, lot_size, books, recorder,
    )  # fmt: skip
    after_fill(account, bar, n, side * possible, price_e8, reason, NO, ENTERED_INSIDE, YES, books, recorder)
    return signed


@inlined_kernel
def close_protected(
    account: int,
    row: int,
    bar: int,
    n: int,
    price: float,
    cause: int,
    at_open: bool,
    market: Market,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> float:
    """Close a position by one of its protective orders; return the signed notional.

    Whatever the bar's volume leaves of a stop is decided again as a plain exit, of a target it goes on.

    Parameters
    ----------
    at_open
        The open has passed it: what takes profit then takes liquidity as well.
    """
    lots, costs = books.lots, terms.costs
    held = lots[LOTS, n]
    side = -1 if held > 0 else 1
    taking = cause == TAKE_CAUSE
    number = lots[TAKE_ORDER, n]
    if cause == STOP_CAUSE:
        number = lots[STOP_ORDER, n]
    elif cause == TRAIL_CAUSE:
        number = lots[TRAIL_ORDER, n]
    possible, reason = fillable_lots(abs(held), lots[USED, n], row, n, market, terms.rules)
    signed = 0.0
    if possible > 0:
        lot_size = market.lot_size[n]
        price_e8 = to_e8(price)
        maker = taking and not at_open
        if not maker:
            price_e8 = max(0, fill_price_e8(price, side, possible * lot_size, market.volume[row, n], costs))
            if taking:
                price_e8 = bounded_price(price_e8, RESTING_LIMIT, side, books.holdings[TAKE, n])
        notional = notional_of(possible, lot_size, price_e8)
        fee = maker_fee(notional, costs) if maker else taker_fee(notional, costs)
        filled = side * possible
        lots[USED, n] += possible
        if taking:
            lots[TAKEN, n] += filled
        if possible == abs(held):
            # Over before the booking finds the position closed: the others are cancelled by this fill.
            done = lots[TAKEN, n] if taking else filled
            close_order(account, bar, number, done, NO_REASON, books.counts, recorder)
            lots[STOP_ORDER + (cause - STOP_CAUSE), n] = -1
            disarm(account, bar, n, ONE_CANCELS_OTHER, books, recorder)
        signed = side * notional
        book(
            account, bar, n, filled, price_e8, signed, fee, cause, reason, number,
            MAKER if maker else TAKER, lot_size, books, recorder,
        )  # fmt: skip
    if taking and lots[LOTS, n] != 0:
        if signed != 0.0 and lots[PENDING, n] != 0 and (lots[PENDING, n] > 0) == (side > 0):
            # An exit that is under way was made for more than there is now: it would sell what is not held.
            settle_order(account, bar, n, lots[DONE, n], REPLACED, YES, books, recorder)
        return signed
    lots[STOPPED, n] = 2
    if lots[PENDING, n] != 0:
        settle_order(account, bar, n, lots[DONE, n], POSITION_CLOSED, NO, books, recorder)
    if lots[LOTS, n] != 0:
        close_order(account, bar, number, lots[LOTS, n] - held, reason, books.counts, recorder)
        lots[STOP_ORDER + (cause - STOP_CAUSE), n] = -1
        disarm(account, bar, n, ONE_CANCELS_OTHER, books, recorder)
        if lots[AGAIN, n] == 0:
            books.counts[BUSY] += 1
        lots[AGAIN, n] = cause
    return signed


@inlined_kernel
def protect(
    account: int, row: int, bar: int, n: int, market: Market, terms: Terms, books: Books, recorder: Recorder
) -> float:
    """Look whether a bar reaches the protective orders of a position; return the signed notional of the exit.

    A trailing stop follows the best price up to the bar before.
    """
    holdings, lots = books.holdings, books.lots
    side = 1 if lots[LOTS, n] > 0 else -1
    entered = lots[ENTERED, n]
    open_price, tick = market.fill[row, n], market.tick_size[n]
    adverse = market.low[row, n] if side > 0 else market.high[row, n]
    favourable = market.high[row, n] if side > 0 else market.low[row, n]
    level, cause = holdings[STOP, n], STOP_CAUSE
    if holdings[TRAIL, n] > 0.0:
        trailed = holdings[EXTREME, n] - side * holdings[TRAIL, n]
        if level == 0.0 or side * trailed > side * level:
            level, cause = trailed, TRAIL_CAUSE
    take = holdings[TAKE, n]
    stops = level > 0.0 and side * adverse <= side * level
    takes = take > 0.0 and side * favourable >= side * take + tick
    if stops or takes:
        gap_stop = stops and entered != 2 and side * open_price <= side * level
        gap_take = takes and entered == 0 and side * open_price >= side * take + tick
        if gap_take and not gap_stop:
            return close_protected(
                account, row, bar, n, open_price, TAKE_CAUSE, YES, market, terms, books, recorder
            )  # fmt: skip
        # A limit entry lies between the open and the stop: that the stop came after it is certain.
        unsure = takes or lots[KIND, n] != RESTING_LIMIT
        if not gap_stop and ((stops and takes) or (entered == 2 and unsure)):
            books.counts[REASONS + AMBIGUOUS_BAR] += 1
        if stops:
            price = open_price if gap_stop else level
            if entered == 2:
                # What is bought inside the bar is not sold in it for more than it cost, wherever the stop is.
                entry = holdings[TRIGGER, n] if lots[KIND, n] == RESTING_STOP else holdings[LIMIT, n]
                price = side * min(side * level, side * entry, side * favourable)
            return close_protected(
                account, row, bar, n, price, cause, gap_stop, market, terms, books, recorder
            )  # fmt: skip
        if entered != 2:
            return close_protected(
                account, row, bar, n, take, TAKE_CAUSE, NO, market, terms, books, recorder
            )  # fmt: skip
    best = market.mark[row, n] if entered == 2 else favourable
    if side * best > side * holdings[EXTREME, n]:
        holdings[EXTREME, n] = best
    return 0.0


@inlined_kernel
def expires(bar: int, n: int, flags: int, books: Books) -> bool:
    """Say whether a bar was the last one of a resting order."""
    lots = books.lots
    if bar < lots[ARRIVES, n]:
        return False
    force = lots[FORCE, n]
    if force == IOC or force == FOK:
        # A stop waits for its trigger; then it is immediate.
        triggered: bool = lots[KIND, n] == RESTING_LIMIT or lots[TRIGGERED, n] != 0
        return triggered
    if force == DAY and flags & DAY_END:
        return True
    over: bool = lots[EXPIRES, n] >= 0 and bar >= lots[EXPIRES, n]
    return over


@inner_kernel
def work_orders(
    account: int,
    row: int,
    bar: int,
    market: Market,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> tuple[float, float]:
    """Work resting and protective orders inside a bar, after `fill_orders` has done its open.

    Returns
    -------
    Sum of the absolute and of the signed notionals.
    """
    lots = books.lots
    traded = 0.0
    net = 0.0
    instruments = market.mark.shape[1]
    for n in range(instruments):
        if np.isnan(market.fill[row, n]):
            continue
        if lots[PENDING, n] != 0 and lots[KIND, n] > MARKETABLE and bar >= lots[ARRIVES, n]:
            signed = fill_inside(account, row, bar, n, market, terms, books, recorder)
            traded += abs(signed)
            net += signed
    # Only now: what an exit inside the bar brings may have come too late for an entry in it.
    for n in range(instruments):
        if lots[ARMED, n] != 0 and not np.isnan(market.fill[row, n]):
            signed = protect(account, row, bar, n, market, terms, books, recorder)
            traded += abs(signed)
            net += signed
    for n in range(instruments):
        lots[ENTERED, n] = 0
        if lots[PENDING, n] != 0 and expires(bar, n, market.flags[row], books):
            settle_order(account, bar, n, lots[DONE, n], EXPIRED, NO, books, recorder)
    return traded, net
