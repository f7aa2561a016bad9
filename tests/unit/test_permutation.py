"""Permuted bars keep what they must and lose what bars say of later bars; what a search finds on them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.allocation.allocator import Engine, Profile, allocate
from engine.core.settings import Costs, Limits, Rules
from engine.domain.errors import InvalidValueError
from engine.domain.panel import PRICE_FIELDS, FloatArray, Panel
from engine.domain.portfolio import Invest
from engine.domain.time import Timeframe
from engine.features.expression import Expression
from engine.features.operators import close, ema, sma, where
from engine.pipeline.run import Settings
from engine.schedule.windows import Rebalance, walk_forward
from engine.selection.universe import Selection, simple_returns
from engine.workforce import THIS_PROCESS, LocalWorkers, Workforce
from research import permutation
from research.arena import Arena, Contestant, baseline_cells, contestant_cells
from research.base_weights import Allocation, Question, solve
from research.batches import Simulators
from research.cell_store import CellStore
from research.cells import CellResult, PermutationRecord, Simulator
from research.permutation import Search, best_of_each, permuted, search_null
from research.selections import Request, choose
from scoreboards.evidence import Accounts
from scoreboards.gates import equivalence
from scoreboards.rows import excess_sharpe
from tests.builders import panel_of, random_panel
from tests.every_order import EveryOrder

PROFILES = (Profile.EQUAL_WEIGHT, Profile.INVERSE_VOLATILITY)


def order(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def correlated_panel(rows: int, *, seed: int, has_range: bool = False, drift: float = 0.0005) -> Panel:
    """Four instruments that share most of their moves, and a market."""
    generator = np.random.default_rng(seed)
    common = generator.normal(drift, 0.008, (rows, 1))
    level = 100.0 * np.exp(np.cumsum(common + generator.normal(0.0, 0.006, (rows, 4)), axis=0))
    walk = random_panel(rows, 4, seed=seed)
    # Gaps share a cause as well, so that an order of its own for each instrument can be told.
    open_ = level * np.exp(-0.5 * common + generator.normal(0.0, 0.002, (rows, 4)))
    return replace(
        walk,
        open=open_ if has_range else level,
        high=np.maximum(open_, level) * 1.001 if has_range else level,
        low=np.minimum(open_, level) * 0.999 if has_range else level,
        close=level,
        has_range=has_range,
        fields={"market": level.mean(axis=1)},
    )


def assert_kept(panel: Panel, other: Panel, first_row: int) -> None:
    """Require what a permutation keeps: ends, drift, what each instrument did, and all did on one day."""
    prices = ("open", "high", "low", "close")
    for name in (*prices, "volume"):
        before, after = getattr(panel, name), getattr(other, name)
        assert after[: first_row + 1].tobytes() == before[: first_row + 1].tobytes(), name
    np.testing.assert_allclose(other.close[-1], panel.close[-1], rtol=1e-10)
    gaps, bars = moves(panel, first_row), moves(other, first_row)
    for before, after in zip(gaps, bars, strict=True):
        np.testing.assert_allclose(np.sort(after, axis=0), np.sort(before, axis=0), atol=1e-11)
        np.testing.assert_allclose(after.T @ after, before.T @ before, rtol=1e-7)


def moves(panel: Panel, first_row: int) -> tuple[FloatArray, ...]:
    """Logarithms of what happened between bars and inside them."""
    opened = panel.open if panel.has_range else panel.close
    gap = np.log(opened[1:] / panel.close[:-1])[first_row:]
    if not panel.has_range:
        return (gap,)
    inside = [np.log(values / panel.open)[first_row + 1 :] for values in (panel.high, panel.low, panel.close)]
    return gap, np.hstack(inside)


def where_traded(panel: Panel, traded: npt.NDArray[np.bool_]) -> Panel:
    bars: dict[str, Any] = {name: np.where(traded, getattr(panel, name), np.nan) for name in PRICE_FIELDS}
    return replace(panel, **bars)


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(30, 120),
    first_row=st.integers(0, 25),
    has_range=st.booleans(),
)
def test_ends_drift_moves_and_correlations_are_kept(
    seed: int, rows: int, first_row: int, has_range: bool
) -> None:
    panel = correlated_panel(rows, seed=seed, has_range=has_range)

    other = permuted(panel, order(seed), first_row=first_row)

    assert_kept(panel, other, first_row)
    assert other.timestamps.tobytes() == panel.timestamps.tobytes()
    assert (other.high >= np.maximum(other.open, other.close)).all()
    assert (other.low <= np.minimum(other.open, other.close)).all()
    if not has_range:
        assert other.high.tobytes() == other.open.tobytes() == other.close.tobytes()
    assert np.abs(other.close[first_row + 1 :] / panel.close[first_row + 1 :] - 1.0).max() > 1e-4


def test_an_order_of_its_own_for_each_instrument_is_found_out() -> None:
    panel = correlated_panel(120, seed=1)
    columns = [permuted(panel.select((n,)), order(n), first_row=10).close for n in range(4)]
    level = np.hstack(columns)
    broken = replace(panel, open=level, high=level, low=level, close=level)
    broken = replace(broken, volume=permuted(panel, order(1), first_row=10).volume)

    with pytest.raises(AssertionError, match="Not equal"):
        assert_kept(panel, broken, 10)


def test_a_drift_that_is_lost_is_found_out() -> None:
    panel = correlated_panel(120, seed=1)
    other = permuted(panel, order(1), first_row=10)
    level = other.close * np.exp(-0.0005 * np.maximum(np.arange(120) - 10, 0))[:, None]

    with pytest.raises(AssertionError):
        assert_kept(panel, replace(other, open=level, high=level, low=level, close=level), 10)


def test_volume_and_market_travel_with_their_bar() -> None:
    panel = correlated_panel(200, seed=3, has_range=True)

    other = permuted(panel, order(5), first_row=20)

    inside, later = (np.log(p.close / p.open)[:, 0] for p in (panel, other))
    from_row = [int(np.argmin(np.abs(inside - value))) for value in later]
    assert from_row != sorted(from_row)
    assert (other.volume == panel.volume[from_row]).all()
    moved, market = (np.diff(np.log(p.fields["market"]), prepend=0.0) for p in (panel, other))
    np.testing.assert_allclose(market[21:], moved[from_row][21:], atol=1e-12)
    assert other.fields["market"][-1] == pytest.approx(panel.fields["market"][-1], rel=1e-10)


def test_funding_travels_with_its_bar_and_signals_from_outside_stay() -> None:
    rates, signal = np.arange(50.0), np.arange(50.0) % 7
    panel = replace(correlated_panel(50, seed=3), fields={"funding_rate": rates, "mood": signal})

    other = permuted(panel, order(5))

    moved, later = (np.diff(np.log(p.close[:, 0]), prepend=0.0) for p in (panel, other))
    from_row = [int(np.argmin(np.abs(moved - value))) for value in later]
    assert other.fields["funding_rate"].tolist() == rates[from_row].tolist()
    assert other.fields["mood"].tolist() == signal.tolist()


@given(seed=st.integers(0, 2**32 - 1))
def test_holes_listings_and_ends_of_segments_stay_where_they_are(seed: int) -> None:
    panel = random_panel(150, 4, seed=seed, holes=0.02)
    gone = np.array(panel.close)
    gone[120:, 1] = np.nan  # delisted
    rows = np.isfinite(gone)
    panel = where_traded(panel, rows)

    other = permuted(panel, order(seed), first_row=5)

    assert np.isfinite(other.close).tolist() == rows.tolist()
    for column in range(4):
        traded = np.flatnonzero(rows[:, column])
        first, last = traded[0], traded[-1]
        assert other.open[first, column] == pytest.approx(panel.open[first, column], rel=1e-12)
        assert other.close[last, column] == pytest.approx(panel.close[last, column], rel=1e-10)


def test_between_two_listings_every_price_ends_where_it_ended() -> None:
    walk = correlated_panel(300, seed=8, has_range=True)
    late = (np.arange(300) < 140)[:, None] & (np.arange(4) == 2)
    panel = where_traded(walk, ~late)

    other = permuted(panel, order(2), first_row=30)

    for row in (30, 139, 140, 299):
        np.testing.assert_allclose(other.close[row], panel.close[row], rtol=1e-11)
    assert not np.allclose(other.close[100, :2], panel.close[100, :2])
    assert not np.allclose(other.close[200], panel.close[200])


def test_the_night_stays_between_two_sessions() -> None:
    walk = correlated_panel(240, seed=4, has_range=True)
    hours = walk.timestamps[0] + np.arange(240) // 6 * 24 * 3600 * 10**9 + np.arange(240) % 6 * 3600 * 10**9
    # Nothing happens between two bars of a session, and much at night.
    opens = np.where(np.arange(240)[:, None] % 6 > 0, np.roll(walk.close, 1, axis=0), walk.open)
    panel = replace(
        walk,
        timestamps=hours,
        timeframe=Timeframe.HOUR_1,
        open=opens,
        high=np.maximum(opens, walk.close),
        low=np.minimum(opens, walk.close),
    )

    other = permuted(panel, order(2))

    gaps = np.abs(np.log(other.open[1:] / other.close[:-1]))
    assert gaps[np.arange(1, 240) % 6 > 0].max() < 1e-12
    assert gaps[np.arange(1, 240) % 6 == 0].min() > 1e-9


def test_equal_generators_give_equal_bars_and_others_do_not() -> None:
    panel = correlated_panel(100, seed=1)

    assert permuted(panel, order(1)).content_hash == permuted(panel, order(1)).content_hash
    assert permuted(panel, order(1)).content_hash != permuted(panel, order(2)).content_hash


def test_bars_that_cannot_be_permuted_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="one close is not"):
        permuted(panel_of({"A": [1.0, 0.0, 2.0]}, has_range=False), order(1))
    with pytest.raises(InvalidValueError, match="a close or an open and not both"):
        permuted(
            panel_of({"A": [1.0, 2.0, 2.0]}, opens={"A": [1.0, np.nan, 1.0]}, highs={"A": [2.0] * 3}),
            order(1),
        )


# ------------------------------------------------------------------------------------------- the search


def contestant(name: str, root: Expression, invest: Invest = Invest.SCALED) -> Contestant:
    return Contestant(name=name, graph_hash=root.hash, root=root, invest=invest)


TREND = contestant("trend", where(close > sma(close, 20), 1.0, 0.0))
SWIFT = contestant("swift", where(ema(close, 3) > ema(close, 10), 1.0, 0.0), Invest.FULL)
ALWAYS = contestant("always", where(close > 0.0, 1.0, 0.0))


def search_of(
    panel: Panel,
    *contestants: Contestant,
    selections: tuple[Selection, ...] = (Selection.ALL,),
    profiles: tuple[Profile, ...] = PROFILES[:1],
    rebalances: tuple[Rebalance, ...] = (Rebalance.WINDOW,),
) -> Search:
    windows = walk_forward(len(panel), train=100, test=40, step=20)
    return Search(
        panel=panel,
        windows=windows,
        contestants=contestants,
        selections=selections,
        profiles=profiles,
        rebalances=rebalances,
        settings=Settings(
            costs=Costs(taker_fee_bps=1.0),
            rules=Rules(lot_size=1e-6, tick_size=1e-6, cash_buffer=0.0, participation=np.inf),
            limits=Limits(),
            start_row=windows[0].test_start,
            stop_row=windows[-1].test_stop,
        ),
        floor=2,
        seed=1,
    )


def with_trends(rows: int, *, seed: int, edge: float) -> Panel:
    """Four instruments that drift up for about 40 days, then down, by `edge` a day."""
    generator = np.random.default_rng(seed)
    turns = np.cumsum(generator.random((rows, 4)) < 1 / 40, axis=0) % 2
    returns = edge * (1 - 2 * turns) + generator.normal(0.0, 0.01, (rows, 4))
    level = 100.0 * np.exp(np.cumsum(returns, axis=0))
    return replace(
        random_panel(rows, 4, seed=seed), open=level, high=level, low=level, close=level, has_range=False
    )


def null_of(
    search: Search, facts: Path, *, count: int, seed: int = 1, workforce: Workforce = THIS_PROCESS
) -> PermutationRecord:
    return search_null(search, seed=seed, facts=facts, workforce=workforce, count=count)


def test_a_planted_timing_edge_is_found_and_gone_in_permutations(tmp_path: Path) -> None:
    search = search_of(with_trends(800, seed=3, edge=0.004), TREND, SWIFT)

    record = null_of(search, tmp_path, count=39)

    assert record.p_value(record.statistic) == 1 / 40
    assert record.statistic > 2.0
    assert float(np.median(record.null)) < record.statistic / 2
    assert record.strategy_p_value("trend") == 1 / 40


def test_p_values_without_an_edge_are_spread_evenly(tmp_path: Path) -> None:
    p_values = []
    for world in range(30):
        search = search_of(correlated_panel(420, seed=100 + world), TREND, SWIFT)
        record = null_of(search, tmp_path, count=19, seed=world)
        p_values.append(record.p_value(record.statistic))

    values = np.sort(p_values)
    # Kolmogorov and Smirnov at 1%, for 30 draws; a twentieth is the grain of 19 permutations.
    assert np.abs(values - (np.arange(30) + 0.5) / 30).max() < 0.29 + 1 / 40 + 1 / 60
    assert sum(value <= 0.05 for value in p_values) <= 5


def test_workers_change_no_bit(tmp_path: Path) -> None:
    search = search_of(
        correlated_panel(300, seed=2, has_range=True), TREND, SWIFT, selections=tuple(Selection)
    )

    alone = null_of(search, tmp_path / "0", count=9)
    with LocalWorkers(2) as workers:
        two = null_of(search, tmp_path / "2", count=9, workforce=workers)

    assert alone.null_by_strategy.tobytes() == two.null_by_strategy.tobytes()
    assert alone.content_hash == two.content_hash
    assert len(np.unique(alone.null)) == 9


def test_an_interrupted_run_goes_on_and_more_permutations_change_none(tmp_path: Path) -> None:
    search = search_of(correlated_panel(300, seed=2), TREND)

    def interrupt(done: int, _: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_null(search, seed=1, facts=tmp_path, count=9, progress=interrupt)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    asked: list[tuple[int, int]] = []
    resumed = search_null(search, seed=1, facts=tmp_path, count=9, progress=lambda *both: asked.append(both))

    assert 0 < len(kept) < 10
    assert asked[-1] == (10, 10)
    assert len(asked) == -(-(10 - len(kept)) // 4)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    whole = null_of(search, tmp_path / "again", count=12)
    assert whole.null[:9].tobytes() == resumed.null.tobytes()
    assert null_of(search, tmp_path, count=9).content_hash == resumed.content_hash


def test_what_is_kept_hangs_on_everything_that_it_was_made_from() -> None:
    panel = correlated_panel(300, seed=2)
    search = search_of(panel, TREND)
    changed = [
        search_of(correlated_panel(300, seed=3), TREND),
        search_of(panel, SWIFT),
        search_of(panel, TREND, SWIFT),
        search_of(panel, TREND, selections=tuple(Selection)),
        search_of(panel, TREND, profiles=PROFILES),
        search_of(panel, TREND, rebalances=(Rebalance.DAILY,)),
        replace(search, settings=replace(search.settings, costs=Costs())),
        replace(search, floor=3),
        replace(search, seed=2),
    ]

    assert search_of(panel, TREND).content_hash == search.content_hash
    assert len({search.content_hash, *(other.content_hash for other in changed)}) == 10


def test_other_code_is_another_search(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = correlated_panel(300, seed=2)
    before = search_of(panel, TREND).content_hash
    seen: list[str] = []

    def changed(*places: str) -> str:
        seen.extend(places)
        return "changed"

    monkeypatch.setattr(permutation, "sources_hash", changed)

    assert search_of(panel, TREND).content_hash != before
    assert {"research/permutation.py", "engine/selection", "research/excess.py"} <= set(seen)


def test_a_search_without_a_cell_is_refused(tmp_path: Path) -> None:
    panel = correlated_panel(300, seed=2)

    with pytest.raises(InvalidValueError, match="at least one cell and one permutation, were 0 and 9"):
        null_of(search_of(panel), tmp_path, count=9)
    with pytest.raises(InvalidValueError, match="were 1 and 0"):
        null_of(search_of(panel, TREND), tmp_path, count=0)


def test_a_baseline_in_disguise_does_not_count(tmp_path: Path) -> None:
    panel = correlated_panel(300, seed=2)

    record = null_of(search_of(panel, ALWAYS, TREND), tmp_path, count=2)

    assert (record.null_by_strategy[:, 0] == -np.inf).all()
    assert record.observed[0] == -np.inf
    assert np.isfinite(record.null).all()
    assert record.n_searched == 2


@pytest.mark.parametrize("has_range", [False, True])
def test_the_search_finds_what_the_board_shows(tmp_path: Path, has_range: bool) -> None:
    panel = correlated_panel(420, seed=6, has_range=has_range)
    search = search_of(
        panel,
        TREND,
        SWIFT,
        ALWAYS,
        # Orders that look inside a bar are played where there is an inside.
        *([Contestant.of(EveryOrder())] if has_range else []),
        selections=tuple(Selection),
        profiles=PROFILES,
        rebalances=tuple(Rebalance),
    )

    names = [entry.name for entry in search.contestants]
    found = dict(zip(names, best_of_each(search, panel).tolist(), strict=True))

    cells = played_by_the_tournament(search, tmp_path)
    accounts = Accounts(cells)
    best = dict.fromkeys(found, -np.inf)
    for cell in cells:
        if not cell.is_baseline:
            evidence = accounts.evidence(cell)
            same = equivalence(evidence, panel.calendar.days_per_year)
            assert same is not None
            if not same.holds:
                value = excess_sharpe(evidence, panel.calendar.days_per_year)
                best[cell.key.strategy] = max(best[cell.key.strategy], value)
    assert sum(not cell.is_baseline for cell in cells) == search.n_cells == 12 * len(names)
    assert found == best


def test_every_window_is_chosen_for_as_in_the_tournament(tmp_path: Path) -> None:
    # So wild that about a tenth of the bootstrapped paths survives, which is where the selection cuts.
    panel = random_panel(700, 9, seed=4, volatility=0.036)
    search = search_of(panel, TREND, selections=tuple(Selection))

    def chosen(search: Search) -> tuple[list[list[bool]], list[list[bool]]]:
        closes = permutation._training_stack(panel.close, search.windows)
        eligible, selected = permutation._selected(search, panel, closes, permutation._block_starts(search))
        return eligible.tolist(), selected[Selection.LOG_MPS].tolist()

    request = Request(
        panel=panel, windows=search.windows, selection=Selection.LOG_MPS, floor=search.floor, seed=search.seed
    )
    [choice] = choose([request], facts=tmp_path)

    assert chosen(search) == (choice.eligible.tolist(), choice.selected.tolist())
    assert chosen(replace(search, seed=2)) != chosen(search)


def played_by_the_tournament(search: Search, folder: Path) -> list[CellResult]:
    """Play the same cells by the tournament's own hands."""
    requests = [
        Request(
            panel=search.panel,
            windows=search.windows,
            selection=selection,
            floor=search.floor,
            seed=search.seed,
        )
        for selection in search.selections
    ]
    choices = dict(zip(search.selections, choose(requests, facts=folder / "selections"), strict=True))
    arena = Arena(
        panel=search.panel,
        windows=search.windows,
        eligible=choices[Selection.ALL].eligible,
        selected={selection.value: choice.selected for selection, choice in choices.items()},
        settings=search.settings,
        schedule_hash="test",
    )
    questions = [
        Question(
            allocation=Allocation(selection=selection.value, engine="native", profile=profile.value),
            panel=search.panel,
            windows=search.windows,
            masks=choices[selection].selected,
        )
        for selection in search.selections
        for profile in search.profiles
    ]
    solved = solve(questions, facts=folder / "allocations")
    weights = {question.allocation: base for question, base in zip(questions, solved, strict=True)}
    with Simulators(CellStore(folder / "cells"), threads=1) as play:
        cells = baseline_cells(arena, search.rebalances, [Simulator.CORE], play)
        for entry in search.contestants:
            cells += contestant_cells(arena, entry, weights, search.rebalances, [Simulator.CORE], play)
    return cells


@given(seed=st.integers(0, 2**32 - 1), instruments=st.integers(1, 24))
def test_weights_of_all_windows_are_those_of_the_allocator(seed: int, instruments: int) -> None:
    generator = np.random.default_rng(seed)
    closes = 50.0 * np.exp(np.cumsum(generator.normal(0.0, 0.01, (6, 60, instruments)), axis=1))
    closes[1, :, 0] = 20.0
    masks = generator.random((6, instruments)) < 0.8
    masks[0] = False
    deviation = np.array([simple_returns(window).std(axis=0, ddof=1) for window in closes])

    for profile in PROFILES:
        weights, certain = permutation._weights_fast(profile, deviation, masks)
        for window in np.flatnonzero(certain).tolist():
            mask = masks[window]
            expected = np.zeros(instruments)
            if mask.any():
                returns = np.ascontiguousarray(simple_returns(closes[window][:, mask]))
                expected[mask] = allocate(Engine.NATIVE, profile, returns)
            assert weights[window].tolist() == expected.tolist()
        assert certain[0]


def test_weights_that_rounding_may_decide_are_left_to_the_allocator() -> None:
    deviation = np.array(
        [[0.01, 0.01 + 1e-17, 0.01], [0.01, 0.02, 0.03], [0.01, 0.02, 0.0], [0.02, 0.02, 0.01]]
    )
    masks = np.ones((4, 3), dtype=np.bool_)

    _, certain = permutation._weights_fast(Profile.INVERSE_VOLATILITY, deviation, masks)

    # Three remainders tie; none does; one price never moved; all shares are whole units.
    assert certain.tolist() == [False, True, False, False]
    assert not permutation._weights_fast(Profile.HRP, deviation, masks)[1].any()


def test_the_p_value_counts_the_data_as_one_permutation() -> None:
    record = PermutationRecord(
        strategies=("a", "b"),
        null_by_strategy=np.array([[0.1, 0.2], [0.9, -np.inf], [0.5, 0.4], [0.3, 0.3]]),
        observed=np.array([0.6, 0.3]),
        n_searched=2,
        seed=1,
        first_row=10,
        search_hash="x",
    )

    assert record.null.tolist() == [0.2, 0.9, 0.5, 0.3]
    assert record.statistic == 0.6
    assert record.p_value(0.6) == 2 / 5
    assert record.p_value(0.5) == 3 / 5  # as much counts
    assert record.p_value(1.0) == 1 / 5
    assert record.p_value(float("nan")) == 1.0
    assert record.strategy_p_value("b") == 3 / 5
    assert record.strategy_p_value("b", 0.5) == 1 / 5
    assert record.content_hash != replace(record, seed=2).content_hash
    with pytest.raises(InvalidValueError, match="c did not take part; there were a, b"):
        record.strategy_p_value("c")
