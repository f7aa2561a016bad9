"""Made-up tournaments for tests of the board: random walks, no strategy behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.domain.identity import content_hash
from engine.domain.panel import Adjustment, FloatArray
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe
from research.cells import (
    BASELINE_ENGINE,
    BASELINE_STRATEGY,
    BaselineRole,
    CellKey,
    CellResult,
    CellStatus,
    Control,
    ControlExpectation,
    PermutationRecord,
    Refusal,
    Simulator,
    Tournament,
    TrialsRecord,
    UniverseRecord,
    Variant,
    VariantResult,
)
from research.configuration import TournamentConfiguration, TournamentSettings, read

CASH = 100_000.0
CONFIGURATION = Path(__file__).parent.parent / "configs" / "port-test.yaml"


def settings(**changes: object) -> TournamentSettings:
    """Return the settings of port-test, some keys of its configuration changed."""
    pinned = read(CONFIGURATION)
    document = pinned.configuration.model_dump(mode="python") | changes
    return replace(
        pinned,
        configuration=TournamentConfiguration.model_validate(document, strict=False),
        source="configs/port-test.yaml",
    )


def universe(name: str = "us20", **changes: object) -> UniverseRecord:
    """Return a data set of closes with a market."""
    record = UniverseRecord(
        name=name,
        content_hash=content_hash(name),
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.XNYS,
        adjustment=Adjustment.TOTAL_RETURN,
        has_range=False,
        has_volume=False,
        synthetic=False,
        rows=1700,
        instruments=20,
        first=7304 * NANOSECONDS_PER_DAY,
        last=9900 * NANOSECONDS_PER_DAY,
        windows=74,
        market="S&P 500",
        holdout_rows=504,
        holdout_openings=0,
        notes=("all 20 survived, the index has no dividends",),
        start_cash=CASH,
        trials=TrialsRecord(count=48, head=content_hash("head"), n_effective=6.2),
        permutation=permutations(np.linspace(-0.5, 0.8, 199)),
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def permutations(null: FloatArray) -> PermutationRecord:
    """Return what a search of 84 cells found in shuffled bars."""
    return PermutationRecord(
        strategies=("trend",),
        null_by_strategy=null[:, None],
        observed=np.array([0.4]),
        n_searched=84,
        seed=1,
        first_row=180,
        search_hash=content_hash("search"),
    )


def equity_of(returns: Sequence[float] | FloatArray) -> FloatArray:
    """Return the account whose bars earn `returns` after a first bar in cash."""
    growth = np.concatenate(([1.0], 1.0 + np.asarray(returns, dtype=np.float64)))
    return np.asarray(CASH * np.cumprod(growth), dtype=np.float64)


def cell(
    returns: Sequence[float] | FloatArray,
    *,
    strategy: str = "trend",
    data: str = "us20",
    selection: str = "all",
    rebalance: str = "window",
    engine: str = "native",
    profile: str = "equal_weight",
    simulator: Simulator = Simulator.CORE,
    role: BaselineRole = BaselineRole.NONE,
    gross: float = 1.0,
    weights: FloatArray | None = None,
    step: int = 20,
    **changes: object,
) -> CellResult:
    """Return a cell whose bars earn `returns`, at a constant gross, re-based every `step` rows."""
    equity = equity_of(returns)
    rows = len(equity)
    window_rows = np.arange(0, rows, step, dtype=np.int64)
    identity = content_hash([strategy, data, selection, rebalance, engine, profile])
    is_judged = role is BaselineRole.NONE and simulator is Simulator.CORE
    result = CellResult(
        key=CellKey(
            strategy=strategy,
            parameters_hash="" if role is not BaselineRole.NONE else "aaaa1111",
            universe=data,
            selection=selection,
            rebalance=rebalance,
            engine=engine,
            profile=profile,
            simulator=simulator,
        ),
        strategy_id=f"{strategy}-{identity[:8]}",
        identity_hash=identity,
        baseline_role=role,
        timestamps=(9000 + np.arange(rows, dtype=np.int64)) * NANOSECONDS_PER_DAY,
        calendar=Calendar.XNYS,
        equity=equity,
        gross=np.full(rows, gross),
        turnover=np.full(rows, 0.01),
        trades=100.0,
        fills=250.0,
        fees=123.45,
        reason_counts={"CUT_CASH": 3},
        window_rows=window_rows,
        weights=np.full((len(window_rows), 4), 0.25) if weights is None else weights,
        symbols=("A", "B", "C", "D"),
        variants=variants_of(equity) if is_judged else {},
        unlimited_equity=equity if is_judged else np.empty(0),
        unlimited_gross=np.full(rows, gross) if is_judged else np.empty(0),
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def variants_of(equity: FloatArray) -> dict[Variant, VariantResult]:
    """Return variants under which a cell keeps its place: the better its account, the better they."""
    result = VariantResult(1.0 + float(np.log(equity[-1] / equity[0])) / 100.0, 0.1, content_hash(equity))
    return dict.fromkeys(Variant, result)


def missing(strategy: str = "trend", problem: str = "the solver gave no weights", **key: str) -> CellResult:
    """Return a cell that was configured and gave nothing."""
    whole = cell([0.0] * 40, strategy=strategy, **key)  # type: ignore[arg-type]
    empty = np.empty(0)
    return replace(
        whole,
        status=CellStatus.MISSING,
        problem=problem,
        equity=empty,
        gross=empty,
        turnover=empty,
        variants={},
        unlimited_equity=empty,
        unlimited_gross=empty,
    )


def baseline(
    role: BaselineRole,
    returns: Sequence[float] | FloatArray,
    *,
    simulator: Simulator = Simulator.CORE,
    **key: str,
) -> CellResult:
    """Return a baseline row."""
    return cell(
        returns,
        strategy=BASELINE_STRATEGY,
        engine=BASELINE_ENGINE,
        profile=str(role),
        role=role,
        simulator=simulator,
        trades=np.nan,
        **key,  # type: ignore[arg-type]
    )


def market_returns(rows: int = 1260, seed: int = 5, mean: float = 0.0003) -> FloatArray:
    """Return daily returns of a market with a drift."""
    return np.random.default_rng(seed).normal(mean, 0.01, rows)


def with_baselines(cells: Sequence[CellResult], market: FloatArray, data: str = "us20") -> list[CellResult]:
    """Add market, pool and benchmark for each rebalance, selection and simulator among the cells."""
    pool = 0.8 * market + np.random.default_rng(11).normal(0.0001, 0.004, len(market))
    found: list[CellResult] = list(cells)
    places = sorted({(item.key.rebalance, item.key.simulator) for item in cells})
    for rebalance, simulator in places:
        place = {"rebalance": rebalance, "data": data}
        found.append(baseline(BaselineRole.MARKET, market, simulator=simulator, **place))
        found.append(baseline(BaselineRole.RAW_POOL, pool, simulator=simulator, **place))
        for selection in sorted({item.key.selection for item in cells}):
            chosen = {**place, "selection": selection}
            found.append(baseline(BaselineRole.BENCHMARK, pool * 0.98, simulator=simulator, **chosen))
    return found


def three_simulators(
    returns: FloatArray, *, cost: float = 0.00002, gap: float = 0.0, **key: object
) -> list[CellResult]:
    """Return one configuration as `core`, `frictionless` and `vectorbt` played it."""
    ideal, second = Simulator.FRICTIONLESS, Simulator.VECTORBT
    return [
        cell(returns, **key),  # type: ignore[arg-type]
        cell(returns + cost, simulator=ideal, **key),  # type: ignore[arg-type]
        cell(returns + gap, simulator=second, trades=np.nan, **key),  # type: ignore[arg-type]
    ]


def skilled(market: FloatArray, *, edge: float, seed: int = 21, noise: float = 0.004) -> FloatArray:
    """Return a series that follows the market at 0.6 and earns `edge` a day beyond it."""
    return 0.6 * market + np.random.default_rng(seed).normal(edge, noise, len(market))


def good_controls(market: FloatArray) -> tuple[Control, ...]:
    """Return controls that behave: random is not proven, peek is refused, planted passes."""
    record = universe("us20")
    trials = TrialsRecord(count=1, head="x", n_effective=1.0)
    planted = universe("planted", synthetic=True, market="", trials=trials)
    random = with_baselines([cell(skilled(market, edge=-0.0002), strategy="no_edge_0")], market)
    edge = with_baselines(
        [cell(skilled(market, edge=0.0012), strategy="planted_trend", data="planted")], market, "planted"
    )
    return (
        Control(
            name="no_edge", expectation=ControlExpectation.NOT_PASS, universe=record, cells=tuple(random)
        ),
        Control(
            name="peek",
            expectation=ControlExpectation.REFUSED,
            universe=record,
            refused=True,
            refusal="orders changed when rows after 2001-03-05 were cut off",
        ),
        Control(name="planted", expectation=ControlExpectation.PASS, universe=planted, cells=tuple(edge)),
    )


def tournament(
    cells: Sequence[CellResult],
    *,
    universes: Sequence[UniverseRecord] | None = None,
    controls: Sequence[Control] | None = None,
    refusals: Sequence[Refusal] = (),
    inputs: Mapping[str, str] | None = None,
) -> Tournament:
    """Return a finished tournament."""
    hashed = content_hash(dict(inputs or {"seed": "1"}))
    return Tournament(
        run_id=f"T-{hashed[:12]}",
        inputs_hash=hashed,
        configuration_hash=settings().content_hash,
        core_version="1",
        costs="10 bps fee + 5 bps slippage",
        cells=tuple(cells),
        universes=tuple(universes or (universe(),)),
        refusals=tuple(refusals),
        controls=tuple(good_controls(market_returns()) if controls is None else controls),
    )
