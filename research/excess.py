"""The excess that the edge gates judge: what a cell earned beyond holding the pool at its own exposure."""

from engine.core.metrics import daily_returns
from engine.domain.panel import FloatArray, IntArray
from research.cells import CellResult, day_ends


def exposure(gross: FloatArray) -> float:
    """Return g: the mean of gross / equity after fills over all out-of-sample rows, one constant a cell."""
    return float(gross.mean())


def excess_returns(cell: CellResult, pool: CellResult) -> FloatArray:
    """Return the daily excess: cell - g x pool (RULINGS D2), shape (D,), oldest first.

    Parameters
    ----------
    pool
        The raw_pool_ew row of the same data set, rebalance and simulator.
    """
    own = daily_returns(cell.equity, cell.day_ends)
    return own - exposure(cell.gross) * daily_returns(pool.equity, pool.day_ends)


def day_stamps(timestamps: IntArray) -> IntArray:
    """Return the stamp of the last row of each day, shape (D,): the days of `excess_returns`."""
    return timestamps[day_ends(timestamps)]
