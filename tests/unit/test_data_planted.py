"""The planted set follows its recipe (RULINGS D11)."""

import numpy as np
import pytest

from engine.data import planted
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from engine.domain.time import Calendar, Timeframe

LONG = 400_000


def generator(seed: int = 3) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def log_returns(close: FloatArray) -> FloatArray:
    return np.asarray(np.diff(np.log(close), axis=0))


def test_the_daily_set_has_twelve_instruments_on_sessions() -> None:
    panel = planted.generate(1, Timeframe.DAY_1)

    assert panel.close.shape == (3780, 12)
    assert (panel.calendar, panel.synthetic, panel.has_range) == (Calendar.XNYS, True, True)
    weekdays = (panel.timestamps // (86_400 * 10**9) + 3) % 7
    assert weekdays.max() == 4
    assert (panel.volume > 0).all()


def test_the_hourly_twin_runs_round_the_clock_for_as_many_days() -> None:
    panel = planted.generate(1, Timeframe.HOUR_1)

    assert panel.close.shape == (3780 * 24, 12)
    assert panel.calendar is Calendar.ALWAYS
    assert set(np.diff(panel.timestamps).tolist()) == {3600 * 10**9}
    # As volatile over a year as the daily set.
    daily = planted.generate(1, Timeframe.DAY_1)
    yearly = log_returns(panel.close).std() * np.sqrt(252 * 24)
    assert yearly == pytest.approx(log_returns(daily.close).std() * np.sqrt(252), rel=0.15)


def test_a_seed_gives_the_same_bytes_again_and_another_seed_does_not() -> None:
    first, again, other = (planted.generate(seed, Timeframe.DAY_1).content_hash for seed in (5, 5, 6))

    assert first == again
    assert first != other


def test_other_bar_lengths_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="timeframe must be 1d or 1h, was 1m"):
        planted.generate(1, Timeframe.MINUTE_1)


def test_no_return_exceeds_the_cap() -> None:
    for seed in range(5):
        returns = log_returns(planted.generate(seed, Timeframe.DAY_1).close)
        # Prices have four decimals, the cheapest is above 1.
        assert np.abs(returns).max() <= 0.20 + 1e-4


def test_the_mean_drift_of_bull_and_bear_is_eight_per_cent() -> None:
    # (.08 + .50 / 11) / (10 / 11), by hand.
    assert pytest.approx(0.138) == planted.BULL_DRIFT
    assert pytest.approx(1 / 11) == planted.BEAR_SHARE


def test_a_bear_market_rules_one_day_in_eleven_and_lasts_sixty() -> None:
    bear = planted._bear_market(generator(), LONG, 1)
    entries = (np.diff(bear) > 0).sum()

    assert bear.mean() == pytest.approx(1 / 11, rel=0.1)
    assert bear.sum() / entries == pytest.approx(60, rel=0.1)


@pytest.mark.parametrize("bars_per_day", [1, 24])
def test_volatility_remembers_and_spreads_as_ruled(bars_per_day: int) -> None:
    path = planted._volatility_path(generator(), LONG, 2, bars_per_day)
    day = bars_per_day

    assert path.std() == pytest.approx(0.45, rel=0.1)
    assert np.corrcoef(path[:-day, 0], path[day:, 0])[0, 1] == pytest.approx(0.985, abs=0.005)


def test_shocks_have_variance_one_before_the_cut_and_stop_at_four() -> None:
    shocks = planted._shocks(generator(), LONG, 1)

    assert np.abs(shocks).max() == 4.0
    # The cut takes a little of the tails of a t distribution with 5 degrees of freedom.
    assert 0.9 < shocks.var() < 1.0


def test_the_edge_is_sixty_per_cent_a_year_with_alternating_sign() -> None:
    edge = planted._edge(generator(), LONG, 1)
    smooth = 0.33 / 252
    sign = np.sign(edge)
    jumped = np.abs(edge) > smooth * 1.5

    assert (np.abs(edge) * 252).mean() == pytest.approx(0.60, rel=0.02)
    assert jumped.sum() / edge.size * 252 == pytest.approx(3, rel=0.05)
    assert (np.abs(edge[jumped]) - smooth).min() >= 0.045 - 1e-12
    assert (np.abs(edge[jumped]) - smooth).max() <= 0.135 + 1e-12
    assert LONG * planted.INSTRUMENTS / (np.diff(sign, axis=0) != 0).sum() == pytest.approx(250, rel=0.03)
    # Instruments turn at times of their own.
    assert np.abs(np.corrcoef(sign.T) - np.eye(12)).max() < 0.1


def test_a_trend_follower_earns_the_edge() -> None:
    # Twelve months of momentum sign, equal weight, no costs: not the control itself, only that it is there.
    close = planted.generate(planted.PACKAGED_SEED, Timeframe.DAY_1).close
    returns = close[1:] / close[:-1] - 1
    trend = (close[60:-1] > close[:-61]).astype(float)
    excess = (trend * returns[60:]).sum(axis=1) / 12 - trend.mean() * returns[60:].mean(axis=1)

    assert excess.mean() / excess.std() * np.sqrt(252) > 1.5
