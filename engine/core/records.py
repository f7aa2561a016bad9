"""What a run writes down: one row of integers a fill and an order, one row of numbers a bar."""

import math
from typing import NamedTuple

from engine.compiled import constant, inlined_kernel
from engine.core.account import ACCRUALS, CLOSES, ORDERS
from engine.domain.panel import FloatArray, IntArray

# fills; `order` is -1 where nothing was ordered: an instrument booked out
FILL_FIELDS = (
    "row", "instrument", "lots", "price_e8", "fee_e8", "cause", "reason", "order", "liquidity",
)  # fmt: skip
# orders: `filled`, `outcome` and `closed` are known later than the rest. `lots` 0: closes what is held.
# `expires` and `parent` -1: none; `closed` -1: still open.
ORDER_FIELDS = (
    "row", "instrument", "lots", "limit_e8", "cause", "reason", "filled", "outcome",
    "kind", "trigger_e8", "time_in_force", "expires", "parent", "closed",
)  # fmt: skip
ORDER_FILLED = 6
ORDER_OUTCOME = 7
ORDER_CLOSED = 13
CLOSE_FIELDS = ("row", "order", "filled", "outcome")
ACCRUAL_FIELDS = ("row", "instrument", "amount_e8", "what")
FUNDING, BORROW, INTEREST = constant(0), constant(1), constant(2)
ACCRUAL_NAMES = ("funding", "borrow", "interest")

# What was decided for an instrument on a bar, in `Recorder.decisions`.
DECISION_TARGET = 0
DECISION_REASON = 1
DECISION_CAUSE = 2
DECISION_ROWS = 3
NO_TARGET = constant(-(2**62))


class Recorder(NamedTuple):
    """Where a run writes. Arrays of length 0 switch a kind of record off.

    Attributes
    ----------
    fills, orders, closes, accruals
        Shapes (F, 9), (O, 14), (C, 4) and (A, 4): see `FILL_FIELDS` and the names after it.
    fill_start, order_start, close_start, accrual_start
        Shape (P + 1,): rows of account p are `fill_start[p]` to `fill_start[p + 1]`.
    equity, cash, gross, turnover
        Shape (P, rows) or (0, 0): equity and cash after the bar, value of positions and one-way turnover of
        the bar's fills as shares of it.
    decisions
        Shape (P, rows, 3, N) or (0, 0, 0, 0): target lots (`NO_TARGET`: not decided), reason and cause.
    decided
        Shape (P, rows, N) or (0, 0, 0): weights after limits of the instruments decided on the bar, else NaN.
    first_row
        Row of the panel that stands first in the arrays above.
    """

    fills: IntArray
    orders: IntArray
    closes: IntArray
    accruals: IntArray
    fill_start: IntArray
    order_start: IntArray
    close_start: IntArray
    accrual_start: IntArray
    equity: FloatArray
    cash: FloatArray
    gross: FloatArray
    turnover: FloatArray
    decided: FloatArray
    decisions: IntArray
    first_row: int


@inlined_kernel
def open_order(
    account: int,
    bar: int,
    n: int,
    lots: int,
    limit: float,
    trigger: float,
    kind: int,
    force: int,
    expires: int,
    cause: int,
    reason: int,
    parent: int,
    counts: IntArray,
    recorder: Recorder,
) -> int:
    """Write an order down; return its number, counted from 0 in each account."""
    number: int = counts[ORDERS]
    counts[ORDERS] += 1
    place = recorder.order_start[account] + number
    if place < recorder.order_start[account + 1]:
        order = recorder.orders[place]
        order[0] = bar
        order[1] = n
        order[2] = lots
        order[3] = int(math.floor(limit * 1e8 + 0.5))
        order[4] = cause
        order[5] = reason
        order[6] = 0
        order[7] = 0
        order[8] = kind
        order[9] = int(math.floor(trigger * 1e8 + 0.5))
        order[10] = force
        order[11] = expires
        order[12] = parent
        order[ORDER_CLOSED] = -1
    return number


@inlined_kernel
def close_order(
    account: int, bar: int, number: int, filled: int, outcome: int, counts: IntArray, recorder: Recorder
) -> None:
    """Write down what became of an order."""
    start = recorder.order_start[account]
    # A recorder of one bar does not hold the orders of earlier ones.
    if start + number >= 0 and start + number < recorder.order_start[account + 1]:
        recorder.orders[start + number, ORDER_FILLED] = filled
        recorder.orders[start + number, ORDER_OUTCOME] = outcome
        recorder.orders[start + number, ORDER_CLOSED] = bar
    place = recorder.close_start[account] + counts[CLOSES]
    counts[CLOSES] += 1
    if place < recorder.close_start[account + 1]:
        recorder.closes[place, 0] = bar
        recorder.closes[place, 1] = number
        recorder.closes[place, 2] = filled
        recorder.closes[place, 3] = outcome


@inlined_kernel
def record_accrual(
    account: int, bar: int, n: int, amount_e8: int, what: int, counts: IntArray, recorder: Recorder
) -> None:
    """Write down cash that moved without a fill."""
    place = recorder.accrual_start[account] + counts[ACCRUALS]
    counts[ACCRUALS] += 1
    if place < recorder.accrual_start[account + 1]:
        recorder.accruals[place, 0] = bar
        recorder.accruals[place, 1] = n
        recorder.accruals[place, 2] = amount_e8
        recorder.accruals[place, 3] = what


@inlined_kernel
def record_decision(
    account: int, bar: int, n: int, target: int, reason: int, cause: int, recorder: Recorder
) -> None:
    """Write down what a bar decided for an instrument, an order or none."""
    if recorder.decisions.shape[0] > 0:
        row = recorder.decisions[account, bar - recorder.first_row]
        row[DECISION_TARGET, n] = target
        row[DECISION_REASON, n] = reason
        row[DECISION_CAUSE, n] = cause
