"""Batches of accounts: played by the core, kept under the hash of their inputs, found again.

A batch is one signal on one panel under one set of rules and costs, with one account for each plan.
"""

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core import metrics
from engine.core.settings import FRICTIONLESS, UNLIMITED, Costs
from engine.domain.errors import SimulatorError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, Panel
from engine.domain.portfolio import Invest, Plan
from engine.features.expression import Expression
from engine.home import cache_folder
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from research.cell_store import Accounts, CellStore
from research.cells import CAPITAL_MULTIPLES, Simulator, Variant, VariantResult, day_ends
from research.excess import excess_returns, mean_gross
from research.simulators import TargetRun, VectorbtWorker
from research.sources import library_versions, sources_hash

_BPS = 10_000.0

# What stands between the core and a stored account: its types, the codes of its reasons, and this file.
_SOURCES = ("engine/domain", "research/batches.py")
# What stands between the core's decisions and vectorbt, beside that; its version is among the libraries'.
_ADAPTER = ("research/simulators.py",)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Accounts that differ by their plan alone.

    Attributes
    ----------
    root, order_roots
        The signal, None is 1 for every instrument on every row; and how its orders are shaped.
    settings
        Rows, costs, rules, limits and start cash.
    """

    panel: Panel
    root: Expression | None
    invest: Invest
    plans: tuple[Plan, ...]
    settings: Settings
    order_roots: tuple[Expression, ...] = ()

    @cached_property
    def column_hashes(self) -> tuple[str, ...]:
        """For each account, the hash of everything that its curve depends on."""
        common = {
            "kind": "account/1",
            "core": CORE_VERSION,
            "code": (sources_hash(*_SOURCES), library_versions()),
            "panel": self.panel.content_hash,
            "root": self.root.hash if self.root is not None else "",
            "orders": [root.hash for root in self.order_roots],
            "invest": self.invest,
            "settings": self.settings,
        }
        return tuple(content_hash(common | {"plan": plan}) for plan in self.plans)

    @cached_property
    def key(self) -> str:
        """Hash of all accounts, in order."""
        return content_hash(self.column_hashes)

    def run(self, detail: Detail, threads: int) -> Outcome:
        """Play the accounts."""
        columns = [
            Column(plan=plan, root=self.root, invest=self.invest, order_roots=self.order_roots)
            for plan in self.plans
        ]
        return run_all(self.panel, columns, self.settings, detail=detail, threads=threads)


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """What a simulator made of a batch.

    Attributes
    ----------
    problems
        For each account, why there is none; empty where there is one.
    """

    accounts: Accounts
    problems: tuple[str, ...]


class Simulators:
    """Plays batches under each simulator; what was played once is found again. A context manager.

    A simulator that cannot run says so: its rows are missing, and no other takes its place.
    """

    def __init__(self, store: CellStore, *, threads: int) -> None:
        self._store = store
        self._threads = threads
        self._open = ExitStack()
        self._worker: VectorbtWorker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def play(self, batch: Batch, simulator: Simulator) -> Played:
        """Return the accounts of a batch."""
        match simulator:
            case Simulator.CORE:
                played = _whole(self._core(batch))
            case Simulator.FRICTIONLESS:
                free = replace(batch, settings=replace(batch.settings, costs=FRICTIONLESS))
                played = _whole(self._core(free))
            case Simulator.STRESSED:
                played = _whole(self._core(_later(_dearer(batch, 2.0))))
            case Simulator.VECTORBT:
                played = self._vectorbt(batch)
            case Simulator.NAUTILUS:
                played = self._nautilus(batch)
        return played

    def measure(
        self, batch: Batch, pool: Batch, variant: Variant, impact_coefficient: float
    ) -> tuple[VariantResult, ...]:
        """Return what becomes of the accounts of a batch under a variant.

        Parameters
        ----------
        pool
            For each account, in order, the equally weighted pool that it must beat, under its own settings.
        impact_coefficient
            Of the variants with more capital: basis points that a fill of a whole bar's volume would cost.
        """
        ours, theirs = (_varied(item, variant, impact_coefficient) for item in (batch, pool))
        key = content_hash(
            {
                "kind": "variant/1",
                "batch": ours.key,
                "pool": theirs.column_hashes,
                "code": sources_hash("research/batches.py", "research/excess.py", "engine/core/metrics.py"),
            }
        )
        found = self._store.fetch_results(key)
        if found is None:
            found = _compared(
                ours.run(Detail.CURVES, self._threads), _each(theirs, self._threads), batch.panel
            )
            self._store.keep_results(key, found)
        return found

    def without_limits(self, batch: Batch) -> Accounts:
        """Return the accounts of a batch as the core plays them without limits."""
        return self._core(replace(batch, settings=replace(batch.settings, limits=UNLIMITED)))

    def _core(self, batch: Batch) -> Accounts:
        found = self._store.fetch(batch.key)
        if found is None:
            found = _from_core(batch.run(Detail.CURVES, self._threads))
            self._store.keep(batch.key, found)
        return found

    def _vectorbt(self, batch: Batch) -> Played:
        if problem := _beyond_vectorbt(batch):
            nothing = _nothing(batch.run(Detail.CURVES, self._threads))
            return Played(accounts=nothing, problems=(problem,) * len(batch.plans))
        key = content_hash({"kind": "vectorbt/1", "batch": batch.key, "adapter": sources_hash(*_ADAPTER)})
        found = self._store.fetch(key)
        if found is not None:
            return _whole(found)
        if self._worker is None:
            # Loading it takes many seconds, so that is left until something is missing.
            self._worker = self._open.enter_context(VectorbtWorker(cache_folder() / "vectorbt"))
        played = _second_opinion(batch, batch.run(Detail.CURVES, self._threads), self._worker)
        if not any(played.problems):
            self._store.keep(key, played.accounts)
        return played

    def _nautilus(self, batch: Batch) -> Played:
        nothing = _nothing(batch.run(Detail.CURVES, self._threads))
        return Played(accounts=nothing, problems=("nautilus is not wired",) * len(batch.plans))


def _dearer(batch: Batch, times: float) -> Batch:
    """Return a batch whose every cost is so many times what it was."""
    costs = Costs(*(times * cost for cost in batch.settings.costs))
    return replace(batch, settings=replace(batch.settings, costs=costs))


def _later(batch: Batch) -> Batch:
    """Return a batch whose orders are under way for one bar more."""
    rules = batch.settings.rules._replace(latency_bars=batch.settings.rules.latency_bars + 1)
    return replace(batch, settings=replace(batch.settings, rules=rules))


def _varied(batch: Batch, variant: Variant, impact_coefficient: float) -> Batch:
    match variant:
        case Variant.LATE:
            return _later(batch)
        case Variant.COSTS_2X:
            return _dearer(batch, 2.0)
        case Variant.COSTS_3X:
            return _dearer(batch, 3.0)
        case Variant.ALLOCATION:
            bare = replace(batch.settings, costs=FRICTIONLESS, limits=UNLIMITED)
            return replace(batch, root=None, order_roots=(), invest=Invest.SCALED, settings=bare)
        case _:
            settings = batch.settings
            impact = max(settings.costs.impact_coefficient, impact_coefficient)
            larger = replace(
                settings,
                cash=settings.cash * CAPITAL_MULTIPLES[variant],
                costs=settings.costs._replace(impact_coefficient=impact),
            )
            return replace(batch, settings=larger)


def _each(pool: Batch, threads: int) -> list[tuple[FloatArray, FloatArray]]:
    """Return equity and gross of the pool of each account; equal ones are played once."""
    distinct = dict(zip(pool.column_hashes, pool.plans, strict=True))
    outcome = replace(pool, plans=tuple(distinct.values())).run(Detail.CURVES, threads)
    place = {column: index for index, column in enumerate(distinct)}
    return [(outcome.equity[place[column]], outcome.gross[place[column]]) for column in pool.column_hashes]


def _compared(
    outcome: Outcome, pools: list[tuple[FloatArray, FloatArray]], panel: Panel
) -> tuple[VariantResult, ...]:
    ends = day_ends(panel.timestamps[slice(*outcome.rows)])
    days_per_year = panel.calendar.days_per_year
    results = []
    for equity, gross, (pool_equity, _) in zip(outcome.equity, outcome.gross, pools, strict=True):
        hashed = content_hash({"equity": equity, "gross": gross, "pool": pool_equity})
        if (equity <= 0).any():
            # Ruined: no ratio of returns says how bad that is.
            results.append(VariantResult(-math.inf, -math.inf, hashed))
            continue
        returns = metrics.daily_returns(equity, ends)
        excess = excess_returns(returns, mean_gross(gross), metrics.daily_returns(pool_equity, ends))
        results.append(
            VariantResult(
                metrics.sharpe(excess, days_per_year),
                metrics.annualized_return(returns, days_per_year),
                hashed,
            )
        )
    return tuple(results)


def _beyond_vectorbt(batch: Batch) -> str:
    """Return why the second simulator cannot play a batch, empty where it can."""
    if batch.order_roots:
        return "vectorbt holds targets from the next open on, it works no limits, stops or brackets"
    if batch.settings.rules.latency_bars:
        return "vectorbt fills on the next bar, it has no latency"
    limits, costs = batch.settings.limits, batch.settings.costs
    if limits.short or limits.leverage > 1.0 or costs.borrow_bps or costs.interest_bps:
        return "vectorbt is asked for long positions that are paid for only"
    return ""


def _whole(accounts: Accounts) -> Played:
    return Played(accounts=accounts, problems=("",) * len(accounts.equity))


def _second_opinion(batch: Batch, outcome: Outcome, worker: VectorbtWorker) -> Played:
    """Let vectorbt play what the core decided, by its own sizing and fills."""
    rows = slice(*outcome.rows)
    costs, rules = batch.settings.costs, batch.settings.rules
    pending = [
        worker.submit(
            TargetRun(
                # Data that has closes only carries them as opens too: filled at the next close.
                fills=batch.panel.open[rows],
                closes=batch.panel.close[rows],
                decided=decided,
                cash=batch.settings.cash,
                cash_buffer=rules.cash_buffer,
                fee_rate=costs.taker_fee_bps / _BPS,
                slippage_rate=(costs.half_spread_bps + costs.slippage_bps) / _BPS,
            )
        )
        for decided in outcome.decided
    ]
    accounts = _nothing(outcome)
    problems = []
    for column, future in enumerate(pending):
        try:
            answer = worker.result(future)
        except SimulatorError as error:
            problems.append(str(error))
            continue
        problems.append("")
        accounts.equity[column] = answer.equity
        accounts.gross[column] = answer.gross
        accounts.turnover[column] = answer.turnover
        accounts.fills[column] = answer.fills
        accounts.fees[column] = answer.fees
    return Played(accounts=accounts, problems=tuple(problems))


def _nothing(outcome: Outcome) -> Accounts:
    """Return accounts without numbers, of the core's shape; vectorbt says nothing of reasons and halts."""
    count = len(outcome.equity)
    return Accounts(
        equity=np.full(outcome.equity.shape, np.nan),
        gross=np.full(outcome.equity.shape, np.nan),
        turnover=np.full(outcome.equity.shape, np.nan),
        trades=np.full(count, np.nan),
        fills=np.full(count, np.nan),
        fees=np.full(count, np.nan),
        halts=np.zeros(count, dtype=np.int64),
        delisted_exits=np.zeros(count, dtype=np.int64),
        reason_counts=np.zeros(outcome.reason_counts.shape, dtype=np.int64),
    )


def _from_core(outcome: Outcome) -> Accounts:
    """Return what the core played, without what the board does not read."""
    return Accounts(
        equity=outcome.equity,
        gross=outcome.gross,
        turnover=outcome.row_turnover,
        trades=outcome.trades.astype(np.float64),
        fills=outcome.fills.astype(np.float64),
        fees=outcome.fees,
        halts=outcome.halts,
        delisted_exits=outcome.exits,
        reason_counts=outcome.reason_counts,
    )
