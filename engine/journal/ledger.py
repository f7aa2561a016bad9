"""The exact books of an account: whole numbers, double entry, lots first in first out. Pure.

Money is in 1e-8 quote units, positions are in lots. Each booking is rounded once, half to even; fees come
rounded up. The core keeps cash as float64: the two may differ by 1e-8 a fill and 1e-9 of the turnover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction


class Account(StrEnum):
    """Where amounts stand. A debit is positive: what an account gains, another loses.

    `INVENTORY` holds what is held at what it cost. `REALIZED` and the four below it are results: a profit is
    negative. `POSITION` and `MARKET` count lots, all others money.
    """

    CASH = "cash"
    CAPITAL = "capital"
    INVENTORY = "inventory"
    REALIZED = "realized"
    FEES = "fees"
    FUNDING = "funding"
    BORROW = "borrow"
    INTEREST = "interest"
    POSITION = "position"
    MARKET = "market"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One line of a booking. The lines of a booking sum to 0 in each currency.

    Attributes
    ----------
    currency
        A quote currency, or the symbol of an instrument, which is counted in lots.
    """

    account: Account
    currency: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """A part of a position that was opened by one fill.

    Attributes
    ----------
    number
        Of the fill's record: smaller is older.
    lots, cost_e8
        What is left of it: both negative for a short.
    """

    number: int
    lots: int
    cost_e8: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What a fill does to the books.

    Attributes
    ----------
    open_lots
        Of the instrument after the fill, oldest first.
    notional_e8
        Signed as the fill's lots.
    realized_e8
        Profit of what was closed, fees not counted.
    """

    postings: tuple[Posting, ...]
    open_lots: tuple[Lot, ...]
    notional_e8: int
    realized_e8: int


def exact(number: float) -> Fraction:
    """Return the decimal number that a setting such as a lot size of 1e-6 means."""
    return Fraction(Decimal(repr(number)))


def book_start(cash_e8: int, currency: str) -> tuple[Posting, ...]:
    """Return the booking that opens an account."""
    return _nonzero(
        Posting(account=Account.CASH, currency=currency, amount=cash_e8),
        Posting(account=Account.CAPITAL, currency=currency, amount=-cash_e8),
    )


def book_cash(amount_e8: int, currency: str, what: Account) -> tuple[Posting, ...]:
    """Return the booking of cash that moved without a fill; positive was received."""
    return _nonzero(
        Posting(account=Account.CASH, currency=currency, amount=amount_e8),
        Posting(account=what, currency=currency, amount=-amount_e8),
    )


def book_fill(
    *,
    number: int,
    lots: int,
    price_e8: int,
    fee_e8: int,
    lot_size: Fraction,
    symbol: str,
    quote: str,
    open_lots: Sequence[Lot],
) -> Booking:
    """Return the booking of a fill.

    Parameters
    ----------
    number
        Of the fill's record.
    lots
        Signed: positive bought.
    lot_size
        Units a lot.
    open_lots
        Of the instrument before the fill, oldest first.
    """
    # `round` of a fraction is exact, and takes the even one of two whole numbers that are equally near.
    notional = round(lots * price_e8 * lot_size)
    held = sum(lot.lots for lot in open_lots)
    closing = 0 if lots * held >= 0 else max(lots, -held) if lots < 0 else min(lots, -held)
    closing_notional = round(Fraction(notional * closing, lots))
    kept, cost_out = _closed(open_lots, closing)
    if closing != lots:
        kept = (*kept, Lot(number=number, lots=lots - closing, cost_e8=notional - closing_notional))
    realized = -closing_notional - cost_out
    postings = _nonzero(
        Posting(account=Account.CASH, currency=quote, amount=-notional - fee_e8),
        Posting(account=Account.FEES, currency=quote, amount=fee_e8),
        Posting(account=Account.INVENTORY, currency=quote, amount=notional - closing_notional - cost_out),
        Posting(account=Account.REALIZED, currency=quote, amount=-realized),
        Posting(account=Account.POSITION, currency=symbol, amount=lots),
        Posting(account=Account.MARKET, currency=symbol, amount=-lots),
    )
    return Booking(postings=postings, open_lots=kept, notional_e8=notional, realized_e8=realized)


def _closed(open_lots: Sequence[Lot], closing: int) -> tuple[tuple[Lot, ...], int]:
    """Return what is left after `closing` signed lots took the oldest ones away, and what those had cost."""
    left = abs(closing)
    kept = []
    cost_out = 0
    for lot in open_lots:
        held = abs(lot.lots)
        taken = min(left, held)
        left -= taken
        if taken == 0:
            kept.append(lot)
            continue
        cost = lot.cost_e8 if taken == held else round(Fraction(lot.cost_e8 * taken, held))
        cost_out += cost
        if taken < held:
            rest = held - taken if lot.lots > 0 else taken - held
            kept.append(Lot(number=lot.number, lots=rest, cost_e8=lot.cost_e8 - cost))
    return tuple(kept), cost_out


def _nonzero(*postings: Posting) -> tuple[Posting, ...]:
    return tuple(posting for posting in postings if posting.amount)
