"""Every gate by hand: small numbers whose answer can be worked out on paper."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.core import metrics
from engine.domain.gates import Direction, GateResult, GateStatus, Verdict
from engine.domain.panel import FloatArray
from research.cells import BaselineRole, CellResult, Simulator, TrialsRecord
from research.configuration import GateThresholds
from research.statistics import annualized_lower_bound
from scoreboards import gates
from scoreboards.evidence import Accounts, Evidence
from scoreboards.family import family_of
from scoreboards.gates import Court
from tests.boards import baseline, cell, market_returns, skilled, three_simulators, universe, with_baselines

ALL_SIMULATORS = frozenset(Simulator)


def court(**changes: object) -> Court:
    values: dict[str, object] = {
        "thresholds": GateThresholds(),
        "simulators": ALL_SIMULATORS,
        "universe": universe(),
        "permutations": 199,
    }
    return Court(**(values | changes))  # type: ignore[arg-type]


def evidence_of(judged: CellResult, *others: CellResult) -> Evidence:
    return Accounts([judged, *others]).evidence(judged)


def judged(judged_cell: CellResult, *others: CellResult, by: Court | None = None) -> dict[str, GateResult]:
    evidence = evidence_of(judged_cell, *others)
    asked = by or court()
    family = family_of(
        [evidence], timing=gates.TIMING_VARIANTS, bootstraps=200, seed=1, days_per_year=asked.days_per_year
    )
    results = gates.judge_cell(evidence, replace(asked, family=family))
    return {result.gate: result for result in results}


def good_cells(seed: int = 21, edge: float = 0.0012) -> tuple[CellResult, ...]:
    """Return a cell with a clear edge, played by every simulator, and its baselines."""
    market = market_returns()
    played = three_simulators(skilled(market, edge=edge, seed=seed))
    return tuple(with_baselines(played, market))


def test_jaccard_is_the_mean_overlap_of_neighbouring_windows() -> None:
    weights = np.array(
        [
            [0.5, 0.5, 0.0],  # {0, 1}
            [0.5, 0.0, 0.5],  # {0, 2}: 1 of 3 shared
            [0.9991, 0.0, 0.0009],  # {0}: 0.0009 is too little to be held; 1 of 2 shared
            [0.0, 0.0, 0.0],  # cash: 0 of 1
            [0.0, 0.0, 0.0],  # cash again: the same
        ]
    )

    assert_allclose(gates.selection_jaccard(weights), (1 / 3 + 1 / 2 + 0 + 1) / 4, rtol=1e-15)


def test_one_window_has_no_overlap() -> None:
    assert math.isnan(gates.selection_jaccard(np.ones((1, 3)) / 3))


def test_turnover_is_counted_for_each_twenty_rows() -> None:
    turnover = np.zeros(40)
    turnover[1], turnover[21] = 1.0, 0.5

    played = replace(cell([0.0] * 39), turnover=turnover)

    # 1.5 in 40 rows are 0.75 in 20.
    assert gates.average_turnover(played) == 0.75


def test_friction_decay_is_the_share_of_sharpe_that_costs_take() -> None:
    ideal = np.array([0.03, -0.01] * 30)
    real = ideal - 0.005

    core = cell(real)
    evidence = evidence_of(core, cell(ideal, simulator=Simulator.FRICTIONLESS))

    # Both have the same deviation; the means, over the first day at 0 too, are 60 x .005 and 60 x .01.
    assert_allclose(gates.friction_decay(evidence, 252), 0.5, atol=0.005)


def test_friction_decay_of_what_never_earned_is_missing() -> None:
    losing = np.array([0.01, -0.03] * 30)

    result = judged(cell(losing), cell(losing, simulator=Simulator.FRICTIONLESS))["friction_decay"]

    assert result.status is GateStatus.MISSING


def test_a_simulator_that_was_configured_and_gave_nothing_is_missing() -> None:
    alone = judged(cell([0.01, -0.005] * 30))

    assert alone["friction_decay"].status is GateStatus.MISSING
    assert alone["sim_parity"].status is GateStatus.MISSING


def test_a_simulator_that_was_not_configured_does_not_apply() -> None:
    alone = judged(cell([0.01, -0.005] * 30), by=court(simulators=frozenset({Simulator.CORE})))

    assert alone["friction_decay"].status is GateStatus.NOT_APPLICABLE
    assert alone["sim_parity"].status is GateStatus.NOT_APPLICABLE


@pytest.mark.parametrize(("gap", "status"), [(0.00005, GateStatus.PASS), (-0.00007, GateStatus.FAIL)])
def test_parity_is_the_gap_of_the_annualised_returns(gap: float, status: GateStatus) -> None:
    returns = np.array([0.01, -0.005] * 30)

    result = judged(cell(returns), cell(returns + gap, simulator=Simulator.VECTORBT))["sim_parity"]

    # 60 of 61 days differ: .00005 is .0124 a year, .00007 is .0174; allowed is .015.
    assert_allclose(result.value, abs(gap) * 252 * 60 / 61, rtol=1e-9)
    assert result.status is status


def test_tails_are_compared_with_the_market_at_the_root_mean_square_of_gross() -> None:
    market = market_returns()
    half = cell(0.5 * market, gross=0.5)

    results = judged(half, baseline(BaselineRole.MARKET, market))

    # Half the market is as bad as the market at half exposure: multiples of exactly 1.
    assert_allclose(results["cvar_mult"].value, 1.0, rtol=1e-9)
    assert_allclose(results["mdd_mult"].value, 1.0, rtol=1e-9)
    assert results["cvar_mult"].status is GateStatus.PASS


def test_a_gross_that_swings_is_measured_by_its_root_mean_square() -> None:
    market = market_returns()
    swinging = np.tile([0.0, 1.0], 700)[: len(market) + 1]
    played = replace(cell(market), gross=swinging)

    results = judged(played, baseline(BaselineRole.MARKET, market))

    # Mean gross is .5, its root mean square sqrt(.5): the whole market's tail is sqrt(2) times that.
    assert_allclose(results["cvar_mult"].value, math.sqrt(2), rtol=1e-3)
    assert results["cvar_mult"].status is GateStatus.FAIL
    scaled = abs(metrics.max_drawdown(math.sqrt(0.5) * np.append(0.0, market)))
    assert_allclose(
        results["mdd_mult"].value, abs(metrics.max_drawdown(np.append(0.0, market))) / scaled, rtol=1e-3
    )


def test_the_excess_is_over_the_pool_of_the_same_simulator_at_the_mean_of_gross() -> None:
    pool = market_returns()
    swinging = np.tile([0.0, 1.0], 700)[: len(pool) + 1]
    played = replace(cell(2.0 * pool), gross=swinging)
    free = baseline(BaselineRole.RAW_POOL, 3.0 * pool, simulator=Simulator.FRICTIONLESS)

    excess = evidence_of(played, free, baseline(BaselineRole.RAW_POOL, pool)).excess

    assert excess is not None
    assert_allclose(excess[1:], (2.0 - swinging.mean()) * pool, atol=1e-12)


def test_stress_alpha_takes_the_exposure_off_before_it_compares() -> None:
    market = market_returns()
    safer = 0.5 * market
    safer[market <= np.quantile(market, 0.10)] += 0.001

    same = judged(cell(0.5 * market, gross=0.5), baseline(BaselineRole.MARKET, market))["stress_alpha"]
    better = judged(cell(safer, gross=0.5), baseline(BaselineRole.MARKET, market))["stress_alpha"]

    assert_allclose(same.value, 0.0, atol=1e-12)
    assert_allclose(better.value, 0.001, rtol=0.02)


@pytest.mark.parametrize("role", [BaselineRole.MARKET, BaselineRole.RAW_POOL, BaselineRole.BENCHMARK])
def test_nothing_takes_the_place_of_a_baseline_that_is_missing(role: BaselineRole) -> None:
    cells = [item for item in good_cells() if item.baseline_role is not role]

    results = judged(cells[0], *cells[1:])

    missing = {name for name, result in results.items() if result.status is GateStatus.MISSING}
    by_role = {
        BaselineRole.MARKET: {"baseline_equivalent", "stress_alpha", "cvar_mult", "mdd_mult", "regimes"},
        BaselineRole.RAW_POOL: {"baseline_equivalent", "timing_rank", "regimes", *gates.UNDECIDED},
        BaselineRole.BENCHMARK: {"baseline_equivalent"},
    }
    assert missing == by_role[role]
    assert gates.verdict(tuple(results.values()), 2.0) is Verdict.FAIL


def test_without_any_baseline_what_compares_is_missing() -> None:
    alone = judged(cell(market_returns()))

    for gate in ("stress_alpha", "cvar_mult", "mdd_mult", "excess_lower_bound", "deflated_sharpe"):
        assert alone[gate].status is GateStatus.MISSING, gate


def test_beta_is_judged_for_minimum_variance_only_and_against_its_exposure() -> None:
    market = market_returns()
    others = baseline(BaselineRole.MARKET, market)

    equal = judged(cell(0.5 * market, gross=0.5), others)["beta"]
    minimum = judged(cell(0.5 * market, gross=0.5, engine="riskfolio", profile="min_variance"), others)[
        "beta"
    ]
    calmer = judged(cell(0.4 * market, gross=0.5, engine="riskfolio", profile="min_variance"), others)["beta"]

    assert equal.status is GateStatus.NOT_APPLICABLE
    assert_allclose([minimum.value, minimum.threshold], [0.5, 0.45], rtol=1e-9)
    assert minimum.status is GateStatus.FAIL
    assert calmer.status is GateStatus.PASS


def test_a_tail_balance_may_be_as_bad_as_the_markets_less_a_fifth() -> None:
    market = market_returns()
    crashing = market.copy()
    crashing[::40] = -0.08
    by_rule = metrics.af_dist(np.concatenate(([0.0], crashing))) - 0.20
    assert by_rule < -0.20

    result = judged(cell(market), baseline(BaselineRole.MARKET, crashing))["af_dist"]

    assert_allclose(result.threshold, by_rule, rtol=1e-6)
    assert judged(cell(market))["af_dist"].threshold == -0.20


def test_jaccard_does_not_apply_where_nothing_is_selected() -> None:
    results = judged(cell([0.0] * 60, selection="all")), judged(cell([0.0] * 60, selection="log_mps"))

    assert results[0]["selection_jaccard"].status is GateStatus.NOT_APPLICABLE
    assert results[1]["selection_jaccard"].value == 1.0


def test_capacity_and_range_are_named_as_not_applicable() -> None:
    results = judged(cell([0.0] * 60))

    assert results["capacity"].status is GateStatus.NOT_APPLICABLE
    assert results["range"].status is GateStatus.NOT_APPLICABLE


def test_a_number_of_fills_that_nobody_knows_leaves_the_range_missing() -> None:
    by = court(universe=universe(has_range=True))

    assert judged(cell([0.0] * 60, fills=math.nan), by=by)["range"].status is GateStatus.MISSING
    assert judged(cell([0.0] * 60, fills=0.0), by=by)["range"].status is GateStatus.PASS


@pytest.mark.parametrize(
    ("trades", "status"),
    [(30.0, GateStatus.PASS), (29.0, GateStatus.FAIL), (math.nan, GateStatus.MISSING)],
)
def test_thirty_round_trips_are_enough(trades: float, status: GateStatus) -> None:
    assert judged(cell([0.0] * 60, trades=trades))["trades"].status is status


def test_the_excess_is_over_the_pool_at_the_mean_gross() -> None:
    market = market_returns()
    edge = np.random.default_rng(3).normal(0.0005, 0.002, len(market))
    played = cell(0.5 * market + edge, gross=0.5)

    result = judged(played, baseline(BaselineRole.RAW_POOL, market))["excess_lower_bound"]

    by_hand = annualized_lower_bound(np.concatenate(([0.0], edge)), days_per_year=252)
    assert_allclose(result.value, by_hand, rtol=1e-6)
    assert result.status is GateStatus.PASS


def test_more_independent_trials_deflate_more() -> None:
    cells = good_cells(edge=0.0004)
    few = court(universe=universe(trials=TrialsRecord(count=2, head="a", n_effective=2.0)))
    many = court(universe=universe(trials=TrialsRecord(count=500, head="b", n_effective=400.0)))

    values = [judged(*cells, by=by)["deflated_sharpe"].value for by in (few, many)]

    assert values[0] > values[1]


def test_an_empty_trials_register_leaves_the_deflated_sharpe_missing() -> None:
    lost = court(universe=universe(trials=TrialsRecord(count=0, head="", n_effective=0.0)))

    assert judged(*good_cells(), by=lost)["deflated_sharpe"].status is GateStatus.MISSING


def test_a_clear_edge_passes_every_gate() -> None:
    results = judged(*good_cells())

    assert not gates.failures(tuple(results.values()))
    assert gates.verdict(tuple(results.values()), 2.0) is Verdict.PASS


def test_what_moves_with_a_baseline_is_a_baseline_in_disguise() -> None:
    market = market_returns()
    played = cell(0.99 * market, gross=0.99)

    results = judged(played, *with_baselines([played], market)[1:])

    assert results["baseline_equivalent"].status is GateStatus.FAIL
    assert results["excess_lower_bound"].status is GateStatus.NOT_APPLICABLE
    assert results["deflated_sharpe"].status is GateStatus.NOT_APPLICABLE
    assert gates.verdict(tuple(results.values()), 1.0) is Verdict.FAIL


def test_what_hardly_leaves_the_pool_is_a_baseline_in_disguise_too() -> None:
    pool = 0.02 * market_returns()
    # Against so quiet a pool the correlation is far below .999, but the error is .002 x sqrt(252) x .2.
    noise = np.random.default_rng(4).normal(0.0, 0.0004, len(pool))
    evidence = evidence_of(cell(pool + noise), baseline(BaselineRole.RAW_POOL, pool))

    same = gates.equivalence(evidence, 252)

    assert same is not None
    assert same.correlation < 0.999
    assert_allclose(same.tracking_error, 0.0004 * math.sqrt(252), rtol=0.05)
    assert same.holds


def test_equivalence_is_decided_on_the_run_without_limits() -> None:
    market = market_returns()
    limited = skilled(market, edge=0.001)
    played = cell(limited)
    unlimited = replace(played, unlimited_equity=cell(market).equity)
    others = with_baselines([played], market)[1:]

    plain = judged(played, *others)
    disguised = judged(unlimited, *others)

    assert plain["baseline_equivalent"].status is GateStatus.PASS
    assert disguised["baseline_equivalent"].status is GateStatus.FAIL


def test_a_cell_that_was_not_played_without_limits_cannot_pass() -> None:
    core, *others = good_cells()
    unknown = replace(core, unlimited_equity=np.empty(0), unlimited_gross=np.empty(0))

    results = judged(unknown, *others)

    assert results["baseline_equivalent"].status is GateStatus.MISSING
    assert gates.verdict(tuple(results.values()), 2.0) is Verdict.FAIL


def result(gate: str, status: GateStatus) -> GateResult:
    value = math.nan if status in (GateStatus.MISSING, GateStatus.NOT_APPLICABLE) else 1.0
    return GateResult(
        gate=gate, value=value, threshold=1.0, direction=Direction.AT_LEAST, status=status, evidence_hash=""
    )


@pytest.mark.parametrize(
    ("statuses", "excess", "expected"),
    [
        ({}, 1.0, Verdict.PASS),
        ({"deflated_sharpe": GateStatus.FAIL}, 0.1, Verdict.HOLD),
        ({"excess_lower_bound": GateStatus.FAIL}, 0.1, Verdict.HOLD),
        ({"excess_lower_bound": GateStatus.FAIL, "deflated_sharpe": GateStatus.FAIL}, 0.1, Verdict.HOLD),
        ({"excess_lower_bound": GateStatus.FAIL, "deflated_sharpe": GateStatus.FAIL}, 0.0, Verdict.FAIL),
        ({"excess_lower_bound": GateStatus.FAIL}, math.nan, Verdict.FAIL),
        ({"deflated_sharpe": GateStatus.MISSING}, 0.1, Verdict.FAIL),
        ({"deflated_sharpe": GateStatus.FAIL, "turnover": GateStatus.FAIL}, 1.0, Verdict.FAIL),
        ({"turnover": GateStatus.MISSING}, 1.0, Verdict.FAIL),
        ({"turnover": GateStatus.NOT_APPLICABLE}, 1.0, Verdict.PASS),
    ],
)
def test_hold_is_for_what_only_more_data_can_decide(
    statuses: dict[str, GateStatus], excess: float, expected: Verdict
) -> None:
    names = ("excess_lower_bound", "deflated_sharpe", "turnover")
    results = tuple(result(name, statuses.get(name, GateStatus.PASS)) for name in names)

    assert gates.verdict(results, excess) is expected


def test_no_gates_is_no_pass() -> None:
    assert gates.verdict((), 1.0) is Verdict.FAIL


def test_failures_are_tokens_and_missing_ones_say_so() -> None:
    results = (result("turnover", GateStatus.FAIL), result("beta", GateStatus.MISSING))

    assert gates.failures(results) == ("turnover", "missing:beta")


def test_every_answer_carries_the_hash_of_its_evidence() -> None:
    first, second = judged(*good_cells(seed=21)), judged(*good_cells(seed=22))

    for gate, answer in first.items():
        if answer.status is not GateStatus.NOT_APPLICABLE and gate != "trades":
            assert len(answer.evidence_hash) == 64, gate
    assert first["af_dist"].evidence_hash != second["af_dist"].evidence_hash
    assert first["af_dist"].evidence_hash == judged(*good_cells(seed=21))["af_dist"].evidence_hash


def test_accounts_of_other_rows_are_never_compared() -> None:
    market: FloatArray = market_returns()
    shorter = baseline(BaselineRole.MARKET, market[:-1])

    with pytest.raises(ValueError, match="which has other rows"):
        judged(cell(market), shorter)


def test_a_strategy_that_works_orders_is_held_against_nautilus_and_no_other() -> None:
    returns = np.array([0.01, -0.005] * 30)
    worked = cell(returns, works_orders=True)
    nautilus = cell(returns + 0.00005, simulator=Simulator.NAUTILUS)
    vectorbt = cell(returns, simulator=Simulator.VECTORBT)

    assert judged(worked, vectorbt)["sim_parity"].status is GateStatus.MISSING
    assert judged(worked, vectorbt, nautilus)["sim_parity"].value == pytest.approx(0.00005 * 252 * 60 / 61)
    assert judged(cell(returns), nautilus)["sim_parity"].status is GateStatus.MISSING
