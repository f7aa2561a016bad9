"""Cash that moves while positions are held: funding, the fee for borrowed shares, interest on debt."""

import math

from engine.compiled import inlined_kernel, inner_kernel
from engine.core.account import ACCRUED, CASH, UNITS, Books
from engine.core.costs import PRICE_UNITS
from engine.core.market import Market
from engine.core.records import BORROW, FUNDING, INTEREST, Recorder, record_accrual
from engine.core.settings import Terms


@inlined_kernel
def accrues(market: Market, terms: Terms) -> bool:
    """Say whether holding a position can move cash."""
    costs = terms.costs
    return market.funding.shape[0] > 0 or costs.borrow_bps > 0.0 or costs.interest_bps > 0.0


@inlined_kernel
def move_cash(
    account: int, bar: int, n: int, amount: float, what: int, books: Books, recorder: Recorder
) -> None:
    """Book an amount, rounded down to 1e-8: what is received is never more, what is paid never less."""
    amount_e8 = int(math.floor(amount * PRICE_UNITS))
    if amount_e8 == 0:
        return
    books.values[CASH] += amount_e8 / PRICE_UNITS
    books.values[ACCRUED] += amount_e8 / PRICE_UNITS
    record_accrual(account, bar, n, amount_e8, what, books.counts, recorder)


@inner_kernel
def accrue(
    account: int, row: int, bar: int, market: Market, terms: Terms, books: Books, recorder: Recorder
) -> None:
    """Book what one bar costs or brings, on what is held at its end: in instrument order, interest last."""
    costs = terms.costs
    for n in range(market.mark.shape[1]):
        value = books.holdings[UNITS, n] * market.mark[row, n]
        if value == 0.0:
            continue
        if market.funding.shape[0] > 0:
            move_cash(account, bar, n, -value * market.funding[row, n], FUNDING, books, recorder)
        if value < 0.0 and costs.borrow_bps > 0.0:
            move_cash(account, bar, n, value * (costs.borrow_bps / 1e4), BORROW, books, recorder)
    if books.values[CASH] < 0.0 and costs.interest_bps > 0.0:
        move_cash(
            account, bar, -1, books.values[CASH] * (costs.interest_bps / 1e4), INTEREST, books, recorder
        )
