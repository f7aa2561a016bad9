"""Real ccxt.pro, and a bare socket, on the WebSocket of the sandbox."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import ccxt.pro
import pytest

from engine.domain.time import NANOSECONDS_PER_SECOND
from engine.sandbox.clock import Clock
from engine.sandbox.faults import plan_of_text
from engine.sandbox.market import NANOSECONDS_PER_MINUTE, Market
from engine.sandbox.server import SandboxServer, client_options
from tests.sandboxes import NOON, SEED, simulated_market, still_clock

PATIENCE = 20.0
NOW_MS = NOON // 10**6


@pytest.fixture(scope="module")
def market() -> Market:
    return simulated_market(pairs=5)


@asynccontextmanager
async def streaming(
    market: Market, *, speed: float = 0.0, faults: str = "none"
) -> AsyncIterator[tuple[SandboxServer, Any]]:
    clock = Clock(start=NOON, speed=speed, wall=time.monotonic_ns) if speed else still_clock()
    async with SandboxServer(market, clock, faults=plan_of_text(faults), seed=SEED) as server:
        exchange = ccxt.pro.kraken(client_options(server.url) | {"enableRateLimit": False})
        try:
            await exchange.load_markets()
            yield server, exchange
        finally:
            await exchange.close()


def run(act: Callable[[], Awaitable[None]]) -> None:
    async def patiently() -> None:
        await asyncio.wait_for(act(), PATIENCE)

    asyncio.run(patiently())


def test_ccxt_pro_watches_trades_which_are_those_of_the_market(market: Market) -> None:
    async def act() -> None:
        async with streaming(market, speed=600) as (server, exchange):
            exchange.newUpdates = True
            seen: list[dict[str, Any]] = []
            while len(seen) < 40:
                seen += await exchange.watch_trades("BTC/USD")
            until = server.exchange.clock.now()
        whole = market.trades_after(0, after=NOON, now=until, most=10**6)
        numbers = whole.ids.tolist()
        first = numbers.index(int(seen[0]["id"]))
        assert [int(trade["id"]) for trade in seen] == numbers[first : first + len(seen)]
        assert [trade["price"] * 10 for trade in seen] == pytest.approx(
            whole.ticks[first : first + len(seen)].tolist()
        )
        assert [trade["side"] == "buy" for trade in seen] == whole.buyer_is_taker[
            first : first + len(seen)
        ].tolist()

    run(act)


def test_ccxt_pro_watches_bars_as_they_form_and_close(market: Market) -> None:
    async def act() -> None:
        bars: dict[int, list[float]] = {}
        async with streaming(market, speed=120) as (server, exchange):
            while len(bars) < 100 + 5:
                for bar in await exchange.watch_ohlcv("ETH/USD", "1m"):
                    bars[int(bar[0])] = list(bar)
            until = server.exchange.clock.now()
        truth = market.bars(1, 1, after=-1, now=until, most=1_000)
        expected = {
            stamp // 10**6: [close / 100, volume / 10**8]
            for stamp, close, volume in zip(
                truth.stamps.tolist(), truth.close.tolist(), truth.volume.tolist(), strict=True
            )
        }
        # The last one is forming still.
        closed = sorted(bars)[:-1]
        assert {stamp: bars[stamp][4:] for stamp in closed} == {stamp: expected[stamp] for stamp in closed}

    run(act)


def test_ccxt_pro_keeps_a_book_that_is_the_one_of_the_market(market: Market) -> None:
    async def act() -> None:
        async with streaming(market) as (server, exchange):
            book = await exchange.watch_order_book("SOL/USD", 10)
            for _ in range(15):
                server.exchange.clock.step(60 * NANOSECONDS_PER_SECOND)
                book = await exchange.watch_order_book("SOL/USD", 10)
            truth = market.book(4, now=server.exchange.clock.now(), depth=10)
            assert [row[0] for row in book["bids"]] == [tick / 100 for tick in truth.bids.ticks.tolist()]
            assert [row[0] for row in book["asks"]] == [tick / 100 for tick in truth.asks.ticks.tolist()]
            assert [row[1] for row in book["asks"]] == [lot / 10**8 for lot in truth.asks.lots.tolist()]

    run(act)


def test_ccxt_pro_watches_tickers(market: Market) -> None:
    async def act() -> None:
        async with streaming(market, speed=30) as (_, exchange):
            symbols = {"BTC/USD", "ETH/USD", "SOL/USD"}
            seen: dict[str, Any] = {}
            while set(seen) != symbols:
                seen |= await exchange.watch_tickers(sorted(symbols))
            assert all(ticker["bid"] < ticker["ask"] for ticker in seen.values())
            assert all(ticker["low"] <= ticker["last"] <= ticker["high"] for ticker in seen.values())

    run(act)


async def watch_for_ever(exchange: Any) -> None:
    while True:
        await exchange.watch_trades("BTC/USD")


def test_after_a_closed_socket_ccxt_pro_comes_back_and_misses_what_was_between(market: Market) -> None:
    async def act() -> None:
        async with streaming(market, speed=60) as (server, exchange):
            await exchange.watch_trades("BTC/USD")
            server.exchange.faults.change(plan_of_text("closed"))
            with pytest.raises(ccxt.pro.NetworkError):
                await watch_for_ever(exchange)
            server.exchange.faults.change(plan_of_text("none"))
            assert await exchange.watch_trades("BTC/USD")

    run(act)


def test_a_frozen_feed_leaves_the_socket_alive_and_silent(market: Market) -> None:
    async def act() -> None:
        async with streaming(market) as (server, _):
            server.exchange.faults.change(plan_of_text("frozen"))
            server.exchange.moment()
            server.exchange.clock.step(60 * NANOSECONDS_PER_SECOND)
            async with bare(server) as socket:
                await socket.send_json(subscribe("trade", "BTC/USD"))
                messages = [await socket.receive_json() for _ in range(4)]
                kinds = [message.get("channel", message.get("method")) for message in messages]
                assert kinds == ["status", "subscribe", "heartbeat", "heartbeat"]
                server.exchange.faults.change(plan_of_text("none"))
                server.exchange.clock.step(600 * NANOSECONDS_PER_SECOND)
                assert (await socket.receive_json())["channel"] == "trade"

    run(act)


# --------------------------------------------------------------------------------------- a bare socket


@asynccontextmanager
async def bare(server: SandboxServer) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/v2") as socket:
        yield socket


def subscribe(channel: str, *symbols: object, **fields: object) -> dict[str, Any]:
    parameters = {"channel": channel, "symbol": list(symbols)} | fields
    return {"method": "subscribe", "params": parameters, "req_id": 7}


def test_a_connection_opens_with_the_status_answers_each_symbol_and_then_sends_snapshots(
    market: Market,
) -> None:
    async def act() -> None:
        async with SandboxServer(market, still_clock()) as server, bare(server) as socket:
            status = await socket.receive_json()
            await socket.send_json(subscribe("book", "BTC/USD", "XBT/USD", "ETH/USD", "ETH/USD", depth=25))
            replies = [await socket.receive_json() for _ in range(6)]

        assert (status["channel"], status["data"][0]["system"]) == ("status", "online")
        assert [reply.get("success") for reply in replies] == [True, False, True, False, None, None]
        assert replies[0]["result"] == {
            "channel": "book",
            "symbol": "BTC/USD",
            "snapshot": True,
            "depth": 25,
        }
        assert replies[0]["req_id"] == 7
        assert replies[0]["time_in"] == "2025-06-18T12:34:30.000000Z"
        # v2 has its own names of pairs.
        assert replies[1]["error"] == "Currency pair not supported XBT/USD"
        assert replies[3]["error"] == "Already subscribed"
        assert [reply["data"][0]["symbol"] for reply in replies[4:]] == ["BTC/USD", "ETH/USD"]
        assert len(replies[4]["data"][0]["bids"]) == 25

    run(act)


def test_a_ping_is_answered_and_nonsense_is_refused_without_losing_the_connection(market: Market) -> None:
    async def act() -> None:
        async with SandboxServer(market, still_clock()) as server, bare(server) as socket:
            await socket.receive_json()
            for text in ("{", "[]", "7", '{"method": "dance"}', '{"method": "subscribe", "params": 3}'):
                await socket.send_str(text)
                reply = await socket.receive_json()
                assert (reply["success"], reply["error"]) == (False, "Malformed request")
            await socket.send_json(subscribe("trade") | {"req_id": 9})
            assert (await socket.receive_json())["error"] == "Pair field must be an array"
            await socket.send_json(subscribe("trade", ["BTC/USD"], None))
            refused = [await socket.receive_json() for _ in range(2)]
            assert all("not supported" in reply["error"] for reply in refused)
            await socket.send_json({"method": "ping", "req_id": 42})
            pong = await socket.receive_json()
            assert (pong["method"], pong["req_id"]) == ("pong", 42)

    run(act)


def test_who_unsubscribes_hears_no_more_and_who_subscribes_twice_is_refused(market: Market) -> None:
    async def act() -> None:
        async with SandboxServer(market, still_clock()) as server, bare(server) as socket:
            await socket.receive_json()
            await socket.send_json(subscribe("trade", "BTC/USD", snapshot=True))
            assert (await socket.receive_json())["result"]["snapshot"] is True
            snapshot = await socket.receive_json()
            assert (snapshot["type"], len(snapshot["data"])) == ("snapshot", 50)
            await socket.send_json(subscribe("trade", "BTC/USD"))
            assert (await socket.receive_json())["error"] == "Already subscribed"
            await socket.send_json(subscribe("trade", "BTC/USD") | {"method": "unsubscribe"})
            assert (await socket.receive_json())["success"] is True
            server.exchange.clock.step(60 * NANOSECONDS_PER_MINUTE)
            with contextlib.suppress(asyncio.TimeoutError):
                message = await asyncio.wait_for(socket.receive_json(), 0.3)
                raise AssertionError(f"heard {message}")

    run(act)


def test_a_stream_that_breaks_closes_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    own = simulated_market(pairs=1)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the tape is torn")

    async def act() -> None:
        async with SandboxServer(own, still_clock()) as server, bare(server) as socket:
            await socket.receive_json()
            await socket.send_json(subscribe("trade", "BTC/USD"))
            assert (await socket.receive_json())["success"] is True
            monkeypatch.setattr(own, "trades_after", broken)
            await socket.receive()
            assert socket.close_code == aiohttp.WSCloseCode.INTERNAL_ERROR

    run(act)


def test_one_connection_has_one_interval_of_bars_of_a_pair(market: Market) -> None:
    async def act() -> None:
        async with SandboxServer(market, still_clock()) as server, bare(server) as socket:
            await socket.receive_json()
            await socket.send_json(subscribe("ohlc", "BTC/USD", interval=1))
            assert (await socket.receive_json())["result"]["interval"] == 1
            assert (await socket.receive_json())["type"] == "snapshot"
            await socket.send_json(subscribe("ohlc", "BTC/USD", interval=5))
            refused = await socket.receive_json()
            assert refused["error"] == "Already subscribed to one ohlc interval on this symbol"

    run(act)


def test_the_server_closes_its_connections_when_it_goes(market: Market) -> None:
    async def act() -> None:
        async with aiohttp.ClientSession() as session:
            async with SandboxServer(market, still_clock()) as server:
                socket = await session.ws_connect(f"{server.url}/v2")
                await socket.receive_json()
                # A client that does not listen when the server goes holds nobody up.
                deaf = await session.ws_connect(f"{server.url}/v2")
                last = asyncio.create_task(socket.receive())
                began = time.monotonic()
            message = await last
            assert time.monotonic() - began < 5
            await deaf.close()
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            assert socket.close_code == aiohttp.WSCloseCode.GOING_AWAY

    run(act)
