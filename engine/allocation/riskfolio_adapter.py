"""Riskfolio-Lib [1]_ behind the allocation interface.

It takes seconds to import, so that happens on the first solve: in a worker process, not in the program that
waits for it. It answers failure with None and a printed line, which becomes an `AllocationError` here.

Two thirds of the time of a convex solve it spends on building all of its other risk measures, which no
option leaves out.

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

from engine.allocation import clusters
from engine.allocation.conventions import (
    GAP,
    SOLVER,
    TAIL,
    in_some_unit,
    refuse_inaccurate,
    require_positive_mean,
)
from engine.domain.errors import AllocationError
from engine.domain.panel import FloatArray

LIBRARIES = ("riskfolio-lib", "cvxpy", "clarabel", "scipy", "numpy", "pandas")


def min_variance(returns: FloatArray) -> FloatArray:
    """Minimise the variance of the portfolio (sample covariance)."""
    return _solve("MV", returns, _convex("MV", "MinRisk"))


def max_sharpe(returns: FloatArray) -> FloatArray:
    """Maximise sample mean / sample standard deviation, risk-free rate 0.

    Where no mean is positive there is no answer. Riskfolio would bound the risk then and maximise the mean,
    whose optimum is to hold nothing, and divide that by its sum.
    """
    require_positive_mean("riskfolio", returns)
    return _solve("Sharpe", returns, _convex("MV", "Sharpe"))


def mean_cvar(returns: FloatArray) -> FloatArray:
    """Minimise the mean of the worst 5% of days (Rockafellar and Uryasev 2000).

    No expected returns enter: a mean of 180 days is noise that a linear programme would chase.
    """
    return _solve("CVaR", returns, _convex("CVaR", "MinRisk"))


def risk_parity(returns: FloatArray) -> FloatArray:
    """Let every instrument contribute the same to the variance (Richard and Roncalli 2019)."""

    def solve(riskfolio: Any, frame: Any) -> Any:
        return _portfolio(riskfolio, frame).rp_optimization(model="Classic", rm="MV", rf=0, b=None, hist=True)

    return _solve("risk parity", returns, solve)


def hrp(returns: FloatArray) -> FloatArray:
    """Hierarchical risk parity (Lopez de Prado 2016), single linkage, optimally ordered leaves.

    Skfolio's default agrees to 6e-17; without the ordering of leaves weights differ by 2e-2.
    """

    def solve(riskfolio: Any, frame: Any) -> Any:
        return riskfolio.HCPortfolio(returns=frame).optimization(
            model="HRP", codependence="pearson", rm="MV", rf=0, linkage="single", leaf_order=True
        )

    return _solve("HRP", returns, solve)


def herc(returns: FloatArray) -> FloatArray:
    """Hierarchical equal risk contribution (Raffinot 2018), Ward linkage, variance.

    The number of clusters is ours: riskfolio's gap statistic takes the standard deviation of the distances
    in a cluster, skfolio's their mean, and they find different ones.
    """

    def solve(riskfolio: Any, frame: Any) -> Any:
        return riskfolio.HCPortfolio(returns=frame).optimization(
            model="HERC",
            codependence="pearson",
            rm="MV",
            rf=0,
            linkage=clusters.LINKAGE,
            k=clusters.cluster_count(frame.shape[1]),
            leaf_order=False,
        )

    return _solve("HERC", returns, solve)


def nco(returns: FloatArray) -> FloatArray:
    """Nested clustered optimisation (Lopez de Prado 2019): minimum variance in clusters, then among them.

    Both steps see the same training rows. The number of clusters is that of `herc`.
    """

    def solve(riskfolio: Any, frame: Any) -> Any:
        try:
            return riskfolio.HCPortfolio(returns=frame, solvers=[SOLVER]).optimization(
                model="NCO",
                codependence="pearson",
                obj="MinRisk",
                rm="MV",
                rf=0,
                linkage=clusters.LINKAGE,
                k=clusters.cluster_count(frame.shape[1]),
                leaf_order=False,
            )
        except AttributeError as error:
            # Riskfolio goes on with the None that a cluster without a solution gave it.
            raise AllocationError(f"riskfolio NCO: a cluster has no solution ({error})") from error

    return _solve("NCO", returns, solve)


def barbell(returns: FloatArray) -> FloatArray:
    """Hold antifragile instruments beside hierarchical risk parity of other clusters (`clusters.barbell`)."""
    return clusters.barbell(returns, hrp)


def _portfolio(riskfolio: Any, frame: Any) -> Any:
    portfolio = riskfolio.Portfolio(returns=frame, alpha=TAIL, sht=False, upperlng=1)
    portfolio.assets_stats(method_mu="hist", method_cov="hist")
    portfolio.solvers = [SOLVER]
    portfolio.sol_params = {SOLVER: {"tol_gap_abs": GAP, "tol_gap_rel": GAP}}
    return portfolio


def _convex(measure: str, objective: str) -> Callable[[Any, Any], Any]:
    def solve(riskfolio: Any, frame: Any) -> Any:
        return _portfolio(riskfolio, frame).optimization(
            model="Classic", rm=measure, obj=objective, rf=0, l=0, hist=True
        )

    return solve


def _solve(name: str, returns: FloatArray, solve: Callable[[Any, Any], Any]) -> FloatArray:
    return in_some_unit(lambda scaled: _solve_once(name, scaled, solve), returns)


def _solve_once(name: str, returns: FloatArray, solve: Callable[[Any, Any], Any]) -> FloatArray:
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        import pandas as pd
        import riskfolio

        try:
            weights = solve(riskfolio, pd.DataFrame(returns))
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise AllocationError(f"riskfolio {name} of {returns.shape} returns: {error}") from error
    refuse_inaccurate(f"riskfolio {name} of {returns.shape} returns", warned)
    if weights is None:
        said = " ".join(printed.getvalue().split()) or "no reason given"
        raise AllocationError(f"riskfolio {name} of {returns.shape} returns has no solution: {said}")
    return np.array(weights["weights"], dtype=np.float64)
