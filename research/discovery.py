"""How many of the discoveries are false, and which models cannot be told from the best one."""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from research.resampling import checked_block_length
from research.statistics import Sample, exceedance

MINIMUM_OBSERVATIONS = 30


class Dependence(StrEnum):
    """What is known of tests that are made together."""

    POSITIVE = "bh"
    """Independent, or what makes one small makes others small (Benjamini and Hochberg)."""
    ANY = "by"
    """Nothing (Benjamini and Yekutieli)."""


def planned_false_discovery_rate(*, prior: float, significance: float, power: float) -> float:
    """Return the share of strategies without an edge among those that pass a test: the paper's pFDR [1]_.

    Parameters
    ----------
    prior
        Share of strategies with an edge among all that are tested.
    significance
        How often one without an edge passes.
    power
        How often one with an edge passes (`statistics.power`).

    References
    ----------
    .. [1] Lopez de Prado, Lipton and Zoonekynd (2025), Sharpe ratio inference, SSRN 5520741

    Examples
    --------
    >>> round(planned_false_discovery_rate(prior=0.05, significance=0.05, power=1 - 0.315), 3)
    0.581
    """
    _require_shares(prior=prior, significance=significance, power=power)
    false, true = significance * (1.0 - prior), power * prior
    return false / (false + true) if false + true > 0 else 0.0


def observed_false_discovery_rate(
    sample: Sample, *, prior: float, alternative: float, benchmark: float = 0.0
) -> float:
    """Return how probably a strategy has no edge, given the Sharpe ratio it shows: the paper's oFDR [1]_.

    Parameters
    ----------
    prior
        Share of strategies with an edge among all that are tested.
    alternative, benchmark
        True Sharpe ratios with an edge and without, per observation.

    References
    ----------
    .. [1] Lopez de Prado, Lipton and Zoonekynd (2025), Sharpe ratio inference, SSRN 5520741
    """
    if alternative <= benchmark:
        raise InvalidValueError(
            f"false discovery: the ratio with an edge must be above the one without, was {alternative} and "
            f"{benchmark}"
        )
    return planned_false_discovery_rate(
        prior=prior,
        significance=exceedance(sample, true_sharpe=benchmark),
        power=exceedance(sample, true_sharpe=alternative),
    )


def q_values(p_values: FloatArray, *, dependence: Dependence = Dependence.POSITIVE) -> FloatArray:
    """Return for each test the smallest false discovery rate at which it counts as a discovery [1]_ [2]_.

    Parameters
    ----------
    p_values
        Shape (N,), not adjusted for one another.

    References
    ----------
    .. [1] Benjamini and Hochberg (1995), Controlling the false discovery rate, JRSS B 57(1)
    .. [2] Benjamini and Yekutieli (2001), The control of the false discovery rate in multiple testing under
       dependency, Annals of Statistics 29(4)
    """
    from scipy.stats import false_discovery_control

    if not (np.isfinite(p_values).all() and ((p_values >= 0) & (p_values <= 1)).all()):
        raise InvalidValueError("q-values: p-values must be finite and between 0 and 1")
    if p_values.size == 0:
        return np.empty(0)
    return np.asarray(false_discovery_control(p_values, method=dependence.value))


def model_confidence_set(
    excess: FloatArray,
    *,
    rng: np.random.Generator,
    size: float = 0.10,
    n_bootstraps: int = 1000,
    block_length: float | None = None,
) -> npt.NDArray[np.bool_]:
    """Return which columns cannot be told from the best one, shape (N,) [1]_.

    Losses are the negative excess; the statistic is the largest studentised distance from the average of
    those that are left. arch does it (`arch.bootstrap.MCS`), but knows no columns that differ by a constant:
    of such ones the best takes part, and only its equals share what is said of it.

    Parameters
    ----------
    excess
        Shape (T, N), daily, T >= 30, finite; each column varies.
    rng
        The same state gives the same set.
    size
        How often the best column may be missing from the set.
    block_length
        Mean length of the blocks, in days, rounded. By default the one that `resampling.block_length` finds.

    References
    ----------
    .. [1] Hansen, Lunde and Nason (2011), The model confidence set, Econometrica 79(2), sec. 3.1.2 (T max)
    """
    from arch.bootstrap import MCS

    if excess.ndim != 2 or len(excess) < MINIMUM_OBSERVATIONS or excess.shape[1] == 0:
        raise InvalidValueError(
            f"confidence set: excess must have shape (T, N), T at least {MINIMUM_OBSERVATIONS} and N at "
            f"least 1, was {excess.shape}"
        )
    usable = np.isfinite(excess).all(axis=0) & (excess != excess[0]).any(axis=0)
    if not usable.all():
        raise InvalidValueError(
            f"confidence set: column {int(np.argmin(usable))} is not finite or does not vary; leave it out"
        )
    means, scales = excess.mean(axis=0), excess.std(axis=0)
    shapes = np.round((excess - means) / scales.max(), 12)
    _, family = np.unique(shapes, axis=1, return_inverse=True)
    best = np.full(family.max() + 1, -np.inf)
    np.maximum.at(best, family, means)
    is_best = means >= best[family] - 1e-12 * scales
    # The first of the best of each family, in the order given.
    _, first = np.unique(np.where(is_best, family, -1), return_index=True)
    players = np.sort(first[is_best[first]])
    kept = np.ones(best.size, dtype=np.bool_)
    if players.size > 1:
        length = max(1, round(checked_block_length(block_length, excess)))
        test = MCS(-excess[:, players], size, reps=n_bootstraps, block_size=length, method="max", seed=rng)
        test.compute()
        kept[:] = False
        kept[family[players[np.asarray(test.included, dtype=np.int64)]]] = True
    return np.asarray(kept[family] & is_best)


def _require_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0.0 <= share <= 1.0:
            raise InvalidValueError(f"false discovery: {name} must be between 0 and 1, was {share}")
