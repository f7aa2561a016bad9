"""What a closed bar decides: halts and tiers first, then plan, drift, signals and what stands."""

import numpy as np

from engine.compiled import inlined_kernel
from engine.core.account import (
    BUSY,
    DECIDED,
    EQUITY,
    HALT_UNTIL,
    HALTS,
    LOTS,
    PENDING,
    RECOVERY_UNTIL,
    SCALE,
    TARGET,
    TIER_PEAK,
    Books,
)
from engine.core.limits import tier_scale
from engine.core.market import Market
from engine.core.orders import HALT_CAUSE, emit_orders
from engine.core.records import Recorder
from engine.core.settings import Limits, Terms
from engine.core.sizing import TIER_CAUSE
from engine.core.targets import (
    REBASE_CAUSE,
    Plans,
    compose_targets,
    drift,
    mark_all_decided,
    mark_decided_again,
    mark_decided_by_signals,
    take_plan,
)
from engine.domain.panel import FloatArray, IntArray

NEVER = 2**62


@inlined_kernel
def mark_decided_by_drift(
    account: int,
    planned: bool,
    mark_row: FloatArray,
    cluster: IntArray,
    plans: Plans,
    terms: Terms,
    books: Books,
) -> bool:
    """Re-base where the plan or the drift asks for it; a target of 0 is always executed."""
    band = plans.drift_band[account]
    if band == np.inf:
        rebase = planned
    elif band == 0.0:
        rebase = True
    else:
        present = drift(mark_row, cluster, terms, books)
        compose_targets(plans.invest[account], books)
        rebase = present > band
    if rebase:
        mark_all_decided(REBASE_CAUSE, books)
        return True
    any_closed = False
    if planned:
        for n in range(mark_row.shape[0]):
            if books.holdings[TARGET, n] == 0.0 and books.lots[LOTS, n] != 0:
                books.lots[DECIDED, n] = REBASE_CAUSE
                any_closed = True
    return any_closed


@inlined_kernel
def mark_decided_in_halt(bar: int, limits: Limits, books: Books) -> bool:
    """Close everything when a halt begins, and go on closing what could not be filled."""
    begins = books.counts[HALT_UNTIL] == 0
    if begins:
        books.values[SCALE] = 0.0
        books.counts[HALTS] += 1
        books.counts[HALT_UNTIL] = bar + limits.halt_bars
    for n in range(books.lots.shape[1]):
        books.holdings[TARGET, n] = 0.0
        books.lots[DECIDED, n] = 0
    any_decided = mark_decided_again(books)
    for n in range(books.lots.shape[1]):
        if begins or books.lots[DECIDED, n] != 0:
            books.lots[DECIDED, n] = HALT_CAUSE
    return any_decided or begins


@inlined_kernel
def mark_decided_in_trade(
    account: int,
    bar: int,
    scale: float,
    planned: bool,
    changed: bool,
    reviewed: bool,
    mark_row: FloatArray,
    cluster: IntArray,
    plans: Plans,
    terms: Terms,
    books: Books,
) -> bool:
    """Mark what this bar decides: all after a review, else by plan, drift, signals, what stands, tiers."""
    values, counts, lots = books.values, books.counts, books.lots
    if reviewed:
        # The review after a halt: back in at a lower scale, the drawdown measured from here (RULINGS C6).
        counts[HALT_UNTIL] = 0
        values[TIER_PEAK] = values[EQUITY]
        counts[RECOVERY_UNTIL] = bar + terms.limits.recovery_bars
    if bar < counts[RECOVERY_UNTIL]:
        scale = min(scale, terms.limits.recovery_scale)
    lower = scale < values[SCALE]
    if lower:
        values[SCALE] = scale
    drifts = plans.drift_band[account] < np.inf
    if not (planned or changed or reviewed or lower or drifts) and counts[BUSY] == 0:
        return False
    compose_targets(plans.invest[account], books)
    by_drift = mark_decided_by_drift(account, planned, mark_row, cluster, plans, terms, books)
    if reviewed:
        # Whatever else falls on this bar, all of it comes back from the halt: no trade of the strategy (D2).
        mark_all_decided(HALT_CAUSE, books)
    if by_drift or reviewed or changed:
        # More exposure than before waits for a decision, less does not.
        values[SCALE] = scale
    again = mark_decided_again(books)
    if lower:
        for n in range(lots.shape[1]):
            # An entry that still waits was sized before the tier.
            if lots[DECIDED, n] == 0 and (lots[LOTS, n] != 0 or lots[PENDING, n] != 0):
                lots[DECIDED, n] = TIER_CAUSE
    return by_drift or reviewed or changed or again or lower


@inlined_kernel
def decide(
    account: int,
    row: int,
    bar: int,
    signal_row: FloatArray,
    styles: FloatArray,
    market: Market,
    plans: Plans,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> None:
    """Decide after a bar is closed, and leave orders for the next one.

    An account without equity is closed for good.
    """
    changed = mark_decided_by_signals(signal_row, plans.invest[account], books)
    planned = take_plan(account, bar, plans, books)
    halted = books.counts[HALT_UNTIL] > bar
    reviewed = books.counts[HALT_UNTIL] == bar and bar > 0
    scale = 1.0
    if books.values[EQUITY] <= 0.0:
        scale, reviewed = 0.0, False
        books.counts[HALT_UNTIL] = NEVER if books.counts[HALT_UNTIL] != 0 else 0
    elif not reviewed:
        scale = tier_scale(books.values[EQUITY], books.values[TIER_PEAK], terms.limits)
    if halted or scale == 0.0:
        any_decided = mark_decided_in_halt(bar, terms.limits, books)
    else:
        any_decided = mark_decided_in_trade(
            account,
            bar,
            scale,
            planned,
            changed,
            reviewed,
            market.mark[row],
            market.cluster,
            plans,
            terms,
            books,
        )
    if any_decided:
        emit_orders(account, row, bar, styles, market, terms, books, recorder)
