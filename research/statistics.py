"""Is a Sharpe ratio real? Inference on one series and on the best of many.

Which form of the variance of a Sharpe ratio is used where is frozen:

=====================  ==============================================  =======================================
form                   variance x T                                    used for
=====================  ==============================================  =======================================
2014 (estimate)        1 - skew SR + (kurtosis - 1) / 4 SR^2, at the   `probabilistic_sharpe_ratio`,
                       estimated SR, T - 1 for T                       `deflated_sharpe`; `deflated_by_luck`
                                                                       with fewer days where they resemble
                                                                       one another
2025 (hypothesis)      a - b skew SR + c (kurtosis - 1) / 4 SR^2, a,   `annualized_lower_bound` (at the
                       b, c of the autocorrelation, at the SR of the   estimate), `minimum_track_record`,
                       hypothesis, T                                   `power`, false discovery rates
=====================  ==============================================  =======================================

They do not agree (.913 and .987 for the hedge fund of the papers), so a figure names its form.

Sharpe ratios here are per observation, as `n_observations` counts them: x root of 252 of them a year. Names
that begin with `annualized_` say otherwise.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from scipy.special import log_ndtr

from engine.core import metrics
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray

EULER_GAMMA = 0.5772156649015329
CONFIDENCE = 0.95
MINIMUM_OBSERVATIONS = 30
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What inference needs to know of a series of returns.

    Attributes
    ----------
    sharpe
        Mean / sample standard deviation, per observation.
    skew, kurtosis
        Population moments; kurtosis is not excess (3 for a normal distribution).
    autocorrelation, autocorrelation_score
        Of first order, and the same in standard errors that allow for days of unequal size [1]_: with those
        of equal days wild noise seems to have a memory three times too often.

    References
    ----------
    .. [1] Lo and MacKinlay (1988), Stock market prices do not follow random walks, Review of Financial
       Studies 1(1), eq. 18 (variance of an autocorrelation under heteroscedasticity)
    """

    n_observations: int
    sharpe: float
    skew: float = 0.0
    kurtosis: float = 3.0
    autocorrelation: float = 0.0
    autocorrelation_score: float = 0.0


def describe(returns: FloatArray) -> Sample | None:
    """Return the moments of a series; None below 30 observations or without variance."""
    if returns.size < MINIMUM_OBSERVATIONS or (returns == returns[0]).all():
        return None
    deviation = returns - returns.mean()
    products = deviation[1:] * deviation[:-1]
    spread = math.sqrt((products * products).sum())
    return Sample(
        n_observations=returns.size,
        sharpe=float(returns.mean() / returns.std(ddof=1)),
        skew=metrics.skewness(returns),
        kurtosis=metrics.kurtosis(returns),
        autocorrelation=float(products.sum() / (deviation * deviation).sum()),
        autocorrelation_score=float(products.sum() / spread) if spread > 0.0 else 0.0,
    )


def probabilistic_sharpe_ratio(sample: Sample, *, benchmark: float) -> float:
    """Probability that the true Sharpe ratio exceeds the benchmark, in the form of 2014 [1]_.

    Its variance is taken at the estimate, with T - 1, and without autocorrelation; for intervals use
    `sharpe_standard_deviation_ar1`.

    Parameters
    ----------
    benchmark
        Per observation.

    References
    ----------
    .. [1] Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management
       40(5), eq. 2

    Examples
    --------
    >>> round(probabilistic_sharpe_ratio(Sample(n_observations=250, sharpe=0.1), benchmark=0.0), 3)
    0.942
    """
    return _above(sample, benchmark)


def _above(sample: Sample, benchmark: float, *, independent: float = 1.0) -> float:
    return _NORMAL.cdf((sample.sharpe - benchmark) * steepness(sample, independent=independent))


def steepness(sample: Sample, *, independent: float = 1.0) -> float:
    """Return 1 / the standard deviation of the Sharpe ratio in the form of 2014, per observation.

    Parameters
    ----------
    independent
        Share of the observations that counts.
    """
    ratio = sample.sharpe
    variance = 1.0 - sample.skew * ratio + (sample.kurtosis - 1.0) / 4.0 * ratio**2
    return math.sqrt((sample.n_observations - 1) * independent / variance)


def expected_maximum_sharpe(n_trials: float, *, variance: float) -> float:
    """Sharpe ratio that the best of some trials without an edge has on average [1]_.

    Parameters
    ----------
    n_trials
        Independent ones, not necessarily whole. One or fewer: nothing was chosen, so 0.
    variance
        Of the Sharpe ratios, per observation.

    References
    ----------
    .. [1] Bailey, Borwein, Lopez de Prado and Zhu (2014), Pseudo-mathematics and financial charlatanism,
       Notices of the AMS 61(5), prop. 1. From three trials on it overstates by at most 2.5%, which errs on
       the safe side; two have .564, of which it says .520.

    Examples
    --------
    >>> round(expected_maximum_sharpe(10, variance=1.0), 4)
    1.5746
    """
    if n_trials <= 1:
        return 0.0
    # Between one and two trials the first quantile is below 0; a maximum of any two is not.
    quantiles = (1 - EULER_GAMMA) * _NORMAL.inv_cdf(1 - 1 / n_trials) + EULER_GAMMA * _NORMAL.inv_cdf(
        1 - 1 / (n_trials * math.e)
    )
    return math.sqrt(variance) * max(0.0, quantiles)


@lru_cache(maxsize=64)
def exact_expected_maximum(n_trials: float) -> float:
    """Return the mean of the largest of N independent standard normal scores, N not necessarily whole.

    The integral of its distribution, Phi(x)^N; `expected_maximum_sharpe` is the published approximation.

    Examples
    --------
    >>> round(exact_expected_maximum(100), 4)
    2.5076
    """
    # Equal steps around 0 are enough: the integrand is smooth and vanishes at both ends.
    steps = np.arange(-12.0, 12.0, 0.01) + 0.005
    return float(((steps > 0) - np.exp(n_trials * log_ndtr(steps))).sum() * 0.01)


def equivalent_trials(expected_maximum: float) -> float:
    """Return how many independent trials have this mean of the largest of their standard normal scores.

    The inverse of `exact_expected_maximum`: 1 for a mean of 0 or less.

    Examples
    --------
    >>> round(equivalent_trials(2.5076), 1)
    100.0
    """
    if expected_maximum <= 0.0:
        return 1.0
    low, high = 0.0, 1.0
    while exact_expected_maximum(math.exp(high)) < expected_maximum:
        low, high = high, 2.0 * high
    # Halved until nothing is left between the two.
    while (middle := (low + high) / 2.0) not in (low, high):
        if exact_expected_maximum(math.exp(middle)) < expected_maximum:
            low = middle
        else:
            high = middle
    return math.exp(high)


def deflated_sharpe(sample: Sample, *, n_effective: float, variance: float) -> float:
    """Probability that the true Sharpe ratio exceeds what the best of N trials has without an edge [1]_.

    The form as published, in which its examples are given. The board asks `deflated_by_luck`.

    Parameters
    ----------
    n_effective
        Number of independent trials.
    variance
        Of the Sharpe ratios of the trials, per observation.

    References
    ----------
    .. [1] Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management
       40(5), eq. 1 and 2
    """
    luck = expected_maximum_sharpe(n_effective, variance=variance)
    return probabilistic_sharpe_ratio(sample, benchmark=luck)


def deflated_by_luck(sample: Sample, *, n_effective: float) -> float:
    """Deflated Sharpe ratio whose trials have the variance of the estimator itself, as the board asks it.

    What is mended against `deflated_sharpe`, each as the study of the controls measured it. The variance of
    the Sharpe ratios is the one that any has without an edge, 1 / (T - 1): with the variance across trials
    11 to 12% of correlated grids of noise pass instead of 4 to 6%. The mean of the largest is exact
    (`exact_expected_maximum`), because `luck.LuckyBest` counts trials by it: the published approximation
    overstates it by .4 to 2.5%. And days that resemble one another prove less: T is that of as many
    independent days (`independent_share`).

    Parameters
    ----------
    n_effective
        Number of independent trials (`TrialsRegister.n_effective`).
    """
    share = independent_share(sample)
    luck = exact_expected_maximum(max(1.0, n_effective)) / math.sqrt((sample.n_observations - 1) * share)
    return _above(sample, luck, independent=share)


def independent_share(sample: Sample) -> float:
    """Return how many independent days tell as much as one of these, at most 1.

    (1 - r) / (1 + r), the variance of a mean of AR(1) days turned round [1]_, where the autocorrelation r is
    above 0 for certain (one-sided 1%); 1 elsewhere. What the days of noise happen to show is left out, so
    that it costs no power, and an autocorrelation below 0 proves nothing more.

    References
    ----------
    .. [1] Lopez de Prado, Lipton and Zoonekynd (2025), Sharpe ratio inference, SSRN 5520741 (coefficient a)

    Examples
    --------
    >>> remembers = Sample(n_observations=5040, sharpe=0.06, autocorrelation=0.1, autocorrelation_score=6.9)
    >>> round(independent_share(remembers), 3)
    0.818
    >>> seems_to = Sample(n_observations=5040, sharpe=0.06, autocorrelation=0.03, autocorrelation_score=1.9)
    >>> independent_share(seems_to)
    1.0
    """
    r = sample.autocorrelation
    return (1.0 - r) / (1.0 + r) if sample.autocorrelation_score > _NORMAL.inv_cdf(0.99) else 1.0


def sharpe_standard_deviation_ar1(sample: Sample, *, true_sharpe: float) -> float:
    """Return the standard deviation of an estimated Sharpe ratio, returns being AR(1) and not normal [1]_.

    Parameters
    ----------
    true_sharpe
        At which the variance is taken, per observation: the hypothesis in a test, the estimate in an
        interval.

    References
    ----------
    .. [1] Lopez de Prado, Lipton and Zoonekynd (2025), Sharpe ratio inference, SSRN 5520741
    """
    r = sample.autocorrelation
    if not -1 < r < 1:
        raise InvalidValueError(f"sharpe variance: autocorrelation must be inside (-1, 1), was {r}")
    a = 1 + 2 * r / (1 - r)
    b = 1 + r / (1 - r) + r**2 / (1 - r**2)
    c = 1 + 2 * r**2 / (1 - r**2)
    variance = a - b * sample.skew * true_sharpe + c * (sample.kurtosis - 1) / 4 * true_sharpe**2
    return math.sqrt(variance / sample.n_observations)


def annualized_lower_bound(returns: FloatArray, *, days_per_year: int) -> float:
    """Return the one-sided 95% lower bound of the annualised Sharpe ratio of daily returns (RULINGS D2).

    The returns are those in excess of the benchmark at the same exposure. NaN if there are too few.
    """
    sample = describe(returns)
    if sample is None:
        return math.nan
    deviation = sharpe_standard_deviation_ar1(sample, true_sharpe=sample.sharpe)
    return (sample.sharpe - _NORMAL.inv_cdf(CONFIDENCE) * deviation) * math.sqrt(days_per_year)


def minimum_track_record(sample: Sample, *, benchmark: float = 0.0, confidence: float = CONFIDENCE) -> float:
    """Return how many observations make this Sharpe ratio significantly better than the benchmark [1]_.

    The variance is taken at the benchmark (the hypothesis to be refused), autocorrelation included. A sample
    of fewer observations is too short to prove what it shows. Infinite if the ratio is not above the
    benchmark.

    References
    ----------
    .. [1] Bailey and Lopez de Prado (2012), The Sharpe ratio efficient frontier, Journal of Risk 15(2), eq.
       13, with the variance of Lopez de Prado, Lipton and Zoonekynd (2025), SSRN 5520741

    Examples
    --------
    >>> round(minimum_track_record(Sample(n_observations=24, sharpe=0.456, skew=-2.448, kurtosis=10.164)), 1)
    13.0
    """
    if sample.sharpe <= benchmark:
        return math.inf
    deviation = sharpe_standard_deviation_ar1(sample, true_sharpe=benchmark) * math.sqrt(
        sample.n_observations
    )
    return (_NORMAL.inv_cdf(confidence) * deviation / (sample.sharpe - benchmark)) ** 2


def power(
    sample: Sample, *, alternative: float, benchmark: float = 0.0, confidence: float = CONFIDENCE
) -> float:
    """Return how probably a test on so many such returns finds a Sharpe ratio that is there [1]_.

    One minus the paper's beta.

    Parameters
    ----------
    sample
        Its own Sharpe ratio is not read.
    alternative
        The true ratio, per observation, above the benchmark that the test wants to refuse.

    References
    ----------
    .. [1] Lopez de Prado, Lipton and Zoonekynd (2025), Sharpe ratio inference, SSRN 5520741
    """
    critical = benchmark + _NORMAL.inv_cdf(confidence) * sharpe_standard_deviation_ar1(
        sample, true_sharpe=benchmark
    )
    deviation = sharpe_standard_deviation_ar1(sample, true_sharpe=alternative)
    return _NORMAL.cdf((alternative - critical) / deviation)


def exceedance(sample: Sample, *, true_sharpe: float) -> float:
    """Return how probably a sample shows a Sharpe ratio like this one or a larger, given the true one.

    At the hypothesis that there is no edge this is the p-value; one minus it is the probabilistic Sharpe
    ratio in the form of 2025 [1]_.

    References
    ----------
    .. [1] Lopez de Prado, Lipton and Zoonekynd (2025), Sharpe ratio inference, SSRN 5520741
    """
    deviation = sharpe_standard_deviation_ar1(sample, true_sharpe=true_sharpe)
    return _NORMAL.cdf((true_sharpe - sample.sharpe) / deviation)


def annualization_factor(n_periods: int, *, autocorrelation: float) -> float:
    """Return what turns the Sharpe ratio of a period into that of so many together, returns being AR(1) [1]_.

    The root of their number without autocorrelation; less with trends in the returns, because they do not
    diversify over time.

    References
    ----------
    .. [1] Lo (2002), The statistics of Sharpe ratios, Financial Analysts Journal 58(4), eq. 20

    Examples
    --------
    >>> round(annualization_factor(12, autocorrelation=0.2), 2)
    2.88
    """
    if n_periods < 1 or not -1 < autocorrelation < 1:
        raise InvalidValueError(
            f"annualization: needs a period or more and an autocorrelation inside (-1, 1), was {n_periods} "
            f"and {autocorrelation}"
        )
    covariance = sum((n_periods - lag) * autocorrelation**lag for lag in range(1, n_periods))
    return n_periods / math.sqrt(n_periods + 2 * covariance)
