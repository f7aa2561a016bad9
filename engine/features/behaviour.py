"""What each operator does with bars that are not known, and who wins a tie: one table, held by tests.

A halt, a hole and the time before a late listing are the same thing to an operator: bars with NaN.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple


class Unknown(Enum):
    """What an operator makes of NaN; the value says it to a person."""

    EACH_BAR = "NaN where an input is NaN; nothing is remembered"
    OBSERVATIONS = (
        "NaN where an input is NaN, and what is remembered stands still: values are those of a panel "
        "without that bar"
    )
    ACROSS = "NaN where an input is NaN; the others are compared without that instrument"
    CHOSEN_SIDE = "NaN where the condition or the chosen side is NaN; the other side does not matter"
    ANSWERED = "0 where the input is NaN"
    BRIDGED = "the last known value, as long as it is at most `limit` bars old; every bar counts"
    LAST_CLOSED = "NaN where the instrument did not trade in the last closed slower bar"
    ONE_FOR_ALL = "NaN for all where that instrument has NaN"
    NO_INPUT = "never NaN because of an instrument: it has no input"


class Behaviour(NamedTuple):
    """What is declared of one operator.

    Attributes
    ----------
    ties
        What equal values, or values that do not move, give; empty where there is nothing to decide.
    """

    unknown: Unknown
    ties: str = ""


_SHARED = "equal values share the middle of their ranks"
_STILL = "NaN where nothing moves"

BEHAVIOUR: Mapping[str, Behaviour] = MappingProxyType(
    {
        "+ - * /": Behaviour(Unknown.EACH_BAR, "x / 0 is infinite, 0 / 0 is NaN (IEEE 754)"),
        "- abs": Behaviour(Unknown.EACH_BAR),
        "> >= < <=": Behaviour(Unknown.EACH_BAR, "strict as written: equal is not greater; 0 equals -0"),
        "& | ~": Behaviour(Unknown.EACH_BAR, "every number but 0 is true"),
        "field": Behaviour(Unknown.EACH_BAR),
        "constant": Behaviour(Unknown.NO_INPUT),
        "hour weekday day_of_month month": Behaviour(Unknown.NO_INPUT),
        "session_open": Behaviour(Unknown.NO_INPUT, "NaN on the very first bar: it may be in mid-session"),
        "of": Behaviour(Unknown.ONE_FOR_ALL),
        "minimum": Behaviour(Unknown.EACH_BAR),
        "maximum": Behaviour(Unknown.EACH_BAR),
        "clip": Behaviour(Unknown.EACH_BAR, "a `low` above `high` gives `high`"),
        "log": Behaviour(Unknown.EACH_BAR, "NaN at 0 and below"),
        "exp": Behaviour(Unknown.EACH_BAR),
        "sqrt": Behaviour(Unknown.EACH_BAR, "NaN below 0"),
        "sign": Behaviour(Unknown.EACH_BAR, "0 at 0"),
        "floor": Behaviour(Unknown.EACH_BAR, "a whole number is its own"),
        "known": Behaviour(Unknown.ANSWERED),
        "equal": Behaviour(Unknown.EACH_BAR, "equal to the last bit; 0 equals -0"),
        "where": Behaviour(Unknown.CHOSEN_SIDE),
        "resample": Behaviour(Unknown.LAST_CLOSED),
        "last_known": Behaviour(Unknown.BRIDGED),
        "lag": Behaviour(Unknown.OBSERVATIONS),
        "diff": Behaviour(Unknown.OBSERVATIONS),
        "returns": Behaviour(Unknown.OBSERVATIONS),
        "log_returns": Behaviour(Unknown.OBSERVATIONS),
        "rolling_sum": Behaviour(Unknown.OBSERVATIONS),
        "sma": Behaviour(
            Unknown.OBSERVATIONS, "a value that stands still is its own average, to the last bit"
        ),
        "wma": Behaviour(
            Unknown.OBSERVATIONS, "a value that stands still is its own average, to the last bit"
        ),
        "rolling_std": Behaviour(Unknown.OBSERVATIONS, "exactly 0 where nothing moves"),
        "rolling_min": Behaviour(Unknown.OBSERVATIONS),
        "rolling_max": Behaviour(Unknown.OBSERVATIONS),
        "rolling_quantile": Behaviour(Unknown.OBSERVATIONS, "linear between neighbours"),
        "rolling_median": Behaviour(Unknown.OBSERVATIONS, "the mean of the two in the middle"),
        "rolling_rank": Behaviour(Unknown.OBSERVATIONS, _SHARED),
        "zscore": Behaviour(Unknown.OBSERVATIONS, _STILL),
        "rolling_corr": Behaviour(Unknown.OBSERVATIONS, "NaN where one of them does not move"),
        "rolling_beta": Behaviour(Unknown.OBSERVATIONS, "NaN where the second does not move"),
        "rolling_cov": Behaviour(Unknown.OBSERVATIONS, "exactly 0 where one of them does not move"),
        "rolling_skew": Behaviour(Unknown.OBSERVATIONS, _STILL),
        "rolling_kurtosis": Behaviour(Unknown.OBSERVATIONS, _STILL),
        "rolling_deviation": Behaviour(Unknown.OBSERVATIONS, "exactly 0 where nothing moves"),
        "rolling_slope": Behaviour(Unknown.OBSERVATIONS, "exactly 0 where nothing moves"),
        "volatility": Behaviour(Unknown.OBSERVATIONS, "exactly 0 where nothing moves"),
        "ema": Behaviour(
            Unknown.OBSERVATIONS, "a value that stands still is its own average, to the last bit"
        ),
        "wilder": Behaviour(
            Unknown.OBSERVATIONS, "a value that stands still is its own average, to the last bit"
        ),
        "latch": Behaviour(Unknown.OBSERVATIONS, "an exit wins over an entry in the same bar"),
        "bars_since": Behaviour(Unknown.OBSERVATIONS),
        "roc": Behaviour(Unknown.OBSERVATIONS),
        "rsi": Behaviour(Unknown.OBSERVATIONS, _STILL),
        "macd": Behaviour(Unknown.OBSERVATIONS, "exactly 0 where nothing moves"),
        "stochastic": Behaviour(Unknown.OBSERVATIONS, "NaN where the window has no range"),
        "williams_r": Behaviour(Unknown.OBSERVATIONS, "NaN where the window has no range"),
        "cci": Behaviour(Unknown.OBSERVATIONS, _STILL),
        "efficiency_ratio": Behaviour(Unknown.OBSERVATIONS, _STILL),
        "typical_price": Behaviour(Unknown.EACH_BAR),
        "true_range": Behaviour(Unknown.OBSERVATIONS),
        "atr": Behaviour(Unknown.OBSERVATIONS),
        "directional": Behaviour(
            Unknown.OBSERVATIONS, "as far up as down is no direction; ADX is 0 where nothing moved"
        ),
        "plus_di": Behaviour(Unknown.OBSERVATIONS, "as far up as down counts for neither side"),
        "minus_di": Behaviour(Unknown.OBSERVATIONS, "as far up as down counts for neither side"),
        "adx": Behaviour(Unknown.OBSERVATIONS, "0 where nothing moved"),
        "bollinger": Behaviour(Unknown.OBSERVATIONS, "the bands meet where nothing moves: percent is NaN"),
        "bollinger_upper": Behaviour(Unknown.OBSERVATIONS),
        "bollinger_lower": Behaviour(Unknown.OBSERVATIONS),
        "percent_b": Behaviour(Unknown.OBSERVATIONS, _STILL),
        "donchian": Behaviour(Unknown.OBSERVATIONS),
        "donchian_upper": Behaviour(Unknown.OBSERVATIONS),
        "donchian_lower": Behaviour(Unknown.OBSERVATIONS),
        "keltner": Behaviour(Unknown.OBSERVATIONS),
        "vwap": Behaviour(Unknown.OBSERVATIONS, "NaN without any volume"),
        "obv": Behaviour(Unknown.OBSERVATIONS, "an unchanged close counts for neither side"),
        "mfi": Behaviour(Unknown.OBSERVATIONS, "an unchanged price counts for neither side"),
        "volatility_target": Behaviour(Unknown.OBSERVATIONS, "the cap where nothing moves"),
        "window_function": Behaviour(Unknown.OBSERVATIONS),
        "cross_rank": Behaviour(Unknown.ACROSS, f"{_SHARED}; one alone ranks 0.5"),
        "cross_zscore": Behaviour(Unknown.ACROSS, "NaN where all are equal, or one is alone"),
        "cross_demean": Behaviour(Unknown.ACROSS),
        "cross_mean": Behaviour(Unknown.ACROSS),
        "top_k": Behaviour(Unknown.ACROSS, "of equal values the earlier column is taken"),
        "neutralise": Behaviour(Unknown.ACROSS, "an `on` that is equal for all explains nothing"),
        "obi": Behaviour(Unknown.EACH_BAR, "NaN where nobody quotes"),
        "cvd": Behaviour(Unknown.OBSERVATIONS),
        "ofi": Behaviour(Unknown.OBSERVATIONS, "at an unchanged price the change of the size counts"),
    }
)
