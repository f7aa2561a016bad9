"""Return for each unit of downside: what a Sharpe ratio is when gains do not count as risk."""

import math

from engine.domain.panel import FloatArray


def sortino_ratio(returns: FloatArray, days_per_year: int) -> float:
    """Return the annualised Sortino ratio, target 0: mean / root of the mean square of losses [1]_.

    NaN without returns or without any loss.

    Parameters
    ----------
    returns
        Shape (D,), daily.

    References
    ----------
    .. [1] Sortino and Price (1994), Performance measurement in a downside risk framework, Journal of
       Investing 3(3)

    Examples
    --------
    >>> import numpy as np
    >>> round(sortino_ratio(np.array([0.02, -0.01, 0.02, -0.01]), 252), 4)
    11.225
    """
    losses = returns.clip(max=0.0)
    squares = math.fsum((losses * losses).tolist())
    if squares == 0.0:
        return math.nan
    return float(returns.mean()) / math.sqrt(squares / returns.size) * math.sqrt(days_per_year)
