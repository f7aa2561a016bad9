"""`engine sandbox`: an exchange on the loopback that ccxt takes for Kraken, where nothing costs anything."""

import asyncio
import json
import signal
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.domain.errors import InputError, InvalidValueError

if TYPE_CHECKING:
    from engine.sandbox.market import Market
    from engine.sandbox.rest import EmptyIntervals
    from engine.sandbox.server import SandboxServer

# A replay starts when so many bars are behind it, and half of the set at most: clients want a history.
_BARS_BEHIND = 720

app = typer.Typer(rich_markup_mode=None)


@app.command(help="Serve a practice exchange on this machine that ccxt takes for Kraken")
def sandbox(
    port: Annotated[
        int, typer.Option(help="Where to listen; 0 takes a free port.", min=0, max=65_535)
    ] = 8_787,
    seed: Annotated[int, typer.Option(help="Of the market and of the faults.", min=0)] = 1,
    speed: Annotated[
        float, typer.Option(help="Simulated seconds a second; 0 stands still until it is stepped.")
    ] = 1.0,
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="Replay this data set, see: engine data list")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="UTC time to begin at, 2025-06-18 or 2025-06-18T12:30."),
    ] = None,
    faults: Annotated[
        str,
        typer.Option(help="random, or a list like 429=0.1,truncated=0.05,latency=0.2,frozen; none is none."),
    ] = "none",
    activity: Annotated[
        float, typer.Option(help="Times as many simulated trades as usual, 0.01 to 100.")
    ] = 1.0,
    limit: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Requests a second that are answered; Kraken takes about one."),
    ] = None,
    burst: Annotated[int, typer.Option(help="Requests at once that --limit lets pass.", min=1)] = 15,
    ohlc_rows: Annotated[int, typer.Option(help="Most rows of an OHLC reply.", min=1)] = 721,
    empty: Annotated[str, typer.Option(help="Bars of intervals without a trade: absent, or flat.")] = "flat",
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it listens as one JSON document.")
    ] = False,
) -> None:
    """Serve until Ctrl-C."""
    from engine.sandbox.clock import Clock
    from engine.sandbox.faults import plan_of_text
    from engine.sandbox.limiter import Limiter
    from engine.sandbox.rest import Rules
    from engine.sandbox.server import SandboxServer

    plan = plan_of_text(faults)
    rules = Rules(ohlc_rows=ohlc_rows, empty_intervals=_empty_intervals(empty))
    try:
        market, begin, what = _simulated(seed, activity) if data is None else _replayed(data, seed)
        begin = begin if start is None else _stamp(start)
        wall = time.monotonic_ns
        clock = Clock(start=begin, speed=speed, wall=wall)
        limiter = None if limit is None else Limiter(per_second=limit, burst=burst, wall=wall)
    except InvalidValueError as error:
        raise InputError(f"sandbox: {error}") from None
    _require_inside(market, begin)
    server = SandboxServer(market, clock, faults=plan, seed=seed, port=port, rules=rules, limiter=limiter)
    asyncio.run(_serve(server, what, as_json=as_json))


async def _serve(server: "SandboxServer", what: str, *, as_json: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with server:
        _show(server, what, as_json=as_json)
        await stopped.wait()
    if not as_json:
        typer.echo("\nstopped")


def _simulated(seed: int, activity: float) -> tuple["Market", int, str]:
    """Return the simulated market, the moment it begins at and what it is."""
    from engine.sandbox.market import Market
    from engine.sandbox.pairs import universe
    from engine.sandbox.simulator import Simulator

    market = Market(Simulator(universe(), seed=seed, activity=activity), seed=seed)
    # The edge of the program: what is simulated is the present, unless another time is asked for.
    return market, time.time_ns(), f"{len(market.pairs)} pairs, simulated by seed {seed}"  # noqa: TID251


def _replayed(name: str, seed: int) -> tuple["Market", int, str]:
    """Return the replayed market, the moment it begins at and what it is."""
    from engine.data import catalogue
    from engine.sandbox.market import Market
    from engine.sandbox.replay import PanelTape
    from engine.sandbox.rest import iso

    panel = catalogue.load(name)
    market = Market(PanelTape(panel, seed=seed), seed=seed)
    behind = min(_BARS_BEHIND, len(panel) // 2)
    until = iso(int(panel.timestamps[-1]) + panel.timeframe.nanoseconds)[:16]
    what = f"{len(market.pairs)} pairs, replayed from {name} until {until}"
    return market, int(panel.timestamps[behind]), what


def _require_inside(market: "Market", begin: int) -> None:
    from engine.domain.time import NANOSECONDS_PER_DAY
    from engine.sandbox.rest import iso

    first, stop = (day * NANOSECONDS_PER_DAY for day in (market.tape.first_day, market.tape.stop_day))
    if not first <= begin < stop:
        raise InputError(
            f"sandbox: --start must be from {iso(first)[:10]} up to, not including, {iso(stop)[:10]}, "
            f"where there is a market; was {iso(begin)[:19]}"
        )


def _stamp(text: str) -> int:
    from datetime import UTC, datetime, timedelta

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"sandbox: --start must be a time like 2025-06-18T12:30, which is UTC; was {text!r}"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


def _empty_intervals(text: str) -> "EmptyIntervals":
    from engine.sandbox.rest import EmptyIntervals

    if text not in set(EmptyIntervals):
        known = " or ".join(EmptyIntervals)
        raise InputError(f"sandbox: --empty must be {known}, was {text!r}")
    return EmptyIntervals(text)


def _show(server: "SandboxServer", what: str, *, as_json: bool) -> None:
    from engine.sandbox.rest import iso
    from engine.sandbox.server import client_options

    options = client_options(server.url)
    exchange = server.exchange
    faults = {fault.value: value for fault, value in exchange.faults.plan.values.items()}
    if as_json:
        document: dict[str, Any] = {
            "url": server.url,
            "stream_url": options["urls"]["api"]["ws"]["publicV2"],
            "ccxt": options,
            "market": what,
            "now": iso(exchange.clock.now()),
            "speed": exchange.clock.speed,
            "pairs": [pair.symbol for pair in exchange.market.pairs],
            "faults": faults,
        }
        typer.echo(json.dumps(document, sort_keys=True))
        return
    listed = ", ".join(f"{name} {value:g}" for name, value in faults.items()) or "none"
    pace = f"speed {exchange.clock.speed:g}" if exchange.clock.speed else "standing still"
    typer.echo(
        f"✓ sandbox at {server.url}   {what}\n"
        f"  time     {iso(exchange.clock.now())[:19]} UTC, {pace}\n"
        f"  faults   {listed}\n"
        f"\n"
        f"  import ccxt\n"
        f"  exchange = ccxt.kraken({json.dumps(options)})\n"
        f"  exchange.fetch_ohlcv({exchange.market.pairs[0].symbol!r}, '1h')\n"
        f"\n"
        f"fault    curl -X POST {server.url}/sandbox/faults -d '{{\"429\": 0.1}}'\n"
        f"clock    curl -X POST {server.url}/sandbox/clock -d '{{\"step_seconds\": 3600}}'\n"
        f"stop     Ctrl-C"
    )
