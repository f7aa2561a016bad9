"""The exchange on the loopback: Kraken's paths, the faults on the way to the client, and its own controls."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web

from engine.domain.errors import GauntletError, InputError
from engine.domain.time import NANOSECONDS_PER_SECOND
from engine.sandbox import rest
from engine.sandbox.clock import Clock
from engine.sandbox.faults import Fault, FaultDealer, FaultPlan, plan_of_values
from engine.sandbox.market import Market
from engine.sandbox.rest import Moment, RefusedRequestError, Rules

LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost"})
_SERVER_ERRORS = (500, 502, 503, 504, 520)
_BUSY_TEXTS = ("EService:Unavailable", "EService:Busy", "EGeneral:Internal error")
# Who is still being answered when the exchange closes is cut off.
_SHUTDOWN_SECONDS = 0.2
_PUBLIC = "/0/public/"


@dataclass(frozen=True, kw_only=True, eq=False)
class Exchange:
    """What a connection is served from: market, time, faults and rules.

    Attributes
    ----------
    moved
        Set whenever somebody stepped the clock or changed the faults: streams look at once.
    """

    market: Market
    clock: Clock
    faults: FaultDealer
    rules: Rules = field(default_factory=Rules)

    def moment(self) -> Moment:
        """Return when a request is answered now."""
        now = self.clock.now()
        return Moment(now=now, data=self.faults.data_now(now), told=now + self.faults.skew())


def client_options(url: str) -> dict[str, Any]:
    """Return what makes `ccxt.kraken`, in any of its three forms, a client of the sandbox at `url`."""
    stream = "ws" + url.removeprefix("http")
    return {
        "urls": {
            "api": {
                "public": url,
                "private": url,
                "ws": {"publicV2": f"{stream}/v2", "privateV2": f"{stream}/v2", "private": f"{stream}/v2"},
            }
        }
    }


class SandboxServer:
    """The exchange, listening while the context is open.

    Parameters
    ----------
    market, clock
        What is served, and as of when.
    faults
        What goes wrong from the start.
    seed
        Of the faults.
    port
        0 takes a free one.

    Examples
    --------
    >>> async def prices(market: Market, clock: Clock) -> None:
    ...     async with SandboxServer(market, clock) as server:
    ...         exchange = ccxt.async_support.kraken(client_options(server.url))
    """

    def __init__(
        self,
        market: Market,
        clock: Clock,
        *,
        faults: FaultPlan | None = None,
        seed: int = 0,
        port: int = 0,
        rules: Rules | None = None,
    ) -> None:
        self.exchange = Exchange(
            market=market,
            clock=clock,
            faults=FaultDealer(faults or FaultPlan(), seed=seed),
            rules=rules or Rules(),
        )
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listen.

        Raises
        ------
        InputError
            For a port that is taken.
        """
        runner = web.AppRunner(
            application(self.exchange),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, self._port).start()
        except OSError as error:
            await runner.cleanup()
            raise InputError(
                f"sandbox: port {self._port} cannot be opened ({error.strerror}); give another one or 0"
            ) from None
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection and stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Where the exchange listens, without a slash at the end."""
        return f"http://{LOOPBACK}:{self._port}"


def application(exchange: Exchange) -> web.Application:
    """Return the paths of the exchange."""
    answers: dict[str, Callable[[rest.Parameters, Moment], dict[str, Any]]] = {
        "Time": lambda _, moment: rest.server_time(moment),
        "SystemStatus": lambda _, moment: rest.system_status(moment),
        "Assets": lambda parameters, _: rest.assets(exchange.market, parameters),
        "AssetPairs": lambda parameters, _: rest.asset_pairs(exchange.market, parameters),
        "OHLC": lambda parameters, moment: rest.ohlc(
            exchange.market, parameters, moment, exchange.faults, exchange.rules
        ),
        "Trades": lambda parameters, moment: rest.trades(exchange.market, parameters, moment),
        "Depth": lambda parameters, moment: rest.depth(exchange.market, parameters, moment),
        "Ticker": lambda parameters, moment: rest.ticker(exchange.market, parameters, moment),
    }

    async def public(request: web.Request) -> web.StreamResponse:
        answer = answers.get(request.match_info["method"])
        if delay := exchange.faults.delay():
            await asyncio.sleep(delay)
        fault = exchange.faults.of_the_transport()
        if fault is Fault.CLOSED and request.transport is not None:
            request.transport.abort()
        try:
            if answer is None:
                raise RefusedRequestError("EGeneral:Unknown method")
            body = orjson.dumps({"error": [], "result": answer(request.query, exchange.moment())})
        except RefusedRequestError as error:
            body = orjson.dumps({"error": [str(error)]})
        return _served(body, fault, exchange.faults)

    async def state(_: web.Request) -> web.Response:
        return web.json_response(_state(exchange))

    async def change_faults(request: web.Request) -> web.Response:
        exchange.faults.change(plan_of_values(await _document(request)))
        return web.json_response(_state(exchange))

    async def change_clock(request: web.Request) -> web.Response:
        for name, value in (await _document(request)).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"clock: {name} must be a number, was {value!r}")
            match name:
                case "step_seconds":
                    exchange.clock.step(round(value * NANOSECONDS_PER_SECOND))
                case "speed":
                    exchange.clock.set_speed(value)
                case _:
                    raise InputError(f"clock: {name!r} is not known. Known: step_seconds, speed")
        return web.json_response(_state(exchange))

    app = web.Application(middlewares=[_loopback_only, _mistakes_are_told])
    app.router.add_get(_PUBLIC + "{method}", public)
    app.router.add_get("/sandbox", state)
    app.router.add_post("/sandbox/faults", change_faults)
    app.router.add_post("/sandbox/clock", change_clock)
    return app


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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


def _state(exchange: Exchange) -> dict[str, Any]:
    clock, faults = exchange.clock, exchange.faults
    return {
        "now": rest.iso(clock.now()),
        "now_ns": clock.now(),
        "speed": clock.speed,
        "pairs": [pair.symbol for pair in exchange.market.pairs],
        "faults": {fault.value: value for fault, value in faults.plan.values.items()},
        "dealt": {fault.value: count for fault, count in sorted(faults.dealt.items()) if count},
    }
