"""Riskfolio-Lib [1]_ behind the allocation interface.

It takes seconds to import, so that happens on the first solve: in a worker process, not in the program that
waits for it. It answers failure with None and a printed line, which becomes an `AllocationError` here.

References
----------
.. [1] Cajas (2026), Riskfolio-Lib 7.4, https://riskfolio-lib.readthedocs.io
"""

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.domain.errors import AllocationError
from engine.domain.panel import FloatArray

LIBRARIES = ("riskfolio-lib", "cvxpy", "clarabel", "scipy", "numpy")

# Conic solvers stop at absolute tolerances: with returns as shares weights were wrong by 1e-4, with percent
# by 1e-9.
_PERCENT = 100.0


def min_variance(returns: FloatArray) -> FloatArray:
    """Minimise the variance of the portfolio (sample covariance)."""
    return _minimise_risk(returns, "MV")


def mean_cvar(returns: FloatArray) -> FloatArray:
    """Minimise the mean of the worst 5% of days (Rockafellar and Uryasev 2000).

    No expected returns enter: a mean of 180 days is noise that a linear programme would chase.
    """
    return _minimise_risk(returns, "CVaR")


def hrp(returns: FloatArray) -> FloatArray:
    """Hierarchical risk parity (Lopez de Prado 2016), single linkage, optimally ordered leaves.

    Skfolio's default agrees to 6e-17; without the ordering of leaves weights differ by 2e-2.
    """

    def solve(riskfolio: Any, frame: Any) -> Any:
        return riskfolio.HCPortfolio(returns=frame).optimization(
            model="HRP", codependence="pearson", rm="MV", rf=0, linkage="single", leaf_order=True
        )

    return _solve("HRP", returns, solve)


def _minimise_risk(returns: FloatArray, measure: str) -> FloatArray:
    def solve(riskfolio: Any, frame: Any) -> Any:
        portfolio = riskfolio.Portfolio(returns=frame, alpha=0.05, sht=False, upperlng=1)
        portfolio.assets_stats(method_mu="hist", method_cov="hist")
        portfolio.solvers = ["CLARABEL"]
        return portfolio.optimization(model="Classic", rm=measure, obj="MinRisk", rf=0, l=0, hist=True)

    return _solve(measure, returns, solve)


def _solve(name: str, returns: FloatArray, solve: Callable[[Any, Any], Any]) -> FloatArray:
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore")
        import pandas as pd
        import riskfolio

        try:
            weights = solve(riskfolio, pd.DataFrame(returns * _PERCENT))
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise AllocationError(f"riskfolio {name} of {returns.shape} returns: {error}") from error
    if weights is None:
        said = " ".join(printed.getvalue().split()) or "no reason given"
        raise AllocationError(f"riskfolio {name} of {returns.shape} returns has no solution: {said}")
    return np.array(weights["weights"], dtype=np.float64)
