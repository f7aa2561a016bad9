"""The exchange in a thread of its own, for clients that block: a plain ccxt, a notebook, a test."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from engine.sandbox.server import SandboxServer

_PATIENCE_SECONDS = 30.0

Result = TypeVar("Result")


class BackgroundSandbox:
    """A server that runs in another thread.

    Attributes
    ----------
    url
        Where it listens.
    """

    def __init__(self, server: SandboxServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self.url = server.url

    def change(self, act: Callable[[SandboxServer], Result]) -> Result:
        """Do something with the server between two requests, and return what came of it."""
        return asyncio.run_coroutine_threadsafe(_call(act, self._server), self._loop).result(
            _PATIENCE_SECONDS
        )


@contextmanager
def in_background(server: SandboxServer) -> Iterator[BackgroundSandbox]:
    """Run a server until the block ends.

    Raises
    ------
    InputError
        For a port that is taken.

    Examples
    --------
    >>> def bars(server: SandboxServer) -> list[list[float]]:
    ...     with in_background(server) as sandbox:
    ...         return ccxt.kraken(client_options(sandbox.url)).fetch_ohlcv("BTC/USD")
    """
    ready = threading.Event()
    failures: list[BaseException] = []
    made: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            async with server:
                made.append((asyncio.get_running_loop(), stop))
                ready.set()
                await stop.wait()
        except BaseException as error:
            failures.append(error)
            ready.set()
            raise

    def run() -> None:
        # What failed is raised where the server was asked for.
        try:
            asyncio.run(serve())
        except Exception as error:  # noqa: BLE001  # any failure belongs to the caller
            if error not in failures:
                failures.append(error)

    thread = threading.Thread(target=run, name="sandbox", daemon=True)
    thread.start()
    if not ready.wait(_PATIENCE_SECONDS) or failures:
        raise failures[0] if failures else TimeoutError("sandbox: the server did not start")
    loop, stop = made[0]
    try:
        yield BackgroundSandbox(server, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_PATIENCE_SECONDS)
    if failures:
        raise failures[0]


async def _call(act: Callable[[SandboxServer], Result], server: SandboxServer) -> Result:
    return act(server)
