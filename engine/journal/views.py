"""What a person asks of a session, read from its model: where it stands, what it holds, what it ordered.

Prices and quantities leave as decimal text made of whole numbers: nothing is rounded on the way to a screen.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from engine.domain.orders import OrderKind, TimeInForce
from engine.domain.reasons import CAUSES, SENTENCES, Cause, Reason
from engine.domain.time import Timeframe
from engine.journal.ledger import Account
from engine.journal.read_model import OrderState, SessionState, number

OPEN_STATES = (OrderState.WORKING, OrderState.PARTIAL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PRICE_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BarTimes:
    """A bar by its number and its time, which is said with open and close (UTC)."""

    row: int
    opened: str
    closed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionView:
    """What is held of one instrument.

    Attributes
    ----------
    quantity
        In units, signed.
    average_cost, price
        A unit, in quote currency; the price is the last close, None before the first.
    value, realized
        In quote currency. Profit of what was closed, fees not counted.
    """

    symbol: str
    quantity: str
    average_cost: str
    price: str | None
    value: str
    realized: str
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FillView:
    """One execution."""

    bar: BarTimes
    symbol: str
    side: str
    quantity: str
    price: str
    fee: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """One order and what became of it.

    Attributes
    ----------
    decided
        The bar at whose close it was decided.
    side
        BUY, SELL, or CLOSE for a protective order, which closes whatever is held.
    quantity
        In units, at least 0; None for CLOSE.
    limit, trigger, average_price
        A unit, in quote currency; None where there is none.
    expires, closed
        Last bar on which it may fill, and the bar on which it ended.
    why
        In words: how it ended, or else what it was decided with.
    """

    order: int
    client_order_id: str
    decided: BarTimes
    symbol: str
    side: str
    kind: str
    quantity: str | None
    limit: str | None
    trigger: str | None
    time_in_force: str
    expires: int | None
    parent: int | None
    state: str
    filled: str
    average_price: str | None
    fees: str
    cause: str
    reason: str
    outcome: str | None
    why: str
    closed: BarTimes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """Where a session stands.

    Attributes
    ----------
    asked
        What it was begun with: an id, or the bare name of a strategy that nothing promoted.
    rows, next_row
        Bars that it was given, None where nobody knows how many will come, and how many of them are decided
        or passed, both from the origin on.
    started, written
        When the journal began, and its last batch (UTC).
    equity, drawdown, drawdown_max, exposure, since_start
        Equity in quote currency, the others as shares: below the peak, of positions, of the start cash.
    cash
        By currency, exact.
    scale
        What drawdown tiers multiply targets with.
    mode
        What the policy allows; empty before the first decision.
    why
        What the last decision said, in words.
    """

    strategy_id: str
    strategy: str
    asked: str
    research_only: bool
    synthetic: bool
    data: str
    timeframe: str
    instance: str
    state: SessionState
    interrupted_row: int | None
    resumed: int
    start_row: int
    next_row: int
    rows: int | None
    started: str
    written: str
    quote: str
    start_cash: str
    cash: dict[str, str]
    fees: dict[str, str]
    equity: float
    since_start: float
    drawdown: float
    drawdown_max: float
    exposure: float
    scale: float
    mode: str
    why: str
    positions: tuple[PositionView, ...]
    decisions: int
    orders: int
    open_orders: int
    fills: int
    last_decision: BarTimes | None
    last_fill: FillView | None


def session_view(model: sqlite3.Connection) -> SessionView | None:
    """Return where a session stands; None where nothing was recorded yet."""
    model.row_factory = sqlite3.Row
    session = model.execute("SELECT * FROM session").fetchone()
    if session is None:
        return None
    clock = _Bars(model, session["timeframe"])
    lot_size = Fraction(session["lot_size"])
    is_bare = session["research_only"] and not json.loads(session["passport"])["run_id"]
    risk = model.execute("SELECT * FROM risk").fetchone()
    last = model.execute("SELECT * FROM decisions ORDER BY row DESC LIMIT 1").fetchone()
    (next_row,) = model.execute("SELECT coalesce(max(row) + 1, 0) FROM bars").fetchone()
    (quote,) = model.execute("SELECT quote FROM positions WHERE instrument = 0").fetchone()
    start_cash = number(session["cash_e8"])
    values = [
        abs(_value_e8(row["lots"], row["price_e8"], lot_size))
        for row in model.execute("SELECT lots, price_e8 FROM positions WHERE lots != 0")
    ]
    return SessionView(
        strategy_id=session["strategy_id"],
        strategy=session["strategy"],
        asked=session["strategy"] if is_bare else session["strategy_id"],
        research_only=bool(session["research_only"]),
        synthetic=bool(session["synthetic"]),
        data=session["data"],
        timeframe=session["timeframe"],
        instance=session["instance"],
        state=SessionState(session["state"]),
        interrupted_row=session["interrupted_row"],
        resumed=session["resumed"],
        start_row=session["start_row"],
        next_row=next_row,
        rows=session["rows"],
        started=_time(session["started_ns"] // 1000),
        written=_time(session["last_ns"] // 1000),
        quote=quote,
        start_cash=price_text(start_cash),
        cash=_balances(model, Account.CASH),
        fees=_balances(model, Account.FEES),
        equity=risk["equity"],
        since_start=risk["equity"] * 10**_PRICE_DIGITS / start_cash - 1.0,
        drawdown=risk["drawdown"],
        drawdown_max=risk["drawdown_max"],
        exposure=sum(values) / (risk["equity"] * 10**_PRICE_DIGITS) if risk["equity"] > 0 else 0.0,
        scale=risk["scale"],
        mode=risk["mode"],
        why=_why(model, last),
        positions=tuple(_positions(model, lot_size)),
        decisions=_count(model, "decisions"),
        orders=_count(model, "orders"),
        open_orders=_count(model, "orders WHERE state IN (?, ?)", OPEN_STATES),
        fills=_count(model, "fills"),
        last_decision=None if last is None else clock.times(last["row"]),
        last_fill=_last_fill(model, clock, lot_size),
    )


def order_views(
    model: sqlite3.Connection, *, only_open: bool = False, last: int | None = None
) -> tuple[OrderView, ...]:
    """Return orders, oldest first.

    Parameters
    ----------
    last
        The newest so many; None for all.
    """
    model.row_factory = sqlite3.Row
    session = model.execute("SELECT timeframe, lot_size FROM session").fetchone()
    if session is None:
        return ()
    clock, lot_size = _Bars(model, session["timeframe"]), Fraction(session["lot_size"])
    symbols = _symbols(model)
    where, states = ("WHERE state IN (?, ?)", OPEN_STATES) if only_open else ("", ())
    rows = model.execute(
        f"SELECT * FROM orders {where} ORDER BY number DESC LIMIT ?", (*states, -1 if last is None else last)
    )
    return tuple(_order(row, clock, lot_size, symbols) for row in reversed(rows.fetchall()))


def price_text(amount_e8: int) -> str:
    """Return 1e-8 units as decimal text, without zeros at the end.

    Examples
    --------
    >>> [price_text(amount) for amount in (10_150_000_000, 5, 0, -250_000_000)]
    ['101.5', '0.00000005', '0', '-2.5']
    """
    whole, rest = divmod(abs(amount_e8), 10**_PRICE_DIGITS)
    text = f"{whole}.{rest:0{_PRICE_DIGITS}d}".rstrip("0").rstrip(".")
    return f"-{text}" if amount_e8 < 0 else text


def quantity_text(lots: int, lot_size: Fraction) -> str:
    """Return lots as units in decimal text.

    Examples
    --------
    >>> quantity_text(-1_500_000, Fraction(1, 1_000_000))
    '-1.5'
    """
    units = lots * lot_size
    # A lot size is a decimal number, so the quotient ends.
    text = format(Decimal(units.numerator) / Decimal(units.denominator), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class _Bars:
    """The times of bars."""

    def __init__(self, model: sqlite3.Connection, timeframe: str) -> None:
        self._model = model
        self._length_us = Timeframe(timeframe).nanoseconds // 1000

    def times(self, row: int) -> BarTimes:
        """Return open and close of a bar."""
        (opened_us,) = self._model.execute("SELECT opened_us FROM bars WHERE row = ?", (row,)).fetchone()
        return BarTimes(row=row, opened=_time(opened_us), closed=_time(opened_us + self._length_us))


def _time(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _count(model: sqlite3.Connection, what: str, values: Sequence[str | int] = ()) -> int:
    (count,) = model.execute(f"SELECT count(*) FROM {what}", values).fetchone()
    return int(count)


def _symbols(model: sqlite3.Connection) -> list[str]:
    return [row["symbol"] for row in model.execute("SELECT symbol FROM positions ORDER BY instrument")]


def _balances(model: sqlite3.Connection, account: Account) -> dict[str, str]:
    rows = model.execute(
        "SELECT currency, amount FROM balances WHERE account = ? ORDER BY currency", (account,)
    )
    return {row["currency"]: price_text(number(row["amount"])) for row in rows}


def _value_e8(lots: int, price_e8: int | str | None, lot_size: Fraction) -> int:
    return 0 if price_e8 is None else round(lots * number(price_e8) * lot_size)


def _positions(model: sqlite3.Connection, lot_size: Fraction) -> list[PositionView]:
    found = []
    for row in model.execute("SELECT * FROM positions WHERE lots != 0 ORDER BY instrument"):
        costs = model.execute("SELECT cost_e8 FROM lots WHERE instrument = ?", (row["instrument"],))
        cost = sum(number(lot["cost_e8"]) for lot in costs)
        price = row["price_e8"]
        found.append(
            PositionView(
                symbol=row["symbol"],
                quantity=quantity_text(row["lots"], lot_size),
                average_cost=price_text(round(cost / (row["lots"] * lot_size))),
                price=None if price is None else price_text(number(price)),
                value=price_text(_value_e8(row["lots"], price, lot_size)),
                realized=price_text(number(row["realized_e8"])),
                quote=row["quote"],
            )
        )
    return found


def _last_fill(model: sqlite3.Connection, clock: _Bars, lot_size: Fraction) -> FillView | None:
    fill = model.execute("SELECT * FROM fills ORDER BY sequence DESC LIMIT 1").fetchone()
    if fill is None:
        return None
    return FillView(
        bar=clock.times(fill["row"]),
        symbol=_symbols(model)[fill["instrument"]],
        side=_side(fill["lots"]),
        quantity=quantity_text(abs(fill["lots"]), lot_size),
        price=price_text(number(fill["price_e8"])),
        fee=price_text(number(fill["fee_e8"])),
        why=_words(fill["reason"], fill["cause"]),
    )


def _order(row: sqlite3.Row, clock: _Bars, lot_size: Fraction, symbols: Sequence[str]) -> OrderView:
    lots, filled, outcome = row["lots"], row["filled"], row["outcome"]
    ended = Reason.NONE if outcome is None else outcome
    return OrderView(
        order=row["number"],
        client_order_id=row["client_order_id"],
        decided=clock.times(row["row"]),
        symbol=symbols[row["instrument"]],
        side=_side(lots) if lots else "CLOSE",
        kind=OrderKind(row["kind"]).name,
        quantity=quantity_text(abs(lots), lot_size) if lots else None,
        limit=_optional_price(row["limit_e8"]),
        trigger=_optional_price(row["trigger_e8"]),
        time_in_force=TimeInForce(row["time_in_force"]).name,
        expires=row["expires"],
        parent=row["parent"],
        state=row["state"],
        filled=quantity_text(abs(filled), lot_size),
        average_price=price_text(round(Fraction(number(row["filled_value_e8"]), filled))) if filled else None,
        fees=price_text(number(row["fees_e8"])),
        cause=_name(Cause, row["cause"]),
        reason=_name(Reason, row["reason"]),
        outcome=None if outcome is None else _name(Reason, outcome),
        why=_words(ended or row["reason"], row["cause"]),
        closed=None if row["closed_row"] is None else clock.times(row["closed_row"]),
    )


def _why(model: sqlite3.Connection, last: sqlite3.Row | None) -> str:
    """Return what the last decision said: whether it was scaled down, its orders or why there are none."""
    if last is None:
        return "no bar was decided yet"
    orders = _count(model, "orders WHERE row = ?", (last["row"],))
    reasons: list[int] = json.loads(last["reasons"])
    if orders:
        said = "1 order" if orders == 1 else f"{orders} orders"
    else:
        # What holds for most instruments; of equals the smallest code, so that the screen is at rest.
        said = _words(max(sorted(set(reasons)), key=reasons.count)) if reasons else "no instrument"
    words = f"last bar: {said}"
    if last["scale"] < 1.0:
        words = f"a drawdown scales positions to {last['scale']:.0%}; {words}"
    return words


def _side(lots: int) -> str:
    return "BUY" if lots > 0 else "SELL"


def _optional_price(stored: int | str | None) -> str | None:
    return None if stored is None else price_text(number(stored))


def _name(codes: type[Cause] | type[Reason], code: int) -> str:
    """Return the name of a code; one that a newer engine wrote has none here."""
    try:
        return codes(code).name
    except ValueError:
        return f"CODE_{code}"


def _words(reason: int, cause: int = Cause.NONE) -> str:
    """Return a reason in words; where there is none, what caused it."""
    if reason == Reason.NONE and cause != Cause.NONE:
        with suppress(ValueError):
            return CAUSES[Cause(cause)]
    try:
        return SENTENCES[Reason(reason)]
    except ValueError:
        return f"reason {reason}, which only a newer engine knows"
