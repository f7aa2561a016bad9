"""The one port of all providers: pages of bars or trades, each with the bytes that it came as."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from engine.data.actions import Dividend, Split
from engine.data.market_rules import MarketRules
from engine.data.providers.bars import Difference
from engine.data.providers.matrix import Capability
from engine.data.series import BarSeries, BookSeries, TradeSeries
from engine.domain.time import Timeframe

Series = TypeVar("Series", BarSeries, TradeSeries)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSeen:
    """A corporate action of which a reply tells; who keeps it adds when, in which run and from whom.

    Attributes
    ----------
    effective_at
        UTC nanoseconds: bars that open then or later are on the new terms.
    """

    effective_at: int
    what: Split | Dividend


@dataclass(frozen=True, kw_only=True, eq=False)
class Page(Generic[Series]):
    """One reply of a provider.

    Attributes
    ----------
    payload
        Bytes as received, for the archive.
    series
        What they say, closed bars only; may be empty.
    cursor
        UTC nanoseconds: all that comes before it is in hand, a pull that stopped here goes on from it. It
        moves by what was seen, so the last page's may lie before `stop`: a feed that stands still has told
        us nothing of the time since. Never smaller than the page's before.
    differences
        Where bars that were built from trades and bars that were reported do not agree.
    day_differences
        The same of whole days: they are reported further back than shorter bars.
    forming, future
        How many bars of the reply were left out since they were not over when it came, or had not even begun.
    actions
        Splits and dividends of which the reply tells, oldest first; prices are as traded, never adjusted.
    """

    payload: bytes = field(repr=False)
    series: Series
    cursor: int
    differences: tuple[Difference, ...] = ()
    day_differences: tuple[Difference, ...] = ()
    actions: tuple[ActionSeen, ...] = ()
    forming: int = 0
    future: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class RulesSeen:
    """What a venue says of an instrument, and the bytes in which it said so."""

    payload: bytes = field(repr=False)
    rules: MarketRules


@dataclass(frozen=True, kw_only=True, eq=False)
class BooksSeen:
    """What is on offer at one moment, by symbol, and the bytes that say so."""

    payload: bytes = field(repr=False)
    books: Mapping[str, BookSeries]


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """What a provider needs of the world, so that tests can stand in for it.

    Attributes
    ----------
    now
        UTC nanoseconds.
    monotonic
        Seconds of a clock that never goes back.
    sleep
        Waits for so many seconds.
    generator
        Of the jitter of waits.
    """

    now: Callable[[], int]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    generator: np.random.Generator


class Provider(Protocol):
    """Gives bars and trades of the past. One object serves one thread; a `Bucket` may be shared."""

    @property
    def name(self) -> str:
        """Name as in the capability matrix; also the venue of the lake's keys."""
        ...

    @property
    def capabilities(self) -> Capability:
        """What it may be asked."""
        ...

    def fetch_bars(
        self, symbol: str, timeframe: Timeframe, start: int, stop: int
    ) -> Iterator[Page[BarSeries]]:
        """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds)."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...

    def fetch_time(self) -> int | None:
        """Return what time it is at the provider, UTC nanoseconds; None from who tells no such thing."""
        ...

    def fetch_rules(self, symbol: str) -> RulesSeen | None:
        """Return what is taken in orders now; None from who tells no such thing."""
        ...

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        """Yield trades from `start` up to, not including, `stop` (UTC nanoseconds)."""
        ...


@runtime_checkable
class Quoter(Protocol):
    """A provider that shows what is on offer now."""

    def fetch_quotes(self, symbols: Sequence[str]) -> BooksSeen:
        """Return the best offers of some symbols; of one that has none, nothing."""
        ...

    def fetch_book(self, symbol: str, levels: int) -> BooksSeen:
        """Return the best offers of a symbol, up to so many levels of each side."""
        ...
