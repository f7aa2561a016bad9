"""Sandboxes for tests: a clock that stands still, a light market, and the moment at which they start."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from engine.domain.time import NANOSECONDS_PER_SECOND
from engine.sandbox.background import BackgroundSandbox, in_background
from engine.sandbox.clock import Clock
from engine.sandbox.faults import plan_of_text
from engine.sandbox.limiter import Limiter
from engine.sandbox.market import Market
from engine.sandbox.pairs import universe
from engine.sandbox.rest import Rules
from engine.sandbox.server import SandboxServer
from engine.sandbox.simulator import Simulator

# In the middle of an hour and of a minute, so that bars of all lengths are forming.
NOON = int(np.datetime64("2025-06-18T12:34:30", "ns").astype(np.int64))
SEED = 11


def still_clock(start: int = NOON) -> Clock:
    """Return a clock that moves by steps only."""
    return Clock(start=start, speed=0, wall=lambda: 0)


def simulated_market(*, seed: int = SEED, activity: float = 1.0, pairs: int = 30) -> Market:
    """Return a market of the first so many pairs."""
    return Market(Simulator(universe()[:pairs], seed=seed, activity=activity), seed=seed)


@contextmanager
def sandbox(
    market: Market | None = None,
    *,
    start: int = NOON,
    faults: str = "none",
    seed: int = SEED,
    rules: Rules | None = None,
    limiter: Limiter | None = None,
) -> Iterator[BackgroundSandbox]:
    """Run a sandbox in the background whose clock stands still."""
    server = SandboxServer(
        market or simulated_market(),
        still_clock(start),
        faults=plan_of_text(faults),
        seed=seed,
        rules=rules,
        limiter=limiter,
    )
    with in_background(server) as running:
        yield running


def step(running: BackgroundSandbox, seconds: float) -> None:
    """Move the clock on."""
    running.change(lambda server: server.exchange.clock.step(round(seconds * NANOSECONDS_PER_SECOND)))


def set_faults(running: BackgroundSandbox, text: str) -> None:
    """Go on with other faults."""
    running.change(lambda server: server.exchange.faults.change(plan_of_text(text)))
