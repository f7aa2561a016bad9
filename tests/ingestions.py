"""Pulls from a sandbox, by the real client of ccxt, in a world whose clock stands still."""

import threading
from dataclasses import dataclass, field

import numpy as np

from engine.data.ingestion.pull import PullRequest
from engine.data.providers.entitlements import no_keyring
from engine.data.providers.opening import Access
from engine.data.providers.port import Surroundings
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.time import NANOSECONDS_PER_DAY, Timeframe
from tests.sandboxes import NOON

DAY = NANOSECONDS_PER_DAY
SYMBOLS = ("BTC/USD", "ETH/USD", "BNB/USD", "XRP/USD")


@dataclass
class World:
    """A clock that moves when it is told to, and sleep that takes no time but is counted."""

    now: int = NOON
    seed: int = 1
    slept: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept += seconds

    def access(self, url: str, provider: str = "kraken", **environment: str) -> Access:
        surroundings = Surroundings(
            now=lambda: self.now,
            monotonic=lambda: self.slept,
            sleep=self.sleep,
            generator=np.random.default_rng(self.seed),
        )
        return Access(
            surroundings=surroundings,
            environment=environment,
            keyring=no_keyring,
            base_urls={provider: url},
        )


@dataclass
class Heard:
    """Remembers what a run told."""

    progress: list[tuple[int, int, str]] = field(default_factory=list)
    failures: list[tuple[SeriesKey, str, bool]] = field(default_factory=list)

    def advanced(self, done: int, total: int, now: str) -> None:
        self.progress.append((done, total, now))

    def failed(self, key: SeriesKey, reason: str, *, again: bool) -> None:
        self.failures.append((key, reason, again))


def request(
    *timeframes: Timeframe,
    symbols: tuple[str, ...] = SYMBOLS,
    days: float = 2,
    name: str | None = "mine",
    stop: int | None = None,
) -> PullRequest:
    """Return a request for the last days before NOON."""
    return PullRequest(
        name=name,
        provider="kraken",
        symbols=symbols,
        timeframes=timeframes or (Timeframe.HOUR_1,),
        start=NOON - NOON % DAY - round(days * DAY),
        stop=stop,
    )


def key(symbol: str = "BTC/USD", timeframe: Timeframe = Timeframe.HOUR_1) -> SeriesKey:
    return SeriesKey(venue="kraken", kind=SeriesKind.BARS, instrument=symbol, timeframe=timeframe)
