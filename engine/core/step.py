"""One bar, and many: fill, book, mark, decide.

`advance` is the primitive. It walks over quiet bars (nothing waits, no signal changes, no limit is near)
with a few comparisons each, and gives the rest to `full_bar`. Both do the same arithmetic in the same order,
so a run does not depend on where it was cut: many bars, or one at a time as in paper and live.
"""

import numpy as np
import numpy.typing as npt

from engine.compiled import inlined_kernel
from engine.core.account import (
    BUSY,
    CASH,
    EQUITY,
    HALT_UNTIL,
    MAX_DRAWDOWN,
    NEXT_PLAN,
    PEAK,
    SCALE,
    SIGNAL,
    TIER_PEAK,
    TURNOVER,
    UNITS,
    Accounts,
    Books,
)
from engine.core.accruals import accrue, accrues
from engine.core.decide import decide
from engine.core.fills import book_exits, fill_orders
from engine.core.limits import next_tier_line
from engine.core.market import DAY_END, EXIT, Market
from engine.core.marks import book_day, book_equity, equities_ahead, equity_of, gross_of, record_bar
from engine.core.records import Recorder
from engine.core.settings import Limits, Terms
from engine.core.targets import Plans
from engine.core.working import work_orders
from engine.domain.panel import FloatArray


@inlined_kernel
def full_bar(
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
    """Walk one bar in full: fill and book, book out, accrue, mark, decide (DESIGN 5)."""
    traded = 0.0
    net = 0.0
    if books.counts[BUSY] > 0:
        traded, net = fill_orders(account, row, bar, market, terms, books, recorder)
        if styles.shape[0] > 0:
            worked, signed = work_orders(account, row, bar, market, terms, books, recorder)
            traded += worked
            net += signed
    if market.flags[row] & EXIT:
        left = book_exits(account, row, bar, market, books, recorder)
        traded += left
        net -= left
    if accrues(market, terms):
        accrue(account, row, bar, market, terms, books, recorder)
    equity = equity_of(market.mark[row], books)
    books.values[EQUITY] = equity
    turnover = 0.0
    if traded > 0.0:
        turnover = (traded + abs(net)) / 2.0 / equity
        books.values[TURNOVER] += turnover
    book_equity(equity, books)
    if market.flags[row] & DAY_END:
        book_day(equity, books)
    gross = gross_of(equity, market.mark[row], terms.limits.short > 0.0, books)
    record_bar(account, bar, equity, gross, turnover, books, recorder)
    decide(account, row, bar, signal_row, styles, market, plans, terms, books, recorder)


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
    books: Books,
    recorder: Recorder,
) -> int:
    """Walk over bars on which nothing happens but the mark; return the first row that is not one.

    `bar` is the number of bar `row`; `signals` has its first row at `row`.
    """
    values, counts, holdings = books.values, books.counts, books.holdings
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
    known_from, known_until = row, row
    now, second, third, fourth = 0.0, 0.0, 0.0, 0.0
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
        if row >= known_until:
            known, now, second, third, fourth = equities_ahead(row, last, market.mark, books)
            known_from, known_until = row, row + known
        elif row == known_from + 1:
            now = second
        elif row == known_from + 2:
            now = third
        else:
            now = fourth
        if now > peak_line or now <= low_line:
            if now <= tier_line:
                break
            book_equity(now, books)
            peak_line = min(values[PEAK], values[TIER_PEAK])
            tier_line = next_tier_line(values[SCALE], values[TIER_PEAK], limits)
            low_line = max(values[PEAK] * (1.0 - values[MAX_DRAWDOWN]), tier_line)
        if flags[row] & DAY_END:
            book_day(now, books)
        if curves:
            gross = gross_of(now, market.mark[row], limits.short > 0.0, books)
            record_bar(account, bar + (row - first), now, gross, 0.0, books, recorder)
        row += 1
    if row > first:
        values[EQUITY] = equity_of(market.mark[row - 1], books)
    return row


@inlined_kernel
def advance(
    account: int,
    row: int,
    stop: int,
    bar: int,
    signals: FloatArray,
    has_signals: bool,
    styles: FloatArray,
    market: Market,
    plans: Plans,
    terms: Terms,
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
    styles
        Shape (STYLE_ROWS, rows of `market`, N): see `engine.core.styles`; shape (0, 1, N) where the strategy
        leaves its orders to the rules.
    """
    books = Books(
        values=accounts.values[account],
        counts=accounts.counts[account],
        holdings=accounts.holdings[account],
        lots=accounts.lots[account],
    )
    first = row
    ruinable = terms.limits.short > 0.0 or terms.limits.leverage > 1.0
    always_full = plans.drift_band[account] < np.inf or ruinable or accrues(market, terms)
    while row < stop:
        offset = row - first
        if not always_full and books.counts[BUSY] == 0 and books.counts[HALT_UNTIL] == 0:
            row = skip_quiet(
                account,
                row,
                stop,
                bar + offset,
                signals[offset:],
                has_signals,
                market,
                plans,
                terms.limits,
                books,
                recorder,
            )
            if row == stop:
                break
            offset = row - first
        signal_row = signals[offset if has_signals else 0]
        full_bar(account, row, bar + offset, signal_row, styles, market, plans, terms, books, recorder)
        row += 1
