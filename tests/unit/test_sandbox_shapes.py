"""Replies have the shapes of Kraken's: which fields, which of them are text, and with how many decimals.

The facts below were read off recorded replies of the live exchange of November 2025 and off its guide.
"""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest

from engine.domain.time import NANOSECONDS_PER_DAY
from engine.sandbox import rest
from engine.sandbox.faults import FaultDealer, FaultPlan
from engine.sandbox.market import Market
from engine.sandbox.rest import Moment, RefusedRequestError, Rules
from engine.sandbox.streams import stream_of
from tests.sandboxes import NOON, simulated_market

MOMENT = Moment(now=NOON, data=NOON, told=NOON)
FAULTS = FaultDealer(FaultPlan(), seed=1)


@pytest.fixture(scope="module")
def market() -> Market:
    return simulated_market()


def over_the_wire(document: object) -> Any:
    return orjson.loads(orjson.dumps(document))


def text(decimals: int) -> re.Pattern[str]:
    return re.compile(rf"\d+\.\d{{{decimals}}}" if decimals else r"\d+")


def assert_like(value: object, fact: object, where: str = "") -> None:
    """Compare with types and patterns of texts, in lists and objects; a list of one fact is of any length."""
    match fact:
        case re.Pattern():
            assert isinstance(value, str), where
            assert fact.fullmatch(value), f"{where}: {value}"
        case dict():
            assert isinstance(value, dict), where
            assert list(value) == list(fact), where
            for name, expected in fact.items():
                assert_like(value[name], expected, f"{where}.{name}")
        case list():
            assert isinstance(value, list), where
            facts = fact * len(value) if len(fact) == 1 else fact
            assert len(value) == len(facts) > 0, where
            for place, (item, expected) in enumerate(zip(value, facts, strict=True)):
                assert_like(item, expected, f"{where}[{place}]")
        case _:
            assert type(value) is fact, f"{where}: {value!r}"


def test_bars_are_rows_of_texts_between_a_time_and_a_count(market: Market) -> None:
    reply = over_the_wire(rest.ohlc(market, {"pair": "XBTUSD"}, MOMENT, FAULTS, Rules()))

    price = text(1)
    assert_like(reply, {"XXBTZUSD": [[int, price, price, price, price, price, text(8), int]], "last": int})


def test_minutes_without_a_trade_are_printed_as_in_the_recording_of_november_2025() -> None:
    # There: 721 rows a minute apart, 216 of them flat, the first and the forming one among them.
    quiet = simulated_market(activity=0.05, pairs=2)
    rows = rest.ohlc(quiet, {"pair": "ETHUSD"}, MOMENT, FAULTS, Rules())
    bars, last = rows["XETHZUSD"], rows["last"]

    assert len(bars) == 721
    assert {later[0] - earlier[0] for earlier, later in pairwise(bars)} == {60}
    assert last == bars[-2][0] == NOON // 60_000_000_000 * 60 - 60
    empty = [(earlier[4], later) for earlier, later in pairwise(bars) if later[7] == 0]
    assert len(empty) > 216
    assert all(row[1:] == [close, close, close, close, "0.00", "0.00000000", 0] for close, row in empty)


def test_trades_have_a_time_in_parts_of_seconds_and_a_cursor_of_nineteen_digits(market: Market) -> None:
    reply = over_the_wire(rest.trades(market, {"pair": "XBTUSD"}, MOMENT))

    row = [text(5), text(8), float, re.compile("[bs]"), re.compile("[ml]"), re.compile(""), int]
    assert_like(reply, {"XXBTZUSD": [row], "last": re.compile(r"\d{19}")})


def test_a_price_finer_than_five_decimals_is_shown_whole(market: Market) -> None:
    reply = over_the_wire(rest.trades(market, {"pair": "SHIBUSD", "count": "1"}, MOMENT))

    assert_like(reply["SHIBUSD"][0][:2], [text(8), text(8)])


def test_depth_rounds_amounts_to_thousandths(market: Market) -> None:
    reply = over_the_wire(rest.depth(market, {"pair": "XBTUSD", "count": "20"}, MOMENT))

    level = [text(5), text(3), int]
    assert_like(reply, {"XXBTZUSD": {"asks": [level], "bids": [level]}})
    assert all(float(level[1]) > 0 for level in reply["XXBTZUSD"]["asks"])


def test_a_ticker_has_its_nine_letters(market: Market) -> None:
    reply = over_the_wire(rest.ticker(market, {"pair": "XBTUSD"}, MOMENT))

    price, amount, best = text(5), text(8), [text(5), text(0), text(3)]
    pair: dict[str, object] = {
        "a": best,
        "b": best,
        "c": [price, amount],
        "v": [amount, amount],
        "p": [price, price],
    }
    pair = {**pair, "t": [int, int], "l": [price, price], "h": [price, price], "o": price}
    assert_like(reply, {"XXBTZUSD": pair})


def test_a_ticker_tells_of_today_and_of_the_last_day(market: Market) -> None:
    row = rest.ticker(market, {"pair": "XBTUSD"}, MOMENT)["XXBTZUSD"]
    midnight = NOON // NANOSECONDS_PER_DAY * NANOSECONDS_PER_DAY
    today = market.trades_after(0, after=midnight - 1, now=NOON, most=10**6)
    whole = market.trades_after(0, after=NOON - NANOSECONDS_PER_DAY, now=NOON, most=10**6)

    assert row["t"] == [len(today), len(whole)]
    assert [round(float(text) * 10**8) for text in row["v"]] == [today.lots.sum(), whole.lots.sum()]
    assert [round(float(text) * 10) for text in row["l"]] == [today.ticks.min(), whole.ticks.min()]
    assert [round(float(text) * 10) for text in row["h"]] == [today.ticks.max(), whole.ticks.max()]
    assert round(float(row["o"]) * 10) == today.ticks[0]
    assert round(float(row["c"][0]) * 10) == whole.ticks[-1]


def test_an_amount_below_a_thousandth_is_shown_as_one(market: Market) -> None:
    bitcoin, shiba = market.pairs[0], market.pairs[16]

    assert [rest._thousandths(bitcoin, lots) for lots in (1, 149_999, 150_001)] == ["0.001", "0.001", "0.002"]
    assert rest._thousandths(shiba, 12_345_678) == "123.457"


def test_a_pair_and_an_asset_have_their_fields(market: Market) -> None:
    pairs = over_the_wire(rest.asset_pairs(market, {"pair": "XBTUSD,SOL/USD"}, MOMENT))
    assets = over_the_wire(rest.assets(market, {"asset": "XBT,ZUSD"}))

    assert list(pairs) == ["XXBTZUSD", "SOLUSD"]
    bitcoin = pairs["XXBTZUSD"]
    assert (bitcoin["base"], bitcoin["quote"], bitcoin["wsname"]) == ("XXBT", "ZUSD", "XBT/USD")
    assert (bitcoin["ordermin"], bitcoin["costmin"], bitcoin["tick_size"]) == ("0.00001", "0.5", "0.1")
    assert bitcoin["fees"][0] == [0, 0.4]
    assert list(assets) == ["XXBT", "ZUSD"]
    assert assets["XXBT"] == {
        "aclass": "currency",
        "altname": "XBT",
        "decimals": 10,
        "display_decimals": 5,
        "status": "enabled",
    }


def test_time_and_status() -> None:
    assert rest.server_time(MOMENT) == {"unixtime": 1_750_250_070, "rfc1123": "Wed, 18 Jun 25 12:34:30 +0000"}
    assert rest.system_status(MOMENT) == {"status": "online", "timestamp": "2025-06-18T12:34:30Z"}


@pytest.mark.parametrize(
    ("since", "first"),
    [
        ("1750250000", 1_750_250_000_000_000_000),
        ("1750250000.5", 1_750_250_000_500_000_000),
        ("1750250000000000001", 1_750_250_000_000_000_001),
        ("0", 0),
    ],
)
def test_a_cursor_is_seconds_or_nanoseconds_and_nothing_at_it_comes_again(
    market: Market, since: str, first: int
) -> None:
    reply = rest.trades(market, {"pair": "XBTUSD", "since": since, "count": "1"}, MOMENT)
    expected = market.trades_after(0, after=first, now=NOON, most=1)

    assert reply["XXBTZUSD"][0][6] == expected.ids[0]


def test_after_the_last_trade_the_cursor_stays_where_it_was(market: Market) -> None:
    cursor = rest.trades(market, {"pair": "XBTUSD"}, MOMENT)["last"]

    assert rest.trades(market, {"pair": "XBTUSD", "since": cursor}, MOMENT) == {
        "XXBTZUSD": [],
        "last": cursor,
    }


@pytest.mark.parametrize(
    "since", ["nan", "inf", "-inf", "1e400", "1e30", "2025-06-18", "--5", "9" * 40, "9" * 5_000]
)
def test_a_cursor_that_is_none_is_refused(market: Market, since: str) -> None:
    with pytest.raises(RefusedRequestError, match="EGeneral:Invalid arguments"):
        rest.trades(market, {"pair": "XBTUSD", "since": since}, MOMENT)
    with pytest.raises(RefusedRequestError, match="EGeneral:Invalid arguments"):
        rest.ohlc(market, {"pair": "XBTUSD", "since": since}, MOMENT, FAULTS, Rules())


@pytest.mark.parametrize("parameters", [{"count": "many"}, {"count": "1.5"}])
def test_a_count_that_is_none_is_refused(market: Market, parameters: dict[str, str]) -> None:
    with pytest.raises(RefusedRequestError, match="EGeneral:Invalid arguments"):
        rest.trades(market, {"pair": "XBTUSD"} | parameters, MOMENT)


def test_streamed_rows_have_the_fields_of_version_two(market: Market) -> None:
    rows = {}
    for channel in ("trade", "ohlc", "ticker", "book"):
        stream = stream_of(market, FAULTS, 0, {"channel": channel})
        (message,) = over_the_wire(stream.snapshot(MOMENT))
        assert (message["channel"], message["type"]) == (channel, "snapshot")
        rows[channel] = message["data"][0]

    moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    assert_like(rows["trade"]["timestamp"], moment)
    assert list(rows["trade"]) == ["symbol", "side", "price", "qty", "ord_type", "trade_id", "timestamp"]
    assert list(rows["ohlc"])[1:5] == ["open", "high", "low", "close"]
    assert rows["ohlc"]["interval_begin"].endswith(":00.000000000Z")
    assert set(rows["ticker"]) >= {
        "bid",
        "bid_qty",
        "ask",
        "ask_qty",
        "last",
        "volume",
        "vwap",
        "low",
        "high",
        "change",
    }
    assert list(rows["book"]) == ["symbol", "bids", "asks", "checksum", "timestamp"]
    assert len(rows["book"]["bids"]) == 10


def test_who_is_not_listed_yet_is_in_no_list_and_unknown(market: Market) -> None:
    before = int(np.datetime64("2024-12-09T23:59", "ns").astype(np.int64))
    moment = Moment(now=before, data=before, told=before)

    assert "TONUSD" not in rest.asset_pairs(market, {}, moment)
    assert "TONUSD" in rest.asset_pairs(market, {}, MOMENT)
    with pytest.raises(RefusedRequestError, match="EQuery:Unknown asset pair"):
        rest.trades(market, {"pair": "TONUSD"}, moment)
