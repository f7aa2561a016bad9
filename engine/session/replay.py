"""A session worked again from its journal alone, in a fresh state: no data set, no snapshot, no saved feed.

The bars of the journal go one by one through the code that traded, every record that comes out is compared
with the one that stands there, and both sequences are chained into a root hash. Base weights come out of the
journaled bars too, but those that a solver found: they are facts and are taken from the journal.

Failure classes are those of the replay harness that Gauntlet covers (SPEC 3.5), for a session:

MANIFEST_MISSING
    The journal does not begin by saying what was run, so nothing can be worked again.
RUN_SEED_MISMATCH
    The session's instance is not the hash of passport, bars and first row: it was told something else than
    what stands there.
ROOT_HASH_MISMATCH
    The chain over all records ends in another hash than the chain over the records worked again.
ROW_COUNT_MISMATCH
    There are more or fewer records of a kind than come out again.
RUN_CONTEXT_ROOT_MISMATCH
    The last record's own account of the run (its counts and the hash of the last state) does not come out.
JOURNAL_DAMAGED
    The file itself cannot be trusted (`engine journal verify`): nothing was worked again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.compiled import CORE_VERSION
from engine.domain.errors import GauntletError, JournalError
from engine.features.strategy import Strategy
from engine.journal.canonical import encode
from engine.journal.frames import NO_HASH, next_content_hash
from engine.journal.kinds import FACTS, Kind
from engine.journal.reading import Record, read
from engine.session.checks import Check, CheckStatus, examine
from engine.session.journaled import Journaled, session_of
from engine.session.record_difference import RecordDifference, record_differences
from engine.session.records import Entry, bar_of, finished_entry, planned_of
from engine.session.rerun import is_recomputed
from engine.session.trader import Trader
from engine.strategy_files import load_strategy

SHOWN_DIFFERENCES = 10


class Failure(StrEnum):
    """What kind of thing does not come out again; the module says what each means."""

    MANIFEST_MISSING = "MANIFEST_MISSING"
    RUN_SEED_MISMATCH = "RUN_SEED_MISMATCH"
    ROOT_HASH_MISMATCH = "ROOT_HASH_MISMATCH"
    ROW_COUNT_MISMATCH = "ROW_COUNT_MISMATCH"
    RUN_CONTEXT_ROOT_MISMATCH = "RUN_CONTEXT_ROOT_MISMATCH"
    JOURNAL_DAMAGED = "JOURNAL_DAMAGED"


class Severity(StrEnum):
    """How bad a failure is."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"


_SEVERITIES = {
    Failure.MANIFEST_MISSING: Severity.CRITICAL,
    Failure.RUN_SEED_MISMATCH: Severity.HIGH,
    Failure.ROOT_HASH_MISMATCH: Severity.CRITICAL,
    Failure.ROW_COUNT_MISMATCH: Severity.HIGH,
    Failure.RUN_CONTEXT_ROOT_MISMATCH: Severity.HIGH,
    Failure.JOURNAL_DAMAGED: Severity.CRITICAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFailure:
    """One failure, with what exactly is meant."""

    failure: Failure
    severity: Severity
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Whether a session comes out of its journal again.

    Attributes
    ----------
    replay_root_hash, journal_root_hash
        Of the chain over the records worked again, and over those of the journal; hex.
    records
        How many facts the journal has.
    differences
        The first of them; `difference_count` is how many there are.
    weights_recomputed
        Whether base weights were made again; False where a solver's are taken from the journal.
    notes
        What a reader should know beside the verdict, a sentence each.
    """

    replay_parity: bool
    strategy_id: str = ""
    data: str = ""
    finished: bool = False
    replay_root_hash: str = ""
    journal_root_hash: str = ""
    records: int = 0
    bars: int = 0
    weights_recomputed: bool = False
    failures: tuple[FoundFailure, ...] = ()
    differences: tuple[RecordDifference, ...] = ()
    difference_count: int = 0
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()


def replay(folder: Path, *, load: Callable[[str, Mapping[str, Any]], Strategy] = load_strategy) -> Replayed:
    """Work a session again from its journal and compare every record.

    Parameters
    ----------
    folder
        Of the session, which holds its journal.
    load
        Finds a strategy by name and parameters.

    Raises
    ------
    InputError
        If there is no journal, or the strategy is not known any more.
    """
    try:
        records = tuple(read(folder))
        facts = tuple(record for record in records if record.kind in FACTS)
        if not facts or facts[0].kind is not Kind.SESSION_STARTED:
            first = facts[0].kind.name if facts else "nothing"
            says = f"the journal begins with {first}, not with SESSION_STARTED"
            return Replayed(replay_parity=False, failures=(_failure(Failure.MANIFEST_MISSING, says),))
        journaled = session_of(records)
    except JournalError as error:
        return Replayed(replay_parity=False, failures=(_failure(Failure.JOURNAL_DAMAGED, str(error)),))
    passport = journaled.start.passport
    return compare(facts, journaled, load(passport.strategy, passport.parameters))


def compare(facts: Sequence[Record], journaled: Journaled, strategy: Strategy) -> Replayed:
    """Compare the facts of a journal with what its bars give.

    Parameters
    ----------
    journaled
        The same facts, read.
    strategy
        As it is today, with the parameters of the passport.
    """
    entries, broken = work_again(facts, journaled, strategy)
    ours, theirs = _root([(record.kind, record.body) for record in facts]), _root(entries)
    differences = [] if ours == theirs else record_differences(facts, entries, journaled)
    failures = _failures(facts, entries, journaled, ours, theirs, broken)
    checks = examine(journaled)
    start = journaled.start
    return Replayed(
        replay_parity=not failures and all(check.status is not CheckStatus.FAIL for check in checks),
        strategy_id=start.passport.strategy_id,
        data=start.data.name,
        finished=journaled.finished is not None,
        replay_root_hash=theirs,
        journal_root_hash=ours,
        records=len(facts),
        bars=len(journaled.bars),
        weights_recomputed=is_recomputed(start.passport.plan),
        failures=failures,
        differences=tuple(differences[:SHOWN_DIFFERENCES]),
        difference_count=len(differences),
        checks=checks,
        notes=tuple(_notes(journaled, strategy)),
    )


# ---------------------------------------------------------------------------------------- working again


def work_again(facts: Iterable[Record], journaled: Journaled, strategy: Strategy) -> tuple[list[Entry], str]:
    """Return the records that the bars of a journal give, and why they end early; empty: they do not."""
    start = journaled.start
    bars: dict[int, Mapping[str, Any]] = {}
    weights: dict[int, Mapping[str, Any]] = {}
    for record in facts:
        if record.kind is Kind.BAR:
            bars.setdefault(record.body["row"], record.body)
        elif record.kind is Kind.WEIGHTS:
            weights.setdefault(record.body["row"], record.body)
    recomputed = is_recomputed(start.passport.plan)
    entries: list[Entry] = [(Kind.SESSION_STARTED, start.to_body())]
    try:
        trader = Trader(start, strategy)
    except (GauntletError, TypeError, ValueError) as error:
        return entries, f"what the session was told makes no account: {error}"
    for row in range(len(journaled.bars)):
        if row not in bars:
            return entries, f"bar {row:,} is not in the journal, and no bar after it can be worked without it"
        try:
            bar = bar_of(bars[row])
            if recomputed:
                worked = trader.work(bar)
            else:
                planned = planned_of(weights[row]) if row in weights else None
                worked = trader.work_again(bar, planned)
        except (GauntletError, ValueError, KeyError) as error:
            return entries, f"bar {row:,} cannot be worked: {error}"
        entries += worked.entries
    if journaled.finished is not None:
        entries.append(
            finished_entry(
                rows=trader.next_row,
                orders=trader.counts.orders,
                fills=trader.counts.fills,
                state_hash=trader.state_hash(),
            )
        )
    return entries, ""


def _root(entries: Sequence[tuple[Kind, Mapping[str, Any]]]) -> str:
    """Return the chain over records in their order; for a journal's facts it is its content hash."""
    return next_content_hash(NO_HASH, [(int(kind), encode(dict(body))) for kind, body in entries]).hex()


# --------------------------------------------------------------------------------------------- failures


def _failure(failure: Failure, says: str) -> FoundFailure:
    return FoundFailure(failure=failure, severity=_SEVERITIES[failure], says=says)


def _failures(
    facts: Sequence[Record],
    entries: Sequence[Entry],
    journaled: Journaled,
    ours: str,
    theirs: str,
    broken: str,
) -> tuple[FoundFailure, ...]:
    found = []
    if journaled.instance != journaled.start.instance:
        says = f"instance {journaled.instance}, passport, bars and first row give {journaled.start.instance}"
        found.append(_failure(Failure.RUN_SEED_MISMATCH, says))
    if ours != theirs:
        says = f"the journal's records end in {ours[:16]}, worked again they end in {theirs[:16]}"
        found.append(_failure(Failure.ROOT_HASH_MISMATCH, f"{says}; {broken}" if broken else says))
    counts = Counter(record.kind for record in facts)
    again = Counter(kind for kind, _ in entries)
    unequal = [
        f"{counts[kind]:,} {kind.name} where {again[kind]:,} come out"
        for kind in sorted(counts | again)
        if counts[kind] != again[kind]
    ]
    if unequal:
        found.append(_failure(Failure.ROW_COUNT_MISMATCH, "; ".join(unequal)))
    if journaled.finished is not None and not broken:
        said, comes_out = journaled.finished, entries[-1][1]
        wrong = [
            f"{name} {said.get(name)}, {comes_out[name]} comes out"
            for name in comes_out
            if said.get(name) != comes_out[name]
        ]
        if wrong:
            found.append(_failure(Failure.RUN_CONTEXT_ROOT_MISMATCH, "; ".join(wrong)))
    return tuple(found)


def _notes(journaled: Journaled, strategy: Strategy) -> Iterable[str]:
    passport = journaled.start.passport
    if journaled.finished is None:
        yield f"the session is not finished: worked again up to its last bar, {len(journaled.bars):,}"
    if passport.core_version != CORE_VERSION:
        yield f"compiled code was {passport.core_version} in the session, is {CORE_VERSION} here"
    if passport.graph_hash != strategy.hash:
        was, now = passport.graph_hash[:12], strategy.hash[:12]
        yield f"the file of {passport.strategy} was changed since: its graph was {was}, is {now}"
