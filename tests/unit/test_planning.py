"""When base weights fall due and what they are, by hand."""

import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.domain.errors import AllocationError, InvalidValueError
from engine.domain.panel import FloatArray
from engine.domain.passport import PlanKind, PlanTerms
from engine.pipeline.planning import Planned, Planner, batch_plan, select_window
from engine.selection.universe import Selection
from research.backtest import equal_weight_of_listed
from tests.builders import NAN, panel_of, random_panel

LISTED = PlanTerms(kind=PlanKind.LISTED)
WALK = PlanTerms(
    kind=PlanKind.WALK_FORWARD, selection="all", engine="native", profile="inverse_volatility",
    train=4, test=2, step=2, purge=0, floor=1,
)  # fmt: skip
# Returns of +-1% and +-3% in turns: standard deviations 1 to 3, weights 3/4 and 1/4.
CALM = [100.0, 101.0, 99.99, 100.9899, 99.980001, 100.97980101, 99.97, 100.97]
WILD = [100.0, 103.0, 99.91, 102.9073, 99.820081, 102.81468343, 99.73, 102.72]


def planner(terms: PlanTerms, start_row: int, *, has_volume: bool = False) -> Planner:
    return Planner(
        terms, delisted_at=[None, None], days_per_year=365, start_row=start_row, has_volume=has_volume
    )


def feed(fed: Planner, rows: range, closes: list[tuple[float, float]]) -> list[Planned]:
    made = [fed.push(row, np.array(closes[row]), None, row) for row in rows]
    return [planned for planned in made if planned is not None]


def test_a_window_is_due_at_the_start_and_every_step_after_it() -> None:
    closes = list(zip(CALM, WILD, strict=True))

    made = feed(planner(WALK, 4), range(8), closes)

    assert [(planned.row, planned.window) for planned in made] == [(4, 0), (6, 1)]
    assert made[0].weights.tolist() == [0.75, 0.25]
    assert made[0].units is not None
    assert made[0].units.tolist() == [7500, 2500]


def test_a_window_learns_from_its_training_rows_alone() -> None:
    terms = replace(WALK, purge=1, embargo=1, step=9)
    closes = list(zip(CALM, WILD, strict=True))
    [before] = feed(planner(terms, 6), range(8), closes)

    def changed(row: int) -> str:
        wrong = [*closes[:row], (77.0, 78.0), *closes[row + 1 :]]
        return feed(planner(terms, 6), range(8), wrong)[0].inputs_hash

    # Four rows, of which one is purged, and one more is left out: rows 1 to 3 are learnt from at row 6.
    assert [row for row in range(8) if changed(row) != before.inputs_hash] == [1, 2, 3]


def test_an_instrument_with_a_missing_training_row_gets_nothing() -> None:
    closes = [(NAN, WILD[0]), *zip(CALM[1:], WILD[1:], strict=True)]

    made = feed(planner(WALK, 4), range(8), closes)

    assert made[0].weights.tolist() == [0.0, 1.0]
    assert made[1].weights[0] > 0.0


def test_a_score_sees_traded_value_and_draws_anew_for_each_window() -> None:
    panel = random_panel(80, 5, seed=4, volatility=0.03)

    def scored(index: int, seed: int) -> Mapping[str, FloatArray]:
        selected = select_window(
            panel.close,
            panel.volume,
            index=index,
            selection=Selection.LOG_MPS,
            floor=2,
            seed=seed,
            days_per_year=365,
        )
        return selected.components

    first = scored(0, 1)

    # Daily traded value relative to half a billion.
    by_hand = [
        math.fsum(c * v for c, v in zip(panel.close[:, n], panel.volume[:, n], strict=True)) / 80 / 5e8
        for n in range(5)
    ]
    assert_allclose(first["liquidity"], by_hand, rtol=1e-12)
    assert first["survival"].tolist() == scored(0, 1)["survival"].tolist()
    assert first["survival"].tolist() != scored(1, 1)["survival"].tolist()
    assert first["survival"].tolist() != scored(0, 2)["survival"].tolist()


def test_nothing_selected_is_cash() -> None:
    made = feed(planner(WALK, 4), range(5), [(NAN, NAN)] * 5)

    assert made[0].weights.tolist() == [0.0, 0.0]
    assert len(made[0].inputs_hash) == 64


def test_weights_that_no_solver_gives_stop_the_session() -> None:
    still = planner(WALK, 4)

    with pytest.raises(AllocationError, match=r"window 0, due at row 4: .*no instrument moved"):
        feed(still, range(5), [(10.0, 20.0)] * 5)


def test_listed_means_from_the_first_close_to_the_delisting_date() -> None:
    panel = panel_of({"A": [1.0, 2.0, 3.0, 4.0, NAN], "B": [NAN, NAN, 5.0, NAN, 6.0], "C": [NAN] * 5})
    first = replace(panel.instruments[0], delisted_at=int(panel.timestamps[3]))
    panel = replace(panel, instruments=(first, *panel.instruments[1:]))

    plan = equal_weight_of_listed(panel)

    assert plan.rows.tolist() == [0, 2, 4]
    assert plan.weights.tolist() == [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]
    assert batch_plan(panel, LISTED, 3, 5).weights.tolist() == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]


def test_a_third_is_no_multiple_of_a_unit() -> None:
    fed = Planner(LISTED, delisted_at=[None] * 3, days_per_year=365, start_row=0, has_volume=False)

    planned = fed.push(0, np.ones(3), None, 0)

    assert planned is not None
    assert planned.weights.tolist() == [1 / 3] * 3
    assert planned.units is None


@pytest.mark.parametrize(
    ("terms", "start_row", "message"),
    [
        (WALK, 3, "at least train \\+ embargo = 4, was 3"),
        (replace(WALK, embargo=1), 4, "= 5, was 4"),
        (replace(WALK, step=0), 9, "step 0"),
        (replace(WALK, purge=4), 9, "purge 4"),
        (replace(WALK, selection="best"), 9, "'best' is not a valid Selection"),
        (replace(WALK, profile="hrp"), 9, "native/hrp does not exist"),
        (replace(LISTED, rebalance="hourly"), 0, "'hourly' is not a valid Rebalance"),
        (LISTED, -1, "start_row must be at least 0"),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms: PlanTerms, start_row: int, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        planner(terms, start_row)


def test_a_bar_out_of_turn_is_refused() -> None:
    fed = planner(LISTED, 0)
    fed.push(0, np.ones(2), None, 0)

    with pytest.raises(InvalidValueError, match="next bar must be row 1, was row 2"):
        fed.push(2, np.ones(2), None, 2)
    with pytest.raises(InvalidValueError, match=r"close of row 1 must have shape \(2,\), was \(3,\)"):
        fed.push(1, np.ones(3), None, 1)
    with pytest.raises(InvalidValueError, match="row 0 has no volume"):
        planner(WALK, 4, has_volume=True).push(0, np.ones(2), None, 0)


def test_a_state_of_other_terms_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="close is missing, must be float64"):
        planner(WALK, 4).restore(planner(LISTED, 0).state())
    with pytest.raises(InvalidValueError, match=r"close is float64 \(5, 2\), must be float64 \(4, 2\)"):
        planner(WALK, 4).restore(planner(replace(WALK, train=5), 5).state())


def test_a_state_is_a_copy() -> None:
    fed = planner(WALK, 4)
    state = fed.state()
    feed(fed, range(4), list(zip(CALM, WILD, strict=True)))

    assert np.isnan(state["close"]).all()


def test_native_weights_load_no_solver() -> None:
    program = """
import sys
import numpy as np
from engine.domain.passport import PlanKind, PlanTerms
from engine.pipeline.planning import Planner
terms = PlanTerms(kind=PlanKind.WALK_FORWARD, selection="all", engine="native", profile="equal_weight",
                  train=3, test=2, step=2)
planner = Planner(terms, delisted_at=[None], days_per_year=365, start_row=3, has_volume=False)
made = [planner.push(row, np.array([100.0 + row]), None, row) for row in range(4)]
assert made[3].weights.tolist() == [1.0]
print(sorted(name for name in ("riskfolio", "cvxpy", "pandas", "numba", "scipy") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_planner_that_is_told_the_weights_of_the_past_makes_the_same_ones_later() -> None:
    closes = list(zip(CALM, WILD, strict=True))
    solving, told = planner(WALK, 4), planner(WALK, 4)
    before = feed(solving, range(6), closes)

    for row in range(6):
        told.learn(row, np.array(closes[row]), None, row)

    assert [planned.row for planned in before] == [4]
    assert {name: values.tolist() for name, values in told.state().items()} == {
        name: values.tolist() for name, values in solving.state().items()
    }
    [expected], [made] = feed(solving, range(6, 8), closes), feed(told, range(6, 8), closes)
    assert (made.window, made.inputs_hash) == (expected.window, expected.inputs_hash)
    assert made.weights.tolist() == expected.weights.tolist()


def test_a_set_of_listed_instruments_keeps_its_number_when_its_weights_are_known() -> None:
    closes = [(NAN, 1.0), (NAN, 2.0), (3.0, 2.0), (3.0, 2.0)]
    solving, told = planner(LISTED, 0), planner(LISTED, 0)
    made = feed(solving, range(4), closes)

    for row in range(3):
        told.learn(row, np.array(closes[row]), None, row)

    assert [planned.row for planned in made] == [0, 2]
    assert told.state()["sets"].tolist() == [2]
