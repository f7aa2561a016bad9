"""Allocations by hand and against exact solutions; what is kept of them."""

import json
import math
import sys
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linprog

from engine.allocation import allocator as allocator_module
from engine.allocation import clusters, conventions, facts, native, riskfolio_adapter, skfolio_adapter
from engine.allocation.allocator import (
    PROFILES,
    WEIGHT_UNITS,
    Engine,
    Profile,
    allocate,
    allocator,
    quantise,
    unrounded,
    weights_of,
)
from engine.allocation.cross_check import TOLERANCES, objective
from engine.allocation.facts import AllocationTask, FactStore, input_hash, sources_hash
from engine.allocation.solve import solve_many
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


# Uncorrelated, standard deviations 1 and 2 percent.
UNCORRELATED = np.tile(np.array([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]]) / 100, (30, 1))
LIBRARIES = (Engine.RISKFOLIO, Engine.SKFOLIO)


@pytest.mark.parametrize("engine", LIBRARIES)
@pytest.mark.parametrize(
    ("profile", "first"),
    [
        # Inverse variance: 1 and 1/4.
        (Profile.MIN_VARIANCE, 0.8),
        (Profile.HRP, 0.8),
        (Profile.HERC, 0.8),
        (Profile.NCO, 0.8),
        # Inverse volatility: 1 and 1/2.
        (Profile.RISK_PARITY, 2 / 3),
        # The sleeve, and a core of one: both have no skew and equal tails, so the first is the aggressor.
        (Profile.BARBELL, 0.1),
    ],
)
def test_two_uncorrelated_instruments_by_hand(engine: Engine, profile: Profile, first: float) -> None:
    assert_allclose(unrounded(engine, profile, UNCORRELATED), [first, 1.0 - first], atol=2e-6)


@pytest.mark.parametrize("engine", LIBRARIES)
def test_the_largest_sharpe_ratio_of_two_instruments_by_hand(engine: Engine) -> None:
    # Mean / variance: .1 / 1 and .1 / 4 in percent, so 4 to 1; then .1 / 1 and .4 / 4: equal.
    same = UNCORRELATED + 0.001
    better = UNCORRELATED + np.array([0.001, 0.004])

    assert_allclose(unrounded(engine, Profile.MAX_SHARPE, same), [0.8, 0.2], atol=2e-5)
    assert_allclose(unrounded(engine, Profile.MAX_SHARPE, better), [0.5, 0.5], atol=2e-5)


@pytest.mark.parametrize("engine", LIBRARIES)
def test_an_instrument_that_fell_has_no_place_in_the_largest_sharpe_ratio(engine: Engine) -> None:
    returns = UNCORRELATED + np.array([0.001, -0.001])

    assert_allclose(unrounded(engine, Profile.MAX_SHARPE, returns), [1.0, 0.0], atol=2e-5)


@pytest.mark.parametrize("engine", LIBRARIES)
def test_where_nothing_rose_there_is_no_largest_sharpe_ratio(engine: Engine) -> None:
    with pytest.raises(AllocationError, match=f"{engine} max_sharpe .* no instrument has a positive mean"):
        allocate(engine, Profile.MAX_SHARPE, UNCORRELATED - 0.0001)


@pytest.mark.parametrize("engine", LIBRARIES)
def test_mean_cvar_is_the_optimum_of_the_linear_programme(engine: Engine) -> None:
    returns = market_returns(3, 178, 8)
    rows, columns = returns.shape
    # Rockafellar and Uryasev: min v + sum(u) / (.05 T), u_t >= -r_t w - v, u >= 0, over (w, v, u).
    cost = np.concatenate((np.zeros(columns), [1.0], np.full(rows, 1.0 / (0.05 * rows))))
    upper = np.hstack((-returns, -np.ones((rows, 1)), -np.eye(rows)))
    budget = np.concatenate((np.ones(columns), np.zeros(rows + 1)))[None, :]
    bounds = [(0.0, 1.0)] * columns + [(None, None)] + [(0.0, None)] * rows
    exact = linprog(cost, upper, np.zeros(rows), budget, [1.0], bounds, method="highs-ds")
    assert exact.x is not None
    assert exact.fun is not None

    weights = unrounded(engine, Profile.MEAN_CVAR, returns)

    assert_allclose(weights, exact.x[:columns], atol=1e-6)
    assert objective(Profile.MEAN_CVAR, returns, weights) == pytest.approx(exact.fun, rel=1e-6)


@pytest.mark.parametrize("engine", LIBRARIES)
def test_under_risk_parity_every_instrument_contributes_the_same(engine: Engine) -> None:
    returns = market_returns(4, 178, 9)

    weights = unrounded(engine, Profile.RISK_PARITY, returns)

    contributions = weights * (np.cov(returns, rowvar=False) @ weights)
    assert_allclose(contributions / contributions.sum(), np.full(9, 1 / 9), atol=1e-5)


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
    returns = market_returns(6, 120, 3)
    returns[:, 1] = 0.0

    weights = allocate(engine, profile, returns)

    assert weights[1] == 0.0
    assert weights.sum() == pytest.approx(1.0)
    with pytest.raises(AllocationError, match="no instrument moved"):
        allocate(engine, profile, np.zeros((120, 3)))


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


@pytest.mark.parametrize("engine", LIBRARIES)
@pytest.mark.parametrize("profile", [Profile.HRP, Profile.HERC, Profile.NCO])
def test_an_error_of_a_library_is_an_allocation_error(engine: Engine, profile: Profile) -> None:
    returns = market_returns(9, 60, 3)
    returns[:, 0] = 0.0

    with pytest.raises(AllocationError, match=f"{engine} {profile.upper()} of"):
        PROFILES[engine, profile](returns)


def test_what_a_solver_had_when_it_gave_up_is_no_answer() -> None:
    def give_up_in_riskfolio(riskfolio: Any, frame: Any) -> Any:
        portfolio = riskfolio_adapter._portfolio(riskfolio, frame)
        portfolio.sol_params = {"CLARABEL": {"max_iter": 3}}
        return portfolio.optimization(model="Classic", rm="MV", obj="MinRisk", rf=0, l=0, hist=True)

    def give_up_in_skfolio(library: Any) -> Any:
        return library.MeanRisk(solver="CLARABEL", solver_params={"max_iter": 3})

    returns = market_returns(8, 60, 5)
    with pytest.raises(AllocationError, match=r"riskfolio MV of .* inaccurate"):
        riskfolio_adapter._solve("MV", returns, give_up_in_riskfolio)
    with pytest.raises(AllocationError, match=r"skfolio MV of .* inaccurate"):
        skfolio_adapter._solve("MV", returns, give_up_in_skfolio)


def test_a_solver_that_gives_up_is_asked_the_same_in_another_unit() -> None:
    returns = market_returns(8, 60, 5)
    asked: list[float] = []

    def solve(scaled: FloatArray) -> FloatArray:
        asked.append(round(float((scaled / returns).mean()), 9))
        if len(asked) < 3:
            raise AllocationError(f"gave up in unit {asked[-1]}")
        return native.equal_weight(scaled)

    def give_up(scaled: FloatArray) -> FloatArray:
        raise AllocationError(f"gave up in unit {(scaled / returns).mean():.0f}")

    assert conventions.in_some_unit(solve, returns).tolist() == [0.2] * 5
    assert asked == [100.0, 30.0, 300.0]
    with pytest.raises(AllocationError, match="gave up in unit 100"):
        conventions.in_some_unit(give_up, returns)


@pytest.mark.parametrize("engine", LIBRARIES)
@pytest.mark.parametrize("profile", [p for e, p in PROFILES if e is Engine.SKFOLIO])
def test_weights_do_not_depend_on_the_unit_of_returns(
    engine: Engine, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    returns = market_returns(12, 120, 6)
    in_percent = unrounded(engine, profile, returns)

    monkeypatch.setattr(conventions, "UNITS", (300.0,))

    assert_allclose(unrounded(engine, profile, returns), in_percent, rtol=0, atol=TOLERANCES[profile])


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


def test_the_input_hash_of_a_library_is_of_its_version_and_of_our_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    questions = [task(Profile.HRP, 1, engine) for engine in LIBRARIES] + [task(Profile.EQUAL_WEIGHT, 1)]
    before = [input_hash(question) for question in questions]

    def hashes() -> list[str]:
        facts._code.cache_clear()
        return [input_hash(question) for question in questions]

    def changed(now: list[str]) -> list[bool]:
        return [ours != theirs for ours, theirs in zip(before, now, strict=True)]

    # Undone by hand and not by the fixture, so that the cache is emptied after.
    with monkeypatch.context() as patch:
        patch.setattr(facts, "version", lambda name: "0" if name == "skfolio" else version(name))
        assert changed(hashes()) == [False, True, False]
    for module, expected in (
        (riskfolio_adapter, [True, False, False]),
        (skfolio_adapter, [False, True, False]),
        (allocator_module, [True, True, False]),
        (clusters, [True, True, False]),
        (conventions, [True, True, False]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, "__file__", __file__)
            assert changed(hashes()) == expected, module.__name__
    assert hashes() == before


def test_the_hash_of_sources_is_of_their_text_and_name(tmp_path: Path) -> None:
    def hash_of(name: str, text: str) -> str:
        (tmp_path / "source.py").write_text(text)
        spec = spec_from_file_location(name, tmp_path / "source.py")
        assert spec is not None
        return sources_hash(module_from_spec(spec))

    assert hash_of("a", "x = 1") == hash_of("a", "x = 1")
    assert len({hash_of("a", "x = 1"), hash_of("a", "x = 2"), hash_of("b", "x = 1")}) == 3


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

    first = solve_many(tasks, facts=tmp_path, progress=lambda done, of: seen.append((done, of)))
    second = solve_many(tasks, facts=tmp_path)

    assert seen[-1] == (2, 2)
    assert first[0].weights is not None
    assert first[0].weights.tolist() == [0.25] * 4
    assert [s.input_hash for s in first] == [input_hash(t) for t in tasks]
    for one, other in zip(first, second, strict=True):
        assert one.weights is not None
        assert other.weights is not None
        assert one.weights.tolist() == other.weights.tolist()


def test_a_question_without_an_answer_says_why_and_is_asked_again(tmp_path: Path) -> None:
    empty = AllocationTask(
        engine=Engine.NATIVE, profile=Profile.INVERSE_VOLATILITY, returns=np.zeros((60, 3))
    )

    (solution,) = solve_many([empty], facts=tmp_path)

    assert solution.weights is None
    assert "no instrument moved" in solution.problem
    assert not list(tmp_path.rglob("*.json"))


def test_weights_of_a_library_are_facts_and_native_weights_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROFILES, (Engine.SKFOLIO, Profile.HRP), native.equal_weight)
    tasks = [task(Profile.HRP, 1, Engine.SKFOLIO), task(Profile.EQUAL_WEIGHT, 1)]

    solve_many(tasks, facts=tmp_path)
    monkeypatch.setitem(PROFILES, (Engine.SKFOLIO, Profile.HRP), native.inverse_volatility)
    again = solve_many(tasks, facts=tmp_path)

    assert [path.stem for path in tmp_path.rglob("*.json")] == [input_hash(tasks[0])]
    assert again[0].weights is not None
    assert again[0].weights.tolist() == [0.25] * 4
    assert again[0].seconds == 0.0
