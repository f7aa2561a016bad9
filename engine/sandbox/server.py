"""The exchange on the loopback, and what makes ccxt a client of it."""

from typing import Any, Self

from aiohttp import web

from engine.domain.errors import InputError
from engine.sandbox.clock import Clock
from engine.sandbox.exchange import Exchange
from engine.sandbox.faults import FaultDealer, FaultPlan
from engine.sandbox.limiter import Limiter
from engine.sandbox.market import Market
from engine.sandbox.rest import Rules
from engine.sandbox.routes import application

LOOPBACK = "127.0.0.1"
# Who is still being answered when the exchange closes is cut off.
_SHUTDOWN_SECONDS = 0.2


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
    rules
        How it answers where Kraken has answered in more than one way.
    limiter
        Refuses requests that come too fast; None takes them all.

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
        limiter: Limiter | None = None,
    ) -> None:
        self.exchange = Exchange(
            market=market,
            clock=clock,
            faults=FaultDealer(faults or FaultPlan(), seed=seed),
            rules=rules or Rules(),
            limiter=limiter,
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
