"""What a strategy's id, a trial's key and a baseline hang on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.core.settings import Limits
from engine.domain.errors import InvalidValueError
from engine.domain.panel import Panel
from engine.domain.portfolio import Invest
from engine.features.operators import close, ema, where
from engine.pipeline.run import Settings
from engine.schedule.windows import Rebalance, plan, walk_forward
from research import batches, nautilus_simulator, tournament
from research.arena import Arena, Contestant, baseline_cells, contestant_cells
from research.base_weights import Allocation, BaseWeights
from research.baselines import equal_weights, market_panel
from research.batches import Batch, Simulators
from research.cell_store import CellStore
from research.cells import BaselineRole, CellResult, CellStatus, Simulator
from research.configuration import TournamentSettings
from research.registers import record_of, record_trials, trial_key
from research.sources import sources_hash
from research.trials import TrialsRegister
from scoreboards.evidence import Accounts
from scoreboards.rows import attribution
from tests.boards import settings
from tests.builders import random_panel

ROOT = where(ema(close, 3) > ema(close, 9), 1.0, 0.0)
TREND = Contestant(name="trend", graph_hash=ROOT.hash, root=ROOT, invest=Invest.SCALED)
EQUAL = Allocation(selection="all", engine="native", profile="equal_weight")


def arena_of(panel: Panel) -> Arena:
    windows = walk_forward(len(panel), train=40, test=20, step=10)
    everything = np.ones((len(windows), len(panel.instruments)), dtype=np.bool_)
    return Arena(
        panel=panel,
        windows=windows,
        eligible=everything,
        selected={"all": everything},
        settings=Settings(start_row=windows[0].test_start, stop_row=windows[-1].test_stop),
        schedule_hash="schedule",
    )


@pytest.fixture
def arena() -> Arena:
    return arena_of(random_panel(200, 5, seed=5))


@pytest.fixture
def simulators(tmp_path: Path) -> Simulators:
    return Simulators(CellStore(tmp_path / "cells"), threads=1)


def test_every_ingredient_is_part_of_a_strategys_identity(arena: Arena) -> None:
    def identity(
        arena: Arena = arena,
        contestant: Contestant = TREND,
        allocation: Allocation = EQUAL,
        rebalance: Rebalance = Rebalance.WINDOW,
    ) -> str:
        return arena.identity(contestant, allocation, rebalance)

    settings = arena.settings
    found = [
        identity(),
        identity(contestant=replace(TREND, graph_hash="other")),
        identity(contestant=replace(TREND, name="other")),
        identity(contestant=replace(TREND, invest=Invest.FULL)),
        identity(allocation=replace(EQUAL, selection="log_mps")),
        identity(allocation=replace(EQUAL, engine="riskfolio")),
        identity(allocation=replace(EQUAL, profile="hrp")),
        identity(rebalance=Rebalance.DAILY),
        identity(arena=replace(arena, panel=replace(arena.panel, name="other"))),
        identity(arena=replace(arena, schedule_hash="other")),
        identity(
            arena=replace(arena, settings=replace(settings, costs=settings.costs._replace(taker_fee_bps=9.0)))
        ),
        identity(
            arena=replace(arena, settings=replace(settings, rules=settings.rules._replace(stale_bars=6)))
        ),
        identity(arena=replace(arena, settings=replace(settings, limits=Limits(gross=0.5)))),
    ]

    assert len(set(found)) == len(found)
    assert identity() == found[0]


@pytest.mark.parametrize("place", ["engine/domain", "research/batches.py"])
def test_a_stored_account_hangs_on_the_code_that_made_it(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def key() -> str:
        return Batch(
            panel=arena.panel,
            root=ROOT,
            invest=Invest.SCALED,
            plans=(plan(arena.windows, equal_weights(arena.eligible), Rebalance.WINDOW),),
            settings=arena.settings,
        ).key

    before = key()
    assert key() == before
    monkeypatch.setattr(batches, "sources_hash", lambda *places: "changed" if place in places else "same")
    changed = key()
    monkeypatch.setattr(batches, "sources_hash", lambda *_: "same")

    assert len({before, changed, key()}) == 3


def test_a_run_hangs_on_who_judges_and_on_the_nautilus_that_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pinned = settings()
    asked = settings(simulators=["core", "nautilus"])

    def run_of(told: TournamentSettings) -> str:
        return tournament._inputs_hash([], told, universes={}, controls={})

    without = tmp_path / "python"
    monkeypatch.setattr(nautilus_simulator, "_OWN_PEERS", without)
    monkeypatch.delenv("GAUNTLET_PEERS", raising=False)
    before = (run_of(pinned), run_of(asked))
    without.write_text("#!/bin/sh\necho 1.2.3\n")
    without.chmod(0o755)
    installed = (run_of(pinned), run_of(asked))
    monkeypatch.setattr(tournament, "judging_versions", lambda: (("skfolio", "another"),))

    assert installed[0] == before[0]
    assert installed[1] != before[1]
    assert run_of(pinned) != before[0]


def test_a_place_without_sources_has_no_hash() -> None:
    assert sources_hash("research/batches.py") != sources_hash("research/simulators.py")
    with pytest.raises(InvalidValueError, match="no Python file at research/nowhere"):
        sources_hash("research/nowhere")


def test_a_trial_of_other_bars_cash_or_weights_is_another_trial(arena: Arena) -> None:
    weights = equal_weights(arena.eligible)
    keys = {
        trial_key(arena.panel, "identity", 1e5, weights),
        trial_key(arena.panel, "identity", 1e6, weights),
        trial_key(arena.panel, "identity", 1e5, weights * 0.5),
        trial_key(arena.panel, "other", 1e5, weights),
        trial_key(arena.panel.rows(0, 150), "identity", 1e5, weights),
    }

    assert len(keys) == 5
    assert trial_key(arena.panel, "identity", 1e5, weights.copy()) in keys


def cells_of(arena: Arena, simulators: Simulators, base: BaseWeights) -> list[CellResult]:
    kinds = (Simulator.CORE, Simulator.FRICTIONLESS)
    cells = baseline_cells(arena, list(Rebalance), kinds, simulators)
    return cells + contestant_cells(arena, TREND, {EQUAL: base}, list(Rebalance), kinds, simulators)


def test_there_is_one_row_for_each_configuration_and_simulator(arena: Arena, simulators: Simulators) -> None:
    cells = cells_of(arena, simulators, BaseWeights(weights=equal_weights(arena.eligible)))

    assert len({(cell.key) for cell in cells}) == len(cells)
    strategies = [cell for cell in cells if not cell.is_baseline]
    assert len(strategies) == 3 * 2
    # market, benchmark and raw_pool_ew for each rebalance mode and simulator
    assert len(cells) - len(strategies) == 3 * 3 * 2
    assert all(cell.equity[0] == 100_000.0 for cell in cells)
    assert all(cell.timestamps[0] == arena.panel.timestamps[40] for cell in cells)
    assert all(
        len(cell.unlimited_equity) == len(cell.equity) for cell in strategies if cell.key.simulator == "core"
    )


def test_rows_of_one_configuration_share_their_id(arena: Arena, simulators: Simulators) -> None:
    cells = cells_of(arena, simulators, BaseWeights(weights=equal_weights(arena.eligible)))
    ids = {cell.key.configuration: cell.strategy_id for cell in cells}

    assert all(ids[cell.key.configuration] == cell.strategy_id for cell in cells)
    assert all(
        cell.strategy_id == f"trend-{cell.identity_hash[:8]}" for cell in cells if not cell.is_baseline
    )


def test_ids_on_made_up_prices_carry_the_word(arena: Arena, simulators: Simulators) -> None:
    made_up = replace(arena, panel=replace(arena.panel, synthetic=True))
    cells = cells_of(made_up, simulators, BaseWeights(weights=equal_weights(arena.eligible)))

    assert {cell.strategy_id.rpartition("-")[0] for cell in cells} == {
        "trend-synthetic",
        "market-synthetic",
        "benchmark-synthetic",
        "raw_pool_ew-synthetic",
    }


def test_free_trading_ends_higher_than_trading_at_a_cost(arena: Arena, simulators: Simulators) -> None:
    cells = cells_of(arena, simulators, BaseWeights(weights=equal_weights(arena.eligible)))
    paid = next(cell for cell in cells if not cell.is_baseline and cell.key.simulator == "core")
    free = next(cell for cell in cells if cell.key == replace(paid.key, simulator=Simulator.FRICTIONLESS))

    assert paid.fees > 0.0
    assert free.fees == 0.0
    assert free.equity[-1] > paid.equity[-1]


def test_free_trading_on_a_price_that_stands_still_loses_nothing(simulators: Simulators) -> None:
    prices = random_panel(200, 5, seed=5)
    still = np.full(prices.close.shape, 64.0)
    arena = arena_of(replace(prices, open=still, high=still, low=still, close=still))
    cells = baseline_cells(arena, [Rebalance.DAILY], [Simulator.FRICTIONLESS], simulators)

    assert {cell.equity[-1] for cell in cells} == {100_000.0}
    assert all(cell.fills > 0 for cell in cells)


def test_limits_bind_strategies_and_neither_baselines_nor_the_run_that_is_compared_with_them(
    simulators: Simulators,
) -> None:
    prices = random_panel(200, 5, seed=5)
    falling = np.tile(100.0 * 0.99 ** np.arange(200.0)[:, None], (1, 5))
    arena = arena_of(replace(prices, open=falling, high=falling, low=falling, close=falling))
    holding = Contestant(name="hold", graph_hash="1", root=where(close > 0.0, 1.0, 0.0), invest=Invest.SCALED)
    base = BaseWeights(weights=equal_weights(arena.eligible))
    modes, kinds = [Rebalance.WINDOW], [Simulator.CORE]
    cells = baseline_cells(arena, modes, kinds, simulators)
    [held] = contestant_cells(arena, holding, {EQUAL: base}, modes, kinds, simulators)

    assert held.halts > 0
    assert all(cell.halts == 0 and cell.equity[-1] < 0.5 * held.equity[-1] for cell in cells)
    assert held.unlimited_equity[-1] < 0.5 * held.equity[-1]


def test_the_pool_does_not_follow_a_selection(arena: Arena, simulators: Simulators) -> None:
    few = arena.eligible.copy()
    few[:, 2:] = False
    cells = baseline_cells(
        replace(arena, selected={"few": few}), [Rebalance.WINDOW], [Simulator.CORE], simulators
    )
    by_role = {cell.baseline_role: cell for cell in cells}

    assert (by_role[BaselineRole.RAW_POOL].weights > 0).sum(axis=1).tolist() == [5] * len(arena.windows)
    assert (by_role[BaselineRole.BENCHMARK].weights > 0).sum(axis=1).tolist() == [2] * len(arena.windows)


def test_a_solver_without_an_answer_leaves_missing_rows_and_no_other_weights(
    arena: Arena, simulators: Simulators
) -> None:
    nothing = BaseWeights(weights=np.zeros(arena.eligible.shape), problem="window 3: infeasible")
    cells = [cell for cell in cells_of(arena, simulators, nothing) if not cell.is_baseline]

    assert len(cells) == 6
    assert all(cell.status is CellStatus.MISSING for cell in cells)
    assert all("window 3: infeasible" in cell.problem for cell in cells)


def test_a_set_without_a_market_lets_the_pool_stand_for_it(arena: Arena, simulators: Simulators) -> None:
    cells = baseline_cells(arena, [Rebalance.WINDOW], [Simulator.CORE], simulators)
    market, pool = (
        next(cell for cell in cells if cell.baseline_role is role)
        for role in (BaselineRole.MARKET, BaselineRole.RAW_POOL)
    )

    assert market.equity.tobytes() == pool.equity.tobytes()
    assert market.key.profile == "market"


def test_the_market_is_its_level_bought_once_and_held(simulators: Simulators) -> None:
    prices = random_panel(200, 5, seed=5)
    level = np.linspace(100.0, 150.0, 200)
    arena = arena_of(replace(prices, fields={"market": level}))
    arena = replace(
        arena,
        settings=replace(
            arena.settings, costs=arena.settings.costs._replace(taker_fee_bps=0.0, slippage_bps=0.0)
        ),
    )
    market = next(
        cell
        for cell in baseline_cells(arena, [Rebalance.DAILY], [Simulator.CORE], simulators)
        if cell.baseline_role is BaselineRole.MARKET
    )

    # Decided at row 40, bought at the close of row 41 with all the cash, lots of a millionth.
    units = np.floor(100_000.0 / level[40] * 1e6) / 1e6
    affordable = np.floor(100_000.0 / level[41] * 1e6) / 1e6
    held = min(units, affordable)
    expected = 100_000.0 + held * (level[199] - level[41])
    assert market.equity[-1] == pytest.approx(expected, rel=1e-9)
    assert market.fills == 1.0


def test_a_market_panel_has_closes_only(arena: Arena) -> None:
    assert market_panel(arena.panel) is None
    panel = market_panel(replace(arena.panel, fields={"market": np.linspace(1.0, 2.0, 200)}))

    assert panel is not None
    assert not panel.has_range
    assert panel.symbols == ("market",)


def test_equal_weights_of_no_instrument_are_cash() -> None:
    masks = np.array([[True, True, False, True], [False, False, False, False]])

    assert equal_weights(masks).tolist() == [[1 / 3, 1 / 3, 0.0, 1 / 3], [0.0, 0.0, 0.0, 0.0]]


def test_only_what_the_core_played_is_a_trial_and_only_once(
    arena: Arena, simulators: Simulators, tmp_path: Path
) -> None:
    cells = cells_of(arena, simulators, BaseWeights(weights=equal_weights(arena.eligible)))
    register = TrialsRegister(tmp_path / "trials.jsonl")

    record_trials(register, cells, arena.panel, 100_000.0)
    first = record_of(register)
    record_trials(register, cells, arena.panel, 100_000.0)

    assert first.count == 3
    assert record_of(register) == first
    expected = {
        trial_key(arena.panel, cell.identity_hash, 100_000.0, cell.weights)
        for cell in cells
        if not cell.is_baseline
    }
    assert set(register.keys) == expected


@pytest.mark.parametrize("rebalance", list(Rebalance))
def test_what_is_registered_is_the_excess_of_the_core_over_the_pool(
    arena: Arena, simulators: Simulators, tmp_path: Path, rebalance: Rebalance
) -> None:
    base = BaseWeights(weights=equal_weights(arena.eligible))
    kinds = [Simulator.CORE, Simulator.FRICTIONLESS]
    cells = baseline_cells(arena, [rebalance], kinds, simulators)
    cells += contestant_cells(arena, TREND, {EQUAL: base}, [rebalance], kinds, simulators)
    path = tmp_path / "trials.jsonl"

    record_trials(TrialsRegister(path), cells, arena.panel, 100_000.0)

    core = {cell.baseline_role: cell for cell in cells if cell.key.simulator is Simulator.CORE}
    played, pool = core[BaselineRole.NONE], core[BaselineRole.RAW_POOL]
    change, of_pool = (np.diff(cell.equity) / cell.equity[:-1] for cell in (played, pool))
    excess = np.append(0.0, change - played.gross.mean() * of_pool)
    [line] = path.read_text().splitlines()
    assert json.loads(line)["sharpe"] == pytest.approx(excess.mean() / excess.std(ddof=1), rel=1e-9)


def test_base_weights_that_are_the_pools_gain_and_lose_nothing_to_it(
    arena: Arena, simulators: Simulators
) -> None:
    cells = cells_of(arena, simulators, BaseWeights(weights=equal_weights(arena.eligible)))
    accounts, days = Accounts(cells), arena.panel.calendar.days_per_year
    judged = [cell for cell in cells if not cell.is_baseline and cell.key.simulator is Simulator.CORE]

    for cell in judged:
        evidence = accounts.evidence(cell)
        parts = attribution(evidence, days)

        assert evidence.excess is not None
        # The rules hold a cash buffer back from the account, and not from the pool.
        assert arena.settings.rules.cash_buffer > 0.0
        assert parts["optimisation_alpha"] == pytest.approx(0.0, abs=1e-12)
        total = sum(value for value in parts.values() if isinstance(value, float))
        assert total == pytest.approx(evidence.excess.mean() * days, abs=1e-12)
    assert len(judged) == 3


def short_of(arena: Arena) -> tuple[Arena, Contestant]:
    """Return an arena in which shorts are allowed, and who is short of every instrument."""
    loose = Limits(
        gross=4.0, instrument=4.0, cluster=4.0, tier_1_drawdown=np.inf, tier_2_drawdown=np.inf,
        halt_drawdown=np.inf, short=4.0, leverage=4.0,
    )  # fmt: skip
    root = where(close > 0.0, -1.0, 0.0)
    bear = Contestant(name="bear", graph_hash=root.hash, root=root, invest=Invest.SCALED)
    return replace(arena, settings=replace(arena.settings, limits=loose)), bear


def test_the_run_without_limits_may_sell_short_where_the_limits_allow_it(
    arena: Arena, simulators: Simulators
) -> None:
    base = {EQUAL: BaseWeights(weights=equal_weights(arena.eligible))}
    allowed, bear = short_of(arena)
    [short] = contestant_cells(allowed, bear, base, [Rebalance.WINDOW], [Simulator.CORE], simulators)
    [cash] = contestant_cells(arena, bear, base, [Rebalance.WINDOW], [Simulator.CORE], simulators)

    assert short.unlimited_gross.max() > 0.5
    assert cash.unlimited_gross.max() == 0.0


def test_a_ruined_account_is_a_missing_row_and_the_others_play_on(simulators: Simulators) -> None:
    prices = random_panel(200, 5, seed=5)
    jump = np.tile(np.where(np.arange(200)[:, None] < 120, 100.0, 300.0), (1, 5))
    arena, bear = short_of(arena_of(replace(prices, open=jump, high=jump, low=jump, close=jump)))
    base = BaseWeights(weights=equal_weights(arena.eligible))
    cells = cells_of(arena, simulators, base)
    cells += contestant_cells(arena, bear, {EQUAL: base}, [Rebalance.WINDOW], [Simulator.CORE], simulators)

    ruined = [cell for cell in cells if cell.key.strategy == "bear"]
    assert [cell.status for cell in ruined] == [CellStatus.MISSING]
    assert "ruined at row" in ruined[0].problem
    assert all(cell.status is CellStatus.OK for cell in cells if cell.key.strategy != "bear")
