"""What both solver libraries are told alike, so that one profile is one problem in both."""

import warnings
from collections.abc import Sequence

from engine.domain.errors import AllocationError
from engine.domain.panel import FloatArray

SOLVER = "CLARABEL"
"""Of all convex problems. HiGHS ran into its time limit on a covariance of daily returns, and cvxpy handed
back a wrong vector."""

PERCENT = 100.0
"""Conic solvers stop at absolute tolerances: with returns as shares weights were wrong by 1e-4, with percent
by 1e-9."""

GAP = 1e-9
"""Between the primal and the dual objective. At the solver's own 1e-8 the weights of the largest Sharpe ratio
were wrong by up to 7e-5."""

TAIL = 0.05
"""Share of the days in the CVaR."""


def require_positive_mean(engine: str, returns: FloatArray) -> None:
    """Check that a largest Sharpe ratio exists among long-only portfolios that are fully invested.

    Where all means are negative, the ratio grows with the risk: skfolio refuses such a question, riskfolio
    changes it. Both count as no answer here.

    Raises
    ------
    AllocationError
        If no instrument has a positive mean return.
    """
    means = returns.mean(axis=0)
    if not (means > 0).any():
        raise AllocationError(
            f"{engine} max_sharpe of {returns.shape} returns: no instrument has a positive mean return, the "
            f"largest is {means.max():.3g} a row"
        )


def refuse_inaccurate(what: str, warned: Sequence[warnings.WarningMessage]) -> None:
    """Check that no solver gave up before its tolerances were met.

    Raises
    ------
    AllocationError
        If one warned: cvxpy hands out what it had until then.
    """
    for warning in warned:
        # The words of cvxpy and of skfolio; scipy says of a singular matrix that its root may be inaccurate,
        # which that of a covariance is not.
        if "Solution may be inaccurate" in str(warning.message):
            raise AllocationError(f"{what}: {warning.message}")
