"""What a run writes down: one row of integers a fill and an order, one row of numbers a bar."""

from typing import NamedTuple

from engine.domain.panel import FloatArray, IntArray

# fills
FILL_FIELDS = ("row", "instrument", "lots", "price_e8", "fee_e8", "cause", "reason")
# orders: `filled` and `outcome` are known one bar after the rest
ORDER_FIELDS = ("row", "instrument", "lots", "limit_e8", "cause", "reason", "filled", "outcome")
ORDER_FILLED = 6
ORDER_OUTCOME = 7


class Recorder(NamedTuple):
    """Where a run writes. Arrays of length 0 switch a kind of record off.

    Attributes
    ----------
    fills, orders
        Shapes (F, 7) and (O, 8): see `FILL_FIELDS` and `ORDER_FIELDS`.
    fill_start, order_start
        Shape (P + 1,): rows of account p are `fill_start[p]` to `fill_start[p + 1]`.
    equity, gross, turnover
        Shape (P, rows) or (0, 0): equity after the bar, value of positions and one-way turnover of the
        bar's fills as shares of it.
    decided
        Shape (P, rows, N) or (0, 0, 0): weights after limits of the instruments decided on the bar, else NaN.
    first_row
        Row of the panel that stands first in the arrays above.
    """

    fills: IntArray
    orders: IntArray
    fill_start: IntArray
    order_start: IntArray
    equity: FloatArray
    gross: FloatArray
    turnover: FloatArray
    decided: FloatArray
    first_row: int
