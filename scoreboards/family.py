"""What only all cells of one data set can say together: how lucky the best of them is, and how they rank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.core import metrics
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray
from research.bootstrap import intervals, sharpe_lower_bounds
from research.cells import CellKey, Variant
from research.discovery import Dependence, model_confidence_set, q_values
from research.overfitting import Overfitting, PathDispersion, path_dispersion, probability_of_overfitting
from research.resampling import block_length
from research.statistics import describe, exceedance
from research.superior import step_down
from scoreboards.evidence import Evidence

# Bounds of tails take a fifth of a second each: for the best of a data set.
TAILS_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What the family says of one cell.

    Attributes
    ----------
    spa
        Family-wise adjusted probability of its excess without an edge.
    spa_hash
        Of the excess of all cells that were tested together, and of how.
    bootstrap_bound
        One-sided 95% lower bound of its annualised excess Sharpe ratio, by the stationary bootstrap.
    rank_move
        Largest move in rank among the cells of its strategy under a variant of timing, as a share of them.
    rank_hash
        Of the ranks' inputs.
    q_value
        Smallest false discovery rate at which it would count as a discovery.
    drawdown_bound, cvar_bound
        What 95% of resamples stay within; NaN where it was not asked.
    """

    spa: float
    spa_hash: str
    bootstrap_bound: float
    rank_move: float
    rank_hash: str
    q_value: float = np.nan
    drawdown_bound: float = np.nan
    cvar_bound: float = np.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """All cells of one data set that can have an edge.

    Attributes
    ----------
    members
        By cell. A cell without an excess that varies has no entry, and its gates are missing.
    overfitting
        What choosing among them in one half of history was worth in the other; None for fewer than two.
    paths
        What they would have earned on paths on which they were not chosen; None likewise.
    confidence_set
        Strategies whose best cell cannot be told from the best of all, with 90% confidence.
    block_length
        Mean length of the blocks of days that were drawn.
    tested
        Hash of the daily excess of all cells, and of how they were tested.
    """

    members: Mapping[CellKey, Member] = field(default_factory=dict)
    overfitting: Overfitting | None = None
    paths: PathDispersion | None = None
    confidence_set: tuple[str, ...] = ()
    block_length: float = np.nan
    tested: str = ""


def family_of(
    evidences: Sequence[Evidence],
    *,
    timing: Sequence[Variant],
    bootstraps: int,
    seed: int,
    days_per_year: int,
) -> Family:
    """Test the cells of a data set together.

    Parameters
    ----------
    evidences
        Of the cells that gates are asked about and that do something of their own.
    timing
        Variants under which a cell must keep its rank.
    """
    found: dict[CellKey, FloatArray] = {}
    for evidence in evidences:
        if evidence.excess is not None and describe(evidence.excess) is not None:
            found[evidence.cell.key] = evidence.excess
    if not found:
        return Family()
    keys = tuple(sorted(found))
    excess = np.column_stack([found[key] for key in keys])
    length = block_length(excess)
    adjusted = step_down(excess, rng=_generator(seed, 1), n_bootstraps=bootstraps, block_length=length)
    bounds = sharpe_lower_bounds(
        excess, rng=_generator(seed, 2), n_bootstraps=bootstraps, block_length=length
    ) * np.sqrt(days_per_year)
    discovered = q_values(_one_sided(excess), dependence=Dependence.ANY)
    tested = content_hash({"excess": excess, "bootstraps": bootstraps, "seed": seed, "block": length})
    moves = _rank_moves(evidences, timing, days_per_year)
    tails = _tails(evidences, keys, bounds, seed=seed, bootstraps=bootstraps, days_per_year=days_per_year)
    members = {}
    for place, key in enumerate(keys):
        drawdown, cvar = tails.get(key, (np.nan, np.nan))
        members[key] = Member(
            spa=float(adjusted[place]),
            spa_hash=tested,
            bootstrap_bound=float(bounds[place]),
            rank_move=moves[key][0],
            rank_hash=moves[key][1],
            q_value=float(discovered[place]),
            drawdown_bound=drawdown,
            cvar_bound=cvar,
        )
    several = excess.shape[1] > 1
    return Family(
        members=members,
        overfitting=probability_of_overfitting(excess) if several else None,
        paths=path_dispersion(excess) if several else None,
        confidence_set=_confidence_set(excess, keys, bounds, rng=_generator(seed, 3), length=length),
        block_length=length,
        tested=tested,
    )


def _one_sided(excess: FloatArray) -> FloatArray:
    """Return for each column how likely its mean is without an edge, by the AR(1) variance at the null."""
    values = []
    for column in excess.T:
        sample = describe(column)
        assert sample is not None, "columns that cannot be described were left out"
        values.append(exceedance(sample, true_sharpe=0.0))
    return np.array(values)


def _tails(
    evidences: Sequence[Evidence],
    keys: Sequence[CellKey],
    bounds: FloatArray,
    *,
    seed: int,
    bootstraps: int,
    days_per_year: int,
) -> dict[CellKey, tuple[float, float]]:
    """Return what 95% of resamples stay above in drawdown and CVaR, for the cells that anybody looks at."""
    wanted = {keys[place] for place in np.argsort(-bounds, kind="stable")[:TAILS_SHOWN]}
    found = {}
    for evidence in evidences:
        if evidence.cell.key in wanted:
            told = intervals(
                evidence.account.returns,
                rng=_generator(seed, 4),
                days_per_year=days_per_year,
                n_bootstraps=bootstraps,
                # Both ends of a two-sided 90%: 95% stay above the lower one.
                confidence=0.90,
            )
            found[evidence.cell.key] = (told.max_drawdown.low, told.cvar_95.low)
    return found


def _confidence_set(
    excess: FloatArray,
    keys: Sequence[CellKey],
    bounds: FloatArray,
    *,
    rng: np.random.Generator,
    length: float,
) -> tuple[str, ...]:
    """Return the strategies that cannot be told from the best one, each by its best cell."""
    best: dict[str, int] = {}
    for place in np.argsort(-bounds, kind="stable").tolist():
        best.setdefault(keys[place].strategy, place)
    if len(best) < 2:
        return tuple(best)
    names = sorted(best)
    columns = excess[:, [best[name] for name in names]]
    stays = model_confidence_set(columns, rng=rng, block_length=length)
    return tuple(name for name, kept in zip(names, stays, strict=True) if kept)


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, purpose]))


def _rank_moves(
    evidences: Sequence[Evidence], timing: Sequence[Variant], days_per_year: int
) -> dict[CellKey, tuple[float, str]]:
    """Return for each cell its largest move in rank within its strategy, and the hash of what was ranked.

    Ranked by excess Sharpe ratio; NaN, and so a missing gate, where a variant was not played.
    """
    siblings: dict[tuple[str, str], list[Evidence]] = {}
    for evidence in evidences:
        siblings.setdefault((evidence.cell.key.strategy, evidence.cell.key.parameters_hash), []).append(
            evidence
        )
    moves: dict[CellKey, tuple[float, str]] = {}
    for members in siblings.values():
        table = np.array(
            [
                [_excess_sharpe(item, days_per_year)] + [_variant_sharpe(item, variant) for variant in timing]
                for item in members
            ]
        )
        ranks = np.argsort(np.argsort(-table, axis=0, kind="stable"), axis=0, kind="stable")
        share = np.abs(ranks[:, 1:] - ranks[:, :1]).max(axis=1) / len(members)
        known = ~np.isnan(table).any(axis=1)
        hashed = content_hash({"ranked": table, "timing": [str(variant) for variant in timing]})
        for item, move, played in zip(members, share, known, strict=True):
            moves[item.cell.key] = (float(move) if played else np.nan, hashed)
    return moves


def _excess_sharpe(evidence: Evidence, days_per_year: int) -> float:
    return np.nan if evidence.excess is None else metrics.sharpe(evidence.excess, days_per_year)


def _variant_sharpe(evidence: Evidence, variant: Variant) -> float:
    result = evidence.cell.variants.get(variant)
    return np.nan if result is None else result.excess_sharpe
