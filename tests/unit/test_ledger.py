"""Exact books: what a fill moves, by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal.ledger import (
    Account,
    Booking,
    Lot,
    Posting,
    book_cash,
    book_fill,
    book_start,
    exact,
)

DOLLAR = 10**8
MILLI = Fraction(1, 1000)


def fill(number: int, lots: int, price: int, fee: int = 0, open_lots: tuple[Lot, ...] = ()) -> Booking:
    return book_fill(
        number=number,
        lots=lots,
        price_e8=price,
        fee_e8=fee,
        lot_size=MILLI,
        symbol="ABC",
        quote="USD",
        open_lots=open_lots,
    )


def moved(booking: Booking) -> dict[str, int]:
    return {line.account.value: line.amount for line in booking.postings}


def sums(postings: tuple[Posting, ...]) -> set[int]:
    currencies = {line.currency for line in postings}
    return {sum(line.amount for line in postings if line.currency == name) for name in currencies}


def test_a_buy_turns_cash_into_inventory_and_fees() -> None:
    # 10 lots of .001 at 100: one dollar.
    bought = fill(1, 10, 100 * DOLLAR, fee=7)

    assert moved(bought) == {
        "cash": -DOLLAR - 7, "fees": 7, "inventory": DOLLAR, "position": 10, "market": -10,
    }  # fmt: skip
    assert bought.open_lots == (Lot(number=1, lots=10, cost_e8=DOLLAR),)


def test_what_came_first_goes_first() -> None:
    held = (Lot(number=1, lots=10, cost_e8=100), Lot(number=2, lots=10, cost_e8=200))

    # 15 lots of .001 at .00002 are 30 units of 1e-8; they had cost 100 + half of 200.
    sold = fill(3, -15, 2000, open_lots=held)

    assert sold.open_lots == (Lot(number=2, lots=5, cost_e8=100),)
    assert sold.realized_e8 == 30 - 200
    assert moved(sold) == {"cash": 30, "inventory": -200, "realized": 170, "position": -15, "market": 15}


def test_a_sale_of_more_than_is_held_opens_a_short() -> None:
    sold = fill(2, -30, 1000 * DOLLAR, open_lots=(Lot(number=1, lots=10, cost_e8=4 * DOLLAR),))

    assert sold.open_lots == (Lot(number=2, lots=-20, cost_e8=-20 * DOLLAR),)
    assert sold.realized_e8 == 6 * DOLLAR
    bought = fill(3, 20, 900 * DOLLAR, open_lots=sold.open_lots)
    assert bought.open_lots == ()
    assert bought.realized_e8 == 2 * DOLLAR


def test_half_a_unit_goes_to_the_even_one() -> None:
    assert [fill(1, 1, price).notional_e8 for price in (500, 1500, 1501, 2500)] == [0, 2, 2, 2]
    assert [fill(1, -1, price).notional_e8 for price in (500, 1500, 1501, 2500)] == [0, -2, -2, -2]


def test_a_lot_size_is_the_decimal_number_that_it_reads_as() -> None:
    assert exact(1e-6) == Fraction(1, 10**6)
    assert exact(0.1) == Fraction(1, 10)


def test_cash_that_moves_without_a_fill_has_an_account_of_its_own() -> None:
    assert [(line.account, line.amount) for line in book_cash(-5, "USD", Account.FUNDING)] == [
        (Account.CASH, -5),
        (Account.FUNDING, 5),
    ]
    assert [line.amount for line in book_start(100, "USD")] == [100, -100]
    assert book_cash(0, "USD", Account.BORROW) == ()


@given(
    fills=st.lists(
        st.tuples(
            st.integers(-(10**12), 10**12).filter(bool),
            st.integers(1, 10**15),
            st.integers(-(10**9), 10**12),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_every_booking_sums_to_nothing_and_the_books_agree(fills: list[tuple[int, int, int]]) -> None:
    open_lots: tuple[Lot, ...] = ()
    balances: dict[str, int] = {}
    for number, (lots, price, fee) in enumerate(fills):
        booking = fill(number, lots, price, fee, open_lots)
        assert sums(booking.postings) <= {0}
        open_lots = booking.open_lots
        for account, amount in moved(booking).items():
            balances[account] = balances.get(account, 0) + amount

        assert sum(lot.lots for lot in open_lots) == sum(lots for lots, _, _ in fills[: number + 1])
        assert sum(lot.cost_e8 for lot in open_lots) == balances.get("inventory", 0)
        assert len({lot.lots > 0 for lot in open_lots}) <= 1
        assert all(lot.lots for lot in open_lots)
    assert balances.get("cash", 0) == -sum(round(lots * price * MILLI) + fee for lots, price, fee in fills)


@pytest.mark.parametrize("sign", [1, -1])
def test_closing_everything_leaves_no_cost_behind(sign: int) -> None:
    held = tuple(Lot(number=n, lots=sign * 3, cost_e8=sign * 10) for n in range(5))

    for closed in range(1, 15):
        booking = fill(9, -sign * closed, 1, open_lots=held)
        rest = fill(9, -sign * (15 - closed), 1, open_lots=booking.open_lots)
        assert rest.open_lots == ()
        assert moved(booking).get("inventory", 0) + moved(rest).get("inventory", 0) == -sign * 50
