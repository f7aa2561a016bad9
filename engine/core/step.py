"""One bar, and many: fill, book, mark, decide.

`advance` is the primitive. It walks over quiet bars (nothing waits, no signal changes, no limit is near)
with a few comparisons each, and gives the rest to `full_bar`. Both do the same arithmetic in the same order,
so a run does not depend on where it was cut: many bars, or one at a time as in paper and live.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compiled import inlined_kernel
from engine.core.account import (
    BASE,
    BUSY,
    CASH,
    DAY_EQUITY,
    DAYS,
    DECIDED,
    EQUITY,
    HALT_UNTIL,
    HALTS,
    LOTS,
    MAX_DRAWDOWN,
    NEXT_PLAN,
    PEAK,
    RECOVERY_UNTIL,
    RETURN_SQUARES,
    RETURN_SUM,
    SCALE,
    SIGNAL,
    TARGET,
    TIER_PEAK,
    TURNOVER,
    UNITS,
    Accounts,
)
from engine.core.decide import (
    HALT_CAUSE,
    REBASE_CAUSE,
    TIER_CAUSE,
    compose_targets,
    drift,
    emit_orders,
    mark_all_decided,
    mark_decided_again,
    mark_decided_by_signals,
)
from engine.core.fills import book_exits, fill_orders
from engine.core.limits import next_tier_line, tier_scale
from engine.core.market import DAY_END, EXIT, Market
from engine.core.records import Recorder
from engine.core.settings import Costs, Limits, Rules
from engine.domain.panel import FloatArray, IntArray

NEVER = np.iinfo(np.int64).max


class Plans(NamedTuple):
    """Base weights of all accounts.

    Attributes
    ----------
    rows, weights
        Shapes (S,) and (S, N): all plans behind one another; rows count bars since the origin.
    start, stop
        Shape (P,): the rows of account p's plan.
    drift_band, invest
        Shape (P,): see `engine.domain.portfolio.Plan`; 0 is scaled, 1 is full.
    """

    rows: IntArray
    weights: FloatArray
    start: IntArray
    stop: IntArray
    drift_band: FloatArray
    invest: IntArray


@inlined_kernel
def equity_of(mark_row: FloatArray, values: FloatArray, holdings: FloatArray) -> float:
    """Return cash plus what is held at the mark, summed in instrument order."""
    equity: float = values[CASH]
    for n in range(mark_row.shape[0]):
        equity += holdings[UNITS, n] * mark_row[n]
    return equity


@inlined_kernel
def book_equity(equity: float, values: FloatArray) -> None:
    """Update peaks and the largest drawdown with the equity after a bar."""
    if equity > values[PEAK]:
        values[PEAK] = equity
    if equity > values[TIER_PEAK]:
        values[TIER_PEAK] = equity
    if equity < values[PEAK] * (1.0 - values[MAX_DRAWDOWN]):
        values[MAX_DRAWDOWN] = 1.0 - equity / values[PEAK]


@inlined_kernel
def book_day(equity: float, values: FloatArray, counts: IntArray) -> None:
    """Update the sums of daily returns at the end of a day."""
    change = equity / values[DAY_EQUITY] - 1.0
    values[DAY_EQUITY] = equity
    values[RETURN_SUM] += change
    values[RETURN_SQUARES] += change * change
    counts[DAYS] += 1


@inlined_kernel
def record_bar(
    account: int, bar: int, equity: float, turnover: float, values: FloatArray, recorder: Recorder
) -> None:
    """Write the curves of one bar, if they are recorded."""
    if recorder.equity.shape[0] > 0:
        place = bar - recorder.first_row
        recorder.equity[account, place] = equity
        # Positions are long only, so what is not cash is their value.
        recorder.gross[account, place] = (equity - values[CASH]) / equity
        recorder.turnover[account, place] = turnover


@inlined_kernel
def take_plan(bar: int, account: int, plans: Plans, counts: IntArray, holdings: FloatArray) -> bool:
    """Put the base weights of this bar in force, if the plan has a row for it."""
    place = plans.start[account] + counts[NEXT_PLAN]
    if place >= plans.stop[account] or plans.rows[place] != bar:
        return False
    counts[NEXT_PLAN] += 1
    for n in range(holdings.shape[1]):
        holdings[BASE, n] = plans.weights[place, n]
    return True


@inlined_kernel
def mark_decided_by_drift(
    planned: bool,
    invest: int,
    band: float,
    mark_row: FloatArray,
    cluster: IntArray,
    rules: Rules,
    limits: Limits,
    values: FloatArray,
    holdings: FloatArray,
    lots: IntArray,
) -> bool:
    """Re-base where the plan or the drift asks for it; a target of 0 is always executed."""
    if band == np.inf:
        rebase = planned
    elif band == 0.0:
        rebase = True
    else:
        present = drift(
            values[SCALE], limits, cluster, mark_row, values[EQUITY], rules.cash_buffer, holdings, lots
        )
        compose_targets(invest, holdings)
        rebase = present > band
    if rebase:
        mark_all_decided(REBASE_CAUSE, lots)
        return True
    any_closed = False
    if planned:
        for n in range(mark_row.shape[0]):
            if holdings[TARGET, n] == 0.0 and lots[LOTS, n] != 0:
                lots[DECIDED, n] = REBASE_CAUSE
                any_closed = True
    return any_closed


@inlined_kernel
def mark_decided_in_halt(bar: int, limits: Limits, values: FloatArray, counts: IntArray, holdings: FloatArray,
    lots: IntArray,
) -> bool:  # fmt: skip
    """Close everything when a halt begins, and go on closing what could not be filled."""
    values[SCALE] = 0.0
    begins = counts[HALT_UNTIL] == 0
    if begins:
        counts[HALTS] += 1
        counts[HALT_UNTIL] = bar + limits.halt_bars
    for n in range(lots.shape[1]):
        holdings[TARGET, n] = 0.0
        lots[DECIDED, n] = 0
    any_decided = mark_decided_again(counts, lots)
    for n in range(lots.shape[1]):
        if begins or lots[DECIDED, n] != 0:
            lots[DECIDED, n] = HALT_CAUSE
    return any_decided or begins


@inlined_kernel
def mark_decided_in_trade(
    bar: int,
    scale_now: float,
    planned: bool,
    changed: bool,
    reviewed: bool,
    invest: int,
    band: float,
    mark_row: FloatArray,
    cluster: IntArray,
    rules: Rules,
    limits: Limits,
    values: FloatArray,
    counts: IntArray,
    holdings: FloatArray,
    lots: IntArray,
) -> bool:
    """Mark what this bar decides: all after a review, else by plan, drift, signals, what stands, tiers."""
    if reviewed:
        # The review after a halt: back in at a lower scale, the drawdown measured from here (RULINGS C6).
        counts[HALT_UNTIL] = 0
        values[TIER_PEAK] = values[EQUITY]
        counts[RECOVERY_UNTIL] = bar + limits.recovery_bars
        mark_all_decided(HALT_CAUSE, lots)
    if bar < counts[RECOVERY_UNTIL]:
        scale_now = min(scale_now, limits.recovery_scale)
    compose_targets(invest, holdings)
    lower = scale_now < values[SCALE]
    if lower:
        values[SCALE] = scale_now
    by_drift = mark_decided_by_drift(
        planned, invest, band, mark_row, cluster, rules, limits, values, holdings, lots
    )
    if by_drift or reviewed or changed:
        # More exposure than before waits for a decision, less does not.
        values[SCALE] = scale_now
    again = mark_decided_again(counts, lots)
    if lower:
        for n in range(lots.shape[1]):
            if lots[DECIDED, n] == 0 and lots[LOTS, n] != 0:
                lots[DECIDED, n] = TIER_CAUSE
    return by_drift or reviewed or changed or again or lower


@inlined_kernel
def decide(
    account: int,
    row: int,
    bar: int,
    signal_row: FloatArray,
    market: Market,
    plans: Plans,
    rules: Rules,
    limits: Limits,
    values: FloatArray,
    counts: IntArray,
    holdings: FloatArray,
    lots: IntArray,
    recorder: Recorder,
) -> None:
    """Decide after a bar is closed, and leave orders for the next one."""
    mark_row = market.mark[row]
    invest = plans.invest[account]
    changed = mark_decided_by_signals(signal_row, invest, holdings, lots)
    planned = take_plan(bar, account, plans, counts, holdings)
    halted = counts[HALT_UNTIL] > bar
    reviewed = counts[HALT_UNTIL] == bar and bar > 0
    scale_now = 1.0
    if not reviewed:
        scale_now = tier_scale(values[EQUITY], values[TIER_PEAK], limits)
    if halted or scale_now == 0.0:
        any_decided = mark_decided_in_halt(bar, limits, values, counts, holdings, lots)
    else:
        any_decided = mark_decided_in_trade(
            bar,
            scale_now,
            planned,
            changed,
            reviewed,
            invest,
            plans.drift_band[account],
            mark_row,
            market.cluster,
            rules,
            limits,
            values,
            counts,
            holdings,
            lots,
        )
    if any_decided:
        emit_orders(account, row, bar, market, rules, limits, values, counts, holdings, lots, recorder)


@inlined_kernel
def full_bar(
    account: int,
    row: int,
    bar: int,
    signal_row: FloatArray,
    market: Market,
    plans: Plans,
    costs: Costs,
    rules: Rules,
    limits: Limits,
    values: FloatArray,
    counts: IntArray,
    holdings: FloatArray,
    lots: IntArray,
    recorder: Recorder,
) -> None:
    """Walk one bar in full: fill and book, book out, mark, decide (DESIGN 5)."""
    traded = 0.0
    net = 0.0
    if counts[BUSY] > 0:
        traded, net = fill_orders(
            account, row, bar, market, costs, rules, values, counts, holdings, lots, recorder
        )
    if market.flags[row] & EXIT:
        left = book_exits(account, row, bar, market, values, counts, holdings, lots, recorder)
        traded += left
        net -= left
    equity = equity_of(market.mark[row], values, holdings)
    values[EQUITY] = equity
    turnover = 0.0
    if traded > 0.0:
        turnover = (traded + abs(net)) / 2.0 / equity
        values[TURNOVER] += turnover
    book_equity(equity, values)
    if market.flags[row] & DAY_END:
        book_day(equity, values, counts)
    record_bar(account, bar, equity, turnover, values, recorder)
    decide(
        account, row, bar, signal_row, market, plans, rules, limits, values, counts, holdings, lots, recorder
    )


@inlined_kernel
def signals_change(signal_row: FloatArray, held: FloatArray) -> bool:
    """Say whether a bar's signals differ from those in force. A missing one does not."""
    for n in range(signal_row.shape[0]):  # noqa: SIM110  # generators do not compile
        if signal_row[n] != held[n] and not np.isnan(signal_row[n]):
            return True
    return False


@inlined_kernel
def scan_single(
    row: int,
    last: int,
    first: int,
    signals: FloatArray,
    has_signals: bool,
    held: float,
    mark: FloatArray,
    flags: npt.NDArray[np.uint8],
    cash: float,
    units: float,
    peak_line: float,
    low_line: float,
) -> int:
    """Return the first row from `row` on that is more than a mark between the lines, for one instrument."""
    if units == 0.0:
        while row < last:
            if has_signals and signals[row - first, 0] != held and not np.isnan(signals[row - first, 0]):
                return row
            if flags[row]:
                return row
            row += 1
        return row
    while row < last:
        if has_signals and signals[row - first, 0] != held and not np.isnan(signals[row - first, 0]):
            return row
        now = cash + units * mark[row, 0]
        if now > peak_line or now <= low_line or flags[row]:
            return row
        row += 1
    return row


@inlined_kernel
def skip_quiet(
    account: int,
    row: int,
    stop: int,
    bar: int,
    signals: FloatArray,
    has_signals: bool,
    market: Market,
    plans: Plans,
    limits: Limits,
    values: FloatArray,
    counts: IntArray,
    holdings: FloatArray,
    recorder: Recorder,
) -> int:
    """Walk over bars on which nothing happens but the mark; return the first row that is not one.

    `bar` is the number of bar `row`; `signals` has its first row at `row`.
    """
    first = row
    last = stop
    place = plans.start[account] + counts[NEXT_PLAN]
    if place < plans.stop[account]:
        last = min(last, row + (plans.rows[place] - bar))
    peak_line = min(values[PEAK], values[TIER_PEAK])
    tier_line = next_tier_line(values[SCALE], values[TIER_PEAK], limits)
    low_line = max(values[PEAK] * (1.0 - values[MAX_DRAWDOWN]), tier_line)
    held = holdings[SIGNAL]
    flags = market.flags
    curves = recorder.equity.shape[0] > 0
    fast = held.shape[0] == 1 and not curves
    while row < last:
        if fast:
            row = scan_single(
                row,
                last,
                first,
                signals,
                has_signals,
                held[0],
                market.mark,
                flags,
                values[CASH],
                holdings[UNITS, 0],
                peak_line,
                low_line,
            )
            if row == last:
                break
        if has_signals and signals_change(signals[row - first], held):
            break
        if flags[row] & EXIT:
            break
        now = equity_of(market.mark[row], values, holdings)
        if now > peak_line or now <= low_line:
            if now <= tier_line:
                break
            book_equity(now, values)
            peak_line = min(values[PEAK], values[TIER_PEAK])
            tier_line = next_tier_line(values[SCALE], values[TIER_PEAK], limits)
            low_line = max(values[PEAK] * (1.0 - values[MAX_DRAWDOWN]), tier_line)
        if flags[row] & DAY_END:
            book_day(now, values, counts)
        if curves:
            record_bar(account, bar + (row - first), now, 0.0, values, recorder)
        row += 1
    if row > first:
        values[EQUITY] = equity_of(market.mark[row - 1], values, holdings)
    return row


@inlined_kernel
def advance(
    account: int,
    row: int,
    stop: int,
    bar: int,
    signals: FloatArray,
    has_signals: bool,
    market: Market,
    plans: Plans,
    costs: Costs,
    rules: Rules,
    limits: Limits,
    accounts: Accounts,
    recorder: Recorder,
) -> None:
    """Walk one account over rows `row` up to, not including, `stop`.

    Parameters
    ----------
    row, stop
        Rows of `market`.
    bar
        Number of bar `row`, counted from the origin (the first bar fed); plans and timers count so.
    signals
        Shape (stop - row, N), in [-1, 1]; NaN: the signal before stands. Where `has_signals` is false, shape
        (1, N) with the signals that hold throughout.
    """
    values = accounts.values[account]
    counts = accounts.counts[account]
    holdings = accounts.holdings[account]
    lots = accounts.lots[account]
    first = row
    always_full = plans.drift_band[account] < np.inf
    while row < stop:
        offset = row - first
        if not always_full and counts[BUSY] == 0 and counts[HALT_UNTIL] == 0:
            row = skip_quiet(
                account,
                row,
                stop,
                bar + offset,
                signals[offset:],
                has_signals,
                market,
                plans,
                limits,
                values,
                counts,
                holdings,
                recorder,
            )
            if row == stop:
                break
            offset = row - first
        full_bar(
            account,
            row,
            bar + offset,
            signals[offset if has_signals else 0],
            market,
            plans,
            costs,
            rules,
            limits,
            values,
            counts,
            holdings,
            lots,
            recorder,
        )
        row += 1
