"""The journal of scans: what was looked for, before anything was read, and what came of it, after.

It stands in a folder of its own. A scan without an outcome was cut off, and found nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain.errors import InputError
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.reading import read

SCAN_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What is about to be looked for.

    Attributes
    ----------
    name, scanner_hash
        Of the configuration, all layers merged.
    data
        Name of the data set.
    at_ns, as_of_ns
        UTC nanoseconds that were asked for, None where nobody did.
    """

    name: str
    scanner_hash: str
    data: str
    at_ns: int | None
    as_of_ns: int | None

    def to_body(self) -> dict[str, Any]:
        """Return the body of the record."""
        return {
            "schema": SCAN_SCHEMA,
            "name": self.name,
            "scanner_hash": self.scanner_hash,
            "data": self.data,
            "at_ns": None if self.at_ns is None else str(self.at_ns),
            "as_of_ns": None if self.as_of_ns is None else str(self.as_of_ns),
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a scan.

    Attributes
    ----------
    problem
        Why it failed, in words; empty where it did not. Then the rest is empty too.
    scan_id, inputs_hash, content_hash
        Of what it read, and of what it wrote.
    stages
        How many instruments came to each stage and how many it let through, in order.
    fallen
        How many fell for each reason.
    """

    problem: str = ""
    scan_id: str = ""
    inputs_hash: str = ""
    content_hash: str = ""
    stages: Sequence[Mapping[str, Any]] = ()
    fallen: Mapping[str, int] | None = None

    def to_body(self) -> dict[str, Any]:
        """Return the body of the record."""
        return {
            "schema": SCAN_SCHEMA,
            "problem": self.problem,
            "scan_id": self.scan_id,
            "inputs_hash": self.inputs_hash,
            "content_hash": self.content_hash,
            "stages": [dict(stage) for stage in self.stages],
            "fallen": dict(self.fallen or {}),
        }


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """A scan as the journal tells of it.

    Attributes
    ----------
    time_ns
        When it began, UTC.
    intent, outcome
        Bodies of the two records; no outcome where it was cut off.
    """

    time_ns: int
    intent: Mapping[str, Any]
    outcome: Mapping[str, Any] | None


def begin(folder: Path, intent: Intent, *, clock: Callable[[], int]) -> int:
    """Append what is about to be looked for, and return the number of the record; it is safe on disk then.

    Parameters
    ----------
    folder
        `engine.home.scans_folder()`; the journal is made where it is missing.
    clock
        UTC nanoseconds.

    Raises
    ------
    JournalError
        If the journal is damaged, locked by another process, or cannot be written: nothing is scanned then.
    """
    with Journal.continued(folder, clock=clock) as journal:
        return journal.append([(Kind.SCAN_STARTED, intent.to_body())])


def end(folder: Path, started: int, outcome: Outcome, *, clock: Callable[[], int]) -> None:
    """Append what came of the scan whose first record has the number `started`.

    Raises
    ------
    JournalError
        As `begin` does.
    """
    with Journal.continued(folder, clock=clock) as journal:
        journal.append([(Kind.SCAN_FINISHED, outcome.to_body() | {"started": started})])


def scans(folder: Path) -> tuple[Scanned, ...]:
    """Return every scan, in the order in which they began; none where nothing was ever scanned.

    Raises
    ------
    JournalError
        If the journal is damaged.
    """
    try:
        records = list(read(folder))
    except InputError:
        return ()
    outcomes = {entry.body["started"]: entry.body for entry in records if entry.kind is Kind.SCAN_FINISHED}
    return tuple(
        Scanned(time_ns=entry.time_ns, intent=entry.body, outcome=outcomes.get(entry.sequence))
        for entry in records
        if entry.kind is Kind.SCAN_STARTED
    )
