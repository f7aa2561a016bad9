"""The selection of many windows at once chooses what the plain one chooses, bit for bit."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.core import metrics
from engine.domain.panel import FloatArray
from engine.selection import components, log_mps_fast
from engine.selection.log_mps import LogMps, TailMeasures, select_log_mps
from engine.selection.log_mps_fast import eligible_fast, select_log_mps_fast
from engine.selection.universe import Eligibility, eligible

MEASURES = TailMeasures(af_dist=metrics.af_dist, cvar_95=metrics.cvar_95)
ROWS = 179


def worlds(count: int, instruments: int, *, seed: int, rows: int = ROWS) -> FloatArray:
    """Closes of shape (K, T, N): some move together, some fall, jump, stand still, or have holes."""
    generator = np.random.default_rng(seed)
    common = generator.standard_normal((count, rows, 1))
    own = generator.standard_t(4, (count, rows, instruments))
    share = generator.uniform(0.0, 1.0, (count, 1, instruments))
    mixed = share * common + (1.1 - share) * own
    returns = 0.012 * mixed + generator.normal(0, 0.002, instruments)
    closes: FloatArray = np.asarray(50.0 * np.cumprod(1.0 + np.clip(returns, -0.15, 0.15), axis=1))
    closes[::5, 30, 1] = np.nan
    closes[1::5, 40:, 2] *= 1.5
    # Never moved, and moved on a few days only: ties, tails of zeros and chunks without variance.
    closes[2::5, :, 3] = 20.0
    closes[3::5, :, 4] = 20.0 + np.repeat([0.0, 1.0, 0.5], [60, 60, rows - 120])
    return closes


def in_lines(closes: FloatArray) -> FloatArray:
    return np.ascontiguousarray(closes.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("instruments", "settings", "has_volume"),
    [
        (6, LogMps(floor=3), False),
        (12, LogMps(floor=6, survival_drawdown=0.1, momentum_min=-0.02), True),
        (31, LogMps(floor=10, cluster_distance=0.01), False),  # more clusters than there may be
        (9, LogMps(floor=2, top_n=1, survival_block=7, survival_paths=50, lookbacks=(30,)), True),
        (8, LogMps(floor=8), False),  # nearly always the fallback
    ],
)
def test_the_choices_of_many_windows_are_those_of_each(
    instruments: int, settings: LogMps, has_volume: bool
) -> None:
    closes = worlds(15, instruments, seed=instruments)
    value = closes * np.random.default_rng(1).uniform(1e5, 1e7, closes.shape) if has_volume else None
    if value is not None:
        value[4, 10, 0] = np.nan
    generators = [np.random.Generator(np.random.PCG64([3, index])) for index in range(len(closes))]

    many = select_log_mps_fast(
        in_lines(closes),
        Eligibility(),
        settings,
        days_per_year=252,
        starts=np.array(
            [
                components.block_starts(
                    ROWS - 1,
                    n_paths=settings.survival_paths,
                    block=settings.survival_block,
                    generator=np.random.Generator(np.random.PCG64([3, index])),
                )
                for index in range(len(closes))
            ]
        ),
        traded_value=None if value is None else in_lines(value),
    )

    for window, generator in enumerate(generators):
        one = select_log_mps(
            closes[window],
            Eligibility(),
            settings,
            days_per_year=252,
            measures=MEASURES,
            generator=generator,
            traded_value=None if value is None else value[window],
        )
        assert one.mask.tolist() == many.mask[window].tolist()
        assert one.eligible.tolist() == many.eligible[window].tolist()
        assert one.is_fallback == many.is_fallback[window]
        assert one.components_zeroed == many.components_zeroed[window]


def test_the_eligible_of_many_windows_are_those_of_each() -> None:
    closes = worlds(20, 7, seed=5)

    together = eligible_fast(in_lines(closes), Eligibility())

    assert together.tolist() == [eligible(window, Eligibility()).tolist() for window in closes]
    assert not together.all()


@pytest.mark.parametrize(
    ("plain", "fast"),
    [
        (components.efficiency_ratio, log_mps_fast.efficiency_ratio_fast),
        (components.order, log_mps_fast.order_fast),
        (components.hurst_exponent, log_mps_fast.hurst_exponent_fast),
        (metrics.af_dist, log_mps_fast.af_dist_fast),
        (metrics.cvar_95, log_mps_fast.cvar_95_fast),
    ],
)
@pytest.mark.parametrize("days", [4, 40, 70, 178, 600])
def test_each_component_is_the_plain_one_to_the_bit(
    plain: Callable[[FloatArray], float], fast: Callable[[FloatArray], FloatArray], days: int
) -> None:
    generator = np.random.default_rng(days)
    lines = 0.01 * generator.standard_t(3, (40, days))
    lines[1], lines[2] = 0.0, 0.01
    lines[3, : days // 2] = 0.0
    lines[4] = lines[4].round(2)  # many ties

    values = fast(lines)

    assert values.tobytes() == np.array([plain(line) for line in lines]).tobytes()


@pytest.mark.parametrize("block", [1, 7, 10, 16, 60, 200])
def test_survival_of_whole_blocks_is_that_of_their_days(block: int) -> None:
    returns = 0.012 * np.random.default_rng(2).standard_t(4, (30, 178))
    # These fall by the drawdown in two steps, so that the last bit decides.
    for line, first in enumerate(np.linspace(0.81, 0.99, 20)):
        returns[line] = 0.0
        returns[line, 17:19] = first - 1.0, 0.8 / first - 1.0

    fast = log_mps_fast.survival_fast(
        returns,
        drawdown=0.2,
        block=block,
        starts=components.block_starts(178, n_paths=150, block=block, generator=np.random.default_rng(4)),
    )

    plain = components.survival(
        np.asarray(returns.T), drawdown=0.2, n_paths=150, block=block, generator=np.random.default_rng(4)
    )
    assert fast.tolist() == plain.tolist()
    assert block == 200 or len(np.unique(plain)) > 5


@pytest.mark.parametrize("length", [8, 16, 64, 128, 256, 1024])
def test_rows_are_added_up_as_numpy_adds_a_line(length: int) -> None:
    values = np.random.default_rng(length).standard_normal((length, 50))

    assert log_mps_fast.sum_of_rows(values).tobytes() == np.ascontiguousarray(values.T).sum(axis=1).tobytes()
