"""One data set made ready to play on, and the cells that are played on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from engine.compiled import CORE_VERSION
from engine.domain.identity import content_hash, strategy_id
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.portfolio import Invest, Plan
from engine.domain.reasons import Reason
from engine.features.expression import Expression
from engine.features.strategy import Number, Strategy
from engine.pipeline.run import Settings
from engine.schedule.windows import Rebalance, Window, plan
from research.base_weights import Allocation, BaseWeights
from research.baselines import buy_and_hold_plan, equal_weights, market_panel, unlimited
from research.batches import Batch, Simulators, Work, simulation, variation, without_limits
from research.cell_store import Accounts
from research.cells import (
    BASELINE_ENGINE,
    BASELINE_STRATEGY,
    CAPITAL_MULTIPLES,
    BaselineRole,
    CellKey,
    CellResult,
    CellStatus,
    Simulator,
    Variant,
    VariantResult,
)

BoolArray = npt.NDArray[np.bool_]

# Baselines that do not depend on a selection stand under this one.
ANY_SELECTION = "all"


@dataclass(frozen=True, kw_only=True, eq=False)
class Contestant:
    """A strategy as a tournament sees it.

    Attributes
    ----------
    graph_hash
        Of its graph and parameters.
    parameters
        For the board, which must say from what a row can be made again; the hash above binds them.
    """

    name: str
    graph_hash: str
    root: Expression
    invest: Invest
    parameters: Mapping[str, Number] = field(default_factory=dict)
    order_roots: tuple[Expression, ...] = ()

    @classmethod
    def of(cls, strategy: Strategy) -> Self:
        """Return a strategy as a tournament sees it."""
        return cls(
            name=strategy.name,
            graph_hash=strategy.hash,
            root=strategy.signal(),
            invest=strategy.invest,
            parameters=strategy.parameters,
            order_roots=strategy.order_roots,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Arena:
    """A data set with its windows and what can be held in each.

    Attributes
    ----------
    eligible
        Shape (K, N): instruments that may be held in each window, whatever the selection.
    impact_coefficient
        Basis points that a fill of a whole bar's volume costs where the variants with more capital are
        played; the others go without impact, as `settings` says.
    selected
        By selection, shape (K, N).
    settings
        Of accounts that carry limits; start and stop are the out-of-sample rows.
    schedule_hash
        Of everything that made windows and selections.
    """

    panel: Panel
    windows: tuple[Window, ...]
    eligible: BoolArray
    selected: Mapping[str, BoolArray]
    settings: Settings
    schedule_hash: str
    impact_coefficient: float = 0.0

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Variants that can be played here: what more capital does is only known where there is volume."""
        return tuple(
            variant for variant in Variant if variant not in CAPITAL_MULTIPLES or self.panel.has_volume
        )

    @property
    def timestamps(self) -> IntArray:
        """Shape (R,), of the out-of-sample rows."""
        return self.panel.timestamps[self.settings.start_row : self.settings.stop_row]

    @property
    def window_rows(self) -> IntArray:
        """Shape (K,), where among the out-of-sample rows each window comes into force."""
        starts = np.array([window.test_start for window in self.windows], dtype=np.int64)
        return starts - self.settings.start_row

    def identity(self, contestant: Contestant, allocation: Allocation, rebalance: Rebalance) -> str:
        """Return the hash of all that makes one strategy on one account what it is (DESIGN 7)."""
        return content_hash(
            {
                "kind": "strategy/1",
                "core": CORE_VERSION,
                "strategy": contestant.name,
                "graph": contestant.graph_hash,
                "invest": contestant.invest,
                "universe": self.panel.name,
                "symbols": self.panel.symbols,
                "timeframe": self.panel.timeframe,
                "schedule": self.schedule_hash,
                "allocation": allocation,
                "rebalance": rebalance,
                "costs": self.settings.costs,
                "rules": self.settings.rules,
                "limits": self.settings.limits,
            }
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seat:
    """One row of the board, but for its simulator.

    Attributes
    ----------
    weights
        Shape (K, N), of the symbols.
    problem
        Why it cannot be played at all.
    """

    name: str
    parameters_hash: str
    parameters: Mapping[str, Number] = field(default_factory=dict)
    allocation: Allocation
    rebalance: Rebalance
    identity_hash: str
    weights: FloatArray
    window_rows: IntArray
    symbols: tuple[str, ...]
    role: BaselineRole = BaselineRole.NONE
    works_orders: bool = False
    problem: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """What is known of accounts that gates are asked about, beside the accounts: an entry a seat."""

    without_limits: Accounts
    variants: Mapping[Variant, tuple[VariantResult, ...]]


def contestant_cells(
    arena: Arena,
    contestant: Contestant,
    weights: Mapping[Allocation, BaseWeights],
    rebalances: Sequence[Rebalance],
    simulators: Sequence[Simulator],
    play: Simulators,
) -> list[CellResult]:
    """Play a strategy with every allocation, in every rebalance mode, under every simulator."""
    seats = _seats(arena, contestant, weights, rebalances)
    playable = [seat for seat in seats if not seat.problem]
    unplayable = [
        _missing(arena, seat, simulator, seat.problem)
        for simulator in simulators
        for seat in seats
        if seat.problem
    ]
    if not playable:
        return unplayable
    batch, pool = _batch(arena, contestant, playable), _pool_of(arena, playable)
    judged = _Judged(
        without_limits=play.without_limits(batch),
        variants={
            variant: play.measure(batch, pool, variant, arena.impact_coefficient)
            for variant in arena.variants
        },
    )
    return unplayable + _played(arena, playable, batch, simulators, play, judged)


def contestant_work(
    arena: Arena,
    contestant: Contestant,
    weights: Mapping[Allocation, BaseWeights],
    rebalances: Sequence[Rebalance],
    simulators: Sequence[Simulator],
) -> list[Work]:
    """Return the pieces of work that `contestant_cells` is going to ask for."""
    playable = [seat for seat in _seats(arena, contestant, weights, rebalances) if not seat.problem]
    if not playable:
        return []
    batch, pool = _batch(arena, contestant, playable), _pool_of(arena, playable)
    works = [simulation(batch, simulator) for simulator in simulators]
    works.append(without_limits(batch))
    works += [variation(batch, pool, variant, arena.impact_coefficient) for variant in arena.variants]
    return works


def _seats(
    arena: Arena,
    contestant: Contestant,
    weights: Mapping[Allocation, BaseWeights],
    rebalances: Sequence[Rebalance],
) -> list[_Seat]:
    return [
        _Seat(
            name=contestant.name,
            parameters_hash=contestant.graph_hash[:8],
            parameters=contestant.parameters,
            allocation=allocation,
            rebalance=rebalance,
            identity_hash=arena.identity(contestant, allocation, rebalance),
            weights=base.weights,
            window_rows=arena.window_rows,
            symbols=arena.panel.symbols,
            works_orders=bool(contestant.order_roots),
            problem=base.problem
            and f"{allocation.engine} {allocation.profile} gave no weights: {base.problem}",
        )
        for allocation, base in weights.items()
        for rebalance in rebalances
    ]


def _batch(arena: Arena, contestant: Contestant, seats: Sequence[_Seat]) -> Batch:
    return Batch(
        panel=arena.panel,
        root=contestant.root,
        invest=contestant.invest,
        order_roots=contestant.order_roots,
        plans=tuple(plan(arena.windows, seat.weights, seat.rebalance) for seat in seats),
        settings=arena.settings,
    )


def _pool_of(arena: Arena, seats: Sequence[_Seat]) -> Batch:
    """Return for each seat the equally weighted pool of its rebalance mode."""
    weights = equal_weights(arena.eligible)
    plans = tuple(plan(arena.windows, weights, seat.rebalance) for seat in seats)
    return _unlimited_batch(arena, arena.panel, plans)


def baseline_cells(
    arena: Arena, rebalances: Sequence[Rebalance], simulators: Sequence[Simulator], play: Simulators
) -> list[CellResult]:
    """Play market, benchmark and raw_pool_ew: one set for each rebalance mode and simulator (RULINGS D6)."""
    cells = []
    for seats, batch in _baselines(arena, rebalances):
        cells += _played(arena, seats, batch, simulators, play, None)
    if market_panel(arena.panel) is not None:
        return cells
    # The data set names no market: the pool stands for it, and `UniverseRecord.market` is empty.
    pools = [cell for cell in cells if cell.baseline_role is BaselineRole.RAW_POOL]
    return cells + [
        replace(
            cell,
            key=replace(cell.key, profile=BaselineRole.MARKET.value),
            strategy_id=cell.strategy_id.replace(BaselineRole.RAW_POOL.value, BaselineRole.MARKET.value, 1),
            baseline_role=BaselineRole.MARKET,
        )
        for cell in pools
    ]


def baseline_work(
    arena: Arena, rebalances: Sequence[Rebalance], simulators: Sequence[Simulator]
) -> list[Work]:
    """Return the pieces of work that `baseline_cells` is going to ask for."""
    return [
        simulation(batch, simulator) for _, batch in _baselines(arena, rebalances) for simulator in simulators
    ]


def _baselines(arena: Arena, rebalances: Sequence[Rebalance]) -> list[tuple[list[_Seat], Batch]]:
    """Return pools and benchmarks, and the market where the data set names one."""
    pools = [(BaselineRole.RAW_POOL, ANY_SELECTION, arena.eligible)]
    pools += [(BaselineRole.BENCHMARK, selection, masks) for selection, masks in arena.selected.items()]
    seats = [
        _baseline_seat(
            arena, role, selection, rebalance, equal_weights(masks), arena.window_rows, arena.panel.symbols
        )
        for rebalance in rebalances
        for role, selection, masks in pools
    ]
    plans = tuple(plan(arena.windows, seat.weights, seat.rebalance) for seat in seats)
    found = [(seats, _unlimited_batch(arena, arena.panel, plans))]
    market = market_panel(arena.panel)
    if market is not None:
        hold = buy_and_hold_plan(arena.settings.start_row)
        first_row = np.zeros(1, dtype=np.int64)
        # The mode means nothing to one instrument that is bought once; each mode has its row all the same.
        seats = [
            _baseline_seat(
                arena, BaselineRole.MARKET, ANY_SELECTION, rebalance, hold.weights, first_row, market.symbols
            )
            for rebalance in rebalances
        ]
        found.append((seats, _unlimited_batch(arena, market, (hold,) * len(seats))))
    return found


def _unlimited_batch(arena: Arena, panel: Panel, plans: tuple[Plan, ...]) -> Batch:
    return Batch(
        panel=panel, root=None, invest=Invest.SCALED, plans=plans, settings=unlimited(arena.settings)
    )


def _baseline_seat(
    arena: Arena,
    role: BaselineRole,
    selection: str,
    rebalance: Rebalance,
    weights: FloatArray,
    window_rows: IntArray,
    symbols: tuple[str, ...],
) -> _Seat:
    settings = unlimited(arena.settings)
    identity_hash = content_hash(
        {
            "kind": "baseline/1",
            "core": CORE_VERSION,
            "role": role,
            "universe": arena.panel.name,
            "symbols": symbols,
            "timeframe": arena.panel.timeframe,
            "schedule": arena.schedule_hash,
            "selection": selection,
            "rebalance": rebalance,
            "costs": settings.costs,
            "rules": settings.rules,
        }
    )
    return _Seat(
        name=BASELINE_STRATEGY,
        parameters_hash="",
        allocation=Allocation(selection=selection, engine=BASELINE_ENGINE, profile=role.value),
        rebalance=rebalance,
        identity_hash=identity_hash,
        weights=weights,
        window_rows=window_rows,
        symbols=symbols,
        role=role,
    )


def _played(
    arena: Arena,
    seats: Sequence[_Seat],
    batch: Batch,
    simulators: Sequence[Simulator],
    play: Simulators,
    judged: _Judged | None,
) -> list[CellResult]:
    cells = []
    for simulator in simulators:
        played = play.play(batch, simulator)
        for column, seat in enumerate(seats):
            if played.problems[column]:
                cells.append(_missing(arena, seat, simulator, played.problems[column]))
            elif problem := _ruin(played.accounts.equity[column]):
                cells.append(_missing(arena, seat, simulator, problem))
            else:
                beside = judged if simulator is Simulator.CORE else None
                cells.append(_cell(arena, seat, simulator, played.accounts, column, beside))
    return cells


def _ruin(equity: FloatArray) -> str:
    """Return at which row an account has lost all, empty where it lives: no ratio says how bad that is."""
    lost = equity <= 0
    return f"the account is ruined at row {int(np.argmax(lost))}" if lost.any() else ""


def _cell(
    arena: Arena,
    seat: _Seat,
    simulator: Simulator,
    accounts: Accounts,
    column: int,
    judged: _Judged | None,
) -> CellResult:
    counts = accounts.reason_counts[column]
    cell = CellResult(
        key=_key(arena, seat, simulator),
        strategy_id=_strategy_id(arena, seat),
        identity_hash=seat.identity_hash,
        parameters=seat.parameters,
        works_orders=seat.works_orders,
        baseline_role=seat.role,
        timestamps=arena.timestamps,
        calendar=arena.panel.calendar,
        equity=accounts.equity[column],
        gross=accounts.gross[column],
        turnover=accounts.turnover[column],
        trades=float(accounts.trades[column]),
        fills=float(accounts.fills[column]),
        fees=float(accounts.fees[column]),
        halts=int(accounts.halts[column]),
        delisted_exits=int(accounts.delisted_exits[column]),
        reason_counts={reason.name: int(counts[reason]) for reason in Reason if counts[reason]},
        window_rows=seat.window_rows,
        weights=seat.weights,
        symbols=seat.symbols,
    )
    if judged is None:
        return cell
    return replace(
        cell,
        unlimited_equity=judged.without_limits.equity[column],
        unlimited_gross=judged.without_limits.gross[column],
        variants={variant: results[column] for variant, results in judged.variants.items()},
    )


def _missing(arena: Arena, seat: _Seat, simulator: Simulator, problem: str) -> CellResult:
    return CellResult(
        key=_key(arena, seat, simulator),
        strategy_id=_strategy_id(arena, seat),
        identity_hash=seat.identity_hash,
        parameters=seat.parameters,
        status=CellStatus.MISSING,
        problem=problem,
        baseline_role=seat.role,
        timestamps=arena.timestamps,
        calendar=arena.panel.calendar,
        window_rows=seat.window_rows,
        weights=seat.weights,
        symbols=seat.symbols,
    )


def _strategy_id(arena: Arena, seat: _Seat) -> str:
    return row_id(seat.role.value or seat.name, seat.identity_hash, synthetic=arena.panel.synthetic)


def row_id(name: str, identity_hash: str, *, synthetic: bool) -> str:
    """Return the id of a row; who reads it alone must see that no real price stands behind it."""
    return strategy_id(f"{name}-synthetic" if synthetic else name, identity_hash)


def _key(arena: Arena, seat: _Seat, simulator: Simulator) -> CellKey:
    return CellKey(
        strategy=seat.name,
        parameters_hash=seat.parameters_hash,
        universe=arena.panel.name,
        selection=seat.allocation.selection,
        rebalance=seat.rebalance.value,
        engine=seat.allocation.engine,
        profile=seat.allocation.profile,
        simulator=simulator,
    )
