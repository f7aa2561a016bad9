"""Every kind of node that an expression graph can have: one number each, which compiled code switches on."""

from enum import IntEnum


class Op(IntEnum):
    """What a node does. Numbers may change between versions; hashes use the names."""

    FIELD = 0
    CONSTANT = 1
    COPY = 2
    OF = 3
    WINDOW_FUNCTION = 4
    CALENDAR = 5
    RESAMPLE = 6

    NEGATE = 10
    ABSOLUTE = 11
    LOG = 12
    EXP = 13
    SQRT = 14
    SIGN = 15
    NOT = 16
    FLOOR = 17
    KNOWN = 18

    ADD = 20
    SUBTRACT = 21
    MULTIPLY = 22
    DIVIDE = 23
    MINIMUM = 24
    MAXIMUM = 25
    GREATER = 26
    GREATER_EQUAL = 27
    LESS = 28
    LESS_EQUAL = 29
    EQUAL = 30
    AND = 31
    OR = 32
    WHERE = 33

    LAG = 40
    ROLLING_SUM = 41
    ROLLING_MEAN = 42
    ROLLING_STD = 43
    ROLLING_MIN = 44
    ROLLING_MAX = 45
    ROLLING_QUANTILE = 46
    ROLLING_RANK = 47
    ROLLING_CORR = 48
    ROLLING_BETA = 49
    ROLLING_COVARIANCE = 50
    ROLLING_SKEW = 51
    ROLLING_KURTOSIS = 52
    ROLLING_DEVIATION = 53
    ROLLING_WEIGHTED_MEAN = 54

    EMA = 60
    WILDER = 61
    LATCH = 62
    BARS_SINCE = 63
    LAST_KNOWN = 64

    CROSS_RANK = 70
    CROSS_ZSCORE = 71
    CROSS_DEMEAN = 72
    TOP_K = 73
    CROSS_RESIDUAL = 74
    CROSS_MEAN = 75


LEAVES = frozenset({Op.FIELD, Op.WINDOW_FUNCTION, Op.CALENDAR, Op.RESAMPLE})
"""Nodes whose values come in from outside the compiled interpreter."""

TRUTHS = frozenset(
    {
        Op.GREATER,
        Op.GREATER_EQUAL,
        Op.LESS,
        Op.LESS_EQUAL,
        Op.EQUAL,
        Op.AND,
        Op.OR,
        Op.NOT,
        Op.KNOWN,
    }
)
"""Nodes whose values are 1, 0 or NaN."""
