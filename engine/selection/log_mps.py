"""Selection `log_mps`: the best few of each cluster by a multiplicative score (version 3.2 of its source).

The weights of the components came from a search over the same history that others traded: they are
defaults, no evidence.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from engine.selection import components
from engine.selection.universe import BoolArray, Eligibility, Selected, eligible, simple_returns

IntegerArray = npt.NDArray[np.int64]

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "momentum": 1.7469,
        "stability": 0.0458,
        "liquidity": 0.2946,
        "antifragility": 0.6263,
        "survival": 1.4,
        "efficiency": 1.5348,
        "entropy": 0.0322,
        "hurst_clean": 0.3485,
    }
)
# Already probabilities or shares: used as they are. The others count by their rank.
_SHARES = ("survival", "liquidity", "efficiency")
CLUSTERS_MAX = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMps:
    """Settings of the selection.

    Attributes
    ----------
    floor
        Fewer instruments than this are no universe: then all eligible ones are taken, flagged.
    top_n
        Instruments of a cluster whose members are uncorrelated; fewer the more alike they are, at least 1.
    lookbacks
        Days of the correlations whose distances are averaged, beside the whole training window.
    cluster_distance
        At which the tree of Ward linkage is cut.
    momentum_days, momentum_min
        An instrument that fell by more in the last days is not taken.
    survival_min
        One that survives in a smaller share of bootstrapped paths is not taken.
    survival_drawdown, survival_paths, survival_block
        Of that bootstrap: what ends a path, how many there are, and how many days stay together.
    liquidity_full
        Daily traded value, in the quote currency, above which more is no better.
    """

    floor: int = 10
    top_n: int = 2
    lookbacks: tuple[int, ...] = (60, 120)
    cluster_distance: float = 0.45
    momentum_days: int = 60
    momentum_min: float = -0.05
    survival_min: float = 0.10
    survival_drawdown: float = 0.20
    survival_paths: int = 200
    survival_block: int = 10
    liquidity_full: float = 5e8
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)

    def __post_init__(self) -> None:
        if self.floor < 1 or self.top_n < 1:
            raise InvalidValueError(
                f"log_mps: floor and top_n must be at least 1, were {self.floor} and {self.top_n}"
            )
        if set(self.weights) != set(WEIGHTS):
            raise InvalidValueError(f"log_mps: weights must name {', '.join(WEIGHTS)}, were {self.weights}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TailMeasures:
    """Functions of one instrument's returns that live with the metrics: stages do not import one another."""

    af_dist: Callable[[FloatArray], float]
    cvar_95: Callable[[FloatArray], float]


def select_log_mps(
    closes: FloatArray,
    rules: Eligibility,
    settings: LogMps,
    *,
    days_per_year: int,
    measures: TailMeasures,
    generator: np.random.Generator,
    traded_value: FloatArray | None = None,
) -> Selected:
    """Choose the best of each cluster.

    Parameters
    ----------
    closes
        Shape (T, N), of the training rows only.
    generator
        For the bootstrap; seed it with the window's index, so that a resumed run draws the same paths.
    traded_value
        Shape (T, N), close x volume of the training rows; None where there is no volume.
    """
    mask = eligible(closes, rules)
    if mask.sum() < max(2, settings.floor):
        return Selected(mask=mask, eligible=mask, is_fallback=True, components_zeroed=tuple(WEIGHTS))
    returns = simple_returns(closes[:, mask])
    value = None if traded_value is None else traded_value[:, mask]
    raw = _components(returns, value, settings, days_per_year, measures, generator)
    used = tuple(name for name in WEIGHTS if np.isfinite(raw[name]).all())
    penalty = _fragility_penalty(returns, measures)
    scores = _scores({name: raw[name] for name in used}, penalty, settings.weights)
    correlation = _correlation(returns)
    labels = _clusters(returns, settings)
    allowed = simple_momentum(closes[:, mask], settings.momentum_days) >= settings.momentum_min
    if "survival" in used:
        allowed &= raw["survival"] >= settings.survival_min
    chosen = _best_of_clusters(labels, correlation, scores, allowed, settings.top_n)
    is_fallback = bool(chosen.sum() < settings.floor)
    selected = np.zeros_like(mask)
    selected[mask] = True if is_fallback else chosen
    return Selected(
        mask=selected,
        eligible=mask,
        is_fallback=is_fallback,
        components_used=used,
        components_zeroed=tuple(name for name in WEIGHTS if name not in used),
        components={name: _spread(raw[name], mask) for name in WEIGHTS},
        scores=_spread(scores, mask),
        clusters=_spread_labels(labels, mask),
    )


def simple_momentum(closes: FloatArray, days: int) -> FloatArray:
    """Return the return of the last `days` days (of all, if there are fewer), shape (n,)."""
    start = max(0, closes.shape[0] - 1 - days)
    momentum: FloatArray = closes[-1] / closes[start] - 1.0
    return momentum


def _components(
    returns: FloatArray,
    traded_value: FloatArray | None,
    settings: LogMps,
    days_per_year: int,
    measures: TailMeasures,
    generator: np.random.Generator,
) -> dict[str, FloatArray]:
    def each(measure: Callable[[FloatArray], float]) -> FloatArray:
        return np.array([measure(np.ascontiguousarray(column)) for column in returns.T])

    volatility = returns.std(axis=0, ddof=1) * math.sqrt(days_per_year)
    if traded_value is None:
        liquidity = np.full(returns.shape[1], np.nan)
    else:
        liquidity = np.minimum(1.0, traded_value.mean(axis=0) / settings.liquidity_full)
    return {
        "momentum": returns.mean(axis=0) * days_per_year,
        "stability": 1.0 / (volatility + 1e-9),
        "liquidity": liquidity,
        "antifragility": each(measures.af_dist),
        "survival": components.survival(
            returns,
            drawdown=settings.survival_drawdown,
            n_paths=settings.survival_paths,
            block=settings.survival_block,
            generator=generator,
        ),
        "efficiency": each(components.efficiency_ratio),
        "entropy": each(components.order),
        "hurst_clean": each(components.hurst_clean),
    }


def _fragility_penalty(returns: FloatArray, measures: TailMeasures) -> FloatArray:
    """Return up to 1/2: half of |CVaR| / volatility, relative to the largest of the universe."""
    loss = np.array([abs(measures.cvar_95(np.ascontiguousarray(column))) for column in returns.T])
    volatility = returns.std(axis=0, ddof=1)
    fragility = np.divide(loss, volatility, out=np.zeros_like(loss), where=volatility > 0)
    largest = float(fragility.max())
    return 0.5 * fragility / largest if largest > 0 else np.zeros_like(fragility)


def _scores(parts: Mapping[str, FloatArray], penalty: FloatArray, weights: Mapping[str, float]) -> FloatArray:
    """Return the natural logarithm of the score: sum of weight x ln(part) + ln(1 - penalty)."""
    mapped = {
        name: np.clip(values, 0.001, 1.0) if name in _SHARES else _ranks(values)
        for name, values in parts.items()
    }
    return np.array(
        [
            math.fsum(weights[name] * math.log(values[i]) for name, values in mapped.items())
            + math.log(1.0 - share)
            for i, share in enumerate(penalty.tolist())
        ]
    )


def _ranks(values: FloatArray) -> FloatArray:
    """Return .01 for the smallest value to 1 for the largest; equal values share their mean rank."""
    below = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1)
    rank = below + (equal - 1) / 2
    share: FloatArray = rank / (values.size - 1)
    return 0.01 + 0.99 * share


def _correlation(returns: FloatArray) -> FloatArray:
    """Return Pearson's correlations; 0 with an instrument that did not move."""
    deviation = returns - returns.mean(axis=0)
    norm = np.sqrt((deviation * deviation).sum(axis=0))
    scaled = np.divide(deviation, norm, out=np.zeros_like(deviation), where=norm > 0)
    # Rows are added one after another: a matrix product would depend on the library's threads.
    products = (scaled[:, :, None] * scaled[:, None, :]).sum(axis=0)
    correlation: FloatArray = np.clip(products, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _clusters(returns: FloatArray, settings: LogMps) -> IntegerArray:
    n_days = returns.shape[0]
    lookbacks = [min(days, n_days) for days in (*settings.lookbacks, n_days)]
    mean = np.zeros((returns.shape[1], returns.shape[1]))
    for days in lookbacks:
        mean += np.sqrt(0.5 * (1.0 - _correlation(returns[n_days - days :]))) / len(lookbacks)
    return cut_tree(ward_tree(mean[np.triu_indices(len(mean), 1)]), settings)


def ward_tree(distances: FloatArray) -> FloatArray:
    """Return Ward's tree as scipy writes it; distances of pairs above the diagonal, row by row."""
    from scipy.cluster.hierarchy import linkage

    return np.asarray(linkage(distances, method="ward"))


def cut_tree(tree: FloatArray, settings: LogMps) -> IntegerArray:
    """Return the cluster of each instrument, numbered from 1."""
    from scipy.cluster.hierarchy import fcluster

    labels = fcluster(tree, settings.cluster_distance, criterion="distance")
    if labels.max() > CLUSTERS_MAX:
        labels = fcluster(tree, CLUSTERS_MAX, criterion="maxclust")
    return np.asarray(labels, dtype=np.int64)


def _best_of_clusters(
    labels: IntegerArray, correlation: FloatArray, scores: FloatArray, allowed: BoolArray, top_n: int
) -> BoolArray:
    chosen = np.zeros(labels.size, dtype=np.bool_)
    for label in range(1, int(labels.max()) + 1):
        members = np.flatnonzero(labels == label)
        pairs = members.size * (members.size - 1)
        inside = correlation[np.ix_(members, members)].sum() - members.size
        alike = float(inside) / pairs if pairs else 1.0
        places = max(1, round(top_n * (1.0 - alike) + 0.5))
        candidates = members[allowed[members]]
        best = candidates[np.argsort(-scores[candidates], kind="stable")]
        chosen[best[:places]] = True
    return chosen


def _spread(values: FloatArray, mask: BoolArray) -> FloatArray:
    whole = np.full(mask.size, np.nan)
    whole[mask] = values
    return whole


def _spread_labels(labels: IntegerArray, mask: BoolArray) -> IntegerArray:
    whole = np.zeros(mask.size, dtype=np.int64)
    whole[mask] = labels
    return whole
