"""What must be true of the records of any session, whatever its strategy: books, orders, causality.

Each check reads the journal alone and stands on its own: a session that replays to the last bit and fails one
of them was run by an engine that is wrong.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.core.records import FILL_FIELDS, NO_TARGET
from engine.domain.panel import IntArray
from engine.domain.passport import PlanKind
from engine.domain.reasons import Reason
from engine.journal.ledger import Account, Lot, book_fill, exact
from engine.session.difference import first_in_arrays
from engine.session.journaled import ORDER_FACTS, Journaled
from engine.session.records import Naming
from engine.session.start import NANOSECONDS

_UNITS = 10**8
_QUOTE_TOLERANCE = 1e-8
_TURNOVER_TOLERANCE = 1e-9
# A fee is rounded up to 1e-8, and the notional to half of that either way.
_BOOKING_TOLERANCE = 2e-8
_ROW, _INSTRUMENT, _LOTS, _REASON, _ORDER = (
    FILL_FIELDS.index(name) for name in ("row", "instrument", "lots", "reason", "order")
)


class CheckStatus(StrEnum):
    """Outcome of a check. `NOT_APPLICABLE`: the session's terms allow what it forbids."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must be true.

    Attributes
    ----------
    says
        What must be true, or what is not, in words.
    row
        First bar at which it is not.
    """

    name: str
    status: CheckStatus
    says: str
    row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """The exact books after each of D decision rows.

    Attributes
    ----------
    cash_e8
        Quote units of 1e-8.
    bookings
        Of the bar alone: fills and movements of cash.
    turnover_e8
        Of the bar alone, absolute notionals.
    after_buys
        Bar and cash right after each buy.
    """

    cash_e8: list[int]
    bookings: list[int]
    turnover_e8: list[int]
    after_buys: list[tuple[int, int]]


def examine(journaled: Journaled) -> tuple[Check, ...]:
    """Check everything that must be true of a session."""
    books = _fold(journaled)
    return (
        _cash_continuity(journaled, books),
        _ledger(journaled, books),
        _balance(journaled, books),
        _positions(journaled),
        _orders_before_fills(journaled),
        _fills_within_orders(journaled),
        _no_look_ahead(journaled),
        _one_account(journaled),
        _weights_when_due(journaled),
    )


def _passed(name: str, says: str) -> Check:
    return Check(name=name, status=CheckStatus.PASS, says=says)


def _failed(name: str, says: str, row: int | None) -> Check:
    return Check(name=name, status=CheckStatus.FAIL, says=says, row=row)


# ------------------------------------------------------------------------------------------------ books


def _fold(journaled: Journaled) -> _Books:
    """Book every fill and every movement of cash in whole numbers."""
    start = journaled.start
    instruments, lot_size = start.data.instruments, exact(float(start.passport.rules["lot_size"]))
    days = len(journaled.decisions.present)
    changes, bookings, turnover = [0] * days, [0] * days, [0] * days
    held: dict[int, tuple[Lot, ...]] = defaultdict(tuple)
    cash = round(exact(start.passport.cash) * _UNITS)
    after_buys: list[tuple[int, int]] = []
    events = [(int(row[0]), 0, number) for number, row in enumerate(journaled.fills)]
    events += [(int(row[0]), 1, number) for number, row in enumerate(journaled.accruals)]
    for row, kind, number in sorted(events):
        day = row - start.start_row
        if not 0 <= day < days:
            continue
        if kind == 0:
            values = dict(zip(FILL_FIELDS, journaled.fills[number].tolist(), strict=True))
            column = values["instrument"]
            if not 0 <= column < len(instruments) or values["lots"] == 0:
                continue
            booking = book_fill(
                number=number,
                lots=values["lots"],
                price_e8=values["price_e8"],
                fee_e8=values["fee_e8"],
                lot_size=lot_size,
                symbol=instruments[column].symbol,
                quote=instruments[column].quote,
                open_lots=held[column],
            )
            held[column] = booking.open_lots
            change = sum(line.amount for line in booking.postings if line.account is Account.CASH)
            turnover[day] += abs(booking.notional_e8)
        else:
            change = int(journaled.accruals[number, 2])
        cash += change
        changes[day] += change
        bookings[day] += 1
        if kind == 0 and values["lots"] > 0:
            after_buys.append((row, cash))
    balances = []
    balance = round(exact(start.passport.cash) * _UNITS)
    for change in changes:
        balance += change
        balances.append(balance)
    return _Books(
        cash_e8=balances,
        bookings=bookings,
        turnover_e8=turnover,
        after_buys=after_buys,
    )


def _cash_continuity(journaled: Journaled, books: _Books) -> Check:
    name = "cash_continuity"
    before, before_e8 = journaled.start.passport.cash, round(exact(journaled.start.passport.cash) * _UNITS)
    present = journaled.decisions.present.tolist()
    for day, cash in enumerate(journaled.decisions.cash.tolist()):
        if not present[day]:
            continue
        moved = (books.cash_e8[day] - before_e8) / _UNITS
        allowed = (
            books.bookings[day] * _BOOKING_TOLERANCE + books.turnover_e8[day] / _UNITS * _TURNOVER_TOLERANCE
        )
        # Without a booking not a bit may change; not a number is no balance.
        if not abs(cash - before - moved) <= allowed and not (books.bookings[day] == 0 and cash == before):
            row = day + journaled.start.start_row
            return _failed(name, f"cash went from {before!r} to {cash!r}, its bookings say {moved:+.8f}", row)
        before, before_e8 = cash, books.cash_e8[day]
    return _passed(name, "cash changes by what is booked, and on no other bar")


def _ledger(journaled: Journaled, books: _Books) -> Check:
    name = "ledger"
    present = journaled.decisions.present.tolist()
    count = turnover = 0
    widest = 0.0
    for day, cash in enumerate(journaled.decisions.cash.tolist()):
        count += books.bookings[day]
        turnover += books.turnover_e8[day]
        if not present[day]:
            continue
        gap = abs(cash - books.cash_e8[day] / _UNITS)
        allowed = count * _QUOTE_TOLERANCE + turnover / _UNITS * _TURNOVER_TOLERANCE
        if not gap <= allowed:
            row = day + journaled.start.start_row
            return _failed(
                name, f"cash is {cash!r}, the exact books say {books.cash_e8[day] / _UNITS!r}", row
            )
        widest = max(widest, gap)
    return _passed(name, f"cash is that of the exact books, {widest:.2e} apart at most")


def _balance(journaled: Journaled, books: _Books) -> Check:
    name = "no_negative_balance"
    limits = journaled.start.passport.limits
    if limits["leverage"] > 1 or limits["short"] > 0:
        return Check(
            name=name, status=CheckStatus.NOT_APPLICABLE, says="the terms allow borrowing or selling short"
        )
    allowed = len(journaled.fills) + sum(books.turnover_e8) * _TURNOVER_TOLERANCE
    for row, cash_e8 in books.after_buys:
        if cash_e8 < -allowed:
            return _failed(name, f"a buy left {cash_e8 / _UNITS:.8f}, and nothing may be borrowed", row)
    return _passed(name, "no buy spent more than there was")


def _positions(journaled: Journaled) -> Check:
    name = "positions"
    lots, start_row = journaled.decisions.lots, journaled.start.start_row
    traded = np.zeros_like(lots)
    fills = journaled.fills
    inside = (fills[:, _ROW] >= start_row) & (fills[:, _ROW] < start_row + len(lots))
    inside &= (fills[:, _INSTRUMENT] >= 0) & (fills[:, _INSTRUMENT] < lots.shape[1])
    counted = fills[inside]
    np.add.at(traded, (counted[:, _ROW] - start_row, counted[:, _INSTRUMENT]), counted[:, _LOTS])
    sums = np.cumsum(traded, axis=0)
    place = first_in_arrays(lots, sums, present=journaled.decisions.present)
    if place is None and inside.all():
        return _passed(name, "what is held is the sum of the fills")
    if place is None:
        return _failed(name, "a fill is of no bar or no instrument", int(fills[np.argmin(inside), _ROW]))
    symbol = journaled.start.data.instruments[place[1]].symbol
    return _failed(
        name,
        f"{lots[place]:,} lots of {symbol} are held, the fills sum to {sums[place]:,}",
        place[0] + start_row,
    )


# ----------------------------------------------------------------------------------- orders and causality


def _orders_of(journaled: Journaled) -> dict[int, dict[str, int]]:
    """Return orders by number; the first of two with one number counts."""
    found: dict[int, dict[str, int]] = {}
    for values in journaled.orders.tolist():
        order = dict(zip(ORDER_FACTS, values, strict=True))
        found.setdefault(order["order"], order)
    return found


def _fill_rows(fills: IntArray) -> list[Sequence[int]]:
    rows: list[Sequence[int]] = fills[:, [_ROW, _INSTRUMENT, _LOTS, _REASON, _ORDER]].tolist()
    return rows


def _orders_before_fills(journaled: Journaled) -> Check:
    name = "order_before_fill"
    orders = _orders_of(journaled)
    if len(orders) != len(journaled.orders) or sorted(orders) != list(range(len(orders))):
        return _failed(name, "orders are not numbered from 0 on, each once", None)
    ended = {int(number): int(row) for row, number in journaled.closes[:, :2]}
    for row, instrument, _, reason, number in _fill_rows(journaled.fills):
        if number < 0:
            if reason != Reason.DELISTED_EXIT:
                return _failed(name, "a fill without an order is no booking out", row)
            continue
        order = orders.get(number)
        if order is None or order["row"] > row:
            return _failed(name, f"the fill of order {number} has no order before it", row)
        if order["instrument"] != instrument:
            return _failed(name, f"the fill of order {number} is of another instrument", row)
        if ended.get(number, row) < row:
            return _failed(name, f"order {number} was filled after its end", row)
    return _passed(name, "every fill has its order, and none comes after the order's end")


def _fills_within_orders(journaled: Journaled) -> Check:
    name = "fills_within_orders"
    orders = _orders_of(journaled)
    filled: dict[int, int] = defaultdict(int)
    held: dict[int, int] = defaultdict(int)
    for row, instrument, lots, _, number in _fill_rows(journaled.fills):
        order = orders.get(number)
        if order is not None and order["parent"] < 0:
            filled[number] += lots
            ordered = order["lots"]
            if lots * ordered <= 0 or abs(filled[number]) > abs(ordered):
                return _failed(
                    name, f"order {number} of {ordered:,} lots was filled for {filled[number]:,}", row
                )
        elif lots * held[instrument] >= 0 or abs(lots) > abs(held[instrument]):
            # A protective order, or a booking out, only ever closes what is held.
            return _failed(name, f"{lots:,} lots were to close {held[instrument]:,} that are held", row)
        held[instrument] += lots
    for row, number, total, _ in journaled.closes.tolist():
        order = orders.get(number)
        if order is not None and order["parent"] < 0 and total != filled[number]:
            return _failed(
                name, f"order {number} ended with {total:,} filled, its fills sum to {filled[number]:,}", row
            )
    return _passed(name, "no order was filled for more than it asked, none the other way round")


def _no_look_ahead(journaled: Journaled) -> Check:
    name = "no_look_ahead"
    orders = _orders_of(journaled)
    latency = int(journaled.start.passport.rules["latency_bars"])
    start_row, decisions = journaled.start.start_row, journaled.decisions
    for order in orders.values():
        row, parent = order["row"], orders.get(order["parent"])
        if order["parent"] >= 0:
            # A protective order begins with the fill of its entry.
            if parent is None or row <= parent["row"] + latency:
                return _failed(name, f"order {order['order']} protects what cannot be held yet", row)
            continue
        day = row - start_row
        decided = 0 <= day < len(decisions.present) and 0 <= order["instrument"] < decisions.targets.shape[1]
        if not decided or decisions.targets[day, order["instrument"]] == NO_TARGET:
            return _failed(name, f"order {order['order']} was sent on a bar that decided nothing for it", row)
    for row, _, _, _, number in _fill_rows(journaled.fills):
        found = orders.get(number)
        if found is None:
            continue
        earliest = found["row"] + (1 + latency if found["parent"] < 0 else 0)
        if row < earliest:
            return _failed(
                name,
                f"order {number} was decided at the close of bar {found['row']:,} and filled before bar "
                f"{earliest:,}",
                row,
            )
    return _passed(name, "no order was filled on the bar that decided it, or before")


def _one_account(journaled: Journaled) -> Check:
    name = "one_account"
    naming = Naming.of(journaled.start)
    opened = (journaled.bars.opened_at // NANOSECONDS).tolist()
    legs: dict[tuple[int, int], int] = {}
    for values, found in zip(journaled.orders.tolist(), journaled.client_order_ids, strict=True):
        order = dict(zip(ORDER_FACTS, values, strict=True))
        key = (order["row"], order["instrument"])
        leg = legs[key] = legs.get(key, -1) + 1
        known = 0 <= key[0] < len(opened) and 0 <= key[1] < len(naming.symbols)
        if not known or found != naming.client_order_id(opened[key[0]], key[1], leg):
            return _failed(name, f"the id of order {order['order']} is not one of this session", key[0])
    if len(set(journaled.client_order_ids)) != len(journaled.client_order_ids):
        return _failed(name, "two orders have one id", None)
    return _passed(name, "every order has an id of this session, and no two the same")


def _weights_when_due(journaled: Journaled) -> Check:
    name = "weights_when_due"
    terms, start_row = journaled.start.passport.plan, journaled.start.start_row
    for row in journaled.weights.rows.tolist():
        late = terms.kind is PlanKind.WALK_FORWARD and (row - start_row) % terms.step != 0
        if row < start_row or late:
            return _failed(name, "base weights came into force where no window begins", row)
    return _passed(name, "base weights come into force where a window begins, learnt from rows before it")
