"""The workloads of PERFORMANCE that are compared with vectorbt, as Gauntlet runs them.

W1: one million minutes, one crossing. W2: a sweep of 1,000 crossings. W3: 64 portfolios of 500 instruments.
W5: 20 folds of a walk-forward x 100 crossings.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from benchmarks.bars import random_walks, target_weights
from engine.core.records import FILL_FIELDS
from engine.core.settings import UNLIMITED, Costs, Limits, Rules
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.portfolio import Plan
from engine.domain.time import Timeframe
from engine.features.operators import close, sma, where
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all

FEE = 10e-4
SLIPPAGE = 5e-4
COSTS = Costs(taker_fee_bps=FEE * 1e4, slippage_bps=SLIPPAGE * 1e4)

Equities = FloatArray

ROW = FILL_FIELDS.index("row")
LOTS = FILL_FIELDS.index("lots")

# As ruled for research: marketable limits around the reference close, participation, caps, tiers and halts.
RULES_INTRADAY = Rules(order_bound_bps=100.0)
RULES_DAILY = Rules(order_bound_bps=500.0)


def _out_of_reach(rules: Rules) -> Rules:
    """Return rules under which no order is refused or cut, because vectorbt has no such rules."""
    return rules._replace(order_bound_bps=1e6, participation=np.inf)


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossWorkload:
    """Long while the average over `pairs[k][0]` bars is above that over `pairs[k][1]`, else in cash.

    Attributes
    ----------
    weight
        Share of equity. At 1 the costs of so many trades ruin the account and nothing is measured.
    """

    panel: Panel
    pairs: tuple[tuple[int, int], ...]
    weight: float = 0.001
    cash: float = 100_000.0

    def shortened(self, rows: int) -> "CrossWorkload":
        """Return the same work on the first bars, to warm up with."""
        return replace(self, panel=self.panel.rows(0, rows))

    def columns(self) -> list[Column]:
        """Return one account a pair; building them is part of what is measured."""
        plan = Plan(rows=np.array([0]), weights=np.array([[self.weight]]))
        return [
            Column(plan=plan, root=where(sma(close, fast) > sma(close, slow), 1.0, 0.0))
            for fast, slow in self.pairs
        ]

    def run(self) -> Outcome:
        """Run with every limit on, to metrics."""
        settings = Settings(costs=COSTS, rules=RULES_INTRADAY, limits=Limits(), cash=self.cash)
        return run_all(self.panel, self.columns(), settings, detail=Detail.METRICS)

    def run_without_limits(self) -> tuple[Equities, FloatArray]:
        """Run with limits out of reach; return final equities and the units bought, shape (T, pairs)."""
        settings = Settings(
            costs=COSTS, rules=_out_of_reach(RULES_INTRADAY), limits=UNLIMITED, cash=self.cash
        )
        outcome = run_all(self.panel, self.columns(), settings, detail=Detail.RECORDS)
        quantities = np.full((len(self.panel), len(self.pairs)), np.nan)
        for pair, fills in enumerate(outcome.fill_records):
            bought = fills[fills[:, LOTS] > 0]
            quantities[bought[:, ROW], pair] = bought[:, LOTS] * settings.rules.lot_size
        return outcome.final_equity, quantities


@dataclass(frozen=True, kw_only=True, eq=False)
class RebalanceWorkload:
    """Portfolios that go to new target weights every 21 bars.

    Attributes
    ----------
    rows
        Shape (R,), the decision rows.
    weights
        Shape (sets, R, N).
    """

    panel: Panel
    rows: IntArray
    weights: FloatArray
    cash: float = 1_000_000.0

    cash_buffer = RULES_DAILY.cash_buffer

    def shortened(self, rows: int) -> "RebalanceWorkload":
        """Return the same work on the first bars, to warm up with."""
        inside = self.rows < rows - 1
        return replace(
            self, panel=self.panel.rows(0, rows), rows=self.rows[inside], weights=self.weights[:, inside]
        )

    @cached_property
    def columns(self) -> list[Column]:
        """One account a weight set."""
        return [Column(plan=Plan(rows=self.rows, weights=weights)) for weights in self.weights]

    def run(self) -> Outcome:
        """Run with every limit on, to metrics."""
        settings = Settings(costs=COSTS, rules=RULES_DAILY, limits=Limits(), cash=self.cash)
        return run_all(self.panel, self.columns, settings, detail=Detail.METRICS)

    def run_without_limits(self) -> Equities:
        """Run with limits out of reach; return final equities."""
        settings = Settings(costs=COSTS, rules=_out_of_reach(RULES_DAILY), limits=UNLIMITED, cash=self.cash)
        return run_all(self.panel, self.columns, settings, detail=Detail.METRICS).final_equity


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldWorkload:
    """The crossings of a sweep on each fold of a walk-forward: an account lives on the rows of its fold.

    Averages are those of the whole history, so a fold has its warm-up behind it.

    Attributes
    ----------
    folds
        First row and the one after the last, of folds of equal length.
    """

    panel: Panel
    pairs: tuple[tuple[int, int], ...]
    folds: tuple[tuple[int, int], ...]
    weight: float = 0.001
    cash: float = 10_000.0

    def shortened(self, rows: int) -> "FoldWorkload":
        """Return the same work on the first bars, to warm up with."""
        return replace(self, panel=self.panel.rows(0, rows), folds=((0, rows - 50), (50, rows)))

    def columns(self) -> list[Column]:
        """Return one account a fold and pair, fold by fold; building them is part of what is measured."""
        roots = [where(sma(close, fast) > sma(close, slow), 1.0, 0.0) for fast, slow in self.pairs]
        weights = np.array([[self.weight]])
        plans = [Plan(rows=np.array([first]), weights=weights) for first, _ in self.folds]
        return [
            Column(plan=plan, root=root, rows=fold)
            for fold, plan in zip(self.folds, plans, strict=True)
            for root in roots
        ]

    def run(self) -> Outcome:
        """Run with every limit on, to metrics."""
        settings = Settings(costs=COSTS, rules=RULES_INTRADAY, limits=Limits(), cash=self.cash)
        return run_all(self.panel, self.columns(), settings, detail=Detail.METRICS)

    def run_without_limits(self) -> tuple[Equities, FloatArray]:
        """Run with limits out of reach; return final equities and the units bought, (fold rows, columns)."""
        settings = Settings(
            costs=COSTS, rules=_out_of_reach(RULES_INTRADAY), limits=UNLIMITED, cash=self.cash
        )
        length = self.folds[0][1] - self.folds[0][0]
        equities, quantities = [], np.full((length, len(self.folds) * len(self.pairs)), np.nan)
        columns = self.columns()
        for index, (first, last) in enumerate(self.folds):
            # Fold by fold: curves are kept for all rows between the first and the last.
            begin = index * len(self.pairs)
            inside = replace(settings, start_row=first, stop_row=last)
            outcome = run_all(
                self.panel, columns[begin : begin + len(self.pairs)], inside, detail=Detail.RECORDS
            )
            equities.append(outcome.final_equity)
            for pair, fills in enumerate(outcome.fill_records):
                bought = fills[fills[:, LOTS] > 0]
                quantities[bought[:, ROW] - first, begin + pair] = bought[:, LOTS] * settings.rules.lot_size
        return np.concatenate(equities), quantities


def w1() -> CrossWorkload:
    """Return 1,000,000 one-minute bars, SMA(20) over SMA(100)."""
    panel = random_walks(1_000_000, 1, timeframe=Timeframe.MINUTE_1, volatility=5e-4, seed=1, has_range=True)
    return CrossWorkload(panel=panel, pairs=((20, 100),))


def w2() -> CrossWorkload:
    """Return 1,000 pairs out of 65 distinct averages on 10,000 hourly bars."""
    panel = random_walks(10_000, 1, timeframe=Timeframe.HOUR_1, volatility=5e-3, seed=2, has_range=True)
    pairs = tuple((fast, slow) for fast in range(5, 30) for slow in range(30, 230, 5))
    return CrossWorkload(panel=panel, pairs=pairs)


def w3() -> RebalanceWorkload:
    """Return 64 weight sets over 500 instruments and 2,520 days, closes only."""
    panel = random_walks(2_520, 500, timeframe=Timeframe.DAY_1, volatility=0.012, seed=3, has_range=False)
    rows = np.arange(20, 2_519, 21, dtype=np.int64)
    return RebalanceWorkload(panel=panel, rows=rows, weights=target_weights(len(rows), 500, 64, seed=4))


def w5() -> FoldWorkload:
    """Return 100 pairs on 20 folds of 2,000 bars that overlap, out of 10,000 hourly bars."""
    panel = random_walks(10_000, 1, timeframe=Timeframe.HOUR_1, volatility=5e-3, seed=5, has_range=True)
    pairs = tuple((fast, slow) for fast in range(5, 25, 2) for slow in range(30, 230, 20))
    starts = [8_000 * fold // 19 for fold in range(20)]
    return FoldWorkload(panel=panel, pairs=pairs, folds=tuple((first, first + 2_000) for first in starts))


Workload = CrossWorkload | RebalanceWorkload | FoldWorkload
WORKLOADS: dict[str, Callable[[], Workload]] = {"W1": w1, "W2": w2, "W3": w3, "W5": w5}

# Enough bars for the slowest average and for two re-balances, and few enough to be over at once.
WARM_UP_BARS = 500
