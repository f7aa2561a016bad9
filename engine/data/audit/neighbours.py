"""What is usual around a bar: medians and robust scales of its neighbourhood.

Neighbourhoods are three blocks of 17 bars: the block that holds the bar and those beside it. That is a
median over 51 bars at a hundredth of the cost of one that moves with every bar, and a single wild value
cannot move it.
"""

from dataclasses import dataclass, replace

import numpy as np

from engine.data.quality import Bars
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import Timeframe

BLOCK = 17
NEIGHBOURHOOD = 3 * BLOCK

_MEDIAN_TO_SIGMA = 1.4826
"""Standard deviation of a normal variable over the median of its absolute value."""

_NINTH_DECILE_TO_SIGMA = 1 / 1.6449
_NO_SCALE = 1e-9

_MUCH_OF_MEDIAN = 3.0


def local_quantiles(values: FloatArray, *shares: float) -> tuple[FloatArray, ...]:
    """Return quantiles of each value's neighbourhood, shape (T,) each.

    Parameters
    ----------
    values
        Shape (T,), finite.
    shares
        From 0 to 1; the value at that rank is taken, none is interpolated.
    """
    count = len(values)
    if count == 0:
        return tuple(np.empty(0) for _ in shares)
    blocks = -(-count // BLOCK)
    # The last block is filled up from what stands before it: a block of three values has no quantiles.
    filled = values[np.arange(blocks * BLOCK) % count] if count < BLOCK else values
    if len(filled) < blocks * BLOCK:
        missing = blocks * BLOCK - len(filled)
        filled = np.concatenate([filled, filled[-1 - np.arange(missing)]])
    table = filled.reshape(blocks, BLOCK)
    before = table[np.maximum(np.arange(blocks) - 1, 0)]
    after = table[np.minimum(np.arange(blocks) + 1, blocks - 1)]
    windows = np.concatenate([before, table, after], axis=1)
    ranks = [min(int(share * NEIGHBOURHOOD), NEIGHBOURHOOD - 1) for share in shares]
    windows.partition(sorted(set(ranks)), axis=1)
    return tuple(np.repeat(windows[:, rank], BLOCK)[:count] for rank in ranks)


def local_sigma(sizes: FloatArray) -> FloatArray:
    """Return the robust standard deviation of each neighbourhood, shape (T,).

    It is the greater one of two estimates, of the median and of the ninth decile: where many bars do not
    move at all, or where moves are wild, the median alone makes everything else look impossible.

    Parameters
    ----------
    sizes
        Shape (T,), absolute values.
    """
    median, decile = local_quantiles(sizes, 0.5, 0.9)
    return np.maximum(_greater_scale(median, decile), _smallest_sigma(sizes))


def sigma_without(sizes: FloatArray, at: IntArray, count: int) -> FloatArray:
    """Return `local_sigma` at some places as it would be without what is judged there, shape (K,).

    Two wild values of 51 move a ninth decile by a tenth.

    Parameters
    ----------
    sizes
        Shape (T,), absolute values.
    at
        Shape (K,).
    count
        Values from each place on that are left out.
    """
    first = np.clip((at // BLOCK - 1) * BLOCK, 0, max(len(sizes) - NEIGHBOURHOOD, 0))
    places = first[:, None] + np.arange(min(NEIGHBOURHOOD, len(sizes)))
    left_out = (places >= at[:, None]) & (places < at[:, None] + count)
    ordered = np.sort(np.where(left_out, np.inf, sizes[places]), axis=1)
    kept = (~left_out).sum(axis=1)
    each = np.arange(len(at))
    median, decile = (ordered[each, (share * kept).astype(np.int64)] for share in (0.5, 0.9))
    return np.maximum(_greater_scale(median, decile), _smallest_sigma(sizes))


def _greater_scale(median: FloatArray, decile: FloatArray) -> FloatArray:
    return np.maximum(_MEDIAN_TO_SIGMA * median, _NINTH_DECILE_TO_SIGMA * decile)


def _smallest_sigma(sizes: FloatArray) -> float:
    """Return what a price that stands still for a whole neighbourhood still moves by: a tick."""
    moved = sizes[sizes > 0]
    return 0.5 * _MEDIAN_TO_SIGMA * float(np.median(moved)) if len(moved) else _NO_SCALE


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """Logarithms of the prices of bars, and what is usual around each. All of shape (T,).

    Attributes
    ----------
    sigma
        Robust standard deviation of the close to close moves around the bar.
    elapsed
        Bars since the bar before that the calendar expected, this one counted: 1 without a gap, over a
        weekend of an exchange as well. The first one is 1.
    gap_sigma
        Robust standard deviation of the steps from a close to the next open around the bar; over a pause of
        n bars they are the root of n times as large. None without opens.
    busy
        What was traded, divided by the most that is still ordinary around the bar; 1 where nothing is. None
        where volume is not known.
    """

    close: FloatArray
    open: FloatArray | None
    high: FloatArray | None
    low: FloatArray | None
    moves: FloatArray
    sigma: FloatArray
    elapsed: FloatArray
    gap_sigma: FloatArray | None
    busy: FloatArray | None


def robust_sigma(close: FloatArray) -> FloatArray:
    """Return the unit that bad ticks are measured in, shape (T,): the `local_sigma` of close to close moves.

    Parameters
    ----------
    close
        Shape (T,), logarithms of prices, oldest first.
    """
    sizes = np.zeros(len(close))
    sizes[1:] = np.abs(np.diff(close))
    sizes[:1] = sizes[1:2] if len(sizes) > 1 else sizes[:1]
    return local_sigma(sizes)


def surroundings(bars: Bars, timeframe: Timeframe, expected: IntArray) -> Surroundings:
    """Return what checks on prices compare a bar with.

    Parameters
    ----------
    bars
        Ordered, prices positive and finite.
    expected
        Shape (E,), opens that the calendar expects, UTC nanoseconds, ascending.
    """
    close = np.log(bars.close)
    moves = np.zeros(len(close))
    moves[1:] = np.diff(close)
    open_ = None if bars.open is None else np.log(bars.open)
    elapsed = _elapsed(bars.stamps, timeframe, expected)
    return Surroundings(
        close=close,
        open=open_,
        high=None if bars.high is None else np.log(bars.high),
        low=None if bars.low is None else np.log(bars.low),
        moves=moves,
        sigma=robust_sigma(close),
        elapsed=elapsed,
        gap_sigma=None if open_ is None else _gap_sigma(open_, close, elapsed),
        busy=None if bars.volume is None else _busy(bars.volume),
    )


def _elapsed(stamps: IntArray, timeframe: Timeframe, expected: IntArray) -> FloatArray:
    elapsed = np.ones(len(stamps))
    if len(stamps) < 2:
        return elapsed
    by_clock = np.diff(stamps) / timeframe.nanoseconds
    due = np.diff(np.searchsorted(expected, stamps))
    # Before the first bar that the calendar knows there is only the clock.
    known = stamps[:-1] >= expected[0] if len(expected) else np.zeros(len(due), dtype=bool)
    elapsed[1:] = np.maximum(np.where(known, due, by_clock), 1.0)
    return elapsed


def _busy(volume: FloatArray) -> FloatArray:
    """Return `Surroundings.busy`: where volume is wild, three times its median is nothing yet."""
    median, decile = local_quantiles(volume, 0.5, 0.9)
    ordinary = np.maximum(_MUCH_OF_MEDIAN * median, decile)
    return np.divide(volume, ordinary, out=np.ones(len(volume)), where=ordinary > 0)


def _gap_sigma(open_: FloatArray, close: FloatArray, elapsed: FloatArray) -> FloatArray:
    sizes = np.abs(open_[1:] - close[:-1]) / np.sqrt(elapsed[1:])
    return local_sigma(np.concatenate([sizes[:1], sizes]))


def with_known_volumes(bars: Bars) -> Bars:
    """Return bars whose volume is the usual one where it is not known, and None where it is known nowhere."""
    if bars.volume is None:
        return bars
    unknown = np.isnan(bars.volume)
    if not unknown.any():
        return bars
    if unknown.all():
        return replace(bars, volume=None)
    return replace(bars, volume=np.where(unknown, float(np.median(bars.volume[~unknown])), bars.volume))


def before(values: FloatArray) -> FloatArray:
    """Return the value of the bar before, the first one's own, shape (T,)."""
    return np.concatenate([values[:1], values[:-1]])


def after(values: FloatArray) -> FloatArray:
    """Return the value of the bar after, the last one's own, shape (T,)."""
    return np.concatenate([values[1:], values[-1:]])
