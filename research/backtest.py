"""One strategy on one data set, as one account from the first bar to the hold-out.

What comes out is a measurement, not a verdict: nothing here is out of sample. It counts as a trial.
"""

from dataclasses import dataclass

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core import metrics
from engine.data import catalogue
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.domain.portfolio import Plan
from engine.features.strategy import Strategy
from engine.pipeline.planning import batch_plan
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from research.baselines import unlimited
from research.cells import TrialsRecord
from research.configuration import TournamentSettings
from research.downside import sortino_ratio
from research.excess import excess_returns, mean_gross
from research.registers import record_of, register_of, trial_key
from research.statistics import annualized_lower_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestHashes:
    """What a result is bound to.

    Attributes
    ----------
    data
        Of the whole data set, its hold-out included.
    bars
        Of the bars that were used.
    identity
        Of strategy, data set, allocation, costs, rules, limits and core: the key of the trial hangs on it.
    """

    data: str
    bars: str
    strategy: str
    configuration: str
    core: str
    identity: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Backtest:
    """What a strategy did with one account.

    Attributes
    ----------
    outcome
        Of one column, with records.
    lot_size
        In units.
    figures
        By name, as in `engine.core.metrics`; NaN where there is too little data.
    is_new_trial
        False when the same inputs were played before: then nothing was added to the register.
    """

    strategy: Strategy
    panel: Panel
    outcome: Outcome
    lot_size: float
    figures: dict[str, float]
    hashes: BacktestHashes
    trials: TrialsRecord
    is_new_trial: bool


def equal_weight_of_listed(panel: Panel) -> Plan:
    """Return equal weights over what is listed, from the first row on, re-based when that set changes.

    An instrument is listed from its first close until its delisting date, where one is known.
    """
    return batch_plan(panel, PlanTerms(kind=PlanKind.LISTED), 0, len(panel))


def whole_history(settings: TournamentSettings, panel: Panel) -> Settings:
    """Return what an account is told that lives from the first bar of a panel to its last."""
    return Settings(
        costs=settings.costs.costs(panel),
        rules=settings.rules(panel.timeframe),
        limits=settings.limits.limits(panel),
        cash=settings.configuration.cash,
    )


def backtest(strategy: Strategy, settings: TournamentSettings) -> Backtest:
    """Play a strategy on the first data set of the settings, equal weight over what is listed.

    Raises
    ------
    InputError
        If the data set is not known.
    """
    name = settings.configuration.universes[0].name
    panel, manifest = catalogue.load(name), catalogue.manifest(name)
    plan = equal_weight_of_listed(panel)
    core_settings = whole_history(settings, panel)
    column = Column(
        plan=plan, root=strategy.signal(), invest=strategy.invest, order_roots=strategy.order_roots
    )
    outcome = run_all(panel, [column], core_settings, detail=Detail.RECORDS)
    pool = run_all(panel, [Column(plan=plan)], unlimited(core_settings), detail=Detail.CURVES)
    returns = metrics.daily_returns(outcome.equity[0], panel.day_ends)
    metrics.assert_identity(returns, outcome.equity[0])
    gross = mean_gross(outcome.gross[0])
    excess = excess_returns(returns, gross, metrics.daily_returns(pool.equity[0], panel.day_ends))
    identity = _identity(strategy, panel, core_settings)
    register = register_of(panel)
    is_new_trial = register.add(
        trial_key(panel, identity, core_settings.cash, plan.weights),
        panel.timestamps[_day_rows(panel)],
        excess,
    )
    return Backtest(
        strategy=strategy,
        panel=panel,
        outcome=outcome,
        lot_size=core_settings.rules.lot_size,
        figures=_figures(returns, excess, gross, outcome, panel.calendar.days_per_year),
        hashes=BacktestHashes(
            data=manifest.content_hash,
            bars=panel.content_hash,
            strategy=strategy.hash,
            configuration=settings.content_hash,
            core=CORE_VERSION,
            identity=identity,
        ),
        trials=record_of(register),
        is_new_trial=is_new_trial,
    )


def _day_rows(panel: Panel) -> IntArray:
    rows = np.flatnonzero(panel.day_ends)
    # The last row ends a day of the account even where the data ends in the middle of one.
    return rows if rows[-1] == len(panel) - 1 else np.append(rows, len(panel) - 1)


def _identity(strategy: Strategy, panel: Panel, settings: Settings) -> str:
    return content_hash(
        {
            "kind": "backtest/1",
            "core": CORE_VERSION,
            "strategy": strategy.name,
            "graph": strategy.hash,
            "universe": panel.name,
            "symbols": panel.symbols,
            "timeframe": panel.timeframe,
            "allocation": "equal weight of listed",
            "costs": settings.costs,
            "rules": settings.rules,
            "limits": settings.limits,
        }
    )


def _figures(
    returns: FloatArray, excess: FloatArray, gross: float, outcome: Outcome, days_per_year: int
) -> dict[str, float]:
    return {
        "total_return": metrics.total_return(returns),
        "cagr": metrics.cagr(returns, days_per_year),
        "annualized_return": metrics.annualized_return(returns, days_per_year),
        "annualized_volatility": metrics.annualized_volatility(returns, days_per_year),
        "sharpe": metrics.sharpe(returns, days_per_year),
        "sortino": sortino_ratio(returns, days_per_year),
        "max_drawdown": metrics.max_drawdown(returns),
        "cvar_95": metrics.cvar_95(returns),
        "excess_sharpe": metrics.sharpe(excess, days_per_year),
        "excess_lower_bound": annualized_lower_bound(excess, days_per_year=days_per_year),
        "average_gross": gross,
        "turnover": float(outcome.turnover[0]),
        "fees": float(outcome.fees[0]),
        "halts": float(outcome.halts[0]),
        "delisted_exits": float(outcome.exits[0]),
    }
