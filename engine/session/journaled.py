"""What the journal of a session says, as arrays: one side of every comparison.

Facts are read as integers and floats as their bits. Nothing is mended: a record that is missing leaves its
row marked as such, and one that stands in the wrong place is named.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.core.records import ACCRUAL_FIELDS, ACCRUAL_NAMES, CLOSE_FIELDS, FILL_FIELDS, NO_TARGET
from engine.domain.errors import InvalidValueError, JournalCode, JournalError
from engine.domain.panel import FloatArray, IntArray
from engine.journal.canonical import array_of
from engine.journal.kinds import FACTS, Kind
from engine.journal.reading import Record, read
from engine.session.start import NANOSECONDS, SessionStart

BoolArray = npt.NDArray[np.bool_]

# An order as the journal tells it; what became of it stands in records of its own.
ORDER_FACTS = (
    "row", "order", "instrument", "lots", "kind", "limit_e8", "trigger_e8", "time_in_force", "expires",
    "cause", "reason", "parent",
)  # fmt: skip
# What a bar brings, causes first.
_RANKS = {
    kind: rank
    for rank, kind in enumerate(
        (Kind.BAR, Kind.WEIGHTS, Kind.FILL, Kind.ORDER_CLOSED, Kind.CASH, Kind.DECISION, Kind.ORDER)
    )
}
_ONCE = (Kind.WEIGHTS, Kind.DECISION)
_ENDS = (Kind.SESSION_STARTED, Kind.SESSION_FINISHED, Kind.PROMOTED)


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """The bars of rows 0 to T - 1.

    Attributes
    ----------
    present
        Shape (T,): whether the journal has the bar.
    opened_at
        Shape (T,), UTC nanoseconds.
    day_ends
        Shape (T,).
    fields
        By name, shape (T, N), or (T, 1) for one number a bar.
    """

    present: BoolArray
    opened_at: IntArray
    day_ends: BoolArray
    fields: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.present)


@dataclass(frozen=True, kw_only=True, eq=False)
class Decisions:
    """The decisions of rows `start_row` to T - 1, one a row, D in all.

    Attributes
    ----------
    present
        Shape (D,): whether the journal has the decision.
    signals
        Shape (D, N).
    targets, reasons, causes, lots
        Shape (D, N); targets in lots, `NO_TARGET` where nothing was decided; lots held after the bar.
    cash, equity, scale
        Shape (D,).
    """

    present: BoolArray
    signals: FloatArray
    targets: IntArray
    reasons: IntArray
    causes: IntArray
    lots: IntArray
    cash: FloatArray
    equity: FloatArray
    scale: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """Base weights that came into force.

    Attributes
    ----------
    rows, windows
        Shape (R,).
    weights
        Shape (R, N), shares of equity.
    units
        Shape (R, N), the same in units of 1e-4; -1 where none are written.
    """

    rows: IntArray
    windows: IntArray
    weights: FloatArray
    units: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there is to compare in a session."""

    bars: int = 0
    decisions: int = 0
    intents: int = 0
    orders: int = 0
    fills: int = 0
    order_ends: int = 0
    cash_movements: int = 0
    base_weights: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Misplaced:
    """A record that does not stand where it belongs, or stands there a second time.

    Attributes
    ----------
    at_row
        Row among whose records it stands.
    row
        Row that it says; None for a record of no bar.
    """

    sequence: int
    kind: Kind
    at_row: int
    row: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Journaled:
    """One session, as its journal tells it.

    Attributes
    ----------
    start, instance
        What the session was told, and the name of that as it was written down (`SessionStart.instance` is
        what it should be).
    orders
        Shape (O, 12), columns as `ORDER_FACTS`; -1 for none.
    client_order_ids
        One an order.
    fills, closes, accruals
        Shapes (F, 9), (C, 4), (A, 4), columns as `engine.core.records` names them.
    finished
        Body of SESSION_FINISHED; None while there is none.
    misplaced
        The first record out of its place.
    cut_rows
        Last row before each place where a batch that was never finished was cut off.
    """

    start: SessionStart
    instance: str
    bars: Bars
    weights: Weights
    decisions: Decisions
    orders: IntArray
    client_order_ids: tuple[str, ...]
    fills: IntArray
    closes: IntArray
    accruals: IntArray
    finished: Mapping[str, Any] | None
    misplaced: Misplaced | None
    cut_rows: tuple[int, ...]

    @property
    def counts(self) -> Counts:
        """How much of everything there is."""
        return Counts(
            bars=int(self.bars.present.sum()),
            decisions=int(self.decisions.present.sum()),
            intents=count_intents(self.decisions.targets, self.decisions.lots),
            orders=len(self.orders),
            fills=len(self.fills),
            order_ends=len(self.closes),
            cash_movements=len(self.accruals),
            base_weights=len(self.weights.rows),
        )


def iso(time_ns: int) -> str:
    """Return a time, UTC nanoseconds, as ISO-8601 in UTC."""
    return str(np.datetime_as_string(np.datetime64(time_ns, "ns"), unit="s", timezone="UTC"))


def count_intents(targets: IntArray, lots: IntArray) -> int:
    """Return how many targets, shape (D, N), are decided and not what is held."""
    return int(np.count_nonzero((targets != NO_TARGET) & (targets != lots)))


def read_session(folder: Path) -> Journaled:
    """Read the journal of a session.

    Raises
    ------
    InputError
        If there is no journal.
    JournalError
        If the journal is damaged, or says what no session says.
    """
    return session_of(read(folder))


def session_of(records: Iterable[Record]) -> Journaled:
    """Return what the records of a session say; parameters and errors as `read_session`."""
    records = list(records)
    facts = [record for record in records if record.kind in FACTS]
    if not facts or facts[0].kind is not Kind.SESSION_STARTED:
        what = "nothing" if not facts else facts[0].kind.name
        raise JournalError(
            JournalCode.LEDGER_CORRUPT, f"a session begins with SESSION_STARTED, this journal with {what}"
        )
    with _Reading(facts[0]):
        # What was tampered with is not refused here: that is a finding.
        start = SessionStart.as_told(facts[0].body)
        instance = str(facts[0].body["instance"])
    by_kind: dict[Kind, list[Record]] = {kind: [] for kind in Kind}
    for record in facts:
        by_kind[record.kind].append(record)
    finished = by_kind[Kind.SESSION_FINISHED]
    orders = by_kind[Kind.ORDER]
    bars = _bars(by_kind[Kind.BAR], len(start.data.instruments))
    return Journaled(
        start=start,
        instance=instance,
        bars=bars,
        weights=_weights(by_kind[Kind.WEIGHTS], len(start.data.instruments)),
        decisions=_decisions(by_kind[Kind.DECISION], start, len(bars)),
        orders=_table(orders, ORDER_FACTS),
        client_order_ids=tuple(str(record.body.get("client_order_id")) for record in orders),
        fills=_table(by_kind[Kind.FILL], FILL_FIELDS),
        closes=_table(by_kind[Kind.ORDER_CLOSED], CLOSE_FIELDS),
        accruals=_table(by_kind[Kind.CASH], ACCRUAL_FIELDS),
        finished=finished[-1].body if finished else None,
        misplaced=_misplaced(facts),
        cut_rows=tuple(_cut_rows(records)),
    )


class _Reading:
    """Turns whatever goes wrong while a record is read into one error that names the record."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | OverflowError | AttributeError):
            record = self._record
            raise JournalError(
                JournalCode.LEDGER_CORRUPT,
                f"record {record.sequence} ({record.kind.name}) says what no session says: "
                f"{type(error).__name__}: {error}",
            ) from error


def _bars(records: Sequence[Record], count: int) -> Bars:
    rows = _rows(records)
    total = max(rows, default=-1) + 1
    present = np.zeros(total, dtype=np.bool_)
    opened_at = np.zeros(total, dtype=np.int64)
    day_ends = np.zeros(total, dtype=np.bool_)
    names = sorted({name for record in records for name in record.body["fields"]})
    fields: dict[str, FloatArray] = {}
    for name in names:
        values = _numbers(records, lambda body, name=name: body["fields"][name], {1, count})
        fields[name] = np.full((total, values.shape[1]), np.nan)
        # The first of two bars of one row counts, as it did for the session.
        fields[name][rows[::-1]] = values[::-1]
    for record, row in zip(reversed(records), reversed(rows), strict=True):
        with _Reading(record):
            present[row] = True
            opened_at[row] = int(record.body["opened_us"]) * NANOSECONDS
            day_ends[row] = record.body["day_end"]
    return Bars(present=present, opened_at=opened_at, day_ends=day_ends, fields=fields)


def _decisions(records: Sequence[Record], start: SessionStart, bars: int) -> Decisions:
    count = len(start.data.instruments)
    days = max(bars - start.start_row, 0)
    inside = [record for record in records if 0 <= _row(record) - start.start_row < days]
    places = [_row(record) - start.start_row for record in inside][::-1]
    present = np.zeros(days, dtype=np.bool_)
    present[places] = True

    def numbers(name: str, width: int) -> FloatArray:
        found = np.full((days, width), np.nan)
        found[places] = _numbers(inside, lambda body: body[name], {width})[::-1]
        return found

    def whole(name: str) -> IntArray:
        found = np.zeros((days, count), dtype=np.int64)
        for record, place in zip(reversed(inside), places, strict=True):
            with _Reading(record):
                found[place] = _row_of([NO_TARGET if v is None else v for v in record.body[name]], count)
        return found

    return Decisions(
        present=present,
        signals=numbers("signals", count),
        targets=whole("targets"),
        reasons=whole("reasons"),
        causes=whole("causes"),
        lots=whole("lots"),
        cash=numbers("cash", 1)[:, 0],
        equity=numbers("equity", 1)[:, 0],
        scale=numbers("scale", 1)[:, 0],
    )


def _weights(records: Sequence[Record], count: int) -> Weights:
    windows = np.zeros(len(records), dtype=np.int64)
    units = np.full((len(records), count), -1, dtype=np.int64)
    for place, record in enumerate(records):
        with _Reading(record):
            windows[place] = record.body["window"]
            if record.body["units"] is not None:
                units[place] = _row_of(record.body["units"], count)
    return Weights(
        rows=np.array(_rows(records), dtype=np.int64),
        windows=windows,
        weights=_numbers(records, lambda body: body["weights"], {count}),
        units=units,
    )


def _table(records: Sequence[Record], columns: Sequence[str]) -> IntArray:
    table = np.zeros((len(records), len(columns)), dtype=np.int64)
    for place, record in enumerate(records):
        with _Reading(record):
            table[place] = [_whole(name, record.body[name]) for name in columns]
    return table


def _row_of(values: Sequence[int], count: int) -> Sequence[int]:
    if len(values) != count:
        raise InvalidValueError(f"{len(values)} entries where {count} are expected")
    return values


def _whole(name: str, value: Any) -> int:
    """Return a whole number of a body: a large one is text, none is -1, a movement of cash is its code."""
    if name == "what":
        return ACCRUAL_NAMES.index(value)
    return -1 if value is None else int(value)


def _numbers(records: Sequence[Record], find: Any, widths: set[int]) -> FloatArray:
    """Return float64 numbers of all records, shape (records, width)."""
    texts = []
    digits = {16 * width for width in widths}
    for record in records:
        with _Reading(record):
            text = find(record.body)
            if len(text) not in digits:
                raise InvalidValueError(f"{len(text) // 16} numbers where {sorted(widths)} are expected")
        texts.append(text)
    if len({len(text) for text in texts}) > 1:
        # The wider spelling says the same of each instrument.
        widest = max(map(len, texts))
        texts = [text * (widest // len(text)) for text in texts]
    if not texts:
        return np.zeros((0, max(widths)))
    try:
        return array_of("".join(texts)).reshape(len(texts), -1)
    except InvalidValueError:
        for record in records:
            with _Reading(record):
                array_of(find(record.body))
        raise


def _rows(records: Sequence[Record]) -> list[int]:
    return [_row(record) for record in records]


def _row(record: Record) -> int:
    with _Reading(record):
        row = record.body["row"]
        if type(row) is not int or row < 0:
            raise InvalidValueError(f"row must be a whole number from 0 on, was {row!r}")
    return int(row)


def _misplaced(facts: Sequence[Record]) -> Misplaced | None:
    """Return the first record that does not stand in its place: within its bar, in the order of causes."""
    there = {_row(record) for record in facts if record.kind is Kind.BAR}
    current = -1
    rank = 0
    for place, record in enumerate(facts):
        if record.kind in _ENDS:
            if record.kind is not (Kind.SESSION_STARTED if place == 0 else Kind.SESSION_FINISHED) or (
                place not in (0, len(facts) - 1)
            ):
                return Misplaced(sequence=record.sequence, kind=record.kind, at_row=max(current, 0), row=None)
            continue
        row = _row(record)
        expected = current
        if record.kind is Kind.BAR:
            expected = current + 1
            # A bar that is nowhere is missing; what comes after it is not out of place for that.
            while expected < row and expected not in there:
                expected += 1
        # A bar that stands twice is named by itself, any other by the place that it took.
        at_row = expected if record.kind is Kind.BAR and row != current else max(current, 0)
        is_lost = row > current and row not in there
        if row != expected and not is_lost:
            return Misplaced(sequence=record.sequence, kind=record.kind, at_row=at_row, row=row)
        before, rank = rank, _RANKS.get(record.kind, len(_RANKS))
        if record.kind is Kind.BAR:
            current = row
        elif not is_lost and (rank < before or (rank == before and record.kind in _ONCE)):
            return Misplaced(sequence=record.sequence, kind=record.kind, at_row=at_row, row=row)
    return None


def _cut_rows(records: Sequence[Record]) -> Iterator[int]:
    row = -1
    for record in records:
        if record.kind is Kind.BAR:
            row = _row(record)
        elif record.kind is Kind.TAIL_TRUNCATED:
            yield row
