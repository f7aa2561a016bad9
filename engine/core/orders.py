"""From decided targets to orders that wait for the next bar."""

from engine.compiled import NO, constant, inlined_kernel, inner_kernel
from engine.core.account import (
    AGAIN,
    ARRIVES,
    BOUND,
    BUSY,
    CAUSE,
    CUT,
    DECIDED,
    DONE,
    EQUITY,
    EXPIRES,
    FORCE,
    KIND,
    LIMIT,
    LOTS,
    NEXT_STOP,
    NEXT_TAKE,
    NEXT_TRAIL,
    ORDER,
    PENDING,
    REASONS,
    SCALE,
    SIZED,
    TARGET,
    TRIGGER,
    TRIGGERED,
    Books,
)
from engine.core.fills import settle_order
from engine.core.limits import apply_limits
from engine.core.market import Market
from engine.core.records import NO_TARGET, Recorder, open_order, record_decision
from engine.core.settings import Rules, Terms
from engine.core.sizing import (
    TIER_CAUSE,
    limit_price,
    lots_for_weight,
    reduces,
    rest_price,
    wanted_lots,
)
from engine.core.styles import (
    LAST_ENTRY_KIND,
    LAST_FORCE,
    STYLE_FORCE,
    STYLE_GOOD_FOR,
    STYLE_KIND,
    STYLE_LIMIT,
    STYLE_STOP,
    STYLE_TAKE,
    STYLE_TRAIL,
    STYLE_TRIGGER,
)
from engine.core.together import emit_together, goes_together, plain_order
from engine.domain.orders import OrderKind, TimeInForce
from engine.domain.panel import FloatArray
from engine.domain.reasons import Cause, Reason

BELOW_MINIMUM = constant(Reason.BELOW_MINIMUM)
NO_REASON = constant(Reason.NONE)
HALT_DRAWDOWN = constant(Reason.HALT_DRAWDOWN)
REPLACED = constant(Reason.REPLACED)
NO_PRICE = constant(Reason.NO_PRICE)
AT_TARGET = constant(Reason.AT_TARGET)
IN_FLIGHT = constant(Reason.IN_FLIGHT)
RUINED = constant(Reason.RUINED)
HALT_CAUSE = constant(Cause.HALT)
MARKETABLE = constant(OrderKind.MARKETABLE_LIMIT)
RESTING_LIMIT = constant(OrderKind.LIMIT)
RESTING_STOP = constant(OrderKind.STOP)
IOC = constant(TimeInForce.IOC)


@inlined_kernel
def cut_reason(n: int, cause: int, books: Books) -> int:
    """Return why a decided target is not what the strategy asked for."""
    if cause == HALT_CAUSE and books.values[SCALE] == 0.0:
        return HALT_DRAWDOWN if books.values[EQUITY] > 0.0 else RUINED
    reason: int = books.lots[CUT, n]
    return reason


@inlined_kernel
def size_orders(mark_row: FloatArray, market: Market, rules: Rules, books: Books) -> None:
    """Size every target in lots, with the bound of the order that leads to it: rows `SIZED` and `BOUND`.

    Passes of their own, without a branch, so that the processor sizes several instruments at once.
    """
    equity = books.values[EQUITY]
    holdings, lots = books.holdings, books.lots
    for n in range(mark_row.shape[0]):
        price = mark_row[n] if mark_row[n] > 0.0 else 1.0
        lots[SIZED, n] = lots_for_weight(
            holdings[TARGET, n], equity, rules.cash_buffer, price, market.lot_size[n]
        )  # fmt: skip
    for n in range(mark_row.shape[0]):
        side = 1.0 if lots[SIZED, n] > lots[LOTS, n] else -1.0
        holdings[BOUND, n] = limit_price(mark_row[n], side, rules.order_bound_bps, market.tick_size[n])


@inlined_kernel
def known(price: float) -> float:
    """Return a price, 0 for one that is not known or makes no sense."""
    return max(0.0, price)


@inner_kernel
def styled_order(n: int, row: int, side: int, styles: FloatArray, market: Market, books: Books) -> int:
    """Write an entry of the strategy's own style into the books; return why it cannot be sent."""
    lots, holdings = books.lots, books.holdings
    limit, trigger = styles[STYLE_LIMIT, row, n], styles[STYLE_TRIGGER, row, n]
    kind = styles[STYLE_KIND, row, n]
    force, good_for = styles[STYLE_FORCE, row, n], styles[STYLE_GOOD_FOR, row, n]
    if not (0.0 <= kind <= LAST_ENTRY_KIND and 0.0 <= force <= LAST_FORCE and good_for >= 0.0):
        return NO_PRICE
    holdings[NEXT_STOP, n] = known(styles[STYLE_STOP, row, n])
    holdings[NEXT_TAKE, n] = known(styles[STYLE_TAKE, row, n])
    holdings[NEXT_TRAIL, n] = known(styles[STYLE_TRAIL, row, n])
    if kind <= MARKETABLE:
        lots[KIND, n] = int(kind)
        return NO_REASON
    if (kind != RESTING_STOP and not limit > 0.0) or (kind != RESTING_LIMIT and not trigger > 0.0):
        return NO_PRICE
    lots[KIND, n] = int(kind)
    lots[FORCE, n] = int(force)
    lots[EXPIRES, n] = lots[ARRIVES, n] + int(good_for) - 1 if good_for > 0.0 else -1
    holdings[LIMIT, n] = rest_price(limit, side, market.tick_size[n]) if kind != RESTING_STOP else 0.0
    holdings[TRIGGER, n] = trigger if kind != RESTING_LIMIT else 0.0
    lots[TRIGGERED, n] = 0
    return NO_REASON


@inlined_kernel
def emit_orders(
    account: int,
    row: int,
    bar: int,
    styles: FloatArray,
    market: Market,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> None:
    """Size the decided targets into orders that wait for the next bar.

    Reads rows `TARGET` and `DECIDED`; a tier may only reduce, a halt closes. What reduces a position is sent
    as a plain order whatever the style: a way out does not wait for a price.
    """
    rules, mark_row = terms.rules, market.mark[row]
    apply_limits(
        books.values[SCALE], terms.limits, rules.lot_size, market.cluster, mark_row, books.values[EQUITY],
        books.holdings, books.lots,
    )  # fmt: skip
    size_orders(mark_row, market, rules, books)
    together = goes_together(styles, market, terms, recorder)
    if not together or not emit_together(mark_row, bar, market, rules, books):
        emit_one_by_one(account, row, bar, styles, market, rules, books, recorder)


@inlined_kernel
def emit_one_by_one(
    account: int,
    row: int,
    bar: int,
    styles: FloatArray,
    market: Market,
    rules: Rules,
    books: Books,
    recorder: Recorder,
) -> None:
    """Turn decided and sized targets into orders, with everything that can come between."""
    mark_row, lots = market.mark[row], books.lots
    for n in range(mark_row.shape[0]):
        cause = lots[DECIDED, n]
        if cause == 0:
            continue
        wanted = wanted_lots(n, lots)
        lots[DECIDED, n] = 0
        price = mark_row[n]
        if price <= 0.0:
            record_decision(account, bar, n, NO_TARGET, NO_PRICE, cause, recorder)
            continue
        weight = books.holdings[TARGET, n]
        reason = cut_reason(n, cause, books)
        target = lots[SIZED, n]
        held = lots[LOTS, n]
        if lots[PENDING, n] != 0:
            if bar < lots[ARRIVES, n]:
                record_decision(account, bar, n, target, IN_FLIGHT, cause, recorder)
                stand_again(n, cause, books)
                continue
            settle_order(account, bar, n, lots[DONE, n], REPLACED, NO, books, recorder)
        if recorder.decided.shape[0] > 0 and (cause != TIER_CAUSE or wanted != 0):
            recorder.decided[account, bar - recorder.first_row, n] = weight
        if wanted == 0:
            if cause != TIER_CAUSE:
                record_decision(account, bar, n, target, AT_TARGET, cause, recorder)
            continue
        if target != 0 and abs(wanted) * market.lot_size[n] * price < market.minimum_notional[n]:
            books.counts[REASONS + BELOW_MINIMUM] += 1
            record_decision(account, bar, n, target, BELOW_MINIMUM, cause, recorder)
            continue
        plain_order(n, bar, rules, books)
        if styles.shape[0] > 0:
            books.holdings[NEXT_STOP, n] = 0.0
            books.holdings[NEXT_TAKE, n] = 0.0
            books.holdings[NEXT_TRAIL, n] = 0.0
            books.holdings[TRIGGER, n] = 0.0
            lots[DONE, n] = 0
            if not reduces(wanted, held):
                refused = styled_order(n, row, 1 if wanted > 0 else -1, styles, market, books)
                if refused != NO_REASON:
                    books.counts[REASONS + refused] += 1
                    record_decision(account, bar, n, target, refused, cause, recorder)
                    continue
        lots[PENDING, n] = wanted
        lots[CAUSE, n] = cause
        books.counts[BUSY] += 1
        if reason != NO_REASON:
            books.counts[REASONS + reason] += 1
        record_decision(account, bar, n, target, reason, cause, recorder)
        lots[ORDER, n] = open_order(
            account, bar, n, wanted, books.holdings[LIMIT, n], books.holdings[TRIGGER, n], lots[KIND, n],
            lots[FORCE, n], lots[EXPIRES, n], cause, reason, -1, books.counts, recorder,
        )  # fmt: skip


@inlined_kernel
def stand_again(n: int, cause: int, books: Books) -> None:
    """Let a target be decided again on the next bar."""
    if books.lots[AGAIN, n] == 0:
        books.counts[BUSY] += 1
    books.lots[AGAIN, n] = cause
