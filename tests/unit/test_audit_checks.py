"""Checks on cases made by hand: what each one tells, and what it keeps quiet about."""

from dataclasses import replace

import numpy as np
import pytest

from engine.data.audit.checks import inspect
from engine.data.audit.neighbours import NEIGHBOURHOOD, local_quantiles, local_sigma
from engine.data.findings import Finding, Kind
from engine.data.quality import Bars
from engine.domain.panel import FloatArray
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe
from tests import mutator

HOUR = 3600 * 10**9


def quiet(*, size: int = 300, seed: int = 3) -> Bars:
    return mutator.realistic(np.random.default_rng(seed), size=size)


def found_in(bars: Bars, *, now: int | None = None) -> list[Finding]:
    return inspect(bars, Timeframe.HOUR_1, Calendar.ALWAYS, now=now).findings()


def places(bars: Bars) -> list[tuple[Kind, int]]:
    return [(finding.kind, finding.row) for finding in found_in(bars)]


def test_quiet_bars_have_no_findings() -> None:
    assert places(quiet()) == []


@pytest.mark.parametrize("size", [1, 2, 3, 9, 16, 17, 18, 52])
def test_short_series_are_judged_without_a_word(size: int) -> None:
    bars = mutator.taken(quiet(), np.arange(size))

    assert places(bars) == []


def test_no_bars_have_no_findings() -> None:
    assert places(mutator.taken(quiet(), np.arange(0))) == []


def test_bars_that_are_all_impossible_are_told_and_nothing_else_is_looked_for() -> None:
    bars = quiet(size=20)
    bars = replace(bars, close=np.full(20, np.nan))

    assert {kind for kind, _ in places(bars)} == {Kind.NOT_A_NUMBER}


def test_a_median_of_a_neighbourhood_is_that_of_51_values() -> None:
    values = np.random.default_rng(1).standard_normal(170)
    (median,) = local_quantiles(values, 0.5)

    # Bar 60 is in the block of bars 51 to 67; those beside it begin at 34 and end at 84.
    assert NEIGHBOURHOOD == 51
    assert median[60] == np.median(values[34:85])
    for block in range(1, 9):
        first = 17 * block
        assert (median[first : first + 17] == np.median(values[first - 17 : first + 34])).all()


def test_sigma_of_normal_moves_is_theirs() -> None:
    moves = 0.02 * np.random.default_rng(2).standard_normal(5100)

    assert np.median(local_sigma(np.abs(moves))) == pytest.approx(0.02, rel=0.15)


def test_one_wild_value_moves_no_sigma() -> None:
    sizes = np.abs(np.random.default_rng(2).standard_normal(510))
    wild = sizes.copy()
    wild[200] = 1e6

    assert np.abs(local_sigma(wild) / local_sigma(sizes) - 1).max() < 0.2


def test_one_row_far_ahead_of_its_place_is_one_finding() -> None:
    bars = quiet(size=50)
    order = np.insert(np.delete(np.arange(50), 40), 5, 40)

    assert places(mutator.taken(bars, order)) == [(Kind.UNORDERED_STAMP, 6)]


def test_a_file_newest_first_is_out_of_order_but_for_one_row() -> None:
    bars = mutator.taken(quiet(size=30), np.arange(30)[::-1])

    assert sum(kind is Kind.UNORDERED_STAMP for kind, _ in places(bars)) == 29


def test_a_finding_names_the_row_of_the_file_behind_rows_that_cannot_be_judged() -> None:
    bars = mutator.with_value(quiet(), "close", 10, -1.0)
    bars = mutator.with_value(bars, "low", 100, 0.5 * float(bars.close[100]))

    assert (Kind.PRICE_NOT_POSITIVE, 11) in places(bars)
    assert (Kind.BAD_TICK, 101) in places(bars)


def test_a_bar_is_not_of_the_future_at_the_moment_it_closes() -> None:
    bars = quiet(size=50)
    close_of_last = int(bars.stamps[-1]) + HOUR

    assert found_in(bars, now=close_of_last) == []
    (forming,) = found_in(bars, now=close_of_last - 1)
    assert (forming.kind, forming.row) == (Kind.FUTURE, 50)
    assert "still forming" in forming.message


def test_a_wick_that_much_volume_made_is_real() -> None:
    bars = quiet()
    low = float(bars.close[100]) * (1 - 12 * mutator.sigma_at(bars, 100))
    wick = mutator.with_value(bars, "low", 100, low)
    assert wick.volume is not None
    traded_on = mutator.with_value(wick, "volume", 100, 8 * float(np.median(wick.volume[75:125])))

    assert (Kind.BAD_TICK, 101) in places(wick)
    assert (Kind.BAD_TICK, 101) not in places(traded_on)


@pytest.mark.parametrize(
    ("times_ordinary", "body_sigmas", "limit"),
    [
        (0.45, 1.0, 5.2 * 0.93),
        (0.55, 1.0, 5.2),
        (0.99, 1.0, 5.2),
        (1.05, 1.0, 5.2 * 1.05**6),
        (1.5, 1.0, 5.2 * 2 * 1.5),
        (1.5, 0.5, 5.2 * 1.5),
        (3.0, 1.0, 5.2 * 2 * 3.0),
        (50.0, 1.0, 5.2 * 2 * 50.0),
    ],
)
def test_a_wick_is_told_by_its_length_and_by_what_was_traded_in_a_bar_that_moved(
    times_ordinary: float, body_sigmas: float, limit: float
) -> None:
    bars = quiet()
    assert bars.open is not None
    # All volumes are 1 but this one: three times the median is ordinary.
    volume = np.ones(300)
    volume[100] = 3.0 * times_ordinary
    sigma = mutator.sigma_at(bars, 100)
    opens = bars.open.copy()
    opens[100] = bars.close[100] * np.exp(-body_sigmas * sigma)
    opens[101] = bars.close[100]
    tops, bottoms = np.maximum(opens, bars.close), np.minimum(opens, bars.close)
    bars = mutator.with_fields(bars, {"open": opens, "high": tops, "low": bottoms, "volume": volume})

    def told(sigmas: float) -> bool:
        high = float(tops[99:102].max()) * float(np.exp(sigmas * sigma))
        return (Kind.BAD_TICK, 101) in places(mutator.with_value(bars, "high", 100, high))

    assert (told(1.02 * limit), told(0.98 * limit)) == (True, False)


@pytest.mark.parametrize(
    ("name", "times_ordinary", "limit"), [("close", 0.5, 3.5), ("open", 0.5, 3.0), ("close", 4.0, 3.5 * 2)]
)
def test_an_open_that_both_beside_it_contradict_is_told_from_three_sigmas_on_and_a_close_a_bit_later(
    name: str, times_ordinary: float, limit: float
) -> None:
    bars = quiet()
    assert bars.open is not None
    # Bar 100 opens and closes where the one before it closes and the one after it opens.
    opens, closes = bars.open.copy(), bars.close.copy()
    opens[100] = opens[101] = closes[99] = closes[100]
    volume = np.ones(300)
    volume[100] = 3.0 * times_ordinary

    def told(sigmas: float) -> bool:
        prices = {"open": opens.copy(), "close": closes.copy(), "volume": volume}
        prices[name][100] *= np.exp(sigmas * mutator.sigma_at(bars, 100))
        prices["high"] = np.maximum(prices["open"], prices["close"])
        prices["low"] = np.minimum(prices["open"], prices["close"])
        return (Kind.BAD_TICK, 101) in places(mutator.with_fields(bars, prices))

    assert (told(1.06 * limit), told(0.94 * limit)) == (True, False)


def test_a_wick_beside_it_vouches_for_a_wick_up_to_one_and_a_half_sigmas() -> None:
    bars = quiet()
    assert bars.open is not None
    tops = np.maximum(bars.open, bars.close)
    sigma = mutator.sigma_at(bars, 100)
    highs, volume = tops.copy(), np.ones(300)
    # Both bars close where they open, at one price, and the second one reaches far above it.
    fields = {"open": bars.open.copy(), "close": bars.close.copy(), "volume": volume, "high": highs}
    for name in ("open", "close"):
        fields[name][99:102] = bars.close[98]
    highs[99:102] = bars.close[98]
    highs[101] *= np.exp(4.0 * sigma)
    fields["low"] = np.minimum(fields["open"], fields["close"])
    volume[100] = 2.0
    level = mutator.with_fields(bars, fields)

    def told(sigmas: float) -> bool:
        high = float(bars.close[98]) * float(np.exp(sigmas * mutator.sigma_at(level, 100)))
        return (Kind.BAD_TICK, 101) in places(mutator.with_value(level, "high", 100, high))

    assert (told(1.5 + 5.3), told(1.5 + 5.1)) == (True, False)


def test_a_crash_that_is_taken_back_in_part_is_no_bad_tick() -> None:
    bars = quiet()
    opens = bars.open
    assert opens is not None
    sigma = mutator.sigma_at(bars, 100)

    def told(rest: float) -> bool:
        fields = {name: getattr(bars, name).copy() for name in mutator.PRICES}
        fields["close"][100] = fields["low"][100] = fields["open"][100] * np.exp(-30 * sigma)
        for values in fields.values():
            values[101:] *= fields["open"][100] / opens[101] * np.exp(-rest * sigma)
        return (Kind.BAD_TICK, 101) in places(mutator.with_fields(bars, fields))

    assert (told(0.0), told(5.0), told(7.5)) == (True, True, False)


def test_where_bars_open_far_from_the_last_close_a_wrong_price_is_over_five_such_steps_away() -> None:
    random = np.random.default_rng(7)
    move, gap = 0.01, 0.008
    close = np.cumsum(move * random.choice([-1, 1], 300))
    open_ = np.concatenate([[0.0], close[:-1]]) + gap * random.choice([-1, 1], 300)

    def told(name: str, steps: float) -> bool:
        wrong = {"open": open_.copy(), "close": close.copy()}
        # All gaps are of one size: a robust sigma of them is 1.4826 of it. There and back are as long.
        far = steps * 1.4826 * gap
        if name == "close":
            wrong["close"][100], wrong["open"][101] = open_[100] + far, open_[100]
        else:
            wrong["open"][100], wrong["close"][99] = close[100] + far, close[100]
        prices = {name: np.exp(values) for name, values in wrong.items()}
        prices |= {"high": np.maximum(*prices.values()), "low": np.minimum(*prices.values())}
        return (Kind.BAD_TICK, 101) in places(mutator.with_fields(quiet(), prices))

    assert (told("close", 5.7), told("close", 5.3)) == (True, False)
    # Gaps are as large as moves: an open has to be half as far again.
    assert (told("open", 1.5 * 5.7), told("open", 1.5 * 5.3)) == (True, False)


def test_a_volume_beyond_all_measure_is_judged_without_a_word() -> None:
    assert places(mutator.with_value(quiet(), "volume", 100, 1e100)) == [(Kind.VOLUME_SPIKE, 101)]


def test_two_bad_lows_side_by_side_do_not_vouch_for_each_other() -> None:
    bars = quiet()
    for at in (150, 151):
        low = float(bars.close[at]) * float(np.exp(-14 * mutator.sigma_at(bars, at)))
        bars = mutator.with_value(bars, "low", at, low)

    assert [(kind, row) for kind, row in places(bars) if row in (151, 152)] == [
        (Kind.BAD_TICK, 151),
        (Kind.BAD_TICK, 152),
    ]


def test_three_bars_at_another_level_are_told_with_what_stands_beside_them() -> None:
    bars = quiet()
    moved = mutator.scaled(bars, 100, 103, 1.3)
    found = [finding for finding in found_in(moved) if finding.kind is Kind.BAD_TICK]

    assert [finding.row for finding in found] == [101, 102, 103]
    assert bars.open is not None
    for finding in found:
        assert "3 bars are" in finding.message
        assert f"{mutator.text(bars.close[99])} before" in finding.message
        assert f"{mutator.text(bars.open[103])} after" in finding.message


def test_volume_that_is_not_known_is_no_defect_and_known_volumes_are_still_judged() -> None:
    bars = quiet()
    unknown = mutator.with_value(bars, "volume", 50, float("nan"))
    nowhere = replace(bars, volume=np.full(300, np.nan))
    endless = mutator.with_value(bars, "volume", 50, float("inf"))

    assert places(unknown) == places(nowhere) == []
    assert places(endless) == [(Kind.NOT_A_NUMBER, 51)]
    assert (Kind.VOLUME_SPIKE, 101) in places(mutator.with_value(unknown, "volume", 100, 1e9))


def test_a_jump_that_stays_is_no_bad_tick() -> None:
    bars = quiet()
    jumped = mutator.scaled(bars, 150, 300, 1 - 12 * mutator.sigma_at(bars, 150))

    assert Kind.BAD_TICK not in {kind for kind, _ in places(jumped)}


def test_a_crash_inside_a_bar_is_no_split() -> None:
    bars = mutator.scaled(quiet(), 150, 300, 0.5)
    opened_above = mutator.with_value(bars, "open", 150, 2 * float(bars.close[150]))
    opened_above = mutator.with_value(opened_above, "high", 150, 2.01 * float(bars.close[150]))

    assert (Kind.SUSPECTED_SPLIT, 151) in places(bars)
    assert Kind.SUSPECTED_SPLIT not in {kind for kind, _ in places(opened_above)}


def test_a_fall_by_half_over_night_that_everybody_traded_on_is_news() -> None:
    bars = mutator.scaled(quiet(), 150, 300, 0.5)
    assert bars.volume is not None
    traded_on = mutator.with_value(bars, "volume", 150, 30 * float(bars.volume.max()))

    assert (Kind.SUSPECTED_SPLIT, 151) in places(bars)
    assert Kind.SUSPECTED_SPLIT not in {kind for kind, _ in places(traded_on)}


def test_closes_alone_show_splits_and_ticks() -> None:
    bars = quiet()
    split = mutator.scaled(bars, 150, 300, 1 / 3)
    tick = mutator.with_value(bars, "close", 100, float(bars.close[100]) * 1.4)
    only = {"open": None, "high": None, "low": None, "volume": None}

    def of_closes(changed: Bars) -> list[tuple[Kind, int]]:
        return places(replace(changed, **only))  # type: ignore[arg-type]  # None for each

    assert of_closes(split) == [(Kind.SUSPECTED_SPLIT, 151)]
    assert of_closes(tick) == [(Kind.BAD_TICK, 101)]


def test_still_prices_are_told_by_how_unlikely_they_are() -> None:
    random = np.random.default_rng(5)
    bars = quiet()
    # A market in which half of the bars do not move: five in a row are nothing.
    close = 100 + np.cumsum(random.integers(0, 2, 300) * random.choice([-1, 1], 300)).astype(float)
    sleepy = replace(bars, open=close, high=close, low=close, close=close)
    still = sleepy.close.copy()
    still[100:160] = still[99]
    stopped = replace(sleepy, open=still, high=still, low=still, close=still)

    assert Kind.FLAT not in {kind for kind, _ in places(sleepy)}
    assert [row for kind, row in places(stopped) if kind is Kind.FLAT] != []


def test_a_feed_that_repeats_itself_is_stale_and_not_flat_as_well() -> None:
    order = np.arange(300)
    order[100:110] = 99
    bars = quiet()
    repeated = replace(mutator.taken(bars, order), stamps=bars.stamps)
    found = [finding for finding in found_in(repeated) if finding.row == 101]

    assert [finding.kind for finding in found] == [Kind.REPEATED]
    assert "10 bars from here repeat" in found[0].message


def test_one_lot_at_one_price_again_and_again_is_a_stale_feed_and_not_flat_as_well() -> None:
    bars = quiet()
    price = float(bars.close[99])
    assert bars.volume is not None
    still = (np.arange(300) >= 99) & (np.arange(300) < 115)
    one_price = {name: np.where(still, price, getattr(bars, name)) for name in mutator.PRICES}
    traded = mutator.with_fields(bars, one_price | {"volume": np.where(still, 7.0, bars.volume)})
    silent = mutator.with_fields(bars, one_price | {"volume": np.where(still, 0.0, bars.volume)})

    assert {kind for kind, row in places(traded) if 100 <= row <= 115} == {Kind.REPEATED}
    assert {kind for kind, row in places(silent) if 100 <= row <= 115} == {Kind.ZERO_VOLUME, Kind.FLAT}


def test_a_monday_dated_sunday_in_a_week_that_has_its_friday_is_no_week_of_another_clock() -> None:
    random = np.random.default_rng(6)
    bars = mutator.realistic(random, size=60, timeframe=Timeframe.DAY_1, calendar=Calendar.XNYS)
    monday = int(np.flatnonzero(bars.stamps == np.datetime64("2015-02-02", "ns").astype(np.int64))[0])
    stamps = bars.stamps.copy()
    stamps[monday] -= NANOSECONDS_PER_DAY
    found = inspect(replace(bars, stamps=stamps), Timeframe.DAY_1, Calendar.XNYS).findings()

    assert {finding.kind for finding in found} == {Kind.GAP, Kind.OUTSIDE_CALENDAR}


def test_weeks_from_sunday_to_thursday_are_one_day_early() -> None:
    random = np.random.default_rng(6)
    bars = mutator.realistic(random, size=60, timeframe=Timeframe.DAY_1, calendar=Calendar.XNYS)
    # Monday, 2 February 2015, and the three weeks after it.
    start = int(np.flatnonzero(bars.stamps == np.datetime64("2015-02-02", "ns").astype(np.int64))[0])
    stamps = bars.stamps.copy()
    stamps[start : start + 9] -= NANOSECONDS_PER_DAY
    found = inspect(replace(bars, stamps=stamps), Timeframe.DAY_1, Calendar.XNYS).findings()

    slips = [finding for finding in found if finding.kind is Kind.TIME_ZONE_SLIP]
    assert slips[0].row == start + 1
    assert "24 h too early" in slips[0].message


def test_a_day_without_its_saturday_in_trading_that_never_stops_is_a_gap_only() -> None:
    random = np.random.default_rng(6)
    bars = mutator.realistic(random, size=60, timeframe=Timeframe.DAY_1)
    found = inspect(
        mutator.taken(bars, np.delete(np.arange(60), 5)), Timeframe.DAY_1, Calendar.ALWAYS
    ).findings()

    assert [finding.kind for finding in found] == [Kind.GAP]


def test_an_hour_too_late_for_a_while_is_told_with_its_hours() -> None:
    bars = quiet()
    stamps = bars.stamps.copy()
    stamps[100:120] += 5 * HOUR
    found = [f for f in found_in(replace(bars, stamps=stamps)) if f.kind is Kind.TIME_ZONE_SLIP]

    assert [(finding.row, finding.message) for finding in found] == [
        (101, "wrong time zone? 20 bars carry stamps 5 h too late")
    ]


def test_a_row_that_is_there_twice_is_no_wrong_clock() -> None:
    bars = quiet()
    twice = mutator.taken(bars, np.insert(np.delete(np.arange(300), 50), 200, 200))

    assert {kind for kind, _ in places(twice)} == {Kind.DUPLICATE_STAMP, Kind.GAP}


def closes_only(bars: Bars) -> Bars:
    return replace(bars, open=None, high=None, low=None, volume=None)


def test_closes_alone_show_a_tick_of_eight_sigmas_and_not_one_of_four() -> None:
    bars = closes_only(quiet())

    def told(sigmas: float) -> bool:
        factor = float(np.exp(sigmas * mutator.sigma_at(bars, 100)))
        changed = mutator.with_value(bars, "close", 100, float(bars.close[100]) * factor)
        return (Kind.BAD_TICK, 101) in places(changed)

    assert (told(8.0), told(4.0)) == (True, False)


def test_a_close_that_goes_to_and_fro_between_two_levels_is_no_bad_tick() -> None:
    bars = closes_only(quiet())
    close = bars.close.copy()
    # Twice up and down again: what stands between is far from both beside it as well.
    close[100:103] = close[99]
    close[[100, 102]] *= float(np.exp(12 * mutator.sigma_at(bars, 100)))

    assert Kind.BAD_TICK not in {kind for kind, _ in places(replace(bars, close=close))}


def test_a_small_split_of_closes_is_told_if_it_is_clear_and_a_jump_of_other_size_is_not() -> None:
    bars = closes_only(quiet(seed=4))
    sigma = mutator.sigma_at(bars, 150)

    def told(ratio: float) -> bool:
        return (Kind.SUSPECTED_SPLIT, 151) in places(mutator.scaled(bars, 150, 300, 1 / ratio))

    assert sigma < 0.02
    assert (told(1.5), told(1.42), told(1.3)) == (True, False, False)


def test_where_nothing_happens_between_bars_a_split_is_told_however_wild_the_market_is() -> None:
    bars = quiet()
    power = 0.06 / mutator.sigma_at(bars, 150)
    start = float(bars.close[0])
    wild = mutator.with_fields(
        bars, {name: start * (getattr(bars, name) / start) ** power for name in mutator.PRICES}
    )

    # Seven robust sigmas of moves: closes alone would not tell.
    assert (Kind.SUSPECTED_SPLIT, 151) in places(mutator.scaled(wild, 150, 300, 1 / 1.5))


def of_moves(moves: FloatArray) -> Bars:
    close = 100 * np.exp(np.cumsum(moves))
    return replace(closes_only(quiet(size=len(moves))), close=close)


def test_closes_that_begin_to_move_at_a_split_are_no_news_without_a_tremor_of_its_size() -> None:
    signs = np.random.default_rng(8).choice([-1.0, 1.0], 300)

    def told(tremor: float) -> bool:
        moves = signs * np.where(np.arange(300) < 150, 0.002, tremor)
        # Ten times as much behind it as before, and more.
        moves[150] = -np.log(10)
        return (Kind.SUSPECTED_SPLIT, 151) in places(of_moves(moves))

    assert (told(0.22), told(0.24)) == (True, False)


def test_closes_that_rise_by_half_are_news_and_that_double_are_a_split() -> None:
    moves = 0.02 * np.random.default_rng(9).choice([-1.0, 1.0], 300)

    def told(ratio: float) -> bool:
        moves[150] = -np.log(ratio)
        return (Kind.SUSPECTED_SPLIT, 151) in places(of_moves(moves))

    # Two old shares for one new one double the price; nobody gives two for three.
    assert (told(1.5), told(1 / 1.5), told(1 / 2)) == (True, False, True)
