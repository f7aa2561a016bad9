"""Plays the worlds of the study that need no market data: a family, a length and a number make one world."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from engine.domain.panel import FloatArray
from research.control_findings import BOOTSTRAPS, PERMUTATIONS, judge_excess, judge_returns, permuted_search
from research.control_study import Family, World
from research.control_worlds import (
    DAYS_PER_YEAR,
    PERSISTENCE,
    TREND_DRIFT,
    WARM_UP,
    Returns,
    clustered,
    drifting,
    independent,
    parameter_line,
    random_walk,
    search,
    trending,
)

SEED = 20_260_801
EDGES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.3, 1.5, 2.0)
_PLACE = {family: place for place, family in enumerate(Family)}


class Purpose(IntEnum):
    """What a generator is for: the same numbers must not make a world and then resample it."""

    MAKE = 1
    JUDGE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much chance is asked in every world."""

    bootstraps: int = BOOTSTRAPS
    permutations: int = PERMUTATIONS


def generator(family: Family, years: int, index: int, purpose: Purpose = Purpose.MAKE) -> np.random.Generator:
    """Return the generator of one world, the same whichever process asks and in whatever order."""
    return np.random.Generator(np.random.PCG64([SEED, _PLACE[family], years, index, int(purpose)]))


def play(family: Family, years: int, index: int, effort: Effort) -> tuple[World, ...]:
    """Play one world: noise serves every edge at once, a market is made anew for each, of the same shocks."""
    rows = years * DAYS_PER_YEAR
    if family in _RETURNS:
        returns = _RETURNS[family](generator(family, years, index), rows)
        findings = judge_returns(
            returns, EDGES, generator(family, years, index, Purpose.JUDGE), bootstraps=effort.bootstraps
        )
        return tuple(
            World(family=family, years=years, index=index, edge=edge, finding=finding)
            for edge, finding in zip(EDGES, findings, strict=True)
        )
    return tuple(
        _searched(family, years, index, edge, make, effort) for edge, make in _markets(family).items()
    )


def _searched(
    family: Family,
    years: int,
    index: int,
    edge: float,
    make: Callable[[np.random.Generator, int], FloatArray],
    effort: Effort,
) -> World:
    log_returns = make(generator(family, years, index), WARM_UP + years * DAYS_PER_YEAR)
    found = search(log_returns)
    rng = generator(family, years, index, Purpose.JUDGE)
    probability = permuted_search(log_returns, found.best_sharpe(), rng, permutations=effort.permutations)
    finding = judge_excess(found.excess(), rng, permutation=probability, bootstraps=effort.bootstraps)
    return World(family=family, years=years, index=index, edge=edge, finding=finding)


def _markets(family: Family) -> Mapping[float, Callable[[np.random.Generator, int], FloatArray]]:
    if family is Family.GRID_TREND:
        return {edge: _trending(drift) for edge, drift in TREND_DRIFT.items()}
    return {0.0: _MARKETS[family]}


def _trending(drift: float) -> Callable[[np.random.Generator, int], FloatArray]:
    return lambda rng, rows: trending(rng, rows, drift)


_RETURNS: Mapping[Family, Callable[[np.random.Generator, int], Returns]] = {
    Family.NOISE_25: lambda rng, rows: independent(rng, rows, 25),
    Family.NOISE_25_WILD: lambda rng, rows: independent(rng, rows, 25, wild=True),
    Family.NOISE_1000: lambda rng, rows: independent(rng, rows, 1000),
    Family.LINE: parameter_line,
    Family.LINE_PERSISTENT: lambda rng, rows: parameter_line(rng, rows, autocorrelation=PERSISTENCE),
}
_MARKETS: Mapping[Family, Callable[[np.random.Generator, int], FloatArray]] = {
    Family.GRID_RANDOM_WALK: random_walk,
    Family.GRID_CLUSTERED: clustered,
    Family.GRID_DRIFT: drifting,
}
