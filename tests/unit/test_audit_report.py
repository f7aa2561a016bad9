"""The audit of a data set: what instruments tell of one another, counts, limits and the score."""

import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from engine.data.audit.report import PICTURE_BARS, audit
from engine.data.findings import Kind
from engine.data.quality import Bars
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from tests import mutator

SIZE = 300


def instrument(symbol: str, seed: int) -> Bars:
    bars = mutator.realistic(np.random.default_rng(seed), size=SIZE)
    return replace(bars, symbol=symbol, file=f"{symbol}.csv")


def with_wick(bars: Bars, at: int, side: int = -1) -> Bars:
    name = "low" if side < 0 else "high"
    value = float(bars.close[at]) * float(np.exp(side * 15 * mutator.sigma_at(bars, at)))
    return mutator.with_value(bars, name, at, value)


def ticks(*parts: Bars) -> int:
    found = audit(parts, Timeframe.HOUR_1, Calendar.ALWAYS)
    return found.counts.get(Kind.BAD_TICK, 0)


def test_a_wick_of_one_instrument_is_a_bad_tick_and_of_three_it_is_the_market() -> None:
    calm = [instrument(symbol, seed) for seed, symbol in enumerate("ABCD")]
    wicks = [with_wick(bars, 100) for bars in calm]

    assert ticks(*calm) == 0
    assert ticks(wicks[0], *calm[1:]) == 1
    assert ticks(*wicks[:2], *calm[2:]) == 2
    assert ticks(*wicks[:3], *calm[3:]) == 0


def test_wicks_to_different_sides_or_in_different_bars_explain_nothing() -> None:
    a, b, c = (instrument(symbol, seed) for seed, symbol in enumerate("ABC"))

    assert ticks(with_wick(a, 100), with_wick(b, 100), with_wick(c, 100, side=1)) == 3
    assert ticks(with_wick(a, 100), with_wick(b, 100), with_wick(c, 101)) == 3


def test_an_isolated_close_is_a_bad_tick_however_many_have_it() -> None:
    parts = [mutator.scaled(instrument(symbol, seed), 100, 101, 1.5) for seed, symbol in enumerate("ABCD")]

    assert ticks(*parts) == 4


def test_an_instrument_that_ends_early_is_stale_and_five_bars_are_not_early() -> None:
    whole, late, early = (instrument(symbol, seed) for seed, symbol in enumerate("ABC"))
    late = mutator.taken(late, np.arange(SIZE - 5))
    early = mutator.taken(early, np.arange(SIZE - 6))
    found = audit([whole, late, early], Timeframe.HOUR_1, Calendar.ALWAYS).findings()

    assert [(finding.kind, finding.instrument, finding.row) for finding in found] == [
        (Kind.STALE, "C", SIZE - 6)
    ]
    assert "it ends 6 bars before" in found[0].message


def test_all_defects_are_counted_and_the_worst_are_kept() -> None:
    bars = instrument("A", 1)
    # Every tenth bar lacks, and once two in a row.
    gone = [*range(20, 200, 10), 101]
    changed = mutator.taken(bars, np.delete(np.arange(SIZE), gone))
    found = audit([changed], Timeframe.HOUR_1, Calendar.ALWAYS, limit=1)

    assert found.counts == {Kind.GAP: 18}
    (place,) = found.instruments[0].places
    assert place.finding.message.startswith("2 bars are missing")
    assert found.instruments[0].coverage.missing == 19
    assert found.instruments[0].coverage.missing_at.shape == (18, 3)


def test_the_score_comes_from_what_was_counted() -> None:
    bars = instrument("A", 1)
    changed = mutator.taken(bars, np.delete(np.arange(SIZE), np.arange(100, 160)))
    changed = mutator.with_value(changed, "volume", 3, -1.0)
    found = audit([changed], Timeframe.HOUR_1, Calendar.ALWAYS)
    score = found.instruments[0].score

    # The bar with the impossible volume is there, so it is not missing as well.
    assert (score.missing, score.zero_or_negative) == (60 / 300, 1 / 240)
    assert found.score == pytest.approx(1 - 0.3 * 60 / 300 - 0.2 / 240)
    assert found.invalid == ()


def test_two_bad_cells_of_one_row_are_one_impossible_row() -> None:
    bars = mutator.with_value(instrument("A", 1), "volume", 3, -1.0)
    bars = mutator.with_value(bars, "low", 3, 0.0)

    assert audit([bars], Timeframe.HOUR_1, Calendar.ALWAYS).instruments[0].impossible_rows == 1


def test_an_instrument_without_a_usable_bar_is_invalid_data() -> None:
    empty = mutator.taken(instrument("A", 1), np.arange(0))
    found = audit([empty, instrument("B", 2)], Timeframe.HOUR_1, Calendar.ALWAYS)

    assert found.invalid == ("A",)


def test_pictures_hold_the_bars_around_a_place() -> None:
    bars = mutator.with_value(instrument("A", 1), "close", 5, -1.0)
    (place,) = audit([bars], Timeframe.HOUR_1, Calendar.ALWAYS, pictures=True).instruments[0].places[:1]
    assert place.around is not None

    assert place.around.rows.tolist() == list(range(1, 5 + PICTURE_BARS + 2))
    assert place.around.rows[place.at] == place.finding.row == 6


def test_bars_that_were_judged_are_let_go() -> None:
    given: list[weakref.ref[Bars]] = []
    held = []

    def parts() -> Iterator[Bars]:
        for seed, symbol in enumerate("ABCDE"):
            held.append(sum(known() is not None for known in given))
            bars = with_wick(instrument(symbol, seed), 100 + seed)
            given.append(weakref.ref(bars))
            yield bars
            del bars

    audit(parts(), Timeframe.HOUR_1, Calendar.ALWAYS, pictures=True)

    # The one before is still at hand when the next one is asked for.
    assert max(held) <= 1


def test_a_set_without_instruments_is_refused() -> None:
    with pytest.raises(InputError, match="mine has no instrument"):
        audit([], Timeframe.HOUR_1, Calendar.ALWAYS, name="mine")


def test_a_jump_that_all_closes_make_is_the_market_and_one_alone_is_a_split() -> None:
    def closes(symbol: str, seed: int, ratio: float) -> Bars:
        bars = mutator.scaled(instrument(symbol, seed), 150, 300, 1 / ratio)
        return replace(bars, open=None, high=None, low=None, volume=None)

    def splits(*ratios: float) -> int:
        parts = [closes(f"S{seed}", seed, ratio) for seed, ratio in enumerate(ratios)]
        return audit(parts, Timeframe.HOUR_1, Calendar.ALWAYS).counts.get(Kind.SUSPECTED_SPLIT, 0)

    assert splits(2.0, 1.0, 1.0) == 1
    # A fall by a tenth is told of nobody and explains the fall of another one.
    assert splits(2.0, 1.12, 1.12) == 0
    assert splits(2.0, 1 / 1.12, 1.12) == 1
