"""How far a figure could have come out otherwise: intervals by the stationary bootstrap.

Beside the analytic bound of `statistics.annualized_lower_bound`, and for what has no formula: drawdown, tail.
"""

import math
from dataclasses import dataclass

import numpy as np

from engine.core import metrics
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray
from research.resampling import checked_block_length, resampled_counts, resampled_rows
from research.statistics import CONFIDENCE, MINIMUM_OBSERVATIONS, describe

N_BOOTSTRAPS = 1000
# Columns whose moments are resampled at a time.
_COLUMNS = 128
_TAIL = 0.05
_NO_VARIANCE = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and what it could have been; NaN throughout if there are too few observations.

    Attributes
    ----------
    estimate
        Of the sample itself, as `engine.core.metrics` defines it.
    low, high
        Ends of the two-sided interval.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Intervals of one series of daily returns.

    Attributes
    ----------
    sharpe
        Annualised.
    max_drawdown, cvar_95
        Losses are negative, so `low` is the bad end.
    """

    sharpe: Interval
    max_drawdown: Interval
    cvar_95: Interval


def sharpe_lower_bound(
    returns: FloatArray,
    *,
    rng: np.random.Generator,
    days_per_year: int,
    n_bootstraps: int = N_BOOTSTRAPS,
    block_length: float | None = None,
    confidence: float = CONFIDENCE,
) -> float:
    """Return the one-sided lower bound of the annualised Sharpe ratio of daily returns, shape (D,).

    As `sharpe_lower_bounds`, but NaN if there are fewer than 30 observations or none that differ.
    """
    if describe(returns) is None:
        return math.nan
    (bound,) = sharpe_lower_bounds(
        returns[:, None], rng=rng, n_bootstraps=n_bootstraps, block_length=block_length, confidence=confidence
    )
    return float(bound) * math.sqrt(days_per_year)


def sharpe_lower_bounds(
    returns: FloatArray,
    *,
    rng: np.random.Generator,
    n_bootstraps: int = N_BOOTSTRAPS,
    block_length: float | None = None,
    confidence: float = CONFIDENCE,
) -> FloatArray:
    """Return the one-sided lower bound of the Sharpe ratio of each column, per observation, shape (N,) [1]_.

    Studentised (bootstrap-t): each resampled ratio is measured in the standard error that its own moments
    and autocorrelation give it, in the form of `statistics.sharpe_standard_deviation_ar1`. All columns are
    resampled together. In 400 repetitions of 1,000 days at nominal 95% it covered .958 of normal returns,
    .935 of t4, .955 with crashes and .945 of AR(1) .2 (quantiles of the ratios: .955, .927, .945, .940).

    Parameters
    ----------
    returns
        Shape (T, N), daily, T >= 30, finite; each column varies.
    block_length
        Mean length of the blocks, in days. By default the one that `resampling.block_length` finds.

    Raises
    ------
    InvalidValueError
        If there are too few rows, or a column holds what is not finite or does not vary.

    Notes
    -----
    The memory is a copy of `returns`, 5 arrays like 128 columns of it, 128 resamples, and 16 n_bootstraps N
    bytes.

    References
    ----------
    .. [1] Ledoit and Wolf (2008), Robust performance hypothesis testing with the Sharpe ratio, Journal of
       Empirical Finance 15(5), sec. 3.2 (studentised block bootstrap)
    """
    if returns.ndim != 2 or len(returns) < MINIMUM_OBSERVATIONS:
        raise InvalidValueError(
            f"sharpe bounds: returns must have shape (T, N), T at least {MINIMUM_OBSERVATIONS}, was "
            f"{returns.shape}"
        )
    usable = np.isfinite(returns).all(axis=0) & (returns != returns[0]).any(axis=0)
    if not usable.all():
        raise InvalidValueError(
            f"sharpe bounds: column {int(np.argmin(usable))} is not finite or does not vary; leave it out"
        )
    if returns.shape[1] == 0:
        return np.empty(0)
    length = checked_block_length(block_length, returns)
    means, scales = returns.mean(axis=0), returns.std(axis=0)
    deviations = (returns - means) / scales
    level = means / scales
    estimates, errors = _studentised(np.ones((1, len(returns))), deviations, level)
    scores = np.concatenate(
        [
            _scores(counts, deviations, level, estimates[0])
            for counts in resampled_counts(len(returns), n_bootstraps, length=length, rng=rng)
        ]
    )
    return np.asarray(estimates[0] - np.quantile(scores, confidence, axis=0) * errors[0])


def intervals(
    returns: FloatArray,
    *,
    rng: np.random.Generator,
    days_per_year: int,
    n_bootstraps: int = N_BOOTSTRAPS,
    block_length: float | None = None,
    confidence: float = CONFIDENCE,
) -> Intervals:
    """Return two-sided intervals of Sharpe ratio, maximum drawdown and CVaR: quantiles over resamples.

    The tail mean is `metrics.cvar_95`, not the variant of Rockafellar and Uryasev that takes a part of the
    last observation: an interval must be one of the figure that the board shows. The two differ by less than
    one observation in the tail.

    Parameters
    ----------
    returns
        Shape (D,), daily, each above -1.
    rng
        The same state gives the same intervals.

    Notes
    -----
    A maximum drawdown needs the order of the days, so rows are drawn, and counts are taken from them. The
    memory is about 6 kB a day, whatever the number of resamples.

    References
    ----------
    .. [1] Politis and Romano (1994), The stationary bootstrap, JASA 89(428)
    """
    if returns.size and not (np.isfinite(returns).all() and returns.min() > -1.0):
        raise InvalidValueError("intervals: returns must be finite and above -1")
    if describe(returns) is None:
        missing = Interval(estimate=math.nan, low=math.nan, high=math.nan)
        return Intervals(sharpe=missing, max_drawdown=missing, cvar_95=missing)
    n_days = returns.size
    length = checked_block_length(block_length, returns[:, None])
    logs = np.log1p(returns)
    order = np.argsort(returns, kind="stable")
    ranks = np.empty(n_days, dtype=np.int64)
    ranks[order] = np.arange(n_days)
    ascending = returns[order]
    deviations = ascending - returns.mean()
    moments = np.column_stack((deviations, deviations * deviations))
    drawn: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for rows in resampled_rows(n_days, n_bootstraps, length=length, rng=rng):
        owners = np.arange(len(rows))[:, None] * n_days
        counts = np.bincount((ranks[rows] + owners).ravel(), minlength=rows.size).reshape(rows.shape)
        first, second = (counts @ moments / n_days).T
        # A resample of days that are all alike has no variance but a rest of rounding.
        variance = np.maximum(second - first * first, _NO_VARIANCE)
        deviation = np.sqrt(variance * n_days / (n_days - 1))
        drawn.append(
            (
                (returns.mean() + first) / deviation * math.sqrt(days_per_year),
                _deepest(logs, rows),
                _tail_means(counts, ascending),
            )
        )
    sharpes, deepest, tails = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return Intervals(
        sharpe=_interval(metrics.sharpe(returns, days_per_year), sharpes, confidence),
        max_drawdown=_interval(metrics.max_drawdown(returns), deepest, confidence),
        cvar_95=_interval(metrics.cvar_95(returns), tails, confidence),
    )


def _interval(estimate: float, resampled: FloatArray, confidence: float) -> Interval:
    outside = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [outside, 1.0 - outside])
    return Interval(estimate=estimate, low=float(low), high=float(high))


def _scores(
    counts: FloatArray, deviations: FloatArray, level: FloatArray, estimates: FloatArray
) -> FloatArray:
    scores = np.empty((len(counts), level.size))
    for begin in range(0, level.size, _COLUMNS):
        part = slice(begin, begin + _COLUMNS)
        ratios, errors = _studentised(counts, deviations[:, part], level[part])
        scores[:, part] = (ratios - estimates[part]) / errors
    return scores


def _studentised(
    counts: FloatArray, deviations: FloatArray, level: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return Sharpe ratios of resamples and their standard errors, shape (b, N) each.

    Parameters
    ----------
    counts
        Shape (b, T).
    deviations
        Shape (T, N), around 0 and of variance 1.
    level
        Shape (N,), the mean in the same units.
    """
    n_rows = len(deviations)
    squares = deviations * deviations
    # A day and the next are drawn together except at the end of a block; the last is followed by the first.
    neighbours = deviations * np.roll(deviations, -1, axis=0)
    m1, m2, m3, m4, m11 = (
        counts @ moment / n_rows
        for moment in (deviations, squares, squares * deviations, squares * squares, neighbours)
    )
    # A resample of a series that hardly ever moves can stand still.
    variance = np.maximum(m2 - m1 * m1, 1e-12)
    third = m3 - 3.0 * m1 * m2 + 2.0 * m1**3
    fourth = m4 - 4.0 * m1 * m3 + 6.0 * m1 * m1 * m2 - 3.0 * m1**4
    ratios = (level + m1) / np.sqrt(variance * (n_rows / (n_rows - 1)))
    r = np.clip((m11 - m1 * m1) / variance, -0.99, 0.99)
    # The form of `sharpe_standard_deviation_ar1`, for arrays.
    a = 1 + 2 * r / (1 - r)
    b = 1 + r / (1 - r) + r**2 / (1 - r**2)
    c = 1 + 2 * r**2 / (1 - r**2)
    spread = a - b * third / variance**1.5 * ratios + c * (fourth / variance**2 - 1) / 4 * ratios**2
    return ratios, np.sqrt(np.maximum(spread, 1e-12) / n_rows)


def _deepest(logs: FloatArray, rows: IntArray) -> FloatArray:
    levels = np.cumsum(logs[rows], axis=1)
    peaks = np.maximum(np.maximum.accumulate(levels, axis=1), 0.0)
    levels -= peaks
    return np.asarray(np.expm1(levels.min(axis=1)))


def _tail_means(counts: IntArray, ascending: FloatArray) -> FloatArray:
    """Return `metrics.cvar_95` of resamples, given how often each return is drawn, lowest first."""
    n_days = ascending.size
    last = int(_TAIL * (n_days - 1))  # the quantile lies at this place of the sorted resample, or just above
    # Everything equal to the return at that place belongs to the tail.
    ends = np.searchsorted(ascending, ascending, side="right") - 1
    n_head = n_days if n_days < 200 else n_days // 4
    while True:
        head = np.cumsum(counts[:, :n_head], axis=1)
        if n_head == n_days or int(head[:, -1].min()) > last:
            break
        n_head = n_days
    reached = ends[(head <= last).sum(axis=1)]
    sums = np.cumsum(counts[:, : reached.max() + 1] * ascending[: reached.max() + 1], axis=1)
    sizes = np.cumsum(counts[:, : reached.max() + 1], axis=1)
    places = np.arange(len(counts))
    return np.asarray(sums[places, reached] / sizes[places, reached])
