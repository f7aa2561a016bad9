"""Skfolio [1]_ behind the allocation interface.

It takes seconds to import, so that happens on the first solve: in a worker process, not in the program that
waits for it.

References
----------
.. [1] Nicolini, Manzi and Delatte (2025), skfolio 1.12, https://skfolio.org
"""

import warnings
from collections.abc import Callable
from types import ModuleType
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

LIBRARIES = ("skfolio", "cvxpy-base", "clarabel", "scipy", "numpy", "scikit-learn")

_GAPS = {"tol_gap_abs": GAP, "tol_gap_rel": GAP}


def min_variance(returns: FloatArray) -> FloatArray:
    """Minimise the variance of the portfolio (sample covariance)."""
    return _solve("minimum variance", returns, _minimum_variance)


def max_sharpe(returns: FloatArray) -> FloatArray:
    """Maximise sample mean / sample standard deviation, risk-free rate 0.

    Skfolio raises where no mean is positive; so do we, before.
    """

    def model(library: ModuleType) -> Any:
        # As documented, the ratio to the variance is made homogeneous, which gives the largest Sharpe ratio;
        # asked for the ratio to the standard deviation, the same portfolio came out half as accurate.
        return library.MeanRisk(
            objective_function=library.ObjectiveFunction.MAXIMIZE_RATIO,
            risk_measure=_measure("VARIANCE"),
            solver=SOLVER,
            solver_params=_GAPS,
        )

    require_positive_mean("skfolio", returns)
    return _solve("maximum ratio", returns, model)


def mean_cvar(returns: FloatArray) -> FloatArray:
    """Minimise the mean of the worst 5% of days (Rockafellar and Uryasev 2000); no expected returns enter."""

    def model(library: ModuleType) -> Any:
        return library.MeanRisk(
            risk_measure=_measure("CVAR"), cvar_beta=1.0 - TAIL, solver=SOLVER, solver_params=_GAPS
        )

    return _solve("minimum CVaR", returns, model)


def risk_parity(returns: FloatArray) -> FloatArray:
    """Let every instrument contribute the same to the variance (Richard and Roncalli 2019)."""

    def model(library: ModuleType) -> Any:
        return library.RiskBudgeting(risk_measure=_measure("VARIANCE"), solver=SOLVER, solver_params=_GAPS)

    return _solve("risk budgeting", returns, model)


def hrp(returns: FloatArray) -> FloatArray:
    """Hierarchical risk parity (Lopez de Prado 2016), single linkage; leaves are ordered optimally."""

    def model(library: ModuleType) -> Any:
        from skfolio.cluster import HierarchicalClustering, LinkageMethod
        from skfolio.seriation import HierarchicalSeriation

        tree = HierarchicalClustering(linkage_method=LinkageMethod.SINGLE)
        return library.HierarchicalRiskParity(
            seriation_estimator=HierarchicalSeriation(hierarchical_clustering_estimator=tree)
        )

    return _solve("HRP", returns, model)


def herc(returns: FloatArray) -> FloatArray:
    """Hierarchical equal risk contribution (Raffinot 2018), Ward linkage, variance.

    The number of clusters is ours, as in `riskfolio_adapter.herc`.
    """

    def model(library: ModuleType) -> Any:
        return library.HierarchicalEqualRiskContribution(
            hierarchical_clustering_estimator=_tree(returns.shape[1])
        )

    return _solve("HERC", returns, model)


def nco(returns: FloatArray) -> FloatArray:
    """Nested clustered optimisation (Lopez de Prado 2019): minimum variance in clusters, then among them.

    Skfolio's default trains the outer step on cross-validated returns of the inner one, which is another
    problem than riskfolio's; here both steps see the same training rows, as in the paper.
    """

    def model(library: ModuleType) -> Any:
        return library.NestedClustersOptimization(
            inner_estimator=_minimum_variance(library),
            outer_estimator=_minimum_variance(library),
            clustering_estimator=_tree(returns.shape[1]),
            cv="ignore",
        )

    return _solve("NCO", returns, model)


def barbell(returns: FloatArray) -> FloatArray:
    """Hold antifragile instruments beside hierarchical risk parity of other clusters (`clusters.barbell`)."""
    return clusters.barbell(returns, hrp)


def _minimum_variance(library: ModuleType) -> Any:
    return library.MeanRisk(risk_measure=_measure("VARIANCE"), solver=SOLVER, solver_params=_GAPS)


def _measure(name: str) -> Any:
    from skfolio import RiskMeasure

    return RiskMeasure[name]


def _tree(n_instruments: int) -> Any:
    from skfolio.cluster import HierarchicalClustering, LinkageMethod

    return HierarchicalClustering(
        linkage_method=LinkageMethod(clusters.LINKAGE), max_clusters=clusters.cluster_count(n_instruments)
    )


def _solve(name: str, returns: FloatArray, model: Callable[[ModuleType], Any]) -> FloatArray:
    return in_some_unit(lambda scaled: _solve_once(name, scaled, model), returns)


def _solve_once(name: str, returns: FloatArray, model: Callable[[ModuleType], Any]) -> FloatArray:
    what = f"skfolio {name} of {returns.shape} returns"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        from skfolio import optimization
        from skfolio.exceptions import SkfolioError

        try:
            fitted = model(optimization).fit(returns)
        except (SkfolioError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise AllocationError(f"{what}: {error}") from error
    refuse_inaccurate(what, warned)
    return np.array(fitted.weights_, dtype=np.float64)
