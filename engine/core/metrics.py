"""Plain performance metrics: one home for every definition.

Returns are simple returns per day, oldest first, shape (D,), without NaN. Ratios use a risk-free rate of 0.
`days_per_year` is `Calendar.days_per_year`. NaN says that there are too few observations: what judges the
number calls it missing, and missing never passes.
"""

import math

import numpy as np
import numpy.typing as npt

from engine.domain.errors import IdentityError, InvalidValueError
from engine.domain.panel import FloatArray

MINIMUM_OBSERVATIONS = 5
MINIMUM_TAIL_OBSERVATIONS = 100
MINIMUM_STRESS_OBSERVATIONS = 10
FRAGILITY_BLOCK_DAYS = 252
MINIMUM_FRAGILITY_BLOCKS = 5
IDENTITY_TOLERANCE = 1e-9


def daily_returns(equity: FloatArray, day_ends: npt.NDArray[np.bool_]) -> FloatArray:
    """Compound an equity curve to one return a day.

    Parameters
    ----------
    equity
        Shape (R,), one value a row, the first being the starting cash.
    day_ends
        Shape (R,), True on the last row of a day (`Panel.day_ends` of the same rows). The last row counts
        as one: a day that is cut off still belongs to the account.

    Returns
    -------
    Shape (D,), one return a day end. The first is relative to the starting cash (so it is 0 on daily bars),
    which makes the compounded returns equal the change of the account.
    """
    if equity.ndim != 1 or equity.shape != day_ends.shape or equity.size == 0:
        raise InvalidValueError(
            f"daily returns: equity {equity.shape} and day_ends {day_ends.shape} must both be (R,), R >= 1"
        )
    if not (np.isfinite(equity).all() and (equity > 0).all()):
        row = int(np.argmin(np.isfinite(equity) & (equity > 0)))
        raise InvalidValueError(f"daily returns: equity must be positive, row {row} is {equity[row]}")
    ends = day_ends.copy()
    ends[-1] = True
    levels = np.concatenate((equity[:1], equity[ends]))
    return levels[1:] / levels[:-1] - 1.0


def assert_identity(returns: FloatArray, equity: FloatArray) -> None:
    """Check that compounded returns equal the change of the account.

    Raises
    ------
    IdentityError
        If they differ by more than 1e-9 of the account.
    """
    compounded = float(np.prod(1.0 + returns))
    change = float(equity[-1] / equity[0])
    if not abs(compounded - change) <= IDENTITY_TOLERANCE * max(1.0, abs(change)):
        raise IdentityError(
            f"compounded returns say x{compounded:.12g}, the account says x{change:.12g}; "
            f"they may differ by {IDENTITY_TOLERANCE:g}"
        )


def annualized_return(returns: FloatArray, days_per_year: int) -> float:
    """Return the mean daily return x days a year (arithmetic; `cagr` is the compounded rate)."""
    return float(returns.mean()) * days_per_year if returns.size >= MINIMUM_OBSERVATIONS else math.nan


def cagr(returns: FloatArray, days_per_year: int) -> float:
    """Return the constant yearly rate that compounds to the same end."""
    if returns.size < MINIMUM_OBSERVATIONS:
        return math.nan
    return math.pow(float(np.prod(1.0 + returns)), days_per_year / returns.size) - 1.0


def annualized_volatility(returns: FloatArray, days_per_year: int) -> float:
    """Return the sample standard deviation (ddof 1) x the root of days a year."""
    if returns.size < MINIMUM_OBSERVATIONS:
        return math.nan
    return float(returns.std(ddof=1)) * math.sqrt(days_per_year)


def _has_variance(returns: FloatArray) -> bool:
    # Equal floats can have a standard deviation of 1e-19, which would make a Sharpe ratio of 1e15.
    return bool((returns != returns[0]).any())


def sharpe(returns: FloatArray, days_per_year: int) -> float:
    """Return the annualised Sharpe ratio; NaN without variance."""
    if returns.size < MINIMUM_OBSERVATIONS or not _has_variance(returns):
        return math.nan
    return float(returns.mean() / returns.std(ddof=1)) * math.sqrt(days_per_year)


def total_return(returns: FloatArray) -> float:
    """Return the compounded return of all days."""
    return float(np.prod(1.0 + returns)) - 1.0


def drawdowns(returns: FloatArray) -> FloatArray:
    """Return the loss since the highest level so far (the start included), shape (D,), each at most 0."""
    levels = np.cumprod(1.0 + returns)
    peaks = np.maximum(np.maximum.accumulate(levels), 1.0)
    return levels / peaks - 1.0


def max_drawdown(returns: FloatArray) -> float:
    """Return the deepest drawdown as a negative share; 0 if there was none."""
    return float(drawdowns(returns).min()) if returns.size else math.nan


def value_at_risk_95(returns: FloatArray) -> float:
    """Return the 5% quantile of returns (a loss is negative)."""
    return float(np.quantile(returns, 0.05)) if returns.size >= MINIMUM_OBSERVATIONS else math.nan


def cvar_95(returns: FloatArray) -> float:
    """Return the mean of the returns at or below their 5% quantile (a loss is negative)."""
    if returns.size < MINIMUM_OBSERVATIONS:
        return math.nan
    return float(returns[returns <= value_at_risk_95(returns)].mean())


def beta(returns: FloatArray, market: FloatArray) -> float:
    """Return cov(returns, market) / var(market), population moments, of the same days."""
    _require_same_days(returns, market)
    if returns.size < MINIMUM_OBSERVATIONS or not _has_variance(market):
        return math.nan
    deviation = market - market.mean()
    return float((deviation * (returns - returns.mean())).mean() / (deviation * deviation).mean())


def correlation(returns: FloatArray, market: FloatArray) -> float:
    """Return Pearson's correlation of the same days."""
    _require_same_days(returns, market)
    if returns.size < MINIMUM_OBSERVATIONS or not (_has_variance(returns) and _has_variance(market)):
        return math.nan
    x = returns - returns.mean()
    y = market - market.mean()
    return float((x * y).sum() / math.sqrt(float((x * x).sum()) * float((y * y).sum())))


def skewness(returns: FloatArray) -> float:
    """Return the third standardised moment (population, g1)."""
    if returns.size < MINIMUM_OBSERVATIONS or not _has_variance(returns):
        return math.nan
    deviation = returns - returns.mean()
    variance = float((deviation * deviation).mean())
    return float((deviation * deviation * deviation).mean()) / math.pow(variance, 1.5)


def kurtosis(returns: FloatArray) -> float:
    """Return the fourth standardised moment (population; not excess: 3 for a normal distribution)."""
    if returns.size < MINIMUM_OBSERVATIONS or not _has_variance(returns):
        return math.nan
    squares = (returns - returns.mean()) ** 2
    return float((squares * squares).mean()) / float(squares.mean()) ** 2


def af_dist(returns: FloatArray) -> float:
    """Return how antifragile the distribution is: skew + ln(mean of the best 5% / |mean of the worst 5%|).

    NaN below 100 observations, if a tail has too few of them, or if the best 5% lose money on average.
    """
    if returns.size < MINIMUM_TAIL_OBSERVATIONS:
        return math.nan
    # The jitter breaks ties (many days of exactly 0), which would put all days into a tail.
    values = returns + np.linspace(0.0, 1e-12, returns.size)
    best = values[values >= np.quantile(values, 0.95)]
    worst = values[values <= np.quantile(values, 0.05)]
    if min(best.size, worst.size) < min(10, int(0.05 * returns.size)):
        return math.nan
    asymmetry = float(best.mean()) / (abs(float(worst.mean())) + 1e-12)
    return skewness(returns) + math.log(asymmetry + 1e-12) if asymmetry > 0 else math.nan


def stress_days(reference: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which days belong to the worst decile of the reference, shape (D,)."""
    return reference <= np.quantile(reference, 0.10)


def stress_alpha(returns: FloatArray, reference: FloatArray) -> float:
    """Return the mean daily excess over the reference on the reference's worst decile of days.

    The reference carries the exposure already: scale it before (RULINGS D2: g x market).
    """
    _require_same_days(returns, reference)
    stressed = _stressed(reference)
    return float((returns - reference)[stressed].mean()) if stressed is not None else math.nan


def stress_delta(returns: FloatArray, reference: FloatArray) -> float:
    """Return `stress_alpha` less the mean daily excess on all other days."""
    _require_same_days(returns, reference)
    stressed = _stressed(reference)
    if stressed is None or stressed.all():
        return math.nan
    excess = returns - reference
    return float(excess[stressed].mean()) - float(excess[~stressed].mean())


def sharpe_of_each(parts: FloatArray, days_per_year: int) -> FloatArray:
    """Return the annualised Sharpe ratio of each row, shape (B,); 0 without variance.

    A part that stood still earned nothing for its risk: beside others it counts as 0, not as absent.

    Parameters
    ----------
    parts
        Shape (B, L), at least 5 daily returns a row, else NaN.
    """
    if parts.shape[1] < MINIMUM_OBSERVATIONS:
        return np.full(len(parts), math.nan)
    moved = (parts != parts[:, :1]).any(axis=1)
    deviations = np.where(moved, parts.std(axis=1, ddof=1), 1.0)
    return np.where(moved, parts.mean(axis=1) / deviations, 0.0) * math.sqrt(days_per_year)


def block_sharpes(returns: FloatArray) -> FloatArray:
    """Return the Sharpe ratios of non-overlapping blocks of 252 days, shape (B,).

    Blocks count from the first day, a last one that is not whole is left out.
    """
    n_blocks = returns.size // FRAGILITY_BLOCK_DAYS
    blocks = returns[: n_blocks * FRAGILITY_BLOCK_DAYS].reshape(n_blocks, FRAGILITY_BLOCK_DAYS)
    return sharpe_of_each(blocks, FRAGILITY_BLOCK_DAYS)


def temporal_fragility(returns: FloatArray) -> float:
    """Return standard deviation / mean of `block_sharpes`.

    NaN below 5 blocks, infinite if the mean is not positive.
    """
    ratios = block_sharpes(returns)
    if ratios.size < MINIMUM_FRAGILITY_BLOCKS:
        return math.nan
    mean = float(ratios.mean())
    return float(ratios.std(ddof=1)) / mean if mean > 0 else math.inf


def _stressed(reference: FloatArray) -> npt.NDArray[np.bool_] | None:
    if reference.size < MINIMUM_TAIL_OBSERVATIONS:
        return None
    stressed = stress_days(reference)
    return stressed if int(stressed.sum()) >= MINIMUM_STRESS_OBSERVATIONS else None


def _require_same_days(returns: FloatArray, market: FloatArray) -> None:
    if returns.shape != market.shape:
        raise InvalidValueError(
            f"metrics: returns {returns.shape} and those of the market {market.shape} must match"
        )
