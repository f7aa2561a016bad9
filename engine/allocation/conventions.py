"""What both solver libraries are told alike, so that one profile is one problem in both."""

import warnings
from collections.abc import Callable, Sequence

from engine.domain.errors import AllocationError
from engine.domain.panel import FloatArray

SOLVER = "CLARABEL"
"""Of all convex problems. HiGHS ran into its time limit on a covariance of daily returns, and cvxpy handed
back a wrong vector."""

UNITS = (100.0, 30.0, 300.0)
"""Of the returns, in the order in which they are tried. Conic solvers stop at absolute tolerances: with
returns as shares weights were wrong by 1e-4, with percent by 1e-9. Weights do not depend on the unit, whether
a solver gets to its tolerances does: in percent, skfolio's risk parity did not on 4 of 1,016 windows."""

GAP = 1e-9
"""Between the primal and the dual objective. At the solver's own 1e-8 the weights of the largest Sharpe ratio
were wrong by up to 7e-5, at 1e-9 by 3e-5; at 1e-10 it gave up on some windows."""

TAIL = 0.05
"""Share of the days in the CVaR."""


def in_some_unit(solve: Callable[[FloatArray], FloatArray], returns: FloatArray) -> FloatArray:
    """Return the first answer of one solver to one problem, asked in each of the units.

    Raises
    ------
    AllocationError
        If there is none; it says what was wrong in percent.
    """
    problems = []
    for unit in UNITS:
        try:
            return solve(returns * unit)
        except AllocationError as error:
            problems.append(error)
    raise problems[0]


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
