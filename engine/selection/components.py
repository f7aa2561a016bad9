"""What `log_mps` looks at: each component a function of training returns, larger is better.

Plain loops and scalar logarithms: the same bits on every machine.
"""

import math

import numpy as np
import numpy.typing as npt

from engine.domain.panel import FloatArray

RECENT_DAYS = 64
_ENTROPY_ORDER = 3
_SMALLEST_HURST_CHUNK = 8


def efficiency_ratio(returns: FloatArray) -> float:
    """Return |sum of the last 64 returns| / sum of their absolute values (Kaufman); NaN if nothing moved."""
    recent = returns[-RECENT_DAYS:]
    way = float(np.abs(recent).sum())
    return abs(float(recent.sum())) / way if way > 0 else math.nan


def order(returns: FloatArray) -> float:
    """Return 1 - permutation entropy (Bandt and Pompe 2002) of the last 64 returns, patterns of 3 values.

    0 for noise, 1 for a series with a single pattern. Equal values count as rising.
    """
    recent = returns[-RECENT_DAYS:]
    n_patterns = recent.size - _ENTROPY_ORDER + 1
    if n_patterns < 1:
        return math.nan
    counts: dict[tuple[int, ...], int] = {}
    for start in range(n_patterns):
        pattern = tuple(np.argsort(recent[start : start + _ENTROPY_ORDER], kind="stable").tolist())
        counts[pattern] = counts.get(pattern, 0) + 1
    entropy = -math.fsum(
        count / n_patterns * math.log(count / n_patterns) for _, count in sorted(counts.items())
    )
    return 1.0 - entropy / math.log(math.factorial(_ENTROPY_ORDER))


def hurst_exponent(returns: FloatArray) -> float:
    """Return the Hurst exponent by rescaled range (Hurst 1951), chunks of 8, 16, 32, ... values.

    NaN with fewer than 3 chunk sizes. Short chunks bias it above .5 for noise (to about .6).
    """
    sizes, ranges = [], []
    size = _SMALLEST_HURST_CHUNK
    while size <= returns.size // 2:
        rescaled = []
        for start in range(0, returns.size - size + 1, size):
            chunk = returns[start : start + size]
            deviation = float(chunk.std())
            if deviation > 0:
                path = np.cumsum(chunk - chunk.mean())
                rescaled.append((max(float(path.max()), 0.0) - min(float(path.min()), 0.0)) / deviation)
        mean = math.fsum(rescaled) / len(rescaled) if rescaled else 0.0
        if mean > 0:
            sizes.append(math.log(size))
            ranges.append(math.log(mean))
        size *= 2
    if len(sizes) < 3:
        return math.nan
    mean_x, mean_y = math.fsum(sizes) / len(sizes), math.fsum(ranges) / len(ranges)
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(sizes, ranges, strict=True)) / math.fsum(
        (x - mean_x) ** 2 for x in sizes
    )


def hurst_clean(returns: FloatArray) -> float:
    """Return 1 - 2 |H - 1/2|: 1 for a random walk, 0 for a trend or a reversal without noise."""
    return 1.0 - 2.0 * abs(hurst_exponent(returns) - 0.5)


def block_starts(
    n_days: int, *, n_paths: int, block: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return the first days of the blocks of bootstrapped paths, shape (n_paths, blocks)."""
    return generator.integers(0, n_days, size=(n_paths, -(-n_days // block)))


def survival(
    returns: FloatArray, *, drawdown: float, n_paths: int, block: int, generator: np.random.Generator
) -> FloatArray:
    """Return, for each instrument, the share of bootstrapped paths that never fall by `drawdown`.

    Paths are as long as the training window and made of its own days, in circular blocks that keep
    stormy days together; all instruments live through the same days.

    Parameters
    ----------
    returns
        Shape (T, n).
    """
    n_days = returns.shape[0]
    starts = block_starts(n_days, n_paths=n_paths, block=block, generator=generator)
    days = (starts[:, :, None] + np.arange(block)).reshape(n_paths, -1)[:, :n_days] % n_days
    survived = np.zeros(returns.shape[1])
    for path in days:
        levels = np.cumprod(1.0 + returns[path], axis=0)
        peaks = np.maximum(np.maximum.accumulate(levels, axis=0), 1.0)
        survived += (levels / peaks - 1.0).min(axis=0) >= -drawdown
    return survived / n_paths
