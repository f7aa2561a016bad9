"""Diagnostics of a search: against the paper's algorithm taken literally, and where the answer is known."""

import math
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from research.overfitting import (
    Overfitting,
    minimum_backtest_length,
    path_dispersion,
    plateau,
    probability_of_overfitting,
)
from research.splits import combinatorial, horizon_intervals, paths

YEAR = math.sqrt(252)


def literal(returns: FloatArray, n_blocks: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Follow the steps of Bailey et al. (2017), section 2.2: logits, Sharpe ratios inside and outside."""
    blocks = np.split(returns[len(returns) % n_blocks :], n_blocks)
    logits, inside, outside = [], [], []
    for chosen in combinations(range(n_blocks), n_blocks // 2):
        trained = np.concatenate([blocks[place] for place in chosen])
        tested = np.concatenate([blocks[place] for place in range(n_blocks) if place not in chosen])
        in_sample = trained.mean(axis=0) / trained.std(axis=0, ddof=1)
        out_of_sample = tested.mean(axis=0) / tested.std(axis=0, ddof=1)
        best = int(np.argmax(in_sample))
        rank = 1 + sum(value < out_of_sample[best] for value in out_of_sample)
        relative = rank / (returns.shape[1] + 1)
        logits.append(math.log(relative / (1 - relative)))
        inside.append(in_sample[best])
        outside.append(out_of_sample[best])
    return np.array(logits), np.array(inside), np.array(outside)


@pytest.mark.parametrize("rows", [96, 101])
def test_sums_of_blocks_give_what_the_paper_s_steps_give(rows: int) -> None:
    # A drift of many deviations in some trials: squares about 0 would lose the variance.
    rng = np.random.default_rng(3)
    returns = rng.normal(0.0, 0.01, (rows, 9)) + rng.normal(0.0, 0.05, 9)

    found = probability_of_overfitting(returns, n_blocks=8)

    logits, inside, outside = literal(returns, 8)
    assert logits.shape == (70,)
    np.testing.assert_allclose(found.logits, logits, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.in_sample, inside, rtol=1e-12)
    np.testing.assert_allclose(found.out_of_sample, outside, rtol=1e-12)
    assert found.probability == (logits <= 0).mean()
    assert found.slope == pytest.approx(np.polyfit(inside, outside, 1)[0], rel=1e-9)
    assert found.probability_of_loss == (outside < 0).mean()
    assert found.degradation == pytest.approx(1 - outside.mean() / inside.mean())


def test_there_are_12870_splits_of_16_blocks_in_the_order_of_their_combinations() -> None:
    returns = np.random.default_rng(1).normal(size=(64, 5))

    found = probability_of_overfitting(returns)

    logits, inside, _ = literal(returns, 16)
    assert found.logits.shape == (12870,)
    np.testing.assert_allclose(found.in_sample, inside, rtol=1e-10)
    np.testing.assert_allclose(found.logits, logits, atol=1e-10)


def noise(rng: np.random.Generator) -> FloatArray:
    return rng.normal(size=(1000, 200))


def planted(rng: np.random.Generator) -> FloatArray:
    returns = noise(rng)
    returns[:, :20] += 0.15
    return returns


def centred(rng: np.random.Generator) -> FloatArray:
    returns = noise(rng)
    returns -= returns.mean(axis=0)
    return returns


def repeated(make: Callable[[np.random.Generator], FloatArray], times: int) -> list[Overfitting]:
    return [probability_of_overfitting(make(np.random.default_rng(seed))) for seed in range(times)]


# Soloviov's controls (T = 1000, N = 200, S = 16, 60 matrices): null .476 +- .137, in sample 1.98 a year to
# .06 out of sample; planted .001, 3.73 to 2.34.


def test_noise_is_overfitted_in_half_of_the_splits() -> None:
    found = repeated(noise, 16)

    probabilities = [one.probability for one in found]
    # One matrix deviates by .14, so the mean of 16 by .035: three of those.
    assert np.mean(probabilities) == pytest.approx(0.50, abs=0.105)
    assert 0.09 < np.std(probabilities, ddof=1) < 0.20
    assert np.mean([one.in_sample.mean() for one in found]) * YEAR == pytest.approx(1.98, abs=0.1)
    assert np.mean([one.out_of_sample.mean() for one in found]) * YEAR == pytest.approx(0.0, abs=0.25)


def test_a_planted_edge_is_not_overfitted() -> None:
    found = repeated(planted, 12)

    assert np.mean([one.probability for one in found]) == pytest.approx(0.001, abs=0.002)
    # One matrix deviates by .24 and .47, so the mean of 12 by .068 and .136: three of those.
    assert np.mean([one.in_sample.mean() for one in found]) * YEAR == pytest.approx(3.73, abs=0.20)
    assert np.mean([one.out_of_sample.mean() for one in found]) * YEAR == pytest.approx(2.34, abs=0.41)
    assert not any(one.vetoes for one in found)
    assert max(one.degradation for one in found) < 0.5


def test_noise_without_any_mean_is_overfitted_in_every_split() -> None:
    # What is gained in one half is lost in the other: the full overfit of the paper.
    for found in repeated(centred, 3):
        assert found.probability == 1.0
        assert found.out_of_sample.mean() * YEAR == pytest.approx(-1.37, abs=0.15)
        assert found.slope == pytest.approx(-1.0, abs=0.1)
        assert found.probability_of_loss == 1.0
        assert found.vetoes


def overfitting(probability: float, slope: float, degradation: float) -> Overfitting:
    empty = np.empty(0)
    return Overfitting(
        probability=probability,
        logits=empty,
        in_sample=empty,
        out_of_sample=empty,
        slope=slope,
        degradation=degradation,
        probability_of_loss=0.5,
    )


def test_only_all_three_signs_together_veto() -> None:
    assert overfitting(0.51, -0.1, 1.0).vetoes
    assert overfitting(0.51, -0.1, math.nan).vetoes
    assert overfitting(0.51, math.nan, math.nan).vetoes
    assert overfitting(math.nan, -0.1, 1.0).vetoes
    assert not overfitting(0.50, -0.1, 1.5).vetoes
    assert not overfitting(0.51, 0.1, 1.5).vetoes
    assert not overfitting(0.51, -0.1, 0.99).vetoes


def test_trials_that_share_one_edge_are_not_vetoed() -> None:
    # All trials are nearly the same good series: which is best is luck, and harmless.
    rng = np.random.default_rng(5)
    returns = rng.normal(0.1, 1.0, (1000, 1)) + rng.normal(0.0, 0.1, (1000, 40))

    found = probability_of_overfitting(returns)

    assert found.probability > 0.3
    assert found.slope < 0
    assert not found.vetoes


def test_trials_without_variance_count_as_nothing() -> None:
    rng = np.random.default_rng(6)
    returns = rng.normal(-0.2, 1.0, (160, 3))
    returns[:80, 1] = 0.0
    returns[80:, 2] = 0.3
    returns = np.column_stack((returns, np.zeros(160)))

    found = probability_of_overfitting(returns, n_blocks=4)

    assert np.isfinite(found.in_sample).all()
    assert np.isfinite(found.out_of_sample).all()
    # Halves of blocks 0 and 1: cash, the first of equals, beats all that loses.
    assert found.in_sample[0] == 0.0
    # Halves of blocks 2 and 3: a constant gain has no variance and counts as 0 too, not as infinite.
    assert found.in_sample[-1] == 0.0


def test_equal_trials_share_the_middle_rank() -> None:
    column = np.random.default_rng(7).normal(size=(64, 1))

    found = probability_of_overfitting(np.repeat(column, 5, axis=1), n_blocks=4)

    assert found.logits.tolist() == [0.0] * 6
    # No better than the median is no better than the toss of a coin.
    assert found.probability == 1.0


@pytest.mark.parametrize(
    ("returns", "n_blocks", "message"),
    [
        (np.zeros((100, 3)), 5, "blocks must be an even number"),
        (np.zeros((100, 1)), 4, "N >= 2"),
        (np.zeros((7, 3)), 4, "T >= 8"),
        (np.array([[0.0, 1.0]] * 9 + [[np.nan, 0.0]]), 4, "return of trial 0 in row 9 is nan"),
    ],
)
def test_what_cannot_be_split_is_refused(returns: FloatArray, n_blocks: int, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        probability_of_overfitting(returns, n_blocks=n_blocks)


# ---------------------------------------------------------------------------------- length of a backtest


@pytest.mark.parametrize(("trials", "years"), [(45, 4.998), (10, 2.479), (1000, 10.596)])
def test_trials_exhaust_years(trials: int, years: float) -> None:
    # Notices AMS 61(5), figure 2: no more than 45 independent trials in 5 years, at a Sharpe ratio of 1.
    assert minimum_backtest_length(trials) == pytest.approx(years, abs=1e-3)
    # Theorem 2's upper bound.
    assert minimum_backtest_length(trials) < 2 * math.log(trials)
    assert minimum_backtest_length(trials, annualized_sharpe=2.0) == pytest.approx(years / 4, abs=1e-3)


def test_one_trial_needs_no_length_and_no_profit_needs_all() -> None:
    assert minimum_backtest_length(1) == 0.0
    assert minimum_backtest_length(10, annualized_sharpe=0.0) == math.inf


# ------------------------------------------------------------------------------------------------- paths


def test_paths_are_stitched_from_what_was_best_elsewhere() -> None:
    rng = np.random.default_rng(8)
    returns = rng.normal(size=(121, 7))

    found = path_dispersion(returns, n_groups=6, n_test=2, horizon=2, embargo=1)

    starts, ends = horizon_intervals(121, 2)
    splits = combinatorial(starts, ends, n_groups=6, n_test=2, embargo=1)
    best = [
        int(np.argmax(returns[split.train].mean(axis=0) / returns[split.train].std(axis=0, ddof=1)))
        for split in splits
    ]
    assert found.chosen.tolist() == best
    borders = [0, 20, 40, 60, 80, 100, 121]
    for path, sources in enumerate(paths(6, 2)):
        expected = np.concatenate(
            [returns[borders[g] : borders[g + 1], best[source]] for g, source in enumerate(sources)]
        )
        np.testing.assert_array_equal(found.returns[path], expected)
        assert found.sharpes[path] == pytest.approx(expected.mean() / expected.std(ddof=1))
    assert found.deviation == pytest.approx(found.sharpes.std(ddof=1))


def test_paths_of_noise_earn_nothing_and_those_of_an_edge_do() -> None:
    of_noise = [path_dispersion(noise(np.random.default_rng(seed))) for seed in range(8)]
    of_edge = path_dispersion(planted(np.random.default_rng(0)))

    assert of_edge.sharpes.shape == (9,)
    assert np.mean([one.mean for one in of_noise]) * YEAR == pytest.approx(0.0, abs=0.5)
    assert of_edge.mean * YEAR > 1.8
    assert of_edge.loss_share == 0.0
    assert 0.3 < np.mean([one.loss_share for one in of_noise]) < 0.7


def test_one_trial_has_one_path_again_and_again() -> None:
    returns = np.random.default_rng(9).normal(size=(100, 1))

    found = path_dispersion(returns)

    assert (found.returns == returns.T).all()
    assert found.deviation == pytest.approx(0.0, abs=1e-15)


def test_paths_without_variance_count_as_nothing() -> None:
    assert path_dispersion(np.zeros((100, 2))).sharpes.tolist() == [0.0] * 9


def test_groups_without_rows_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="T >= 20"):
        path_dispersion(np.zeros((19, 2)))
    with pytest.raises(InvalidValueError, match="cannot test on 10 of 10"):
        path_dispersion(np.zeros((100, 2)), n_test=10)


# ---------------------------------------------------------------------------------------------- plateaus


def grid(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    places = np.array(list(product(*(range(size) for size in values.shape))), dtype=np.float64)
    return places, values.ravel()


def test_a_plateau_and_a_needle_by_hand() -> None:
    flat = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 0.9, 0.8, 0.7], [0.0, 0.8, 1.0, 0.8], [0.0, 0.7, 0.8, 0.9]])
    needle = np.zeros((4, 4))
    needle[2, 2] = 1.0

    found = plateau(*grid(flat))

    assert (found.best, found.peak, found.n_neighbours) == (10, 1.0, 8)
    assert found.neighbourhood == pytest.approx(6.4 / 8)
    assert found.ratio == pytest.approx(0.8)
    assert plateau(*grid(needle)).ratio == 0.0


def test_neighbours_are_those_of_the_grid_whatever_its_steps() -> None:
    places, values = grid(np.array([[0.5, 0.2, 0.1], [0.4, 0.3, 0.0]]))
    uneven = np.array([[1.0, 2.0], [10.0, 200.0]])[:, places[:, 0].astype(int)].T[:, :1]
    stretched = np.column_stack((uneven, np.exp(3.0 * places[:, 1])))

    found = plateau(stretched, values)

    assert found == plateau(places, values)
    assert found.n_neighbours == 3
    assert found.neighbourhood == pytest.approx(0.3)


def test_a_corner_has_fewer_neighbours_and_a_failed_trial_is_none() -> None:
    values = np.array([[1.0, 0.4, 0.0], [np.nan, 0.8, 0.0], [0.0, 0.0, 0.0]])

    found = plateau(*grid(values))

    assert (found.best, found.n_neighbours) == (0, 2)
    assert found.neighbourhood == pytest.approx(0.6)


def test_neighbours_in_a_random_search_are_in_the_next_bins() -> None:
    rng = np.random.default_rng(10)
    points = rng.uniform(size=(400, 2))
    hill = np.exp(-8.0 * ((points - 0.5) ** 2).sum(axis=1))

    found = plateau(points, hill)
    luck = plateau(points, rng.normal(size=400))

    near = np.abs(points - points[found.best]).max(axis=1)
    assert found.n_neighbours > 15
    assert found.ratio > 0.8
    assert luck.ratio < 0.3
    assert near[near <= 0.1].size <= found.n_neighbours + 1 <= near[near <= 0.25].size


def test_no_ratio_without_a_positive_peak_or_a_neighbour() -> None:
    assert math.isnan(plateau(*grid(np.array([[-1.0, -2.0]]))).ratio)
    lonely = plateau(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, np.nan, 0.5]))
    assert (lonely.n_neighbours, math.isnan(lonely.ratio)) == (0, True)


@pytest.mark.parametrize(
    ("parameters", "values", "message"),
    [
        (np.zeros((3, 1)), np.full(3, np.nan), "needs a trial with a value"),
        (np.full((3, 1), np.nan), np.zeros(3), "parameters that are finite"),
        (np.zeros((3, 1)), np.zeros(4), r"must have shape \(n, d\)"),
    ],
)
def test_a_plateau_of_nothing_is_refused(parameters: FloatArray, values: FloatArray, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        plateau(parameters, values)
