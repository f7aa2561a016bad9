"""From decided targets to orders that wait for the next bar."""

import numpy as np

from engine.compiled import inlined_kernel
from engine.core.account import (
    BUSY,
    CAUSE,
    CUT,
    DECIDED,
    EQUITY,
    LIMIT,
    LOTS,
    ORDER,
    ORDERS,
    PENDING,
    REASONS,
    SCALE,
    TARGET,
    Books,
)
from engine.core.costs import PRICE_UNITS
from engine.core.limits import apply_limits
from engine.core.market import Market
from engine.core.records import Recorder
from engine.core.settings import Terms
from engine.core.sizing import limit_price, lots_for_weight
from engine.domain.panel import IntArray
from engine.domain.reasons import Cause, Reason

BELOW_MINIMUM = int(Reason.BELOW_MINIMUM)
NO_REASON = int(Reason.NONE)
HALT_DRAWDOWN = int(Reason.HALT_DRAWDOWN)
TIER_CAUSE = int(Cause.TIER)
HALT_CAUSE = int(Cause.HALT)


@inlined_kernel
def emit_orders(
    account: int,
    row: int,
    bar: int,
    market: Market,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> None:
    """Size the decided targets into orders that wait for the next bar.

    Reads rows `TARGET` and `DECIDED`; a tier may only reduce, a halt closes.
    """
    rules = terms.rules
    equity = books.values[EQUITY]
    mark_row = market.mark[row]
    apply_limits(
        books.values[SCALE], terms.limits, market.cluster, mark_row, equity, books.holdings, books.lots
    )
    for n in range(mark_row.shape[0]):
        cause = books.lots[DECIDED, n]
        if cause == 0:
            continue
        books.lots[DECIDED, n] = 0
        price = mark_row[n]
        if price <= 0.0:
            continue
        weight = books.holdings[TARGET, n]
        reason = books.lots[CUT, n]
        if cause == HALT_CAUSE and books.values[SCALE] == 0.0:
            reason = HALT_DRAWDOWN
        target = lots_for_weight(weight, equity, rules.cash_buffer, price, market.lot_size[n])
        wanted = target - books.lots[LOTS, n]
        if cause == TIER_CAUSE:
            wanted = min(wanted, 0)
        if recorder.decided.shape[0] > 0 and (cause != TIER_CAUSE or wanted < 0):
            recorder.decided[account, bar - recorder.first_row, n] = weight
        if wanted == 0:
            continue
        if target != 0 and abs(wanted) * market.lot_size[n] * price < market.minimum_notional[n]:
            books.counts[REASONS + BELOW_MINIMUM] += 1
            continue
        side = 1 if wanted > 0 else -1
        books.holdings[LIMIT, n] = limit_price(price, side, rules.order_bound_bps, market.tick_size[n])
        books.lots[PENDING, n] = wanted
        books.lots[CAUSE, n] = cause
        books.counts[BUSY] += 1
        if reason != NO_REASON:
            books.counts[REASONS + reason] += 1
        books.lots[ORDER, n] = record_order(
            account, bar, n, wanted, books.holdings[LIMIT, n], cause, reason, books.counts, recorder
        )


@inlined_kernel
def record_order(
    account: int,
    bar: int,
    n: int,
    wanted: int,
    limit: float,
    cause: int,
    reason: int,
    counts: IntArray,
    recorder: Recorder,
) -> int:
    """Write an order down; return its place, or -1 where orders are not recorded."""
    place: int = recorder.order_start[account] + counts[ORDERS]
    counts[ORDERS] += 1
    if place >= recorder.order_start[account + 1]:
        return -1
    recorder.orders[place, 0] = bar
    recorder.orders[place, 1] = n
    recorder.orders[place, 2] = wanted
    recorder.orders[place, 3] = int(np.floor(limit * PRICE_UNITS + 0.5))
    recorder.orders[place, 4] = cause
    recorder.orders[place, 5] = reason
    recorder.orders[place, 6] = 0
    recorder.orders[place, 7] = NO_REASON
    return place
