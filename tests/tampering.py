"""Ways to tamper with one session: every record in reach of somebody who can make the chain anew."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.journal.canonical import array_of, hex_of
from engine.journal.kinds import Kind
from engine.journal.reading import Record, read
from engine.session.drill import edited, rewrite_all
from engine.session.start import SessionStart

Change = Callable[[Record], Record]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tampered:
    """A copy of a session.

    Attributes
    ----------
    record
        The one that was changed, as it was.
    """

    folder: Path
    record: Record

    @property
    def row(self) -> int:
        """Of the bar of the record."""
        return int(self.record.body["row"])


def nth(folder: Path, kind: Kind, number: int) -> Record:
    """Return a record by kind, counted from 0, or from the end."""
    return [record for record in read(folder) if record.kind is kind][number]


def tamper(
    source: Path, target: Path, record: Record, change: Callable[[Record], Sequence[Record]]
) -> Tampered:
    """Put other records, or none, in the place of one."""

    def change_all(records: Sequence[Record]) -> Iterable[Record]:
        for each in records:
            yield from change(each) if each.sequence == record.sequence else (each,)

    rewrite_all(source, target, change_all)
    return Tampered(folder=target, record=record)


def swap(source: Path, target: Path, first: Record, second: Record) -> Tampered:
    """Let two records change places."""
    places = {
        first.sequence: replace(second, batch=first.batch),
        second.sequence: replace(first, batch=second.batch),
    }
    rewrite_all(source, target, lambda records: [places.get(each.sequence, each) for each in records])
    return Tampered(folder=target, record=first)


def setting(**values: Any) -> Callable[[Record], Sequence[Record]]:
    """Return a change that sets values of a body."""
    return lambda record: (edited(record, **values),)


def adding(**amounts: int) -> Callable[[Record], Sequence[Record]]:
    """Return a change that adds to whole numbers of a body."""

    def change(record: Record) -> Sequence[Record]:
        return (edited(record, **{name: record.body[name] + amount for name, amount in amounts.items()}),)

    return change


def nudging(name: str, column: int = 0) -> Callable[[Record], Sequence[Record]]:
    """Return a change of one number, that stands as text, by its last bit."""

    def change(record: Record) -> Sequence[Record]:
        numbers = np.array(array_of(record.body[name]))
        numbers[column] = np.nextafter(numbers[column], np.inf)
        return (edited(record, **{name: hex_of(numbers)}),)

    return change


def nudging_field(name: str, column: int) -> Callable[[Record], Sequence[Record]]:
    """Return the same for a field of a bar."""
    return scaling_field(name, column, 1.0 + 2.0**-52)


def scaling_field(name: str, column: int, factor: float) -> Callable[[Record], Sequence[Record]]:
    """Return a change of one number of a field of a bar."""

    def change(record: Record) -> Sequence[Record]:
        numbers = np.array(array_of(record.body["fields"][name]))
        numbers[column] *= factor
        return (edited(record, fields={**record.body["fields"], name: hex_of(numbers)}),)

    return change


def entry(name: str, column: int, value: Any) -> Callable[[Record], Sequence[Record]]:
    """Return a change of one entry of a list."""

    def change(record: Record) -> Sequence[Record]:
        entries = list(record.body[name])
        entries[column] = value
        return (edited(record, **{name: entries}),)

    return change


def costs(*, is_consistent: bool, **values: float) -> Callable[[Record], Sequence[Record]]:
    """Return a change of the terms of a session.

    Parameters
    ----------
    is_consistent
        Whether the name of the session is made anew as well.
    """

    def change(record: Record) -> Sequence[Record]:
        start = SessionStart.from_body(record.body)
        passport = replace(start.passport, costs={**start.passport.costs, **values})
        body = replace(start, passport=passport).to_body()
        if not is_consistent:
            body["instance"] = record.body["instance"]
        return (replace(record, body=body),)

    return change


def dropped(_record: Record) -> Sequence[Record]:
    """Leave the record out."""
    return ()


def doubled(record: Record) -> Sequence[Record]:
    """Let the record stand twice."""
    return (record, record)
