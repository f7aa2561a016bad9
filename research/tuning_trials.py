"""Which parameter sets of a search count as trials of the data, and what is registered of them (RULINGS D8).

Every distinct set that was played is one trial, with what it earned on all rows from the origin to the
training stop of the window in which it was played first: all that anybody had seen of it by then. A set that
later windows ask for again is the same idea and counts once. Sets that were first seen in different windows
share fewer weeks than they could, so they correlate less and count more: the number of independent trials is
overstated, never understated. The account with the chosen parameters is one more trial.
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core import metrics
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.portfolio import Plan
from engine.features.strategy import Strategy
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from research.backtest import whole_history
from research.baselines import unlimited
from research.check_orders import listed_plan
from research.excess import excess_returns, mean_gross
from research.registers import trial_key
from research.trials import Trial, TrialsRegister, trial
from research.tuning_objectives import BoolArray
from research.tuning_search import Fate, Quest, Searched, column_of

# Accounts with curves that are in memory at a time: thirty years of 20 instruments are 1.5 MB each.
_ACCOUNTS_AT_A_TIME = 16
_RUINED = 1e-9


def played_first(quest: Quest, searched: Searched, seen: set[str]) -> list[Strategy]:
    """Return the distinct strategies that a search played and no search before it, and remember them.

    Parameters
    ----------
    seen
        Hashes of strategies played so far; those that are returned are added.
    """
    fresh: dict[str, Strategy] = {}
    for item in searched.tried:
        if item.fate is not Fate.REFUSED:
            strategy = quest.strategy(item.parameters)
            if strategy.hash not in seen:
                fresh.setdefault(strategy.hash, strategy)
    seen.update(fresh)
    return list(fresh.values())


def register_played(
    register: TrialsRegister, quest: Quest, strategies: Sequence[Strategy], history: Panel
) -> None:
    """Register strategies that were played on a history that ends at a training stop.

    What is registered already is not played again: a trial is known by its inputs.
    """
    settings = whole_history(quest.settings, history)
    plan = listed_plan(history, settings.start_row)
    columns = [(strategy.hash, column_of(strategy, plan)) for strategy in strategies]
    keys = [key_of(history, settings, graph, column) for graph, column in columns]
    known = set(register.keys)
    waiting = iter(
        [(key, column) for key, (_, column) in zip(keys, columns, strict=True) if key not in known]
    )
    entries: list[Trial] = []
    pool = pool_equity(history, settings, plan)
    while some := list(islice(waiting, _ACCOUNTS_AT_A_TIME)):
        outcome = run_all(history, [column for _, column in some], settings, detail=Detail.CURVES)
        entries += [
            trial(key, day_stamps(history, settings), daily_excess(outcome, place, pool, history.day_ends))
            for place, (key, _) in enumerate(some)
        ]
    register.add_all(entries)


def key_of(panel: Panel, settings: Settings, graph: str, column: Column) -> str:
    """Return the key of an account as a trial: the hash of all its inputs.

    Parameters
    ----------
    graph
        Hash of all that its signals and orders are made of.
    """
    identity = content_hash(
        {
            "kind": "tuning-trial/1",
            "core": CORE_VERSION,
            "graph": graph,
            "universe": panel.name,
            "symbols": panel.symbols,
            "timeframe": panel.timeframe,
            "settings": settings,
        }
    )
    return trial_key(panel, identity, settings.cash, column.plan.weights)


def day_stamps(panel: Panel, settings: Settings) -> IntArray:
    """Return the bar opens of the days' last bars, from the account's first row on, shape (D,)."""
    ends = panel.day_ends[settings.start_row :].copy()
    # The last row ends a day of the account even where the data ends in the middle of one.
    ends[-1] = True
    return np.asarray(panel.timestamps[settings.start_row :][ends], dtype=np.int64)


def daily_excess(outcome: Outcome, place: int, pool: FloatArray, day_ends: BoolArray) -> FloatArray:
    """Return the daily excess of one account over the pool; a ruined one has lost all, and still counts.

    Parameters
    ----------
    pool
        Shape (R,), equity of the pool on the account's rows.
    day_ends
        Shape (T,) of the panel, which ends with the account.
    """
    equity = np.maximum(outcome.equity[place], _RUINED * outcome.equity[place, 0])
    ends = day_ends[-equity.size :]
    return excess_returns(
        metrics.daily_returns(equity, ends),
        mean_gross(outcome.gross[place]),
        metrics.daily_returns(pool, ends),
    )


def pool_equity(panel: Panel, settings: Settings, plan: Plan) -> FloatArray:
    """Return the equity of the equally weighted pool, without limits and cash buffer, shape (R,)."""
    outcome = run_all(panel, [Column(plan=plan)], unlimited(settings), detail=Detail.CURVES)
    return np.asarray(outcome.equity[0], dtype=np.float64)
