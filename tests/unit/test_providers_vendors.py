"""Yahoo, Polygon, Alpaca, Binance, FRED, CoinAPI: replies as documented, asked over the loopback."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from engine.data.actions import Dividend, Split
from engine.data.providers.alpaca import ALPACA
from engine.data.providers.binance import BINANCE
from engine.data.providers.coinapi import COINAPI
from engine.data.providers.entitlements import Secret
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.fred import FRED
from engine.data.providers.patience import Bucket
from engine.data.providers.polygon import POLYGON
from engine.data.providers.port import ActionSeen, Provider
from engine.data.providers.vendor import VendorProvider
from engine.data.providers.yahoo import YAHOO
from engine.data.series import BarSeries
from engine.domain.errors import InputError
from engine.domain.time import Timeframe
from tests.providers_loopback import (
    DAY,
    MINUTE,
    SECOND,
    Answers,
    Asked,
    Loopback,
    Reply,
    World,
    as_json,
    serving,
)

KEY = "hunter2-hunter2"


def at(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


NOW = at("2024-03-15T20:10:30")


VENDORS = {vendor.name: vendor for vendor in (YAHOO, POLYGON, ALPACA, BINANCE, FRED, COINAPI)}


def make(name: str, world: World, url: str, bucket: Bucket | None = None) -> Provider:
    keys = [Secret("id"), Secret(KEY)] if name == "alpaca" else [Secret(KEY)]
    return VendorProvider(
        VENDORS[name], keys, surroundings=world.surroundings, bucket=bucket or world.bucket, base_url=url
    )


@contextmanager
def on(name: str, answers: Answers) -> Iterator[tuple[Provider, Loopback, World]]:
    with serving(answers) as server:
        world = World(NOW)
        provider = make(name, world, server.url)
        try:
            yield provider, server, world
        finally:
            provider.close()


def all_bars(
    provider: Provider, symbol: str, timeframe: Timeframe, start: str, stop: str
) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for page in provider.fetch_bars(symbol, timeframe, at(start), at(stop)):
        assert isinstance(page.payload, bytes)
        series = page.series
        moments = series.stamps.view("datetime64[ns]").astype("datetime64[s]").astype(str).tolist()
        rows += zip(
            moments,
            *(getattr(series, field).tolist() for field in ("open", "high", "low", "close", "volume")),
            strict=True,
        )
    return rows


def closes(rows: list[tuple[Any, ...]]) -> list[tuple[str, float]]:
    return [(row[0], row[4]) for row in rows]


# ------------------------------------------------------------------------------------------------ yahoo


def chart(
    stamps: list[str],
    rows: list[list[float | None]],
    events: dict[str, Any] | None = None,
    zone: str = "America/New_York",
    market_time: str = "2024-03-15T20:00:01",
) -> dict[str, Any]:
    names = ("open", "high", "low", "close", "volume")
    columns = {name: [row[at_] for row in rows] for at_, name in enumerate(names)}
    result = {
        "meta": {
            "currency": "USD",
            "symbol": "AAPL",
            "exchangeTimezoneName": zone,
            "gmtoffset": -14400,
            "regularMarketTime": at(market_time) // SECOND,
            "dataGranularity": "1d",
        },
        "timestamp": [at(stamp) // SECOND for stamp in stamps],
        "indicators": {"quote": [columns], "adjclose": [{"adjclose": columns["close"]}]},
    }
    if events:
        result["events"] = events
    return {"chart": {"result": [result], "error": None}}


def test_yahoo_gives_prices_as_traded_with_splits_and_dividends_beside_them() -> None:
    split = at("2024-03-13T13:30:00") // SECOND
    paid = at("2024-03-12T13:30:00") // SECOND
    reply = chart(
        ["2024-03-11T13:30:00", "2024-03-12T13:30:00", "2024-03-13T13:30:00", "2024-03-14T13:30:00"],
        [[25, 26, 24, 25.5, 4000], [25, 27, 25, 26, 8000], [27, 28, 26, 27.5, 5000], [None] * 5],
        {
            "splits": {str(split): {"date": split, "numerator": 4, "denominator": 1, "splitRatio": "4:1"}},
            "dividends": {str(paid): {"date": paid, "amount": 0.25}},
        },
    )
    with on("yahoo", lambda _: as_json(reply)) as (provider, server, _):
        pages = list(provider.fetch_bars("AAPL", Timeframe.DAY_1, at("2024-03-11"), at("2024-03-15")))
        rows = all_bars(provider, "AAPL", Timeframe.DAY_1, "2024-03-11", "2024-03-15")

    assert rows == [
        ("2024-03-11T00:00:00", 100, 104, 96, 102, 1000),
        ("2024-03-12T00:00:00", 100, 108, 100, 104, 2000),
        ("2024-03-13T00:00:00", 27, 28, 26, 27.5, 5000),
    ]
    # A quarter of a dollar of today's shares was a dollar of the share that it was paid for.
    assert pages[0].actions == (
        ActionSeen(effective_at=at("2024-03-12"), what=Dividend(amount_e8=10**8)),
        ActionSeen(effective_at=at("2024-03-13"), what=Split(new_units=4, old_units=1)),
    )
    assert server.asked[0].path == "/v8/finance/chart/AAPL"
    assert "gauntlet" in server.asked[0].headers["user-agent"]


def test_a_split_after_what_was_asked_for_is_undone_too() -> None:
    split = at("2024-03-14T13:30:00") // SECOND
    events = {"splits": {"x": {"date": split, "numerator": 10, "denominator": 1, "splitRatio": "10:1"}}}
    reply = chart(["2024-03-11T13:30:00"], [[10, 10, 10, 10, 100]], events)
    with on("yahoo", lambda _: as_json(reply)) as (provider, server, _):
        rows = all_bars(provider, "AAPL", Timeframe.DAY_1, "2024-03-11", "2024-03-12")

    assert closes(rows) == [("2024-03-11T00:00:00", 100.0)]
    assert int(server.asked[0].query["period2"]) >= NOW // SECOND


def test_yahoo_daily_bars_end_before_today_and_the_price_of_now_is_no_bar() -> None:
    reply = chart(
        ["2024-03-14T13:30:00", "2024-03-15T13:30:00", "2024-03-15T20:00:01"],
        [[1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [3, 3, 3, 3, 3]],
    )
    with on("yahoo", lambda _: as_json(reply)) as (provider, _, _):
        rows = all_bars(provider, "AAPL", Timeframe.DAY_1, "2024-03-01", "2024-03-20")

    assert closes(rows) == [("2024-03-14T00:00:00", 1.0)]


def test_yahoo_minutes_come_by_the_week_and_the_last_price_is_no_bar() -> None:
    def answers(asked: Asked) -> Reply:
        if asked.query["interval"] == "1d":
            return as_json(chart([], []))
        return as_json(
            chart(
                ["2024-03-15T19:58:00", "2024-03-15T19:59:00", "2024-03-15T20:00:01"],
                [[1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [3, 3, 3, 3, 3]],
            )
        )

    with on("yahoo", answers) as (provider, server, _):
        rows = all_bars(provider, "AAPL", Timeframe.MINUTE_1, "2024-03-01", "2024-03-20")

    assert closes(rows) == [("2024-03-15T19:58:00", 1.0), ("2024-03-15T19:59:00", 2.0)]
    assert [asked.query["interval"] for asked in server.asked] == ["1d", "1m", "1m", "1m"]


@pytest.mark.parametrize(
    ("symbol", "ticker"),
    [
        ("BTC/USD", "BTC-USD"),
        ("BTC-USD", "BTC-USD"),
        ("EUR/USD", "EURUSD=X"),
        ("EURUSD=X", "EURUSD=X"),
        ("GC=F", "GC=F"),
        ("BRK.B", "BRK-B"),
        ("BMW.DE", "BMW.DE"),
        ("^GSPC", "^GSPC"),
    ],
)
def test_yahoo_spells_symbols_in_its_own_way(symbol: str, ticker: str) -> None:
    with on("yahoo", lambda _: as_json(chart([], [], zone="UTC"))) as (provider, server, _):
        assert all_bars(provider, symbol, Timeframe.DAY_1, "2024-03-01", "2024-03-10") == []
    assert server.asked[0].path == f"/v8/finance/chart/{ticker}"


def test_yahoo_says_what_it_does_not_have() -> None:
    no = {"chart": {"result": None, "error": {"code": "Not Found", "description": "symbol may be delisted"}}}
    with on("yahoo", lambda _: as_json(no)) as (provider, server, _):
        with pytest.raises(ProviderError, match="may be delisted") as refused:
            all_bars(provider, "NOPE", Timeframe.DAY_1, "2024-03-01", "2024-03-10")
        assert (refused.value.code, len(server.asked)) == (ProviderCode.UNKNOWN_SYMBOL, 1)
        with pytest.raises(ProviderError, match="go back 29 days"):
            all_bars(provider, "AAPL", Timeframe.MINUTE_1, "2024-01-01", "2024-03-10")
        with pytest.raises(ProviderError, match="no bars of 4h"):
            all_bars(provider, "AAPL", Timeframe.HOUR_4, "2024-03-01", "2024-03-10")


# ---------------------------------------------------------------------------------------------- polygon


def aggregates(rows: list[tuple[str, float]], next_url: str = "", status: str = "OK") -> dict[str, Any]:
    results = [
        {
            "v": 7.5,
            "vw": close,
            "o": close,
            "c": close,
            "h": close + 1,
            "l": close - 1,
            "t": at(stamp) // 10**6,
            "n": 3,
        }
        for stamp, close in rows
    ]
    reply = {
        "ticker": "AAPL",
        "adjusted": False,
        "queryCount": 2,
        "resultsCount": len(rows),
        "status": status,
    }
    return reply | ({"results": results} if rows else {}) | ({"next_url": next_url} if next_url else {})


def test_polygon_follows_its_pages_and_dates_daily_bars_of_stocks() -> None:
    base = ""

    def answers(asked: Asked) -> Reply:
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        if "cursor" in asked.query:
            return as_json(aggregates([("2024-03-12T04:00:00", 12), ("2024-03-15T04:00:00", 15)]))
        # The clocks changed on the 10th: New York's midnight is an hour earlier from then on.
        return as_json(
            aggregates(
                [("2024-03-08T05:00:00", 8), ("2024-03-11T04:00:00", 11)], f"{base}/v2/next?cursor=abc"
            )
        )

    with on("polygon", answers) as (provider, server, _):
        base = server.url
        rows = all_bars(provider, "AAPL", Timeframe.DAY_1, "2024-03-08", "2024-03-20")

    assert rows[0] == ("2024-03-08T00:00:00", 8, 9, 7, 8, 7.5)
    assert closes(rows)[1:] == [("2024-03-11T00:00:00", 11.0), ("2024-03-12T00:00:00", 12.0)]
    assert server.asked[0].path.startswith("/v2/aggs/ticker/AAPL/range/1/day/")
    assert server.asked[0].query["adjusted"] == "false"


@pytest.mark.parametrize("name", ["polygon", "alpaca"])
def test_pages_that_lead_in_a_circle_are_left(name: str) -> None:
    url = ""

    def answers(_: Asked) -> Reply:
        if name == "polygon":
            return as_json(aggregates([("2024-03-12T04:00:00", 12)], f"{url}/v2/next?cursor=abc"))
        return as_json({"bars": {"AAPL": []}, "next_page_token": "again"})

    with on(name, answers) as (provider, server, _):
        url = server.url
        with pytest.raises(ProviderError, match="leads back"):
            all_bars(provider, "AAPL", Timeframe.DAY_1, "2024-03-08", "2024-03-20")
        assert len(server.asked) == 2


def test_trades_that_do_not_go_on_are_left() -> None:
    trade = {"a": 7, "p": "5", "q": "1", "f": 1, "l": 1, "T": at("2024-03-14") // 10**6, "m": True}
    with (
        on("binance", lambda _: as_json([trade])) as (provider, _, _),
        pytest.raises(ProviderError, match="trades before 8"),
    ):
        list(provider.fetch_trades("BTC/USDT", at("2024-03-14"), at("2024-03-15")))


def test_polygon_is_not_followed_to_another_host() -> None:
    reply = aggregates([("2024-03-12T04:00:00", 12)], "https://api.polygon.io.evil.example/v2?cursor=1")
    with on("polygon", lambda _: as_json(reply)) as (provider, server, _):
        with pytest.raises(ProviderError, match="another host; nothing was sent there"):
            all_bars(provider, "AAPL", Timeframe.DAY_1, "2024-03-08", "2024-03-20")
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("symbol", "ticker"),
    [("BTC-USD", "X:BTCUSD"), ("BTC/USD", "X:BTCUSD"), ("EURUSD=X", "C:EURUSD"), ("EUR/USD", "C:EURUSD")],
)
def test_polygon_spells_symbols_in_its_own_way(symbol: str, ticker: str) -> None:
    rows = [("2024-03-12T00:00:00", 12.0)]
    with on("polygon", lambda _: as_json(aggregates(rows, status="DELAYED"))) as (provider, server, _):
        assert closes(all_bars(provider, symbol, Timeframe.DAY_1, "2024-03-12", "2024-03-13")) == rows
    assert server.asked[0].path.split("/")[4] == ticker


# ----------------------------------------------------------------------------------------------- alpaca


def test_alpaca_follows_tokens_and_asks_for_raw_prices() -> None:
    def bar(stamp: str, close: float) -> dict[str, Any]:
        return {"t": stamp, "o": close, "h": close, "l": close, "c": close, "v": 100, "n": 5, "vw": close}

    def answers(asked: Asked) -> Reply:
        assert (asked.headers["apca-api-key-id"], asked.headers["apca-api-secret-key"]) == ("id", KEY)
        if asked.query.get("page_token") == "t2":
            return as_json({"bars": {"AAPL": [bar("2024-03-14T04:00:00Z", 3)]}, "next_page_token": None})
        bars = [bar("2024-03-08T05:00:00Z", 1), bar("2024-03-11T04:00:00Z", 2)]
        return as_json({"bars": {"AAPL": bars}, "next_page_token": "t2"})

    with on("alpaca", answers) as (provider, server, _):
        rows = all_bars(provider, "AAPL", Timeframe.DAY_1, "2024-03-08", "2024-03-15")

    assert closes(rows) == [
        ("2024-03-08T00:00:00", 1.0),
        ("2024-03-11T00:00:00", 2.0),
        ("2024-03-14T00:00:00", 3.0),
    ]
    asked = server.asked[0]
    assert asked.path == "/v2/stocks/bars"
    assert {name: asked.query[name] for name in ("adjustment", "feed", "timeframe", "start")} == {
        "adjustment": "raw",
        "feed": "sip",
        "timeframe": "1Day",
        "start": "2024-03-08T00:00:00Z",
    }


def test_alpaca_is_not_asked_for_the_minutes_that_need_another_subscription() -> None:
    with on("alpaca", lambda _: as_json({"bars": {}, "next_page_token": None})) as (provider, server, _):
        assert all_bars(provider, "AAPL", Timeframe.MINUTE_1, "2024-03-15", "2024-03-16") == []
        assert all_bars(provider, "BTC-USD", Timeframe.MINUTE_1, "2024-03-15", "2024-03-16") == []

    stocks, crypto = server.asked
    assert at(stocks.query["end"].removesuffix("Z")) <= NOW - 15 * MINUTE
    assert (crypto.path, crypto.query["symbols"]) == ("/v1beta3/crypto/us/bars", "BTC/USD")
    assert at(crypto.query["end"].removesuffix("Z")) > NOW - 2 * MINUTE
    assert "feed" not in crypto.query


# ---------------------------------------------------------------------------------------------- binance


def kline(stamp: int, close: float, volume: str = "1.5") -> list[Any]:
    price = f"{close:.8f}"
    opens = stamp // 10**6
    return [opens, price, price, price, price, volume, opens + 59_999, "150.0", 12, "0.5", "50.0", "0"]


def test_binance_pages_through_a_thousand_bars_at_a_time_without_the_forming_one() -> None:
    first = at("2024-03-14T00:00:00")

    def answers(asked: Asked) -> Reply:
        start = max(int(asked.query["startTime"]) * 10**6, first)
        end = int(asked.query["endTime"]) * 10**6
        rows = [kline(stamp, stamp // MINUTE % 997 + 1) for stamp in range(start, min(end, NOW) + 1, MINUTE)]
        return as_json(rows[: int(asked.query["limit"])])

    with on("binance", answers) as (provider, server, _):
        rows = all_bars(provider, "BTC/USDT", Timeframe.MINUTE_1, "2024-03-10", "2024-03-20")

    assert len(rows) == (NOW - first) // MINUTE
    assert rows[0][0] == "2024-03-14T00:00:00"
    assert rows[-1][0] == "2024-03-15T20:09:00"
    assert len({row[0] for row in rows}) == len(rows)
    assert len(server.asked) == 3
    assert server.asked[0].query["symbol"] == "BTCUSDT"


def test_bars_that_are_not_over_or_have_not_begun_are_left_out_and_counted() -> None:
    start = at("2024-03-15T20:08")
    rows = [kline(start + number * MINUTE, 5) for number in (0, 1, 2, 5, 9)]
    with on("binance", lambda _: as_json(rows)) as (provider, _, _):
        (page, *_) = provider.fetch_bars("BTC-USDT", Timeframe.MINUTE_1, start, start + DAY)

    # It is ten past and half a minute.
    assert page.series.stamps.tolist() == [start, start + MINUTE]
    assert (page.forming, page.future) == (1, 2)


def test_binance_leaves_out_minutes_in_which_nothing_was_traded() -> None:
    start = at("2024-03-14")
    rows = [kline(start, 5), kline(start + MINUTE, 5, "0.00000000"), kline(start + 2 * MINUTE, 6)]
    with on("binance", lambda _: as_json(rows)) as (provider, _, _):
        found = all_bars(provider, "BTC-USDT", Timeframe.MINUTE_1, "2024-03-14", "2024-03-14T00:03")

    assert closes(found) == [("2024-03-14T00:00:00", 5.0), ("2024-03-14T00:02:00", 6.0)]


def test_binance_trades_go_on_by_number_so_that_those_of_one_millisecond_are_not_lost() -> None:
    start = at("2024-03-14")
    trades: list[dict[str, Any]] = []
    for n in range(3200):
        stamp = (start + n // 1500 * SECOND) // 10**6
        trades.append({"a": 1000 + n, "p": "5.0", "q": "0.5", "f": n, "l": n, "T": stamp, "m": n % 2 == 0})

    def answers(asked: Asked) -> Reply:
        if "fromId" in asked.query:
            rest = [trade for trade in trades if trade["a"] >= int(asked.query["fromId"])]
        else:
            rest = [trade for trade in trades if trade["T"] >= int(asked.query["startTime"])]
        return as_json(rest[: int(asked.query["limit"])])

    with on("binance", answers) as (provider, _, _):
        pages = list(provider.fetch_trades("BTC/USDT", start, start + 10 * SECOND))

    assert np.concatenate([page.series.ids for page in pages]).tolist() == list(range(1000, 4200))
    assert pages[0].series.buyer_is_taker[:2].tolist() == [False, True]
    assert pages[-1].cursor == start + 2 * SECOND


# ------------------------------------------------------------------------------------------------- fred


def observations(rows: list[tuple[str, str, str]], count: int | None = None) -> dict[str, Any]:
    return {
        "realtime_start": "2024-01-01",
        "realtime_end": "2024-03-14",
        "units": "lin",
        "output_type": 1,
        "file_type": "json",
        "count": len(rows) if count is None else count,
        "offset": 0,
        "limit": 100000,
        "observations": [
            {"realtime_start": published, "realtime_end": "9999-12-31", "date": about, "value": value}
            for published, about, value in rows
        ],
    }


INFLATION = [
    # What is known when the window begins carries the date of its first day.
    ("2024-01-09", "2023-10-01", "307.5"),
    ("2024-01-09", "2023-11-01", "308.0"),
    ("2024-01-11", "2023-12-01", "308.7"),
    # A revision of old months, which is no news of the newest one.
    ("2024-02-09", "2023-10-01", "307.6"),
    ("2024-02-13", "2024-01-01", "309.7"),
    ("2024-02-20", "2024-01-01", "309.8"),
    ("2024-03-12", "2024-02-01", "."),
    ("2024-03-15", "2024-02-01", "311.0"),
]


def test_a_figure_is_known_when_it_is_published_and_not_in_the_month_it_is_about() -> None:
    with on("fred", lambda _: as_json(observations(INFLATION))) as (provider, server, _):
        rows = all_bars(provider, "FRED:CPIAUCSL", Timeframe.DAY_1, "2024-01-10", "2024-03-20")

    assert closes(rows) == [
        ("2024-01-11T00:00:00", 308.7),
        ("2024-02-13T00:00:00", 309.7),
        ("2024-02-20T00:00:00", 309.8),
    ]
    asked = server.asked[0]
    assert asked.path == "/fred/series/observations"
    assert (asked.query["series_id"], asked.query["api_key"]) == ("CPIAUCSL", KEY)
    assert (asked.query["realtime_start"], asked.query["realtime_end"]) == ("2024-01-09", "2024-03-14")


def test_fred_is_asked_for_five_years_of_vintages_at_a_time_and_for_all_their_pages() -> None:
    def answers(asked: Asked) -> Reply:
        offset = int(asked.query["offset"])
        return as_json(observations(INFLATION[offset : offset + 3], count=len(INFLATION)))

    with on("fred", answers) as (provider, server, _):
        all_bars(provider, "CPIAUCSL", Timeframe.DAY_1, "2015-01-01", "2024-03-20")

    assert [asked.query["offset"] for asked in server.asked] == ["0", "3", "6"] * 2
    spans = {asked.query["realtime_start"]: asked.query["realtime_end"] for asked in server.asked}
    assert spans == {"2014-12-31": "2019-12-30", "2019-12-30": "2024-03-14"}


def test_fred_publishes_by_the_day() -> None:
    with (
        on("fred", lambda _: as_json({})) as (provider, _, _),
        pytest.raises(ProviderError, match="by the day, not by 1h"),
    ):
        all_bars(provider, "CPIAUCSL", Timeframe.HOUR_1, "2024-01-01", "2024-02-01")


# ---------------------------------------------------------------------------------------------- coinapi


def test_coinapi_bars() -> None:
    def row(stamp: str, close: float, volume: float) -> dict[str, Any]:
        names = ("price_open", "price_high", "price_low", "price_close")
        return {
            "time_period_start": stamp,
            "time_period_end": stamp,
            "time_open": stamp,
            "time_close": stamp,
            **dict.fromkeys(names, close),
            "volume_traded": volume,
            "trades_count": 4,
        }

    reply = [
        row("2024-03-15T18:00:00.0000000Z", 68000.5, 1.25),
        row("2024-03-15T19:00:00.0000000Z", 68100.0, 2.5),
        row("2024-03-15T20:00:00.0000000Z", 68200.0, 0.5),
    ]
    with on("coinapi", lambda _: as_json(reply)) as (provider, server, _):
        rows = all_bars(provider, "BTC/USD", Timeframe.HOUR_1, "2024-03-15T18:00", "2024-03-16")

    assert closes(rows) == [("2024-03-15T18:00:00", 68000.5), ("2024-03-15T19:00:00", 68100.0)]
    asked = server.asked[0]
    assert asked.path == "/v1/ohlcv/KRAKEN_SPOT_BTC_USD/history"
    assert asked.headers["x-coinapi-key"] == KEY
    assert asked.query["period_id"] == "1HRS"
    assert (asked.query["time_start"], asked.query["time_end"]) == (
        "2024-03-15T18:00:00Z",
        "2024-03-15T20:00:00Z",
    )
    assert len(server.asked) == 1


# --------------------------------------------------------------------------------------- all of them

GOOD: dict[str, tuple[str, Any]] = {
    "yahoo": ("AAPL", chart(["2024-03-11T13:30:00"], [[5, 6, 4, 5, 10]])),
    "polygon": ("AAPL", aggregates([("2024-03-11T04:00:00", 5)])),
    "alpaca": (
        "AAPL",
        {
            "bars": {"AAPL": [{"t": "2024-03-11T04:00:00Z", "o": 5, "h": 6, "l": 4, "c": 5, "v": 10}]},
            "next_page_token": None,
        },
    ),
    "binance": ("BTC/USDT", [kline(at("2024-03-11"), 5)]),
    "fred": ("FRED:DGS10", observations([("2024-03-11", "2024-03-08", "5")])),
    "coinapi": (
        "BTC/USD",
        [
            {
                "time_period_start": "2024-03-11T00:00:00.0000000Z",
                "price_open": 5,
                "price_high": 6,
                "price_low": 4,
                "price_close": 5,
                "volume_traded": 1,
            }
        ],
    ),
}
EVERY = pytest.mark.parametrize("name", list(GOOD))


def ask(provider: Provider, name: str) -> list[tuple[str, float]]:
    return closes(all_bars(provider, GOOD[name][0], Timeframe.DAY_1, "2024-03-11", "2024-03-12"))


PASSING = {
    "truncated": Reply(b'{"chart": {"result": ['),
    "cut": Reply(b"[[1", cut=50),
    "empty": Reply(b""),
    "closed": Reply(drop=True),
    "500": as_json({"message": "internal"}, 500),
    "502": Reply(b"<html>bad gateway</html>", 502),
    "404": as_json({"message": "nothing here"}, 404),
    "302": Reply(b"", 302, {"Location": "http://127.0.0.1:9/"}),
    "429": Reply(b"{}", 429, {"Retry-After": "11"}),
    "null": Reply(b"null"),
    "text": Reply(b'"hello"'),
}


@EVERY
@pytest.mark.parametrize("fault", list(PASSING))
def test_what_passes_is_asked_again(name: str, fault: str) -> None:
    with on(name, lambda _: as_json(GOOD[name][1])) as (provider, server, world):
        server.faults = [PASSING[fault], PASSING[fault]]
        assert ask(provider, name) == [("2024-03-11T00:00:00", 5.0)]

        assert len(server.asked) == 3
        assert len(world.waits) >= 2
        if fault == "429":
            assert max(world.waits) == 11.0


@EVERY
@pytest.mark.parametrize("status", [400, 401, 403, 451])
def test_a_refusal_is_one_entitlement_failure_and_never_asked_again(name: str, status: int) -> None:
    said = {"message": f"key {KEY} may not\nsee this", "error_code": status}
    with on(name, lambda _: as_json(said, status)) as (provider, server, world):
        with pytest.raises(InputError) as refused:
            ask(provider, name)

        assert isinstance(refused.value, ProviderError)
        assert refused.value.code is ProviderCode.ENTITLEMENT_FAILURE
        assert (len(server.asked), world.waits) == (1, [])
        text = str(refused.value)
        assert "may not see this" in text
        assert f"HTTP {status}" in text


@EVERY
def test_three_failures_are_one_error(name: str) -> None:
    with on(name, lambda _: as_json({"error": {"message": "down for a while"}}, 503)) as (
        provider,
        server,
        _,
    ):
        with pytest.raises(ProviderError, match=r"no answer in 3 attempts, last: HTTP 503.*down for a while"):
            ask(provider, name)
        assert len(server.asked) == 3


@pytest.mark.parametrize("name", ["polygon", "alpaca", "fred", "coinapi"])
@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_is_never_shown(name: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    def answers(asked: Asked) -> Reply:
        shown = {"message": f"{asked.query} {asked.headers}", "results": None}
        return Reply(KEY.encode() + b" garbage" if status == 200 else json.dumps(shown).encode(), status)

    with caplog.at_level(logging.DEBUG), on(name, answers) as (provider, _, _):
        with pytest.raises(ProviderError) as failed:
            ask(provider, name)
        chain: list[BaseException] = []
        error: BaseException | None = failed.value
        while error is not None:
            chain.append(error)
            error = error.__cause__

    assert all(KEY not in str(link) for link in chain)
    assert KEY not in caplog.text


@EVERY
@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "1e308", '"ten"', "null", "[]", "true", '"' + "9" * 100 + '"']
)
def test_what_is_no_number_is_no_price(name: str, value: str) -> None:
    body = json.dumps(GOOD[name][1])
    for good in ('"5.00000000"', ": 5,", ": 5}", '"value": "5"', "[5]"):
        body = body.replace(
            good, good.replace('"5.00000000"', value).replace('"5"', value).replace("5", value)
        )
    with on(name, lambda _: Reply(body.encode())) as (provider, _, _):
        if name == "yahoo" and value == "null":
            assert ask(provider, name) == []
        else:
            with pytest.raises(ProviderError) as refused:
                ask(provider, name)
            assert refused.value.code in (ProviderCode.INVALID_DATA, ProviderCode.PROVIDER_ERROR)


@EVERY
def test_every_provider_knows_its_row_of_the_matrix(name: str) -> None:
    with on(name, lambda _: as_json([])) as (provider, _, _):
        assert (provider.name, provider.capabilities.name) == (name, name)
        if name != "binance":
            with pytest.raises(ProviderError, match="no trades of X from 2024-03-11T00:00:00") as refused:
                list(provider.fetch_trades("X", at("2024-03-11"), at("2024-03-12")))
            assert refused.value.code is ProviderCode.NOT_OFFERED


def test_a_key_does_not_go_over_an_open_line() -> None:
    world = World(NOW)
    with pytest.raises(ProviderError, match="must be https"):
        make("polygon", world, "http://api.polygon.io")
    with pytest.raises(ProviderError, match="must be https"):
        make("polygon", world, "http://127.0.0.1.evil.example")


def test_requests_keep_to_the_rate() -> None:
    with serving(lambda _: as_json([kline(at("2024-03-11"), 5)])) as server:
        world = World(NOW)
        bucket = Bucket(0.5, monotonic=lambda: sum(world.slept), sleep=world.sleep)
        provider = make("binance", world, server.url, bucket)
        for _ in range(3):
            ask(provider, "binance")
        provider.close()

    assert sum(world.slept) == pytest.approx(4.0)


def test_who_was_told_to_wait_holds_the_others_back() -> None:
    with serving(lambda _: as_json([kline(at("2024-03-11"), 5)])) as server:
        world = World(NOW)
        told: list[float] = []
        # Attempts wait on a clock of their own: only the bucket shows on the world's.
        bucket = Bucket(1e9, monotonic=lambda: 0.0, sleep=told.append)
        provider = make("binance", world, server.url, bucket)
        server.faults = [Reply(b"{}", 429, {"Retry-After": "30"})]
        ask(provider, "binance")
        bucket.take()
        provider.close()

    assert told[-1] == pytest.approx(30.0)


def test_nothing_is_asked_about_the_future() -> None:
    for name in GOOD:
        with on(name, lambda _: as_json([])) as (provider, server, _):
            pages = list(provider.fetch_bars(GOOD[name][0], Timeframe.DAY_1, NOW, NOW + 9 * DAY))
            assert sum(len(page.series) for page in pages) == 0
            assert server.asked == []
            assert all(isinstance(page.series, BarSeries) for page in pages)
