"""Why an order was cut, refused or sent: one code a fact, each with its plain sentence."""

from enum import IntEnum


class Cause(IntEnum):
    """What made the core decide on a target."""

    NONE = 0
    SIGNAL = 1
    REBASE = 2
    TIER = 3
    HALT = 4
    DELISTED = 5


class Reason(IntEnum):
    """What happened to an order or a target. `NONE`: it went through as decided."""

    NONE = 0
    CUT_GROSS = 1
    CUT_INSTRUMENT = 2
    CUT_CLUSTER = 3
    CUT_TIER = 4
    CUT_CASH = 5
    CUT_PARTICIPATION = 6
    PRICE_OUTSIDE_BOUND = 7
    NOT_TRADED = 8
    BELOW_MINIMUM = 9
    SHORT_NOT_ALLOWED = 10
    HALT_DRAWDOWN = 11
    DELISTED_EXIT = 12
    NO_RANGE_DATA = 13
    NO_VOLUME = 14


SENTENCES: dict[Reason, str] = {
    Reason.NONE: "as decided",
    Reason.CUT_GROSS: "reduced: the sum of all positions would exceed the gross limit",
    Reason.CUT_INSTRUMENT: "reduced: one instrument would exceed its limit",
    Reason.CUT_CLUSTER: "reduced: instruments that move together would exceed their limit",
    Reason.CUT_TIER: "reduced: the account is in a drawdown tier",
    Reason.CUT_CASH: "reduced: not enough cash for all buys of the bar",
    Reason.CUT_PARTICIPATION: "reduced: the order would be too large a share of the bar's volume",
    Reason.PRICE_OUTSIDE_BOUND: "expired: the price moved further than the order's bound",
    Reason.NOT_TRADED: "not filled: the instrument did not trade in this bar",
    Reason.BELOW_MINIMUM: "not sent: below the smallest order",
    Reason.SHORT_NOT_ALLOWED: "set to zero: short positions are not allowed",
    Reason.HALT_DRAWDOWN: "closed: the drawdown reached the halt tier",
    Reason.DELISTED_EXIT: "booked out: the instrument stopped trading",
    Reason.NO_RANGE_DATA: "refused: the data has closes only, this order kind needs highs and lows",
    Reason.NO_VOLUME: "not filled: the bar has no volume",
}
