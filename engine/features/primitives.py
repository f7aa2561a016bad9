"""Operators that are one node of a graph, or a short sum of such: the words that all others are made of.

Strategies import them from `operators`, which says what holds for all of them.
"""

import math

from engine.domain.errors import InvalidValueError
from engine.domain.time import Timeframe
from engine.features.calendar import OPENED_AT, CalendarValue
from engine.features.expression import Expression, node, operand
from engine.features.opcodes import Op
from engine.features.window import WindowFunction, identity_of

Operand = Expression | float


def whole_number(operator: str, what: str, value: object, at_least: int = 1) -> int:
    """Return a parameter that is a whole number of at least so much.

    Raises
    ------
    InvalidValueError
        If it is anything else, naming operator and parameter.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise InvalidValueError(
            f"{operator}: {what} must be a whole number of at least {at_least}, was {value!r}"
        )
    return value


def field(name: str) -> Expression:
    """Return a field of the panel by name: a price, the volume, or extra data such as `market`."""
    if not name:
        raise InvalidValueError(f"field: name must be a text that is not empty, was {name!r}")
    if name == OPENED_AT:
        raise InvalidValueError(
            f"field: {name} is the time of a bar, ask for hour, weekday, day_of_month or month"
        )
    return node(Op.FIELD, (), (name,))


open_ = field("open")
high = field("high")
low = field("low")
close = field("close")
volume = field("volume")


# The clock on the wall

hour = node(Op.CALENDAR, (), (CalendarValue.HOUR.value,))
weekday = node(Op.CALENDAR, (), (CalendarValue.WEEKDAY.value,))
day_of_month = node(Op.CALENDAR, (), (CalendarValue.DAY_OF_MONTH.value,))
month = node(Op.CALENDAR, (), (CalendarValue.MONTH.value,))
_day = node(Op.CALENDAR, (), (CalendarValue.DAY.value,))


def constant(value: float) -> Expression:
    """Return the same number for every instrument and bar."""
    return operand(value)


def of(symbol: str, x: Operand) -> Expression:
    """Return the value that `x` has for one instrument, for all instruments (pairs, market filters)."""
    if not symbol:
        raise InvalidValueError(f"of: symbol must be a text that is not empty, was {symbol!r}")
    return node(Op.OF, (operand(x),), (symbol,))


# Element by element


def minimum(x: Operand, y: Operand) -> Expression:
    """Return the smaller of two values."""
    return node(Op.MINIMUM, (operand(x), operand(y)))


def maximum(x: Operand, y: Operand) -> Expression:
    """Return the larger of two values."""
    return node(Op.MAXIMUM, (operand(x), operand(y)))


def log(x: Operand) -> Expression:
    """Return the natural logarithm, NaN where `x` is not positive."""
    return node(Op.LOG, (operand(x),))


def exp(x: Operand) -> Expression:
    """Return e to the power of `x`."""
    return node(Op.EXP, (operand(x),))


def sqrt(x: Operand) -> Expression:
    """Return the square root, NaN where `x` is negative."""
    return node(Op.SQRT, (operand(x),))


def sign(x: Operand) -> Expression:
    """Return -1, 0 or 1."""
    return node(Op.SIGN, (operand(x),))


def floor(x: Operand) -> Expression:
    """Return the largest whole number that is not above `x`."""
    return node(Op.FLOOR, (operand(x),))


def known(x: Operand) -> Expression:
    """Return 1 where `x` is known and 0 where it is NaN: this operator alone answers NaN."""
    return node(Op.KNOWN, (operand(x),))


def clip(x: Operand, low: Operand, high: Operand) -> Expression:
    """Return `x`, but nothing below `low` and nothing above `high`."""
    return minimum(maximum(x, low), high)


def equal(x: Operand, y: Operand) -> Expression:
    """Return 1 where both values are equal to the last bit, else 0."""
    return node(Op.EQUAL, (operand(x), operand(y)))


def where(condition: Operand, x: Operand, y: Operand) -> Expression:
    """Return `x` where the condition is true, `y` where it is false, NaN where it is NaN."""
    return node(Op.WHERE, (operand(condition), operand(x), operand(y)))


# Over time


def resample(timeframe: str, x: Operand) -> Expression:
    """Return the value of `x` on the bars of a slower timeframe, as of the last of them that is closed.

    `resample("1d", sma(close, 20))` is the average of 20 daily closes. A slower bar holds the bars that open
    within it, days begin at midnight UTC. It is closed with the bar that ends it; where that one is missing,
    with the first bar after it. Open, high, low and close of a slower bar are the first, largest, smallest
    and last that are known; `volume`, `buy_volume` and `sell_volume` are sums; of other fields the last value
    counts. NaN until a slower bar is closed, and where the instrument did not trade in the last of them.

    Parameters
    ----------
    timeframe
        Such as "4h" or "1d"; not shorter than the bars of the panel.

    Raises
    ------
    InvalidValueError
        For a timeframe that does not exist.
    """
    if timeframe not in {one.value for one in Timeframe}:
        names = ", ".join(one.value for one in Timeframe)
        raise InvalidValueError(f"resample: timeframe must be one of {names}, was {timeframe!r}")
    return node(Op.RESAMPLE, (operand(x),), (str(timeframe),))


def last_known(x: Operand, limit: int) -> Expression:
    """Return the latest value that was known, while it is at most `limit` bars old.

    The one operator that bridges bars without a value, such as those between two payments of funding. Here
    every bar counts, also one in which the instrument did not trade.
    """
    return node(Op.LAST_KNOWN, (operand(x),), (whole_number("last_known", "limit", limit),))


def lag(x: Operand, length: int = 1) -> Expression:
    """Return the value `length` observations ago."""
    return node(Op.LAG, (operand(x),), (whole_number("lag", "length", length),))


def diff(x: Operand, length: int = 1) -> Expression:
    """Return the change over `length` observations."""
    return operand(x) - lag(x, whole_number("diff", "length", length))


def returns(x: Operand, length: int = 1) -> Expression:
    """Return the simple return over `length` observations."""
    return operand(x) / lag(x, whole_number("returns", "length", length)) - 1.0


def log_returns(x: Operand, length: int = 1) -> Expression:
    """Return the logarithmic return over `length` observations."""
    return log(operand(x) / lag(x, whole_number("log_returns", "length", length)))


def rolling_sum(x: Operand, length: int) -> Expression:
    """Return the sum of the last `length` observations."""
    return node(Op.ROLLING_SUM, (operand(x),), (whole_number("rolling_sum", "length", length),))


def sma(x: Operand, length: int) -> Expression:
    """Return the simple average of the last `length` observations."""
    return node(Op.ROLLING_MEAN, (operand(x),), (whole_number("sma", "length", length),))


def rolling_std(x: Operand, length: int) -> Expression:
    """Return the sample standard deviation (divisor `length` - 1) of the last `length` observations."""
    return node(Op.ROLLING_STD, (operand(x),), (whole_number("rolling_std", "length", length, 2),))


def rolling_min(x: Operand, length: int) -> Expression:
    """Return the smallest of the last `length` observations."""
    return node(Op.ROLLING_MIN, (operand(x),), (whole_number("rolling_min", "length", length),))


def rolling_max(x: Operand, length: int) -> Expression:
    """Return the largest of the last `length` observations."""
    return node(Op.ROLLING_MAX, (operand(x),), (whole_number("rolling_max", "length", length),))


def rolling_quantile(x: Operand, length: int, share: float) -> Expression:
    """Return the value below which `share` of the last `length` observations lie, linear in between."""
    if not 0.0 <= share <= 1.0:
        raise InvalidValueError(f"rolling_quantile: share must be from 0 to 1, was {share!r}")
    steps = (whole_number("rolling_quantile", "length", length), float(share))
    return node(Op.ROLLING_QUANTILE, (operand(x),), steps)


def rolling_median(x: Operand, length: int) -> Expression:
    """Return the median of the last `length` observations."""
    return rolling_quantile(x, whole_number("rolling_median", "length", length), 0.5)


def rolling_rank(x: Operand, length: int) -> Expression:
    """Return the rank of the latest of `length` observations: 0 smallest, 1 largest, ties in the middle."""
    return node(Op.ROLLING_RANK, (operand(x),), (whole_number("rolling_rank", "length", length, 2),))


def zscore(x: Operand, length: int) -> Expression:
    """Return the distance to the average of `length` observations in deviations, NaN if all are equal."""
    length = whole_number("zscore", "length", length, 2)
    deviation = rolling_std(x, length)
    return where(deviation > 0.0, (operand(x) - sma(x, length)) / deviation, math.nan)


def rolling_corr(x: Operand, y: Operand, length: int) -> Expression:
    """Return the correlation of two values over the last `length` bars in which both are known."""
    inputs = (operand(x), operand(y))
    return node(Op.ROLLING_CORR, inputs, (whole_number("rolling_corr", "length", length, 2),))


def rolling_beta(x: Operand, y: Operand, length: int) -> Expression:
    """Return the slope of `x` on `y` over the last `length` bars in which both are known."""
    inputs = (operand(x), operand(y))
    return node(Op.ROLLING_BETA, inputs, (whole_number("rolling_beta", "length", length, 2),))


def rolling_cov(x: Operand, y: Operand, length: int) -> Expression:
    """Return the sample covariance of two values over the last `length` bars in which both are known."""
    inputs = (operand(x), operand(y))
    return node(Op.ROLLING_COVARIANCE, inputs, (whole_number("rolling_cov", "length", length, 2),))


def rolling_skew(x: Operand, length: int) -> Expression:
    """Return the skewness of the last `length` observations, without bias; NaN if all are equal."""
    return node(Op.ROLLING_SKEW, (operand(x),), (whole_number("rolling_skew", "length", length, 3),))


def rolling_kurtosis(x: Operand, length: int) -> Expression:
    """Return the excess kurtosis of the last `length` observations, without bias; NaN if all are equal.

    Excess: 0 for a normal distribution.
    """
    return node(Op.ROLLING_KURTOSIS, (operand(x),), (whole_number("rolling_kurtosis", "length", length, 4),))


def rolling_deviation(x: Operand, length: int) -> Expression:
    """Return the mean absolute distance of the last `length` observations to their average."""
    return node(Op.ROLLING_DEVIATION, (operand(x),), (whole_number("rolling_deviation", "length", length),))


def wma(x: Operand, length: int) -> Expression:
    """Return the average of the last `length` observations with weights 1, 2, ..., `length`, oldest first."""
    return node(Op.ROLLING_WEIGHTED_MEAN, (operand(x),), (whole_number("wma", "length", length),))


def rolling_slope(x: Operand, length: int) -> Expression:
    """Return the slope per bar of a straight line through the last `length` observations."""
    length = whole_number("rolling_slope", "length", length, 2)
    return (wma(x, length) - sma(x, length)) * (6.0 / (length - 1))


def volatility(x: Operand, length: int) -> Expression:
    """Return the standard deviation of the last `length` simple returns, per bar."""
    return rolling_std(returns(x), whole_number("volatility", "length", length, 2))


def ema(x: Operand, span: int) -> Expression:
    """Return the exponential average with weight 2 / (span + 1), started at the first observation."""
    return node(Op.EMA, (operand(x),), (whole_number("ema", "span", span),))


def wilder(x: Operand, length: int) -> Expression:
    """Return Wilder's average, with weight 1 / length, started at the first observation."""
    return node(Op.WILDER, (operand(x),), (whole_number("wilder", "length", length),))


def latch(entry: Operand, leave: Operand, memory: int = 252) -> Expression:
    """Return 1 from an entry until an exit, 0 from an exit until an entry; an exit wins in the same bar.

    Parameters
    ----------
    memory
        After this many observations without entry or exit it is 0: a value then depends on a known number of
        bars, and an account that starts later holds the same.
    """
    inputs = (operand(entry), operand(leave))
    return node(Op.LATCH, inputs, (whole_number("latch", "memory", memory),))


def bars_since(condition: Operand, limit: int = 252) -> Expression:
    """Return how many observations ago the condition was last true, at most `limit`."""
    return node(Op.BARS_SINCE, (operand(condition),), (whole_number("bars_since", "limit", limit),))


def window_function(function: WindowFunction, length: int, *inputs: Operand) -> Expression:
    """Return what a Python function says of the last `length` observations of each instrument.

    Parameters
    ----------
    function
        Called once per bar and instrument with one read-only array an input, Shape (length,), oldest first;
        it returns a number. It must be defined at the top of a file under `strategies/` and use constants
        only: the hash of the expression covers that file and what it imports from `strategies`, nothing
        else. A bar counts as an observation where all inputs are known.
    inputs
        At least one; what the function sees, in this order.

    Raises
    ------
    InvalidValueError
        If the function could remember or see something that the hash does not cover.
    """
    length = whole_number("window_function", "length", length)
    if not inputs:
        raise InvalidValueError("window_function: give at least one input, such as close")
    name, source_hash = identity_of(function)
    parameters = (length, name, source_hash)
    return node(Op.WINDOW_FUNCTION, tuple(map(operand, inputs)), parameters, function)


session_open = ~equal(_day, lag(_day))

# Across instruments


def cross_rank(x: Operand) -> Expression:
    """Return the rank among the instruments of the bar: 0 smallest, 1 largest, ties share the middle."""
    return node(Op.CROSS_RANK, (operand(x),))


def cross_zscore(x: Operand) -> Expression:
    """Return the distance to the mean of the bar in sample standard deviations; NaN if all are equal."""
    return node(Op.CROSS_ZSCORE, (operand(x),))


def cross_demean(x: Operand) -> Expression:
    """Return the distance to the mean of the bar."""
    return node(Op.CROSS_DEMEAN, (operand(x),))


def top_k(x: Operand, k: int) -> Expression:
    """Return 1 for the `k` instruments with the largest value in the bar, else 0; ties go by column."""
    return node(Op.TOP_K, (operand(x),), (whole_number("top_k", "k", k),))


def cross_mean(x: Operand) -> Expression:
    """Return the mean of the bar, the same for all instruments that have a value."""
    return node(Op.CROSS_MEAN, (operand(x),))


def neutralise(x: Operand, on: Operand) -> Expression:
    """Return what is left of `x` when its part that goes with `on` is taken out, bar by bar.

    The residual of a regression of `x` on `on` across instruments, with intercept: its mean is 0 and it does
    not go with `on`. Where `on` is the same for all it explains nothing: the distance to the mean is left.
    """
    return node(Op.CROSS_RESIDUAL, (operand(x), operand(on)))
