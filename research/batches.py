"""Batches of accounts: played by the core, kept under the hash of their inputs, found again.

A batch is one signal on one panel under one set of rules and costs, with one account for each plan.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core import metrics
from engine.core.settings import FRICTIONLESS, Costs
from engine.domain.errors import SimulatorError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, Panel, day_ends
from engine.domain.portfolio import Invest, Plan
from engine.features.expression import Expression
from engine.home import cache_folder
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from engine.workforce import Shared, Workforce
from research import nautilus_simulator
from research.baselines import freed, unlimited
from research.cell_store import Accounts, CellStore
from research.cells import CAPITAL_MULTIPLES, Simulator, Variant, VariantResult
from research.excess import excess_returns, mean_gross
from research.nautilus_simulator import MarketTargets, NautilusWorker, orders_of
from research.simulators import Resimulated, TargetRun, VectorbtWorker, resimulate
from research.sources import library_versions, sources_hash

_BPS = 10_000.0

# What stands between the core and a stored account: its types, the codes of its reasons, and this file.
_SOURCES = ("engine/domain", "research/batches.py")
# What stands between the core's decisions and other people's engines, beside that.
_ADAPTERS = ("research/simulators.py", "research/nautilus_simulator.py", "research/nautilus_worker.py")


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


class Kind(Enum):
    """What is done with a batch."""

    CORE = "core"
    VECTORBT = "vectorbt"
    NAUTILUS = "nautilus"
    VARIANT = "variant"


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """A piece of work that depends on no other, and the key under which its answer is kept.

    Attributes
    ----------
    pool
        Of a variant: for each account, in order, the pool that it must beat.
    """

    kind: Kind
    key: str
    batch: Batch
    pool: Batch | None = None


Answer = Played | tuple[VariantResult, ...]


def simulation(batch: Batch, simulator: Simulator) -> Work:
    """Return the work of playing a batch under a simulator."""
    match simulator:
        case Simulator.CORE:
            return _core(batch)
        case Simulator.FRICTIONLESS:
            return _core(replace(batch, settings=replace(batch.settings, costs=FRICTIONLESS)))
        case Simulator.STRESSED:
            return _core(_later(_dearer(batch, 2.0)))
        case Simulator.VECTORBT:
            return _elsewhere(Kind.VECTORBT, batch, "vectorbt")
        case Simulator.NAUTILUS:
            python = nautilus_simulator.available()
            version = nautilus_simulator.version(python) if python is not None else ""
            return _elsewhere(Kind.NAUTILUS, batch, f"nautilus {version}")


def without_limits(batch: Batch) -> Work:
    """Return the work of playing a batch without limits."""
    return _core(replace(batch, settings=replace(batch.settings, limits=freed(batch.settings.limits))))


def variation(batch: Batch, pool: Batch, variant: Variant, impact_coefficient: float) -> Work:
    """Return the work of playing a batch under a variant, against the pool under the same one.

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
    return Work(kind=Kind.VARIANT, key=key, batch=ours, pool=theirs)


def _core(batch: Batch) -> Work:
    return Work(kind=Kind.CORE, key=batch.key, batch=batch)


def _elsewhere(kind: Kind, batch: Batch, engine: str) -> Work:
    identity = {"kind": f"{engine}/2", "batch": batch.key, "adapter": sources_hash(*_ADAPTERS)}
    return Work(kind=kind, key=content_hash(identity), batch=batch)


def do(work: Work, threads: int, vectorbt: Callable[[TargetRun], Resimulated]) -> Answer:
    """Do a piece of work in this process.

    Parameters
    ----------
    vectorbt
        Plays an account by vectorbt; raises `SimulatorError`.
    """
    batch = work.batch
    if work.kind is Kind.CORE:
        return _whole(_from_core(batch.run(Detail.CURVES, threads)))
    if work.kind is Kind.VARIANT:
        assert work.pool is not None, "a variant has a pool to beat"
        return _compared(batch.run(Detail.CURVES, threads), _each(work.pool, threads), batch.panel)
    detail = Detail.RECORDS if batch.order_roots and work.kind is Kind.NAUTILUS else Detail.CURVES
    outcome = batch.run(detail, threads)
    if work.kind is Kind.NAUTILUS:
        return _by_nautilus(batch, outcome)
    if problem := _beyond_vectorbt(batch):
        return Played(accounts=_nothing(outcome), problems=(problem,) * len(batch.plans))
    return _second_opinion(batch, outcome, lambda account: vectorbt(_targets(batch, outcome, account)))


def _by_nautilus(batch: Batch, outcome: Outcome) -> Played:
    python = nautilus_simulator.available()
    if python is None:
        problem = "nautilus is not installed: make peers"
        return Played(accounts=_nothing(outcome), problems=(problem,) * len(batch.plans))
    with NautilusWorker(python) as nautilus:

        def play(account: int) -> Resimulated:
            if batch.order_roots:
                ordered = orders_of(batch.panel, batch.settings, outcome, batch.order_roots, account)
                return nautilus.result(nautilus.submit(ordered))
            volumes = batch.panel.volume[slice(*outcome.rows)] if batch.panel.has_volume else None
            run = MarketTargets(
                targets=_targets(batch, outcome, account), rules=batch.settings.rules, volumes=volumes
            )
            return nautilus.result(nautilus.submit(run))

        return _second_opinion(batch, outcome, play)


class Simulators:
    """Plays batches under each simulator; what was played once is found again. A context manager.

    A simulator that cannot run says so: its rows are missing, and no other takes its place.
    """

    def __init__(self, store: CellStore, *, threads: int) -> None:
        self._store = store
        self._threads = threads
        # What could not be played is not kept on disk: another day it may be.
        self._failed: dict[str, Played] = {}
        self._open = ExitStack()
        self._worker: VectorbtWorker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def ahead(
        self,
        works: Sequence[Work],
        workforce: Workforce,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Do what is not done yet, on a workforce; each answer is kept as it comes.

        Parameters
        ----------
        progress
            Called with the number of pieces done, and of all.
        """
        distinct = {work.key: work for work in works}
        missing = [work for key, work in distinct.items() if not self._store.holds(key)]
        panels = {work.batch.panel.content_hash: work.batch.panel for work in missing}
        shared = {key: workforce.share(panel) for key, panel in panels.items()}
        tasks = [_parcel(work, shared[work.batch.panel.content_hash]) for work in missing]
        done = len(distinct) - len(missing)
        for place, answer in workforce.stream(_do_parcel, tasks):
            self._keep(missing[place].key, answer)
            done += 1
            if progress is not None:
                progress(done, len(distinct))

    def play(self, batch: Batch, simulator: Simulator) -> Played:
        """Return the accounts of a batch."""
        return self._played(simulation(batch, simulator))

    def without_limits(self, batch: Batch) -> Accounts:
        """Return the accounts of a batch as the core plays them without limits."""
        return self._played(without_limits(batch)).accounts

    def measure(
        self, batch: Batch, pool: Batch, variant: Variant, impact_coefficient: float
    ) -> tuple[VariantResult, ...]:
        """Return what becomes of the accounts of a batch under a variant; see `variation`."""
        work = variation(batch, pool, variant, impact_coefficient)
        found = self._store.fetch_results(work.key)
        if found is None:
            answer = do(work, self._threads, self._vectorbt)
            assert isinstance(answer, tuple), "a variant is answered by its results"
            self._keep(work.key, answer)
            found = answer
        return found

    def _played(self, work: Work) -> Played:
        if work.key in self._failed:
            return self._failed[work.key]
        found = self._store.fetch(work.key)
        if found is not None:
            return _whole(found)
        answer = do(work, self._threads, self._vectorbt)
        assert isinstance(answer, Played), "a simulation is answered by its accounts"
        self._keep(work.key, answer)
        return answer

    def _vectorbt(self, run: TargetRun) -> Resimulated:
        if self._worker is None:
            # Loading it takes many seconds, so that is left until something is missing.
            self._worker = self._open.enter_context(VectorbtWorker(cache_folder() / "vectorbt"))
        return self._worker.result(self._worker.submit(run))

    def _keep(self, key: str, answer: Answer) -> None:
        if isinstance(answer, tuple):
            self._store.keep_results(key, answer)
        elif any(answer.problems):
            self._failed[key] = answer
        else:
            self._store.keep(key, answer.accounts)


_Parts = tuple[Expression | None, tuple[Expression, ...], Invest, tuple[Plan, ...], Settings]


def _parcel(work: Work, panel: Shared[Panel]) -> tuple[Any, ...]:
    """Return a piece of work without its bars, which every worker has."""
    pool = _parts(work.pool) if work.pool is not None else None
    return work.kind, work.key, panel, _parts(work.batch), pool


def _do_parcel(kind: Kind, key: str, panel: Shared[Panel], parts: _Parts, pool: _Parts | None) -> Answer:
    work = Work(
        kind=kind,
        key=key,
        batch=_unpacked(panel.get(), parts),
        pool=_unpacked(panel.get(), pool) if pool is not None else None,
    )
    return do(work, 1, resimulate)


def _parts(batch: Batch) -> _Parts:
    return batch.root, batch.order_roots, batch.invest, batch.plans, batch.settings


def _unpacked(panel: Panel, parts: _Parts) -> Batch:
    root, order_roots, invest, plans, settings = parts
    return Batch(
        panel=panel, root=root, order_roots=order_roots, invest=invest, plans=plans, settings=settings
    )


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
            # Without a cash buffer either, as the pools that it stands beside: else the cash left over would
            # count as what the weights lost.
            bare = replace(unlimited(batch.settings), costs=FRICTIONLESS)
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
    ends = day_ends(panel.timestamps[slice(*outcome.rows)], panel.calendar)
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
    """Return why vectorbt cannot play a batch, empty where it can."""
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


def _targets(batch: Batch, outcome: Outcome, account: int) -> TargetRun:
    """Return what the core decided in an account, for another simulator to size and fill by itself."""
    rows = slice(*outcome.rows)
    costs, rules = batch.settings.costs, batch.settings.rules
    return TargetRun(
        # Data that has closes only carries them as opens too: filled at the next close.
        fills=batch.panel.open[rows],
        closes=batch.panel.close[rows],
        decided=outcome.decided[account],
        cash=batch.settings.cash,
        cash_buffer=rules.cash_buffer,
        fee_rate=costs.taker_fee_bps / _BPS,
        slippage_rate=(costs.half_spread_bps + costs.slippage_bps) / _BPS,
    )


def _second_opinion(batch: Batch, outcome: Outcome, play: Callable[[int], Resimulated]) -> Played:
    """Let another simulator play each account; what it cannot play is missing, with its reason."""
    accounts = _nothing(outcome)
    problems = []
    for column in range(len(batch.plans)):
        try:
            answer = play(column)
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
