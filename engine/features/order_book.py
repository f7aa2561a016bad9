"""What the order book and the sides of trades say, for panels that have those fields.

They are fields of the panel by these names: `bid`, `ask` (best prices at the close of the bar), `bid_size`,
`ask_size` (units that rest there), `buy_volume`, `sell_volume` (units of the bar by the side that took). A
panel without them is refused, and the message names the field.
"""

import math

from engine.features.expression import Expression
from engine.features.primitives import field, known, lag, rolling_sum, where, whole_number


def obi() -> Expression:
    """Return the order book imbalance at the best prices: -1 all are sellers, 1 all are buyers.

    NaN where nobody quotes.
    """
    bids, asks = field("bid_size"), field("ask_size")
    return (bids - asks) / (bids + asks)


def cvd(length: int) -> Expression:
    """Return the cumulative volume delta: volume of takers who bought minus sold, over `length` bars.

    A sum from the first bar on would depend on where the data begins; within a window it does not.
    """
    taken = field("buy_volume") - field("sell_volume")
    return rolling_sum(taken, whole_number("cvd", "length", length))


def ofi(length: int = 1) -> Expression:
    """Return the order flow imbalance of the best quotes, summed over `length` bars.

    Size that came to the bid or left the ask counts for buyers, the reverse for sellers (Cont, Kukanov and
    Stoikov 2014, The price impact of order book events, Journal of Financial Econometrics 12(1), eq. 3).
    A bar counts where all four fields are known.
    """
    length = whole_number("ofi", "length", length)
    names = ("bid", "ask", "bid_size", "ask_size")
    quoted = known(field(names[0]) + field(names[1]) + field(names[2]) + field(names[3]))
    bid, ask, bid_size, ask_size = (where(quoted, field(name), math.nan) for name in names)
    came_to_bid = where(bid >= lag(bid), bid_size, 0.0) - where(bid <= lag(bid), lag(bid_size), 0.0)
    came_to_ask = where(ask <= lag(ask), ask_size, 0.0) - where(ask >= lag(ask), lag(ask_size), 0.0)
    return rolling_sum(came_to_bid - came_to_ask, length)
