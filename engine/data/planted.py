"""Generated bars with a known edge: the control that a tournament must find.

Twelve instruments follow a market factor with bear markets and clustered volatility. Each of them drifts
up for about a year, then down for about a year, and so on, so that a trend follower must earn a clear
excess. Time constants are in days; a shorter bar scales them.
"""

import numpy as np

from engine.data.calendars import sessions
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, Instrument, IntArray, Panel
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe

DAYS = 3_780
INSTRUMENTS = 12
PACKAGED_SEED = 6
DAYS_PER_YEAR = 252

BEAR_ENTRY = 1 / 600
BEAR_EXIT = 1 / 60
BEAR_SHARE = BEAR_ENTRY / (BEAR_ENTRY + BEAR_EXIT)
BEAR_DRIFT = -0.50
# Such that the drift over bull and bear markets is 8% a year.
BULL_DRIFT = (0.08 - BEAR_DRIFT * BEAR_SHARE) / (1 - BEAR_SHARE)
BEAR_VOLATILITY = 1.6

VOLATILITY_MEMORY = 0.985
VOLATILITY_SPREAD = 0.45
MARKET_VOLATILITY = 0.13
OWN_VOLATILITY = 0.20
LARGEST_SHOCK = 4.0
LARGEST_RETURN = 0.20

EDGE_DAYS = 250.0
EDGE_SHAPE = 4.0
EDGE_SMOOTH = 0.33
JUMPS_PER_YEAR = 3.0
JUMP_SIZE = 0.09

_FIRST_SESSION = "2008-01-02"
_LAST_SESSION = "2023-01-05"
_PRICE_DECIMALS = 4


def generate(seed: int, timeframe: Timeframe) -> Panel:
    """Return the planted set of a seed: XNYS sessions for daily bars, round the clock for hourly ones."""
    match timeframe:
        case Timeframe.DAY_1:
            name, calendar, bars_per_day = "planted", Calendar.XNYS, 1
            stamps = sessions(calendar, _FIRST_SESSION, _LAST_SESSION)
        case Timeframe.HOUR_1:
            name, calendar, bars_per_day = "planted-1h", Calendar.ALWAYS, 24
            start = int(np.datetime64(_FIRST_SESSION, "ns").astype(np.int64))
            stamps = start + np.arange(DAYS * 24, dtype=np.int64) * (NANOSECONDS_PER_DAY // 24)
        case _:
            raise InvalidValueError(f"planted: timeframe must be 1d or 1h, was {timeframe.value}")
    return _bars(np.random.Generator(np.random.PCG64(seed)), stamps, bars_per_day, name, timeframe, calendar)


def _bars(
    random: np.random.Generator,
    stamps: IntArray,
    bars_per_day: int,
    name: str,
    timeframe: Timeframe,
    calendar: Calendar,
) -> Panel:
    rows = len(stamps)
    year = DAYS_PER_YEAR * bars_per_day
    bear = _bear_market(random, rows, bars_per_day)
    market_path = _volatility_path(random, rows, 1, bars_per_day)
    market_volatility = _volatility(market_path, MARKET_VOLATILITY, year)[:, 0] * np.where(
        bear, BEAR_VOLATILITY, 1.0
    )
    factor = (
        np.where(bear, BEAR_DRIFT, BULL_DRIFT) / year + market_volatility * _shocks(random, rows, 1)[:, 0]
    )

    path = 0.6 * market_path + 0.8 * _volatility_path(random, rows, INSTRUMENTS, bars_per_day)
    own_volatility = _volatility(path, OWN_VOLATILITY, year)
    own_shock = _shocks(random, rows, INSTRUMENTS)
    beta = np.linspace(0.7, 1.3, INSTRUMENTS)
    returns = np.clip(
        np.outer(factor, beta) + _edge(random, rows, bars_per_day) + own_volatility * own_shock,
        -LARGEST_RETURN,
        LARGEST_RETURN,
    )
    total_volatility = np.sqrt(np.square(np.outer(market_volatility, beta)) + np.square(own_volatility))
    log_start = np.log(20.0 + 10.0 * np.arange(INSTRUMENTS))
    log_close = log_start + np.cumsum(returns, axis=0)
    log_previous = np.vstack([log_start, log_close[:-1]])
    normal = random.standard_normal((4, rows, INSTRUMENTS))
    log_open = log_previous + 0.35 * returns + 0.25 * total_volatility * normal[0]
    log_high = np.maximum(log_open, log_close) + 0.4 * total_volatility * np.abs(normal[1])
    log_low = np.minimum(log_open, log_close) - 0.4 * total_volatility * np.abs(normal[2])
    volume = 5e6 / bars_per_day * np.exp(0.6 * path + 0.5 * np.abs(own_shock) + 0.3 * normal[3])
    return Panel(
        name=name,
        timestamps=stamps,
        open=_price(log_open),
        high=_price(log_high),
        low=_price(log_low),
        close=_price(log_close),
        volume=np.round(volume),
        instruments=tuple(Instrument(symbol=f"PLANT{number:02d}") for number in range(1, INSTRUMENTS + 1)),
        timeframe=timeframe,
        calendar=calendar,
        synthetic=True,
    )


def _price(logarithm: FloatArray) -> FloatArray:
    # Rounded far above the last bit, in which exp differs between processors: the bytes must not.
    return np.asarray(np.round(np.exp(logarithm), _PRICE_DECIMALS), dtype=np.float64)


def _bear_market(random: np.random.Generator, rows: int, bars_per_day: int) -> FloatArray:
    """Shape (rows,), 1 in a bear market, else 0; begins in its long-run distribution."""
    draws = random.random(rows)
    bear = np.zeros(rows)
    state = draws[0] < BEAR_SHARE
    for row in range(rows):
        if row > 0:
            leave = BEAR_EXIT if state else BEAR_ENTRY
            state = state ^ (draws[row] < leave / bars_per_day)
        bear[row] = state
    return bear


def _volatility_path(random: np.random.Generator, rows: int, columns: int, bars_per_day: int) -> FloatArray:
    """Shape (rows, columns): x_t = a x_(t-1) + sqrt(1 - a^2) sd e_t, begins in its long-run distribution."""
    memory = VOLATILITY_MEMORY ** (1 / bars_per_day)
    path = VOLATILITY_SPREAD * random.standard_normal((rows, columns))
    path[1:] *= np.sqrt(1 - memory**2)
    for row in range(1, rows):
        path[row] += memory * path[row - 1]
    return path


def _volatility(path: FloatArray, annual: float, year: int) -> FloatArray:
    # The mean of exp(2 h) is exp(2 sd^2): with the subtraction the mean variance is annual^2 / year.
    return np.asarray(annual / np.sqrt(year) * np.exp(path - VOLATILITY_SPREAD**2))


def _shocks(random: np.random.Generator, rows: int, columns: int) -> FloatArray:
    """Student t with 5 degrees of freedom, brought to variance 1, then cut."""
    draws = random.standard_t(5, (rows, columns)) * np.sqrt(0.6)
    return np.asarray(np.clip(draws, -LARGEST_SHOCK, LARGEST_SHOCK))


def _edge(random: np.random.Generator, rows: int, bars_per_day: int) -> FloatArray:
    """Shape (rows, INSTRUMENTS): the drift that a trend follower can find, in log return per bar."""
    year = DAYS_PER_YEAR * bars_per_day
    sign = np.empty((rows, INSTRUMENTS))
    for column in range(INSTRUMENTS):
        direction = 1.0 if random.random() < 0.5 else -1.0
        elapsed = random.random()
        row = 0
        while row < rows:
            duration = random.gamma(EDGE_SHAPE, EDGE_DAYS / EDGE_SHAPE) * bars_per_day
            # The first stretch is under way already: all instruments turning together would be a hint.
            stop = row + max(1, round(duration * (1 - elapsed)))
            sign[row:stop, column] = direction
            direction, elapsed, row = -direction, 0.0, stop
    jumps = random.random((rows, INSTRUMENTS)) < JUMPS_PER_YEAR / year
    sizes = JUMP_SIZE * random.uniform(0.5, 1.5, (rows, INSTRUMENTS))
    return np.asarray(sign * (EDGE_SMOOTH / year + np.where(jumps, sizes, 0.0)))
