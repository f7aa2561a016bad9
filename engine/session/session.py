"""A session over closed bars: what it is, how it is opened, and the loop."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.compiled import CORE_VERSION
from engine.domain.errors import InputError, JournalCode, JournalError
from engine.domain.panel import Panel
from engine.domain.passport import Passport
from engine.features.strategy import Strategy
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.space import KILL_BYTES, Mode
from engine.journal.storage import LOG
from engine.session.feed import FEED, Feed, cut_again, read_feed, write_feed
from engine.session.records import Entry, finished_entry
from engine.session.recovery import history, recover
from engine.session.snapshot import Place, Snapshot, load, save
from engine.session.start import SessionStart, require_unchanged
from engine.session.trader import Trader, Worked

# Bars between two snapshots: some tenths of a second of work at a restart.
SNAPSHOT_BARS = 250
# Quiet bars that share a batch in a replay; a live feed writes every bar by itself.
QUIET_BARS = 64


class Ending(StrEnum):
    """Why a session stopped."""

    FINISHED = "FINISHED"
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, kw_only=True, eq=False)
class Beginning:
    """What a new session runs, and on which bars."""

    start: SessionStart
    strategy: Strategy
    fed: Panel


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """An open session: its journal is locked by this process.

    Attributes
    ----------
    fed
        The bars of a replay; on a feed the history before the account's first bar.
    is_resumed
        It was begun by an earlier process.
    """

    folder: Path
    journal: Journal
    start: SessionStart
    trader: Trader
    fed: Panel
    is_resumed: bool

    @property
    def session_id(self) -> str:
        """Name of its folder."""
        return self.folder.name


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a session gets what its journal only names.

    Attributes
    ----------
    begin
        Makes what a new session runs; not called when one goes on.
    strategy
        Finds the strategy of a passport.
    panel
        Loads a data set by name, up to its hold-out; only called where the fed bars are not kept any more.
    clock
        UTC nanoseconds.
    is_other
        Whether a session that was begun this way is another one than is wanted now: its data set was
        imported anew.
    """

    begin: Callable[[], Beginning]
    strategy: Callable[[Passport], Strategy]
    panel: Callable[[str], Panel]
    clock: Callable[[], int]
    is_other: Callable[[SessionStart], bool] = lambda _start: False


def open_session(folder: Path, sources: Sources) -> Session | None:
    """Begin the session of a folder, or go on where its journal ends; None where nothing goes on.

    Raises
    ------
    JournalError
        If the journal is locked, damaged, cannot be written, or does not lead to what it says.
    RefusedError
        If the code of today is not what the session was begun with.
    InputError
        If its bars are gone.
    """
    journal = _opened(folder, sources.clock)
    try:
        _require_room(journal)
        return _begun_or_resumed(folder, journal, sources)
    except BaseException:
        journal.close()
        raise


def _begun_or_resumed(folder: Path, journal: Journal, sources: Sources) -> Session | None:
    known = history(folder, snapshot=load(folder))
    if known.is_finished or (known.start is not None and sources.is_other(known.start)):
        journal.close()
        return None
    if known.start is None:
        begun = sources.begin()
        write_feed(folder, begun.fed)
        journal.append([(Kind.SESSION_STARTED, begun.start.to_body())])
        trader = Trader(begun.start, begun.strategy)
        return Session(
            folder=folder, journal=journal, start=begun.start, trader=trader, fed=begun.fed, is_resumed=False
        )
    start = known.start
    strategy = sources.strategy(start.passport)
    require_unchanged(start.passport, strategy, CORE_VERSION)
    fed = read_feed(folder, start.data)
    if fed is None and not start.feed.is_replay:
        raise InputError(
            f"the history of session {folder.name} is gone or damaged ({FEED}), and no data set has it as it "
            "was; begin another session"
        )
    if fed is None:
        fed = cut_again(sources.panel(start.data.name), start)
        write_feed(folder, fed)
    trader = recover(folder, known, lambda: Trader(start, strategy), fed if start.feed.is_replay else None)
    journal.append([(Kind.SESSION_RESUMED, {"row": trader.next_row, "sequence": journal.next_sequence})])
    return Session(folder=folder, journal=journal, start=start, trader=trader, fed=fed, is_resumed=True)


def _opened(folder: Path, clock: Callable[[], int]) -> Journal:
    log = folder / LOG
    if not log.exists() or log.stat().st_size == 0:
        try:
            return Journal.create(folder, clock=clock)
        except JournalError as error:
            if error.code is not JournalCode.JOURNAL_EXISTS:
                raise
    return Journal.open(folder, clock=clock)


def _require_room(journal: Journal) -> None:
    if journal.space() is Mode.KILL:
        raise JournalError(
            JournalCode.DISK_FULL,
            f"the disk of the journal has less than {KILL_BYTES // 1_000_000:,} MB left; make room, then "
            "give the same command again",
        )


# ------------------------------------------------------------------------------------------------- loop


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What differs between kinds of sessions.

    Attributes
    ----------
    watch
        Told of every bar, after it was worked.
    is_stopping
        Asked before every bar: whether somebody wants the session to end.
    quiet_bars
        Most quiet bars that share a batch: 1 writes every bar by itself.
    """

    feed: Feed
    watch: Callable[[Worked], None]
    is_stopping: Callable[[], bool]
    quiet_bars: int = QUIET_BARS


def run(session: Session, ports: Ports) -> Ending:
    """Trade until the feed ends or somebody stops it.

    What a bar decided is safe on disk before the next bar, which could fill it, is looked at.

    A feed that waits for its next bar ends when somebody wants an end.

    Raises
    ------
    JournalError
        JOURNAL_IO or DISK_FULL: nothing more is decided.
    AllocationError
        If base weights fall due and there are none.
    """
    trader, pages = session.trader, _Pages(session.journal, ports.quiet_bars)
    for bar in ports.feed.bars(trader.next_row):
        if ports.is_stopping():
            break
        worked = trader.work(bar)
        pages.add(worked)
        ports.watch(worked)
        if trader.next_row % SNAPSHOT_BARS == 0:
            pages.write()
            _save(session)
    if ports.is_stopping():
        pages.write((Kind.SESSION_INTERRUPTED, {"row": trader.next_row}))
        _save(session)
        return Ending.INTERRUPTED
    pages.write(_finished(session))
    return Ending.FINISHED


class _Pages:
    """Puts records into batches: a bar that did something ends one, quiet ones wait for others."""

    def __init__(self, journal: Journal, quiet_bars: int) -> None:
        self._journal = journal
        self._quiet_bars = quiet_bars
        self._waiting: list[Entry] = []
        self._bars = 0

    def add(self, worked: Worked) -> None:
        """Take the records of a bar; all are safe when this returns, unless the bar was quiet."""
        self._waiting += worked.entries
        self._bars += 1
        if not worked.is_quiet or self._bars >= self._quiet_bars:
            self.write()

    def write(self, *last: Entry) -> None:
        """Make safe what waits, and what comes last."""
        entries = [*self._waiting, *last]
        if entries:
            self._journal.append(entries)
            _require_room(self._journal)
        self._waiting, self._bars = [], 0


def _finished(session: Session) -> Entry:
    trader = session.trader
    return finished_entry(
        rows=trader.next_row,
        orders=trader.counts.orders,
        fills=trader.counts.fills,
        state_hash=trader.state_hash(),
    )


def _save(session: Session) -> None:
    journal = session.journal
    place = Place(
        end=(session.folder / LOG).stat().st_size,
        next_sequence=journal.next_sequence,
        head=journal.head,
    )
    save(session.folder, Snapshot(place=place, state=session.trader.state()))
