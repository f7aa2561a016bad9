"""Worlds of real bars played by the core: winners that were chosen out of many coin tosses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.core.metrics import daily_returns
from engine.domain.panel import FloatArray, day_ends
from engine.domain.portfolio import Invest
from engine.features.operators import field
from engine.pipeline.run import Column, Detail, run_all
from research.arena import Arena
from research.baselines import equal_weight_plan, unlimited
from research.configuration import for_data
from research.control_findings import judge_excess
from research.control_play import Effort, Purpose, generator
from research.control_study import Family, World
from research.controls import REBALANCE, random_signals
from research.excess import excess_returns, mean_gross
from research.grounds import survey, whole_pool

OVERFITTED_DATA = "us5"
OVERFITTED_COLUMNS = 1000
OVERFITTED_HOLDING_ROWS = 40.0
# Accounts played at a time: bounds the memory of their curves.
_COLUMNS_AT_A_TIME = 100


def overfitted(index: int, effort: Effort, *, columns: int = OVERFITTED_COLUMNS) -> World:
    """Play 1,000 strategies that toss coins on real bars, and show the best."""
    settings = for_data(OVERFITTED_DATA)
    arena = whole_pool(survey(settings.configuration.universes[0], settings), settings)
    rng = generator(Family.OVERFITTED, 0, index)
    rows, instruments = arena.panel.close.shape
    parts = []
    for first in range(0, columns, _COLUMNS_AT_A_TIME):
        count = min(_COLUMNS_AT_A_TIME, columns - first)
        tossed = random_signals((rows, count * instruments), OVERFITTED_HOLDING_ROWS, rng)
        by_account = tossed.reshape(rows, count, instruments)
        names = [f"tossed_{place}" for place in range(count)]
        fields = {name: np.ascontiguousarray(by_account[:, place]) for place, name in enumerate(names)}
        panel = replace(arena.panel, fields=dict(arena.panel.fields) | fields)
        plan = equal_weight_plan(arena.windows, arena.eligible, REBALANCE)
        accounts = [Column(plan=plan, root=field(name), invest=Invest.SCALED) for name in names]
        parts.append(excess_of(replace(arena, panel=panel), accounts))
    finding = judge_excess(
        np.hstack(parts), generator(Family.OVERFITTED, 0, index, Purpose.JUDGE), bootstraps=effort.bootstraps
    )
    return World(family=Family.OVERFITTED, years=0, index=index, edge=0.0, finding=finding)


def excess_of(arena: Arena, columns: Sequence[Column]) -> FloatArray:
    """Return the daily excess of accounts over the pool at their own exposure, shape (D, columns)."""
    plan = equal_weight_plan(arena.windows, arena.eligible, REBALANCE)
    pool = run_all(arena.panel, [Column(plan=plan)], unlimited(arena.settings), detail=Detail.CURVES)
    ends = day_ends(arena.timestamps, arena.panel.calendar)
    benchmark = daily_returns(pool.equity[0], ends)
    outcome = run_all(arena.panel, columns, arena.settings, detail=Detail.CURVES)
    return np.column_stack(
        [
            excess_returns(daily_returns(equity, ends), mean_gross(gross), benchmark)
            for equity, gross in zip(outcome.equity, outcome.gross, strict=True)
        ]
    )
