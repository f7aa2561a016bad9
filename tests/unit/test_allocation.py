"""Allocations by hand, against exact solutions and against a second library."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linprog

from engine.allocation import riskfolio_adapter
from engine.allocation.allocator import (
    PROFILES,
    WEIGHT_UNITS,
    Engine,
    Profile,
    allocate,
    allocator,
    quantise,
    weights_of,
)
from engine.allocation.facts import AllocationTask, FactStore, input_hash
from engine.allocation.solve import Solution, solve_many
from engine.domain.errors import AllocationError, InvalidValueError
from engine.domain.panel import FloatArray


def market_returns(seed: int, rows: int, columns: int) -> FloatArray:
    """One common factor and instruments of rising volatility."""
    generator = np.random.default_rng(seed)
    factor = generator.normal(0.0, 0.008, (rows, 1))
    own = generator.normal(0.0, 1.0, (rows, columns)) * np.linspace(0.006, 0.02, columns)
    return np.asarray(factor + own)


def test_the_largest_remainders_get_the_units_left_over() -> None:
    # .33333, .33333, .33334 in units: 3333.3, 3333.3, 3333.4, one unit is left for the last.
    assert quantise(np.array([0.33333, 0.33333, 0.33334])).tolist() == [3333, 3333, 3334]
    # Equal remainders: the first instrument comes first.
    assert quantise(np.full(3, 1 / 3)).tolist() == [3334, 3333, 3333]
    assert quantise(np.array([0.00004, 0.99996])).tolist() == [0, 10_000]


def test_what_a_solver_leaves_below_zero_is_no_weight() -> None:
    assert quantise(np.array([-1e-9, 0.4, 0.6 + 1e-9])).tolist() == [0, 4000, 6000]


@pytest.mark.parametrize("weights", [[0.5, 0.4], [-0.1, 1.1], [math.nan, 1.0], [math.inf, 0.0]])
def test_weights_that_are_not_long_only_and_fully_invested_are_refused(weights: list[float]) -> None:
    with pytest.raises(AllocationError, match="sum"):
        quantise(np.array(weights))


def test_units_always_sum_to_the_whole() -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        weights = generator.dirichlet(np.full(int(generator.integers(1, 60)), 0.3))
        units = quantise(weights)
        assert units.sum() == WEIGHT_UNITS
        assert np.abs(weights_of(units) - weights).max() < 1e-4


def test_inverse_volatility_by_hand() -> None:
    # Standard deviations 1 and 3 (in percent): weights 3/4 and 1/4.
    returns = np.array([[0.01, 0.03], [-0.01, -0.03], [0.01, 0.03], [-0.01, -0.03]])

    assert allocate(Engine.NATIVE, Profile.INVERSE_VOLATILITY, returns).tolist() == [0.75, 0.25]


def test_equal_weight_gives_the_odd_unit_to_the_first() -> None:
    weights = allocate(Engine.NATIVE, Profile.EQUAL_WEIGHT, market_returns(1, 10, 3))

    assert weights.tolist() == [0.3334, 0.3333, 0.3333]


def test_minimum_variance_of_two_instruments_by_hand() -> None:
    # Uncorrelated, standard deviations 1 and 2: weights 4/5 and 1/5.
    pattern = np.array([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]]) / 100
    returns = np.tile(pattern, (10, 1))

    assert_allclose(allocate(Engine.RISKFOLIO, Profile.MIN_VARIANCE, returns), [0.8, 0.2], atol=1e-4)


def test_mean_cvar_is_the_optimum_of_the_linear_programme() -> None:
    returns = market_returns(3, 178, 8)
    rows, columns = returns.shape
    # Rockafellar and Uryasev: min v + sum(u) / (.05 T), u_t >= -r_t w - v, u >= 0, over (w, v, u).
    cost = np.concatenate((np.zeros(columns), [1.0], np.full(rows, 1.0 / (0.05 * rows))))
    upper = np.hstack((-returns, -np.ones((rows, 1)), -np.eye(rows)))
    budget = np.concatenate((np.ones(columns), np.zeros(rows + 1)))[None, :]
    bounds = [(0.0, 1.0)] * columns + [(None, None)] + [(0.0, None)] * rows
    exact = linprog(cost, upper, np.zeros(rows), budget, [1.0], bounds, method="highs-ds")
    assert exact.x is not None

    assert_allclose(riskfolio_adapter.mean_cvar(returns), exact.x[:columns], atol=1e-5)


def test_hrp_is_that_of_skfolio() -> None:
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.optimization import HierarchicalRiskParity
    from skfolio.seriation import HierarchicalSeriation

    returns = market_returns(4, 178, 12)
    clustering = HierarchicalClustering(linkage_method=LinkageMethod.SINGLE)
    model = HierarchicalRiskParity(
        seriation_estimator=HierarchicalSeriation(hierarchical_clustering_estimator=clustering)
    )
    assert_allclose(riskfolio_adapter.hrp(returns), model.fit(returns).weights_, atol=1e-12)


@pytest.mark.parametrize(("engine", "profile"), list(PROFILES))
def test_every_profile_gives_whole_units_that_sum_to_one(engine: Engine, profile: Profile) -> None:
    weights = allocate(engine, profile, market_returns(5, 179, 5))

    assert np.rint(weights * WEIGHT_UNITS).sum() == WEIGHT_UNITS
    assert_allclose(weights * WEIGHT_UNITS, np.rint(weights * WEIGHT_UNITS), atol=1e-9)
    assert (weights >= 0).all()


@pytest.mark.parametrize(("engine", "profile"), list(PROFILES))
def test_one_instrument_gets_everything(engine: Engine, profile: Profile) -> None:
    assert allocate(engine, profile, market_returns(5, 30, 1)).tolist() == [1.0]


@pytest.mark.parametrize(("engine", "profile"), [pair for pair in PROFILES if pair[1] != "equal_weight"])
def test_an_instrument_that_never_moved_gets_nothing(engine: Engine, profile: Profile) -> None:
    returns = market_returns(6, 60, 3)
    returns[:, 1] = 0.0

    weights = allocate(engine, profile, returns)

    assert weights[1] == 0.0
    assert weights.sum() == pytest.approx(1.0)
    with pytest.raises(AllocationError, match="no instrument moved"):
        allocate(engine, profile, np.zeros((60, 3)))


def test_a_missing_return_is_named() -> None:
    returns = market_returns(7, 60, 3)
    returns[17, 2] = np.nan

    with pytest.raises(AllocationError, match="instrument 2 in training row 17 is nan"):
        allocate(Engine.RISKFOLIO, Profile.HRP, returns)


def test_a_profile_that_an_engine_does_not_make_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="native/hrp does not exist; there are native/equal_weight"):
        allocator(Engine.NATIVE, Profile.HRP)


def test_none_from_riskfolio_is_an_error_that_repeats_what_it_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_riskfolio: object, _frame: object) -> None:
        sys.stdout.write("The problem doesn't have a solution\n")

    with pytest.raises(AllocationError, match="CVaR of \\(60, 3\\) returns has no solution: The problem"):
        riskfolio_adapter._solve("CVaR", market_returns(8, 60, 3), fail)
    assert capsys.readouterr().out == ""


def test_an_error_of_riskfolio_is_an_allocation_error() -> None:
    returns = market_returns(9, 60, 3)
    returns[:, 0] = 0.0

    with pytest.raises(AllocationError, match="riskfolio HRP"):
        riskfolio_adapter.hrp(returns)


def task(profile: Profile, seed: int, engine: Engine = Engine.NATIVE) -> AllocationTask:
    return AllocationTask(engine=engine, profile=profile, returns=market_returns(seed, 60, 4))


def test_the_input_hash_is_of_all_inputs() -> None:
    hashes = {
        input_hash(task(Profile.EQUAL_WEIGHT, 1)),
        input_hash(task(Profile.INVERSE_VOLATILITY, 1)),
        input_hash(task(Profile.EQUAL_WEIGHT, 2)),
    }

    assert len(hashes) == 3
    assert input_hash(task(Profile.EQUAL_WEIGHT, 1)) in hashes


def test_a_fact_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store = FactStore(tmp_path / "facts")
    key = input_hash(task(Profile.EQUAL_WEIGHT, 1))

    assert store.read(key) is None
    store.write(key, np.array([2500, 7500]))
    read = store.read(key)

    assert read is not None
    assert read.tolist() == [2500, 7500]
    assert not list(tmp_path.rglob("*.tmp"))
    with pytest.raises(InvalidValueError, match="must sum to 10000"):
        store.write(key, np.array([1, 2]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "[]",
        lambda record: json.dumps(record | {"units": [2501, 7499]}),
        lambda record: json.dumps(record | {"input_hash": "0" * 64}),
    ],
)
def test_a_damaged_fact_is_none(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    store = FactStore(tmp_path)
    key = input_hash(task(Profile.EQUAL_WEIGHT, 1))
    store.write(key, np.array([2500, 7500]))
    (path,) = tmp_path.rglob("*.json")
    path.write_text(damage(json.loads(path.read_text())))

    assert store.read(key) is None


def test_equal_questions_are_solved_once_and_answers_stand_in_order(tmp_path: Path) -> None:
    tasks = [
        task(Profile.EQUAL_WEIGHT, 1),
        task(Profile.INVERSE_VOLATILITY, 1),
        task(Profile.EQUAL_WEIGHT, 1),
    ]
    seen: list[tuple[int, int]] = []

    first = solve_many(tasks, facts=tmp_path, n_workers=0, progress=lambda done, of: seen.append((done, of)))
    second = solve_many(tasks, facts=tmp_path, n_workers=0)

    assert seen[-1] == (2, 2)
    assert first[0].weights is not None
    assert first[0].weights.tolist() == [0.25] * 4
    assert [s.input_hash for s in first] == [input_hash(t) for t in tasks]
    assert [s.seconds for s in second] == [0.0, 0.0, 0.0]
    for one, other in zip(first, second, strict=True):
        assert one.weights is not None
        assert other.weights is not None
        assert one.weights.tolist() == other.weights.tolist()


def test_a_question_without_an_answer_says_why_and_is_asked_again(tmp_path: Path) -> None:
    empty = AllocationTask(
        engine=Engine.NATIVE, profile=Profile.INVERSE_VOLATILITY, returns=np.zeros((60, 3))
    )

    (solution,) = solve_many([empty], facts=tmp_path, n_workers=0)

    assert solution.weights is None
    assert "no instrument moved" in solution.problem
    assert not list(tmp_path.rglob("*.json"))


def test_a_fact_that_no_solver_would_give_is_found_by_solving_again(tmp_path: Path) -> None:
    question = task(Profile.EQUAL_WEIGHT, 1)
    FactStore(tmp_path).write(input_hash(question), np.array([2600, 2400, 2500, 2500]))

    trusted: tuple[Solution, ...] = solve_many([question], facts=tmp_path, n_workers=0)
    assert trusted[0].weights is not None
    assert trusted[0].weights[0] == 0.26
    with pytest.raises(AllocationError, match="delete the folder of facts"):
        solve_many([question], facts=tmp_path, n_workers=0, recheck_every=1)
