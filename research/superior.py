"""Is the best of many better than the benchmark, or the luckiest? One bootstrap over the whole family.

`superior_predictive_ability` answers for the family, `step_down` column by column. Both studentise: each
column is measured in its own standard errors, so that a quiet strategy is heard beside loud ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.fft

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from research.resampling import checked_block_length, resampled_counts

MINIMUM_OBSERVATIONS = 30
N_BOOTSTRAPS = 1000
# Columns whose spectra are held at a time.
_SPECTRA = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Superiority:
    """What the test of superior predictive ability says; a small p-value speaks against luck.

    Attributes
    ----------
    statistic
        Largest studentised mean excess, in standard errors; 0 if no column has a positive mean.
    p_lower, p_consistent, p_upper
        Hansen's three p-values, in this order. `p_upper` is White's reality check, studentised: every column
        counts as if it were as good as the benchmark. `p_consistent` leaves out those that are clearly worse,
        and is the one to judge by.
    """

    statistic: float
    p_lower: float
    p_consistent: float
    p_upper: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Family:
    """Columns in their own units.

    Attributes
    ----------
    deviations
        Shape (T, N), around the mean of each column, unit variance.
    scores
        Shape (N,), root of T x mean / omega.
    unit
        Shape (N,), what turns a sum of deviations into standard errors.
    is_near
        Shape (N,), whether a column is not clearly worse than the benchmark.
    """

    deviations: FloatArray
    scores: FloatArray
    unit: FloatArray
    is_near: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def superior_predictive_ability(
    excess: FloatArray,
    *,
    rng: np.random.Generator,
    n_bootstraps: int = N_BOOTSTRAPS,
    block_length: float | None = None,
) -> Superiority:
    """Test whether any column has a mean above 0, knowing that all of them were looked at [1]_ [2]_.

    The variance of a mean is the one that the stationary bootstrap has (`bootstrap_variances`), means are
    recentred at 0 unless they lie more than root(2 log log T) standard errors below it, and a p-value is
    (1 + resamples with a statistic at least as large) / (1 + resamples), which is never 0 [3]_.

    Parameters
    ----------
    excess
        Shape (T, N), daily returns over the benchmark, T >= 30, finite, of any scale; each column varies.
    rng
        The same state gives the same p-values.
    block_length
        Mean length of the blocks, in days. By default the one that `resampling.block_length` finds.

    Raises
    ------
    InvalidValueError
        If a column is constant or holds a value that is not finite, or there are too few rows.

    Notes
    -----
    Beside `excess` the memory is a copy of it, 128 resamples of T and of N values, and the spectra of 256
    columns: 8 TN + 1,024 (5 T + 2 N) + 4,096 T bytes, whatever the number of resamples.

    References
    ----------
    .. [1] White (2000), A reality check for data snooping, Econometrica 68(5)
    .. [2] Hansen (2005), A test for superior predictive ability, Journal of Business and Economic Statistics
       23(4), eq. 3 to 5 and appendix (omega squared)
    .. [3] Davison and Hinkley (1997), Bootstrap methods and their application, sec. 4.2
    """
    length = checked_block_length(block_length, _checked(excess))
    family = _studentised(excess, length)
    return _superiority(
        family, resampled_counts(len(excess), n_bootstraps, length=length, rng=rng), n_bootstraps
    )


def step_down(
    excess: FloatArray,
    *,
    rng: np.random.Generator,
    n_bootstraps: int = N_BOOTSTRAPS,
    block_length: float | None = None,
) -> FloatArray:
    """Return the p-value of each column, adjusted so that any false discovery at all is as rare as it says.

    Studentised stepwise multiple testing [1]_ with adjusted p-values [2]_: the best column is held against
    the largest of all resampled ones, the second against the largest of all but the best, and so on; no
    p-value is below one of a better column. Columns that are clearly worse than the benchmark do not count
    as competitors, as in Hansen's test [3]_: the smallest p-value here is its `p_consistent`.

    Parameters
    ----------
    excess
        As in `superior_predictive_ability`; so are the other parameters, the errors and the memory.

    Returns
    -------
    Shape (N,), between 1 / (1 + n_bootstraps) and 1.

    References
    ----------
    .. [1] Romano and Wolf (2005), Stepwise multiple testing as formalized data snooping, Econometrica 73(4),
       algorithm 3.1 with the studentisation of sec. 4.2
    .. [2] Romano and Wolf (2016), Efficient computation of adjusted p-values for resampling-based stepdown
       multiple testing, Statistics and Probability Letters 113, algorithm 2.1
    .. [3] Hsu, Hsu and Kuan (2010), Testing the predictive ability of technical analysis using a new stepwise
       test without data snooping bias, Journal of Empirical Finance 17(3)
    """
    length = checked_block_length(block_length, _checked(excess))
    family = _studentised(excess, length)
    # Stable: equal columns keep the order given.
    order = np.argsort(-family.scores, kind="stable")
    shift = np.where(family.is_near, 0.0, family.scores)[order]
    exceeded = np.zeros(order.size, dtype=np.int64)
    for counts in resampled_counts(len(excess), n_bootstraps, length=length, rng=rng):
        resampled = ((counts @ family.deviations) * family.unit)[:, order] + shift
        # Column j: the largest among itself and all worse ones.
        largest = np.maximum.accumulate(resampled[:, ::-1], axis=1)[:, ::-1]
        exceeded += (np.maximum(largest, 0.0) >= np.maximum(family.scores[order], 0.0)).sum(axis=0)
    adjusted = np.empty(order.size)
    adjusted[order] = np.maximum.accumulate((1.0 + exceeded) / (1.0 + n_bootstraps))
    return adjusted


def bootstrap_variances(deviations: FloatArray, *, length: float) -> FloatArray:
    """Return T x the variance that the mean of each column has under the stationary bootstrap, shape (N,).

    Hansen's omega squared: the sum over lags i of kappa(i) x autocovariance(i), with
    kappa(i) = (1 - i/T) (1 - 1/length)^i + i/T (1 - 1/length)^(T - i) [1]_. Autocovariances weighted so
    are circular: all lags of a column cost one Fourier transform of T values, where plain sums take T passes
    over the data.

    Parameters
    ----------
    deviations
        Shape (T, N), around the mean of each column.

    References
    ----------
    .. [1] Hansen (2005), appendix; Politis and Romano (1994), lemma 1
    """
    n_rows, n_columns = deviations.shape
    lags = np.arange(n_rows)
    keep = 1.0 - 1.0 / length
    share = lags / n_rows
    kernel = (1.0 - share) * keep**lags + share * keep ** (n_rows - lags)
    response = scipy.fft.rfft(kernel).real
    # A real transform holds every frequency but the first (and, T even, the middle one) once for two.
    response[1 : (n_rows + 1) // 2] *= 2.0
    variances = np.empty(n_columns)
    for begin in range(0, n_columns, _SPECTRA):
        spectra = scipy.fft.rfft(deviations[:, begin : begin + _SPECTRA], axis=0)
        power = spectra.real**2 + spectra.imag**2
        variances[begin : begin + _SPECTRA] = (response[:, None] * power).sum(axis=0) / n_rows**2
    return variances


def _superiority(family: _Family, resamples: Iterable[FloatArray], n_bootstraps: int) -> Superiority:
    statistic = max(0.0, float(family.scores.max()))
    # What a resampled column keeps of its own mean: nothing (upper), all if clearly worse, all if negative.
    clearly_worse = np.where(family.is_near, 0.0, family.scores)
    worse = np.minimum(family.scores, 0.0)
    lower = consistent = upper = 1
    for counts in resamples:
        resampled = (counts @ family.deviations) * family.unit
        # A statistic is at least 0, so that a family without any positive mean has p-values of 1.
        upper += int((np.maximum(resampled.max(axis=1), 0.0) >= statistic).sum())
        consistent += int((np.maximum((resampled + clearly_worse).max(axis=1), 0.0) >= statistic).sum())
        lower += int((np.maximum((resampled + worse).max(axis=1), 0.0) >= statistic).sum())
    n = 1 + n_bootstraps
    return Superiority(statistic=statistic, p_lower=lower / n, p_consistent=consistent / n, p_upper=upper / n)


def _studentised(excess: FloatArray, length: float) -> _Family:
    n_rows = len(excess)
    means, scales = excess.mean(axis=0), excess.std(axis=0)
    deviations = (excess - means) / scales
    omega = np.sqrt(bootstrap_variances(deviations, length=length))
    scores = np.sqrt(n_rows) * (means / scales) / omega
    return _Family(
        deviations=deviations,
        scores=scores,
        unit=1.0 / (np.sqrt(n_rows) * omega),
        is_near=scores >= -np.sqrt(2.0 * np.log(np.log(n_rows))),
    )


def _checked(excess: FloatArray) -> FloatArray:
    if excess.ndim != 2 or excess.shape[0] < MINIMUM_OBSERVATIONS or excess.shape[1] == 0:
        raise InvalidValueError(
            f"superior: excess must have shape (T, N), T at least {MINIMUM_OBSERVATIONS} and N at least 1, "
            f"was {excess.shape}"
        )
    lowest, highest = excess.min(axis=0), excess.max(axis=0)
    finite = np.isfinite(lowest) & np.isfinite(highest)
    if not finite.all():
        raise InvalidValueError(
            f"superior: column {int(np.argmin(finite))} of excess holds a value that is not finite"
        )
    # Equal values can differ by a rounding error of the subtraction that made them an excess.
    still = highest - lowest <= 1e-12 * np.maximum(np.abs(highest), np.abs(lowest))
    if still.any():
        raise InvalidValueError(
            f"superior: column {int(np.argmax(still))} of excess does not vary; leave it out"
        )
    return excess
