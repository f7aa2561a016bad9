"""Equity after a bar, and what is measured of it."""

from engine.compiled import inlined_kernel
from engine.core.account import (
    CASH,
    DAY_EQUITY,
    DAYS,
    MAX_DRAWDOWN,
    PEAK,
    RETURN_SQUARES,
    RETURN_SUM,
    TIER_PEAK,
    UNITS,
    Books,
)
from engine.core.limits import next_tier_line
from engine.core.records import Recorder
from engine.core.settings import Limits
from engine.domain.panel import FloatArray


@inlined_kernel
def equity_of(mark_row: FloatArray, books: Books) -> float:
    """Return cash plus what is held at the mark, summed in instrument order."""
    equity: float = books.values[CASH]
    for n in range(mark_row.shape[0]):
        equity += books.holdings[UNITS, n] * mark_row[n]
    return equity


@inlined_kernel
def equities_ahead(row: int, mark: FloatArray, books: Books) -> tuple[int, tuple[float, float, float, float]]:
    """Return how many rows are known, one or four, and `equity_of` those from `row` on, holdings unchanged.

    The sum of a row waits for its last addition. Four rows abreast do not wait for one another, and each is
    still summed in instrument order, so the bits are the same.
    """
    if row + 4 > mark.shape[0]:
        return 1, (equity_of(mark[row], books), 0.0, 0.0, 0.0)
    first = books.values[CASH]
    second, third, fourth = first, first, first
    for n in range(mark.shape[1]):
        units = books.holdings[UNITS, n]
        first += units * mark[row, n]
        second += units * mark[row + 1, n]
        third += units * mark[row + 2, n]
        fourth += units * mark[row + 3, n]
    return 4, (first, second, third, fourth)


@inlined_kernel
def deepened(equity: float, peak: float, tier_peak: float, deepest: float) -> tuple[float, float, float]:
    """Return peak, peak of the tiers and largest drawdown with the equity after a bar."""
    peak = max(peak, equity)
    if equity < peak * (1.0 - deepest):
        deepest = 1.0 - equity / peak
    return peak, max(tier_peak, equity), deepest


@inlined_kernel
def book_equity(equity: float, books: Books) -> None:
    """Update peaks and the largest drawdown with the equity after a bar."""
    values = books.values
    values[PEAK], values[TIER_PEAK], values[MAX_DRAWDOWN] = deepened(
        equity, values[PEAK], values[TIER_PEAK], values[MAX_DRAWDOWN]
    )


@inlined_kernel
def quiet_lines(
    peak: float, tier_peak: float, deepest: float, scale: float, limits: Limits
) -> tuple[float, float, float]:
    """Return the equities between which a bar changes nothing, and the one at which a tier begins.

    Above the first there is a new peak, at the second or below a tier begins, at the third or below either
    that or a new largest drawdown.
    """
    tier_line = next_tier_line(scale, tier_peak, limits)
    return min(peak, tier_peak), tier_line, max(peak * (1.0 - deepest), tier_line)


@inlined_kernel
def book_day(equity: float, books: Books) -> None:
    """Update the sums of daily returns at the end of a day."""
    values = books.values
    change = equity / values[DAY_EQUITY] - 1.0
    values[DAY_EQUITY] = equity
    values[RETURN_SUM] += change
    values[RETURN_SQUARES] += change * change
    books.counts[DAYS] += 1


@inlined_kernel
def gross_of(equity: float, mark_row: FloatArray, shorts: bool, books: Books) -> float:
    """Return the value of all positions, shorts counted as positive."""
    if not shorts:
        # What is not cash is the value of long positions.
        long: float = equity - books.values[CASH]
        return long
    gross: float = 0.0
    for n in range(mark_row.shape[0]):
        gross += abs(books.holdings[UNITS, n]) * mark_row[n]
    return gross


@inlined_kernel
def record_bar(
    account: int, bar: int, equity: float, gross: float, turnover: float, books: Books, recorder: Recorder
) -> None:
    """Write the curves of one bar, if they are recorded."""
    if recorder.equity.shape[0] > 0:
        place = bar - recorder.first_row
        recorder.equity[account, place] = equity
        recorder.cash[account, place] = books.values[CASH]
        recorder.gross[account, place] = gross / equity
        recorder.turnover[account, place] = turnover
