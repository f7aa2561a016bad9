"""The checks of the checker: strategies whose verdict is known before they are played (RULINGS C8, D11).

Random long and flat must not pass, a function that peeks at the whole panel must be refused, the planted edge
must pass. Nothing here judges; `scoreboards` does, with the gates of every other cell.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.allocation.allocator import Profile
from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, Panel
from engine.domain.portfolio import Invest
from engine.features.operators import close, ema, field, where, window_function
from engine.home import cache_folder
from engine.schedule.windows import Rebalance
from engine.selection.universe import Selection
from engine.workforce import THIS_PROCESS, Workforce
from research.arena import (
    ANY_SELECTION,
    Arena,
    Contestant,
    baseline_cells,
    baseline_work,
    contestant_cells,
    contestant_work,
)
from research.base_weights import Allocation, BaseWeights
from research.baselines import equal_weights
from research.batches import Simulators
from research.cells import Control, ControlExpectation, PermutationRecord
from research.configuration import TournamentSettings, Universe
from research.grounds import Ground, survey, universe_record, whole_pool
from research.permutation import Search, search_null
from research.registers import control_register_of, record_of, record_trials
from research.strategy_check import CheckOutcome, peek_check

PLANTED_DATA = "planted"
# What the random control is played on where a tournament has no real data set.
REAL_DATA = "us20"
PLANTED_FAST = 20
PLANTED_SLOW = 100

# Mean days between two changes of mind; one random account each.
HOLDING_DAYS = (20.0, 28.0, 36.0, 44.0, 52.0, 60.0)

# Of a control's few cells: enough for a p-value of one in forty, at a fifth of the time.
PERMUTATIONS_MOST = 39

# Controls test the gates, not an allocator: equal weight over all, re-based once a window.
ALLOCATION = Allocation(selection=ANY_SELECTION, engine="native", profile="equal_weight")
REBALANCE = Rebalance.WINDOW


def random_signals(shape: tuple[int, int], holding_rows: float, rng: np.random.Generator) -> FloatArray:
    """Return independent Markov chains between long (1) and flat (0), long half of the time.

    Parameters
    ----------
    shape
        (T, N).
    holding_rows
        Mean number of rows that a chain stays where it is.
    """
    signals = np.empty(shape)
    signals[0] = rng.random(shape[1]) < 0.5
    turns = rng.random(shape) < 1.0 / holding_rows
    for row in range(1, shape[0]):
        signals[row] = np.where(turns[row], 1.0 - signals[row - 1], signals[row - 1])
    return signals


def no_edge(arena: Arena, seed: int) -> tuple[Arena, tuple[Contestant, ...]]:
    """Return the arena with random signals as fields of its panel, and the contestants that follow them."""
    fields = dict(arena.panel.fields)
    contestants = []
    for place, days in enumerate(HOLDING_DAYS):
        name = f"no_edge_{place}"
        rng = np.random.Generator(np.random.PCG64([seed, place]))
        fields[name] = random_signals(arena.panel.close.shape, days * arena.panel.bars_a_day, rng)
        root = field(name)
        graph_hash = content_hash({"graph": root.hash, "signals": fields[name]})
        contestants.append(Contestant(name=name, graph_hash=graph_hash, root=root, invest=Invest.SCALED))
    return replace(arena, panel=replace(arena.panel, fields=fields)), tuple(contestants)


def planted() -> Contestant:
    """Return the strategy that follows the edge of the data set `planted`."""
    root = where(ema(close, PLANTED_FAST) > ema(close, PLANTED_SLOW), 1.0, 0.0)
    return Contestant(name="planted_trend", graph_hash=root.hash, root=root, invest=Invest.FULL)


def play_peek(panel: Panel) -> Control:
    """Let a strategy read tomorrow's close: it must be refused, by its source and by what it does.

    Parameters
    ----------
    panel
        Bars to peek at.
    """
    result = peek_check(panel)
    caught = result.outcome is CheckOutcome.FAIL
    words = f"truncation test: {result.explanation}" if caught else "the truncation test let it pass"
    try:
        window_function(lambda closes: float(closes[-1] < panel.close[-1, 0]), 1, close)
        unseen, static = True, "a closure over the whole panel was accepted"
    except InvalidValueError as error:
        unseen, static = False, str(error)
    return Control(
        name="peek",
        expectation=ControlExpectation.REFUSED,
        universe=None,
        refused=caught and not unseen,
        refusal=f"{words}; {static}",
    )


def real_ground(grounds: Sequence[Ground], settings: TournamentSettings) -> Ground:
    """Return the first data set of real prices: on planted ones even noise would meet the planted edge."""
    real = next((ground for ground in grounds if not ground.panel.synthetic), None)
    return real if real is not None else survey(Universe(name=REAL_DATA), settings)


def play_no_edge(
    grounds: Sequence[Ground],
    settings: TournamentSettings,
    simulators: Simulators,
    workforce: Workforce = THIS_PROCESS,
) -> Control:
    """Play random long and flat on the first real data set: it must not pass."""
    ground = real_ground(grounds, settings)
    arena, contestants = no_edge(whole_pool(ground, settings), settings.configuration.controls.seed)
    return _play(
        "no_edge", ControlExpectation.NOT_PASS, ground, arena, contestants, settings, simulators, workforce
    )


def play_planted(
    settings: TournamentSettings, simulators: Simulators, workforce: Workforce = THIS_PROCESS
) -> Control:
    """Play the planted edge: it must pass."""
    ground = survey(Universe(name=PLANTED_DATA), settings)
    arena = whole_pool(ground, settings)
    return _play(
        "planted", ControlExpectation.PASS, ground, arena, [planted()], settings, simulators, workforce
    )


def _play(
    name: str,
    expectation: ControlExpectation,
    ground: Ground,
    arena: Arena,
    contestants: Sequence[Contestant],
    settings: TournamentSettings,
    simulators: Simulators,
    workforce: Workforce,
) -> Control:
    kinds, cash = settings.configuration.simulators, settings.configuration.cash
    weights = {ALLOCATION: BaseWeights(weights=equal_weights(arena.eligible))}
    works = baseline_work(arena, [REBALANCE], kinds)
    for contestant in contestants:
        works += contestant_work(arena, contestant, weights, [REBALANCE], kinds)
    simulators.ahead(works, workforce)
    cells = baseline_cells(arena, [REBALANCE], kinds, simulators)
    for contestant in contestants:
        cells += contestant_cells(arena, contestant, weights, [REBALANCE], kinds, simulators)
    register = control_register_of(arena.panel, name)
    record_trials(register, cells, arena.panel, cash)
    record = universe_record(ground, cash, record_of(register))
    permuted = _permuted(arena, ground, contestants, settings, workforce)
    return Control(
        name=name,
        expectation=expectation,
        universe=replace(record, permutation=permuted),
        cells=tuple(cells),
    )


def _permuted(
    arena: Arena,
    ground: Ground,
    contestants: Sequence[Contestant],
    settings: TournamentSettings,
    workforce: Workforce,
) -> PermutationRecord | None:
    configuration = settings.configuration
    if configuration.resampling.permutations == 0:
        return None
    search = Search(
        panel=arena.panel,
        windows=arena.windows,
        contestants=tuple(contestants),
        selections=(Selection.ALL,),
        profiles=(Profile.EQUAL_WEIGHT,),
        rebalances=(REBALANCE,),
        settings=arena.settings,
        floor=ground.universe.floor(len(arena.panel.instruments)),
        seed=configuration.seed,
    )
    return search_null(
        search,
        seed=configuration.seed,
        facts=cache_folder() / "permutations",
        workforce=workforce,
        count=min(configuration.resampling.permutations, PERMUTATIONS_MOST),
    )
