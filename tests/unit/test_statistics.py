"""Inference on Sharpe ratios against published figures."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from research.statistics import (
    Sample,
    annualized_lower_bound,
    deflated_sharpe,
    describe,
    effective_rank,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe_ratio,
    sharpe_standard_deviation_ar1,
)

# Bailey and Lopez de Prado 2012, monthly: mean .036, standard deviation .079, 24 months.
HEDGE_FUND = Sample(n_observations=24, sharpe=0.036 / 0.079, skew=-2.448, kurtosis=10.164)


def test_the_example_of_the_deflated_sharpe_paper() -> None:
    # SR 2.5 a year of 250 days, 5 years, skew -3, kurtosis 10; variance across trials 1/2 a year.
    sample = Sample(n_observations=1250, sharpe=2.5 / math.sqrt(250), skew=-3, kurtosis=10)
    threshold = expected_maximum_sharpe(100, variance=0.5 / 250)

    assert threshold == pytest.approx(0.1132, abs=5e-5)
    assert threshold * math.sqrt(250) == pytest.approx(1.7894, abs=5e-4)
    assert deflated_sharpe(sample, n_effective=100, variance=0.5 / 250) == pytest.approx(0.90039683, abs=1e-6)
    assert deflated_sharpe(sample, n_effective=46, variance=0.5 / 250) == pytest.approx(0.9505, abs=5e-5)
    normal = Sample(n_observations=1250, sharpe=2.5 / math.sqrt(250))
    assert deflated_sharpe(normal, n_effective=88, variance=0.5 / 250) == pytest.approx(0.9505, abs=5e-5)


def test_probabilistic_sharpe_of_the_hedge_fund_in_the_form_of_2014() -> None:
    normal = Sample(n_observations=24, sharpe=0.036 / 0.079)

    assert probabilistic_sharpe_ratio(HEDGE_FUND, benchmark=0.0) == pytest.approx(0.9127, abs=5e-5)
    assert probabilistic_sharpe_ratio(normal, benchmark=0.0) == pytest.approx(0.9812, abs=5e-5)


def test_probabilistic_sharpe_of_the_sp500() -> None:
    from arch.data import sp500

    closes = sp500.load()["Adj Close"].to_numpy(dtype=np.float64)
    sample = describe(np.asarray(closes[1:] / closes[:-1] - 1.0))

    assert sample is not None
    assert probabilistic_sharpe_ratio(sample, benchmark=0.0) == pytest.approx(0.8965831, abs=2e-6)


def test_the_figures_of_the_standard_of_2025_for_the_hedge_fund() -> None:
    normal = Sample(n_observations=24, sharpe=0.456)

    assert sharpe_standard_deviation_ar1(HEDGE_FUND, true_sharpe=0.456) == pytest.approx(0.329, abs=5e-4)
    assert sharpe_standard_deviation_ar1(normal, true_sharpe=0.456) == pytest.approx(0.214, abs=5e-4)
    assert minimum_track_record(HEDGE_FUND, benchmark=0.0) == pytest.approx(13.029, abs=1e-3)
    for benchmark, published in ((0.0, 0.987), (0.1, 0.939)):
        deviation = sharpe_standard_deviation_ar1(HEDGE_FUND, true_sharpe=benchmark)
        assert NormalDist().cdf((HEDGE_FUND.sharpe - benchmark) / deviation) == pytest.approx(
            published, abs=5e-4
        )


@pytest.mark.parametrize(
    ("n_trials", "published"), [(10, 1.5746), (45, math.sqrt(4.998)), (100, 2.5306), (1000, 3.2551)]
)
def test_the_best_of_many_without_an_edge(n_trials: int, published: float) -> None:
    assert expected_maximum_sharpe(n_trials, variance=1.0) == pytest.approx(published, abs=1e-4)


def test_one_trial_is_no_choice() -> None:
    assert expected_maximum_sharpe(1.0, variance=1.0) == 0.0
    assert expected_maximum_sharpe(1.01, variance=1.0) == 0.0
    sample = Sample(n_observations=500, sharpe=0.1)
    assert deflated_sharpe(sample, n_effective=1.0) == probabilistic_sharpe_ratio(sample, benchmark=0.0)


@pytest.mark.parametrize(
    ("years", "sharpe", "published"),
    [(12, 0.5, 0.306), (12, 1.0, 0.354), (12, 3.0, 0.677), (60, 2.0, 0.224), (250, 1.0, 0.077)],
)
def test_the_standard_errors_of_lo(years: int, sharpe: float, published: float) -> None:
    sample = Sample(n_observations=years, sharpe=sharpe)

    assert sharpe_standard_deviation_ar1(sample, true_sharpe=sharpe) == pytest.approx(published, abs=5e-4)


def test_minimum_track_records_of_the_paper_in_the_form_that_takes_the_variance_at_the_benchmark() -> None:
    # SR 2 against SR 1 at 95%, daily and normal: the paper, with the variance at SR 2, says 2.731 years.
    daily = Sample(n_observations=250, sharpe=2 / math.sqrt(252))
    benchmark = 1 / math.sqrt(252)

    by_hand = 1.6448536**2 * (1 + 0.5 * benchmark**2) / benchmark**2
    assert minimum_track_record(daily, benchmark=benchmark) == pytest.approx(by_hand, rel=1e-6)
    assert by_hand / 252 == pytest.approx(2.731, abs=0.03)
    assert minimum_track_record(daily, benchmark=daily.sharpe) == math.inf


def test_positive_autocorrelation_widens_the_interval() -> None:
    # SR 0: the variance is a / T, a = 1 + 2 x .5 / .5 = 3.
    sample = Sample(n_observations=100, sharpe=0.0, autocorrelation=0.5)

    assert sharpe_standard_deviation_ar1(sample, true_sharpe=0.0) == pytest.approx(math.sqrt(3 / 100))
    with pytest.raises(InvalidValueError, match="autocorrelation"):
        sharpe_standard_deviation_ar1(
            Sample(n_observations=9, sharpe=0.0, autocorrelation=1.0), true_sharpe=0.0
        )


def test_the_lower_bound_is_annualised_and_covers_as_often_as_it_says() -> None:
    # True SR 1 a year, AR(1) of .2 (Sharpe ratios of the sum are asked, so innovations are scaled).
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        noise = generator.normal(0.0, math.sqrt(1 - 0.2**2), 1100)
        series = np.empty(1100)
        series[0] = noise[0]
        for t in range(1, 1100):
            series[t] = 0.2 * series[t - 1] + noise[t]
        returns = 0.01 * (series[100:] + 1 / math.sqrt(252))
        covered += annualized_lower_bound(returns, days_per_year=252) <= 1.0

    # 400 repetitions: one standard error is 1.1%.
    assert covered / 400 == pytest.approx(0.95, abs=0.033)


def test_too_few_returns_and_none_that_vary_have_no_bound() -> None:
    assert math.isnan(annualized_lower_bound(np.random.default_rng(1).normal(size=29), days_per_year=252))
    assert math.isnan(annualized_lower_bound(np.zeros(500), days_per_year=252))


def test_moments_of_a_short_series_by_hand() -> None:
    returns = np.tile([1.0, -1.0, 2.0, -1.0], 10)
    sample = describe(returns)

    assert sample is not None
    assert sample.n_observations == 40
    assert sample.sharpe == pytest.approx(0.25 / math.sqrt((7 / 4 - 1 / 16) * 40 / 39))
    # Deviations .75, -1.25, 1.75, -1.25: their products in order, the last of the 40 left out.
    cycle = -0.9375 - 2.1875 - 2.1875 - 0.9375
    assert sample.autocorrelation == pytest.approx((10 * cycle + 0.9375) / (10 * 6.75))


def test_effective_rank_counts_independent_series() -> None:
    assert effective_rank(np.eye(7)) == pytest.approx(7.0)
    assert effective_rank(np.ones((5, 5))) == pytest.approx(1.0)
    # Two pairs of equal series.
    pairs = np.eye(2).repeat(2, axis=0).repeat(2, axis=1)
    assert effective_rank(pairs) == pytest.approx(2.0)
    # Eigenvalues 1.5 and .5: exp of the entropy of 3/4 and 1/4.
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(np.array([[1.0, 0.5], [0.5, 1.0]])) == pytest.approx(expected)
