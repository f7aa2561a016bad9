"""Riskfolio and skfolio solve the same problems: each profile of both, and what a tournament checks of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.allocation import clusters
from engine.allocation.allocator import PROFILES, Engine, Profile, allocate, unrounded
from engine.allocation.cross_check import TOLERANCES, check, cross_check, objective
from engine.allocation.facts import AllocationTask
from engine.allocation.solve import solve_many
from engine.core.metrics import af_dist
from engine.data import catalogue
from engine.domain.errors import AllocationError
from engine.domain.panel import FloatArray
from engine.domain.passport import PlanKind, PlanTerms
from engine.pipeline.planning import Planner
from engine.schedule.windows import walk_forward
from research.base_weights import Allocation, Question, solve
from research.configuration import RiskfolioProfile, SkfolioProfile
from tests.builders import random_panel

BOTH = tuple(profile for engine, profile in PROFILES if engine is Engine.SKFOLIO)
HIERARCHICAL = (Profile.HRP, Profile.HERC, Profile.BARBELL)


def market_returns(seed: int, rows: int, columns: int) -> FloatArray:
    """A common factor, three groups beside it, fat tails, and instruments of rising volatility."""
    generator = np.random.default_rng(seed)
    factor = generator.standard_t(4, (rows, 1)) * 0.006
    groups = (generator.standard_t(4, (rows, 3)) * 0.005)[:, np.arange(columns) % 3]
    own = generator.standard_t(4, (rows, columns)) * np.linspace(0.004, 0.014, columns)
    return np.asarray(0.0004 + factor + groups + own)


@pytest.fixture(scope="module")
def windows() -> Mapping[str, FloatArray]:
    """Training windows: made ones of several sizes, and real ones of 1993, 2000, 2008 and 2020."""
    close = catalogue.load("us20").close
    real = {f"us20 before {row}": close[row - 180 : row - 1] for row in (900, 2700, 4780, 7620)}
    made = {
        "12 instruments": market_returns(1, 179, 12),
        "20 instruments": market_returns(2, 179, 20),
        "5 instruments": market_returns(3, 179, 5),
        "2 instruments": market_returns(4, 179, 2),
        "30 instruments": market_returns(5, 110, 30),
    }
    return made | {name: rows[1:] / rows[:-1] - 1.0 for name, rows in real.items()}


def test_every_profile_of_one_library_is_one_of_the_other() -> None:
    of_riskfolio = {profile for engine, profile in PROFILES if engine is Engine.RISKFOLIO}

    assert set(BOTH) == of_riskfolio == set(TOLERANCES)
    assert {str(profile) for profile in RiskfolioProfile} == {str(profile) for profile in BOTH}
    assert {str(profile) for profile in SkfolioProfile} == {str(profile) for profile in BOTH}


@pytest.mark.parametrize("profile", BOTH)
def test_both_libraries_find_the_same_weights(profile: Profile, windows: Mapping[str, FloatArray]) -> None:
    for name, returns in windows.items():
        ours = unrounded(Engine.RISKFOLIO, profile, returns)
        theirs = unrounded(Engine.SKFOLIO, profile, returns)

        assert_allclose(ours, theirs, rtol=0, atol=TOLERANCES[profile], err_msg=name)
        assert_allclose(
            objective(profile, returns, ours), objective(profile, returns, theirs), rtol=1e-6, err_msg=name
        )


def test_in_january_2009_no_library_knows_a_largest_sharpe_ratio() -> None:
    close = catalogue.load("us20").close[4620:4799]
    returns = close[1:] / close[:-1] - 1.0

    for engine in (Engine.RISKFOLIO, Engine.SKFOLIO):
        with pytest.raises(AllocationError, match="no instrument has a positive mean return"):
            allocate(engine, Profile.MAX_SHARPE, returns)


# ------------------------------------------------------------------- conventions that make them one problem


def test_left_to_themselves_the_libraries_cut_different_clusters(windows: Mapping[str, FloatArray]) -> None:
    """Which is why `cluster_count` is ours: riskfolio's gap statistic is another than skfolio's."""
    import riskfolio
    from pandas import DataFrame
    from skfolio.optimization import HierarchicalEqualRiskContribution

    returns = windows["us20 before 900"] * 100
    portfolio = riskfolio.HCPortfolio(returns=DataFrame(returns))
    theirs = portfolio.optimization(model="HERC", rm="MV", linkage="ward", leaf_order=False)
    ours = HierarchicalEqualRiskContribution().fit(returns)

    assert portfolio.k != ours.hierarchical_clustering_estimator_.n_clusters_
    assert np.abs(theirs["weights"].to_numpy() - ours.weights_).max() > 0.01


def test_cross_validated_inner_returns_are_another_nested_problem(windows: Mapping[str, FloatArray]) -> None:
    from skfolio.cluster import HierarchicalClustering
    from skfolio.optimization import NestedClustersOptimization

    returns = windows["us20 before 900"]
    tree = HierarchicalClustering(max_clusters=clusters.cluster_count(returns.shape[1]))
    left_alone = NestedClustersOptimization(clustering_estimator=tree).fit(returns * 100)

    asked = unrounded(Engine.SKFOLIO, Profile.NCO, returns)
    assert np.abs(left_alone.weights_ - asked).max() > 0.005


# ----------------------------------------------------------------------------------------------- barbell


@pytest.mark.parametrize("engine", [Engine.RISKFOLIO, Engine.SKFOLIO])
def test_a_barbell_is_a_sleeve_of_the_most_antifragile_beside_a_core_of_other_clusters(
    engine: Engine, windows: Mapping[str, FloatArray]
) -> None:
    for name, returns in windows.items():
        n_instruments = returns.shape[1]
        weights = unrounded(engine, Profile.BARBELL, returns)
        labels = clusters.clusters(returns, max(2, min(10, n_instruments // 2)))
        scores = np.array([af_dist(column) for column in returns.T])
        # Aggressors stand alone in their clusters; all others in them have no weight.
        alone = np.array([(weights[labels == label] > 0).sum() == 1 for label in labels]) & (weights > 0)
        n_aggressors = min(5, (labels.max() + 1) // 2)
        share = 0.1 / n_aggressors
        aggressors = np.flatnonzero(alone & np.isclose(weights, share, rtol=0, atol=1e-15))
        assert aggressors.size == n_aggressors, name
        assert len(set(labels[aggressors])) == n_aggressors
        assert 0.049 < weights[aggressors].sum() < 0.31
        for place in aggressors:
            members = labels == labels[place]
            assert scores[place] == scores[members].max()
            assert weights[members].sum() == weights[place]
        core = ~np.isin(labels, labels[aggressors])
        best_of_core = max(scores[labels == label].max() for label in labels[core])
        assert scores[aggressors].min() > best_of_core
        within = unrounded(engine, Profile.HRP, returns[:, core])
        assert_allclose(weights[core], 0.9 * within, rtol=0, atol=1e-12)


def test_antifragility_is_the_af_dist_of_the_metrics() -> None:
    generator = np.random.default_rng(8)
    cases = [generator.standard_t(3, rows) * 0.01 for rows in (99, 100, 179, 400)]
    cases += [np.round(cases[2], 2), np.where(cases[3] > 0, -cases[3], cases[3]), -cases[2]]

    ours = [clusters.antifragility(returns) for returns in cases]

    assert_allclose(ours, [af_dist(returns) for returns in cases], rtol=0, atol=0)
    assert np.isnan(ours).tolist() == [True, False, False, False, False, True, False]


def test_without_a_tail_there_is_no_barbell() -> None:
    with pytest.raises(AllocationError, match="no instrument has an af_dist over 60 returns"):
        clusters.barbell(market_returns(1, 60, 6), lambda _: np.ones(1))


def test_instruments_that_are_one_cluster_have_no_core() -> None:
    one = np.tile(market_returns(1, 120, 1), (1, 4))

    with pytest.raises(AllocationError, match="the 4 instruments are one cluster"):
        clusters.barbell(one, lambda _: np.ones(1))


# ------------------------------------------------------------------------------- the check of a tournament


def tasks_of(engine: Engine, profile: Profile, seeds: range, columns: int = 4) -> list[AllocationTask]:
    return [
        AllocationTask(engine=engine, profile=profile, returns=market_returns(seed, 120, columns))
        for seed in seeds
    ]


def test_a_sample_of_each_profile_is_solved_by_the_other_library(tmp_path: Path) -> None:
    tasks = [
        *tasks_of(Engine.RISKFOLIO, Profile.HRP, range(12)),
        *tasks_of(Engine.SKFOLIO, Profile.HRP, range(12)),
        *tasks_of(Engine.SKFOLIO, Profile.HERC, range(3)),
        *tasks_of(Engine.NATIVE, Profile.EQUAL_WEIGHT, range(3)),
    ]
    solutions = solve_many(tasks, facts=tmp_path)

    checks = cross_check(tasks, solutions, facts=tmp_path, every=5)

    made = [(check.engine, check.second, check.profile) for check in checks.values()]
    # 12 / 5 rounded up, once for both libraries, and one of the rest; nothing native has a second answer.
    assert made == [
        *[(Engine.RISKFOLIO, Engine.SKFOLIO, Profile.HRP)] * 3,
        (Engine.SKFOLIO, Engine.RISKFOLIO, Profile.HERC),
    ]
    assert all(not check.problem and check.difference <= 1e-12 for check in checks.values())
    assert checks == cross_check(tasks, solutions, facts=tmp_path / "elsewhere", every=5)


def test_what_agreed_once_is_not_solved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = tasks_of(Engine.RISKFOLIO, Profile.HRP, range(2))
    solutions = solve_many(tasks, facts=tmp_path)
    first = cross_check(tasks, solutions, facts=tmp_path)

    def never(_: FloatArray) -> FloatArray:
        raise AssertionError("solved again")

    with monkeypatch.context() as patch:
        patch.setitem(PROFILES, (Engine.SKFOLIO, Profile.HRP), never)
        assert cross_check(tasks, solutions, facts=tmp_path) == first
        [kept] = (tmp_path / "checks").glob("*.json")
        kept.write_text("{}")
        with pytest.raises(AssertionError, match="solved again"):
            cross_check(tasks, solutions, facts=tmp_path)


def test_another_answer_of_the_second_engine_is_a_problem_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tasks_of(Engine.RISKFOLIO, Profile.HRP, range(1))
    solutions = solve_many(tasks, facts=tmp_path)
    theirs = unrounded(Engine.SKFOLIO, Profile.HRP, tasks[0].returns)
    monkeypatch.setitem(
        PROFILES, (Engine.SKFOLIO, Profile.HRP), lambda _: theirs + np.array([2e-12, -2e-12, 0.0, 0.0])
    )

    for _ in range(2):
        [check] = cross_check(tasks, solutions, facts=tmp_path).values()
        assert check.problem == (
            "riskfolio and skfolio differ by 2.0e-12 in a weight of hrp, at most 1e-12 is allowed"
        )
        assert check.difference == pytest.approx(2e-12, rel=0.01)


def test_a_fact_that_no_solver_would_give_is_found_by_solving_again(tmp_path: Path) -> None:
    [task] = tasks_of(Engine.SKFOLIO, Profile.HRP, range(1))
    [solution] = solve_many([task], facts=tmp_path)
    assert solution.weights is not None
    [agreed] = cross_check([task], [solution], facts=tmp_path).values()
    wrong = replace(solution, weights=solution.weights + np.array([0.0006, -0.0006, 0.0, 0.0]))

    [found] = cross_check([task], [wrong], facts=tmp_path).values()

    assert not agreed.problem
    assert "the fact of skfolio/hrp is" in found.problem
    assert "delete the folder of facts" in found.problem


def test_an_answer_of_one_engine_only_is_a_problem_and_of_none_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [falling] = tasks_of(Engine.RISKFOLIO, Profile.MAX_SHARPE, range(1))
    falling = replace(falling, returns=falling.returns - 0.01)

    assert check(falling, None).problem == ""
    monkeypatch.setitem(PROFILES, (Engine.SKFOLIO, Profile.MAX_SHARPE), lambda _: np.full(4, 0.25))
    assert "no answer from one engine: riskfolio max_sharpe" in check(falling, None).problem
    # The task had no answer when it was asked first, and has one now.
    [rising] = tasks_of(Engine.RISKFOLIO, Profile.HRP, range(1))
    assert "the fact of riskfolio/hrp" in check(rising, None).problem


def test_other_weights_of_the_same_value_are_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = market_returns(1, 120, 3)
    returns[:, 1] = returns[:, 0]
    task = AllocationTask(engine=Engine.RISKFOLIO, profile=Profile.MIN_VARIANCE, returns=returns)
    weights = unrounded(Engine.RISKFOLIO, Profile.MIN_VARIANCE, returns)
    moved = np.array([weights[0] + weights[1], 0.0, weights[2]])
    worse = np.array([weights[0] + 0.01, weights[1], weights[2] - 0.01])

    monkeypatch.setitem(PROFILES, (Engine.SKFOLIO, Profile.MIN_VARIANCE), lambda _: moved)
    assert weights[1] > 0.01
    assert check(task, np.round(weights, 4)).problem == ""
    monkeypatch.setitem(PROFILES, (Engine.SKFOLIO, Profile.MIN_VARIANCE), lambda _: worse)
    assert "differ by 1.0e-02 in a weight of min_variance" in check(task, np.round(weights, 4)).problem


@pytest.mark.parametrize("profile", HIERARCHICAL)
def test_what_optimises_nothing_is_judged_by_its_weights(profile: Profile) -> None:
    assert np.isnan(objective(profile, market_returns(1, 20, 2), np.array([0.5, 0.5])))


def test_objectives_by_hand() -> None:
    # Held half and half: 1, -1, 0, 2 percent.
    returns = np.array([[0.01, 0.01], [-0.02, 0.0], [0.01, -0.01], [0.0, 0.04]])
    half = np.array([0.5, 0.5])

    # Mean .5; squares .25 + 2.25 + .25 + 2.25 = 5, over 3.
    assert objective(Profile.MIN_VARIANCE, returns, half) == pytest.approx(5e-4 / 3)
    assert objective(Profile.MAX_SHARPE, returns, half) == pytest.approx(0.5 / np.sqrt(5 / 3))
    # A twentieth of 4 rows is a part of the worst one; of 30 rows it is the worst and half of the next.
    assert objective(Profile.MEAN_CVAR, returns, half) == pytest.approx(0.01)
    losses = -np.arange(30.0)[:, None] / 100
    assert objective(Profile.MEAN_CVAR, losses, np.ones(1)) == pytest.approx((0.29 + 0.5 * 0.28) / 1.5)


# -------------------------------------------------------------------------- in a tournament and a session


@pytest.mark.parametrize("profile", [Profile.RISK_PARITY, Profile.BARBELL])
def test_a_session_makes_the_weights_of_skfolio_that_the_tournament_made(
    profile: Profile, tmp_path: Path
) -> None:
    panel = random_panel(200, 5, seed=2)
    lengths: dict[str, Any] = {"train": 120, "test": 40, "step": 20, "purge": 1}
    cut = walk_forward(len(panel), **lengths)
    question = Question(
        allocation=Allocation(selection="all", engine="skfolio", profile=profile),
        panel=panel,
        windows=cut,
        masks=np.ones((len(cut), 5), dtype=np.bool_),
    )
    terms = PlanTerms(
        kind=PlanKind.WALK_FORWARD, selection="all", engine="skfolio", profile=profile, **lengths
    )
    planner = Planner(
        terms,
        delisted_at=[None] * 5,
        days_per_year=panel.calendar.days_per_year,
        start_row=cut[0].test_start,
        has_volume=panel.has_volume,
    )

    [played] = solve([question], facts=tmp_path)
    pushed = [
        planner.push(row, panel.close[row], panel.volume[row], int(panel.timestamps[row]))
        for row in range(cut[-1].test_start + 1)
    ]

    planned = [plan for plan in pushed if plan is not None]
    assert [plan.row for plan in planned] == [window.test_start for window in cut]
    assert np.array([plan.weights for plan in planned]).tobytes() == played.weights.tobytes()
    assert {plan.inputs_hash for plan in planned} == {path.stem for path in tmp_path.glob("??/*.json")}


def test_a_window_on_which_the_libraries_differ_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = random_panel(220, 4, seed=3)
    cut = walk_forward(len(panel), train=120, test=40, step=20, purge=1)
    masks = np.ones((len(cut), 4), dtype=np.bool_)
    # A window of cash asks nothing, so places of tasks are not those of windows.
    masks[0] = False
    questions = [
        Question(
            allocation=Allocation(selection="all", engine=engine, profile=profile),
            panel=panel,
            windows=cut,
            masks=masks,
        )
        for engine, profile in (("native", "equal_weight"), ("skfolio", "hrp"))
    ]

    agreed = solve(questions, facts=tmp_path)
    monkeypatch.setitem(PROFILES, (Engine.RISKFOLIO, Profile.HRP), lambda _: np.array([1.0, 0.0, 0.0, 0.0]))
    differed = solve(questions, facts=tmp_path / "anew")

    assert [len(made.checks) for made in agreed] == [0, 1]
    assert [made.disagreement for made in agreed] == ["", ""]
    [window] = differed[1].checks
    assert window > 0
    assert differed[1].disagreement.startswith(f"window {window}: skfolio and riskfolio differ by ")
    assert differed[1].weights.tobytes() == agreed[1].weights.tobytes()
    # Nobody knows which library is right: such cells are missing, others are not.
    assert differed[1].problem == differed[1].disagreement
    assert [agreed[1].problem, differed[0].problem] == ["", ""]
