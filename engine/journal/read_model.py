"""What a session's journal says, as tables in SQLite: a fold that may be deleted at any time.

Whoever asks folds what is new and then reads; the session's own process never comes here. A model of another
version or of another journal, or a damaged one, is folded again from the beginning.
"""

import json
import math
import sqlite3
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from engine.domain.errors import InputError, JournalCode, JournalError
from engine.domain.reasons import Reason
from engine.journal.chain import CODES, Chain, judge
from engine.journal.frames import Frame
from engine.journal.kinds import Kind
from engine.journal.ledger import Account, Lot, Posting, book_cash, book_fill, book_start, exact
from engine.journal.storage import File, read_file

MODEL = "model.sqlite"
# Raised when a table changes, or when the same journal is folded into something else.
FOLD_VERSION = 1

PRICE_UNITS = 10**8
_BUSY_SECONDS = 10.0
_INTEGER_MAX = 2**63 - 1

Answer = TypeVar("Answer")


class OrderState(StrEnum):
    """Where an order stands. The last four are final; a part may have been filled before."""

    WORKING = "WORKING"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    DENIED = "DENIED"


class SessionState(StrEnum):
    """What the journal says of a session. Whether a process runs it is another question."""

    OPEN = "OPEN"
    INTERRUPTED = "INTERRUPTED"
    FINISHED = "FINISHED"


_DENIED = frozenset({Reason.NO_RANGE_DATA, Reason.BELOW_MINIMUM, Reason.SHORT_NOT_ALLOWED, Reason.NO_PRICE})
_CANCELED = frozenset(
    {
        Reason.REPLACED,
        Reason.FILL_OR_KILL,
        Reason.ONE_CANCELS_OTHER,
        Reason.POSITION_CLOSED,
        Reason.HALT_DRAWDOWN,
        Reason.DELISTED_EXIT,
        Reason.RUINED,
    }
)

# Columns without a type hold whole numbers of any size: as text where 64 bits are too few.
_TABLES = (
    "CREATE TABLE fold (offset INTEGER, next_sequence INTEGER, head BLOB)",
    """CREATE TABLE session (
        strategy_id TEXT, strategy TEXT, research_only INTEGER, synthetic INTEGER, data TEXT, timeframe TEXT,
        calendar TEXT, instance TEXT, lot_size TEXT, cash_e8, start_row INTEGER, rows INTEGER, passport TEXT,
        state TEXT, interrupted_row INTEGER, resumed INTEGER, started_ns INTEGER, last_ns INTEGER)""",
    "CREATE TABLE bars (row INTEGER PRIMARY KEY, opened_us INTEGER, day_end INTEGER)",
    """CREATE TABLE decisions (
        row INTEGER PRIMARY KEY, equity REAL, cash REAL, scale REAL, mode TEXT,
        targets TEXT, reasons TEXT, causes TEXT, lots TEXT)""",
    """CREATE TABLE orders (
        number INTEGER PRIMARY KEY, client_order_id TEXT, row INTEGER, instrument INTEGER, lots INTEGER,
        kind INTEGER, limit_e8, trigger_e8, time_in_force INTEGER, expires INTEGER, cause INTEGER,
        reason INTEGER, parent INTEGER, state TEXT, filled INTEGER, filled_value_e8, fees_e8,
        outcome INTEGER, closed_row INTEGER)""",
    "CREATE INDEX orders_by_state ON orders (state)",
    """CREATE TABLE fills (
        sequence INTEGER PRIMARY KEY, row INTEGER, number INTEGER, instrument INTEGER, lots INTEGER, price_e8,
        fee_e8, notional_e8, realized_e8, liquidity INTEGER, cause INTEGER, reason INTEGER)""",
    "CREATE TABLE lots (instrument INTEGER, sequence INTEGER, lots INTEGER, cost_e8)",
    """CREATE TABLE positions (
        instrument INTEGER PRIMARY KEY, symbol TEXT, quote TEXT, lots INTEGER, price_e8, realized_e8)""",
    "CREATE TABLE postings (sequence INTEGER, account TEXT, currency TEXT, amount)",
    "CREATE TABLE balances (account TEXT, currency TEXT, amount, PRIMARY KEY (account, currency))",
    """CREATE TABLE risk (
        row INTEGER, mode TEXT, scale REAL, equity REAL, peak REAL, drawdown REAL, drawdown_max REAL)""",
    """CREATE VIEW equity AS
        SELECT row, opened_us, equity, cash FROM decisions JOIN bars USING (row) ORDER BY row""",
)


def ask(folder: Path, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Fold what is new in a session's journal and answer a question from its tables, all of one moment.

    Where the folder cannot be written, the journal is folded in memory.

    Parameters
    ----------
    folder
        Of the session, which holds the journal.
    question
        Reads the tables. It may be asked again, of a new model, if this one turns out to be damaged.

    Raises
    ------
    InputError
        If there is no journal.
    JournalError
        If the journal cannot be trusted.
    """
    path = folder / MODEL
    try:
        return _answer(str(path), folder, question)
    except sqlite3.OperationalError:
        # Not ours to write, or held by somebody else for longer than a person waits.
        return _answer(":memory:", folder, question)
    except sqlite3.DatabaseError:
        path.unlink(missing_ok=True)
    return _answer(str(path), folder, question)


def number(stored: int | str) -> int:
    """Return a whole number as it was before it was stored."""
    return int(stored)


def closed_state(lots: int, filled: int, outcome: int) -> OrderState:
    """Return where an order ended.

    Parameters
    ----------
    lots
        As ordered; 0 closes whatever is held.
    outcome
        Code of a `Reason`.
    """
    if filled == lots != 0 or (lots == 0 and filled != 0):
        return OrderState.FILLED
    if outcome in _DENIED:
        return OrderState.DENIED
    return OrderState.CANCELED if outcome in _CANCELED else OrderState.EXPIRED


# ------------------------------------------------------------------------------------------ up to date


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """How far a journal is folded: the end of a batch, the record after it, the hash of its frame."""

    offset: int
    next_sequence: int
    head: bytes


def _answer(name: str, folder: Path, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
    connection = sqlite3.connect(name, timeout=_BUSY_SECONDS, isolation_level=None)
    # Closing it ends a transaction without a trace.
    with closing(connection):
        if _news(folder, _known(connection)) is not None:
            connection.execute("BEGIN IMMEDIATE")
            # Asked again: another reader may have folded it while this one waited for the lock.
            news = _news(folder, _known(connection))
            if news is not None:
                _fold(connection, news)
            connection.execute("COMMIT")
        connection.execute("BEGIN")
        return question(connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """Whole batches that are not folded yet.

    Attributes
    ----------
    is_all
        They are the whole journal: what is in the model is not of it.
    """

    frames: Sequence[Frame]
    is_all: bool


def _known(connection: sqlite3.Connection) -> _Known | None:
    """Return how far the model goes; None where it holds nothing of use."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != FOLD_VERSION:
        return None
    offset, next_sequence, head = connection.execute("SELECT * FROM fold").fetchone()
    return _Known(offset=offset, next_sequence=next_sequence, head=head)


def _news(folder: Path, known: _Known | None) -> _News | None:
    """Return what has to be folded; None where the model is up to date."""
    if known is not None:
        chain = _chain(folder, known.offset)
        if chain.status.usable and _continues(chain, known, folder):
            return _News(frames=chain.frames, is_all=False) if chain.frames else None
    chain = _chain(folder, 0)
    if not chain.status.usable:
        raise JournalError(CODES[chain.status], f"{folder}: {chain.problem}")
    return _News(frames=chain.frames, is_all=True)


def _chain(folder: Path, start: int) -> Chain:
    # The anchor first: a log that is read later is never shorter than it says.
    anchor = read_file(folder, File.ANCHOR)
    log = read_file(folder, File.LOG, start=start)
    if anchor is None and log is None:
        raise InputError(f"{folder} holds no journal")
    return judge(log or b"", anchor, start=start)


def _continues(chain: Chain, known: _Known, folder: Path) -> bool:
    """Return whether what follows the model's last batch follows it in the journal too.

    A batch that was read while it was written can be gone after a power cut, with another in its place.
    """
    if chain.frames:
        first = chain.frames[0]
        return (first.previous, first.first_sequence) == (known.head, known.next_sequence)
    log = folder / File.LOG.value
    if not log.exists() or log.stat().st_size < known.offset:
        return False
    anchor = chain.anchor
    return anchor is not None and (anchor.end != known.offset or anchor.head == known.head)


# ----------------------------------------------------------------------------------------------- fold


def _fold(connection: sqlite3.Connection, news: _News) -> None:
    # orjson takes longer to import than all the rest takes to run.
    from engine.journal.canonical import decode

    if news.is_all:
        _begin(connection)
    fold = _Fold(connection)
    for frame in news.frames:
        records = [
            (Kind(kind), frame.first_sequence + place, body)
            for place, (kind, body) in enumerate(frame.records)
        ]
        # An order that fills in its first bar may stand behind its fill; kinds are in the order of causes.
        for kind, sequence, body in sorted(records, key=lambda record: record[0]):
            fold.take(kind, decode(body), sequence, frame.time_ns)
    fold.finish()
    if news.frames:
        last = news.frames[-1]
        connection.execute(
            "UPDATE fold SET offset = ?, next_sequence = ?, head = ?",
            (last.end, last.first_sequence + len(last.records), last.hash),
        )


def _begin(connection: sqlite3.Connection) -> None:
    """Leave nothing of another journal or version."""
    made = connection.execute("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')")
    for kind, name in made.fetchall():
        connection.execute(f'DROP {kind} "{name}"')
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO fold VALUES (0, 0, x'')")
    connection.execute(f"PRAGMA user_version = {FOLD_VERSION}")


class _Fold:
    """Folds one record after the other into the tables."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._run_many = connection.executemany
        self._symbols: list[str] = []
        self._quotes: list[str] = []
        self._lot_size = Fraction(1)
        self._closes: dict[int, float] = {}
        self._last_ns = 0
        self._balances: dict[tuple[str, str], int] = {}
        self._open_lots: dict[int, tuple[Lot, ...]] = {}
        self._load()

    def take(self, kind: Kind, body: Mapping[str, Any], sequence: int, time_ns: int) -> None:
        """Fold one record."""
        self._last_ns = time_ns
        match kind:
            case Kind.SESSION_STARTED:
                self._started(body, sequence, time_ns)
            case Kind.BAR:
                self._bar(body)
            case Kind.DECISION:
                self._decision(body)
            case Kind.ORDER:
                self._order(body)
            case Kind.FILL:
                self._fill(body, sequence)
            case Kind.ORDER_CLOSED:
                self._closed(body)
            case Kind.CASH:
                currency = self._quotes[max(body["instrument"] or 0, 0)]
                self._book(sequence, book_cash(int(body["amount_e8"]), currency, Account(body["what"])))
            case Kind.SESSION_FINISHED:
                self._run("UPDATE session SET state = ?", (SessionState.FINISHED,))
            case Kind.SESSION_RESUMED:
                self._run(
                    "UPDATE session SET resumed = resumed + 1, state = ?, interrupted_row = NULL "
                    "WHERE state != ?",
                    (SessionState.OPEN, SessionState.FINISHED),
                )
            case Kind.SESSION_INTERRUPTED:
                self._run(
                    "UPDATE session SET state = ?, interrupted_row = ?",
                    (SessionState.INTERRUPTED, body["row"]),
                )
            case Kind.WEIGHTS | Kind.PROMOTED | Kind.SCAN_STARTED | Kind.SCAN_FINISHED | Kind.TAIL_TRUNCATED:
                # No figure of an account.
                pass

    def finish(self) -> None:
        """Write down what only the last record decides."""
        if self._last_ns:
            self._run("UPDATE session SET last_ns = ?", (self._last_ns,))
        prices = [(_stored(price_e8(close)), column) for column, close in self._closes.items()]
        self._run_many("UPDATE positions SET price_e8 = ? WHERE instrument = ?", prices)
        balances = [(*key, _stored(amount)) for key, amount in self._balances.items()]
        self._run_many("INSERT OR REPLACE INTO balances VALUES (?, ?, ?)", balances)
        self._run("DELETE FROM lots")
        lots = [(column, lot) for column, open_lots in self._open_lots.items() for lot in open_lots]
        self._run_many(
            "INSERT INTO lots VALUES (?, ?, ?, ?)",
            [(column, lot.number, lot.lots, _stored(lot.cost_e8)) for column, lot in lots],
        )

    def _load(self) -> None:
        found = self._run("SELECT lot_size FROM session").fetchone()
        if found is not None:
            self._lot_size = Fraction(found[0])
            rows = self._run("SELECT symbol, quote FROM positions ORDER BY instrument").fetchall()
            self._symbols, self._quotes = [row[0] for row in rows], [row[1] for row in rows]
        for account, currency, amount in self._run("SELECT account, currency, amount FROM balances"):
            self._balances[account, currency] = number(amount)
        for column, first, lots, cost in self._run("SELECT * FROM lots ORDER BY instrument, sequence"):
            lot = Lot(number=first, lots=lots, cost_e8=number(cost))
            self._open_lots[column] = (*self._open_lots.get(column, ()), lot)

    def _started(self, body: Mapping[str, Any], sequence: int, time_ns: int) -> None:
        passport, data = body["passport"], body["data"]
        self._lot_size = exact(_setting(passport["rules"]["lot_size"]))
        self._symbols = [instrument["symbol"] for instrument in data["instruments"]]
        self._quotes = [instrument["quote"] for instrument in data["instruments"]]
        cash_e8 = round(exact(_setting(passport["cash"])) * PRICE_UNITS)
        self._insert(
            "session",
            strategy_id=passport["strategy_id"],
            strategy=passport["strategy"],
            research_only=passport["research_only"],
            synthetic=data["synthetic"],
            data=data["name"],
            timeframe=data["timeframe"],
            calendar=data["calendar"],
            instance=body["instance"],
            lot_size=str(self._lot_size),
            cash_e8=_stored(cash_e8),
            start_row=body["start_row"],
            rows=body["rows"],
            passport=json.dumps(passport, sort_keys=True),
            state=SessionState.OPEN,
            interrupted_row=None,
            resumed=0,
            started_ns=time_ns,
            last_ns=time_ns,
        )
        self._run_many(
            "INSERT INTO positions VALUES (?, ?, ?, 0, NULL, 0)",
            [(column, symbol, self._quotes[column]) for column, symbol in enumerate(self._symbols)],
        )
        self._book(sequence, book_start(cash_e8, self._quotes[0]))
        cash = cash_e8 / PRICE_UNITS
        self._insert(
            "risk", row=None, mode="", scale=1.0, equity=cash, peak=cash, drawdown=0.0, drawdown_max=0.0
        )

    def _bar(self, body: Mapping[str, Any]) -> None:
        self._insert("bars", row=body["row"], opened_us=body["opened_us"], day_end=body["day_end"])
        for column, close in enumerate(_floats(body["fields"]["close"])):
            # What did not trade keeps its last close.
            if math.isfinite(close):
                self._closes[column] = close

    def _decision(self, body: Mapping[str, Any]) -> None:
        ((cash,), (equity,), (scale,)) = (_floats(body[name]) for name in ("cash", "equity", "scale"))
        lists = {name: json.dumps(body[name]) for name in ("targets", "reasons", "causes", "lots")}
        self._insert(
            "decisions", row=body["row"], equity=equity, cash=cash, scale=scale, mode=body["mode"], **lists
        )
        self._run(
            "UPDATE risk SET row = ?, mode = ?, scale = ?, equity = ?, peak = max(peak, ?)",
            (body["row"], body["mode"], scale, equity, equity),
        )
        self._run("UPDATE risk SET drawdown = 1 - equity / peak")
        self._run("UPDATE risk SET drawdown_max = max(drawdown_max, drawdown)")

    def _order(self, body: Mapping[str, Any]) -> None:
        names = ("client_order_id", "row", "instrument", "kind", "time_in_force", "expires")
        self._insert(
            "orders",
            number=body["order"],
            lots=int(body["lots"]),
            limit_e8=_price(body["limit_e8"]),
            trigger_e8=_price(body["trigger_e8"]),
            cause=body["cause"],
            reason=body["reason"],
            parent=body["parent"],
            state=OrderState.WORKING,
            filled=0,
            filled_value_e8=0,
            fees_e8=0,
            **{name: body[name] for name in names},
        )

    def _fill(self, body: Mapping[str, Any], sequence: int) -> None:
        column, lots = body["instrument"], int(body["lots"])
        price, fee = int(body["price_e8"]), int(body["fee_e8"])
        booking = book_fill(
            number=sequence,
            lots=lots,
            price_e8=price,
            fee_e8=fee,
            lot_size=self._lot_size,
            symbol=self._symbols[column],
            quote=self._quotes[column],
            open_lots=self._open_lots.get(column, ()),
        )
        self._book(sequence, booking.postings)
        self._open_lots[column] = booking.open_lots
        (realized,) = self._run(
            "SELECT realized_e8 FROM positions WHERE instrument = ?", (column,)
        ).fetchone()
        self._run(
            "UPDATE positions SET lots = lots + ?, realized_e8 = ? WHERE instrument = ?",
            (lots, _stored(number(realized) + booking.realized_e8), column),
        )
        self._insert(
            "fills",
            sequence=sequence,
            row=body["row"],
            number=body["order"],
            instrument=column,
            lots=lots,
            price_e8=_stored(price),
            fee_e8=_stored(fee),
            notional_e8=_stored(booking.notional_e8),
            realized_e8=_stored(booking.realized_e8),
            liquidity=body["liquidity"],
            cause=body["cause"],
            reason=body["reason"],
        )
        if body["order"] is not None:
            self._fill_order(body["order"], lots, price, fee)

    def _fill_order(self, order: int, lots: int, price: int, fee: int) -> None:
        ordered, filled, value, fees, state = self._of_order(
            order, "lots, filled, filled_value_e8, fees_e8, state"
        )
        filled += lots
        if filled == ordered:
            state = OrderState.FILLED
        elif state == OrderState.WORKING:
            state = OrderState.PARTIAL
        self._run(
            "UPDATE orders SET filled = ?, filled_value_e8 = ?, fees_e8 = ?, state = ? WHERE number = ?",
            (filled, _stored(number(value) + lots * price), _stored(number(fees) + fee), state, order),
        )

    def _closed(self, body: Mapping[str, Any]) -> None:
        (lots,) = self._of_order(body["order"], "lots")
        state = closed_state(lots, int(body["filled"]), body["outcome"])
        self._run(
            "UPDATE orders SET state = ?, outcome = ?, closed_row = ? WHERE number = ?",
            (state, body["outcome"], body["row"], body["order"]),
        )

    def _of_order(self, order: int, columns: str) -> tuple[Any, ...]:
        found = self._run(f"SELECT {columns} FROM orders WHERE number = ?", (order,)).fetchone()
        if found is None:
            raise JournalError(
                JournalCode.LEDGER_CORRUPT, f"order {order} was filled or closed, and never recorded"
            )
        row: tuple[Any, ...] = found
        return row

    def _book(self, sequence: int, postings: Sequence[Posting]) -> None:
        for line in postings:
            key = (line.account.value, line.currency)
            self._balances[key] = self._balances.get(key, 0) + line.amount
        self._run_many(
            "INSERT INTO postings VALUES (?, ?, ?, ?)",
            [(sequence, line.account, line.currency, _stored(line.amount)) for line in postings],
        )

    def _insert(self, table: str, **values: Any) -> None:
        places = ", ".join(f":{name}" for name in values)
        self._run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", values)


def price_e8(price: float) -> int:
    """Return a price in 1e-8 quote units, half to even."""
    return round(Fraction(price) * PRICE_UNITS)


def _stored(value: int) -> int | str:
    return value if -_INTEGER_MAX <= value <= _INTEGER_MAX else str(value)


def _price(value: int | str | None) -> int | str | None:
    """Return a limit or trigger; 0 says that there is none."""
    return None if value is None or int(value) == 0 else _stored(int(value))


def _setting(value: int | str) -> float:
    """Return a number of a passport, where floats are hexadecimal text."""
    return float.fromhex(value) if isinstance(value, str) else float(value)


def _floats(text: str) -> tuple[float, ...]:
    # numpy takes ten times as long to import as a session takes to read.
    data = bytes.fromhex(text)
    return struct.unpack(f"<{len(data) // 8}d", data)
