"""Worlds whose truth is known: excess returns and bars made from a seed, with a planted edge or without.

A world at the level of returns is noise to which a mean is added, so that its Sharpe ratio is known exactly
and one draw serves every edge. A world of bars is one market on which a grid of moving averages is searched,
as people do. Nothing here judges.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray

DAYS_PER_YEAR = 252

# Wild noise at the level of returns: the volatility path of the planted recipe and the tails of a Student t,
# both shared by all columns, because strategies on one market have their wild days together.
VOLATILITY_MEMORY = 0.985
VOLATILITY_SPREAD = 0.45
TAIL_FREEDOM = 5
DAILY_VOLATILITY = 0.01

# A line of parameters, each like its neighbour: the best of them is as lucky as that of 20 independent ones.
LINE_COLUMNS = 100
LINE_CORRELATION = 0.93
PERSISTENCE = 0.1

# Every pair with fast below slow: the 157 cells.
FAST_LENGTHS = (2, 3, 5, 8, 10, 15, 20, 25, 30, 40, 50)
SLOW_LENGTHS = tuple(range(20, 241, 15))
WARM_UP = max(SLOW_LENGTHS)

MARKET_VOLATILITY = 0.16
GARCH_SHOCK = 0.08
GARCH_MEMORY = 0.90
DRIFT_SHARPE = 0.8
TREND_DAYS = 250.0
TREND_SHAPE = 4.0

# Annual drift, up then down, that gives the best cell of the grid this Sharpe ratio of its excess. Measured
# on 4,000 years of bars; a test measures it again.
TREND_DRIFT = {0.5: 0.1935, 1.0: 0.292, 1.5: 0.3813}


@dataclass(frozen=True, kw_only=True, eq=False)
class Returns:
    """Daily excess returns of N trials, before any edge.

    Attributes
    ----------
    noise
        Shape (T, N), mean 0, standard deviation `DAILY_VOLATILITY`.
    profile
        Shape (N,), the share of a planted edge that each column has; the greatest is 1.
    """

    noise: FloatArray
    profile: FloatArray

    def with_edge(self, sharpe: float) -> FloatArray:
        """Return excess returns, shape (T, N), whose best column has this annual Sharpe ratio."""
        return self.noise + self.means(sharpe)

    def means(self, sharpe: float) -> FloatArray:
        """Return what an edge adds to each column, shape (N,), a day."""
        return sharpe / math.sqrt(DAYS_PER_YEAR) * DAILY_VOLATILITY * self.profile


def independent(rng: np.random.Generator, rows: int, columns: int, *, wild: bool = False) -> Returns:
    """Return independent trials of normal days, of which the first may have an edge.

    Parameters
    ----------
    wild
        Instead of all days alike, calm and wild ones, in common (`common_scale`).
    """
    profile = np.zeros(columns)
    profile[0] = 1.0
    scale = common_scale(rng, rows)[:, None] if wild else DAILY_VOLATILITY
    return Returns(noise=scale * rng.standard_normal((rows, columns)), profile=profile)


def parameter_line(rng: np.random.Generator, rows: int, *, autocorrelation: float = 0.0) -> Returns:
    """Return a correlated grid: neighbours resemble one another and share the edge.

    The correlation of two columns falls with their distance, .93 to the power of it, and so does the edge
    from the best column in the middle.

    Parameters
    ----------
    autocorrelation
        Of each column, from one day to the next.
    """
    shocks = _autoregressive(rng.standard_normal((rows, LINE_COLUMNS)), LINE_CORRELATION, 1)
    shocks = _autoregressive(shocks, autocorrelation, 0)
    distance = np.abs(np.arange(LINE_COLUMNS) - LINE_COLUMNS // 2)
    return Returns(noise=common_scale(rng, rows)[:, None] * shocks, profile=LINE_CORRELATION**distance)


def common_scale(rng: np.random.Generator, rows: int) -> FloatArray:
    """Return the standard deviation of each day, shape (rows,): slow volatility x the scale of a Student t.

    Its mean square over these rows is `DAILY_VOLATILITY` squared: over 20 years the path alone would move it
    by a fifth, and the Sharpe ratio of a planted edge with it.
    """
    path = VOLATILITY_SPREAD * _autoregressive(rng.standard_normal((rows, 1)), VOLATILITY_MEMORY, 0)[:, 0]
    scale = np.exp(path) / np.sqrt(rng.chisquare(TAIL_FREEDOM, rows))
    return np.asarray(scale * (DAILY_VOLATILITY / math.sqrt(np.mean(scale * scale))))


def _autoregressive(shocks: FloatArray, memory: float, axis: int) -> FloatArray:
    """Give independent unit shocks a memory along one axis; they begin in their long-run distribution."""
    scaled = shocks * math.sqrt(1.0 - memory**2)
    first = (slice(None), 0) if axis == 1 else (0, slice(None))
    scaled[first] = shocks[first]
    return np.asarray(lfilter([1.0], [1.0, -memory], scaled, axis=axis))


# --- one market, searched with a grid of moving averages --------------------------------------------------


def random_walk(rng: np.random.Generator, rows: int) -> FloatArray:
    """Return normal daily log returns, shape (rows,)."""
    return rng.standard_normal(rows) * (MARKET_VOLATILITY / math.sqrt(DAYS_PER_YEAR))


def clustered(rng: np.random.Generator, rows: int) -> FloatArray:
    """Return log returns whose volatility clusters, with heavy tails: GARCH(1, 1), Student t."""
    shocks = (rng.standard_t(TAIL_FREEDOM, rows) * math.sqrt(1.0 - 2.0 / TAIL_FREEDOM)).tolist()
    mean_variance = MARKET_VOLATILITY**2 / DAYS_PER_YEAR
    base = (1.0 - GARCH_SHOCK - GARCH_MEMORY) * mean_variance
    variance = mean_variance
    returns = np.empty(rows)
    for row, shock in enumerate(shocks):
        value = math.sqrt(variance) * shock
        returns[row] = value
        variance = base + GARCH_SHOCK * value * value + GARCH_MEMORY * variance
    return returns


def drifting(rng: np.random.Generator, rows: int) -> FloatArray:
    """Return a market that rises steadily, Sharpe ratio .8: being in it pays, timing it does not."""
    return clustered(rng, rows) + DRIFT_SHARPE * MARKET_VOLATILITY / DAYS_PER_YEAR


def trending(rng: np.random.Generator, rows: int, drift: float) -> FloatArray:
    """Return a market that drifts up for about a year, then down for about a year, and so on.

    Parameters
    ----------
    drift
        In log return a year, of either direction.
    """
    sign = np.empty(rows)
    direction, row, elapsed = (1.0 if rng.random() < 0.5 else -1.0), 0, rng.random()
    while row < rows:
        days = rng.gamma(TREND_SHAPE, TREND_DAYS / TREND_SHAPE)
        stop = row + max(1, round(days * (1.0 - elapsed)))
        sign[row:stop] = direction
        direction, row, elapsed = -direction, stop, 0.0
    return clustered(rng, rows) + sign * drift / DAYS_PER_YEAR


@cache
def grid_cells() -> tuple[tuple[int, int], ...]:
    """Return the (fast, slow) lengths of the 157 cells, fast by fast."""
    return tuple((fast, slow) for fast in FAST_LENGTHS for slow in SLOW_LENGTHS if fast < slow)


@dataclass(frozen=True, kw_only=True, eq=False)
class Searched:
    """What every cell did on one market: long while its fast average is above its slow one, else flat.

    Attributes
    ----------
    positions
        Shape (N, T), True where a cell was invested, decided at the close before.
    returns
        Shape (T,), simple returns of the market.
    """

    positions: npt.NDArray[np.bool_]
    returns: FloatArray

    def excess(self) -> FloatArray:
        """Return each cell's daily return beyond the market at its own mean exposure, shape (T, N)."""
        exposure = self.positions.mean(axis=1)
        return np.asarray((self.positions.T - exposure) * self.returns[:, None])

    def best_sharpe(self) -> float:
        """Return the largest annualised excess Sharpe ratio of the grid, without making its returns."""
        rows = self.returns.size
        squares = self.returns * self.returns
        asked = np.column_stack((self.returns, squares, np.ones(rows))).astype(np.float32)
        sums = (self.positions.astype(np.float32) @ asked).astype(np.float64)
        exposure = sums[:, 2] / rows
        means = sums[:, 0] / rows - exposure * self.returns.mean()
        second = (1.0 - 2.0 * exposure) * sums[:, 1] / rows + exposure**2 * squares.mean()
        variances = (second - means**2) * rows / (rows - 1)
        moves = (exposure > 0.0) & (exposure < 1.0)
        ratios = means[moves] / np.sqrt(variances[moves])
        return float(ratios.max()) * math.sqrt(DAYS_PER_YEAR) if ratios.size else 0.0


def search(log_returns: FloatArray) -> Searched:
    """Play the grid on the market of these log returns; the first `WARM_UP` rows only fill the averages.

    Parameters
    ----------
    log_returns
        Shape (WARM_UP + T,).
    """
    rows = log_returns.size - WARM_UP
    if rows < 1:
        raise InvalidValueError(f"grid: needs more than {WARM_UP} rows, were {log_returns.size}")
    prices = np.exp(np.cumsum(log_returns) - log_returns.sum() / 2.0)
    sums = np.concatenate(([0.0], np.cumsum(prices)))

    def averages(length: int) -> FloatArray:
        # What is known at the close of row WARM_UP - 1 + t decides the position of row t.
        return (sums[WARM_UP : WARM_UP + rows] - sums[WARM_UP - length : WARM_UP - length + rows]) / length

    slow = np.array([averages(length) for length in SLOW_LENGTHS])
    positions = np.empty((len(grid_cells()), rows), dtype=np.bool_)
    place = 0
    for length in FAST_LENGTHS:
        longer = [row for row, other in enumerate(SLOW_LENGTHS) if length < other]
        count = len(longer)
        np.greater(averages(length), slow[longer[0] :], out=positions[place : place + count])
        place += count
    return Searched(positions=positions, returns=np.expm1(log_returns[WARM_UP:]))
