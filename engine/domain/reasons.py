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
    STOP = 6
    TRAIL = 7
    TAKE_PROFIT = 8


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
    EXPIRED = 15
    REPLACED = 16
    FILL_OR_KILL = 17
    NO_PRICE = 18
    AT_TARGET = 19
    NOT_DECIDED = 20
    CUT_SHORT = 21
    CUT_NET = 22
    RUINED = 23
    IN_FLIGHT = 24
    ONE_CANCELS_OTHER = 25
    POSITION_CLOSED = 26
    AMBIGUOUS_BAR = 27


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
    Reason.EXPIRED: "expired: not filled in the time that it had",
    Reason.REPLACED: "cancelled: a later decision took its place",
    Reason.FILL_OR_KILL: "cancelled: could not be filled at once and in full",
    Reason.NO_PRICE: "no order: a price that it needs is not known",
    Reason.AT_TARGET: "no order: the position is at its target",
    Reason.NOT_DECIDED: "no order: nothing changed",
    Reason.CUT_SHORT: "reduced: short positions would exceed their limit",
    Reason.CUT_NET: "reduced: longs less shorts would exceed the net limit",
    Reason.RUINED: "closed: the account has no equity left",
    Reason.IN_FLIGHT: "no order: the one before has not arrived yet",
    Reason.ONE_CANCELS_OTHER: "cancelled: the other order of the bracket was filled",
    Reason.POSITION_CLOSED: "cancelled: the position that it belongs to is closed",
    Reason.AMBIGUOUS_BAR: "order of prices inside the bar unknown: the worse one was taken",
}

CAUSES: dict[Cause, str] = {
    Cause.NONE: "no cause on record",
    Cause.SIGNAL: "the signal changed",
    Cause.REBASE: "back to its base weight",
    Cause.TIER: "a drawdown tier makes positions smaller",
    Cause.HALT: "the drawdown halt closes everything",
    Cause.DELISTED: "the instrument stopped trading",
    Cause.STOP: "the stop of the position",
    Cause.TRAIL: "the trailing stop of the position",
    Cause.TAKE_PROFIT: "the profit target of the position",
}
