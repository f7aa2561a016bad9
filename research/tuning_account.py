"""The account of a tuning: signals of many parameter sets made one, played once, and set beside the untuned.

The parameters that a window chose are in force from its test start to the next window's (RULINGS C3). The
account is one account whose parameters change there: it follows signals that are stitched from each window's
own, evaluated from the origin on. Nothing is restarted, and no row was seen by the search whose parameters
are in force on it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from engine.core import metrics
from engine.domain.errors import InputError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.features.evaluate import evaluate
from engine.features.operators import field
from engine.features.strategy import Number, Strategy
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from engine.schedule.windows import Window
from research.backtest import whole_history
from research.baselines import MARKET_FIELD, buy_and_hold_plan, market_panel, unlimited
from research.cells import TrialsRecord
from research.check_orders import listed_plan
from research.excess import excess_returns, mean_gross
from research.registers import record_of
from research.statistics import (
    CONFIDENCE,
    annualized_lower_bound,
    deflated_by_luck,
    describe,
    sharpe_standard_deviation_ar1,
)
from research.trials import TrialsRegister, trial
from research.tuning_objectives import measures, stretch
from research.tuning_search import Quest, Searched, column_of
from research.tuning_trials import daily_excess, day_stamps, key_of

SIGNAL_FIELD = "tuned_signal"
ORDER_FIELD = "tuned_order_{}"


@dataclass(frozen=True, kw_only=True, eq=False)
class TunedWindow:
    """One window: what its search found, and what came of it.

    Attributes
    ----------
    start, stop
        Rows on which the parameters are in force: `start` is a decision row, `stop` is not included.
    parameters
        All of them, those that were not searched too.
    fell_back
        No set could be measured, so the parameters are the untuned ones.
    in_sample, untuned_in_sample
        The objectives on the training part; None where they were not measured there.
    out_of_sample, untuned_out_of_sample
        The objectives on the rows in force; None where they cannot be measured.
    """

    window: Window
    start: int
    stop: int
    searched: Searched
    parameters: Mapping[str, Number]
    fell_back: bool
    in_sample: tuple[float, ...] | None
    untuned_in_sample: tuple[float, ...] | None
    out_of_sample: tuple[float, ...] | None
    untuned_out_of_sample: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One account on all out-of-sample rows.

    Attributes
    ----------
    equity
        Shape (R,), a row, from the first test start on.
    excess
        Shape (D,), a day, over the pool at the account's own mean exposure.
    figures
        By name; NaN where there is too little data, and for the excess of the pool over itself.
    """

    name: str
    equity: FloatArray
    excess: FloatArray
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """The account with the chosen parameters, and what it is compared with, on the same rows.

    Attributes
    ----------
    timestamps
        Shape (R,), bar opens, UTC nanoseconds.
    market
        None where the data set names none.
    gain, gain_bound
        Excess Sharpe of the tuned account less that of the untuned one, and its one-sided 95% lower bound;
        NaN where both are the same account.
    """

    timestamps: IntArray
    windows: tuple[TunedWindow, ...]
    tuned: Track
    untuned: Track
    pool: Track
    market: Track | None
    gain: float
    gain_bound: float
    trials: TrialsRecord


def in_force(windows: Sequence[Window], n_rows: int) -> list[tuple[int, int]]:
    """Return the rows on which each window's parameters are in force: up to the next window's."""
    starts = [window.test_start for window in windows]
    return list(zip(starts, [*starts[1:], n_rows], strict=True))


def stitched(
    panel: Panel, strategies: Sequence[Strategy], spans: Sequence[tuple[int, int]]
) -> tuple[Panel, Column]:
    """Return a panel with the signals of strategies that follow one another, and the account that follows it.

    Each strategy's signal is evaluated from the origin on, up to the end of its span and no further; of it
    the rows of its span are taken. The account begins with the first span. A NaN keeps the signal before, be
    it that of the strategy before.

    Parameters
    ----------
    spans
        Rows on which each is in force, from, not including to; they follow one another without a gap.

    Raises
    ------
    InputError
        If some of the strategies shape their orders and others do not.
    """
    roots = [(strategy.signal(), *strategy.order_roots) for strategy in strategies]
    if len({len(of) for of in roots}) != 1:
        raise InputError(
            f"{strategies[0].name}: orders() must give orders for all parameters or for none, else one "
            "account cannot go from one set to the next"
        )
    values = np.full((len(roots[0]), *panel.close.shape), np.nan)
    for of, (start, stop) in zip(roots, spans, strict=True):
        values[:, start:stop] = evaluate(of, panel.rows(0, stop))[:, start:]
    names = [SIGNAL_FIELD, *map(ORDER_FIELD.format, range(len(values) - 1))]
    column = Column(
        plan=listed_plan(panel, spans[0][0]),
        root=field(SIGNAL_FIELD),
        invest=strategies[0].invest,
        order_roots=tuple(field(name) for name in names[1:]),
    )
    fields = {**panel.fields, **dict(zip(names, values, strict=True))}
    return replace(panel, fields=fields), column


def play(
    quest: Quest,
    panel: Panel,
    windows: Sequence[Window],
    searched: Sequence[Searched],
    register: TrialsRegister,
) -> Played:
    """Play the account with the chosen parameters, which is a trial as well, and what it is compared with.

    Raises
    ------
    IdentityError
        If compounded returns are not the change of an account.
    """
    spans = in_force(windows, len(panel))
    settings = replace(whole_history(quest.settings, panel), start_row=spans[0][0])
    strategies = [quest.strategy(chosen_of(found)) for found in searched]
    with_signals, column = stitched(panel, strategies, spans)
    tuned = run_all(with_signals, [column], settings, detail=Detail.CURVES)
    untuned = run_all(panel, [column_of(quest.strategy({}), column.plan)], settings, detail=Detail.CURVES)
    pool_outcome = run_all(panel, [Column(plan=column.plan)], unlimited(settings), detail=Detail.CURVES)
    pool = pool_outcome.equity[0]
    graph = content_hash([(strategy.hash, span) for strategy, span in zip(strategies, spans, strict=True)])
    excess = daily_excess(tuned, 0, pool, panel.day_ends)
    key = key_of(panel, settings, graph, column)
    register.add_all([trial(key, day_stamps(panel, settings), excess)])
    trials = record_of(register)
    tracks = {
        name: track(name, of, panel, pool, trials)
        for name, of in (("tuned", tuned), ("untuned", untuned), ("pool", pool_outcome))
    }
    gain, gain_bound = _gain(tracks["tuned"], tracks["untuned"], panel.calendar.days_per_year)
    return Played(
        timestamps=panel.timestamps[settings.start_row :],
        windows=tuple(
            _window(quest, panel, window, found, span, (tuned, untuned), pool)
            for window, found, span in zip(windows, searched, spans, strict=True)
        ),
        tuned=tracks["tuned"],
        untuned=tracks["untuned"],
        pool=tracks["pool"],
        market=_market(panel, settings, pool, trials),
        gain=gain,
        gain_bound=gain_bound,
        trials=trials,
    )


def chosen_of(found: Searched) -> Mapping[str, Number]:
    """Return the parameters that a search chose; none where it could not choose."""
    return {} if found.chosen is None else found.tried[found.chosen].parameters


def _window(
    quest: Quest,
    panel: Panel,
    window: Window,
    found: Searched,
    span: tuple[int, int],
    outcomes: tuple[Outcome, Outcome],
    pool: FloatArray,
) -> TunedWindow:
    first = outcomes[0].rows[0]
    rows = slice(span[0] - first, span[1] - first)

    def earned(outcome: Outcome) -> tuple[float, ...] | None:
        return measures(
            quest.objectives,
            stretch(
                outcome.equity[0, rows],
                outcome.gross[0, rows],
                outcome.row_turnover[0, rows],
                pool[rows],
                panel.day_ends[slice(*span)],
                panel.calendar.days_per_year,
            ),
        )

    base = {item.name: quest.base[item.name] for item in quest.ranges}
    same = [item.values for item in found.tried if item.parameters == base and item.values]
    return TunedWindow(
        window=window,
        start=span[0],
        stop=span[1],
        searched=found,
        parameters={**quest.base, **chosen_of(found)},
        fell_back=found.chosen is None,
        in_sample=None if found.chosen is None else found.tried[found.chosen].values,
        untuned_in_sample=same[0] if same else None,
        out_of_sample=earned(outcomes[0]),
        untuned_out_of_sample=earned(outcomes[1]),
    )


def _market(panel: Panel, settings: Settings, pool: FloatArray, trials: TrialsRecord) -> Track | None:
    alone = market_panel(panel)
    if alone is None:
        return None
    column = Column(plan=buy_and_hold_plan(settings.start_row))
    outcome = run_all(alone, [column], unlimited(settings), detail=Detail.CURVES)
    return track(MARKET_FIELD, outcome, panel, pool, trials)


def track(name: str, outcome: Outcome, panel: Panel, pool: FloatArray, trials: TrialsRecord) -> Track:
    """Measure the first account of an outcome.

    Parameters
    ----------
    pool
        Shape (R,), equity of the pool on the account's rows.

    Raises
    ------
    IdentityError
        If compounded returns are not the change of the account.
    """
    equity = outcome.equity[0]
    ends = panel.day_ends[-equity.size :]
    year = panel.calendar.days_per_year
    returns = metrics.daily_returns(equity, ends)
    metrics.assert_identity(returns, equity)
    gross = mean_gross(outcome.gross[0])
    excess = excess_returns(returns, gross, metrics.daily_returns(pool, ends))
    if (equity == pool).all():
        excess = np.zeros(returns.shape)
    sample = describe(excess)
    figures = {
        "total_return": metrics.total_return(returns),
        "cagr": metrics.cagr(returns, year),
        "annualized_volatility": metrics.annualized_volatility(returns, year),
        "sharpe": metrics.sharpe(returns, year),
        "max_drawdown": metrics.max_drawdown(returns),
        "cvar_95": metrics.cvar_95(returns),
        "excess_sharpe": metrics.sharpe(excess, year),
        "excess_lower_bound": annualized_lower_bound(excess, days_per_year=year),
        "deflated_sharpe": math.nan
        if sample is None
        else deflated_by_luck(sample, n_effective=trials.n_effective),
        "average_gross": gross,
        "turnover_a_year": float(outcome.turnover[0]) / returns.size * year,
        "fees": float(outcome.fees[0]),
        "fills": float(outcome.fills[0]),
        "trades": float(outcome.trades[0]),
        "halts": float(outcome.halts[0]),
    }
    return Track(name=name, equity=equity, excess=excess, figures=figures)


def _gain(tuned: Track, untuned: Track, days_per_year: int) -> tuple[float, float]:
    """Return the difference of two excess Sharpe ratios and its one-sided 95% lower bound."""
    ratios = [of.figures["excess_sharpe"] for of in (tuned, untuned)]
    if not all(map(math.isfinite, ratios)):
        return math.nan, math.nan
    # At equal risk the mean of the difference is the difference of the ratios.
    apart = tuned.excess / tuned.excess.std(ddof=1) - untuned.excess / untuned.excess.std(ddof=1)
    sample = describe(apart)
    if sample is None:
        return math.nan, math.nan
    deviation = sharpe_standard_deviation_ar1(sample, true_sharpe=sample.sharpe)
    lowest = (sample.sharpe - NormalDist().inv_cdf(CONFIDENCE) * deviation) * float(apart.std(ddof=1))
    return ratios[0] - ratios[1], lowest * math.sqrt(days_per_year)
