"""A bar is final by the clock alone: worked out by hand on hours."""

import numpy as np

from engine.data.providers.finality import GRACE, final_until, sift, unsettled_from
from engine.domain.time import Timeframe
from tests.lakes import HOUR, START, bars, closes

HOURLY = Timeframe.HOUR_1


def test_a_bar_is_final_when_its_end_and_the_grace_are_past() -> None:
    end = START + HOUR

    # A bar is final if it opens before what is returned.
    assert final_until(end + GRACE, HOURLY) == START + 1
    assert final_until(end + GRACE - 1, HOURLY) == START


def test_bars_that_are_not_over_or_have_not_begun_are_refused_and_counted() -> None:
    # Now is ten minutes into the hour that opens at START + 2 h.
    now = START + 2 * HOUR + HOUR // 6
    sifted = sift(bars({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 7: 5.0}), HOURLY, now)

    assert closes(sifted.final) == {0: 1.0, 1: 2.0}
    assert (sifted.forming, sifted.future) == (1, 2)


def test_a_bar_within_the_grace_counts_as_forming() -> None:
    sifted = sift(bars({0: 1.0}), HOURLY, START + HOUR + GRACE // 2)

    assert len(sifted.final) == 0
    assert (sifted.forming, sifted.future) == (1, 0)


def test_bars_are_unsettled_for_five_intervals_after_their_end() -> None:
    now = START + 6 * HOUR
    opens = START + HOUR * np.arange(6)

    # Those that ended at most five hours ago: all from START on.
    assert (opens >= unsettled_from(now, HOURLY)).tolist() == [True] * 6
    assert (opens >= unsettled_from(now + 1, HOURLY)).tolist() == [False] + [True] * 5
