"""Batches of accounts: played by the core, kept under the hash of their inputs, found again.

A batch is one signal on one panel under one set of rules and costs, with one account for each plan.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core.settings import FRICTIONLESS, UNLIMITED
from engine.domain.errors import SimulatorError
from engine.domain.identity import content_hash
from engine.domain.panel import Panel
from engine.domain.portfolio import Invest, Plan
from engine.features.expression import Expression
from engine.home import cache_folder
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from research.cell_store import Accounts, CellStore
from research.cells import Simulator
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
            case Simulator.VECTORBT:
                played = self._vectorbt(batch)
        return played

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
