"""The simulated market: the same from every side, its trades and its bars agree to the last lot."""

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.time import NANOSECONDS_PER_DAY
from engine.sandbox.bars import Bars, bars_of_trades, without_holes
from engine.sandbox.market import INTERVALS, NANOSECONDS_PER_MINUTE, Market
from engine.sandbox.noise import uniform
from engine.sandbox.pairs import pair_of_series, universe
from engine.sandbox.simulator import FIRST_DAY, Simulator
from engine.sandbox.tape import Trades
from tests.sandboxes import NOON, simulated_market

DAY = NOON // NANOSECONDS_PER_DAY
HOUR = 60 * NANOSECONDS_PER_MINUTE


def tape_of(stamps: list[int], ticks: list[int], lots: list[int]) -> Trades:
    return Trades(
        stamps=np.array(stamps, dtype=np.int64),
        ids=np.arange(1, len(stamps) + 1, dtype=np.int64),
        ticks=np.array(ticks, dtype=np.int64),
        lots=np.array(lots, dtype=np.int64),
        buyer_is_taker=np.ones(len(stamps), dtype=np.bool_),
        is_market_order=np.ones(len(stamps), dtype=np.bool_),
    )


def values(bars: Bars) -> list[list[int]]:
    columns = (bars.stamps, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.count)
    return [[int(value) for value in row] for row in np.stack(columns, axis=1)]


def test_a_day_is_the_same_whatever_was_asked_before() -> None:
    forwards = Simulator(universe(), seed=3)
    for day in range(DAY - 3, DAY + 1):
        forwards.day(4, day)
    backwards = Simulator(universe(), seed=3)
    backwards.day(20, DAY + 900)
    backwards.middle(4, (DAY - 1) * NANOSECONDS_PER_DAY)

    for day in (DAY, DAY - 2):
        left, right = forwards.day(4, day), backwards.day(4, day)
        assert len(left) > 100
        for name in ("stamps", "ids", "ticks", "lots", "buyer_is_taker", "is_market_order"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_another_seed_is_another_market() -> None:
    one, other = (Simulator(universe(), seed=seed).day(0, DAY) for seed in (1, 2))

    assert one.stamps[:20].tolist() != other.stamps[:20].tolist()
    assert one.ticks[:20].tolist() != other.ticks[:20].tolist()


def test_trades_are_in_order_and_counted_without_holes_over_midnight_and_over_blocks_of_days() -> None:
    tape = Simulator(universe(), seed=5, activity=0.1)
    # 256 days are drawn at once: the last day of a block and the first of the next one.
    for day in (FIRST_DAY, FIRST_DAY + 255):
        before, after = tape.day(1, day), tape.day(1, day + 1)
        stamps = np.concatenate([before.stamps, after.stamps])
        ids = np.concatenate([before.ids, after.ids])

        assert (np.diff(stamps) > 0).all()
        assert (np.diff(ids) == 1).all()
        assert before.stamps[0] >= day * NANOSECONDS_PER_DAY
        assert after.stamps[0] >= (day + 1) * NANOSECONDS_PER_DAY
    assert tape.day(1, FIRST_DAY).ids[0] == 1


def test_a_day_begins_where_the_day_before_ended() -> None:
    tape = Simulator(universe(), seed=5)
    # Enough of them that in some a gap opens.
    for day in (*range(FIRST_DAY + 10, FIRST_DAY + 50), FIRST_DAY + 255, DAY):
        midnight = (day + 1) * NANOSECONDS_PER_DAY
        listed = [pair for pair, facts in enumerate(tape.pairs) if facts.listed_day <= day]
        for pair in listed:
            assert tape.middle(pair, midnight) == pytest.approx(tape.middle(pair, midnight - 1), rel=1e-9)


def test_prices_gap_now_and_then_by_far_more_than_they_move_in_a_quarter_of_a_minute() -> None:
    tape = Simulator(universe(), seed=5)
    step = NANOSECONDS_PER_MINUTE // 4
    gaps = 0
    for day in range(FIRST_DAY, FIRST_DAY + 40):
        midnight = day * NANOSECONDS_PER_DAY
        for pair in (2, 9, 20):
            path = np.log([tape.middle(pair, midnight + place * step) for place in range(5_760)])
            gaps += int(np.abs(np.diff(path)).max() > 25 * np.abs(np.diff(path)).std())

    # Four a year of each: 1.3 are expected in forty days of three pairs.
    assert 1 <= gaps <= 6


def test_pairs_do_not_trade_at_the_same_moments() -> None:
    tape = Simulator(universe(), seed=5)
    one, other = tape.day(0, DAY), tape.day(1, DAY)

    assert np.intersect1d(one.stamps // 1_000_000, other.stamps // 1_000_000).size < 5
    assert one.buyer_is_taker[:40].tolist() != other.buyer_is_taker[:40].tolist()


def test_a_trade_takes_the_ask_or_hits_the_bid() -> None:
    tape = Simulator(universe(), seed=5)
    trades = tape.day(0, DAY)
    middles = np.array([tape.middle(0, stamp) for stamp in trades.stamps[:300].tolist()])

    above = trades.ticks[:300] > middles
    np.testing.assert_array_equal(above, trades.buyer_is_taker[:300])
    # Half a spread of 1 basis point, and a few steps deeper for those who swept the book.
    assert (np.abs(trades.ticks[:300] / middles - 1) < 20e-4).all()


def test_some_orders_sweep_the_book_within_one_microsecond() -> None:
    trades = Simulator(universe(), seed=5).day(0, DAY)
    micro = trades.stamps // 1_000
    together = np.flatnonzero(np.diff(micro) == 0)

    assert 0.05 < together.size / len(trades) < 0.30
    np.testing.assert_array_equal(trades.buyer_is_taker[together], trades.buyer_is_taker[together + 1])
    worse = np.where(trades.buyer_is_taker[together], 1, -1)
    assert (worse * (trades.ticks[together + 1] - trades.ticks[together]) >= -1).all()


def test_returns_are_correlated_have_fat_tails_and_wild_days_come_together() -> None:
    tape = Simulator(universe(), seed=1)
    market = Market(tape)
    closes = []
    for pair in (0, 1, 4):
        bars = market.bars(pair, 1_440, after=-1, now=NOON, most=720)
        closes.append(np.log(bars.close.astype(np.float64)))
    returns = np.diff(np.array(closes), axis=1)

    correlation = np.corrcoef(returns)
    assert correlation[0, 1] > 0.5
    assert correlation[0, 2] > 0.4
    kurtosis = ((returns - returns.mean(1, keepdims=True)) ** 4).mean(1) / returns.var(1) ** 2
    assert (kurtosis > 3.5).all()
    size = np.abs(returns[0])
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.05


def test_an_outage_stops_every_pair_at_once() -> None:
    tape = Simulator(universe()[:3], seed=2, activity=5.0)
    longest = []
    for day in range(FIRST_DAY, FIRST_DAY + 256):
        gaps = [np.diff(tape.day(pair, day).stamps).max() / NANOSECONDS_PER_MINUTE for pair in (0, 1)]
        longest.append(min(gaps))

    # Both trade more than ten times a minute here: nine minutes of silence of both are no chance.
    assert 1 <= sum(gap > 9 for gap in longest) <= 8


def test_bars_are_what_the_trades_add_up_to() -> None:
    minute = NANOSECONDS_PER_MINUTE
    trades = tape_of(
        [5 * minute, 5 * minute + 1, 6 * minute - 1, 8 * minute], [100, 103, 99, 101], [2, 1, 4, 7]
    )

    bars = bars_of_trades(trades, minute)

    assert values(bars) == [
        [5 * minute, 100, 103, 99, 99, 7, 3],
        [8 * minute, 101, 101, 101, 101, 7, 1],
    ]
    # Weighted by 2, 1 and 4 lots: 200 and 103 and 396 over 7.
    np.testing.assert_allclose(bars.average_price(), [699 / 7, 101.0])


def test_holes_are_filled_flat_up_to_now() -> None:
    minute = NANOSECONDS_PER_MINUTE
    bars = bars_of_trades(tape_of([0, 2 * minute], [10, 12], [1, 1]), minute)

    filled = without_holes(bars, minute, stop=3 * minute, most=100)

    assert values(filled) == [
        [0, 10, 10, 10, 10, 1, 1],
        [minute, 10, 10, 10, 10, 0, 0],
        [2 * minute, 12, 12, 12, 12, 1, 1],
        [3 * minute, 12, 12, 12, 12, 0, 0],
    ]
    assert values(without_holes(bars, minute, stop=3 * minute, most=2)) == values(filled)[-2:]
    # Long after the last trade: no more rows than were asked for.
    assert len(without_holes(bars, minute, stop=10**7 * minute, most=720)) == 720
    days = without_holes(bars, 1440 * minute, stop=720 * 1440 * minute, most=721)
    assert days.stamps[[0, -1]].tolist() == [0, 720 * 1440 * minute]


@pytest.mark.parametrize("minutes", INTERVALS)
def test_bars_of_every_length_agree_with_the_trades(minutes: int) -> None:
    market = simulated_market(activity=0.1, pairs=2)
    interval = minutes * NANOSECONDS_PER_MINUTE
    bars = market.bars(1, minutes, after=NOON - 30 * interval, now=NOON, most=720)
    trades = market.trades_after(1, after=NOON - 31 * interval, now=NOON, most=1_000_000)
    whole = bars_of_trades(trades, interval)
    expected = whole.take(np.flatnonzero(whole.stamps > NOON - 30 * interval))

    assert len(bars) >= 1
    assert values(bars) == values(expected)
    # The forming bar is there, and nothing of it that has not happened yet.
    assert bars.stamps[-1] <= NOON


def test_weeks_are_whole_however_few_are_asked_for() -> None:
    market = simulated_market(activity=0.1, pairs=1)
    many = market.bars(0, 10_080, after=-1, now=NOON, most=30)

    for most in (1, 2, 3, 10):
        assert values(market.bars(0, 10_080, after=-1, now=NOON, most=most)) == values(many)[-most:]
    for row in (0, 5, 28):
        after = int(many.stamps[row])
        assert values(market.bars(0, 10_080, after=after, now=NOON, most=30)) == values(many)[row + 1 :]


def test_a_forming_bar_grows_and_a_closed_one_stays() -> None:
    market = simulated_market(pairs=1)
    early = market.bars(0, 60, after=-1, now=NOON, most=10)
    late = market.bars(0, 60, after=-1, now=NOON + 10 * NANOSECONDS_PER_MINUTE, most=10)

    assert values(early)[:-1] == values(late)[:-1]
    assert early.stamps[-1] == late.stamps[-1] == NOON // HOUR * HOUR
    assert early.volume[-1] < late.volume[-1]


def test_at_most_so_many_bars_are_given_the_last_ones() -> None:
    market = simulated_market(activity=0.02, pairs=30)
    all_of_them = market.bars(29, 1, after=-1, now=NOON, most=100)
    few = market.bars(29, 1, after=-1, now=NOON, most=7)

    # Eight trades a day: a hundred bars of a minute reach back over many days.
    assert len(all_of_them) == 100
    assert np.ptp(all_of_them.stamps) > 3 * NANOSECONDS_PER_DAY
    assert values(few) == values(all_of_them)[-7:]


def test_nothing_is_told_of_what_comes_after_now() -> None:
    market = simulated_market(pairs=1)
    assert market.last_trades(0, now=NOON, most=10).stamps.max() <= NOON
    assert market.trades_after(0, after=NOON - HOUR, now=NOON, most=10_000).stamps.max() <= NOON
    summary = market.summary(0, after=NOON - HOUR, now=NOON)
    assert summary is not None
    assert summary.close == market.last_trades(0, now=NOON, most=1).ticks[0]


def test_paging_through_trades_loses_none_and_doubles_none() -> None:
    market = simulated_market(activity=0.2, pairs=1)
    start = NOON - 3 * NANOSECONDS_PER_DAY
    whole = market.trades_after(0, after=start, now=NOON, most=10**9)
    ids, cursor = [], start
    # A cursor that does not move must not hang the test.
    for _ in range(1_000):
        page = market.trades_after(0, after=cursor, now=NOON, most=37)
        if len(page) == 0:
            break
        ids += page.ids.tolist()
        cursor = int(page.stamps[-1])

    assert len(ids) > 500
    assert ids == whole.ids.tolist()


def test_a_pair_is_known_by_all_its_names() -> None:
    market = simulated_market()
    assert {market.number(name, now=NOON) for name in ("XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD")} == {0}
    assert {market.number(name, now=NOON) for name in ("SOLUSD", "SOL/USD")} == {4}
    assert market.number("DOGEUSD", now=NOON) is None
    assert len({pair.pair_id for pair in market.pairs}) == 30


def test_hashed_numbers_are_spread_evenly_and_depend_on_every_key() -> None:
    many = uniform(7, np.arange(100_000))

    assert abs(many.mean() - 0.5) < 0.005
    assert abs(np.mean(many < 0.1) - 0.1) < 0.005
    assert abs(np.corrcoef(many[1:], many[:-1])[0, 1]) < 0.01
    assert uniform(7, 1, 2)[0] != uniform(7, 2, 1)[0] != uniform(8, 2, 1)[0]


def test_a_pair_of_a_series_holds_its_prices_without_rounding() -> None:
    prices, volumes = np.array([[0.1234567], [np.nan], [12.5]]), np.array([[1e9], [np.nan], [3.0]])

    pair = pair_of_series("AAPL", prices, volumes)

    assert (pair.symbol, pair.pair_id, pair.wsname) == ("AAPL/USD", "AAPLUSD", "AAPL/USD")
    assert pair.price_decimals == 7
    # A billion shares a bar in steps of a millionth.
    assert pair.lot_decimals == 6
    assert pair_of_series("BTC/USD", prices, volumes).pair_id == "XXBTZUSD"
    with pytest.raises(InvalidValueError, match=r"1e-10 at least, was 1\.23457e-12"):
        pair_of_series("DUST", prices * 1e-11, volumes)
    with pytest.raises(InvalidValueError, match="BTC/EUR"):
        pair_of_series("BTC/EUR", prices, volumes)


@pytest.mark.parametrize(("seed", "activity"), [(-1, 1.0), (1, 0.0), (1, float("nan"))])
def test_a_simulator_says_what_it_cannot_be_given(seed: int, activity: float) -> None:
    with pytest.raises(InvalidValueError, match="simulator"):
        Simulator(universe(), seed=seed, activity=activity)


def test_a_pair_has_no_past_before_its_listing() -> None:
    market = simulated_market(activity=0.2)
    toncoin = market.number("TON/USD", now=NOON)
    assert toncoin is not None
    listing = int(np.datetime64("2024-12-10", "ns").astype(np.int64))

    assert market.number("TON/USD", now=listing - 1) is None
    assert market.number("TON/USD", now=listing) == toncoin
    first = market.trades_after(toncoin, after=listing - 400 * 86_400 * 10**9, now=NOON, most=1)
    assert listing <= int(first.stamps[0]) < listing + 86_400 * 10**9
    assert len(market.book(toncoin, now=listing - 1, depth=5).bids.ticks) == 0
    days = market.bars(toncoin, 1_440, after=-1, now=NOON, most=721)
    assert int(days.stamps[0]) == listing
    assert market.summary(toncoin, after=listing - 86_400 * 10**9, now=listing - 1) is None
