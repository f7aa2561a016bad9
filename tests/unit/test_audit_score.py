"""The score worked out by hand, and where data stops being usable."""

import pytest

from engine.data.audit.score import Score, score
from engine.domain.errors import InputError


def test_faultless_bars_score_one() -> None:
    found = score(rows=1000, expected=1000, missing=0, duplicates=0, impossible=0, spikes=0)

    assert found.value == 1.0
    assert found.is_valid


def test_each_share_costs_its_weight() -> None:
    found = score(rows=1000, expected=2000, missing=500, duplicates=100, impossible=50, spikes=0)

    # A quarter of the bars lacks, a tenth is there twice, a twentieth is impossible: .075, .02 and .01.
    assert found.value == pytest.approx(0.895)


def test_bars_in_which_everything_is_wrong_score_zero() -> None:
    assert Score(missing=1, duplicates=1, zero_or_negative=1, spikes=1).value == pytest.approx(0.0)


def test_no_rows_are_invalid_data() -> None:
    found = score(rows=0, expected=0, missing=0, duplicates=0, impossible=0, spikes=0)

    assert found.value == pytest.approx(0.0)
    assert not found.is_valid


def test_one_spike_in_a_thousand_bars_costs_the_whole_term_and_more_cost_no_more() -> None:
    one = score(rows=1000, expected=1000, missing=0, duplicates=0, impossible=0, spikes=1)
    many = score(rows=1000, expected=1000, missing=0, duplicates=0, impossible=0, spikes=50)
    rare = score(rows=100_000, expected=100_000, missing=0, duplicates=0, impossible=0, spikes=1)

    assert one.value == many.value == pytest.approx(0.7)
    assert rare.value == pytest.approx(0.997)


def test_sixty_per_cent_is_valid_and_less_is_not() -> None:
    at_limit = Score(missing=1 / 3, duplicates=0, zero_or_negative=0, spikes=1)

    assert at_limit.value == pytest.approx(0.6)
    assert at_limit.is_valid
    assert not Score(missing=0.34, duplicates=0, zero_or_negative=0, spikes=1).is_valid


def test_a_share_over_one_is_refused() -> None:
    with pytest.raises(InputError, match="missing must be a share"):
        Score(missing=1.5, duplicates=0, zero_or_negative=0, spikes=0)
