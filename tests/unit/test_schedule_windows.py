"""Walk-forward windows, by hand."""

import numpy as np
import pytest

from engine.domain.errors import InputError, InvalidValueError
from engine.schedule.windows import Rebalance, Window, plan, walk_forward


def test_windows_start_every_step_while_train_and_test_fit() -> None:
    windows = walk_forward(261, train=180, test=40, step=20, purge=1)

    assert windows == (
        Window(index=0, train_start=0, train_stop=179, test_start=180, test_stop=220),
        Window(index=1, train_start=20, train_stop=199, test_start=200, test_stop=240),
        Window(index=2, train_start=40, train_stop=219, test_start=220, test_stop=260),
    )


def test_us20_before_its_hold_out_was_cut_off_has_405_windows() -> None:
    assert len(walk_forward(8313)) == 405


def test_a_window_may_end_at_the_last_row() -> None:
    assert len(walk_forward(220)) == 1
    assert len(walk_forward(239)) == 1
    assert walk_forward(240)[-1].test_stop == 240


def test_purge_shortens_training_at_its_end_and_embargo_moves_the_test() -> None:
    (window,) = walk_forward(18, train=10, test=5, step=5, purge=3, embargo=2)

    assert (window.train_start, window.train_stop) == (0, 7)
    assert (window.test_start, window.test_stop) == (12, 17)


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(InputError, match="219 rows hold no window, one needs 220"):
        walk_forward(219)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": 0}, {"step": 0}, {"purge": 180}, {"embargo": -1}])
def test_a_length_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidValueError, match="walk-forward"):
        walk_forward(1000, **wrong)


def test_training_on_a_test_row_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="training, test"):
        Window(index=0, train_start=0, train_stop=11, test_start=10, test_stop=12)


def test_a_plan_is_in_force_from_each_test_start() -> None:
    windows = walk_forward(250)
    weights = np.array([[0.5, 0.5], [1.0, 0.0]])

    made = plan(windows, weights, Rebalance.DAILY_5PCT)

    assert made.rows.tolist() == [180, 200]
    assert made.weights.tolist() == weights.tolist()
    assert made.drift_band == 0.05


def test_rebalance_modes_have_their_drift_bands() -> None:
    assert [mode.drift_band for mode in Rebalance] == [np.inf, 0.0, 0.05]
