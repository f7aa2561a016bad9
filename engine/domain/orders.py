"""Kinds of orders, how long they live, and who provided the liquidity of a fill."""

from enum import IntEnum


class OrderKind(IntEnum):
    """How an order trades. The last two only protect a position.

    `MARKET`: at the open of the next bar, whatever it is. `MARKETABLE_LIMIT`: the same, unless the price is
    beyond a bound around the close that it was decided on. `LIMIT`: at its price or better. `STOP`: a market
    order once the price reaches a trigger. `STOP_LIMIT`: a limit order once it does. `TRAILING_STOP`: a stop
    whose trigger follows the best price since the entry. `TAKE_PROFIT`: a limit that closes the position.
    """

    MARKET = 0
    MARKETABLE_LIMIT = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4
    TRAILING_STOP = 5
    TAKE_PROFIT = 6


class TimeInForce(IntEnum):
    """How long an order waits.

    `IOC`: what the first open after it does not fill is cancelled. `FOK`: the same, all or nothing. `DAY`:
    until the last bar of the day. `GTC`: until it is filled, replaced or cancelled, or for as many bars as it
    says.
    """

    IOC = 0
    GTC = 1
    DAY = 2
    FOK = 3


class Liquidity(IntEnum):
    """Whether a fill took liquidity from the book or rested in it; decides the fee."""

    TAKER = 0
    MAKER = 1
