"""What the control study says of a world is what the gates of the board would say of it."""

import math
from pathlib import Path

import numpy as np
import pytest

from engine.domain.time import NANOSECONDS_PER_DAY
from research import control_worlds as worlds
from research.bootstrap import sharpe_lower_bound
from research.control_findings import (
    EdgeGate,
    Finding,
    Levels,
    independent_trials,
    judge_excess,
    judge_returns,
    permuted_search,
    pooled_permutation,
    step_down_of_winners,
)
from research.statistics import annualized_lower_bound, deflated_by_luck, describe
from research.superior import step_down
from research.trials import TrialsRegister

EDGES = (0.0, 1.0, 2.0, 4.0)
ROWS = 504


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def line() -> worlds.Returns:
    return worlds.parameter_line(rng(), ROWS)


def test_one_bootstrap_for_all_edges_says_what_the_step_down_test_says_of_each(line: worlds.Returns) -> None:
    added = np.array([line.means(edge) for edge in EDGES])
    said = []
    # Not only the best column, but also one that others are ahead of.
    for column in (int(line.profile.argmax()), 3):
        fast = step_down_of_winners(line.noise, added, [column] * len(EDGES), rng(7), bootstraps=199)
        plain = [step_down(line.with_edge(edge), rng=rng(7), n_bootstraps=199)[column] for edge in EDGES]
        np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-12)
        said.append(fast)
    # Strong edges are seen, and a column that lags behind is not taken for the best.
    assert said[0].min() < 0.05 < said[1].min()


def test_a_finding_says_what_the_gates_say_of_the_column_with_the_largest_sharpe_ratio(
    line: worlds.Returns,
) -> None:
    excess = line.with_edge(2.0)
    ratios = excess.mean(axis=0) / excess.std(axis=0, ddof=1)
    winner = excess[:, ratios.argmax()]
    sample = describe(winner)
    assert sample is not None

    [finding] = judge_returns(line, [2.0], rng(3), bootstraps=199)

    assert finding.sharpe == pytest.approx(ratios.max() * math.sqrt(252))
    assert finding.n_effective == pytest.approx(independent_trials(excess), rel=1e-3)
    assert finding.deflated_sharpe == deflated_by_luck(sample, n_effective=finding.n_effective)
    assert finding.lower_bound == pytest.approx(annualized_lower_bound(winner, days_per_year=252))
    bound = sharpe_lower_bound(winner, rng=rng(5), days_per_year=252, n_bootstraps=199)
    assert finding.bootstrap_bound == pytest.approx(bound, abs=0.4)
    assert math.isnan(finding.permutation)
    assert finding.passes(EdgeGate.PERMUTATION) is None


def test_trials_are_counted_as_the_register_counts_them(tmp_path: Path) -> None:
    excess = worlds.independent(rng(), 400, 12).noise
    register = TrialsRegister(tmp_path / "trials.jsonl")
    # From a Monday on, five days a week.
    days = np.array([7 * (row // 5) + row % 5 for row in range(400)], dtype=np.int64) + 4
    for column in range(12):
        register.add(f"{column:064d}", days * NANOSECONDS_PER_DAY, excess[:, column])

    # The register begins at another week of its worlds, and keeps float32.
    assert independent_trials(excess) == pytest.approx(register.n_effective(), rel=0.05)


def test_the_deflated_ratio_can_be_asked_for_more_trials_later(line: worlds.Returns) -> None:
    [finding] = judge_returns(line, [2.0], rng(3), bootstraps=199)
    best = line.with_edge(2.0)
    ratios = best.mean(axis=0) / best.std(axis=0, ddof=1)
    sample = describe(best[:, ratios.argmax()])
    assert sample is not None

    assert finding.deflated_at(0.0) == finding.deflated_sharpe
    for trials in (30.0, 1000.0):
        expected = deflated_by_luck(sample, n_effective=trials)
        assert finding.deflated_at(trials) == pytest.approx(expected, abs=1e-9)


def test_an_edge_is_carried_by_those_who_have_it() -> None:
    made = worlds.independent(rng(4), ROWS, 25)

    none, small, large = judge_returns(made, (0.0, 0.01, 8.0), rng(3), bootstraps=99)

    assert not none.carries_edge
    assert not small.carries_edge  # one of the 24 others was luckier
    assert large.carries_edge


def test_each_gate_refuses_by_its_own_number_and_all_must_agree() -> None:
    good = Finding(
        sharpe=0.5,
        carries_edge=True,
        n_effective=10.0,
        step_down=0.01,
        deflated_sharpe=0.95,
        steepness=70.0,
        n_days=5040,
        independent=1.0,
        permutation=0.05,
        lower_bound=0.1,
        bootstrap_bound=0.1,
        track_record=1.0,
    )
    spoilt = {
        EdgeGate.STEP_DOWN: {"step_down": 0.0101},
        EdgeGate.DEFLATED_SHARPE: {"deflated_sharpe": 0.9499},
        EdgeGate.PERMUTATION: {"permutation": 0.0501},
        EdgeGate.LOWER_BOUND: {"lower_bound": 0.0},
        EdgeGate.BOOTSTRAP_BOUND: {"bootstrap_bound": 0.0},
        EdgeGate.TRACK_RECORD: {"track_record": 1.001},
    }

    assert good.is_promoted()
    assert set(spoilt) == set(EdgeGate)
    for gate, change in spoilt.items():
        bad = Finding(**({name: getattr(good, name) for name in Finding.__slots__} | change))
        assert not bad.passes(gate)
        assert all(bad.passes(other) for other in EdgeGate if other is not gate)
        assert not bad.is_promoted()
    assert not good.is_promoted(Levels(step_down=0.005))
    assert not good.is_promoted(Levels(fewest_trials=1e6))


def test_a_search_on_a_trend_is_better_than_on_its_permutations() -> None:
    trend = worlds.trending(rng(4), worlds.WARM_UP + 756, 1.5)

    assert permuted_search(trend, worlds.search(trend).best_sharpe(), rng(), permutations=39) == 1 / 40


def test_a_search_that_is_no_better_is_given_up_at_the_first_permutation_that_decides() -> None:
    walk = worlds.random_walk(rng(5), worlds.WARM_UP + 252)

    # Nothing is worse than this: the first two permutations of 39 put it above 5%.
    assert permuted_search(walk, -100.0, rng(), permutations=39) == 3 / 40


def test_giving_up_early_does_not_change_the_decision() -> None:
    for seed in range(6):
        log_returns = worlds.clustered(rng(seed), worlds.WARM_UP + 300)
        best = worlds.search(log_returns).best_sharpe()
        early = permuted_search(log_returns, best, rng(9), permutations=39)
        whole = permuted_search(log_returns, best, rng(9), permutations=39, level=1.0)

        assert (early <= 0.05) == (whole <= 0.05)
        assert early <= whole


def test_worlds_stand_in_for_the_permutations_of_one_another() -> None:
    best = [3.0, 1.0, 2.0, 2.0]

    assert [pooled_permutation(best, place) for place in range(4)] == [0.25, 1.0, 0.75, 0.75]
    # Of the next two only, around the end.
    assert pooled_permutation(best, 3, permutations=2) == pytest.approx(2 / 3)


def test_the_same_generator_gives_the_same_finding() -> None:
    excess = worlds.search(worlds.clustered(rng(), worlds.WARM_UP + 300)).excess()

    assert judge_excess(excess, rng(2), bootstraps=99, permutation=0.5) == judge_excess(
        excess, rng(2), bootstraps=99, permutation=0.5
    )
