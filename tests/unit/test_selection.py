"""Selection by hand: who is eligible, what each component says, and who is taken of a cluster."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.core import metrics
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from engine.selection import components
from engine.selection.log_mps import WEIGHTS, LogMps, TailMeasures, select_log_mps
from engine.selection.universe import Eligibility, Selected, eligible, select_all, simple_returns

MEASURES = TailMeasures(af_dist=metrics.af_dist, cvar_95=metrics.cvar_95)


def closes_of(returns: FloatArray) -> FloatArray:
    return np.asarray(np.vstack((np.ones(returns.shape[1]), np.cumprod(1.0 + returns, axis=0))) * 50.0)


def two_sectors(seed: int = 1, rows: int = 178, each: int = 6) -> FloatArray:
    """Closes of two groups that move together inside and not across."""
    generator = np.random.default_rng(seed)
    factors = generator.normal(0.0005, 0.008, (rows, 2)).repeat(each, axis=1)
    return closes_of(factors + generator.normal(0.0, 0.003, (rows, 2 * each)))


def choose(closes: FloatArray, settings: LogMps, traded_value: FloatArray | None = None) -> Selected:
    return select_log_mps(
        closes,
        Eligibility(),
        settings,
        days_per_year=252,
        measures=MEASURES,
        generator=np.random.default_rng(7),
        traded_value=traded_value,
    )


def test_an_instrument_enters_only_with_all_its_training_rows() -> None:
    closes = np.full((5, 4), 10.0)
    closes[0, 1] = np.nan
    closes[3, 2] = np.nan
    closes[2, 3] = 0.0

    assert eligible(closes, Eligibility()).tolist() == [True, False, False, False]


def test_wild_instruments_do_not_enter() -> None:
    # Returns of +-10% have a standard deviation just above .10; one move of 21% is above .20.
    wild = np.tile([0.101, -0.101], 50)
    event = np.zeros(100)
    event[50] = 0.21
    calm = np.tile([0.01, -0.01], 50)

    closes = closes_of(np.column_stack((wild, event, calm)))

    assert eligible(closes, Eligibility()).tolist() == [False, False, True]
    assert eligible(closes, Eligibility(volatility_max=0.2)).tolist() == [True, False, True]
    assert eligible(closes, Eligibility(absolute_return_max=0.22)).tolist() == [False, True, True]


def test_selection_all_takes_the_eligible_and_none_means_cash() -> None:
    closes = np.full((5, 2), 10.0)
    assert select_all(closes, Eligibility()).mask.tolist() == [True, True]

    closes[:] = np.nan
    assert not select_all(closes, Eligibility()).mask.any()
    assert not choose(closes, LogMps(floor=1)).mask.any()


def test_limits_and_lengths_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="volatility_max 0"):
        Eligibility(volatility_max=0)
    with pytest.raises(InvalidValueError, match="at least 3 training rows"):
        eligible(np.ones((2, 3)), Eligibility())
    with pytest.raises(InvalidValueError, match="floor and top_n"):
        LogMps(floor=0)
    with pytest.raises(InvalidValueError, match="weights must name momentum"):
        LogMps(weights={"momentum": 1.0})


def test_efficiency_is_way_made_over_way_gone() -> None:
    assert components.efficiency_ratio(np.array([0.02, -0.01, 0.01])) == pytest.approx(0.5)
    assert components.efficiency_ratio(np.full(100, -0.01)) == pytest.approx(1.0)
    assert math.isnan(components.efficiency_ratio(np.zeros(10)))
    # Only the last 64 count.
    assert components.efficiency_ratio(np.concatenate((np.full(50, -0.01), np.full(64, 0.01)))) == 1.0


def test_order_of_the_example_of_bandt_and_pompe() -> None:
    # 4, 7, 9, 10, 6, 11, 3 has entropy 1.522 bits of at most log2(6) in patterns of 3.
    series = np.array([4.0, 7, 9, 10, 6, 11, 3])

    assert 1.0 - components.order(series) == pytest.approx(1.5219 / math.log2(6), abs=1e-4)
    assert components.order(np.arange(64.0)) == 1.0
    assert components.order(np.random.default_rng(1).normal(size=64)) < 0.1
    assert math.isnan(components.order(np.array([1.0, 2.0])))


def test_the_hurst_exponent_tells_noise_from_trend_and_reversal() -> None:
    generator = np.random.default_rng(3)
    noise = generator.normal(size=4096)
    trend = np.convolve(noise, np.ones(300) / 300, mode="valid")
    reversal = np.diff(noise)

    assert components.hurst_exponent(noise) == pytest.approx(0.55, abs=0.05)
    assert components.hurst_exponent(trend) > 0.9
    assert components.hurst_exponent(reversal) < 0.25
    assert math.isnan(components.hurst_exponent(noise[:63]))
    assert components.hurst_clean(noise) == pytest.approx(1 - 2 * abs(components.hurst_exponent(noise) - 0.5))


def test_survival_is_the_share_of_paths_without_the_drawdown() -> None:
    # The first never falls, the second always falls by more than 20%, the third in some paths.
    generator = np.random.default_rng(1)
    returns = np.column_stack((np.full(180, 0.01), np.full(180, -0.01), generator.normal(0, 0.015, 180)))

    def share(seed: int) -> list[float]:
        values = components.survival(
            returns, drawdown=0.2, n_paths=400, block=10, generator=np.random.default_rng(seed)
        )
        return [float(value) for value in values]

    safe, doomed, sometimes = share(5)
    assert (safe, doomed) == (1.0, 0.0)
    assert 0.1 < sometimes < 0.9
    assert share(5) == share(5)
    assert share(6)[2] == pytest.approx(sometimes, abs=0.1)


def test_a_first_loss_counts_as_a_drawdown() -> None:
    returns = np.full((30, 1), -0.2001)

    values = components.survival(
        returns[:1], drawdown=0.2, n_paths=3, block=1, generator=np.random.default_rng(1)
    )

    assert values.tolist() == [0.0]


def test_groups_that_move_together_are_clusters() -> None:
    chosen = choose(two_sectors(), LogMps(floor=2, momentum_min=-1.0, survival_min=0.0))

    assert len(set(chosen.clusters[:6])) == 1
    assert len(set(chosen.clusters[6:])) == 1
    assert set(chosen.clusters) == {1, 2}


def test_the_best_scores_of_each_cluster_are_taken() -> None:
    chosen = choose(two_sectors(), LogMps(floor=2, top_n=4, momentum_min=-1.0, survival_min=0.0))

    # Members correlate at about .88: round(4 x .12 + .5) = 1 place each.
    for members in (np.arange(6), np.arange(6, 12)):
        taken = members[chosen.mask[members]]
        assert taken.tolist() == [members[np.argmax(chosen.scores[members])]]
    assert not chosen.is_fallback


def test_momentum_and_survival_gates_keep_the_best_score_out() -> None:
    closes = two_sectors()
    closes[-1, :6] *= 0.90
    settings = LogMps(floor=1, momentum_min=-0.05, survival_min=0.0)
    last_60 = closes[-1] / closes[-61] - 1.0

    chosen = choose(closes, settings)
    assert last_60[chosen.mask].min() >= -0.05
    assert chosen.mask.sum() < 3

    # Nobody survives with certainty, so nobody is taken, and that falls back to all eligible.
    nobody = choose(closes, replace(settings, survival_min=1.1))
    assert nobody.is_fallback
    assert nobody.mask.tolist() == nobody.eligible.tolist()


def test_fewer_than_the_floor_fall_back_to_all_eligible() -> None:
    closes = two_sectors()
    closes[3, 0] = np.nan

    chosen = choose(closes, LogMps(floor=10))

    assert chosen.is_fallback
    assert chosen.mask.tolist() == [False] + [True] * 11


def test_components_without_data_get_no_weight_and_are_named() -> None:
    closes = two_sectors()
    settings = LogMps(floor=2)

    without = choose(closes, settings)
    assert without.components_zeroed == ("liquidity",)
    assert set(without.components_used) == set(WEIGHTS) - {"liquidity"}

    with_volume = choose(closes, settings, traded_value=closes * 1e6)
    assert with_volume.components_zeroed == ()
    assert_allclose(with_volume.components["liquidity"], closes.mean(axis=0) * 1e6 / 5e8)

    # Below 100 days there are no tails to speak of.
    assert choose(closes[-90:], settings).components_zeroed == ("liquidity", "antifragility")


def test_the_score_is_the_weighted_sum_of_logarithms() -> None:
    closes = two_sectors()
    returns = simple_returns(closes)
    only_momentum = dict.fromkeys(WEIGHTS, 0.0) | {"momentum": 2.0}

    chosen = choose(closes, LogMps(floor=2, weights=only_momentum))

    ranks = np.argsort(np.argsort(returns.mean(axis=0)))
    fragility = np.array([abs(metrics.cvar_95(r)) / r.std(ddof=1) for r in returns.T])
    expected = 2.0 * np.log(0.01 + 0.99 * ranks / 11) + np.log(1 - 0.5 * fragility / fragility.max())
    assert_allclose(chosen.scores, expected, atol=1e-12)


def test_the_same_window_is_chosen_the_same_way_twice() -> None:
    one, other = (choose(two_sectors(), LogMps(floor=2)) for _ in range(2))

    assert one.mask.tolist() == other.mask.tolist()
    assert one.scores.tolist() == other.scores.tolist()


def test_scaling_all_prices_changes_nothing() -> None:
    closes = two_sectors()

    assert_allclose(choose(closes * 16.0, LogMps(floor=2)).scores, choose(closes, LogMps(floor=2)).scores)
