"""Real ccxt, told nothing but where the sandbox is, reads it as it reads Kraken."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ccxt
import ccxt.async_support
import numpy as np
import pytest

from engine.domain.errors import InputError
from engine.sandbox.background import BackgroundSandbox, in_background
from engine.sandbox.market import NANOSECONDS_PER_MINUTE, Market
from engine.sandbox.pairs import universe
from engine.sandbox.rest import EmptyIntervals, Rules
from engine.sandbox.server import SandboxServer, client_options
from tests.sandboxes import NOON, sandbox, simulated_market, step, still_clock

MILLISECONDS = 1_000_000
DAY_MS = 86_400_000
MINUTE_MS = 60_000


@contextmanager
def client(running: BackgroundSandbox) -> Iterator[Any]:
    # Only the waiting between calls is switched off; all else is ccxt as it comes.
    exchange = ccxt.kraken(client_options(running.url) | {"enableRateLimit": False})
    try:
        yield exchange
    finally:
        exchange.session.close()


@pytest.fixture(scope="module")
def light() -> Market:
    return simulated_market(activity=0.25)


def test_ccxt_finds_the_thirty_markets(light: Market) -> None:
    with sandbox(light) as running, client(running) as exchange:
        markets = exchange.load_markets()

    assert set(markets) == {pair.symbol for pair in universe()}
    bitcoin = markets["BTC/USD"]
    assert (bitcoin["id"], bitcoin["wsId"], bitcoin["base"]) == ("XXBTZUSD", "XBT/USD", "BTC")
    assert bitcoin["precision"] == {"amount": 1e-8, "price": 0.1}
    assert (bitcoin["maker"], bitcoin["taker"], bitcoin["active"]) == (0.0025, 0.004, True)
    assert markets["SHIB/USD"]["precision"] == {"amount": 1e-5, "price": 1e-8}


def test_ccxt_tells_the_time_and_that_the_exchange_is_open(light: Market) -> None:
    with sandbox(light) as running, client(running) as exchange:
        assert exchange.fetch_time() == NOON // MILLISECONDS
        assert exchange.fetch_status()["status"] == "ok"
        step(running, 90)
        assert exchange.fetch_time() == NOON // MILLISECONDS + 90_000


@pytest.mark.parametrize(("timeframe", "minutes"), [("1m", 1), ("1h", 60), ("1d", 1_440)])
def test_ccxt_reads_bars_which_are_those_of_the_market(light: Market, timeframe: str, minutes: int) -> None:
    with sandbox(light) as running, client(running) as exchange:
        rows = exchange.fetch_ohlcv("ETH/USD", timeframe)

    assert len(rows) == 721
    # The others are flat: nothing was traded.
    rows = [row for row in rows if row[5] > 0]
    bars = light.bars(1, minutes, after=-1, now=NOON, most=len(rows))
    assert [row[0] * MILLISECONDS for row in rows] == bars.stamps.tolist()
    for column, ticks in enumerate((bars.open, bars.high, bars.low, bars.close), start=1):
        assert [round(row[column] * 100) for row in rows] == ticks.tolist()
    assert [round(row[5] * 10**8) for row in rows] == bars.volume.tolist()


def test_the_last_row_is_the_forming_one(light: Market) -> None:
    with sandbox(light) as running, client(running) as exchange:
        before = exchange.fetch_ohlcv("BTC/USD", "1h")[-1]
        step(running, 15 * 60)
        after = exchange.fetch_ohlcv("BTC/USD", "1h")[-1]

    assert before[0] == after[0] == NOON // MILLISECONDS // 3_600_000 * 3_600_000
    assert before[5] < after[5]


def test_bars_since_a_moment_begin_there_and_more_than_721_are_never_given(light: Market) -> None:
    since = (NOON // MILLISECONDS) // MINUTE_MS * MINUTE_MS - 30 * MINUTE_MS
    with sandbox(light) as running, client(running) as exchange:
        recent = exchange.fetch_ohlcv("BTC/USD", "1m", since=since)
        old = exchange.fetch_ohlcv("BTC/USD", "1m", since=since - 10 * DAY_MS)

    assert recent[0][0] >= since
    assert recent[0][0] < since + 10 * MINUTE_MS
    assert len(old) == 721
    assert old[-len(recent) :] == recent


def test_an_interval_without_trades_has_a_flat_row_or_none_if_that_was_asked_for(light: Market) -> None:
    without = Rules(empty_intervals=EmptyIntervals.ABSENT)
    with sandbox(light, rules=without) as running, client(running) as exchange:
        absent = exchange.fetch_ohlcv("APT/USD", "1m")
    with sandbox(light) as running, client(running) as exchange:
        flat = exchange.fetch_ohlcv("APT/USD", "1m")

    assert np.diff([row[0] for row in absent]).max() > MINUTE_MS
    assert all(row[5] > 0 for row in absent)
    assert len(flat) == 721
    assert set(np.diff([row[0] for row in flat])) == {MINUTE_MS}
    assert [row for row in flat if row[5] > 0] == [row for row in absent if row[0] >= flat[0][0]]


def test_the_cursor_of_bars_is_the_last_closed_one(light: Market) -> None:
    with sandbox(light) as running, client(running) as exchange:
        reply = exchange.publicGetOHLC({"pair": "XBTUSD", "interval": "60"})["result"]
        again = exchange.publicGetOHLC({"pair": "XBTUSD", "interval": "60", "since": reply["last"]})["result"]

    rows = reply["XXBTZUSD"]
    assert int(reply["last"]) == int(rows[-2][0])
    # Polled with the cursor, only the forming bar comes again.
    assert again["XXBTZUSD"] == rows[-1:]


def test_trades_are_paged_by_the_cursor_and_add_up_to_the_bars(light: Market) -> None:
    hour = 60 * NANOSECONDS_PER_MINUTE
    stop = NOON // hour * hour
    start = stop - 24 * hour
    with sandbox(light) as running, client(running) as exchange:
        exchange.load_markets()
        rows: list[Any] = []
        cursor = str(start - 1)
        while True:
            reply = exchange.publicGetTrades({"pair": "XXBTZUSD", "since": cursor, "count": "400"})["result"]
            if not reply["XXBTZUSD"]:
                break
            rows += reply["XXBTZUSD"]
            cursor = reply["last"]
        bars = exchange.fetch_ohlcv("BTC/USD", "1h", since=start // MILLISECONDS, limit=24)

    numbers = [int(row[6]) for row in rows]
    assert numbers == list(range(numbers[0], numbers[0] + len(rows)))
    assert len(rows) > 800
    for bar in bars:
        inside = [row for row in rows if bar[0] <= float(row[2]) * 1_000 < bar[0] + 3_600_000]
        prices = [float(row[0]) for row in inside]
        assert [prices[0], max(prices), min(prices), prices[-1]] == bar[1:5]
        assert sum(round(float(row[1]) * 10**8) for row in inside) == round(bar[5] * 10**8)


def test_ccxt_reads_trades_with_side_kind_and_time(light: Market) -> None:
    with sandbox(light) as running, client(running) as exchange:
        trades = exchange.fetch_trades("SOL/USD", since=NOON // MILLISECONDS - DAY_MS, limit=50)
        last = exchange.fetch_trades("SOL/USD")

    whole = light.trades_after(4, after=NOON - DAY_MS * MILLISECONDS, now=NOON, most=50)
    assert [int(trade["id"]) for trade in trades] == whole.ids.tolist()
    assert [trade["side"] == "buy" for trade in trades] == whole.buyer_is_taker.tolist()
    assert [trade["type"] == "market" for trade in trades] == whole.is_market_order.tolist()
    assert [trade["timestamp"] for trade in trades] == [s // 10**6 for s in whole.stamps.tolist()]
    assert len(last) == 1_000


def test_ccxt_reads_the_book_around_the_last_trade(light: Market) -> None:
    with sandbox(light) as running, client(running) as exchange:
        book = exchange.fetch_order_book("BTC/USD", 25)
        deep = exchange.fetch_order_book("BTC/USD", 500)

    bids, asks = [row[0] for row in book["bids"]], [row[0] for row in book["asks"]]
    assert (len(bids), len(asks)) == (25, 25)
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert bids[0] < asks[0]
    middle = light.tape.middle(0, NOON) * 0.1
    assert bids[0] < middle < asks[0]
    assert len(deep["bids"]) == 500
    assert deep["bids"][:25] == book["bids"]


def test_ccxt_reads_tickers_of_one_of_some_and_of_all(light: Market) -> None:
    with sandbox(light) as running, client(running) as exchange:
        one = exchange.fetch_ticker("BTC/USD")
        some = exchange.fetch_tickers(["BTC/USD", "SHIB/USD"])
        everything = exchange.fetch_tickers()

    day = light.trades_after(0, after=NOON - DAY_MS * MILLISECONDS, now=NOON, most=10**6)
    assert one["last"] == day.ticks[-1] / 10
    assert (one["high"], one["low"]) == (day.ticks.max() / 10, day.ticks.min() / 10)
    assert one["baseVolume"] == pytest.approx(day.lots.sum() / 10**8)
    assert one["bid"] < one["ask"]
    assert set(some) == {"BTC/USD", "SHIB/USD"}
    assert len(everything) == 30


def test_ccxt_names_what_the_exchange_refuses(light: Market) -> None:
    with sandbox(light) as running, client(running) as exchange:
        with pytest.raises(ccxt.BadSymbol):
            exchange.fetch_ohlcv("DOGE/USD")
        with pytest.raises(ccxt.ExchangeError, match="Unknown asset pair"):
            exchange.publicGetOHLC({"pair": "DOGEUSD"})
        with pytest.raises(ccxt.BadRequest, match="Invalid arguments"):
            exchange.publicGetOHLC({"pair": "XBTUSD", "interval": "7"})
        with pytest.raises(ccxt.BadRequest, match="Invalid arguments"):
            exchange.publicGetTrades({"pair": "XBTUSD", "since": "yesterday"})
        with pytest.raises(ccxt.ExchangeError, match="Unknown method"):
            exchange.publicGetSpread({"pair": "XBTUSD"})


def test_ccxt_async_reads_thirty_symbols_at_once(light: Market) -> None:
    async def read() -> dict[str, list[Any]]:
        async with SandboxServer(light, still_clock()) as server:
            options = client_options(server.url) | {"enableRateLimit": False}
            exchange: Any = ccxt.async_support.kraken(options)
            try:
                await exchange.load_markets()
                symbols = list(exchange.symbols)
                found = await asyncio.gather(*(exchange.fetch_ohlcv(name, "1h") for name in symbols))
            finally:
                await exchange.close()
        return dict(zip(symbols, found, strict=True))

    bars = asyncio.run(read())

    assert len(bars) == 30
    for number, pair in enumerate(universe()):
        traded = [row[0] * MILLISECONDS for row in bars[pair.symbol] if row[5] > 0]
        expected = light.bars(number, 60, after=-1, now=NOON, most=len(traded))
        assert traded == expected.stamps.tolist()


def test_a_port_that_is_taken_is_told_to_whoever_asked_for_the_server(light: Market) -> None:
    with sandbox(light) as running:
        port = int(running.url.rpartition(":")[2])
        second = SandboxServer(light, still_clock(), port=port)
        with pytest.raises(InputError, match=f"port {port} cannot be opened"), in_background(second):
            raise AssertionError("it must not have started")
