"""Clusters of instruments that move together, and the barbell that is built from them."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.domain.errors import AllocationError
from engine.domain.panel import FloatArray

LINKAGE: Final = "ward"
CLUSTERS_MAX = 5
"""Of the nested allocations; both libraries are told it, since each finds another number by itself."""

AGGRESSOR_SLEEVE = 0.10
AGGRESSORS_MAX = 5
_MINIMUM_OBSERVATIONS = 100
_TAIL = 0.05


def cluster_count(n_instruments: int) -> int:
    """Return how many clusters a nested allocation makes: at most 5, and of two instruments on average.

    >>> [cluster_count(n) for n in (2, 3, 5, 10, 20)]
    [1, 2, 3, 5, 5]
    """
    return min(CLUSTERS_MAX, (n_instruments + 1) // 2)


def clusters(returns: FloatArray, n_clusters: int) -> npt.NDArray[np.int64]:
    """Return the cluster of each instrument, shape (n,), numbered from 0 in the order of first members.

    Ward linkage of the distances sqrt((1 - correlation) / 2), cut into at most so many clusters.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.sqrt(np.clip((1.0 - np.corrcoef(returns, rowvar=False)) / 2.0, 0.0, 1.0))
    np.fill_diagonal(distance, 0.0)
    labels = fcluster(
        linkage(squareform(distance, checks=False), LINKAGE), t=n_clusters, criterion="maxclust"
    )
    _, first = np.unique(labels, return_index=True)
    order = {int(labels[place]): number for number, place in enumerate(np.sort(first))}
    return np.array([order[int(label)] for label in labels], dtype=np.int64)


def antifragility(returns: FloatArray) -> float:
    """Return skew + ln(mean of the best 5% / |mean of the worst 5%|) of one instrument, shape (T,).

    The `af_dist` of `engine.core.metrics`, which stages cannot import: a test holds the two together. NaN
    below 100 returns, if a tail has too few of them, or if the best 5% lose money on average.
    """
    if returns.size < _MINIMUM_OBSERVATIONS:
        return math.nan
    # The jitter breaks ties (many days of exactly 0), which would put all days into a tail.
    values = returns + np.linspace(0.0, 1e-12, returns.size)
    best = values[values >= np.quantile(values, 1.0 - _TAIL)]
    worst = values[values <= np.quantile(values, _TAIL)]
    if min(best.size, worst.size) < min(10, int(_TAIL * returns.size)):
        return math.nan
    asymmetry = float(best.mean()) / (abs(float(worst.mean())) + 1e-12)
    return _skewness(returns) + math.log(asymmetry + 1e-12) if asymmetry > 0 else math.nan


def _skewness(returns: FloatArray) -> float:
    deviation = returns - returns.mean()
    variance = float((deviation * deviation).mean())
    return float((deviation * deviation * deviation).mean()) / math.pow(variance, 1.5)


def barbell(returns: FloatArray, core: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Return a sleeve of the most antifragile instruments beside a core on other clusters.

    The instruments are cut into clusters, at most ten, and of two instruments on average. Each cluster
    offers its most antifragile member; the best of those, of at most five clusters and at most half of them,
    share a tenth of the capital equally. Clusters that gave one hold nothing else: the others are the core.

    Parameters
    ----------
    returns
        Shape (T, n), n at least 2, all with variance.
    core
        Weights of the instruments of the other clusters, which sum to 1.

    Raises
    ------
    AllocationError
        If nobody can say how antifragile any instrument is, or all are one cluster.
    """
    n_instruments = returns.shape[1]
    labels = clusters(returns, max(2, min(2 * AGGRESSORS_MAX, n_instruments // 2)))
    n_clusters = int(labels.max()) + 1
    scores = np.array([antifragility(column) for column in returns.T])
    if n_clusters < 2:
        raise AllocationError(f"barbell: the {n_instruments} instruments are one cluster, there is no core")
    if np.isnan(scores).all():
        raise AllocationError(
            f"barbell: no instrument has an af_dist over {returns.shape[0]} returns; it needs "
            f"{_MINIMUM_OBSERVATIONS} with gains among the best"
        )
    ranked = np.argsort(np.where(np.isnan(scores), np.inf, -scores), kind="stable")[
        : np.isfinite(scores).sum()
    ]
    _, best = np.unique(labels[ranked], return_index=True)
    aggressors = ranked[np.sort(best)[: min(AGGRESSORS_MAX, n_clusters // 2)]]
    weights = np.zeros(n_instruments)
    weights[aggressors] = AGGRESSOR_SLEEVE / aggressors.size
    others = ~np.isin(labels, labels[aggressors])
    held = core(np.ascontiguousarray(returns[:, others])) if others.sum() > 1 else np.ones(1)
    weights[others] = (1.0 - AGGRESSOR_SLEEVE) * held
    return weights
