"""One series from a provider into the lake, going on from what the lake holds and from nothing else.

The order makes it safe to be killed anywhere. New history is appended oldest first, so what is older than the
watermark is there, but for holes. Each run reads the last bars below the watermark again, since the run that
wrote them may have been killed before it looked twice, and settles what is told differently before it moves
the watermark; then holes, and bars too young to be trusted, are built from trades. Where there are trades,
nothing else corrects a bar.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from engine.data.actions import Fact, What, kind_of, market_rules
from engine.data.ingestion.gaps import missing_opens, months_backwards
from engine.data.ingestion.outcome import Counts
from engine.data.ingestion.proof import proofs
from engine.data.lake.lake import Lake
from engine.data.providers.bars import between
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import GRACE, UNSETTLED_BARS, final_until, sift, unsettled_from
from engine.data.providers.port import ActionSeen, Page, Provider
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
    told
        UTC nanoseconds that the provider said it is. A bar is over when both clocks say so: where ours is
        ahead, the trades of the bar that is forming there would pass for all of its trades.
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
    told: int = 2**62

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
        began = min(self.now(), self.told)
        span = replace(span, stop=min(span.stop, final_until(began, self.timeframe, self.grace)))
        if span.start >= span.stop:
            return self.counts
        self._take_rules()
        ends = self.lake.ends(self.key)
        if ends is not None and span.start < ends[0]:
            self._take_older(span.start, min(ends[0], span.stop))
        reported_until = self._take_newer(span, span.start if ends is None else ends[1])
        # A reply that stood still has bars as they were when they were young.
        age_at = began if reported_until >= span.stop else min(began, reported_until)
        unsettled = max(span.start, unsettled_from(age_at, self.timeframe))
        young = self._known(unsettled, span.stop).stamps
        self._prove(np.union1d(self._missing(span), young), span)
        self.advanced(self.key, span.stop)
        return self.counts

    # --- history ---------------------------------------------------------------------------------------

    def _take_older(self, start: int, stop: int) -> None:
        """Append what lies before all that is known, month by month backwards.

        A month is appended at once: half of it would make the rest late, and what a kill cuts off is older
        than all that is known once more.
        """
        for begins, ends in months_backwards(self._first_given(start, stop), stop):
            self._append([self._sifted(page) for page in self._bars(begins, ends)], self.provider.name)

    def _first_given(self, start: int, stop: int) -> int:
        """Return the open of the first bar that the provider has, `stop` if there is none before it.

        Years before a listing are one question then and not one for each month.
        """
        for page in self._bars(start, stop):
            bars = self._sifted(page)
            if len(bars):
                return int(bars.stamps[0])
        return stop

    def _take_newer(self, span: Span, last: int) -> int:
        """Read the last bars again and settle what is in doubt of them, then append what is not known.

        Returns
        -------
        UTC nanoseconds up to which bars were reported.
        """
        start = max(span.start, last - (span.reread_bars - 1) * self.timeframe.nanoseconds)
        # A bar that was told once and is not told again may be the one that was told wrong.
        untold = self._known(start, min(last + 1, span.stop)).stamps
        doubtful: list[IntArray] = []
        held: list[BarSeries] = []
        is_settled = False
        reported_until = start
        try:
            for page in self._bars(start, span.stop):
                reported_until = page.cursor
                given = self._sifted(page)
                untold = np.setdiff1d(untold, given.stamps, assume_unique=True)
                new, different = self._compared(given)
                held.append(new)
                doubtful.append(different)
                told = len(page.differences) + len(page.day_differences)
                self.counts = replace(self.counts, differences=self.counts.differences + told)
                if page.cursor > last and not is_settled:
                    self._prove(np.unique(np.concatenate([untold, *doubtful])), span)
                    is_settled = True
                if is_settled and len(held) >= PAGES_HELD:
                    self._append(held, self.provider.name)
                    held.clear()
                    self.advanced(self.key, page.cursor)
            if not is_settled:
                self._prove(np.unique(np.concatenate([untold, *doubtful])), span)
                is_settled = True
        finally:
            # Whatever goes wrong with the next page, these are paid for; but the watermark must not step
            # over what is in doubt.
            if is_settled:
                self._append(held, self.provider.name)
        return reported_until

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

    def _prove(self, wanted: IntArray, span: Span) -> None:
        """Ask for what is missing and what is in doubt a second time, in another way if there is one."""
        if not len(wanted):
            return
        source = f"{self.provider.name} trades"
        # Many replies tell of a bar or two: they become one part of the lake.
        held: list[BarSeries] = []
        try:
            for proof in proofs(self.provider, self.key.instrument, self.timeframe, wanted):
                if proof.payload:
                    self._archive(proof.payload, "proof")
                held.append(proof.bars if proof.is_certain else self._with_more_volume(proof.bars))
                if len(held) == PAGES_HELD:
                    self._append(held, source)
                    held.clear()
                self._stop_if_wanted()
        except ProviderError as refused:
            if refused.code is not ProviderCode.NOT_OFFERED:
                raise
            self._ask_again(wanted, span)
        finally:
            self._append(held, source)

    def _with_more_volume(self, given: BarSeries) -> BarSeries:
        """Return the bars that are not known, or are known with less volume than they have here."""
        if not len(given):
            return given
        known = self._known(int(given.stamps[0]), int(given.stamps[-1]) + 1)
        both = given.stamps[np.isin(given.stamps, known.stamps)]
        less = both[~(_at(given, both).volume > _at(known, both).volume)]
        return _at(given, given.stamps[~np.isin(given.stamps, less)])

    def _ask_again(self, wanted: IntArray, span: Span) -> None:
        """Ask who has no trades for the same bars while new ones come; what it says last is taken."""
        known = self._known(span.start, span.stop).stamps
        # What lies before the first bar has just been asked for: it was not listed yet.
        wanted = wanted[wanted > known[0]] if len(known) else wanted[:0]
        for _ in range(_LOOKS):
            if not len(wanted):
                return
            stop = int(wanted[-1]) + self.timeframe.nanoseconds
            for page in self._bars(int(wanted[0]), min(stop, span.stop)):
                self._append([self._sifted(page)], self.provider.name)
            known = self._known(int(wanted[0]), stop).stamps
            left = np.setdiff1d(wanted, known, assume_unique=True)
            if len(left) == len(wanted):
                return
            wanted = left

    def _missing(self, span: Span) -> IntArray:
        start = max(span.start, span.holes_from)
        known = self._known(start, span.stop).stamps
        return missing_opens(known, self.timeframe, span.calendar, start, span.stop)

    # --- inside ----------------------------------------------------------------------------------------

    def _bars(self, start: int, stop: int) -> Iterator[Page[BarSeries]]:
        for page in self.provider.fetch_bars(self.key.instrument, self.timeframe, start, stop):
            self._archive(page.payload, "bars")
            # Before the bars: who goes on from the watermark must not step over a split.
            self._record(page.actions)
            yield page
            self._stop_if_wanted()

    def _sifted(self, page: Page[BarSeries]) -> BarSeries:
        sifted = sift(page.series, self.timeframe, self.now(), self.grace)
        self.counts = replace(
            self.counts,
            forming=self.counts.forming + page.forming + sifted.forming,
            future=self.counts.future + page.future + sifted.future,
        )
        return sifted.final

    def _archive(self, payload: bytes, what: str) -> None:
        number = self.first_reply + self.counts.replies
        self.lake.archive(self.run, f"{self.key} {what} {number:06}", payload)
        self.counts = replace(self.counts, replies=self.counts.replies + 1)

    def _take_rules(self) -> None:
        """Write down what the venue takes in orders, with its words, where that is news."""
        venue, ticker = self.key.venue, self.key.instrument
        seen = self.provider.fetch_rules(ticker)
        if seen is not None and seen.rules != market_rules(self.lake.actions(venue, ticker), venue, ticker):
            # One list tells of all markets: kept once, however many series find news in it.
            self.lake.archive(self.run, f"{venue} markets", seen.payload)
            self._is_news(self.now(), seen.rules)

    def _record(self, actions: tuple[ActionSeen, ...]) -> None:
        news = [self._is_news(action.effective_at, action.what) for action in actions]
        self.counts = replace(self.counts, actions=self.counts.actions + sum(news))

    def _is_news(self, effective_at: int, what: What) -> bool:
        """Tell the lake a fact, and return whether it was new to it."""
        fact = Fact(
            venue=self.key.venue,
            ticker=self.key.instrument,
            kind=kind_of(what),
            effective_at=effective_at,
            what=what,
            known_at=self.now(),
            source=self.provider.name,
            run=self.run,
        )
        return self.lake.record_action(fact)

    def _append(self, pages: list[BarSeries], source: str) -> None:
        series = _joined(pages)
        if len(series):
            appended = self.lake.append(self.key, series, known_at=self.now(), source=source, run=self.run)
            self.counts = self.counts.appended(appended)

    def _known(self, start: int, stop: int) -> BarSeries:
        return self.lake.read(self.key, start=start, stop=stop)

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
