"""Worlds that are played by the core and judged by every gate of the board: with an edge, and without."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from engine.allocation.allocator import Profile
from engine.data import planted
from engine.domain.gates import Verdict
from engine.domain.time import Timeframe
from engine.pipeline.run import Column
from engine.selection.universe import Selection
from engine.strategy_files import load_strategy, strategy_names
from research.arena import Arena, Contestant, baseline_cells, contestant_cells
from research.base_weights import BaseWeights
from research.baselines import equal_weight_plan, equal_weights
from research.batches import Simulators
from research.cell_store import CellStore
from research.cells import Control, ControlExpectation, Simulator
from research.configuration import TournamentSettings, for_data
from research.control_bars import excess_of
from research.control_findings import judge_excess
from research.control_play import Effort, Purpose, generator
from research.control_study import Family, World
from research.controls import ALLOCATION, PLANTED_DATA, REAL_DATA, REBALANCE, no_edge
from research.controls import planted as planted_contestant
from research.grounds import Ground, survey, universe_record, whole_pool
from research.permutation import Search, permuted, search_null
from research.registers import record_of, record_trials
from research.statistics import annualized_lower_bound
from research.trials import TrialsRegister
from scoreboards.gates import EXCESS_LOWER_BOUND
from scoreboards.judging import judge_controls

# Beside the core: friction decay needs it. The second simulator takes longer than all the rest.
SIMULATORS = (Simulator.CORE, Simulator.FRICTIONLESS)
# Of the search on the planted recipe: p = 1 / 20 at best, which is enough to pass.
PLANTED_PERMUTATIONS = 19
# They hold the pool, which is what everything here is measured against.
_NOT_SEARCHED = frozenset({"buy_and_hold"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """Where a world is played: a data set, or what was made in its place."""

    ground: Ground
    arena: Arena
    settings: TournamentSettings


def random_entries(index: int, effort: Effort) -> World:
    """Play six accounts that toss coins on real bars.

    Its permutation p-value is found later, from the other worlds (`control_findings.pooled_permutation`).
    """
    stage = _stage(REAL_DATA)
    arena, contestants = no_edge(stage.arena, _seed(Family.RANDOM_ENTRIES, index))
    return _without_edge(Family.RANDOM_ENTRIES, index, replace(stage, arena=arena), contestants, effort)


def permuted_bars(index: int, effort: Effort) -> World:
    """Search all packaged strategies on real bars in another order: no strategy can time those.

    Its permutation p-value is found later, as above.
    """
    stage = _stage(REAL_DATA)
    rng = generator(Family.PERMUTED_BARS, 0, index)
    panel = permuted(stage.arena.panel, rng, first_row=stage.arena.settings.start_row)
    played = [Contestant.of(load_strategy(name)) for name in strategy_names() if name not in _NOT_SEARCHED]
    # Whoever shapes orders needs opens, highs and lows, which closes alone do not have.
    contestants = [entry for entry in played if panel.has_range or not entry.order_roots]
    arena = replace(stage.arena, panel=panel)
    return _without_edge(Family.PERMUTED_BARS, index, replace(stage, arena=arena), contestants, effort)


def planted_recipe(index: int, _: Effort) -> World:
    """Play the strategy that knows the edge on the planted recipe under another seed (RULINGS D11)."""
    stage = _stage(PLANTED_DATA)
    panel = planted.generate(_seed(Family.PLANTED_RECIPE, index), Timeframe.DAY_1)
    panel = panel.rows(0, len(stage.ground.panel))
    ground = replace(stage.ground, panel=panel)
    contestants = [planted_contestant()]
    made = Stage(ground=ground, arena=whole_pool(ground, stage.settings), settings=stage.settings)
    passed, refused_by = judge_all(made, contestants, permutations=PLANTED_PERMUTATIONS)
    return World(
        family=Family.PLANTED_RECIPE,
        years=0,
        index=index,
        edge=math.nan,
        finding=None,
        battery=passed,
        refused_by=refused_by,
    )


def _without_edge(
    family: Family, index: int, stage: Stage, contestants: Sequence[Contestant], effort: Effort
) -> World:
    plan = equal_weight_plan(stage.arena.windows, stage.arena.eligible, REBALANCE)
    columns = [
        Column(plan=plan, root=entry.root, invest=entry.invest, order_roots=entry.order_roots)
        for entry in contestants
    ]
    excess = excess_of(stage.arena, columns)
    finding = judge_excess(excess, generator(family, 0, index, Purpose.JUDGE), bootstraps=effort.bootstraps)
    passed = False
    refused_by: tuple[str, ...] = (EXCESS_LOWER_BOUND,)
    days = stage.ground.panel.calendar.days_per_year
    # This gate is exact and cheap, and no cell passes all gates that does not pass it: where it refuses every
    # cell, the others are not asked.
    if any(annualized_lower_bound(column, days_per_year=days) > 0.0 for column in excess.T):
        passed, refused_by = judge_all(stage, contestants)
    return World(
        family=family, years=0, index=index, edge=0.0, finding=finding, battery=passed, refused_by=refused_by
    )


def judge_all(
    stage: Stage, contestants: Sequence[Contestant], *, permutations: int = 0
) -> tuple[bool, tuple[str, ...]]:
    """Play contestants as a tournament does and ask every gate; say whether any cell passed, and who said no.

    Parameters
    ----------
    permutations
        Of the bars, the whole search played on each; 0 leaves that gate out.
    """
    arena, settings = stage.arena, _with_permutations(stage.settings, permutations)
    cash = settings.configuration.cash
    with tempfile.TemporaryDirectory() as folder, Simulators(CellStore(Path(folder)), threads=1) as play:
        cells = baseline_cells(arena, [REBALANCE], SIMULATORS, play)
        weights = {ALLOCATION: BaseWeights(weights=equal_weights(arena.eligible))}
        for contestant in contestants:
            cells += contestant_cells(arena, contestant, weights, [REBALANCE], SIMULATORS, play)
        register = TrialsRegister(Path(folder) / "trials.jsonl")
        record_trials(register, cells, arena.panel, cash)
        record = universe_record(stage.ground, cash, record_of(register))
        if permutations:
            search = Search(
                panel=arena.panel,
                windows=arena.windows,
                contestants=tuple(contestants),
                selections=(Selection.ALL,),
                profiles=(Profile.EQUAL_WEIGHT,),
                rebalances=(REBALANCE,),
                settings=arena.settings,
                floor=stage.ground.universe.floor(len(arena.panel.instruments)),
                seed=settings.configuration.seed,
            )
            null = search_null(search, seed=1, facts=Path(folder), count=permutations)
            record = replace(record, permutation=null)
    control = Control(name="world", expectation=ControlExpectation.PASS, universe=record, cells=tuple(cells))
    said = judge_controls([control], settings)[0]
    named = said.detail.partition(": ")[2]
    return Verdict.PASS in said.observed.split(", "), tuple(named.split(", ")) if named else ()


def _with_permutations(settings: TournamentSettings, permutations: int) -> TournamentSettings:
    resampling = settings.configuration.resampling.model_copy(update={"permutations": permutations})
    configuration = settings.configuration.model_copy(update={"resampling": resampling})
    return replace(settings, configuration=configuration)


@cache
def _stage(name: str) -> Stage:
    settings = for_data(name)
    ground = survey(settings.configuration.universes[0], settings)
    return Stage(ground=ground, arena=whole_pool(ground, settings), settings=settings)


def _seed(family: Family, index: int) -> int:
    return int(generator(family, 0, index).integers(2**32))
