"""One bar, and many: fill, book, mark, decide.

`advance` is the primitive. It walks over quiet bars (nothing waits, no signal changes, no limit is near)
with a few comparisons each, and gives the rest to `full_bar`. Both do the same arithmetic in the same order,
so a run does not depend on where it was cut: many bars, or one at a time as in paper and live.
"""

import numpy as np

from engine.compiled import inlined_kernel
from engine.core.account import (
    BUSY,
    CASH,
    DAY_EQUITY,
    DAYS,
    EQUITY,
    HALT_UNTIL,
    MAX_DRAWDOWN,
    NEXT_PLAN,
    PEAK,
    RETURN_SQUARES,
    RETURN_SUM,
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
from engine.core.market import DAY_END, EXIT, Market
from engine.core.marks import (
    book_day,
    book_equity,
    deepened,
    equities_ahead,
    equity_of,
    gross_of,
    quiet_lines,
    record_bar,
)
from engine.core.records import Recorder
from engine.core.settings import Limits, Terms
from engine.core.targets import Plans
from engine.core.together import fill_together, goes_together
from engine.core.working import work_orders
from engine.domain.panel import FloatArray


@inlined_kernel
def full_bar(
    account: int,
    row: int,
    bar: int,
    known: float,
    signal_row: FloatArray,
    styles: FloatArray,
    market: Market,
    plans: Plans,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> None:
    """Walk one bar in full: fill and book, book out, accrue, mark, decide (DESIGN 5).

    `known` is what the equity after the bar is if nothing moves holdings or cash; NaN: not known.
    """
    traded = 0.0
    net = 0.0
    still = books.counts[BUSY] == 0
    if not still:
        styled = styles.shape[0] > 0
        filled = False
        if goes_together(styles, market, terms, recorder):
            filled, traded, net = fill_together(row, bar, market, terms, books)
        if not filled:
            traded, net = fill_orders(account, row, bar, styled, market, terms, books, recorder)
        if styled:
            worked, signed = work_orders(account, row, bar, market, terms, books, recorder)
            traded += worked
            net += signed
    if market.flags[row] & EXIT:
        still = False
        left = book_exits(account, row, bar, market, books, recorder)
        traded += left
        net -= left
    if accrues(market, terms):
        still = False
        accrue(account, row, bar, market, terms, books, recorder)
    equity = known
    if not still or known != known:
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
    changes = 0
    for n in range(signal_row.shape[0]):
        changes += 1 if signal_row[n] != held[n] and signal_row[n] == signal_row[n] else 0
    return changes > 0


# Bars looked at together; and bars looked at one by one after one that asked for it, because the next ones
# often do.
LEAP, NEAR = 32, 8


@inlined_kernel
def count_quiet(
    row: int,
    count: int,
    first: int,
    signals: FloatArray,
    has_signals: bool,
    market: Market,
    news: int,
    held: float,
    cash: float,
    units: float,
    peak_line: float,
    low_line: float,
) -> int:
    """Return how many of `count` bars from `row` on need no closer look: without a branch, all at once.

    `news`: flags that ask for one.
    """
    found = 0
    # One instrument: row by row is one after the other.
    told, marks, flags = signals.flat, market.mark.flat, market.flags.flat
    if has_signals:
        for ahead in range(count):
            signal = told[row - first + ahead]
            now = cash + units * marks[row + ahead]
            changes = (signal != held) & (signal == signal)
            asks = changes | (now > peak_line) | (now <= low_line) | (flags[row + ahead] & news != 0)
            found |= (1 if asks else 0) << ahead
    else:
        for ahead in range(count):
            now = cash + units * marks[row + ahead]
            asks = (now > peak_line) | (now <= low_line) | (flags[row + ahead] & news != 0)
            found |= (1 if asks else 0) << ahead
    if found == 0:
        return count
    # The exponent of the lowest bit is its place.
    return int(np.float64(found & -found).view(np.int64) >> 52) - 1023


@inlined_kernel
def skip_quiet_of_one(
    row: int,
    last: int,
    signals: FloatArray,
    has_signals: bool,
    market: Market,
    limits: Limits,
    books: Books,
) -> int:
    """Do what `skip_quiet` does for one instrument without curves, all of it in registers."""
    values = books.values
    first = row
    cash, units, held = values[CASH], books.holdings[UNITS, 0], books.holdings[SIGNAL, 0]
    peak, tier_peak, deepest = values[PEAK], values[TIER_PEAK], values[MAX_DRAWDOWN]
    day_equity, returns, squares, days = values[DAY_EQUITY], values[RETURN_SUM], values[RETURN_SQUARES], 0
    scale = values[SCALE]
    peak_line, tier_line, low_line = quiet_lines(peak, tier_peak, deepest, scale, limits)
    hinted = market.next_flag.shape[0] > 0
    news = EXIT if hinted else EXIT | DAY_END
    # The first bar of cash is looked at closely; those after it have the same equity.
    unheard = row if units != 0.0 else row + 1
    while row < last:
        if row >= unheard:
            count = min(LEAP, last - row)
            quiet = count_quiet(
                row, count, first, signals, has_signals, market, news, held, cash, units, peak_line, low_line
            )
            day = market.next_flag[row] if hinted else last
            while day < row + quiet:
                now = cash + units * market.mark[day, 0]
                change = now / day_equity - 1.0
                day_equity = now
                returns += change
                squares += change * change
                days += 1
                day = market.next_flag[day + 1] if day + 1 < market.next_flag.shape[0] else last
            row += quiet
            if quiet == count:
                continue
            unheard = row + NEAR
        signal = signals[row - first, 0] if has_signals else held
        if signal != held and signal == signal:
            break
        flags = market.flags[row]
        now = cash + units * market.mark[row, 0]
        if now > peak_line or now <= low_line or flags != 0:
            if now <= tier_line or flags & EXIT:
                break
            peak, tier_peak, deepest = deepened(now, peak, tier_peak, deepest)
            peak_line, tier_line, low_line = quiet_lines(peak, tier_peak, deepest, scale, limits)
            if flags & DAY_END:
                change = now / day_equity - 1.0
                day_equity = now
                returns += change
                squares += change * change
                days += 1
        if units == 0.0:
            peak_line, low_line = np.inf, -np.inf
        row += 1
    if row > first:
        values[EQUITY] = cash + units * market.mark[row - 1, 0]
        values[PEAK], values[TIER_PEAK], values[MAX_DRAWDOWN] = peak, tier_peak, deepest
        values[DAY_EQUITY], values[RETURN_SUM], values[RETURN_SQUARES] = day_equity, returns, squares
        books.counts[DAYS] += days
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
) -> tuple[int, float]:
    """Walk over bars on which nothing happens but the mark.

    Returns the first row that is not one, and its equity as `full_bar` takes it.

    `bar` is the number of bar `row`; `signals` has its first row at `row`.
    """
    values, counts, holdings = books.values, books.counts, books.holdings
    first = row
    last = stop
    place = plans.start[account] + counts[NEXT_PLAN]
    if place < plans.stop[account]:
        last = min(last, row + (plans.rows[place] - bar))
    curves = recorder.equity.shape[0] > 0
    if holdings.shape[1] == 1 and not curves:
        return skip_quiet_of_one(row, last, signals, has_signals, market, limits, books), np.nan
    peak_line, tier_line, low_line = quiet_lines(
        values[PEAK], values[TIER_PEAK], values[MAX_DRAWDOWN], values[SCALE], limits
    )
    held = holdings[SIGNAL]
    known_from, known_until = row, row
    ahead = (0.0, 0.0, 0.0, 0.0)
    while row < last:
        if has_signals and signals_change(signals[row - first], held):
            break
        if market.flags[row] & EXIT:
            break
        if row >= known_until:
            known, ahead = equities_ahead(row, market.mark, books)
            known_from, known_until = row, row + known
        now = ahead[row - known_from]
        if now > peak_line or now <= low_line:
            if now <= tier_line:
                break
            book_equity(now, books)
            peak_line, tier_line, low_line = quiet_lines(
                values[PEAK], values[TIER_PEAK], values[MAX_DRAWDOWN], values[SCALE], limits
            )
        if market.flags[row] & DAY_END:
            book_day(now, books)
        values[EQUITY] = now
        if curves:
            gross = gross_of(now, market.mark[row], limits.short > 0.0, books)
            record_bar(account, bar + (row - first), now, gross, 0.0, books, recorder)
        row += 1
    return row, ahead[row - known_from] if row < known_until else np.nan


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
        known = np.nan
        if not always_full and books.counts[BUSY] == 0 and books.counts[HALT_UNTIL] == 0:
            row, known = skip_quiet(
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
        full_bar(account, row, bar + offset, known, signal_row, styles, market, plans, terms, books, recorder)
        row += 1
