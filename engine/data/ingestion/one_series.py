"""One series from a provider into the lake, going on from what the lake holds and from nothing else.

The order makes it safe to be killed anywhere. New history is appended oldest first, so what is older than the
watermark is there, but for holes. Each run reads the last bars below the watermark again, since the run that
wrote them may have been killed before it looked twice; then holes, bars that are told differently now and
bars too young to be trusted are built from trades. Where there are trades, nothing else corrects a bar.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from engine.data.ingestion.amounts import as_printed
from engine.data.ingestion.finality import GRACE, UNSETTLED_BARS, final_until, sift, unsettled_from
from engine.data.ingestion.gaps import missing_opens, months_backwards
from engine.data.ingestion.outcome import Counts
from engine.data.ingestion.proof import proofs
from engine.data.lake.lake import Lake
from engine.data.providers.bars import between
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.port import Page, Provider
from engine.data.series import BAR_VALUES, BarSeries, SeriesKey
from engine.domain.panel import IntArray
from engine.domain.time import Calendar, Timeframe

PAGES_HELD: Final = 32
"""Pages of bars become one part of the lake together; a kill loses no more of them."""

_LOOKS: Final = 3
"""So often a provider without trades is asked for what is missing."""

Advanced = Callable[[SeriesKey, int], None]
"""Told a series and up to which moment (UTC nanoseconds) its new history is in the lake."""


class StoppedError(Exception):
    """The user wants to stop; what is in hand is in the lake."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Which bars of a series are wanted.

    Attributes
    ----------
    start, stop
        UTC nanoseconds: bars that open from `start` up to, not including, `stop`.
    holes_from
        UTC nanoseconds from which on missing bars are looked for.
    reread_bars
        So many bars below the watermark are asked for again.
    calendar
        When bars are expected.
    """

    start: int
    stop: int
    holes_from: int
    reread_bars: int = UNSETTLED_BARS
    calendar: Calendar = Calendar.ALWAYS


@dataclass(kw_only=True, eq=False)
class Ingestion:
    """What the work on one series needs; one object for one series and one thread.

    Attributes
    ----------
    now
        UTC nanoseconds.
    stopped
        Says whether the user wants to stop; asked after each reply.
    first_reply
        Number of the next reply to be archived.
    """

    lake: Lake
    provider: Provider
    key: SeriesKey
    run: str
    now: Callable[[], int]
    advanced: Advanced
    stopped: Callable[[], bool]
    grace: int = GRACE
    counts: Counts = field(default_factory=Counts)
    first_reply: int = 1

    @property
    def timeframe(self) -> Timeframe:
        """Length of its bars."""
        assert self.key.timeframe is not None
        return self.key.timeframe

    def ingest(self, span: Span) -> Counts:
        """Bring a series up to date and return what was found; `counts` has it too if this fails.

        Raises
        ------
        ProviderError
            If the provider does not answer; what came before is in the lake.
        InputError
            If the lake cannot be written or read.
        StoppedError
            If the user wants to stop.
        """
        began = self.now()
        step = self.timeframe.nanoseconds
        span = replace(span, stop=min(span.stop, final_until(began, self.timeframe, self.grace)))
        if span.start >= span.stop:
            return self.counts
        first, last = self._first(), self.lake.watermark(self.key)
        if first is not None:
            for start, stop in months_backwards(span.start, min(first, span.stop)):
                self._take_older(start, stop)
        begins = span.start if last is None else max(span.start, last - (span.reread_bars - 1) * step)
        doubtful = self._take_newer(begins, span.stop)
        young = np.arange(0, dtype=np.int64)
        if span.stop > unsettled_from(began, self.timeframe):
            young = self._known(max(span.start, unsettled_from(began, self.timeframe)), span.stop).stamps
        self._prove(span, np.union1d(doubtful, young))
        self.advanced(self.key, span.stop)
        return self.counts

    # --- history ---------------------------------------------------------------------------------------

    def _take_older(self, start: int, stop: int) -> None:
        """Append what lies before all that is known, at once: half of it would make the rest late."""
        kept = [self._sifted(page) for page in self._bars(start, stop)]
        self._append(kept, self.provider.name)

    def _take_newer(self, start: int, stop: int) -> IntArray:
        """Append what is not known from `start` on; return the opens of bars that are told differently."""
        held: list[BarSeries] = []
        doubtful: list[IntArray] = []
        try:
            for page in self._bars(start, stop):
                new, different = self._compared(self._sifted(page))
                held.append(new)
                doubtful += [different, np.array([each.stamp for each in page.differences], dtype=np.int64)]
                self.counts = replace(
                    self.counts, differences=self.counts.differences + len(page.differences)
                )
                if len(held) == PAGES_HELD:
                    self._append(held, self.provider.name)
                    held.clear()
                    self.advanced(self.key, page.cursor)
        finally:
            # Whatever goes wrong with the next page, these are paid for.
            self._append(held, self.provider.name)
        return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *doubtful]))

    def _compared(self, given: BarSeries) -> tuple[BarSeries, IntArray]:
        """Return the bars that the lake does not have, and the opens of those that it has otherwise."""
        if not len(given):
            return given, given.stamps
        known = self._known(int(given.stamps[0]), int(given.stamps[-1]) + 1)
        is_known = np.isin(given.stamps, known.stamps)
        both = known.stamps[np.isin(known.stamps, given.stamps)]
        old, told = _at(known, both), _at(given, both)
        differs = np.zeros(len(both), dtype=bool)
        for name in BAR_VALUES:
            one, other = getattr(old, name), getattr(told, name)
            differs |= (one != other) & ~(np.isnan(one) & np.isnan(other))
        self.counts = replace(self.counts, same=self.counts.same + int((~differs).sum()))
        return _at(given, given.stamps[~is_known]), both[differs]

    # --- holes and doubts ------------------------------------------------------------------------------

    def _prove(self, span: Span, doubtful: IntArray) -> None:
        """Ask for what is missing and what is in doubt a second time, in another way if there is one."""
        wanted = np.union1d(self._missing(span), doubtful[(doubtful >= span.start) & (doubtful < span.stop)])
        if not len(wanted):
            return
        try:
            for proof in proofs(self.provider, self.key.instrument, self.timeframe, wanted):
                if proof.payload:
                    self._archive(proof.payload, "proof")
                built = as_printed(proof.bars)
                bars = built if proof.is_certain else self._with_more_volume(built)
                self._append([bars], f"{self.provider.name} trades")
                self._stop_if_wanted()
        except ProviderError as refused:
            if refused.code is not ProviderCode.NOT_OFFERED:
                raise
            self._ask_again(span, doubtful)

    def _with_more_volume(self, given: BarSeries) -> BarSeries:
        """Return the bars that are not known, or are known with less volume than they have here."""
        if not len(given):
            return given
        known = self._known(int(given.stamps[0]), int(given.stamps[-1]) + 1)
        both = given.stamps[np.isin(given.stamps, known.stamps)]
        less = both[~(_at(given, both).volume > _at(known, both).volume)]
        return _at(given, given.stamps[~np.isin(given.stamps, less)])

    def _ask_again(self, span: Span, doubtful: IntArray) -> None:
        """Ask who has no trades for the same bars until no new ones come; what it says last is taken."""
        known = self._known(span.start, span.stop).stamps
        for _ in range(_LOOKS):
            missing = self._missing(span)
            # What lies before the first bar has just been asked for: it was not listed yet.
            wanted = np.union1d(missing[missing > known[0]] if len(known) else missing[:0], doubtful)
            if not len(wanted):
                return
            before = self.counts
            start, stop = int(wanted[0]), int(wanted[-1]) + self.timeframe.nanoseconds
            for page in self._bars(start, min(stop, span.stop)):
                self._append([self._sifted(page)], self.provider.name)
            doubtful = doubtful[:0]
            if self.counts.late + self.counts.new == before.late + before.new:
                return

    def _missing(self, span: Span) -> IntArray:
        start = max(span.start, span.holes_from)
        known = self._known(start, span.stop).stamps
        return missing_opens(known, self.timeframe, span.calendar, start, span.stop)

    # --- inside ----------------------------------------------------------------------------------------

    def _bars(self, start: int, stop: int) -> Iterator[Page[BarSeries]]:
        for page in self.provider.fetch_bars(self.key.instrument, self.timeframe, start, stop):
            self._archive(page.payload, "bars")
            yield page
            self._stop_if_wanted()

    def _sifted(self, page: Page[BarSeries]) -> BarSeries:
        sifted = sift(page.series, self.timeframe, self.now(), self.grace)
        self.counts = replace(
            self.counts,
            forming=self.counts.forming + sifted.forming,
            future=self.counts.future + sifted.future,
        )
        return as_printed(sifted.final)

    def _archive(self, payload: bytes, what: str) -> None:
        number = self.first_reply + self.counts.replies
        self.lake.archive(self.run, f"{self.key} {what} {number:06}", payload)
        self.counts = replace(self.counts, replies=self.counts.replies + 1)

    def _append(self, pages: list[BarSeries], source: str) -> None:
        series = _joined(pages)
        if len(series):
            appended = self.lake.append(self.key, series, known_at=self.now(), source=source, run=self.run)
            self.counts = self.counts.appended(appended)

    def _known(self, start: int, stop: int) -> BarSeries:
        return self.lake.read(self.key, start=start, stop=stop)

    def _first(self) -> int | None:
        return min((part.first for part in self.lake.parts(self.key) if part.is_rows), default=None)

    def _stop_if_wanted(self) -> None:
        if self.stopped():
            raise StoppedError


def _at(bars: BarSeries, stamps: IntArray) -> BarSeries:
    """Return the bars at some of their stamps."""
    rows = np.searchsorted(bars.stamps, stamps)
    return BarSeries(stamps=stamps, **{name: getattr(bars, name)[rows] for name in BAR_VALUES})


def _joined(pages: list[BarSeries]) -> BarSeries:
    """Return pages as one; where two tell of the same bar, the later one is taken."""
    result = BarSeries.empty()
    for page in pages:
        if not len(page):
            continue
        before = between(result, -(2**62), int(page.stamps[0]))
        parts = [before, page]
        result = BarSeries(
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in ("stamps", *BAR_VALUES)
            }
        )
    return result
