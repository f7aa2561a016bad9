"""One WebSocket v2 connection: its subscriptions, its answers, and the pump that sends what is new."""

import asyncio
import time
from contextlib import suppress

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from engine.sandbox.exchange import Exchange
from engine.sandbox.faults import Fault
from engine.sandbox.rest import iso
from engine.sandbox.streams import Message, RefusedSubscriptionError, Stream, stream_of

# How often subscriptions are looked at, and how long a connection with nothing to say may be silent.
_LOOK_SECONDS = 0.05
_SILENCE_SECONDS = 1.0
_CLOSE_CODES = (1001, 1011, 1012)
# Channels that begin with a snapshot unless asked not to.
_SNAPSHOT_USUAL = {"ohlc": True, "ticker": True, "book": True, "trade": False}
_ONE_INTERVAL = "Already subscribed to one ohlc interval on this symbol"
_CHANNEL_FIELDS = {"ohlc": ("interval", 1), "book": ("depth", 10)}


class Connection:
    """A client and what it subscribed to.

    Parameters
    ----------
    socket
        Open already.
    number
        Tells connections of one exchange apart.
    """

    def __init__(self, socket: web.WebSocketResponse, exchange: Exchange, number: int) -> None:
        self._socket = socket
        self._exchange = exchange
        self._number = number
        self._streams: dict[tuple[str, str], Stream] = {}
        self._last_sent = time.monotonic()

    async def serve(self) -> None:
        """Answer and stream until the client goes or a fault closes the connection."""
        await self._send(self._status())
        pump = asyncio.create_task(self._pump())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(message.data)
        finally:
            pump.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await pump

    # ---------------------------------------------------------------------------------------- answers

    async def _answer(self, text: str) -> None:
        time_in = self._told()
        try:
            request = orjson.loads(text)
            if not isinstance(request, dict):
                raise TypeError("a request is an object")
        except (orjson.JSONDecodeError, TypeError):
            await self._send({"error": "Malformed request", "success": False, "time_in": time_in})
            return
        parameters = request.get("params")
        match request.get("method"):
            case "ping":
                await self._send(self._reply("pong", request, time_in))
            case "subscribe" if isinstance(parameters, dict):
                await self._each_symbol(request, parameters, time_in, subscribe=True)
            case "unsubscribe" if isinstance(parameters, dict):
                await self._each_symbol(request, parameters, time_in, subscribe=False)
            case method:
                refusal = self._reply(str(method), request, time_in)
                await self._send(refusal | {"error": "Malformed request", "success": False})

    async def _each_symbol(
        self, request: Message, parameters: Message, time_in: str, *, subscribe: bool
    ) -> None:
        method = "subscribe" if subscribe else "unsubscribe"
        symbols = parameters.get("symbol")
        if not isinstance(symbols, list) or not symbols:
            refusal = self._reply(method, request, time_in)
            await self._send(refusal | {"error": "Pair field must be an array", "success": False})
            return
        # All answers first, as Kraken does: then the snapshots, each before the first update of its stream.
        opened: dict[tuple[str, str], Stream] = {}
        for symbol in symbols:
            reply = self._reply(method, request, time_in)
            try:
                if subscribe:
                    key = self._key(parameters, symbol)
                    opened[key] = self._open(parameters, symbol, taken=self._streams.keys() | opened.keys())
                else:
                    self._close(parameters, symbol)
                result = self._result(parameters, symbol)
                await self._send(reply | {"result": result, "success": True})
            except RefusedSubscriptionError as error:
                await self._send(reply | {"error": str(error), "success": False, "symbol": symbol})
        for key, stream in opened.items():
            messages = stream.snapshot(self._exchange.moment())
            if self._wants_snapshot(parameters):
                for message in messages:
                    await self._send(message)
            self._streams[key] = stream

    def _open(self, parameters: Message, symbol: object, *, taken: set[tuple[str, str]]) -> Stream:
        market = self._exchange.market
        now = self._exchange.moment().now
        number = market.number(symbol, now=now) if isinstance(symbol, str) else None
        # REST names are no names here: v2 knows BTC/USD only.
        if number is None or market.pairs[number].symbol != symbol:
            raise RefusedSubscriptionError(f"Currency pair not supported {symbol}")
        if self._key(parameters, symbol) in taken:
            # One interval a connection, whichever it is: with the others Kraken's clients wait for ever.
            ohlc = parameters.get("channel") == "ohlc"
            raise RefusedSubscriptionError(_ONE_INTERVAL if ohlc else "Already subscribed")
        return stream_of(market, self._exchange.faults, number, parameters)

    def _close(self, parameters: Message, symbol: object) -> None:
        if self._streams.pop(self._key(parameters, symbol), None) is None:
            raise RefusedSubscriptionError("Subscription Not Found")

    @staticmethod
    def _key(parameters: Message, symbol: object) -> tuple[str, str]:
        return str(parameters.get("channel")), str(symbol)

    @staticmethod
    def _wants_snapshot(parameters: Message) -> bool:
        usual = _SNAPSHOT_USUAL.get(str(parameters.get("channel")), False)
        return parameters.get("snapshot", usual) is True

    def _result(self, parameters: Message, symbol: object) -> Message:
        channel = str(parameters.get("channel"))
        result: Message = {"channel": channel, "symbol": symbol, "snapshot": self._wants_snapshot(parameters)}
        if channel in _CHANNEL_FIELDS:
            name, usual = _CHANNEL_FIELDS[channel]
            result[name] = parameters.get(name, usual)
        return result

    def _reply(self, method: str, request: Message, time_in: str) -> Message:
        reply = {"method": method, "time_in": time_in, "time_out": self._told()}
        return reply | {"req_id": request["req_id"]} if "req_id" in request else reply

    def _status(self) -> Message:
        data = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": self._number,
        }
        return {"channel": "status", "type": "update", "data": [data]}

    def _told(self) -> str:
        return iso(self._exchange.clock.now() + self._exchange.faults.skew())

    # ------------------------------------------------------------------------------------------- pump

    async def _pump(self) -> None:
        try:
            await self._stream()
        except Exception:
            # A stream that has broken must not look like one on which nothing happens.
            await self._socket.close(code=WSCloseCode.INTERNAL_ERROR)
            raise

    async def _stream(self) -> None:
        exchange = self._exchange
        while not self._socket.closed:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._streams:
                continue
            moment = exchange.moment()
            messages = [message for stream in list(self._streams.values()) for message in stream.news(moment)]
            if messages:
                if exchange.faults.hits(Fault.CLOSED):
                    code = _CLOSE_CODES[exchange.faults.pick(len(_CLOSE_CODES))]
                    await self._socket.close(code=code, message=b"Service restart")
                    return
                if delay := exchange.faults.delay():
                    await asyncio.sleep(delay)
            elif time.monotonic() - self._last_sent > _SILENCE_SECONDS:
                messages = [{"channel": "heartbeat"}]
            for message in messages:
                await self._send(message)

    async def _send(self, message: Message) -> None:
        if self._socket.closed:
            return
        self._last_sent = time.monotonic()
        # Who has gone meanwhile misses nothing.
        with suppress(ConnectionError):
            await self._socket.send_str(orjson.dumps(message).decode())
