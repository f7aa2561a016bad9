"""What the edge gates say of the winner of a world, kept as numbers so that any threshold can be asked later.

The winner is the column with the largest excess Sharpe ratio, as somebody who searched would show it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.domain.panel import FloatArray
from research.bootstrap import sharpe_lower_bounds
from research.control_worlds import DAYS_PER_YEAR, Returns, search
from research.luck import effective_trials
from research.resampling import block_length, resampled_counts
from research.statistics import (
    annualized_lower_bound,
    deflated_by_luck,
    describe,
    exact_expected_maximum,
    independent_share,
    minimum_track_record,
    steepness,
)
from research.superior import bootstrap_variances, step_down

PERMUTATIONS = 199
# Half of what a board draws: here a world is decided at 5%, its p-value is not printed.
BOOTSTRAPS = 499
# The share of a planted edge that a winner must have for its promotion to count as a find.
CARRIED = 0.5
DAYS_PER_WEEK = 5


class EdgeGate(StrEnum):
    """The gates that ask whether an excess is real, in the order of the board."""

    STEP_DOWN = "spa"
    DEFLATED_SHARPE = "deflated_sharpe"
    PERMUTATION = "permutation"
    LOWER_BOUND = "excess_lower_bound"
    BOOTSTRAP_BOUND = "excess_bootstrap"
    TRACK_RECORD = "track_record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The thresholds of the edge gates; by default those of the standard.

    Attributes
    ----------
    fewest_trials
        The number of independent trials counts as at least this. The standard takes the register's own.
    """

    step_down: float = 0.01
    deflated_sharpe: float = 0.95
    permutation: float = 0.05
    lower_bound: float = 0.0
    track_record: float = 1.0
    fewest_trials: float = 0.0


STANDARD = Levels()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The winner of one world under one edge.

    Attributes
    ----------
    sharpe
        Of its excess, annualised.
    carries_edge
        Whether the winner has the planted edge, or at least half of it.
    n_effective
        Independent trials of the world.
    step_down
        Family-wise adjusted p-value.
    deflated_sharpe
        With `n_effective` trials.
    steepness
        Standard deviations of the probabilistic Sharpe ratio for each unit of daily Sharpe ratio: from it and
        `sharpe` the deflated ratio follows for any number of trials.
    n_days, independent
        Observations, and the share of them that counts where days resemble one another.
    permutation
        p-value of the whole search on permuted bars, NaN where the world has no bars. Drawing ends as soon
        as it is above the level for certain, which makes it too small then, and never moves it across.
    lower_bound, bootstrap_bound
        One-sided 95%, annualised.
    track_record
        Observations needed to prove the excess, as a share of those there are.
    """

    sharpe: float
    carries_edge: bool
    n_effective: float
    step_down: float
    deflated_sharpe: float
    steepness: float
    n_days: int
    independent: float
    permutation: float
    lower_bound: float
    bootstrap_bound: float
    track_record: float

    def passes(self, gate: EdgeGate, levels: Levels = STANDARD) -> bool | None:
        """Say whether it passes a gate; None where the gate is not applicable."""
        match gate:
            case EdgeGate.STEP_DOWN:
                return self.step_down <= levels.step_down
            case EdgeGate.DEFLATED_SHARPE:
                return self.deflated_at(levels.fewest_trials) >= levels.deflated_sharpe
            case EdgeGate.PERMUTATION:
                return None if math.isnan(self.permutation) else self.permutation <= levels.permutation
            case EdgeGate.LOWER_BOUND:
                return self.lower_bound > levels.lower_bound
            case EdgeGate.BOOTSTRAP_BOUND:
                return self.bootstrap_bound > levels.lower_bound
            case EdgeGate.TRACK_RECORD:
                return self.track_record <= levels.track_record

    def deflated_at(self, fewest_trials: float) -> float:
        """Return the deflated Sharpe ratio if there are at least so many independent trials."""
        if fewest_trials <= self.n_effective:
            return self.deflated_sharpe
        hurdle = exact_expected_maximum(fewest_trials) / math.sqrt((self.n_days - 1) * self.independent)
        score = (self.sharpe / math.sqrt(DAYS_PER_YEAR) - hurdle) * self.steepness
        return 0.5 * math.erfc(-score / math.sqrt(2.0))

    def is_promoted(self, levels: Levels = STANDARD) -> bool:
        """Say whether it passes every edge gate that applies."""
        return all(self.passes(gate, levels) is not False for gate in EdgeGate)


def independent_trials(excess: FloatArray) -> float:
    """Return the number of independent trials among daily excess returns, as a register counts them.

    Parameters
    ----------
    excess
        Shape (T, N); weeks are five rows each, and a rest is left out.
    """
    weeks = len(excess) // DAYS_PER_WEEK
    return effective_trials(excess[: weeks * DAYS_PER_WEEK].reshape(weeks, DAYS_PER_WEEK, -1).sum(axis=1))


def judge_excess(
    excess: FloatArray,
    rng: np.random.Generator,
    *,
    permutation: float = math.nan,
    bootstraps: int = BOOTSTRAPS,
) -> Finding:
    """Judge the best of some trials on one market; each of them would carry an edge if there were one.

    Parameters
    ----------
    excess
        Shape (T, N). Columns that never deviate from their benchmark are left out, as on the board.
    permutation
        p-value of the search on permuted bars, where there are any.
    """
    moving = excess[:, (excess != excess[0]).any(axis=0)]
    ratios = moving.mean(axis=0) / moving.std(axis=0, ddof=1)
    best = int(ratios.argmax())
    adjusted = step_down(moving, rng=rng, n_bootstraps=bootstraps)
    [bound] = sharpe_lower_bounds(moving[:, [best]], rng=rng, n_bootstraps=bootstraps)
    return _finding(
        moving[:, best],
        carries_edge=True,
        n_effective=independent_trials(moving),
        adjusted=float(adjusted[best]),
        permutation=permutation,
        bootstrap_bound=float(bound),
    )


def judge_returns(
    returns: Returns, edges: Sequence[float], rng: np.random.Generator, *, bootstraps: int = BOOTSTRAPS
) -> tuple[Finding, ...]:
    """Judge the winner of one draw of noise under several edges, in their order; 0 is none."""
    noise = returns.noise
    means, scales = noise.mean(axis=0), noise.std(axis=0, ddof=1)
    added = np.array([returns.means(edge) for edge in edges])
    winners = ((means + added) / scales).argmax(axis=1)
    places = np.arange(len(edges))
    adjusted = step_down_of_winners(noise, added, winners, rng, bootstraps=bootstraps)
    series = noise[:, winners] + added[places, winners]
    bounds = sharpe_lower_bounds(series, rng=rng, n_bootstraps=bootstraps)
    n_effective = independent_trials(noise)
    return tuple(
        _finding(
            series[:, place],
            carries_edge=bool(edge > 0.0 and returns.profile[winners[place]] >= CARRIED),
            n_effective=n_effective,
            adjusted=float(adjusted[place]),
            permutation=math.nan,
            bootstrap_bound=float(bounds[place]),
        )
        for place, edge in enumerate(edges)
    )


def step_down_of_winners(
    noise: FloatArray,
    added: FloatArray,
    winners: Iterable[int],
    rng: np.random.Generator,
    *,
    bootstraps: int = BOOTSTRAPS,
) -> FloatArray:
    """Return what `superior.step_down` says of one column under each of several edges, shape (E,).

    An edge moves means and nothing else, so one bootstrap of the noise serves all of them.

    Parameters
    ----------
    noise
        Shape (T, N).
    added
        Shape (E, N), what each edge adds to the mean of each column.
    winners
        Shape (E,), the column asked for under each edge.
    """
    rows = len(noise)
    length = block_length(noise)
    means, scales = noise.mean(axis=0), noise.std(axis=0)
    deviations = (noise - means) / scales
    omega = np.sqrt(bootstrap_variances(deviations, length=length))
    unit = 1.0 / (math.sqrt(rows) * omega)
    scores = math.sqrt(rows) * ((means + added) / scales) / omega
    shifts = np.where(scores >= -math.sqrt(2.0 * math.log(math.log(rows))), 0.0, scores)
    # Where a column with a smaller Sharpe ratio has the larger score, it is asked first, and the winner's
    # p-value is at least as large.
    ahead = [
        np.flatnonzero(score > score[winner]).tolist() for score, winner in zip(scores, winners, strict=True)
    ]
    asked = [sorted(better, key=lambda j: -score[j]) for better, score in zip(ahead, scores, strict=True)]
    asked = [[*better, winner] for better, winner in zip(asked, winners, strict=True)]
    exceeded = [np.zeros(len(columns), dtype=np.int64) for columns in asked]
    for counts in resampled_counts(rows, bootstraps, length=length, rng=rng):
        resampled = (counts @ deviations) * unit
        for columns, tally, score, shift in zip(asked, exceeded, scores, shifts, strict=True):
            shifted = resampled + shift
            for place, column in enumerate(columns):
                largest = np.maximum(shifted.max(axis=1), 0.0)
                tally[place] += int((largest >= max(score[column], 0.0)).sum())
                shifted[:, column] = -np.inf
    return np.array([(1.0 + tally.max()) / (1.0 + bootstraps) for tally in exceeded])


def permuted_search(
    log_returns: FloatArray,
    observed: float,
    rng: np.random.Generator,
    *,
    permutations: int = PERMUTATIONS,
    level: float = STANDARD.permutation,
) -> float:
    """Return the p-value of the best cell of the grid against the same search on permuted bars [1]_.

    Parameters
    ----------
    observed
        `Searched.best_sharpe` of the market.
    level
        Once the p-value is above this for certain, drawing ends [2]_.

    References
    ----------
    .. [1] Masters (2018), Permutation and randomization tests for trading system development
    .. [2] Besag and Clifford (1991), Sequential Monte Carlo p-values, Biometrika 78(2)
    """
    exceeded = 0
    for _ in range(permutations):
        exceeded += search(rng.permutation(log_returns)).best_sharpe() >= observed
        if (1.0 + exceeded) / (1.0 + permutations) > level:
            break
    return (1.0 + exceeded) / (1.0 + permutations)


def pooled_permutation(best: Sequence[float], place: int, *, permutations: int = PERMUTATIONS) -> float:
    """Return the p-value of one world against others of which each is a permutation of it.

    Bars that were permuted already have the same distribution as their permutations, so worlds of one family
    stand in for them: the next ones in their order, around the end.
    """
    others = [best[(place + step) % len(best)] for step in range(1, min(permutations, len(best) - 1) + 1)]
    return (1.0 + sum(other >= best[place] for other in others)) / (1.0 + len(others))


def _finding(
    series: FloatArray,
    *,
    carries_edge: bool,
    n_effective: float,
    adjusted: float,
    permutation: float,
    bootstrap_bound: float,
) -> Finding:
    sample = describe(series)
    assert sample is not None, "a winner varies and has more than 30 days"
    share = independent_share(sample)
    return Finding(
        sharpe=sample.sharpe * math.sqrt(DAYS_PER_YEAR),
        carries_edge=carries_edge,
        n_effective=n_effective,
        step_down=adjusted,
        deflated_sharpe=deflated_by_luck(sample, n_effective=n_effective),
        steepness=steepness(sample, independent=share),
        n_days=sample.n_observations,
        independent=share,
        permutation=permutation,
        lower_bound=annualized_lower_bound(series, days_per_year=DAYS_PER_YEAR),
        bootstrap_bound=bootstrap_bound * math.sqrt(DAYS_PER_YEAR),
        track_record=minimum_track_record(sample, benchmark=0.0) / sample.n_observations,
    )
