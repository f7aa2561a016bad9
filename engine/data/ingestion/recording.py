"""Quotes and books as they pass: asked for at a steady pace and put into the lake batch by batch.

Nobody gives them afterwards. What is not flushed yet is lost by a kill, and nothing else is.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from engine.data.ingestion.crew import MAY_PASS, bucket_for
from engine.data.ingestion.pull import run_id
from engine.data.ingestion.venues import venue_of
from engine.data.lake.lake import Lake
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.matrix import Purpose
from engine.data.providers.opening import Access, open_permitted
from engine.data.providers.port import BooksSeen, Quoter, Surroundings
from engine.data.series import BookSeries, SeriesKey, SeriesKind, joined_books
from engine.domain.errors import InputError
from engine.domain.time import NANOSECONDS_PER_SECOND

LEVELS_MAX: Final = 500

# Who wants to stop waits no longer than this.
_NAP_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class RecordRequest:
    """What is to be recorded.

    Attributes
    ----------
    kind
        Quotes, all of them by one request, or books, one request each.
    levels
        Of each side of a book.
    every
        Nanoseconds from one look to the next; a look that takes longer is followed by the next one at once.
    flush_every
        Nanoseconds after which what is in hand goes into the lake.
    duration
        Nanoseconds until the recording ends; None: when it is stopped.
    is_sandbox
        Whether another address than the provider's own is asked; the lake keeps that apart.
    """

    provider: str
    symbols: tuple[str, ...]
    kind: SeriesKind
    every: int
    flush_every: int
    levels: int = 10
    duration: int | None = None
    is_sandbox: bool = False

    def __post_init__(self) -> None:
        if self.kind not in (SeriesKind.QUOTES, SeriesKind.BOOK):
            raise InputError(f"--kind: quotes or book can be recorded, was {self.kind.value}")
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise InputError("--symbols: name at least one and each once, as BTC/USD,ETH/USD")
        if not 1 <= self.levels <= LEVELS_MAX:
            raise InputError(f"--levels: must be from 1 to {LEVELS_MAX}, was {self.levels}")
        for option, value in (("--every", self.every), ("--flush", self.flush_every)):
            if value <= 0:
                raise InputError(f"{option}: must be longer than nothing")


@dataclass(kw_only=True)
class Recorded:
    """What came of a recording so far.

    Attributes
    ----------
    moments
        By series: how many moments of it are in the lake.
    replies, failed
        Requests that were answered, and those that were not after all attempts.
    """

    run: str
    moments: dict[SeriesKey, int] = field(default_factory=dict)
    replies: int = 0
    failed: int = 0


def record(
    request: RecordRequest,
    *,
    lake: Lake,
    access: Access,
    failed: Callable[[str], None],
    flushed: Callable[[Recorded], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Recorded:
    """Record until the time is over or it is stopped; what is in hand then goes into the lake too.

    A provider that does not answer is asked again at the next look: what passed meanwhile nobody has.

    Parameters
    ----------
    failed
        Told why a look brought nothing.
    flushed
        Told what is in the lake, after each batch.

    Raises
    ------
    ProviderError
        If the provider may not be asked, does not show offers, or refuses us altogether.
    InputError
        If the lake cannot be written; what came before the last batch is in it.
    """
    world = access.surroundings
    bucket = bucket_for(request.provider, world, is_sandbox=request.is_sandbox)
    provider = open_permitted(
        request.provider,
        request.symbols,
        start=world.now(),
        purpose=Purpose.LIVE_QUOTES,
        access=access,
        bucket=bucket,
    )
    try:
        if not isinstance(provider, Quoter):
            raise ProviderError(
                ProviderCode.NOT_OFFERED, request.provider, "does not show what is on offer; record kraken"
            )
        batch = _Batch(request, lake, Recorded(run=run_id("record", access)), world, flushed)
        try:
            _look_on(request, provider, batch, access, failed, stopped)
        except KeyboardInterrupt:
            # The usual end of a recording that was given none.
            pass
        except ProviderError:
            batch.flush()
            raise
        batch.flush()
        return batch.recorded
    finally:
        provider.close()


def _look_on(
    request: RecordRequest,
    provider: Quoter,
    batch: "_Batch",
    access: Access,
    failed: Callable[[str], None],
    stopped: Callable[[], bool],
) -> None:
    """Look at a steady pace and hand on what was seen until it is time to end."""
    # By a clock that nobody sets: one that is set back would have us wait until it is here again.
    world = access.surroundings
    due = world.monotonic()
    end = math.inf if request.duration is None else due + request.duration / NANOSECONDS_PER_SECOND
    while not stopped() and world.monotonic() < end:
        for look in _looks(request, provider):
            try:
                batch.take(look())
            except ProviderError as refused:
                if refused.code not in MAY_PASS:
                    raise
                batch.recorded.failed += 1
                failed(str(refused))
            batch.flush_if_due()
        due = max(due + request.every / NANOSECONDS_PER_SECOND, world.monotonic())
        while (left := min(due, end) - world.monotonic()) > 0 and not stopped():
            world.sleep(min(left, _NAP_SECONDS))


def _looks(request: RecordRequest, provider: Quoter) -> Iterator[Callable[[], BooksSeen]]:
    """Yield the requests of one look."""
    if request.kind is SeriesKind.QUOTES:
        yield lambda: provider.fetch_quotes(request.symbols)
        return
    for symbol in request.symbols:
        yield lambda symbol=symbol: provider.fetch_book(symbol, request.levels)  # type: ignore[misc]


class _Batch:
    """What is in hand and not in the lake yet."""

    def __init__(
        self,
        request: RecordRequest,
        lake: Lake,
        recorded: Recorded,
        world: Surroundings,
        flushed: Callable[[Recorded], None],
    ) -> None:
        self.recorded = recorded
        self._request, self._lake, self._world, self._flushed = request, lake, world, flushed
        self._venue = venue_of(request.provider, is_sandbox=request.is_sandbox)
        self._books: dict[str, list[BookSeries]] = {}
        self._payloads: list[bytes] = []
        self._since = world.monotonic()
        self._batches = 0

    def take(self, seen: BooksSeen) -> None:
        """Keep what a reply shows."""
        last = {symbol: int(held[-1].stamps[-1]) for symbol, held in self._books.items()}
        if any(len(book) and int(book.stamps[0]) <= last.get(s, -1) for s, book in seen.books.items()):
            # A clock that was set back: what comes now stands before what is in hand.
            self.flush()
        for symbol, book in seen.books.items():
            if len(book):
                self._books.setdefault(symbol, []).append(book)
        self._payloads.append(seen.payload)
        self.recorded.replies += 1

    def flush_if_due(self) -> None:
        """Put what is in hand into the lake if it is time to."""
        waited = self._world.monotonic() - self._since
        if waited >= self._request.flush_every / NANOSECONDS_PER_SECOND:
            self.flush()

    def flush(self) -> None:
        """Put what is in hand into the lake, with the replies in which it came."""
        self._since = self._world.monotonic()
        if not self._payloads and not self._books:
            return
        recorded, kind = self.recorded, self._request.kind
        if self._payloads:
            self._batches += 1
            name = f"{self._venue} {kind.value} {self._batches:06}"
            self._lake.archive(recorded.run, name, b"\n".join(self._payloads))
            self._payloads.clear()
        for symbol, books in list(self._books.items()):
            key = SeriesKey(venue=self._venue, kind=kind, instrument=symbol)
            self._lake.append(
                key,
                joined_books(books),
                known_at=self._world.now(),
                source=f"{self._request.provider} {kind.value}",
                run=recorded.run,
            )
            # Not before: who is interrupted here appends it again, which changes nothing.
            del self._books[symbol]
            recorded.moments[key] = recorded.moments.get(key, 0) + len(books)
        self._flushed(recorded)
