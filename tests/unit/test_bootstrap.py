"""Intervals by the stationary bootstrap: against the metrics themselves, and how often they cover."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from engine.core import metrics
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from research import bootstrap
from research.bootstrap import intervals, sharpe_lower_bound, sharpe_lower_bounds
from research.resampling import resampled_counts, resampled_rows
from research.statistics import Sample, annualized_lower_bound, describe, sharpe_standard_deviation_ar1


def noise(seed: int, n_days: int = 1000) -> FloatArray:
    return np.random.default_rng(seed).normal(0.0004, 0.01, n_days)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def trending(seed: int) -> FloatArray:
    """AR(1) of .2 with a true Sharpe ratio of 1 a year."""
    shocks = np.random.default_rng(seed).normal(0.0, math.sqrt(1 - 0.2**2), 1100)
    for t in range(1, 1100):
        shocks[t] += 0.2 * shocks[t - 1]
    return 0.01 * (shocks[100:] + 1 / math.sqrt(252))


def crashing(seed: int) -> FloatArray:
    """Two days in a hundred lose five times what is usual; a true Sharpe ratio of 1 a year."""
    draws = np.random.default_rng(seed)
    crash = draws.random(1000) < 0.02
    days = np.where(crash, draws.normal(-5.0, 2.5, 1000), draws.normal(0.1 / 0.98, 1.0, 1000))
    variance = 0.98 * (1 + (0.1 / 0.98) ** 2) + 0.02 * (2.5**2 + 25)
    return 0.01 * (days / math.sqrt(variance) + 1 / math.sqrt(252))


# ----------------------------------------------------------------------------------------- Sharpe ratio


@pytest.mark.parametrize("world", [trending, crashing])
def test_the_lower_bound_covers_as_often_as_it_says(world: Callable[[int], FloatArray]) -> None:
    """With AR(1) of .2 an interval that knows no autocorrelation covers .885 of 95%."""
    covered = [
        sharpe_lower_bound(
            world(seed), rng=generator(seed), days_per_year=252, n_bootstraps=200, block_length=6.0
        )
        <= 1.0
        for seed in range(150)
    ]

    # 150 repetitions: one standard error is 1.8%.
    assert 0.91 <= float(np.mean(covered)) <= 0.99


def test_the_bootstrap_and_the_analytic_bound_agree_on_a_long_series() -> None:
    returns = noise(3, 5000)

    ours = sharpe_lower_bound(returns, rng=generator(), days_per_year=252)

    assert ours == pytest.approx(annualized_lower_bound(returns, days_per_year=252), abs=0.03)
    assert ours < metrics.sharpe(returns, 252)


def test_a_resampled_ratio_and_its_error_are_those_of_its_own_rows() -> None:
    returns = noise(5, 400)
    scale = returns.std()
    deviations = ((returns - returns.mean()) / scale)[:, None]
    rows = next(resampled_rows(400, 20, length=400.0, rng=generator()))
    counts = next(resampled_counts(400, 20, length=400.0, rng=generator()))

    ratios, errors = bootstrap._studentised(counts, deviations, np.array([returns.mean() / scale]))

    for drawn, ratio, error in zip(rows, ratios[:, 0], errors[:, 0], strict=True):
        sample = describe(returns[drawn])
        assert sample is not None
        assert ratio == pytest.approx(sample.sharpe, abs=1e-12)
        # Blocks of 400 days: neighbours in the sample are neighbours in the resample, but for a few borders.
        moments = Sample(
            n_observations=400,
            sharpe=sample.sharpe,
            skew=sample.skew,
            kurtosis=sample.kurtosis,
            autocorrelation=sample.autocorrelation,
        )
        expected = sharpe_standard_deviation_ar1(moments, true_sharpe=sample.sharpe)
        assert error == pytest.approx(expected, rel=0.05)


def test_many_columns_at_once_are_the_columns_one_by_one() -> None:
    returns = np.column_stack([noise(seed, 300) for seed in range(130)])

    together = sharpe_lower_bounds(returns, rng=generator(4), n_bootstraps=150, block_length=3.0)

    for place in (0, 64, 129):
        (alone,) = sharpe_lower_bounds(
            returns[:, [place]] * 1e6, rng=generator(4), n_bootstraps=150, block_length=3.0
        )
        assert together[place] == pytest.approx(alone, abs=1e-10)


def test_too_little_to_say_is_missing_for_one_and_refused_among_many() -> None:
    assert math.isnan(sharpe_lower_bound(noise(1, 29), rng=generator(), days_per_year=252))
    assert math.isnan(sharpe_lower_bound(np.zeros(500), rng=generator(), days_per_year=252))
    with pytest.raises(InvalidValueError, match="shape"):
        sharpe_lower_bounds(noise(1, 29)[:, None], rng=generator())
    still = np.column_stack([noise(1, 50), np.zeros(50)])
    with pytest.raises(InvalidValueError, match="column 1"):
        sharpe_lower_bounds(still, rng=generator())
    assert sharpe_lower_bounds(np.empty((50, 0)), rng=generator()).shape == (0,)


# --------------------------------------------------------------------------------- drawdown and tail


@pytest.mark.parametrize("n_days", [30, 60, 101, 250, 1000])
@pytest.mark.parametrize("digits", [3, 9])
def test_resampled_figures_are_those_of_the_metrics(n_days: int, digits: int) -> None:
    # Three digits make ties, which belong to the tail together.
    returns = noise(n_days, n_days).round(digits)
    order = np.argsort(returns, kind="stable")
    ranks = np.argsort(order, kind="stable")
    rows = next(resampled_rows(n_days, 60, length=4.0, rng=generator()))
    counts = np.array([np.bincount(ranks[drawn], minlength=n_days) for drawn in rows])

    tails = bootstrap._tail_means(counts, returns[order])
    deepest = bootstrap._deepest(np.log1p(returns), rows)

    np.testing.assert_allclose(tails, [metrics.cvar_95(returns[drawn]) for drawn in rows], atol=1e-15)
    np.testing.assert_allclose(deepest, [metrics.max_drawdown(returns[drawn]) for drawn in rows], atol=1e-13)


def test_intervals_are_quantiles_of_the_metrics_of_resamples() -> None:
    returns = noise(2, 500)

    found = intervals(returns, rng=generator(7), days_per_year=252, n_bootstraps=300, block_length=5.0)

    rows = np.concatenate(list(resampled_rows(500, 300, length=5.0, rng=generator(7))))
    for interval, metric in (
        (found.sharpe, lambda series: metrics.sharpe(series, 252)),
        (found.max_drawdown, metrics.max_drawdown),
        (found.cvar_95, metrics.cvar_95),
    ):
        low, high = np.quantile([metric(returns[drawn]) for drawn in rows], [0.025, 0.975])
        assert interval.estimate == metric(returns)
        assert interval.low == pytest.approx(low, abs=1e-12)
        assert interval.high == pytest.approx(high, abs=1e-12)
        assert interval.low < interval.estimate < interval.high


def test_the_same_state_gives_the_same_intervals() -> None:
    first, again, other = (
        intervals(noise(2, 200), rng=generator(seed), days_per_year=252, n_bootstraps=50)
        for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other


def test_intervals_of_too_few_days_are_missing_and_of_a_ruined_account_refused() -> None:
    for returns in (noise(1, 29), np.zeros(300), np.empty(0)):
        found = intervals(returns, rng=generator(), days_per_year=252)
        assert all(math.isnan(part.low) for part in (found.sharpe, found.max_drawdown, found.cvar_95))
    for spoilt in (-1.0, math.nan):
        with pytest.raises(InvalidValueError, match="above -1"):
            intervals(np.append(noise(1, 50), spoilt), rng=generator(), days_per_year=252)
