"""Turn base weights and signals into orders for the next bar."""

import numpy as np

from engine.compiled import inlined_kernel
from engine.core.account import (
    AGAIN,
    BASE,
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
    SAVED,
    SCALE,
    SIGNAL,
    TARGET,
    UNITS,
)
from engine.core.costs import PRICE_UNITS
from engine.core.limits import apply_limits
from engine.core.market import Market
from engine.core.records import Recorder
from engine.core.settings import Limits, Rules
from engine.core.sizing import limit_price, lots_for_weight
from engine.domain.panel import FloatArray, IntArray
from engine.domain.reasons import Cause, Reason

SCALED = 0
FULL = 1

BELOW_MINIMUM = int(Reason.BELOW_MINIMUM)
NO_REASON = int(Reason.NONE)
HALT_DRAWDOWN = int(Reason.HALT_DRAWDOWN)
TIER_CAUSE = int(Cause.TIER)
HALT_CAUSE = int(Cause.HALT)
REBASE_CAUSE = int(Cause.REBASE)
SIGNAL_CAUSE = int(Cause.SIGNAL)


@inlined_kernel
def compose_targets(invest: int, holdings: FloatArray) -> None:
    """Write base weight x signal to row `TARGET`; `FULL` renormalises to the gross of the base weights."""
    gross = 0.0
    signalled = 0.0
    for n in range(holdings.shape[1]):
        target = holdings[BASE, n] * holdings[SIGNAL, n]
        holdings[TARGET, n] = target
        gross += holdings[BASE, n]
        signalled += abs(target)
    if invest == FULL and signalled > 0.0:
        factor = gross / signalled
        for n in range(holdings.shape[1]):
            holdings[TARGET, n] *= factor


@inlined_kernel
def drift(
    scale: float,
    limits: Limits,
    cluster: IntArray,
    mark_row: FloatArray,
    equity: float,
    cash_buffer: float,
    holdings: FloatArray,
    lots: IntArray,
) -> float:
    """Return the one-way drift sum |w - target| / 2 of what is held from what the targets would hold.

    Targets are taken after limits and cash buffer, as sizing takes them: otherwise the drift would never
    close. Leaves limited targets in row `TARGET`; row `DECIDED` is as it was.
    """
    instruments = mark_row.shape[0]
    for n in range(instruments):
        lots[SAVED, n] = lots[DECIDED, n]
        lots[DECIDED, n] = REBASE_CAUSE
    apply_limits(scale, limits, cluster, mark_row, equity, holdings, lots)
    total = 0.0
    for n in range(instruments):
        lots[DECIDED, n] = lots[SAVED, n]
        target = holdings[TARGET, n] * (1.0 - cash_buffer)
        total += abs(holdings[UNITS, n] * mark_row[n] / equity - target)
    return total / 2.0


@inlined_kernel
def mark_decided_by_signals(
    signal_row: FloatArray, invest: int, holdings: FloatArray, lots: IntArray
) -> bool:
    """Take over the signals of the bar; mark the instruments whose target they change.

    A signal that is missing (NaN) leaves the one before. Under `FULL` any change moves the divisor, so every
    instrument is decided (RULINGS C1).
    """
    changed = False
    for n in range(signal_row.shape[0]):
        signal = signal_row[n]
        if np.isnan(signal):
            continue
        signal = min(1.0, max(-1.0, signal))
        if signal != holdings[SIGNAL, n]:
            holdings[SIGNAL, n] = signal
            lots[DECIDED, n] = SIGNAL_CAUSE
            changed = True
    if changed and invest == FULL:
        for n in range(signal_row.shape[0]):
            if lots[DECIDED, n] == 0:
                lots[DECIDED, n] = SIGNAL_CAUSE
    return changed


@inlined_kernel
def emit_orders(
    account: int,
    row: int,
    bar: int,
    market: Market,
    rules: Rules,
    limits: Limits,
    values: FloatArray,
    counts: IntArray,
    holdings: FloatArray,
    lots: IntArray,
    recorder: Recorder,
) -> None:
    """Size the decided targets into orders that wait for the next bar.

    Reads rows `TARGET` and `DECIDED`; a tier may only reduce, a halt closes.
    """
    equity = values[EQUITY]
    mark_row = market.mark[row]
    apply_limits(values[SCALE], limits, market.cluster, mark_row, equity, holdings, lots)
    for n in range(mark_row.shape[0]):
        cause = lots[DECIDED, n]
        if cause == 0:
            continue
        lots[DECIDED, n] = 0
        price = mark_row[n]
        if price <= 0.0:
            continue
        weight = holdings[TARGET, n]
        reason = lots[CUT, n]
        if cause == HALT_CAUSE and values[SCALE] == 0.0:
            reason = HALT_DRAWDOWN
        target = lots_for_weight(weight, equity, rules.cash_buffer, price, market.lot_size[n])
        wanted = target - lots[LOTS, n]
        if cause == TIER_CAUSE:
            wanted = min(wanted, 0)
        if recorder.decided.shape[0] > 0 and (cause != TIER_CAUSE or wanted < 0):
            recorder.decided[account, bar - recorder.first_row, n] = weight
        if wanted == 0:
            continue
        if target != 0 and abs(wanted) * market.lot_size[n] * price < market.minimum_notional[n]:
            counts[REASONS + BELOW_MINIMUM] += 1
            continue
        side = 1 if wanted > 0 else -1
        holdings[LIMIT, n] = limit_price(price, side, rules.order_bound_bps, market.tick_size[n])
        lots[PENDING, n] = wanted
        lots[CAUSE, n] = cause
        counts[BUSY] += 1
        if reason != NO_REASON:
            counts[REASONS + reason] += 1
        lots[ORDER, n] = record_order(
            account, bar, n, wanted, holdings[LIMIT, n], cause, reason, counts, recorder
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


@inlined_kernel
def mark_all_decided(cause: int, lots: IntArray) -> None:
    """Decide every instrument for this cause."""
    for n in range(lots.shape[1]):
        lots[DECIDED, n] = cause


@inlined_kernel
def mark_decided_again(counts: IntArray, lots: IntArray) -> bool:
    """Decide again what stands unfilled, for the cause that it was decided for first."""
    any_stands = False
    for n in range(lots.shape[1]):
        if lots[AGAIN, n] != 0:
            if lots[DECIDED, n] == 0:
                lots[DECIDED, n] = lots[AGAIN, n]
            lots[AGAIN, n] = 0
            counts[BUSY] -= 1
            any_stands = True
    return any_stands
