"""The state of an account, as arrays that compiled code changes in place.

One row (first axis) an account. Names below are positions on the second axis.
"""

from typing import NamedTuple

import numpy as np

from engine.domain.panel import FloatArray, IntArray
from engine.domain.reasons import Reason

# Money and ratios, in `values`.
CASH = 0
EQUITY = 1
PEAK = 2
MAX_DRAWDOWN = 3
TIER_PEAK = 4  # like PEAK, but reset when a halt ends
SCALE = 5  # what tiers multiply targets with, as decided last
DAY_EQUITY = 6
RETURN_SUM = 7
RETURN_SQUARES = 8
TURNOVER = 9
FEES = 10
ACCRUED = 11  # funding, borrow and interest, as received
VALUES = 12

# Whole numbers and timers in bars since the origin, in `counts`.
BUSY = 0  # orders waiting for the next bar, and targets to be decided again
HALT_UNTIL = 1  # 0: not halted
RECOVERY_UNTIL = 2
FILLS = 3
ORDERS = 4
TRADES = 5
HALTS = 6
EXITS = 7
DAYS = 8
NEXT_PLAN = 9
CLOSES = 10
ACCRUALS = 11
REASONS = 12  # from here on one count a reason
COUNTS = REASONS + len(Reason)

# A number an instrument, in `holdings`.
UNITS = 0
BASE = 1
SIGNAL = 2
LIMIT = 3
TARGET = 4  # scratch of a decision: the weight decided, after limits
TRIGGER = 5  # of the pending order
STOP = 6  # protective prices of the position, 0: none
TAKE = 7
TRAIL = 8  # distance of the trailing stop, 0: none
EXTREME = 9  # best price since the entry, which the trailing stop follows
NEXT_STOP = 10  # what the pending order brings with it when it fills
NEXT_TAKE = 11
NEXT_TRAIL = 12
BOUND = 13  # scratch of a decision: the limit price of a plain order
NOTIONAL = 14  # scratch of the fills: worth of what the bar can fill
BOUGHT = 15  # scratch of the fills: what buys are worth, one behind the other
HOLDINGS = 16

# A whole number an instrument, in `lots`.
LOTS = 0
PENDING = 1
CAUSE = 2
OPEN_CAUSE = 3
DECIDED = 4  # scratch of a decision: the cause that makes the instrument decided, or 0
AGAIN = 5  # the cause of a target that stands and was not filled, or 0
CUT = 6  # scratch of a decision: the reason of the last cut
ORDER = 7  # number of the pending order
SAVED = 8  # scratch of the drift
FILLABLE = 9  # scratch of the fills: lots that the bar can fill of a buy
PRICE = 10  # scratch of the fills: its price, in 1e-8 quote units
KIND = 11  # of the pending order, as are the next five
FORCE = 12
EXPIRES = 13  # last bar on which it may fill
ARRIVES = 14  # first bar on which it may fill
TRIGGERED = 15
DONE = 16  # signed lots filled so far
ARMED = 17  # 1 more than the number of the entry whose protective orders wait, or 0
STOPPED = 18  # 2: stopped out on this bar, 1: before; the target is 0 until the signal changes
ENTERED = 19  # scratch of the fills: 1 entered at the open of this bar, 2 inside it
USED = 20  # scratch of the fills: lots of this bar's volume that are taken
STOP_ORDER = 21  # numbers of the protective orders, -1: none
TRAIL_ORDER = 22
TAKE_ORDER = 23
TAKEN = 24  # signed lots that the take profit has filled so far
SIZED = 25  # scratch of a decision: the target in lots
FIRST = 26  # scratch of the fills: instruments that sell, or miss, at the open
THEN = 27  # scratch of the fills: instruments that buy at the open
LOTS_ROWS = 28


class Accounts(NamedTuple):
    """P accounts of N instruments.

    Attributes
    ----------
    values, counts
        Shapes (P, VALUES) and (P, COUNTS).
    holdings, lots
        Shapes (P, HOLDINGS, N) and (P, LOTS_ROWS, N).
    """

    values: FloatArray
    counts: IntArray
    holdings: FloatArray
    lots: IntArray


class Books(NamedTuple):
    """One account: its row of each of the arrays of `Accounts`."""

    values: FloatArray
    counts: IntArray
    holdings: FloatArray
    lots: IntArray


def new_accounts(accounts: int, instruments: int, cash: float) -> Accounts:
    """Return accounts that hold only cash."""
    values = np.zeros((accounts, VALUES))
    values[:, [CASH, EQUITY, PEAK, TIER_PEAK, DAY_EQUITY]] = cash
    values[:, SCALE] = 1.0
    return Accounts(
        values=values,
        counts=np.zeros((accounts, COUNTS), dtype=np.int64),
        holdings=np.zeros((accounts, HOLDINGS, instruments)),
        lots=np.zeros((accounts, LOTS_ROWS, instruments), dtype=np.int64),
    )
