"""What strategies write: panel fields and the operators on them.

Rules that hold for every operator:

- Only the present and earlier bars are used.
- A NaN input means that the instrument did not trade (or is not listed) in that bar: the output is NaN, and
  whatever the operator remembers of that instrument stands still. So lengths count bars in which the
  instrument traded. Operators across instruments work on those that traded in the bar.
- Until enough observations have been seen the output is NaN.
- Truths are 1.0 and 0.0; comparisons are strict as written, and every number but 0 is true.
"""

import math

from engine.domain.errors import InvalidValueError
from engine.features.expression import Expression, node, operand
from engine.features.opcodes import Op
from engine.features.window import WindowFunction, identity_of

Operand = Expression | float


def _length(operator: str, what: str, value: object, at_least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise InvalidValueError(
            f"{operator}: {what} must be a whole number of at least {at_least}, was {value!r}"
        )
    return value


def field(name: str) -> Expression:
    """Return a field of the panel by name: a price, the volume, or extra data such as `market`."""
    if not name:
        raise InvalidValueError(f"field: name must be a text that is not empty, was {name!r}")
    return node(Op.FIELD, (), (name,))


open_ = field("open")
high = field("high")
low = field("low")
close = field("close")
volume = field("volume")


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


def equal(x: Operand, y: Operand) -> Expression:
    """Return 1 where both values are equal to the last bit, else 0."""
    return node(Op.EQUAL, (operand(x), operand(y)))


def where(condition: Operand, x: Operand, y: Operand) -> Expression:
    """Return `x` where the condition is true, `y` where it is false, NaN where it is NaN."""
    return node(Op.WHERE, (operand(condition), operand(x), operand(y)))


# Over time


def lag(x: Operand, length: int = 1) -> Expression:
    """Return the value `length` observations ago."""
    return node(Op.LAG, (operand(x),), (_length("lag", "length", length),))


def diff(x: Operand, length: int = 1) -> Expression:
    """Return the change over `length` observations."""
    return operand(x) - lag(x, _length("diff", "length", length))


def returns(x: Operand, length: int = 1) -> Expression:
    """Return the simple return over `length` observations."""
    return operand(x) / lag(x, _length("returns", "length", length)) - 1.0


def log_returns(x: Operand, length: int = 1) -> Expression:
    """Return the logarithmic return over `length` observations."""
    return log(operand(x) / lag(x, _length("log_returns", "length", length)))


def rolling_sum(x: Operand, length: int) -> Expression:
    """Return the sum of the last `length` observations."""
    return node(Op.ROLLING_SUM, (operand(x),), (_length("rolling_sum", "length", length),))


def sma(x: Operand, length: int) -> Expression:
    """Return the simple average of the last `length` observations."""
    return node(Op.ROLLING_MEAN, (operand(x),), (_length("sma", "length", length),))


def rolling_std(x: Operand, length: int) -> Expression:
    """Return the sample standard deviation (divisor `length` - 1) of the last `length` observations."""
    return node(Op.ROLLING_STD, (operand(x),), (_length("rolling_std", "length", length, 2),))


def rolling_min(x: Operand, length: int) -> Expression:
    """Return the smallest of the last `length` observations."""
    return node(Op.ROLLING_MIN, (operand(x),), (_length("rolling_min", "length", length),))


def rolling_max(x: Operand, length: int) -> Expression:
    """Return the largest of the last `length` observations."""
    return node(Op.ROLLING_MAX, (operand(x),), (_length("rolling_max", "length", length),))


def rolling_quantile(x: Operand, length: int, share: float) -> Expression:
    """Return the value below which `share` of the last `length` observations lie, linear in between."""
    if not 0.0 <= share <= 1.0:
        raise InvalidValueError(f"rolling_quantile: share must be from 0 to 1, was {share!r}")
    steps = (_length("rolling_quantile", "length", length), float(share))
    return node(Op.ROLLING_QUANTILE, (operand(x),), steps)


def rolling_median(x: Operand, length: int) -> Expression:
    """Return the median of the last `length` observations."""
    return rolling_quantile(x, _length("rolling_median", "length", length), 0.5)


def rolling_rank(x: Operand, length: int) -> Expression:
    """Return the rank of the latest of `length` observations: 0 smallest, 1 largest, ties in the middle."""
    return node(Op.ROLLING_RANK, (operand(x),), (_length("rolling_rank", "length", length, 2),))


def zscore(x: Operand, length: int) -> Expression:
    """Return the distance to the average of `length` observations in deviations, NaN if all are equal."""
    length = _length("zscore", "length", length, 2)
    deviation = rolling_std(x, length)
    return where(deviation > 0.0, (operand(x) - sma(x, length)) / deviation, math.nan)


def rolling_corr(x: Operand, y: Operand, length: int) -> Expression:
    """Return the correlation of two values over the last `length` bars in which both are known."""
    inputs = (operand(x), operand(y))
    return node(Op.ROLLING_CORR, inputs, (_length("rolling_corr", "length", length, 2),))


def rolling_beta(x: Operand, y: Operand, length: int) -> Expression:
    """Return the slope of `x` on `y` over the last `length` bars in which both are known."""
    inputs = (operand(x), operand(y))
    return node(Op.ROLLING_BETA, inputs, (_length("rolling_beta", "length", length, 2),))


def volatility(x: Operand, length: int) -> Expression:
    """Return the standard deviation of the last `length` simple returns, per bar."""
    return rolling_std(returns(x), _length("volatility", "length", length, 2))


def ema(x: Operand, span: int) -> Expression:
    """Return the exponential average with weight 2 / (span + 1), started at the first observation."""
    return node(Op.EMA, (operand(x),), (_length("ema", "span", span),))


def wilder(x: Operand, length: int) -> Expression:
    """Return Wilder's average, with weight 1 / length, started at the first observation."""
    return node(Op.WILDER, (operand(x),), (_length("wilder", "length", length),))


def latch(entry: Operand, leave: Operand, memory: int = 252) -> Expression:
    """Return 1 from an entry until an exit, 0 from an exit until an entry; an exit wins in the same bar.

    Parameters
    ----------
    memory
        After this many observations without entry or exit it is 0: a value then depends on a known number of
        bars, and an account that starts later holds the same.
    """
    inputs = (operand(entry), operand(leave))
    return node(Op.LATCH, inputs, (_length("latch", "memory", memory),))


def bars_since(condition: Operand, limit: int = 252) -> Expression:
    """Return how many observations ago the condition was last true, at most `limit`."""
    return node(Op.BARS_SINCE, (operand(condition),), (_length("bars_since", "limit", limit),))


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
    length = _length("window_function", "length", length)
    if not inputs:
        raise InvalidValueError("window_function: give at least one input, such as close")
    name, source_hash = identity_of(function)
    parameters = (length, name, source_hash)
    return node(Op.WINDOW_FUNCTION, tuple(map(operand, inputs)), parameters, function)


# Indicators of the trade, made of the operators above


def rsi(x: Operand, length: int = 14) -> Expression:
    """Return Wilder's relative strength index, 0 to 100 (Wilder 1978, New Concepts in Technical Trading)."""
    length = _length("rsi", "length", length)
    change = diff(x)
    gain = wilder(maximum(change, 0.0), length)
    loss = wilder(maximum(-change, 0.0), length)
    return 100.0 * gain / (gain + loss)


def true_range() -> Expression:
    """Return the range of the bar, the gap from the last close included (Wilder 1978)."""
    before = lag(close)
    return maximum(high - low, maximum(abs(high - before), abs(low - before)))


def atr(length: int = 14) -> Expression:
    """Return Wilder's average of the true range, in price units (Wilder 1978)."""
    return wilder(true_range(), _length("atr", "length", length))


def bollinger_upper(x: Operand, length: int = 20, width: float = 2.0) -> Expression:
    """Return the average plus `width` standard deviations of `length` observations."""
    length = _length("bollinger_upper", "length", length, 2)
    return sma(x, length) + width * rolling_std(x, length)


def bollinger_lower(x: Operand, length: int = 20, width: float = 2.0) -> Expression:
    """Return the average minus `width` standard deviations of `length` observations."""
    length = _length("bollinger_lower", "length", length, 2)
    return sma(x, length) - width * rolling_std(x, length)


def donchian_upper(length: int = 20) -> Expression:
    """Return the highest high of the `length` bars before this one."""
    return lag(rolling_max(high, _length("donchian_upper", "length", length)))


def donchian_lower(length: int = 20) -> Expression:
    """Return the lowest low of the `length` bars before this one."""
    return lag(rolling_min(low, _length("donchian_lower", "length", length)))


def macd(x: Operand, fast: int = 12, slow: int = 26) -> Expression:
    """Return the fast exponential average minus the slow one (Appel 1979)."""
    return ema(x, _length("macd", "fast", fast)) - ema(x, _length("macd", "slow", slow))


def vwap(length: int) -> Expression:
    """Return the average close of `length` observations, weighted by volume."""
    length = _length("vwap", "length", length)
    traded = where(close > 0.0, volume, 0.0)
    return rolling_sum(close * volume, length) / rolling_sum(traded, length)


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
    return node(Op.TOP_K, (operand(x),), (_length("top_k", "k", k),))
