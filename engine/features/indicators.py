"""Indicators of the trade, made of `primitives`. Some have several outputs: a tuple of named expressions."""

import math
from typing import NamedTuple

from engine.domain.errors import InvalidValueError
from engine.features.expression import Expression, operand
from engine.features.primitives import (
    Operand,
    close,
    diff,
    ema,
    high,
    lag,
    low,
    maximum,
    minimum,
    returns,
    rolling_deviation,
    rolling_max,
    rolling_min,
    rolling_std,
    rolling_sum,
    sign,
    sma,
    sqrt,
    volatility,
    volume,
    where,
    whole_number,
    wilder,
)


class Macd(NamedTuple):
    """Difference of two averages, its own average, and what is between them."""

    line: Expression
    signal: Expression
    histogram: Expression


class Bollinger(NamedTuple):
    """Bands around an average; their width as a share of it; where the value stands, 0 lower and 1 upper."""

    lower: Expression
    middle: Expression
    upper: Expression
    width: Expression
    percent: Expression


class Channel(NamedTuple):
    """Two borders and what is between them."""

    lower: Expression
    middle: Expression
    upper: Expression


class Directional(NamedTuple):
    """Share of the movement that goes up, share that goes down, and how one-sided that is; 0 to 100."""

    plus: Expression
    minus: Expression
    adx: Expression


class Stochastic(NamedTuple):
    """Where the close stands within the range of a window, 0 to 100, and the average of that."""

    k: Expression
    d: Expression


# Momentum


def roc(x: Operand, length: int) -> Expression:
    """Return the rate of change over `length` observations, in percent."""
    return 100.0 * returns(x, whole_number("roc", "length", length))


def rsi(x: Operand, length: int = 14) -> Expression:
    """Return Wilder's relative strength index, 0 to 100 (Wilder 1978, New Concepts in Technical Trading)."""
    length = whole_number("rsi", "length", length)
    change = diff(x)
    gain = wilder(maximum(change, 0.0), length)
    loss = wilder(maximum(-change, 0.0), length)
    return 100.0 * gain / (gain + loss)


def macd(x: Operand, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """Return the fast exponential average minus the slow one, with its own average (Appel 1979)."""
    line = ema(x, whole_number("macd", "fast", fast)) - ema(x, whole_number("macd", "slow", slow))
    average = ema(line, whole_number("macd", "signal", signal))
    return Macd(line=line, signal=average, histogram=line - average)


def stochastic(length: int = 14, smooth: int = 3) -> Stochastic:
    """Return where the close stands between lowest low and highest high of `length` bars (Lane 1984).

    NaN where they are equal.
    """
    length = whole_number("stochastic", "length", length)
    lowest = rolling_min(low, length)
    k = 100.0 * (close - lowest) / (rolling_max(high, length) - lowest)
    return Stochastic(k=k, d=sma(k, whole_number("stochastic", "smooth", smooth)))


def williams_r(length: int = 14) -> Expression:
    """Return how far the close is below the highest high of `length` bars, -100 to 0 (Williams 1979)."""
    length = whole_number("williams_r", "length", length)
    highest = rolling_max(high, length)
    return -100.0 * (highest - close) / (highest - rolling_min(low, length))


def cci(length: int = 20) -> Expression:
    """Return the commodity channel index: distance of the typical price to its average (Lambert 1980)."""
    length = whole_number("cci", "length", length, 2)
    typical = typical_price()
    return (typical - sma(typical, length)) / (0.015 * rolling_deviation(typical, length))


def efficiency_ratio(x: Operand, length: int) -> Expression:
    """Return the way made over the way gone in `length` steps: 1 is straight (Kaufman 1995)."""
    length = whole_number("efficiency_ratio", "length", length)
    return abs(diff(x, length)) / rolling_sum(abs(diff(x)), length)


# Range and trend


def typical_price() -> Expression:
    """Return the mean of high, low and close."""
    return (high + low + close) / 3.0


def true_range() -> Expression:
    """Return the range of the bar, the gap from the last close included (Wilder 1978)."""
    before = lag(close)
    return maximum(high - low, maximum(abs(high - before), abs(low - before)))


def atr(length: int = 14) -> Expression:
    """Return Wilder's average of the true range, in price units (Wilder 1978)."""
    return wilder(true_range(), whole_number("atr", "length", length))


def directional(length: int = 14) -> Directional:
    """Return Wilder's directional movement: +DI, -DI and their average index ADX (Wilder 1978)."""
    length = whole_number("directional", "length", length)
    up = diff(high)
    down = -diff(low)
    rise = wilder(where((up > down) & (up > 0.0), up, 0.0), length)
    fall = wilder(where((down > up) & (down > 0.0), down, 0.0), length)
    span = atr(length)
    both = rise + fall
    # The true range cancels out. Where nothing moved there is no direction, which is known.
    one_sided = where(both > 0.0, 100.0 * abs(rise - fall) / both, 0.0)
    return Directional(plus=100.0 * rise / span, minus=100.0 * fall / span, adx=wilder(one_sided, length))


def plus_di(length: int = 14) -> Expression:
    """Return +DI: the share of the average true range that goes to new highs, 0 to 100 (Wilder 1978)."""
    return directional(whole_number("plus_di", "length", length)).plus


def minus_di(length: int = 14) -> Expression:
    """Return -DI: the share of the average true range that goes to new lows, 0 to 100 (Wilder 1978)."""
    return directional(whole_number("minus_di", "length", length)).minus


def adx(length: int = 14) -> Expression:
    """Return the average directional index: how one-sided movements are, 0 to 100 (Wilder 1978)."""
    return directional(whole_number("adx", "length", length)).adx


def bollinger(x: Operand, length: int = 20, width: float = 2.0) -> Bollinger:
    """Return bands of `width` standard deviations around the average of `length` observations."""
    length = whole_number("bollinger", "length", length, 2)
    lower, upper = bollinger_lower(x, length, width), bollinger_upper(x, length, width)
    middle = sma(x, length)
    return Bollinger(
        lower=lower,
        middle=middle,
        upper=upper,
        width=(upper - lower) / middle,
        percent=(operand(x) - lower) / (upper - lower),
    )


def bollinger_upper(x: Operand, length: int = 20, width: float = 2.0) -> Expression:
    """Return the average plus `width` standard deviations of `length` observations."""
    length = whole_number("bollinger_upper", "length", length, 2)
    return sma(x, length) + width * rolling_std(x, length)


def bollinger_lower(x: Operand, length: int = 20, width: float = 2.0) -> Expression:
    """Return the average minus `width` standard deviations of `length` observations."""
    length = whole_number("bollinger_lower", "length", length, 2)
    return sma(x, length) - width * rolling_std(x, length)


def percent_b(x: Operand, length: int = 20, width: float = 2.0) -> Expression:
    """Return where a value stands between its Bollinger bands: 0 on the lower, 1 on the upper one."""
    return bollinger(x, whole_number("percent_b", "length", length, 2), width).percent


def donchian(length: int = 20) -> Channel:
    """Return lowest low and highest high of the `length` bars before this one, and their middle."""
    length = whole_number("donchian", "length", length)
    lower, upper = donchian_lower(length), donchian_upper(length)
    return Channel(lower=lower, middle=(lower + upper) / 2.0, upper=upper)


def donchian_upper(length: int = 20) -> Expression:
    """Return the highest high of the `length` bars before this one."""
    return lag(rolling_max(high, whole_number("donchian_upper", "length", length)))


def donchian_lower(length: int = 20) -> Expression:
    """Return the lowest low of the `length` bars before this one."""
    return lag(rolling_min(low, whole_number("donchian_lower", "length", length)))


def keltner(length: int = 20, width: float = 2.0, atr_length: int = 10) -> Channel:
    """Return bands of `width` average true ranges around the exponential average of the close."""
    middle = ema(close, whole_number("keltner", "length", length))
    away = width * atr(whole_number("keltner", "atr_length", atr_length))
    return Channel(lower=middle - away, middle=middle, upper=middle + away)


# Volume


def vwap(length: int) -> Expression:
    """Return the average close of `length` observations, weighted by volume."""
    length = whole_number("vwap", "length", length)
    traded = where(close > 0.0, volume, 0.0)
    return rolling_sum(close * volume, length) / rolling_sum(traded, length)


def obv(length: int) -> Expression:
    """Return the volume of bars that closed higher minus that of bars that closed lower, over `length` bars.

    On-balance volume (Granville 1963) sums from the first bar on, so its level depends on where the data
    begins; within a window it does not.
    """
    return rolling_sum(sign(diff(close)) * volume, whole_number("obv", "length", length))


def mfi(length: int = 14) -> Expression:
    """Return the money flow index: share of money traded at a rising price, 0 to 100 (Quong 1989)."""
    length = whole_number("mfi", "length", length)
    typical = typical_price()
    change = diff(typical)
    money = typical * volume
    gain = rolling_sum(where(change > 0.0, money, 0.0), length)
    loss = rolling_sum(where(change < 0.0, money, 0.0), length)
    return 100.0 * gain / (gain + loss)


# Overlays


def volatility_target(
    signal: Operand,
    target: float,
    length: int,
    *,
    bars_a_year: float,
    cap: float = 1.0,
    of_price: Operand = close,
) -> Expression:
    """Return a signal scaled by target over realised volatility, so that each position risks the same.

    Parameters
    ----------
    target
        Volatility a year: 0.15 is 15%.
    length
        Bars that the realised volatility is measured over, of simple returns of `of_price`.
    bars_a_year
        What makes the volatility of a bar that of a year, by its square root: 252 for daily bars of stocks,
        365 for daily and 8,760 for hourly bars around the clock.
    cap
        Largest factor. A signal may not leave -1 to 1, so 1 is the largest for a signal that is 1.

    Raises
    ------
    InvalidValueError
        For a target, a number of bars or a cap that is not above 0.
    """
    for name, value in (("target", target), ("bars_a_year", bars_a_year), ("cap", cap)):
        if not (math.isfinite(value) and value > 0):
            raise InvalidValueError(f"volatility_target: {name} must be a number above 0, was {value!r}")
    a_bar = volatility(of_price, whole_number("volatility_target", "length", length, 2))
    return operand(signal) * minimum(target / (a_bar * sqrt(float(bars_a_year))), cap)
