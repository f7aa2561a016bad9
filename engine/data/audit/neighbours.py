"""What is usual around a bar: medians and robust scales of its neighbourhood.

Neighbourhoods are three blocks of 17 bars: the block that holds the bar and those beside it. That is a
median over 51 bars at a hundredth of the cost of one that moves with every bar, and a single wild value
cannot move it.
"""

from dataclasses import dataclass, replace

import numpy as np

from engine.data.quality import Bars
from engine.domain.panel import FloatArray
from engine.domain.time import Timeframe

BLOCK = 17
NEIGHBOURHOOD = 3 * BLOCK

_MEDIAN_TO_SIGMA = 1.4826
"""Standard deviation of a normal variable over the median of its absolute value."""

_NINTH_DECILE_TO_SIGMA = 1 / 1.6449
_NO_SCALE = 1e-9


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
    moved = sizes[sizes > 0]
    # A price that stands still for a whole neighbourhood still moves by a tick.
    floor = 0.5 * _MEDIAN_TO_SIGMA * float(np.median(moved)) if len(moved) else _NO_SCALE
    return np.maximum(np.maximum(_MEDIAN_TO_SIGMA * median, _NINTH_DECILE_TO_SIGMA * decile), floor)


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """Logarithms of the prices of bars, and what is usual around each. All of shape (T,).

    Attributes
    ----------
    sigma
        Robust standard deviation of the close to close moves around the bar.
    elapsed
        Bars' lengths since the bar before: 1 without a gap. The first one is 1.
    volume_ratio
        Volume over the median volume around the bar; None where volume is not known.
    """

    close: FloatArray
    open: FloatArray | None
    high: FloatArray | None
    low: FloatArray | None
    moves: FloatArray
    sigma: FloatArray
    elapsed: FloatArray
    volume_ratio: FloatArray | None


def surroundings(bars: Bars, timeframe: Timeframe) -> Surroundings:
    """Return what checks on prices compare a bar with.

    Parameters
    ----------
    bars
        Ordered, prices positive and finite.
    """
    close = np.log(bars.close)
    moves = np.zeros(len(close))
    moves[1:] = np.diff(close)
    elapsed = np.ones(len(close))
    elapsed[1:] = np.maximum(np.diff(bars.stamps) / timeframe.nanoseconds, 1.0)
    sizes = np.abs(moves)
    if len(sizes) > 1:
        sizes[0] = sizes[1]
    ratio = None
    if bars.volume is not None:
        (median,) = local_quantiles(bars.volume, 0.5)
        ratio = np.divide(bars.volume, median, out=np.ones(len(median)), where=median > 0)
    return Surroundings(
        close=close,
        open=None if bars.open is None else np.log(bars.open),
        high=None if bars.high is None else np.log(bars.high),
        low=None if bars.low is None else np.log(bars.low),
        moves=moves,
        sigma=local_sigma(sizes),
        elapsed=elapsed,
        volume_ratio=ratio,
    )


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
