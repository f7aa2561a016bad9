"""One walk: whole, bar by bar, in blocks, in threads and in plain Python, with the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.compiled import kernel
from engine.core.account import (
    BOUGHT,
    BOUND,
    CUT,
    EXITS,
    FILLABLE,
    FILLS,
    FIRST,
    HALTS,
    NOTIONAL,
    PRICE,
    REASONS,
    SAVED,
    SIZED,
    TARGET,
    THEN,
    Accounts,
    Books,
    new_accounts,
)
from engine.core.market import Market, advance_marks, market_of
from engine.core.records import Recorder
from engine.core.settings import Costs, Limits, Rules, Terms
from engine.core.simulate import new_recorder, pack_plans, simulate, step
from engine.core.step import full_bar
from engine.core.targets import Plans
from engine.domain.panel import FloatArray, Panel
from engine.domain.portfolio import Invest, Plan
from tests.builders import random_panel

COSTS = Costs(taker_fee_bps=10.0, slippage_bps=5.0, half_spread_bps=1.0, impact_coefficient=30.0)
RULES = Rules(participation=0.1, order_bound_bps=300.0, minimum_notional=5.0, lot_size=0.01)
PLAIN = np.zeros((0, 1, 0))
TERMS = Terms(COSTS, RULES, Limits(halt_bars=5, recovery_bars=15))


def random_signals(rows: int, instruments: int, seed: int) -> FloatArray:
    """Draw signals that stay for a while (odd seeds: for long); some are missing, some ask for shorts."""
    rng = np.random.default_rng(seed)
    stay = 0.99 if seed % 2 else 0.9
    levels = rng.choice([0.0, 0.5, 1.0, -1.0], size=(rows, instruments), p=[0.2, 0.15, 0.6, 0.05])
    keep = rng.random((rows, instruments)) < stay
    for row in range(1, rows):
        levels[row, keep[row]] = levels[row - 1, keep[row]]
    levels[rng.random((rows, instruments)) < 0.03] = np.nan
    return levels


def random_plan(rows: int, instruments: int, seed: int, drift_band: float) -> Plan:
    """Draw base weights from row 3 on, every seven rows (odd seeds: rarely)."""
    rng = np.random.default_rng(seed)
    at = np.arange(3, rows, 150 if seed % 2 else 7)
    weights = rng.random((len(at), instruments)) * (rng.random((len(at), instruments)) < 0.9)
    sums = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    return Plan(rows=at, weights=weights, drift_band=drift_band)


def one_row(panel: Panel, market: Market, row: int, last: FloatArray, stale: np.ndarray) -> Market:
    """Make the market of one bar from that bar and the state before it, as a stream does.

    Copies, because a session writes into its arrays: read-only ones would compile everything once more.
    """
    count = len(panel.instruments)
    mark = np.zeros((1, count))
    leaves = np.zeros((1, count), dtype=np.uint8)
    flags = np.array([panel.day_ends[row]], dtype=np.uint8)
    advance_marks(
        panel.close[row : row + 1],
        panel.timestamps[row : row + 1],
        np.full(count, np.iinfo(np.int64).max),
        RULES.stale_bars,
        last,
        stale,
        mark,
        leaves,
        flags,
    )
    return market._replace(
        fill=panel.open[row : row + 1].copy(),
        high=panel.high[row : row + 1].copy(),
        low=panel.low[row : row + 1].copy(),
        mark=mark,
        volume=panel.volume[row : row + 1].copy(),
        flags=flags,
        leaves=leaves,
    )


def run_whole(
    panel: Panel, signals: FloatArray, plans: Plans, terms: Terms = TERMS
) -> tuple[Accounts, Recorder]:
    """Walk all bars in one call, with everything recorded."""
    rows, count = panel.close.shape
    counted: Accounts | None = None
    for _ in range(2):
        accounts = new_accounts(1, count, 10_000.0)
        recorder = new_recorder(1, rows, count, 0, curves=True, counted=counted)
        simulate(
            0, 1, 0, rows, signals[None], True, np.zeros(1, dtype=np.int64), np.zeros((0, 1, count)),
            market_of(panel, RULES), plans, terms, accounts, recorder,
        )  # fmt: skip
        counted = accounts
    return accounts, recorder


def assert_same(left: tuple[Accounts, Recorder], right: tuple[Accounts, Recorder]) -> None:
    """Compare every array, bit for bit."""
    for a, b in zip(left, right, strict=True):
        for place, (first, second) in enumerate(zip(a, b, strict=True)):
            assert np.asarray(first).tobytes() == np.asarray(second).tobytes(), place


CASES = [
    (seed, instruments, invest, drift_band)
    for seed, (instruments, invest, drift_band) in enumerate(
        [
            (1, Invest.SCALED, np.inf),
            (1, Invest.FULL, np.inf),
            (1, Invest.FULL, 0.05),
            (2, Invest.SCALED, np.inf),
            (3, Invest.SCALED, 0.0),
            (5, Invest.FULL, np.inf),
            (6, Invest.SCALED, 0.05),
            (9, Invest.SCALED, np.inf),
            (12, Invest.FULL, 0.0),
        ]
        * 4
    )
]


@pytest.mark.parametrize(("seed", "instruments", "invest", "drift_band"), CASES)
def test_a_walk_equals_its_single_steps(
    seed: int, instruments: int, invest: Invest, drift_band: float
) -> None:
    rows = 400
    panel = random_panel(rows, instruments, seed=seed, volatility=0.03, holes=0.02)
    signals = random_signals(rows, instruments, seed)
    plans = pack_plans([random_plan(rows, instruments, seed, drift_band)], [invest])
    whole = run_whole(panel, signals, plans)

    market = market_of(panel, RULES)
    accounts = new_accounts(1, instruments, 10_000.0)
    recorder = new_recorder(1, rows, instruments, 0, curves=True, counted=whole[0])
    last, stale = np.zeros(instruments), np.zeros(instruments, dtype=np.int64)
    for row in range(rows):
        step_market = one_row(panel, market, row, last, stale)
        # A step counts its bar from the origin, so the recorder's rows agree with the whole walk.
        step(0, row, signals[row : row + 1], PLAIN, step_market, plans, TERMS, accounts, recorder)

    assert whole[0].counts[0].sum() > 0
    assert_same(whole, (accounts, recorder))


# Orders go together where no fill moves its own price; caps, tiers, halts, shorts and cash are all met.
TOGETHER = [
    Terms(costs, rules, limits)
    for costs in (COSTS._replace(impact_coefficient=0.0), COSTS)
    for rules in (RULES, RULES._replace(participation=np.inf, order_bound_bps=5_000.0, cash_buffer=0.0))
    for limits in (
        Limits(halt_bars=5, recovery_bars=15),
        Limits(instrument=0.15, gross=0.7, tier_1_drawdown=0.02, tier_2_drawdown=0.04, halt_drawdown=0.08),
        Limits(short=0.5, net=0.8, gross=1.5, leverage=2.0, tier_1_drawdown=0.02),
    )
]


@pytest.mark.parametrize("holes", [0.0, 0.02])
@pytest.mark.parametrize("terms", TOGETHER)
@pytest.mark.parametrize(("seed", "instruments", "invest", "drift_band"), CASES[:9])
def test_what_is_recorded_changes_nothing(
    seed: int, instruments: int, invest: Invest, drift_band: float, terms: Terms, holes: float
) -> None:
    # Without records and holes many orders are sent and filled together.
    rows = 400
    panel = random_panel(rows, instruments, seed=seed, volatility=0.03 if holes else 0.01, holes=holes)
    signals = random_signals(rows, instruments, seed)
    plans = pack_plans([random_plan(rows, instruments, seed, drift_band)], [invest])

    accounts = new_accounts(1, instruments, 10_000.0)
    simulate(
        0, 1, 0, rows, signals[None], True, np.zeros(1, dtype=np.int64), np.zeros((0, 1, instruments)),
        market_of(panel, RULES), plans, terms, accounts, new_recorder(1, rows, instruments, 0, curves=False),
    )  # fmt: skip

    recorded = run_whole(panel, signals, plans, terms)[0]
    for scratch in (accounts, recorded):
        scratch.holdings[:, [TARGET, BOUND, NOTIONAL, BOUGHT]] = 0.0
        scratch.lots[:, [CUT, SAVED, FILLABLE, PRICE, SIZED, FIRST, THEN]] = 0
    for mine, theirs in zip(accounts, recorded, strict=True):
        assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("holes", [0.0, 0.02])
def test_marks_of_a_panel_are_those_that_a_stream_carries_forward(holes: float) -> None:
    panel = random_panel(200, 4, seed=11, holes=holes)
    market = market_of(panel, RULES)

    last, stale = np.zeros(4), np.zeros(4, dtype=np.int64)
    streamed = [one_row(panel, market, row, last, stale) for row in range(200)]

    assert np.isnan(panel.close).any() == (holes > 0.0)
    assert market.mark.tobytes() == np.concatenate([bar.mark for bar in streamed]).tobytes()
    assert market.leaves.tobytes() == np.concatenate([bar.leaves for bar in streamed]).tobytes()
    assert market.flags.tobytes() == np.concatenate([bar.flags for bar in streamed]).tobytes()
    assert bool(market.leaves.any()) == (holes > 0.0)


@kernel
def every_bar_in_full(
    signals: FloatArray,
    styles: FloatArray,
    market: Market,
    plans: Plans,
    terms: Terms,
    books: Books,
    recorder: Recorder,
) -> None:
    for row in range(signals.shape[0]):
        full_bar(0, row, row, np.nan, signals[row], styles, market, plans, terms, books, recorder)


@pytest.mark.parametrize(("seed", "instruments", "invest", "drift_band"), CASES)
def test_bars_that_are_skipped_are_bars_on_which_nothing_happens(
    seed: int, instruments: int, invest: Invest, drift_band: float
) -> None:
    rows = 400
    panel = random_panel(rows, instruments, seed=seed, volatility=0.03, holes=0.02)
    signals = random_signals(rows, instruments, seed)
    plans = pack_plans([random_plan(rows, instruments, seed, drift_band)], [invest])
    whole = run_whole(panel, signals, plans)

    market = market_of(panel, RULES)
    accounts = new_accounts(1, instruments, 10_000.0)
    recorder = new_recorder(1, rows, instruments, 0, curves=True, counted=whole[0])
    books = Books(accounts.values[0], accounts.counts[0], accounts.holdings[0], accounts.lots[0])
    every_bar_in_full(signals, PLAIN, market, plans, TERMS, books, recorder)

    for scratch in (whole[0], accounts):
        scratch.holdings[:, TARGET] = 0.0
    assert_same(whole, (accounts, recorder))


def test_the_cases_reach_every_rule() -> None:
    fills = halts = exits = 0
    reasons = np.zeros(0)
    for seed, instruments, invest, drift_band in CASES:
        panel = random_panel(400, instruments, seed=seed, volatility=0.03, holes=0.02)
        plans = pack_plans([random_plan(400, instruments, seed, drift_band)], [invest])
        counts = run_whole(panel, random_signals(400, instruments, seed), plans)[0].counts[0]
        fills += counts[FILLS]
        halts += counts[HALTS]
        exits += counts[EXITS]
        reasons = counts[REASONS:] if not len(reasons) else reasons + counts[REASONS:]
    assert fills > 1000
    assert halts > 3
    assert exits > 3
    never = {int(code) for code in np.flatnonzero(reasons == 0)}
    # No clusters, shorts or latency here, no orders that rest, no bar without volume, no data without ranges.
    assert never == {0, 3, 13, 14, *range(15, 28)}


def test_plain_python_gives_the_same_bits() -> None:
    code = Path(__file__).parents[1] / "plain_walk.py"
    compiled, plain = (
        subprocess.run(
            [sys.executable, str(code)],
            env=os.environ | {"NUMBA_DISABLE_JIT": disable, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disable in ("0", "1")
    )
    assert len(compiled.split()) == 3
    assert compiled == plain
