"""Clocks that were set wrong for a while in trading that never stops, after somebody sorted the rows."""

from dataclasses import replace

import numpy as np
import pytest

from engine.data.audit.checks import inspect
from engine.data.findings import Finding, Kind
from engine.data.quality import Bars
from engine.domain.time import Calendar, Timeframe
from tests import mutator

HOUR = 3600 * 10**9


def quiet(seed: int = 3) -> Bars:
    return mutator.realistic(np.random.default_rng(seed), size=300)


def moved(bars: Bars, start: int, stop: int, hours: int, *, keep_doubles: bool) -> Bars:
    """Return bars of which some carry stamps some hours off, in the order of stamps."""
    stamps = bars.stamps.copy()
    stamps[start:stop] += hours * HOUR
    order = np.argsort(stamps, kind="stable") if keep_doubles else np.unique(stamps, return_index=True)[1]
    return mutator.taken(replace(bars, stamps=stamps), order)


def slips(bars: Bars) -> list[Finding]:
    findings = inspect(bars, Timeframe.HOUR_1, Calendar.ALWAYS).findings()
    return [finding for finding in findings if finding.kind is Kind.TIME_ZONE_SLIP]


def test_as_many_stamps_twice_as_are_missing_before_are_a_late_clock() -> None:
    (found,) = slips(moved(quiet(), 100, 160, 5, keep_doubles=True))

    # Rows 101 to 160, and the five that they came to lie between.
    assert (found.row, found.message) == (101, "wrong time zone? 65 bars carry stamps 5 h too late")


def test_as_many_stamps_twice_as_are_missing_behind_are_an_early_clock() -> None:
    (found,) = slips(moved(quiet(), 100, 160, -4, keep_doubles=True))

    assert (found.row, found.message) == (97, "wrong time zone? 64 bars carry stamps 4 h too early")


def test_rows_that_are_there_twice_are_no_other_hour() -> None:
    bars = quiet()
    twice = mutator.taken(bars, np.sort(np.concatenate([np.arange(300), np.arange(100, 105)])))
    holed = mutator.taken(twice, np.delete(np.arange(305), np.arange(200, 205)))

    assert slips(holed) == []


def test_a_price_torn_from_bar_to_bar_and_a_hole_that_it_did_not_move_in_are_a_wrong_clock() -> None:
    bars = quiet()
    late = moved(bars, 100, 160, 5, keep_doubles=False)
    early = moved(bars, 100, 160, -5, keep_doubles=False)

    assert [(f.row, f.message) for f in slips(late)] == [
        (101, "wrong time zone? 60 bars carry stamps 5 h too late")
    ]
    assert [(f.row, f.message) for f in slips(early)] == [
        (101, "wrong time zone? 55 bars carry stamps 5 h too early")
    ]


def test_a_hole_alone_and_a_tear_alone_are_no_wrong_clock() -> None:
    bars = quiet()
    hole = mutator.taken(bars, np.delete(np.arange(300), np.arange(100, 105)))
    tear = mutator.scaled(bars, 160, 300, 1.1)

    assert slips(hole) == []
    assert slips(tear) == []


@pytest.mark.parametrize("hours", [5, -5, 1, -1])
@pytest.mark.parametrize("edge", [100, 160])
def test_a_wrong_clock_is_told_also_where_bars_are_missing_beside_its_block(hours: int, edge: int) -> None:
    bars = quiet()
    stamps = bars.stamps.copy()
    stamps[edge:] += 3 * HOUR
    stamps[100:160] += hours * HOUR
    found = slips(replace(bars, stamps=stamps))

    # At the side that is put back what was missing hides as much of the shift; three hours hide one whole.
    ahead = 100 if hours > 0 else 160
    shift = abs(hours) if edge == ahead else abs(hours) - 3
    side = "late" if hours > 0 else "early"
    expected = [(101, f"wrong time zone? 60 bars carry stamps {shift} h too {side}")] if shift > 0 else []
    assert [(f.row, f.message) for f in found] == expected


@pytest.mark.parametrize("price", [0.0, -1.0, np.nan, np.inf])
def test_a_clock_put_back_between_prices_that_cannot_be_true_is_judged_without_a_word(price: float) -> None:
    bars = quiet()
    stamps = bars.stamps.copy()
    stamps[100:] += 3 * HOUR
    stamps[160:] -= HOUR
    fields = {name: getattr(bars, name).copy() for name in ("open", "close")}
    fields["open"][159:161] = fields["close"][159] = price
    broken = replace(mutator.with_fields(bars, fields), stamps=stamps)

    assert {f.kind for f in inspect(broken, Timeframe.HOUR_1, Calendar.ALWAYS).findings()} & {
        Kind.PRICE_NOT_POSITIVE,
        Kind.NOT_A_NUMBER,
    }


def after_an_outage(bars: Bars, *, row: int = 40, hours: int = 9) -> Bars:
    """Return bars that were not recorded for a while: a jump ahead that no jump back belongs to."""
    stamps = bars.stamps.copy()
    stamps[row:] += hours * HOUR
    return replace(bars, stamps=stamps)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_page_that_is_there_twice_is_no_clock_that_was_put_back(rows: int) -> None:
    twice = mutator.taken(after_an_outage(quiet()), np.r_[0:200, 200 - rows : 300])

    assert slips(twice) == []


def test_a_bar_as_it_was_when_it_began_before_the_whole_bar_is_no_clock_that_was_put_back() -> None:
    bars = mutator.taken(after_an_outage(quiet()), np.insert(np.arange(300), 150, 150))
    began = {name: getattr(bars, name).copy() for name in mutator.PRICES}
    for values in began.values():
        values[150] = bars.open[150]  # type: ignore[index]

    assert slips(mutator.with_fields(bars, began)) == []


@pytest.mark.parametrize("outage", [140, 170])
def test_an_outage_inside_or_beside_a_block_with_both_its_jumps_is_none_of_its_ends(outage: int) -> None:
    bars = quiet()
    stamps = bars.stamps.copy()
    stamps[100:160] += 5 * HOUR
    stamps[outage:] += 9 * HOUR

    assert [(f.row, f.message) for f in slips(replace(bars, stamps=stamps))] == [
        (101, "wrong time zone? 60 bars carry stamps 5 h too late")
    ]


def test_a_clock_is_not_wrong_for_more_than_a_year() -> None:
    bars = mutator.realistic(np.random.default_rng(1), size=12_000)
    stamps = bars.stamps.copy()
    stamps[100:] += 9 * HOUR
    stamps[11_900:] -= 5 * HOUR

    assert slips(replace(bars, stamps=stamps)) == []


def test_a_row_that_strayed_is_no_wrong_clock_where_bars_are_missing() -> None:
    bars = quiet()
    stamps = bars.stamps.copy()
    stamps[100:] += 9 * HOUR
    order = np.insert(np.delete(np.arange(300), 150), 145, 150)
    strayed = mutator.taken(replace(bars, stamps=stamps), order)

    # Row 150 stands five rows before its place: the clock seems to be put back by as much.
    assert [(f.row, "6 h" in f.message) for f in slips(strayed)] == []


@pytest.mark.parametrize(("plunge", "is_told"), [(2.0, True), (3.0, False)])
def test_a_tear_that_takes_back_a_part_of_a_plunge_is_no_clock(*, plunge: float, is_told: bool) -> None:
    bars = quiet()
    assert bars.open is not None
    stamps = bars.stamps.copy()
    stamps[100:] += 5 * HOUR
    # The bar falls, and the next one opens higher by 4%; all that comes after goes on from there.
    torn = 0.04
    fallen = float(bars.open[159]) * np.exp(-plunge * torn)
    fields = {name: getattr(bars, name).copy() for name in mutator.PRICES}
    for values in fields.values():
        values[160:] *= fallen * np.exp(torn) / bars.open[160]
    fields["close"][159], fields["low"][159] = fallen, fallen
    late = replace(mutator.with_fields(bars, fields), stamps=stamps)

    # A hole that the price did not move in is there as well, sixty bars before.
    assert bool(slips(late)) == is_told


def test_a_tear_that_the_next_bar_takes_back_is_a_wrong_price() -> None:
    bars = quiet()
    stamps = bars.stamps.copy()
    stamps[100:] += 5 * HOUR
    wrong_open = mutator.with_value(bars, "open", 200, 1.1 * float(bars.close[200]))
    wrong_open = mutator.with_value(wrong_open, "high", 200, 1.1 * float(bars.high[200]))  # type: ignore[index]

    # A hole that the price did not move in is there as well.
    assert slips(replace(wrong_open, stamps=stamps)) == []


def test_a_hole_that_the_price_moved_in_is_a_pause() -> None:
    bars = mutator.scaled(quiet(), 160, 300, 1.1)
    holed = mutator.taken(mutator.scaled(bars, 100, 300, 1.05), np.delete(np.arange(300), np.arange(95, 100)))

    # The price is torn at row 156 as well.
    assert slips(holed) == []
