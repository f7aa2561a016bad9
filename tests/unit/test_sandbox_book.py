"""The order book and the streams that are made of it, looked at without a socket."""

import itertools
import zlib

import numpy as np
import pytest

from engine.domain.panel import IntArray
from engine.sandbox.book import Book, Side, book_around, checksum
from engine.sandbox.faults import FaultDealer, FaultPlan, plan_of_text
from engine.sandbox.market import NANOSECONDS_PER_MINUTE, Market
from engine.sandbox.pairs import universe
from engine.sandbox.rest import Moment
from engine.sandbox.streams import RefusedSubscriptionError, Stream, stream_of
from tests.sandboxes import NOON, simulated_market

SECOND = 10**9
BITCOIN = universe()[0]


@pytest.fixture(scope="module")
def market() -> Market:
    return simulated_market(pairs=2)


def side(ticks: list[int], lots: list[int]) -> Side:
    def array(values: list[int]) -> IntArray:
        return np.array(values, dtype=np.int64)

    return Side(ticks=array(ticks), lots=array(lots), seconds=array([0] * len(ticks)))


def moment(after_noon: int) -> Moment:
    now = NOON + after_noon
    return Moment(now=now, data=now, told=now)


def opened(market: Market, faults: str = "none", **request: object) -> Stream:
    dealer = FaultDealer(plan_of_text(faults), seed=1)
    stream = stream_of(market, dealer, 0, request)
    stream.snapshot(moment(0))
    return stream


def test_the_checksum_is_that_of_the_exchanges_own_example() -> None:
    # From Kraken's guide "Book checksum (WebSocket v2)": BTC/USD in tenths of a dollar.
    asks = [452852, 452864, 452866, 452896, 452902, 452918, 452947, 452961, 452975, 452995]
    ask_lots = [100000, 154571953, 154571109, 154560911, 15890660]
    ask_lots += [154553491, 4454749, 35380000, 9945542, 18772827]
    bids = [452835, 452834, 452821, 452810, 452803, 452790, 452776, 452775, 452773, 452766]
    bid_lots = [10000000, 154582015, 10000000, 10000000, 154592586]
    bid_lots += [7990000, 3310103, 30000000, 154602737, 15445238]

    assert checksum(Book(asks=side(asks, ask_lots), bids=side(bids, bid_lots))) == 3_310_070_434


def test_only_ten_levels_count_in_the_checksum() -> None:
    ticks = list(range(101, 121))
    deep = Book(asks=side(ticks, [7] * 20), bids=side(ticks[::-1], [7] * 20))

    assert checksum(deep) == checksum(deep.best(10)) != checksum(deep.best(9))


@pytest.mark.parametrize("middle", [364_441.7, 3.2, 1.0])
def test_a_book_is_ordered_and_the_middle_is_inside(middle: float) -> None:
    book = book_around(BITCOIN, 0, middle, seed=1, now=NOON, depth=50)

    assert (np.diff(book.asks.ticks) > 0).all()
    assert (np.diff(book.bids.ticks) < 0).all()
    assert book.bids.ticks[0] < book.asks.ticks[0]
    assert book.bids.ticks[0] <= middle <= book.asks.ticks[0]
    assert book.bids.ticks.min() >= 1
    assert book.asks.lots.min() >= 1
    assert len(book.asks.ticks) == 50
    assert (book.asks.seconds <= NOON // SECOND).all()


def test_deeper_orders_stay_where_they_are_when_the_middle_moves_a_little() -> None:
    before = book_around(BITCOIN, 0, 364_441.7, seed=1, now=NOON, depth=50)
    after = book_around(BITCOIN, 0, 364_443.2, seed=1, now=NOON, depth=50)

    shared = np.intersect1d(before.asks.ticks[1:], after.asks.ticks[1:])
    assert shared.size >= 48
    lots = dict(zip(before.asks.ticks.tolist(), before.asks.lots.tolist(), strict=True))
    again = dict(zip(after.asks.ticks.tolist(), after.asks.lots.tolist(), strict=True))
    assert all(lots[tick] == again[tick] for tick in shared.tolist())


def test_orders_come_and_go_within_seconds_and_not_all_at_once() -> None:
    books = [
        book_around(BITCOIN, 0, 364_441.7, seed=1, now=NOON + second * SECOND, depth=200).asks.lots
        for second in range(15)
    ]
    changed = [(before != after).mean() for before, after in itertools.pairwise(books)]

    assert all(0.05 < share < 0.7 for share in changed)


def test_a_pair_without_a_price_has_an_empty_book(market: Market) -> None:
    book = market.book(0, now=0, depth=10)

    assert (len(book.bids.ticks), len(book.asks.ticks)) == (0, 0)


def test_the_book_stream_sends_what_changed_and_nothing_within_a_second(market: Market) -> None:
    stream = stream_of(market, FaultDealer(FaultPlan(), seed=1), 0, {"channel": "book", "depth": 25})
    (snapshot,) = stream.snapshot(moment(0))
    row = snapshot["data"][0]
    sides = {name: {level["price"]: level["qty"] for level in row[name]} for name in ("bids", "asks")}
    assert stream.news(moment(SECOND // 10)) == []

    for second in range(1, 40):
        for message in stream.news(moment(second * SECOND)):
            for name, levels in list(sides.items()):
                for level in message["data"][0][name]:
                    levels[level["price"]] = level["qty"]
                    if level["qty"] == 0:
                        del levels[level["price"]]
            # The client cuts its book to the depth: nobody tells it what fell out at the far end.
            sides["asks"] = dict(sorted(sides["asks"].items())[:25])
            sides["bids"] = dict(sorted(sides["bids"].items(), reverse=True)[:25])
            assert message["data"][0]["checksum"] == checksum_of_floats(sides)
    truth = market.book(0, now=NOON + 39 * SECOND, depth=25)
    assert sorted(sides["asks"]) == [tick / 10 for tick in truth.asks.ticks.tolist()]
    assert sorted(sides["bids"], reverse=True) == [tick / 10 for tick in truth.bids.ticks.tolist()]


def test_nobody_is_told_of_a_price_that_fell_out_at_the_far_end(market: Market) -> None:
    stream = opened(market, channel="book", depth=10)
    removed = 0
    for second in range(1, 300):
        truth = market.book(0, now=NOON + second * SECOND, depth=10)
        for message in stream.news(moment(second * SECOND)):
            row = message["data"][0]
            removed += sum(level["qty"] == 0 for level in row["bids"] + row["asks"])
            assert all(level["price"] >= truth.bids.ticks[-1] / 10 for level in row["bids"])
            assert all(level["price"] <= truth.asks.ticks[-1] / 10 for level in row["asks"])

    assert removed > 100


def checksum_of_floats(sides: dict[str, dict[float, float]]) -> int:
    """Work out the checksum as a client does, from the numbers it has received."""

    def digits(level: tuple[float, float]) -> str:
        price, amount = f"{level[0]:.1f}", f"{level[1]:.8f}"
        return price.replace(".", "").lstrip("0") + amount.replace(".", "").lstrip("0")

    asks = sorted(sides["asks"].items())[:10]
    bids = sorted(sides["bids"].items(), reverse=True)[:10]
    return zlib.crc32("".join(digits(level) for level in asks + bids).encode())


def test_the_trade_stream_sends_every_trade_once_however_far_the_clock_jumps(market: Market) -> None:
    stream = opened(market, channel="trade")
    numbers = []
    for minutes in (1, 2, 2, 60, 60 * 30):
        messages = stream.news(moment(minutes * NANOSECONDS_PER_MINUTE))
        assert all(len(message["data"]) <= 1_000 for message in messages)
        numbers += [row["trade_id"] for message in messages for row in message["data"]]

    whole = market.trades_after(0, after=NOON, now=NOON + 1_800 * NANOSECONDS_PER_MINUTE, most=10**6)
    assert len(numbers) > 1_500
    assert numbers == whole.ids.tolist()


def test_the_bar_stream_closes_each_bar_before_the_next_one_however_far_the_clock_jumps(
    market: Market,
) -> None:
    stream = opened(market, channel="ohlc", interval=5)
    rows = []
    for minutes in (1, 1, 3, 4, 9, 200, 60 * 40):
        for message in stream.news(moment(minutes * NANOSECONDS_PER_MINUTE)):
            rows += message["data"]

    begins = [row["interval_begin"] for row in rows]
    assert begins == sorted(begins)
    last = {row["interval_begin"]: row for row in rows}
    truth = market.bars(0, 5, after=NOON - 1, now=NOON + 2_400 * NANOSECONDS_PER_MINUTE, most=10**6)
    for stamp, close, volume, count in zip(
        truth.stamps.tolist(), truth.close.tolist(), truth.volume.tolist(), truth.count.tolist(), strict=True
    ):
        row = last[f"{np.datetime_as_string(np.datetime64(stamp, 'ns'), unit='ns')}Z"]
        assert (row["close"], row["volume"], row["trades"]) == (close / 10, volume / 10**8, count)


def test_a_bar_without_a_new_trade_is_not_sent_again(market: Market) -> None:
    stream = opened(market, channel="ohlc", interval=60)
    assert len(stream.news(moment(10 * NANOSECONDS_PER_MINUTE))) == 1
    assert stream.news(moment(10 * NANOSECONDS_PER_MINUTE)) == []


def test_the_bar_stream_serves_the_faults_of_bars(market: Market) -> None:
    plain, faulty = opened(market, channel="ohlc"), opened(market, "late", channel="ohlc")
    later = moment(3 * NANOSECONDS_PER_MINUTE)
    sent = [row["interval_begin"] for message in plain.news(later) for row in message["data"]]
    kept = [row["interval_begin"] for message in faulty.news(later) for row in message["data"]]

    # Three of them closed less than three minutes ago; what is left is forming.
    assert len(sent) == 4
    assert kept == sent[-1:]


def test_the_ticker_stream_is_silent_while_nothing_changes(market: Market) -> None:
    stream = opened(market, channel="ticker")
    assert stream.news(moment(0)) == []
    (message,) = stream.news(moment(60 * SECOND))
    row = message["data"][0]
    assert row["bid"] < row["ask"]
    assert row["low"] <= row["last"] <= row["high"]


def test_the_ticker_moves_with_the_best_prices_when_nothing_trades() -> None:
    quiet = simulated_market(activity=0.02, pairs=2)
    stream = opened(quiet, channel="ticker")
    last = quiet.last_trades(0, now=NOON, most=1).ids[0]
    assert quiet.last_trades(0, now=NOON + 60 * SECOND, most=1).ids[0] == last

    (message,) = stream.news(moment(60 * SECOND))
    truth = quiet.book(0, now=NOON + 60 * SECOND, depth=1)
    assert message["data"][0]["bid"] == truth.bids.ticks[0] / 10
    assert stream.news(moment(60 * SECOND)) == []


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"channel": "weather"}, "Channel not supported weather"),
        ({"channel": "ohlc", "interval": 7}, "interval not supported"),
        ({"channel": "ohlc", "interval": True}, "interval not supported"),
        ({"channel": "ohlc", "interval": 5.0}, "interval not supported"),
        ({"channel": "book", "depth": 11}, "depth not supported"),
        ({"channel": "book", "depth": [10]}, "depth not supported"),
        ({}, "Channel not supported None"),
    ],
)
def test_what_the_exchange_does_not_stream_is_refused(
    market: Market, request_: dict[str, object], said: str
) -> None:
    with pytest.raises(RefusedSubscriptionError, match=said):
        stream_of(market, FaultDealer(FaultPlan(), seed=1), 0, request_)
