"""Base weights: bar by bar, over a whole panel and in a tournament they are the same bits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.allocation import native
from engine.allocation.allocator import PROFILES, Engine, Profile
from engine.domain.panel import PRICE_FIELDS, Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.domain.portfolio import Plan
from engine.pipeline.planning import Planned, Planner, batch_plan
from engine.schedule.windows import walk_forward
from engine.selection.universe import Selection
from research.base_weights import Allocation, Question, solve
from research.selections import Request, choose
from tests.builders import random_panel

NATIVE = [profile.value for engine, profile in PROFILES if engine is Engine.NATIVE]


def lively_panel(seed: int, rows: int = 240, instruments: int = 6) -> Panel:
    """Holes, some instruments listed late, one delisted on a known day, one that just stops."""
    panel = random_panel(rows, instruments, seed=seed, holes=0.002)
    last = rows * 2 // 3
    delisted = replace(panel.instruments[1], delisted_at=int(panel.timestamps[last]))
    prices = {}
    for name in PRICE_FIELDS:
        prices[name] = getattr(panel, name).copy()
        prices[name][last + 1 :, 1] = np.nan
        prices[name][last - 30 :, 2] = np.nan
    return replace(panel, instruments=(panel.instruments[0], delisted, *panel.instruments[2:]), **prices)


def fed(
    panel: Panel, terms: PlanTerms, start_row: int, stop_row: int, *, restarts: tuple[int, ...] = ()
) -> list[Planned]:
    """Feed a planner bar by bar; before the rows named it is thrown away and made anew from its state."""

    def fresh() -> Planner:
        return Planner(
            terms,
            delisted_at=[instrument.delisted_at for instrument in panel.instruments],
            days_per_year=panel.calendar.days_per_year,
            start_row=start_row,
            has_volume=panel.has_volume,
        )

    planner, made = fresh(), []
    for row in range(stop_row):
        if row in restarts:
            state = planner.state()
            planner = fresh()
            planner.restore(state)
        planned = planner.push(row, panel.close[row], panel.volume[row], int(panel.timestamps[row]))
        if planned is not None:
            made.append(planned)
    return made


def assert_same(made: list[Planned], plan: Plan) -> None:
    assert [planned.row for planned in made] == plan.rows.tolist()
    assert np.array([planned.weights for planned in made]).tobytes() == plan.weights.tobytes()
    assert [planned.window for planned in made] == list(range(len(made)))


@st.composite
def walk_forward_terms(draw: st.DrawFn) -> PlanTerms:
    train = draw(st.integers(40, 60))
    return PlanTerms(
        kind=PlanKind.WALK_FORWARD,
        selection=draw(st.sampled_from(list(Selection))).value,
        engine="native",
        profile=draw(st.sampled_from(NATIVE)),
        rebalance=draw(st.sampled_from(["window", "daily", "daily_5pct"])),
        train=train,
        test=40,
        step=draw(st.integers(15, 40)),
        purge=draw(st.integers(0, 3)),
        embargo=draw(st.integers(0, 4)),
        floor=draw(st.integers(1, 3)),
        seed=draw(st.integers(0, 9)),
    )


@settings(max_examples=25)
@given(
    terms=walk_forward_terms(),
    seed=st.integers(0, 99),
    late=st.integers(0, 30),
    restarts=st.tuples(st.integers(0, 239), st.integers(0, 239)),
)
def test_a_walk_forward_bar_by_bar_is_that_of_the_whole_panel(
    terms: PlanTerms, seed: int, late: int, restarts: tuple[int, ...]
) -> None:
    panel = lively_panel(seed)
    start_row = terms.train + terms.embargo + late

    plan = batch_plan(panel, terms, start_row, len(panel))
    made = fed(panel, terms, start_row, len(panel), restarts=restarts)

    assert_same(made, plan)
    units = np.array([planned.units for planned in made])
    assert (units / 10_000).tobytes() == plan.weights.tobytes()
    assert set(units.sum(axis=1).tolist()) <= {0, 10_000}


@settings(max_examples=50)
@given(
    seed=st.integers(0, 999),
    start_row=st.integers(0, 200),
    rows=st.integers(1, 40),
    restarts=st.tuples(st.integers(0, 239), st.integers(0, 239)),
)
def test_equal_weight_of_what_is_listed_bar_by_bar_is_that_of_the_whole_panel(
    seed: int, start_row: int, rows: int, restarts: tuple[int, ...]
) -> None:
    panel = lively_panel(seed)
    terms = PlanTerms(kind=PlanKind.LISTED)

    for stop_row in (start_row + rows, len(panel)):
        made = fed(panel, terms, start_row, stop_row, restarts=restarts)
        assert_same(made, batch_plan(panel, terms, start_row, stop_row))
    assert all(planned.units is None for planned in made)


@pytest.mark.parametrize("profile", NATIVE)
@pytest.mark.parametrize("selection", list(Selection))
@pytest.mark.parametrize("has_volume", [True, False])
def test_a_plan_holds_the_weights_of_the_tournament(
    tmp_path: Path, selection: Selection, profile: str, has_volume: bool
) -> None:
    panel = lively_panel(17, rows=300, instruments=8)
    if not has_volume:
        panel = replace(panel, volume=np.full(panel.close.shape, np.nan))
    terms = PlanTerms(
        kind=PlanKind.WALK_FORWARD, selection=selection, engine="native", profile=profile,
        train=90, test=40, step=20, purge=2, embargo=3, floor=3, seed=5,
    )  # fmt: skip
    windows = walk_forward(len(panel), train=90, test=40, step=20, purge=2, embargo=3)
    [choice] = choose(
        [Request(panel=panel, windows=windows, selection=selection, floor=3, seed=5)],
        facts=tmp_path / "selections",
    )
    question = Question(
        allocation=Allocation(selection=selection, engine="native", profile=profile),
        panel=panel,
        windows=windows,
        masks=choice.selected,
    )
    [played] = solve([question], facts=tmp_path / "allocations")

    plan = batch_plan(panel, terms, 93, windows[-1].test_start + 20)

    assert plan.rows.tolist() == [window.test_start for window in windows]
    assert plan.weights.tobytes() == played.weights.tobytes()
    assert len(np.unique(plan.weights, axis=0)) > 1


def test_the_key_of_a_fact_is_the_hash_that_a_session_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only a library's weights are facts; this one needs no library.
    monkeypatch.setitem(PROFILES, (Engine.SKFOLIO, Profile.HRP), native.inverse_volatility)
    panel = lively_panel(3)
    terms = PlanTerms(
        kind=PlanKind.WALK_FORWARD, selection="all", engine="skfolio", profile="hrp",
        train=60, test=40, step=20, purge=1,
    )  # fmt: skip
    windows = walk_forward(len(panel), train=60, test=40, step=20, purge=1)
    [choice] = choose(
        [Request(panel=panel, windows=windows, selection=Selection.ALL, floor=1, seed=0)],
        facts=tmp_path / "selections",
    )
    allocation = Allocation(selection="all", engine="skfolio", profile="hrp")
    question = Question(allocation=allocation, panel=panel, windows=windows, masks=choice.selected)

    solve([question], facts=tmp_path / "allocations")
    made = fed(panel, terms, 60, windows[-1].test_start + 1)

    kept = {path.stem for path in (tmp_path / "allocations").rglob("*.json")}
    assert {planned.inputs_hash for planned in made} == kept
