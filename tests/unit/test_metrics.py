"""Metrics by hand, and against the figures that five libraries agree on for the S&P 500, 1999-2018."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from engine.core import metrics
from engine.domain.errors import IdentityError, InvalidValueError
from engine.domain.panel import FloatArray
from research.downside import sortino_ratio


@pytest.fixture(scope="module")
def sp500() -> FloatArray:
    """Simple returns of the adjusted close, 1999-01-05 to 2018-12-31."""
    from arch.data import sp500 as source

    closes = source.load()["Adj Close"].to_numpy(dtype=np.float64)
    return np.asarray(closes[1:] / closes[:-1] - 1.0)


def normal(seed: int, size: int) -> FloatArray:
    return np.random.default_rng(seed).normal(0.0005, 0.01, size)


def test_the_sp500_has_its_published_figures(sp500: FloatArray) -> None:
    assert sp500.size == 5030
    assert metrics.sharpe(sp500, 252) == pytest.approx(0.2827392290, abs=1e-10)
    assert metrics.annualized_volatility(sp500, 252) == pytest.approx(0.1909820714, abs=1e-10)
    assert metrics.max_drawdown(sp500) == pytest.approx(-0.5677538775, abs=1e-10)
    assert sortino_ratio(sp500, 252) == pytest.approx(0.3986140299, abs=1e-10)
    assert metrics.cagr(sp500, 252) == pytest.approx(0.0363955433, abs=1e-10)
    assert metrics.cvar_95(sp500) == pytest.approx(-0.0286092704, abs=1e-10)


def test_annualised_return_is_arithmetic() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.0, 0.005])

    assert metrics.annualized_return(returns, 252) == pytest.approx(0.005 * 252)
    assert metrics.total_return(returns) == pytest.approx(1.01 * 0.98 * 1.03 * 1.005 - 1)


def test_daily_returns_of_daily_bars_begin_with_zero_and_compound_to_the_account() -> None:
    equity = np.array([100.0, 110.0, 99.0])

    returns = metrics.daily_returns(equity, np.array([True, True, True]))

    assert_allclose(returns, [0.0, 0.1, -0.1], atol=1e-15)
    metrics.assert_identity(returns, equity)


def test_daily_returns_of_intraday_bars_compound_each_day_and_the_day_that_is_cut_off() -> None:
    equity = np.array([100.0, 105.0, 110.0, 121.0, 120.0, 133.1, 66.55])
    ends = np.array([False, False, True, False, False, True, False])

    returns = metrics.daily_returns(equity, ends)

    assert_allclose(returns, [0.10, 0.21, -0.50], atol=1e-15)
    metrics.assert_identity(returns, equity)


def test_daily_returns_leave_the_mask_of_the_panel_alone() -> None:
    ends = np.array([False, False])
    ends.flags.writeable = False

    metrics.daily_returns(np.array([1.0, 2.0]), ends)


@pytest.mark.parametrize("level", [math.nan, 0.0, -1.0, math.inf])
def test_an_account_without_a_positive_value_has_no_returns(level: float) -> None:
    with pytest.raises(InvalidValueError, match="row 1"):
        metrics.daily_returns(np.array([1.0, level]), np.array([True, True]))


def test_the_identity_fails_beyond_a_billionth() -> None:
    equity = np.array([1.0, 2.0])

    metrics.assert_identity(np.array([1.0 + 1e-9]), equity)
    with pytest.raises(IdentityError, match="x2"):
        metrics.assert_identity(np.array([1.0 + 3e-9]), equity)
    with pytest.raises(IdentityError):
        metrics.assert_identity(np.array([math.nan]), equity)


def test_a_first_loss_is_a_drawdown_from_the_start() -> None:
    assert metrics.max_drawdown(np.array([-0.1, 0.2, -0.5])) == pytest.approx(-0.5)
    assert metrics.max_drawdown(np.array([-0.1, 0.05])) == pytest.approx(-0.1)
    assert metrics.max_drawdown(np.array([0.1, 0.1])) == 0.0


def test_cvar_is_the_mean_at_or_below_the_quantile() -> None:
    # 41 values, -20 to 20: the 5% quantile is the third smallest, -18.
    returns = np.arange(-20.0, 21.0)

    assert metrics.value_at_risk_95(returns) == -18.0
    assert metrics.cvar_95(returns) == -19.0


def test_few_observations_and_no_variance_are_missing() -> None:
    short = np.array([0.01, 0.02, 0.01, 0.0])

    for measure in (metrics.sharpe, metrics.annualized_return, metrics.annualized_volatility, metrics.cagr):
        assert math.isnan(measure(short, 252))
    assert math.isnan(metrics.cvar_95(short))
    assert math.isnan(metrics.sharpe(np.full(300, 0.1), 252))
    assert math.isnan(metrics.skewness(np.full(300, 0.1)))


def test_beta_and_correlation_are_those_of_scipy() -> None:
    market = normal(1, 500)
    returns = 0.7 * market + normal(2, 500)
    fit = stats.linregress(market, returns)

    assert metrics.beta(returns, market) == pytest.approx(fit.slope, abs=1e-12)
    assert metrics.correlation(returns, market) == pytest.approx(fit.rvalue, abs=1e-12)
    assert metrics.beta(2.0 * market, market) == pytest.approx(2.0)


def test_moments_are_those_of_scipy(sp500: FloatArray) -> None:
    assert metrics.skewness(sp500) == pytest.approx(stats.skew(sp500), abs=1e-12)
    assert metrics.kurtosis(sp500) == pytest.approx(stats.kurtosis(sp500, fisher=False), abs=1e-10)


def test_returns_of_other_days_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="must match"):
        metrics.beta(np.zeros(5), np.zeros(6))


def test_af_dist_is_skew_plus_the_log_of_the_tails() -> None:
    # -50..49 thousandths, and .2 more on the last day: the quantiles are 44.05 and -45.05 thousandths.
    returns = np.arange(-50.0, 50.0) / 1000
    returns[-1] += 0.2
    best = returns[returns >= np.quantile(returns, 0.95)].mean()
    worst = returns[returns <= np.quantile(returns, 0.05)].mean()
    assert best == pytest.approx((0.045 + 0.046 + 0.047 + 0.048 + 0.249) / 5)
    assert worst == pytest.approx(-0.048)

    expected = stats.skew(returns) + math.log(best / 0.048)
    assert metrics.af_dist(returns) == pytest.approx(expected, abs=1e-9)


def test_af_dist_of_a_symmetric_distribution_is_about_zero_and_needs_100_days() -> None:
    returns = np.linspace(-1.0, 1.0, 101)

    assert metrics.af_dist(returns) == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(metrics.af_dist(returns[:99]))


def test_af_dist_counts_an_idle_day_into_one_tail_only() -> None:
    # 90% of days are exactly 0: without the jitter the 95% quantile would be 0 and so would half the tail.
    returns = np.zeros(200)
    returns[:10] = -0.01
    returns[190:] = 0.02

    assert metrics.af_dist(returns) == pytest.approx(stats.skew(returns) + math.log(2.0), abs=1e-6)


def test_stress_alpha_is_over_the_worst_decile_of_the_reference() -> None:
    reference = np.arange(101.0) - 50.0
    excess = np.where(reference <= -40.0, 0.5, -0.25)

    assert metrics.stress_days(reference).sum() == 11
    assert metrics.stress_alpha(reference + excess, reference) == pytest.approx(0.5)
    assert metrics.stress_delta(reference + excess, reference) == pytest.approx(0.75)
    assert math.isnan(metrics.stress_alpha(reference[:99], reference[:99]))


def test_temporal_fragility_is_the_spread_of_block_sharpes_over_their_mean() -> None:
    # A block of alternating m+s, m-s has mean m and standard deviation s x sqrt(252/251).
    means = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    wave = np.where(np.arange(252) % 2 == 0, 1.0, -1.0)
    returns = (means[:, None] + wave).ravel()
    tail = np.full(251, -9.0)

    # Sharpes are proportional to 1..5: standard deviation sqrt(2.5), mean 3.
    assert metrics.temporal_fragility(returns) == pytest.approx(math.sqrt(2.5) / 3.0)
    assert metrics.temporal_fragility(np.concatenate((returns, tail))) == pytest.approx(math.sqrt(2.5) / 3.0)


def test_temporal_fragility_of_an_idle_block_of_losses_and_of_four_blocks() -> None:
    wave = np.where(np.arange(252) % 2 == 0, 2.0, 0.0)
    idle = np.zeros(252)

    # Sharpes s, s, s, s, 0: mean .8 s, standard deviation s x sqrt(.2).
    assert metrics.temporal_fragility(np.concatenate((wave, wave, idle, wave, wave))) == pytest.approx(
        math.sqrt(0.2) / 0.8
    )
    assert metrics.temporal_fragility(-np.tile(wave, 5)) == math.inf
    assert metrics.temporal_fragility(np.tile(idle, 5)) == math.inf
    assert math.isnan(metrics.temporal_fragility(np.tile(wave, 5)[:-1]))


def test_without_a_loss_there_is_no_sortino_ratio() -> None:
    assert math.isnan(sortino_ratio(np.array([0.01, 0.0, 0.02]), 252))
    assert math.isnan(sortino_ratio(np.empty(0), 252))
