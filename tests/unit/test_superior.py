"""The best of many, tested at once and step by step: against arch, by hand, in size and power."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from arch.bootstrap import SPA, StationaryBootstrap, optimal_block_length
from arch.data import sp500

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from research import superior
from research.resampling import (
    CHUNK,
    block_length,
    politis_white_lengths,
    resampled_counts,
    resampled_rows,
)
from research.superior import bootstrap_variances, step_down, superior_predictive_ability


def noise(seed: int, n_rows: int = 1249, n_columns: int = 100) -> FloatArray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (n_rows, n_columns))


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------------------- resamples


def test_counts_and_rows_are_the_same_resamples() -> None:
    n_bootstraps = CHUNK + 3
    rows = np.concatenate(list(resampled_rows(50, n_bootstraps, length=4.0, rng=generator())))
    counts = np.concatenate(list(resampled_counts(50, n_bootstraps, length=4.0, rng=generator())))

    assert rows.shape == counts.shape == (n_bootstraps, 50)
    by_hand = np.array([np.bincount(row, minlength=50) for row in rows])
    np.testing.assert_array_equal(counts, by_hand)


def test_blocks_have_the_length_asked_for_and_run_over_the_end() -> None:
    rows = np.concatenate(list(resampled_rows(400, 300, length=8.0, rng=generator())))

    follows = (rows[:, 1:] - rows[:, :-1]) % 400 == 1
    # A new block begins at the next row by chance once in 400 times.
    assert follows.mean() == pytest.approx(1 - 1 / 8 + 1 / 8 / 400, abs=0.003)
    assert ((rows[:, :-1] == 399) & (rows[:, 1:] == 0)).any()
    assert rows.min() == 0
    assert rows.max() == 399


def test_blocks_of_one_row_are_the_plain_bootstrap() -> None:
    rows = np.concatenate(list(resampled_rows(400, 300, length=1.0, rng=generator())))

    assert ((rows[:, 1:] - rows[:, :-1]) % 400 == 1).mean() == pytest.approx(1 / 400, abs=0.001)


@pytest.mark.parametrize("n_rows", [30, 101, 1249])
def test_block_lengths_are_those_of_arch(n_rows: int) -> None:
    columns = noise(2, n_rows, 12)
    for row in range(1, n_rows):
        columns[row] += np.linspace(-0.5, 0.99, 12) * columns[row - 1]

    np.testing.assert_allclose(
        politis_white_lengths(columns), optimal_block_length(columns)["stationary"], rtol=1e-10
    )


def test_block_lengths_of_the_sp500() -> None:
    closes = sp500.load()["Adj Close"].to_numpy(dtype=np.float64)
    returns = np.asarray(closes[1:] / closes[:-1] - 1.0)[:, None]

    # arch 8.0.0: 9.085239 for the stationary bootstrap, 10.400002 for the circular one, 136.21 for squares.
    (length,) = politis_white_lengths(returns)
    assert length == pytest.approx(9.085239, abs=1e-6)
    assert length * 1.5 ** (1 / 3) == pytest.approx(10.400002, abs=1e-6)
    assert politis_white_lengths(returns**2)[0] == pytest.approx(136.21, abs=5e-3)


def test_one_length_for_a_family_is_the_median_of_the_rule_of_politis_and_white() -> None:
    family = noise(1, 800, 5)
    family[1:, 2] += 0.5 * family[:-1, 2]

    asked = optimal_block_length(family)["stationary"].to_numpy()
    assert block_length(family) == pytest.approx(max(1.0, float(np.median(asked))))
    assert block_length(family[:, 2]) == pytest.approx(asked[2])
    # Of many columns 32 are asked, the first and the last among them; the rest changes nothing.
    many = np.tile(family[:, :1], 64)
    spoilt = many.copy()
    spoilt[:, 1] = np.cumsum(spoilt[:, 1])
    assert block_length(many) == block_length(spoilt)


# -------------------------------------------------------------------------------------- against arch


@pytest.mark.parametrize(("n_rows", "length"), [(700, 12.0), (701, 3.5), (64, 1.0)])
def test_the_variance_of_a_bootstrapped_mean_is_that_of_arch(n_rows: int, length: float) -> None:
    excess = noise(3, n_rows, 20)
    excess[1:] += 0.3 * excess[:-1]
    deviations = (excess - excess.mean(axis=0)) / excess.std(axis=0)

    ours = bootstrap_variances(deviations, length=length)

    reference = SPA(np.zeros(n_rows), -deviations, block_size=1, reps=1, seed=1)
    reference.block_size = length  # type: ignore[assignment]  # its formula knows fractions
    reference._compute_variance()
    np.testing.assert_allclose(ours, reference._loss_diff_var, rtol=0, atol=2e-14)


def test_the_variance_is_the_one_that_resampled_means_have() -> None:
    excess = noise(3, 200, 2)
    excess[1:] += 0.4 * excess[:-1]
    deviations = (excess - excess.mean(axis=0)) / excess.std(axis=0)

    means = np.concatenate(
        [counts @ deviations / 200 for counts in resampled_counts(200, 20_000, length=6.0, rng=generator())]
    )

    np.testing.assert_allclose(
        200 * means.var(axis=0), bootstrap_variances(deviations, length=6.0), rtol=0.03
    )


def resamples_of_arch(n_rows: int, block_size: int, n_bootstraps: int, seed: int) -> Iterator[FloatArray]:
    drawn = StationaryBootstrap(block_size, np.arange(n_rows), seed=seed)
    for (rows,), _ in drawn.bootstrap(n_bootstraps):
        yield np.bincount(rows, minlength=n_rows)[None, :].astype(np.float64)


@pytest.mark.parametrize("drift", [-0.0006, 0.0, 0.0004])
def test_the_p_values_are_those_of_arch_on_the_same_resamples(drift: float) -> None:
    # arch ignores `studentize`: columns whose mean has a standard error of 1 make both statistics the same.
    excess = noise(5, 600, 30) + drift + np.linspace(-0.001, 0.0005, 30)
    deviations = excess - excess.mean(axis=0)
    unit = excess / np.sqrt(bootstrap_variances(deviations, length=10.0))

    ours = superior._superiority(
        superior._studentised(excess, 10.0), resamples_of_arch(600, 10, 400, seed=9), 400
    )

    reference = SPA(np.zeros(600), -unit, block_size=10, reps=400, seed=9)
    reference.compute()
    for name in ("lower", "consistent", "upper"):
        # Ours counts the sample itself as one more resample, so that no p-value is 0.
        assert (getattr(ours, f"p_{name}") * 401 - 1) / 400 == pytest.approx(
            reference.pvalues[name], abs=1e-12
        )


def test_a_quiet_strategy_is_heard_beside_loud_noise() -> None:
    # Fifty noise strategies at 5% a day, one of Sharpe 3 at .2% a day: arch says p = .26, whatever is asked.
    excess = np.random.default_rng(4).normal(0.0, 0.05, (1250, 51))
    excess[:, 7] = 0.002 * (excess[:, 7] / 0.05 + 3 / np.sqrt(252))

    assert superior_predictive_ability(excess, rng=generator()).p_consistent < 0.01
    assert int(np.argmin(step_down(excess, rng=generator()))) == 7


# ------------------------------------------------------------------------------------------- step-down


def test_the_best_column_has_the_p_value_of_the_family_and_no_better_one_a_larger() -> None:
    excess = noise(6, 500, 40) + np.linspace(-0.001, 0.0012, 40)

    adjusted = step_down(excess, rng=generator(3), n_bootstraps=300)

    family = superior_predictive_ability(excess, rng=generator(3), n_bootstraps=300)
    assert adjusted.min() == family.p_consistent
    length = block_length(excess)
    scores = superior._studentised(excess, length).scores
    assert (np.diff(adjusted[np.argsort(-scores)]) >= 0).all()


def test_a_column_is_not_better_proven_than_one_with_a_larger_score() -> None:
    # Two independent columns of almost one score: the second, held against itself alone, would have half the
    # p-value of the first.
    excess = noise(6, 500, 2)
    excess = excess - excess.mean(axis=0)
    scores = superior._studentised(excess + 0.001, 1.0).scores
    excess += 0.001 * np.array([1.71, 1.70]) / scores

    first, second = step_down(excess, rng=generator(), block_length=1.0)

    assert 0.06 < first < 0.12
    assert second == first


def test_what_is_already_found_no_longer_competes() -> None:
    # Two columns of known edge: without the first, the second is held against the others alone.
    excess = noise(6, 500, 20)
    excess[:, :2] = excess[:, :2] - excess[:, :2].mean(axis=0) + [0.004, 0.0012]

    adjusted = step_down(excess, rng=generator(3), n_bootstraps=500, block_length=5.0)

    alone = step_down(excess[:, 1:], rng=generator(3), n_bootstraps=500, block_length=5.0)
    assert adjusted[0] == 1 / 501
    assert adjusted[1] == alone[0]


# -------------------------------------------------------------------------------------- size and power


def test_noise_fails_as_often_as_it_says_and_an_edge_is_found() -> None:
    """Noise passes in at most 8% of families at 5%, a Sharpe ratio of 3 in five years in 95% of them."""
    asked = {"n_bootstraps": 199, "block_length": 2}  # about the length that the rule asks for
    passed = found = found_by_step_down = 0
    for seed in range(100):
        excess = noise(seed, n_columns=50)
        passed += superior_predictive_ability(excess, rng=generator(seed), **asked).p_consistent <= 0.05
        if seed < 20:
            excess[:, 13] += 0.01 * 3 / np.sqrt(252)
            judged = superior_predictive_ability(excess, rng=generator(seed), **asked)
            found += judged.p_consistent <= 0.05
            found_by_step_down += step_down(excess, rng=generator(seed), **asked)[13] <= 0.05

    assert 1 <= passed <= 8
    assert found >= 19
    assert found_by_step_down >= 19


# ----------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("test", [superior_predictive_ability, step_down])
def test_the_same_state_gives_the_same_answer_and_scale_does_not_show(
    test: Callable[..., object],
) -> None:
    excess = noise(8, 400, 10)
    scaled = excess * np.logspace(-9, 9, 10)

    first = test(excess, rng=generator(2), n_bootstraps=200, block_length=4.0)
    again = test(excess, rng=generator(2), n_bootstraps=200, block_length=4.0)
    other = test(scaled, rng=generator(2), n_bootstraps=200, block_length=4.0)

    assert np.array_equal(np.array(first, dtype=object), np.array(again, dtype=object))
    if isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, np.asarray(other))
    else:
        assert isinstance(first, superior.Superiority)
        assert isinstance(other, superior.Superiority)
        assert first.p_consistent == other.p_consistent
        assert first.statistic == pytest.approx(other.statistic)


def test_a_family_below_its_benchmark_has_no_evidence_at_all() -> None:
    judged = superior_predictive_ability(noise(1, 300, 5) - 0.01, rng=generator(), n_bootstraps=50)

    assert judged == superior.Superiority(statistic=0.0, p_lower=1.0, p_consistent=1.0, p_upper=1.0)
    assert (step_down(noise(1, 300, 5) - 0.01, rng=generator(), n_bootstraps=50) == 1.0).all()


def test_the_three_p_values_come_in_their_order() -> None:
    excess = noise(2, 600, 50) - np.linspace(0.0, 0.004, 50)

    judged = superior_predictive_ability(excess, rng=generator())

    assert judged.p_lower < judged.p_consistent < judged.p_upper


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:, :0], "shape"),
        (lambda x: x[:29], "at least 30"),
        (
            lambda x: np.where(np.arange(5) == 3, 0.1 + 0.2 * 0.1 * np.sign(x) * 1e-15, x),
            "column 3 .* not vary",
        ),
        (lambda x: np.where(x == x[7, 2], np.nan, x), "column 2 .* not finite"),
        (lambda x: np.where(x == x[7, 4], np.inf, x), "column 4 .* not finite"),
    ],
)
def test_what_cannot_be_judged_is_refused(spoil: Callable[[FloatArray], FloatArray], message: str) -> None:
    for test in (superior_predictive_ability, step_down):
        with pytest.raises(InvalidValueError, match=message):
            test(spoil(noise(1, 100, 5)), rng=generator())


@pytest.mark.parametrize("length", [0.5, 101.0, float("nan")])
def test_a_block_is_at_least_a_row_and_at_most_all(length: float) -> None:
    with pytest.raises(InvalidValueError, match="block length"):
        superior_predictive_ability(noise(1, 100, 5), rng=generator(), block_length=length)


def test_no_resamples_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="bootstraps"):
        superior_predictive_ability(noise(1, 100, 5), rng=generator(), n_bootstraps=0)
