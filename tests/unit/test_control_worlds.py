"""The worlds of the control study have the truth that they claim."""

import math

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from research import control_worlds as worlds
from research.control_findings import independent_trials


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def annual_sharpe(returns: FloatArray) -> float:
    return float(returns.mean() / returns.std() * math.sqrt(worlds.DAYS_PER_YEAR))


def autocorrelation(values: FloatArray) -> float:
    return correlation(values[1:], values[:-1])


def correlation(one: FloatArray, other: FloatArray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def test_wild_noise_has_its_volatility_heavy_tails_and_no_memory_but_that_of_volatility() -> None:
    noise = worlds.independent(rng(), 200_000, 2, wild=True).noise

    assert noise.std() == pytest.approx(worlds.DAILY_VOLATILITY, rel=0.05)
    assert abs(noise.mean()) < 4 * worlds.DAILY_VOLATILITY / math.sqrt(noise.size)
    assert abs(np.mean([autocorrelation(column) for column in noise.T])) < 0.01
    standard = (noise / noise.std()) ** 4
    assert standard.mean() > 6.0
    # Large moves follow large ones, in the other column too.
    assert autocorrelation(np.abs(noise[:, 0])) > 0.1
    assert correlation(np.abs(noise[1:, 0]), np.abs(noise[:-1, 1])) > 0.1
    assert abs(correlation(noise[:, 0], noise[:, 1])) < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_however_wild_a_path_is_the_edge_on_it_has_the_size_that_was_asked_for(seed: int) -> None:
    scale = worlds.common_scale(rng(seed), 5 * 252)

    assert math.sqrt(np.mean(scale**2)) == pytest.approx(worlds.DAILY_VOLATILITY, rel=1e-12)
    assert scale.max() > 3 * worlds.DAILY_VOLATILITY


@pytest.mark.parametrize("sharpe", [0.25, 1.0, 2.0])
def test_a_planted_column_has_the_sharpe_ratio_that_was_asked_for_and_no_other_has_any(sharpe: float) -> None:
    made = worlds.independent(rng(), 252 * 600, 3)
    excess = made.with_edge(sharpe)

    # In 600 years a Sharpe ratio is known to 1 / root(600) = .04; the noise under it is the same for all
    # edges.
    assert annual_sharpe(excess[:, 0]) == pytest.approx(sharpe, abs=0.12)
    assert max(abs(annual_sharpe(excess[:, 1])), abs(annual_sharpe(excess[:, 2]))) < 0.12
    added = (excess - made.noise).mean(axis=0) / worlds.DAILY_VOLATILITY * math.sqrt(worlds.DAYS_PER_YEAR)
    np.testing.assert_allclose(added, [sharpe, 0.0, 0.0], atol=1e-9)


def test_neighbours_on_the_line_resemble_one_another_and_share_the_edge() -> None:
    made = worlds.parameter_line(rng(), 252 * 100)
    correlation = np.corrcoef(made.noise.T)

    assert np.diag(correlation, 1).mean() == pytest.approx(worlds.LINE_CORRELATION, abs=0.01)
    assert np.diag(correlation, 10).mean() == pytest.approx(worlds.LINE_CORRELATION**10, abs=0.04)
    assert made.noise.std() == pytest.approx(worlds.DAILY_VOLATILITY, rel=0.1)
    best = worlds.LINE_COLUMNS // 2
    assert made.profile.argmax() == best
    assert made.profile[best + 1] == pytest.approx(worlds.LINE_CORRELATION)


@pytest.mark.parametrize("asked", [0.0, worlds.PERSISTENCE])
def test_the_line_has_the_memory_from_day_to_day_that_was_asked_for(asked: float) -> None:
    made = worlds.parameter_line(rng(), 252 * 200, autocorrelation=asked)

    measured = np.mean([autocorrelation(column) for column in made.noise.T[::5]])
    # The scale of each day is drawn anew, which takes a part of the memory of the shocks under it.
    assert asked * 0.6 - 0.01 < measured < asked + 0.01


def test_families_have_the_number_of_independent_trials_that_they_stand_for() -> None:
    rows = 252 * 20

    assert independent_trials(worlds.independent(rng(), rows, 25).noise) == pytest.approx(25, abs=1.5)
    assert independent_trials(worlds.independent(rng(), rows, 1000).noise) == pytest.approx(1000, rel=0.12)
    assert 15 < independent_trials(worlds.parameter_line(rng(), rows).noise) < 25
    grid = worlds.search(worlds.random_walk(rng(), rows + worlds.WARM_UP)).excess()
    assert 7 < independent_trials(grid) < 20


def test_markets_have_their_volatility_their_tails_and_their_drift() -> None:
    rows = 252 * 800
    deviation = worlds.MARKET_VOLATILITY / math.sqrt(252)
    walk, clustered, drifting = (
        make(rng(), rows) for make in (worlds.random_walk, worlds.clustered, worlds.drifting)
    )

    for returns in (walk, clustered, drifting):
        assert returns.std() == pytest.approx(deviation, rel=0.06)
        assert abs(autocorrelation(returns)) < 0.02
    assert abs(autocorrelation(walk**2)) < 0.02
    assert autocorrelation(np.abs(clustered)) > 0.1
    assert abs(annual_sharpe(walk)) < 0.12
    assert abs(annual_sharpe(clustered)) < 0.12
    assert annual_sharpe(drifting) == pytest.approx(worlds.DRIFT_SHARPE, abs=0.12)


def test_the_grid_has_157_cells_each_fast_below_its_slow() -> None:
    cells = worlds.grid_cells()

    assert len(cells) == len(set(cells)) == 157
    assert all(fast < slow for fast, slow in cells)


def test_positions_are_those_of_averages_worked_out_one_by_one() -> None:
    log_returns = worlds.clustered(rng(), worlds.WARM_UP + 30)
    found = worlds.search(log_returns)
    prices = np.exp(np.cumsum(log_returns))

    for row in (0, 13, 29):
        known = prices[: worlds.WARM_UP + row]
        plain = [known[-fast:].mean() > known[-slow:].mean() for fast, slow in worlds.grid_cells()]
        assert found.positions[:, row].tolist() == plain
    np.testing.assert_allclose(found.returns, prices[worlds.WARM_UP :] / prices[worlds.WARM_UP - 1 : -1] - 1)


def test_a_position_does_not_know_the_return_that_it_earns() -> None:
    log_returns = worlds.clustered(rng(), worlds.WARM_UP + 50)
    changed = log_returns.copy()
    changed[-1] += 5.0

    np.testing.assert_array_equal(worlds.search(log_returns).positions, worlds.search(changed).positions)


def test_the_best_sharpe_ratio_is_that_of_the_best_column() -> None:
    found = worlds.search(worlds.trending(rng(), worlds.WARM_UP + 2000, 0.4))
    excess = found.excess()
    moving = excess[:, excess.std(axis=0) > 0]
    plain = (moving.mean(axis=0) / moving.std(axis=0, ddof=1)).max() * math.sqrt(252)

    assert found.best_sharpe() == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize(("sharpe", "drift"), worlds.TREND_DRIFT.items())
def test_trends_of_a_known_drift_give_the_grid_the_sharpe_ratio_that_is_written_down(
    sharpe: float, drift: float
) -> None:
    found = worlds.search(worlds.trending(rng(), worlds.WARM_UP + 252 * 500, drift))

    # Known to 1 / root(500) = .045, and the best of 157 cells is a little lucky.
    assert found.best_sharpe() == pytest.approx(sharpe, abs=0.13)


def test_a_market_too_short_for_the_averages_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="more than 230 rows"):
        worlds.search(np.zeros(worlds.WARM_UP))
