"""False discoveries and the set of models that cannot be told from the best, against published figures."""

import numpy as np
import pytest
from arch.bootstrap import MCS

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from research.discovery import (
    Dependence,
    model_confidence_set,
    observed_false_discovery_rate,
    planned_false_discovery_rate,
    q_values,
)
from research.statistics import Sample, power

# Bailey and Lopez de Prado 2012, monthly: mean .036, standard deviation .079, 24 months.
HEDGE_FUND = Sample(n_observations=24, sharpe=0.036 / 0.079, skew=-2.448, kurtosis=10.164)
# Benjamini and Hochberg 1995, section 4.2: fifteen treatments of myocardial infarction.
INFARCTION = np.array(
    [
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
        *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
    ]
)


def noise(seed: int, n_rows: int = 500, n_columns: int = 8) -> FloatArray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (n_rows, n_columns))


def test_false_discovery_rates_of_the_hedge_fund() -> None:
    """Lopez de Prado, Lipton and Zoonekynd 2025, numeric example: pFDR .581, oFDR .306, both to .001."""
    found = power(HEDGE_FUND, alternative=0.5)

    planned = planned_false_discovery_rate(prior=0.05, significance=0.05, power=found)
    observed = observed_false_discovery_rate(HEDGE_FUND, prior=0.05, alternative=0.5)

    assert planned == pytest.approx(0.581, abs=1e-3)
    assert observed == pytest.approx(0.306, abs=1e-3)


def test_where_nothing_has_an_edge_every_discovery_is_false() -> None:
    assert planned_false_discovery_rate(prior=0.0, significance=0.05, power=0.9) == 1.0
    assert planned_false_discovery_rate(prior=1.0, significance=0.05, power=0.9) == 0.0
    assert planned_false_discovery_rate(prior=0.5, significance=0.0, power=0.0) == 0.0


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InvalidValueError, match="prior"):
        planned_false_discovery_rate(prior=share, significance=0.05, power=0.9)
    with pytest.raises(InvalidValueError, match="above the one without"):
        observed_false_discovery_rate(HEDGE_FUND, prior=0.5, alternative=0.1, benchmark=0.1)


def test_the_infarction_study_has_four_discoveries() -> None:
    """Benjamini and Hochberg 1995, section 4.2: four at 5%, where Bonferroni has three."""
    assert (q_values(INFARCTION) <= 0.05).sum() == 4
    assert (INFARCTION * 15 <= 0.05).sum() == 3
    by_hand = np.minimum.accumulate((INFARCTION * 15 / np.arange(1, 16))[::-1])[::-1]
    np.testing.assert_allclose(q_values(INFARCTION), by_hand)
    # Benjamini and Yekutieli 2001: times the sum of 1/i, at most 1.
    harmonic = (1 / np.arange(1, 16)).sum()
    np.testing.assert_allclose(
        q_values(INFARCTION, dependence=Dependence.ANY), np.minimum(by_hand * harmonic, 1.0)
    )


def test_q_values_keep_the_order_given_and_refuse_what_is_no_probability() -> None:
    shuffled = np.random.default_rng(1).permutation(15)

    np.testing.assert_array_equal(q_values(INFARCTION[shuffled]), q_values(INFARCTION)[shuffled])
    assert q_values(np.empty(0)).shape == (0,)
    for spoilt in (np.nan, 1.5, -0.1):
        with pytest.raises(InvalidValueError, match="p-values"):
            q_values(np.array([0.5, spoilt]))


def test_the_set_is_that_of_arch() -> None:
    excess = noise(1) + np.linspace(-0.003, 0.003, 8)

    ours = model_confidence_set(excess, rng=np.random.default_rng(3), n_bootstraps=300, block_length=4.0)

    test = MCS(-excess, 0.10, reps=300, block_size=4, method="max", seed=np.random.default_rng(3))
    test.compute()
    assert np.flatnonzero(ours).tolist() == list(test.included)
    assert 1 <= ours.sum() < 8
    assert ours[7]


def test_equal_columns_share_their_fate_and_a_worse_copy_is_out() -> None:
    excess = noise(2, n_columns=4) + np.array([0.004, 0.0, 0.0, -0.004])
    more = np.column_stack([excess, excess[:, 0], excess[:, 0] - 0.0001, excess[:, 3]])

    few = model_confidence_set(excess, rng=np.random.default_rng(3), n_bootstraps=300, block_length=4.0)
    many = model_confidence_set(more, rng=np.random.default_rng(3), n_bootstraps=300, block_length=4.0)

    assert few.tolist() == [True, False, False, False]
    assert many.tolist() == [True, False, False, False, True, False, False]


def test_one_column_is_its_own_best() -> None:
    assert model_confidence_set(noise(1, n_columns=1), rng=np.random.default_rng(1)).tolist() == [True]
    twins = np.repeat(noise(1, n_columns=1), 2, axis=1)
    assert model_confidence_set(twins, rng=np.random.default_rng(1)).tolist() == [True, True]


def test_what_cannot_be_compared_is_refused() -> None:
    for spoilt, message in (
        (noise(1)[:29], "shape"),
        (noise(1)[:, :0], "shape"),
        (np.column_stack([noise(1), np.zeros(500)]), "column 8"),
        (np.where(np.arange(8) == 2, np.nan, noise(1)), "column 2"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            model_confidence_set(spoilt, rng=np.random.default_rng(1))
