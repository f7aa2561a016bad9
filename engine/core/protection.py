"""Stop, trailing stop and take profit of a position: armed by its entry, over when one of them is."""

from engine.compiled import constant, inlined_kernel, inner_kernel
from engine.core.account import (
    ARMED,
    BUSY,
    EXTREME,
    LOTS,
    NEXT_STOP,
    NEXT_TAKE,
    NEXT_TRAIL,
    REASONS,
    STOP,
    STOP_ORDER,
    TAKE,
    TAKE_ORDER,
    TAKEN,
    TRAIL,
    TRAIL_ORDER,
    Books,
)
from engine.core.records import Recorder, close_order, open_order
from engine.domain.orders import OrderKind, TimeInForce
from engine.domain.reasons import Cause, Reason

STOP_CAUSE = constant(Cause.STOP)
TRAIL_CAUSE = constant(Cause.TRAIL)
TAKE_CAUSE = constant(Cause.TAKE_PROFIT)
STOP_KIND = constant(OrderKind.STOP)
TRAIL_KIND = constant(OrderKind.TRAILING_STOP)
TAKE_KIND = constant(OrderKind.TAKE_PROFIT)
GTC = constant(TimeInForce.GTC)
NO_REASON = constant(Reason.NONE)
REPLACED = constant(Reason.REPLACED)


@inner_kernel
def disarm(account: int, row: int, n: int, reason: int, books: Books, recorder: Recorder) -> None:
    """Cancel the protective orders of an instrument that still wait."""
    lots = books.lots
    if lots[ARMED, n] == 0:
        return
    for order in range(STOP_ORDER, TAKE_ORDER + 1):
        if lots[order, n] >= 0:
            filled = lots[TAKEN, n] if order == TAKE_ORDER else 0
            close_order(account, row, lots[order, n], filled, reason, books.counts, recorder)
            books.counts[REASONS + reason] += 1
            lots[order, n] = -1
    for price in range(STOP, TRAIL + 1):
        books.holdings[price, n] = 0.0
    lots[ARMED, n] = 0
    books.counts[BUSY] -= 1


@inner_kernel
def arm_now(
    account: int, row: int, n: int, price: float, parent: int, books: Books, recorder: Recorder
) -> None:
    """Let the protective orders that an entry brought with it wait for the next prices.

    Those of an earlier entry into the same position are replaced: the newest bracket covers all of it, so
    their records have 0 lots. A further part of the same entry changes nothing.

    Parameters
    ----------
    price
        Of the fill, where a trailing stop starts from.
    parent
        Number of the entry.
    """
    holdings, lots = books.holdings, books.lots
    stop, take, trail = holdings[NEXT_STOP, n], holdings[NEXT_TAKE, n], holdings[NEXT_TRAIL, n]
    if lots[LOTS, n] == 0 or lots[ARMED, n] == parent + 1:
        return
    disarm(account, row, n, REPLACED, books, recorder)
    lots[ARMED, n] = parent + 1
    books.counts[BUSY] += 1
    holdings[STOP, n], holdings[TAKE, n], holdings[TRAIL, n] = stop, take, trail
    holdings[EXTREME, n] = price
    lots[STOP_ORDER, n], lots[TRAIL_ORDER, n], lots[TAKE_ORDER, n] = -1, -1, -1
    lots[TAKEN, n] = 0
    side = 1 if lots[LOTS, n] > 0 else -1
    if stop > 0.0:
        lots[STOP_ORDER, n] = open_order(
            account, row, n, 0, 0.0, stop, STOP_KIND, GTC, -1, STOP_CAUSE, NO_REASON, parent, books.counts,
            recorder,
        )  # fmt: skip
    if trail > 0.0:
        lots[TRAIL_ORDER, n] = open_order(
            account, row, n, 0, 0.0, price - side * trail, TRAIL_KIND, GTC, -1, TRAIL_CAUSE, NO_REASON,
            parent, books.counts, recorder,
        )  # fmt: skip
    if take > 0.0:
        lots[TAKE_ORDER, n] = open_order(
            account, row, n, 0, take, 0.0, TAKE_KIND, GTC, -1, TAKE_CAUSE, NO_REASON, parent, books.counts,
            recorder,
        )  # fmt: skip


@inlined_kernel
def arm(account: int, row: int, n: int, price: float, parent: int, books: Books, recorder: Recorder) -> None:
    """Arm what an entry brought with it, if it brought something: most do not, and a call costs more."""
    holdings = books.holdings
    if holdings[NEXT_STOP, n] != 0.0 or holdings[NEXT_TAKE, n] != 0.0 or holdings[NEXT_TRAIL, n] != 0.0:
        arm_now(account, row, n, price, parent, books, recorder)
