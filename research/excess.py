"""What a cell earned beyond the market exposure that it carried: one definition for board and register."""

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray

# What a baseline in disguise does (RULINGS D6): it moves with one more closely than this, or the tracking
# error of its excess is below this share of its mean gross.
EQUIVALENT_CORRELATION = 0.999
EQUIVALENT_TRACKING_ERROR = 0.01


def mean_gross(gross: FloatArray) -> float:
    """Return g: the mean of position value / equity after fills, over all out-of-sample rows."""
    return float(gross.mean()) if gross.size else np.nan


def excess_returns(returns: FloatArray, gross: float, raw_pool: FloatArray) -> FloatArray:
    """Return the daily excess over the equally weighted pool at the cell's own mean exposure.

    One constant a cell: a book that was half invested must beat half the pool, and one that only chose
    when to be invested is paid for the choice and for nothing else.

    Parameters
    ----------
    returns, raw_pool
        Shape (D,), daily returns of the cell and of the `raw_pool_ew` row of the same rebalance and
        simulator, on the same days.
    gross
        `mean_gross` of the cell.
    """
    if returns.shape != raw_pool.shape:
        raise InvalidValueError(
            f"excess: returns {returns.shape} and those of raw_pool_ew {raw_pool.shape} must match"
        )
    return returns - gross * raw_pool
