"""Windows, band and verdict of a row on sealed bars, worked out by hand."""

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.gates import Verdict
from research.configuration import Windows
from research.sealed import Band, band_of, sealed_windows
from scoreboards.sealed import judged

LENGTHS = Windows(train=20, test=4, step=2, purge=1, embargo=0)


def test_the_fit_in_force_at_the_seal_begins_at_the_last_open_close_and_the_newest_is_kept_to_the_end() -> (
    None
):
    # Test parts of a whole history begin at rows 20, 22, 24, 26, ... Row 26 is the first sealed one.
    windows = sealed_windows(33, 26, LENGTHS)

    assert [(window.train_start, window.train_stop) for window in windows] == [(4, 23), (6, 25), (8, 27)]
    assert [window.test_start for window in windows] == [25, 26, 28]
    assert [window.test_stop for window in windows] == [28, 30, 33]
    # Nothing is fitted on a row at or after the one on which it comes into force.
    assert all(window.train_stop < window.test_start for window in windows)


def test_without_a_window_before_the_seal_nothing_is_played() -> None:
    with pytest.raises(InvalidValueError, match="no window begins before them"):
        sealed_windows(33, 20, LENGTHS)


def test_the_band_of_independent_days_is_the_normal_one() -> None:
    rng = np.random.default_rng(3)
    excess = rng.normal(0.0005, 0.01, 5000)
    sharpe = excess.mean() / excess.std(ddof=1) * np.sqrt(252)

    band = band_of(excess, 252, rng=rng, days_per_year=252)

    # A year's Sharpe ratio has standard error 1, nine in ten within 1.645 of it.
    assert band.low == pytest.approx(sharpe - 1.645, abs=0.2)
    assert band.high == pytest.approx(sharpe + 1.645, abs=0.2)
    assert band.n_days == 252


def test_four_times_the_days_halve_the_band() -> None:
    excess = np.random.default_rng(4).normal(0.0, 0.01, 5000)

    year, years = (
        band_of(excess, n_days, rng=np.random.default_rng(1), days_per_year=252) for n_days in (252, 1008)
    )

    assert (years.high - years.low) / (year.high - year.low) == pytest.approx(0.5, abs=0.06)


def test_more_days_than_the_record_has_are_not_made_up() -> None:
    excess = np.random.default_rng(5).normal(0.0, 0.01, 100)

    assert band_of(excess, 504, rng=np.random.default_rng(1), days_per_year=252).n_days == 100


@pytest.mark.parametrize(
    ("sharpe", "bound", "verdict", "place"),
    [
        (1.5, 0.1, Verdict.PASS, "inside"),
        (2.5, 0.9, Verdict.PASS, "above"),
        (0.4, -0.9, Verdict.HOLD, "inside"),
        (2.5, -0.1, Verdict.HOLD, "above"),
        (-0.2, -1.4, Verdict.FAIL, "inside"),
        (-0.6, -1.8, Verdict.FAIL, "below"),
        # Without variance there is no ratio, and nothing was earned.
        (float("nan"), float("nan"), Verdict.FAIL, "inside"),
    ],
)
def test_a_row_is_judged_by_its_bound_then_by_what_it_promised(
    sharpe: float, bound: float, verdict: Verdict, place: str
) -> None:
    finding = judged(sharpe, bound, Band(low=-0.5, high=2.0, n_days=504))

    assert (finding.verdict, finding.place) == (verdict, place)


def test_a_small_excess_below_a_high_promise_fails() -> None:
    assert judged(0.3, -0.8, Band(low=0.9, high=3.1, n_days=504)).verdict is Verdict.FAIL
