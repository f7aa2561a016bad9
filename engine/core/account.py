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
VALUES = 11

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
REASONS = 10  # from here on one count a reason
COUNTS = REASONS + len(Reason)

# A number an instrument, in `holdings`.
UNITS = 0
BASE = 1
SIGNAL = 2
LIMIT = 3
TARGET = 4  # scratch of a decision: the weight decided, after limits
HOLDINGS = 5

# A whole number an instrument, in `lots`.
LOTS = 0
PENDING = 1
CAUSE = 2
OPEN_CAUSE = 3
DECIDED = 4  # scratch of a decision: the cause that makes the instrument decided, or 0
AGAIN = 5  # the cause of a target that stands and was not filled, or 0
CUT = 6  # scratch of a decision: the reason of the last cut
ORDER = 7  # where the record of the pending order stands
SAVED = 8  # scratch of the drift
FILLABLE = 9  # scratch of the fills: lots that the bar can fill of a buy
PRICE = 10  # scratch of the fills: its price, in 1e-8 quote units
LOTS_ROWS = 11


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
