"""Inference on Sharpe ratios against published figures."""

import math

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from research.control_worlds import clustered
from research.statistics import (
    Sample,
    annualization_factor,
    annualized_lower_bound,
    deflated_by_luck,
    deflated_sharpe,
    describe,
    equivalent_trials,
    exact_expected_maximum,
    exceedance,
    expected_maximum_sharpe,
    independent_share,
    minimum_track_record,
    power,
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
        assert 1.0 - exceedance(HEDGE_FUND, true_sharpe=benchmark) == pytest.approx(published, abs=5e-4)
    # Its beta: how often the test misses a true ratio of .5.
    assert 1.0 - power(HEDGE_FUND, alternative=0.5) == pytest.approx(0.315, abs=5e-4)


@pytest.mark.parametrize(
    ("n_trials", "published"), [(10, 1.5746), (45, math.sqrt(4.998)), (100, 2.5306), (1000, 3.2551)]
)
def test_the_best_of_many_without_an_edge(n_trials: int, published: float) -> None:
    assert expected_maximum_sharpe(n_trials, variance=1.0) == pytest.approx(published, abs=1e-4)


@pytest.mark.parametrize(
    ("n_trials", "published"),
    [(1, 0.0), (2, 1 / math.sqrt(math.pi)), (10, 1.5388), (100, 2.5076), (1000, 3.2414)],
)
def test_the_exact_best_of_many_and_its_inverse(n_trials: int, published: float) -> None:
    # Two have 1 / root(pi) in closed form; the others are tabulated normal order statistics, to 5e-5.
    assert exact_expected_maximum(n_trials) == pytest.approx(published, abs=5e-5)
    assert equivalent_trials(exact_expected_maximum(n_trials)) == pytest.approx(n_trials, rel=1e-9)
    assert equivalent_trials(-0.3) == 1.0


def test_forty_five_trials_exhaust_five_years() -> None:
    """Bailey, Borwein, Lopez de Prado and Zhu 2014, theorem 1: at an in-sample Sharpe ratio of 1 a year."""
    assert expected_maximum_sharpe(45, variance=1.0) ** 2 == pytest.approx(4.998, abs=1e-3)


def test_one_trial_is_no_choice() -> None:
    assert expected_maximum_sharpe(1.0, variance=1.0) == 0.0
    assert expected_maximum_sharpe(1.01, variance=1.0) == 0.0
    sample = Sample(n_observations=500, sharpe=0.1)
    alone = probabilistic_sharpe_ratio(sample, benchmark=0.0)
    assert deflated_sharpe(sample, n_effective=1.0, variance=1.0) == alone
    assert deflated_by_luck(sample, n_effective=1.0) == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize(
    ("n_observations", "sharpe", "published"),
    [
        *[(12, 0.5, 0.306), (12, 1.0, 0.354), (12, 2.0, 0.500), (12, 3.0, 0.677)],
        *[(24, 0.5, 0.217), (24, 1.0, 0.250), (24, 2.0, 0.354), (125, 1.0, 0.110)],
        *[(60, 0.5, 0.137), (60, 1.0, 0.158), (60, 2.0, 0.224), (60, 3.0, 0.303)],
        *[(250, 1.0, 0.077), (500, 3.0, 0.105)],
    ],
)
def test_the_standard_errors_of_lo(n_observations: int, sharpe: float, published: float) -> None:
    """Lo 2002, Financial Analysts Journal 58(4), table 1, to its three digits."""
    sample = Sample(n_observations=n_observations, sharpe=sharpe)

    assert sharpe_standard_deviation_ar1(sample, true_sharpe=sharpe) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize(
    ("autocorrelation", "published"), [(-0.2, 4.17), (0.0, 3.46), (0.1, 3.16), (0.2, 2.88), (0.5, 2.12)]
)
def test_annualisation_of_monthly_ratios(autocorrelation: float, published: float) -> None:
    """Lo 2002, Financial Analysts Journal 58(4), table 2, q = 12, to its two digits."""
    assert annualization_factor(12, autocorrelation=autocorrelation) == pytest.approx(published, abs=5e-3)


def test_annualisation_is_the_ratio_of_the_sum_over_periods() -> None:
    # Variance of the sum of three periods: 3 + 2 (2 x .5 + 1 x .25).
    assert annualization_factor(3, autocorrelation=0.5) == pytest.approx(3 / math.sqrt(5.5))
    assert annualization_factor(1, autocorrelation=0.9) == 1.0
    for n_periods, autocorrelation in ((0, 0.0), (12, 1.0), (12, math.nan)):
        with pytest.raises(InvalidValueError, match="annualization"):
            annualization_factor(n_periods, autocorrelation=autocorrelation)


@pytest.mark.parametrize(
    ("a_year", "skew", "kurtosis", "published"),
    [(252, 0, 3, 2.731), (52, 0, 3, 2.829), (12, 0, 3, 3.240), (12, -0.72, 5.78, 4.991)],
)
def test_minimum_track_records_of_the_paper(
    a_year: int, skew: float, kurtosis: float, published: float
) -> None:
    """Bailey and Lopez de Prado 2012, Journal of Risk 15(2): years in which SR 2 beats SR 1 at 95%, to .001.

    There the variance is taken at the estimate: the track record at which the form of 2014 says 95%.
    """

    def certainty(years: float) -> float:
        sample = Sample(
            n_observations=years * a_year,  # type: ignore[arg-type]  # the paper's record is not whole
            sharpe=2 / math.sqrt(a_year),
            skew=skew,
            kurtosis=kurtosis,
        )
        return probabilistic_sharpe_ratio(sample, benchmark=1 / math.sqrt(a_year))

    assert certainty(published - 1e-3) < 0.95 < certainty(published + 1e-3)


def test_a_longer_record_finds_more_and_the_level_is_what_no_edge_passes() -> None:
    records = [Sample(n_observations=n, sharpe=0.0, autocorrelation=0.1) for n in (250, 1000, 4000)]
    found = [power(sample, alternative=1 / math.sqrt(252)) for sample in records]

    assert found == sorted(found)
    assert power(records[0], alternative=1e-12) == pytest.approx(0.05, abs=1e-6)
    # Just as many observations as are needed: half of the samples show more than their true ratio.
    sample = Sample(n_observations=1, sharpe=0.1)
    needed = Sample(n_observations=round(minimum_track_record(sample)), sharpe=0.1)
    assert power(needed, alternative=0.1) == pytest.approx(0.5, abs=2e-3)


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


@pytest.mark.parametrize("n_trials", [1.05, 1.5, 2.0, 2.4])
def test_the_best_of_one_or_two_trials_is_not_deflated_by_less_than_its_luck(n_trials: float) -> None:
    n_days = 1001
    # As good as the best of so many is on average without an edge: an even chance of one, and no more.
    sample = Sample(n_observations=n_days, sharpe=exact_expected_maximum(n_trials) / math.sqrt(n_days - 1))

    assert deflated_by_luck(sample, n_effective=n_trials) == pytest.approx(0.5, abs=1e-9)


def test_days_that_resemble_one_another_count_as_fewer() -> None:
    """Days drawn and then held for two: as much evidence as half as many, in the deflated ratio too."""
    sample = Sample(n_observations=4001, sharpe=0.07, autocorrelation=1 / 3, autocorrelation_score=20.0)
    half = Sample(n_observations=2001, sharpe=0.07)

    assert independent_share(sample) == pytest.approx(0.5)
    assert deflated_by_luck(sample, n_effective=25) == pytest.approx(deflated_by_luck(half, n_effective=25))


@pytest.mark.parametrize(("autocorrelation", "score"), [(-0.5, -20.0), (0.0, 0.0), (0.04, 2.32)])
def test_what_noise_shows_of_autocorrelation_takes_and_gives_nothing(
    autocorrelation: float, score: float
) -> None:
    sample = Sample(
        n_observations=4001, sharpe=0.07, autocorrelation=autocorrelation, autocorrelation_score=score
    )
    assert independent_share(sample) == 1.0


def test_wild_noise_seems_to_remember_no_more_often_than_the_score_says() -> None:
    """400 series of GARCH with heavy tails, one-sided 5%: 20 are expected, 47 by the error of equal days."""
    found = [describe(clustered(np.random.default_rng(seed), 2520)) for seed in range(400)]
    scores = [sample.autocorrelation_score for sample in found if sample is not None]

    assert 8 <= sum(score > 1.645 for score in scores) <= 34
