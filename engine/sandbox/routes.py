"""The paths of the exchange: Kraken's own, and those by which its clock and its faults are set."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import orjson
from aiohttp import WSCloseCode, web

from engine.domain.errors import GauntletError, InputError
from engine.domain.time import NANOSECONDS_PER_SECOND
from engine.sandbox import rest
from engine.sandbox.connection import Connection
from engine.sandbox.exchange import Exchange
from engine.sandbox.faults import Fault, FaultDealer, plan_of_values
from engine.sandbox.rest import RefusedRequestError

_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost"})
_SERVER_ERRORS = (500, 502, 503, 504, 520)
# How long a client may take to say that it has heard the end.
_GOODBYE_SECONDS = 0.5
_BUSY_TEXTS = ("EService:Unavailable", "EService:Busy", "EGeneral:Internal error")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(exchange: Exchange) -> web.Application:
    """Return the paths of an exchange."""
    routes = _Routes(exchange)
    app = web.Application(middlewares=[_loopback_only, _mistakes_are_told])
    app.router.add_get("/0/public/{method}", routes.public)
    app.router.add_get("/v2", routes.stream)
    app.router.add_get("/sandbox", routes.state)
    app.router.add_post("/sandbox/faults", routes.change_faults)
    app.router.add_post("/sandbox/clock", routes.change_clock)
    app.on_shutdown.append(routes.close_connections)
    return app


class _Routes:
    """What answers on each path."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._connections: set[web.WebSocketResponse] = set()
        self._numbers = count(1)

    async def public(self, request: web.Request) -> web.StreamResponse:
        """Answer as Kraken does, or as Kraken does on a bad day."""
        faults = self._exchange.faults
        if delay := faults.delay():
            await asyncio.sleep(delay)
        if self._exchange.limiter is not None and not self._exchange.limiter.admits():
            return web.json_response({"error": ["EGeneral:Too many requests"]})
        fault = faults.of_the_transport()
        if fault is Fault.CLOSED and request.transport is not None:
            request.transport.abort()
        try:
            result = self._result(request.match_info["method"], request.query)
            body = orjson.dumps({"error": [], "result": result})
        except RefusedRequestError as error:
            body = orjson.dumps({"error": [str(error)]})
        return _served(body, fault, faults)

    def _result(self, method: str, parameters: rest.Parameters) -> dict[str, Any]:
        exchange = self._exchange
        market, moment = exchange.market, exchange.moment()
        match method:
            case "Time":
                return rest.server_time(moment)
            case "SystemStatus":
                return rest.system_status(moment)
            case "Assets":
                return rest.assets(market, parameters)
            case "AssetPairs":
                return rest.asset_pairs(market, parameters, moment)
            case "OHLC":
                return rest.ohlc(market, parameters, moment, exchange.faults, exchange.rules)
            case "Trades":
                return rest.trades(market, parameters, moment)
            case "Depth":
                return rest.depth(market, parameters, moment)
            case "Ticker":
                return rest.ticker(market, parameters, moment)
            case _:
                raise RefusedRequestError("EGeneral:Unknown method")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve a WebSocket v2 connection until it ends."""
        match self._exchange.faults.of_the_transport():
            case Fault.TOO_MANY_REQUESTS | Fault.SERVER_ERROR | Fault.BUSY:
                raise web.HTTPServiceUnavailable
            case Fault.CLOSED if request.transport is not None:
                request.transport.abort()
        socket = web.WebSocketResponse(compress=False, timeout=_GOODBYE_SECONDS)
        await socket.prepare(request)
        self._connections.add(socket)
        try:
            await Connection(socket, self._exchange, next(self._numbers)).serve()
        finally:
            self._connections.discard(socket)
        return socket

    async def close_connections(self, _: web.Application) -> None:
        """Tell every client that the exchange goes."""
        goodbye = b"the sandbox closes"
        await asyncio.gather(
            *(socket.close(code=WSCloseCode.GOING_AWAY, message=goodbye) for socket in self._connections)
        )

    # --------------------------------------------------------------------------------------- controls

    async def state(self, _: web.Request) -> web.Response:
        """Say what the sandbox does at the moment."""
        clock, faults = self._exchange.clock, self._exchange.faults
        now = clock.now()
        return web.json_response(
            {
                "now": rest.iso(now),
                "now_ns": now,
                "speed": clock.speed,
                "pairs": [pair.symbol for pair in self._exchange.market.pairs],
                "faults": {fault.value: value for fault, value in faults.plan.values.items()},
                "dealt": {fault.value: dealt for fault, dealt in sorted(faults.dealt.items())},
            }
        )

    async def change_faults(self, request: web.Request) -> web.Response:
        """Go on with other faults: an object of names and values; an empty one switches all off."""
        self._exchange.faults.change(plan_of_values(await _document(request)))
        return await self.state(request)

    async def change_clock(self, request: web.Request) -> web.Response:
        """Set the speed, or step on: `{"speed": 60}`, `{"step_seconds": 3600}`."""
        clock = self._exchange.clock
        for name, value in (await _document(request)).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"clock: {name} must be a number, was {value!r}")
            match name:
                case "step_seconds":
                    clock.step(round(value * NANOSECONDS_PER_SECOND))
                case "speed":
                    clock.set_speed(value)
                case _:
                    raise InputError(f"clock: {name!r} is not known. Known: step_seconds, speed")
        return await self.state(request)


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    # A page from elsewhere can point a name of its own at 127.0.0.1 and step somebody's clock.
    if request.host.partition(":")[0] not in _LOOPBACK_NAMES:
        raise web.HTTPForbidden(text="the sandbox answers to 127.0.0.1 and localhost only")
    return await handler(request)


@web.middleware
async def _mistakes_are_told(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except GauntletError as error:
        return web.json_response({"error": str(error)}, status=400)


def _served(body: bytes, fault: Fault | None, faults: FaultDealer) -> web.Response:
    """Return the answer, or what the fault makes of it."""
    match fault:
        case Fault.TOO_MANY_REQUESTS:
            return web.Response(status=429, text="Too Many Requests", headers={"Retry-After": "1"})
        case Fault.SERVER_ERROR:
            status = _SERVER_ERRORS[faults.pick(len(_SERVER_ERRORS))]
            page = f"<html><head><title>{status}</title></head><body>kraken.com | {status}</body></html>"
            return web.Response(status=status, text=page, content_type="text/html")
        case Fault.BUSY:
            text = _BUSY_TEXTS[faults.pick(len(_BUSY_TEXTS))]
            return web.json_response({"error": [text]})
        case Fault.TRUNCATED:
            return web.Response(body=body[: 1 + faults.pick(len(body) - 1)], content_type="application/json")
        case Fault.EMPTY:
            return web.Response(body=b"", content_type="application/json")
        case _:
            return web.Response(body=body, content_type="application/json")


async def _document(request: web.Request) -> dict[str, Any]:
    try:
        document = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise InputError(f"{request.path}: the body must be JSON: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{request.path}: the body must be a JSON object, was {type(document).__name__}")
    return document
