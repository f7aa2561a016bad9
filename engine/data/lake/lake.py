"""The lake itself: series are appended to, corrected with evidence, and read as of any moment."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.data.actions import Fact, in_force
from engine.data.lake import (
    appending,
    catalogue,
    compacting,
    datasets,
    facts,
    files,
    raw,
    seals,
    verifying,
    versions,
)
from engine.data.lake.appending import Appended, require_run, require_source
from engine.data.lake.compacting import Compacted
from engine.data.lake.corrections import Correction, corrections_of
from engine.data.lake.parts import Arrival, Part
from engine.data.lake.problems import Problem
from engine.data.lake.reading import rows_of
from engine.data.lake.rows import Rows, of_series, to_bars, to_book, to_trades
from engine.data.lake.shelf import Shelf
from engine.data.lake.versions import DataSetVersion, Definition, Span
from engine.data.lake.withdrawing import emptied, withdrawn_stamps
from engine.data.series import BarSeries, BookSeries, SeriesKey, SeriesKind, TradeSeries
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, Panel
from engine.domain.time import Calendar, Timeframe
from engine.domain.venue import CalendarPolicy

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


_READERS = {
    SeriesKind.BARS: "read",
    SeriesKind.TRADES: "read_trades",
    SeriesKind.QUOTES: "read_book",
    SeriesKind.BOOK: "read_book",
}


class Lake:
    """Series of bars, trades, quotes and books that only grow.

    Nothing is overwritten: what a provider says differently later is written beside what it said before, and
    a reader chooses as of when he wants to know. Any number of processes may read; writers take turns.

    Parameters
    ----------
    root
        Folder of the lake. It is made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._shelf = Shelf(root)

    # --- writing ---------------------------------------------------------------------------------------

    def append(
        self,
        key: SeriesKey,
        series: BarSeries | TradeSeries | BookSeries,
        *,
        known_at: int,
        source: str,
        run: str,
    ) -> Appended:
        """Make the lake know what was given. The same again changes nothing, whenever and however often.

        An append that is cut off keeps some of it, in an order in which the rest can be appended later: what
        differs from what is known first, new history last.

        Parameters
        ----------
        known_at
            UTC nanoseconds at which the reply arrived. Knowledge never goes back: a clock that was set back
            is taken for the latest moment that the series has.
        source
            Who gave it, e.g. `kraken Trades`.
        run
            Of the ingestion, as in `archive`.

        Raises
        ------
        InputError
            If the series is not of the key's kind, if source or run cannot be used, if the disk refuses, or
            if what is known cannot be read.
        """
        given = of_series(key, series)
        require_source(key, source)
        require_run(run)
        if not len(given):
            return Appended(new=0, same=0, corrected=0, late=0, known_at=known_at)
        with files.writing(self.root):
            parts = self.parts(key)
            return appending.append(self.root, key, parts, given, known_at=known_at, source=source, run=run)

    def append_all(
        self,
        key: SeriesKey,
        pages: Iterable[BarSeries | TradeSeries | BookSeries],
        *,
        known_at: int,
        source: str,
        run: str,
    ) -> Appended:
        """Append page after page of one series, as `append` does, and look at what is known only once.

        For whole histories: memory holds one page, and other writers wait until the last one.

        Raises
        ------
        InputError
            As `append` does; pages before the one that failed are in the lake.
        """
        require_source(key, source)
        require_run(run)
        total = Appended(new=0, same=0, corrected=0, late=0, known_at=known_at)
        with files.writing(self.root):
            parts = self.parts(key)
            for page in pages:
                given = of_series(key, page)
                if len(given):
                    step = appending.append(
                        self.root, key, parts, given, known_at=known_at, source=source, run=run
                    )
                    total = total.plus(step)
        return total

    def withdraw(
        self, key: SeriesKey, stamps: Sequence[int], *, reason: str, known_at: int, run: str
    ) -> Appended:
        """Take bars out that should never have been there; who reads as of an earlier moment still sees them.

        A bar that is told again later is there again: what was told last counts, as with every correction.

        Parameters
        ----------
        stamps
            UTC nanoseconds of their opens.
        reason
            Why; the corrections list it.

        Raises
        ------
        InputError
            If the series is none of bars or has no bar at a stamp, if the reason is empty or the run cannot
            be used, or if the disk refuses.
        """
        if key.kind is not SeriesKind.BARS:
            raise InputError(f"{key}: only bars can be withdrawn")
        if not reason.strip() or not stamps:
            raise InputError(f"{key}: say which bars are withdrawn, and for what reason")
        require_run(run)
        opens = np.unique(np.array(stamps, dtype=np.int64))
        with files.writing(self.root):
            parts = self._shelf.parts(key)
            start, stop = int(opens[0]), int(opens[-1]) + 1
            known = rows_of(self.root, key, parts, start=start, stop=stop, with_withdrawn=True)
            given = emptied(key, known, opens)
            return appending.append(
                self.root,
                key,
                parts,
                given,
                known_at=known_at,
                source=reason.strip(),
                run=run,
                revision=Arrival.WITHDRAWN,
            )

    def archive(self, run: str, name: str, payload: bytes) -> Path:
        """Keep the reply of a provider as it came, and return its file. The same again changes nothing.

        Parameters
        ----------
        name
            Of the reply in its run, e.g. `kraken OHLC BTC/USD 000017`. Another reply of that name is kept
            beside the first.

        Raises
        ------
        InputError
            If the run or the name cannot be used, or the disk refuses.
        """
        require_run(run)
        with files.writing(self.root):
            return raw.keep(self.root, run, name, payload)

    # --- reading ---------------------------------------------------------------------------------------

    def read(
        self, key: SeriesKey, *, start: int | None = None, stop: int | None = None, as_of: int | None = None
    ) -> BarSeries:
        """Return bars as they were known at a moment.

        Parameters
        ----------
        start, stop
            UTC nanoseconds of opens, from `start` up to, not including, `stop`; None: no bound.
        as_of
            UTC nanoseconds; None: all that is known.

        Raises
        ------
        InputError
            If the key is not one of bars, or a file is not what was written.
        """
        if key.kind is not SeriesKind.BARS:
            raise InputError(f"{key}: is not a series of bars; read it with {_READERS[key.kind]}")
        return to_bars(self._rows(key, start=start, stop=stop, as_of=as_of))

    def read_trades(
        self, key: SeriesKey, *, start: int | None = None, stop: int | None = None, as_of: int | None = None
    ) -> TradeSeries:
        """Return trades as they were known at a moment; parameters as those of `read`.

        Raises
        ------
        InputError
            If the key is not one of trades, or a file is not what was written.
        """
        if key.kind is not SeriesKind.TRADES:
            raise InputError(f"{key}: is not a series of trades; read it with {_READERS[key.kind]}")
        return to_trades(self._rows(key, start=start, stop=stop, as_of=as_of))

    def read_book(
        self, key: SeriesKey, *, start: int | None = None, stop: int | None = None, as_of: int | None = None
    ) -> BookSeries:
        """Return quotes, or a book with its levels, as known at a moment; parameters as those of `read`.

        Raises
        ------
        InputError
            If the key is not one of quotes or of a book, or a file is not what was written.
        """
        if key.kind not in (SeriesKind.QUOTES, SeriesKind.BOOK):
            raise InputError(f"{key}: holds neither quotes nor a book; read it with {_READERS[key.kind]}")
        return to_book(self._rows(key, start=start, stop=stop, as_of=as_of))

    def series(self) -> list[SeriesKey]:
        """Return the series that have rows, in order of venue, kind, instrument and timeframe."""
        return self._shelf.series()

    def watermark(self, key: SeriesKey) -> int | None:
        """Return the last stamp of a series, UTC nanoseconds; None where it has none."""
        ends = self.ends(key)
        return None if ends is None else ends[1]

    def ends(self, key: SeriesKey) -> tuple[int, int] | None:
        """Return the first and the last stamp of a series, UTC nanoseconds; None where it has no row left."""
        parts = self.parts(key)
        first = min((part.first for part in parts if part.is_rows), default=None)
        last = max((part.last for part in parts if part.is_rows), default=None)
        if first is None or last is None:
            return None
        of_ends = [part for part in parts if not part.is_rows and (part.first <= first or part.last >= last)]
        if np.isin((first, last), withdrawn_stamps(self.root, of_ends)).any():
            stamps = self._rows(key, start=None, stop=None, as_of=None).stamps
            return (int(stamps[0]), int(stamps[-1])) if len(stamps) else None
        return first, last

    def corrections(self, key: SeriesKey, since: int | None = None) -> list[Correction]:
        """Return what was revised or came late, in the order in which it was learned.

        Parameters
        ----------
        since
            UTC nanoseconds: only what was learned then or later; None: all.

        Raises
        ------
        InputError
            If a file is not what was written.
        """
        found: list[Correction] = []
        for part in self.parts(key):
            if part.arrival is not Arrival.NEW and (since is None or part.known_at >= since):
                found += corrections_of(self.root, part)
        return found

    def parts(self, key: SeriesKey, as_of: int | None = None) -> list[Part]:
        """Return the parts that tell all that was known of a series at a moment, in the order of writing.

        Raises
        ------
        InputError
            If the footer of a part cannot be read.
        """
        return self._shelf.parts_to_read(key, as_of)

    def compact(self) -> Compacted:
        """Let many small parts be read as few: what they say, and as of when, stays what it is.

        Raises
        ------
        InputError
            If the disk refuses, or a file is not what was written.
        """
        keys, before, after = self.series(), 0, 0
        for key in keys:
            with files.writing(self.root):
                parts = self.parts(key)
                for part, payload in compacting.mergers(self.root, parts):
                    assert part.place is not None
                    files.put(self.root, self.root / part.place, payload)
                before, after = before + len(parts), after + len(self.parts(key))
        return Compacted(series=len(keys), before=before, after=after)

    # --- corporate actions ------------------------------------------------------------------------------

    def record_action(self, fact: Fact) -> bool:
        """Write down a corporate action, and return whether it was new; the same again changes nothing.

        Of several about the same ticker, day and kind the one that was recorded last counts.

        Raises
        ------
        InputError
            If source or run cannot be used, or the disk refuses.
        """
        require_run(fact.run)
        if not fact.source.strip():
            raise InputError(f"{fact.venue} {fact.ticker}: source must not be empty, a fact says who told it")
        return facts.record(self.root, fact)

    def actions(self, venue: str, ticker: str, *, as_of: int | None = None) -> list[Fact]:
        """Return the corporate actions of a ticker in force as of a moment, oldest first; None: now.

        Raises
        ------
        InputError
            If one is not what was written.
        """
        return in_force(facts.read(self.root, venue, ticker, as_of))

    def venue_actions(self, venue: str, *, as_of: int | None = None) -> list[Fact]:
        """Return all that was recorded of a venue's tickers, what was taken back too, as it was learned.

        Raises
        ------
        InputError
            If a fact is not what was written.
        """
        known = [facts.read(self.root, venue, ticker, as_of) for ticker in facts.tickers(self.root, venue)]
        return [fact for of_ticker in known for fact in of_ticker]

    # --- data sets -------------------------------------------------------------------------------------

    def freeze(
        self,
        name: str,
        keys: Sequence[SeriesKey],
        *,
        timeframe: Timeframe,
        calendar: Calendar,
        as_of: int | None = None,
        market: SeriesKey | None = None,
        universe: str | None = None,
        start: int | None = None,
        stop: int | None = None,
        adjustment: Adjustment = Adjustment.NONE,
        calendar_policy: CalendarPolicy = CalendarPolicy.REFUSE,
    ) -> DataSetVersion:
        """Write down what some series are as of a moment as the next version of a data set.

        What is equal to the newest version becomes no new one.

        Parameters
        ----------
        keys
            Series of bars, one an instrument. Their order is of no account: columns are in that of symbols.
        as_of
            UTC nanoseconds; None: all that is known.
        market
            Series whose close is the market; None: the equally weighted pool.
        universe
            Name of the universe that the instruments were taken from.
        start, stop
            UTC nanoseconds of opens, from `start` up to, not including, `stop`; None: no bound.
        adjustment
            What is done to prices for the splits and dividends that the lake knows of as of that moment.
        calendar_policy
            What becomes of instruments that keep different calendars.

        Raises
        ------
        InputError
            If the name or the series cannot be used, if bars have errors, if calendars differ and the policy
            refuses that, or if the disk refuses.
        """
        definition = Definition(
            keys=tuple(sorted(keys, key=lambda key: (key.instrument, key.venue))),
            timeframe=timeframe,
            calendar=calendar,
            market=market,
            universe=universe,
            start=start,
            stop=stop,
            adjustment=adjustment,
        )
        venues = sorted({key.venue for key in keys})
        known = [fact for venue in venues for fact in self.venue_actions(venue, as_of=as_of)]
        return datasets.freeze(
            self.root,
            name,
            definition,
            parts_of=lambda key: self.parts(key, as_of),
            facts=known,
            as_of=as_of,
            calendar_policy=calendar_policy,
        )

    def with_seal_moved(self, frozen: DataSetVersion) -> DataSetVersion:
        """Return a version with the seal that its bars alone would have; nothing is written.

        Raises
        ------
        InputError
            If its seal is there already, or a file is not what was frozen.
        """
        return datasets.with_seal_moved(self.root, frozen)

    def write(self, frozen: DataSetVersion) -> DataSetVersion:
        """Write what became of the newest version of a data set under the next number, and return it.

        Raises
        ------
        InputError
            If a newer one was frozen meanwhile, or the disk refuses.
        """
        return datasets.write(self.root, frozen)

    def load_panel(
        self, name: str, *, version: int | None = None, as_of: int | None = None, stop: int | None = None
    ) -> Panel:
        """Return the bars of a data set, those that are sealed too: `engine.data.catalogue` ends before them.

        Parameters
        ----------
        version
            None: the newest.
        as_of
            UTC nanoseconds: only what was known then; None: all of the version.
        stop
            UTC nanoseconds: only bars that open before it; None: all.

        Raises
        ------
        InputError
            If there is no such version, or a file is not what was frozen.
        """
        return datasets.load(self.root, self.version(name, version), as_of=as_of, stop=stop)

    def version(self, name: str, number: int | None = None) -> DataSetVersion:
        """Return a version of a data set without its bars; the newest where no number is given.

        Raises
        ------
        InputError
            If there is none, or its file is not what was written.
        """
        return versions.read(self.root, name, number)

    def sealed_from(self, key: SeriesKey) -> int | None:
        """Return when the first bar of a series opens that a data set seals; None where all are open.

        Raises
        ------
        InputError
            If the file of a data set is not what was written.
        """
        found = seals.inherited([Span(key=key, first=-(2**63), last=2**63 - 1)], versions.every(self.root))
        return None if found is None else found.sealed_from

    def versions(self, name: str) -> list[int]:
        """Return the numbers of the versions of a data set, oldest first; none where it is not known."""
        return versions.numbers(self.root, name)

    def data_sets(self) -> tuple[str, ...]:
        """Return the names of the data sets, in alphabetical order."""
        return versions.names(self.root)

    # --- the whole -------------------------------------------------------------------------------------

    def connect(self) -> "DuckDBPyConnection":
        """Return a connection to the catalogue, for questions in SQL, after bringing it up to date.

        Raises
        ------
        InputError
            If a file that the catalogue tells of is gone: it is not made anew over a loss. If the disk
            refuses.
        """
        parts = self._all_parts()
        lost = [problem for problem in catalogue.problems(self.root, parts) if problem.kind.loses_data]
        if lost:
            raise InputError(f"{self.root}: {lost[0]}")
        if not catalogue.is_current(self.root, parts):
            catalogue.build(self.root, parts)
        return catalogue.connect(self.root)

    def rebuild_catalogue(self) -> None:
        """Make the catalogue anew from the files, whatever it tells.

        Raises
        ------
        InputError
            If the disk refuses, or a file of the lake is not what was written.
        """
        catalogue.build(self.root, self._all_parts())

    def verify(self) -> list[Problem]:
        """Return everything that is wrong in the lake, nothing if it is what was written."""
        return verifying.problems(self.root)

    # --- inside ----------------------------------------------------------------------------------------

    def _all_parts(self) -> list[Part]:
        return [part for key in self.series() for part in self._shelf.parts(key)]

    def _rows(self, key: SeriesKey, *, start: int | None, stop: int | None, as_of: int | None) -> Rows:
        return rows_of(self.root, key, self.parts(key, as_of), start=start, stop=stop)
