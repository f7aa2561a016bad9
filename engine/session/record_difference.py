"""Which records of a journal are not those that come out of its bars again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.domain.errors import InvalidValueError
from engine.journal.canonical import array_of
from engine.journal.kinds import Kind
from engine.journal.reading import Record
from engine.session.difference import Value
from engine.session.journaled import Journaled, iso
from engine.session.records import Entry

# Bodies hold these as hexadecimal text of 16 digits a number.
_NUMBERS = frozenset({"signals", "cash", "equity", "scale", "weights"})
# What other values of the same record follow from.
_CAUSES_FIRST = ("signals", "weights", "lots", "cash", "equity", "scale")


class DifferenceKind(StrEnum):
    """How a record differs. `MISSING`: it comes out and is not in the journal; `EXTRA`: the other way."""

    MISSING = "missing"
    EXTRA = "extra"
    FIELD_MISMATCH = "field_mismatch"
    OUT_OF_ORDER = "out_of_order"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDifference:
    """One record that is not what comes out again.

    Attributes
    ----------
    record
        Name of its kind.
    sequence
        Of the record in the journal; None where there is none.
    row, opened, closed
        Of its bar; None for a record of no bar.
    field
        The first that differs, such as `lots`.
    """

    difference: DifferenceKind
    record: str
    sequence: int | None
    row: int | None
    opened: str | None
    closed: str | None
    instrument: str | None = None
    order: int | None = None
    field: str = ""
    journal: Value = None
    replay: Value = None


_Key = tuple[int | str | None, ...]


def _key(kind: Kind, body: Mapping[str, Any], seen: Counter[_Key]) -> _Key:
    """Return what says which record it is; the second of two equal ones is another."""
    names: tuple[str, ...] = ("row",)
    match kind:
        case Kind.ORDER | Kind.ORDER_CLOSED:
            names = ("order",)
        case Kind.FILL:
            names = ("row", "order", "instrument")
        case Kind.CASH:
            names = ("row", "instrument", "what")
        case Kind.SESSION_STARTED | Kind.SESSION_FINISHED:
            names = ()
        case _:
            pass
    key = (int(kind), *(body.get(name) for name in names))
    seen[key] += 1
    return (*key, seen[key])


def record_differences(
    facts: Sequence[Record], entries: Sequence[Entry], journaled: Journaled
) -> list[RecordDifference]:
    """Return every record that differs, in the order of time."""
    seen: Counter[_Key] = Counter()
    ours = {_key(record.kind, record.body, seen): record for record in facts}
    seen = Counter()
    theirs = {_key(kind, body, seen): (kind, body) for kind, body in entries}
    found = []
    for key, (kind, body) in theirs.items():
        if key not in ours:
            found.append(_told(DifferenceKind.MISSING, kind, body, None, journaled))
        elif ours[key].body != body:
            field, journal, replay, column = _first_field(ours[key].body, body)
            told = DifferenceKind.FIELD_MISMATCH
            found.append(
                _told(told, kind, body, ours[key].sequence, journaled, field, journal, replay, column)
            )
    found += [
        _told(DifferenceKind.EXTRA, record.kind, record.body, record.sequence, journaled)
        for key, record in ours.items()
        if key not in theirs
    ]
    if not found:
        for record, key in zip(facts, theirs, strict=True):
            if ours[key] is not record:
                found.append(
                    _told(DifferenceKind.OUT_OF_ORDER, record.kind, record.body, record.sequence, journaled)
                )
                break
    ranks = {kind.name: rank for rank, kind in enumerate(Kind)}
    return sorted(found, key=lambda item: (-1 if item.row is None else item.row, ranks[item.record]))


def _told(
    difference: DifferenceKind,
    kind: Kind,
    body: Mapping[str, Any],
    sequence: int | None,
    journaled: Journaled,
    field: str = "",
    journal: Value = None,
    replay: Value = None,
    column: int | None = None,
) -> RecordDifference:
    row = body.get("row")
    if kind is Kind.SESSION_FINISHED:
        row = len(journaled.bars) - 1
    opened = closed = None
    if row is not None and 0 <= row < len(journaled.bars) and journaled.bars.present[row]:
        start = int(journaled.bars.opened_at[row])
        opened, closed = iso(start), iso(start + journaled.start.data.timeframe.nanoseconds)
    instruments = journaled.start.data.instruments
    place = body.get("instrument", column)
    return RecordDifference(
        difference=difference,
        record=kind.name,
        sequence=sequence,
        row=row,
        opened=opened,
        closed=closed,
        instrument=None if place is None or not 0 <= place < len(instruments) else instruments[place].symbol,
        order=body.get("order"),
        field=field,
        journal=journal,
        replay=replay,
    )


def _first_field(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str = ""
) -> tuple[str, Value, Value, int | None]:
    """Return the first value of two bodies that differs: its name, both values, and its place in a row."""
    for name in (*_CAUSES_FIRST, *sorted((ours.keys() | theirs.keys()) - set(_CAUSES_FIRST))):
        journal, replay = ours.get(name), theirs.get(name)
        if journal == replay:
            continue
        field = f"{path}{name}"
        if isinstance(journal, Mapping) and isinstance(replay, Mapping):
            return _first_field(journal, replay, f"{field}.")
        is_hex = name in _NUMBERS or path == "fields."
        left, right = _entries(journal, is_hex=is_hex), _entries(replay, is_hex=is_hex)
        if left is None or right is None or len(left) != len(right):
            return field, _plain(journal), _plain(replay), None
        place = next(place for place in range(len(left)) if repr(left[place]) != repr(right[place]))
        column = place if len(left) > 1 else None
        return field, _plain(left[place]), _plain(right[place]), column
    return path, None, None, None


def _entries(value: Any, *, is_hex: bool) -> list[Any] | None:
    """Return the entries of a list, or the numbers that stand as text; None for anything else."""
    if isinstance(value, list | tuple):
        return list(value)
    if is_hex and isinstance(value, str):
        try:
            return list(array_of(value).tolist())
        except InvalidValueError:
            return None
    return None


def _plain(value: Any) -> Value:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    return value if value is None or isinstance(value, int | str) else str(value)
