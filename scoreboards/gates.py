"""Every gate of the strict scoreboard, one function a gate.

SPEC 1.6 as mended by RULINGS D, and the edge gates of D2. A value that cannot be had is `MISSING` and never
passes; `NOT_APPLICABLE` is what the configuration left out.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.core import metrics
from engine.domain.gates import Direction, GateResult, GateStatus, Verdict, judge, not_applicable
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray
from engine.domain.reasons import Reason
from research.cells import (
    CAPITAL_MULTIPLES,
    BaselineRole,
    CellResult,
    Simulator,
    UniverseRecord,
    Variant,
)
from research.configuration import GateThresholds, RiskfolioProfile, Selection
from research.excess import EQUIVALENT_CORRELATION, EQUIVALENT_TRACKING_ERROR
from research.statistics import annualized_lower_bound, deflated_by_luck, describe, minimum_track_record
from scoreboards.evidence import Account, Evidence
from scoreboards.family import Family, Member
from scoreboards.regimes import Regime

SPA = "spa"
DEFLATED_SHARPE = "deflated_sharpe"
PERMUTATION = "permutation"
EXCESS_LOWER_BOUND = "excess_lower_bound"
EXCESS_BOOTSTRAP = "excess_bootstrap"
TRACK_RECORD = "track_record"
BASELINE_EQUIVALENT = "baseline_equivalent"

# Whether an edge is more than luck. A verdict of HOLD may miss these and nothing else: more data can still
# mend them (RULINGS D1 names the two that stood when it was written).
UNDECIDED = frozenset({SPA, DEFLATED_SHARPE, PERMUTATION, EXCESS_LOWER_BOUND, EXCESS_BOOTSTRAP, TRACK_RECORD})

# What a cell must survive (RULINGS D10). Three times the cost is shown, not asked.
TIMING_VARIANTS = (Variant.LATE, Variant.COSTS_2X)

HELD_WEIGHT = 1e-3
TURNOVER_ROWS = 20
MULTIPLIER_EPSILON = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Court:
    """By what a cell is judged: the configuration, and what is known of the data.

    Attributes
    ----------
    simulators
        That were configured: evidence of others is not asked for.
    family
        What all cells of the data set say together; None before that is known.
    permutations
        That were configured; 0: not asked for.
    training_rows
        Of a window, by which its regime is told.
    """

    thresholds: GateThresholds
    simulators: frozenset[Simulator]
    universe: UniverseRecord
    family: Family | None = None
    permutations: int = 0
    training_rows: int = 180

    @property
    def days_per_year(self) -> int:
        """Days that a year of returns has."""
        return self.universe.calendar.days_per_year


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Whether a cell does what a baseline does (RULINGS D6), decided on the run without limits.

    Attributes
    ----------
    role
        The baseline that it moves with most; empty where none could be compared.
    correlation
        With that baseline.
    tracking_error
        Annualised, of the excess.
    """

    role: BaselineRole
    correlation: float
    tracking_error: float
    holds: bool


def held(weights: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which instruments count as held, in the shape of the weights."""
    return weights >= HELD_WEIGHT


def selection_jaccard(weights: FloatArray) -> float:
    """Return the mean overlap |A and B| / |A or B| of the held symbols of consecutive windows.

    Two windows in cash overlap wholly. NaN below two windows.

    Parameters
    ----------
    weights
        Shape (K, N), base weights.
    """
    if len(weights) < 2:
        return math.nan
    before, after = held(weights[:-1]), held(weights[1:])
    either = (before | after).sum(axis=1)
    both = (before & after).sum(axis=1)
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())


def average_turnover(cell: CellResult) -> float:
    """Return the one-way turnover of the out-of-sample rows for each 20 of them."""
    if cell.turnover.size < TURNOVER_ROWS:
        return math.nan
    return float(cell.turnover.mean()) * TURNOVER_ROWS


def friction_decay(evidence: Evidence, days_per_year: int) -> float:
    """Return 1 - SR(core) / SR(frictionless); NaN where there was nothing to lose to friction."""
    if evidence.frictionless is None:
        return math.nan
    ideal = metrics.sharpe(evidence.frictionless.returns, days_per_year)
    if not ideal > 0:
        return math.nan
    return 1.0 - _sharpe_or_zero(evidence.account.returns, days_per_year) / ideal


def parity_gap(evidence: Evidence, days_per_year: int) -> float:
    """Return |core - second simulator| of the annualised return, both simulating by themselves."""
    second = second_simulator(evidence)
    if second is None:
        return math.nan
    ours = metrics.annualized_return(evidence.account.returns, days_per_year)
    theirs = metrics.annualized_return(second.returns, days_per_year)
    return abs(ours - theirs)


def second_simulator(evidence: Evidence) -> Account | None:
    """Return the account that must agree with the core's: vectorbt's, and nautilus' where orders are worked.

    Which of them it is hangs on the strategy alone: neither takes the place of the other when it is missing.
    """
    return evidence.nautilus if evidence.cell.works_orders else evidence.vectorbt


def cvar_multiple(account: Account, market: Account) -> float:
    """Return the cell's CVaR as a multiple of the market's at the cell's root-mean-square gross."""
    reference = abs(metrics.cvar_95(market.returns)) * account.gross_rms
    return abs(metrics.cvar_95(account.returns)) / (reference + MULTIPLIER_EPSILON)


def drawdown_multiple(account: Account, market: Account) -> float:
    """Return the cell's maximum drawdown as a multiple of that of the market so scaled."""
    reference = abs(metrics.max_drawdown(market.returns * account.gross_rms))
    return abs(metrics.max_drawdown(account.returns)) / (reference + MULTIPLIER_EPSILON)


def af_dist_threshold(market: Account | None, thresholds: GateThresholds) -> float:
    """Return min(-.20, af_dist of the market on the same rows - .20); the plain -.20 without a market."""
    if market is None:
        return thresholds.af_dist
    value = metrics.af_dist(market.returns)
    return (
        min(thresholds.af_dist, value - thresholds.af_dist_margin) if value == value else thresholds.af_dist
    )


def equivalence(evidence: Evidence, days_per_year: int) -> Equivalence | None:
    """Say whether a cell is a baseline in disguise.

    None where it was not played without limits, or where a baseline that it may be is missing.
    """
    returns = evidence.account.unlimited_returns
    excess = evidence.unlimited_excess
    if returns is None or excess is None:
        return None
    role, correlation = BaselineRole.NONE, math.nan
    for baseline in evidence.baselines:
        value = metrics.correlation(returns, baseline.returns)
        if not math.isnan(value) and not value <= correlation:
            role, correlation = baseline.cell.baseline_role, value
    error = metrics.annualized_volatility(excess, days_per_year)
    gross = float(evidence.cell.unlimited_gross.mean())
    holds = correlation > EQUIVALENT_CORRELATION or error < EQUIVALENT_TRACKING_ERROR * gross
    if not holds and None in (evidence.market, evidence.benchmark):
        return None
    return Equivalence(role=role, correlation=correlation, tracking_error=error, holds=holds)


def is_baseline_equivalent(evidence: Evidence, court: Court) -> bool:
    """Say whether a cell is known to be a baseline in disguise."""
    same = equivalence(evidence, court.days_per_year)
    return same is not None and same.holds


def judge_cell(evidence: Evidence, court: Court) -> tuple[GateResult, ...]:
    """Return the answer of every gate for one finished `core` cell."""
    same = equivalence(evidence, court.days_per_year)
    results = [_baseline_equivalent(evidence, same)]
    # Against a baseline in disguise there is no excess to test: what is left is rounding and cash buffer.
    edge_applies = same is None or not same.holds
    results += [gate(evidence, court) if edge_applies else _no_edge_to_test(gate, court) for gate in _EDGE]
    results += [gate(evidence, court) for gate in _GATES]
    return tuple(results)


def _no_edge_to_test(gate: Callable[[Evidence, Court], GateResult], court: Court) -> GateResult:
    name = _EDGE[gate]
    threshold, direction = standard(court.thresholds)[name]
    return not_applicable(name, threshold, direction)


def judge_missing(problem: str, court: Court) -> tuple[GateResult, ...]:
    """Return what every gate says of a cell that was configured and gave nothing: all are missing."""
    reference = content_hash({"problem": problem})
    return tuple(
        judge(gate, None, threshold, direction, reference)
        for gate, (threshold, direction) in standard(court.thresholds).items()
    )


def standard(thresholds: GateThresholds) -> Mapping[str, tuple[float, Direction]]:
    """Return threshold and direction of every gate that can fail, in the order of the report."""
    most, least, above = Direction.AT_MOST, Direction.AT_LEAST, Direction.ABOVE
    return {
        SPA: (thresholds.spa, most),
        DEFLATED_SHARPE: (thresholds.deflated_sharpe, least),
        PERMUTATION: (thresholds.permutation, most),
        EXCESS_LOWER_BOUND: (thresholds.excess_lower_bound, above),
        EXCESS_BOOTSTRAP: (thresholds.excess_bootstrap, above),
        TRACK_RECORD: (thresholds.track_record, most),
        "trades": (float(thresholds.trades), least),
        "friction_decay": (thresholds.friction_decay, most),
        "temporal_fragility": (thresholds.temporal_fragility, most),
        "selection_jaccard": (thresholds.selection_jaccard, least),
        "af_dist": (thresholds.af_dist, least),
        "stress_alpha": (thresholds.stress_alpha, least),
        "turnover": (thresholds.turnover, most),
        "cvar_mult": (thresholds.tail_multiplier, most),
        "mdd_mult": (thresholds.tail_multiplier, most),
        "sim_parity": (thresholds.sim_parity, most),
        "beta": (thresholds.beta_share, most),
        "overfitting": (0.0, most),
        "timing_excess": (thresholds.timing_excess, above),
        "timing_rank": (thresholds.timing_rank, most),
        "regimes": (thresholds.regimes, above),
        "capacity": (thresholds.capacity, least),
        "range": (thresholds.ambiguous_bars, most),
    }


def loosened(thresholds: GateThresholds) -> tuple[str, ...]:
    """Name every gate whose threshold lets more through than the standard's."""
    asked, strict = standard(thresholds), standard(GateThresholds())
    names = [
        gate
        for gate, (threshold, direction) in asked.items()
        if (threshold > strict[gate][0] if direction is Direction.AT_MOST else threshold < strict[gate][0])
    ]
    if thresholds.af_dist_margin > GateThresholds().af_dist_margin and "af_dist" not in names:
        names.append("af_dist")
    return tuple(names)


def verdict(gates: tuple[GateResult, ...], excess_sharpe: float) -> Verdict:
    """Say PASS, HOLD or FAIL (RULINGS D1)."""
    open_gates = {gate.gate for gate in gates if gate.status in (GateStatus.FAIL, GateStatus.MISSING)}
    if not gates or BASELINE_EQUIVALENT in open_gates:
        return Verdict.FAIL
    if not open_gates:
        return Verdict.PASS
    missing = any(gate.status is GateStatus.MISSING for gate in gates)
    if open_gates <= UNDECIDED and not missing and excess_sharpe > 0:
        return Verdict.HOLD
    return Verdict.FAIL


def failures(gates: tuple[GateResult, ...]) -> tuple[str, ...]:
    """Return the tokens of the column `candidate_failures`."""
    tokens = {GateStatus.FAIL: "{}", GateStatus.MISSING: "missing:{}"}
    return tuple(tokens[gate.status].format(gate.gate) for gate in gates if gate.status in tokens)


# --- one function a gate ---------------------------------------------------------------------------------


def _baseline_equivalent(evidence: Evidence, same: Equivalence | None) -> GateResult:
    """Fail a cell that is a baseline in disguise; the value says whether it is one (1) or not (0)."""
    if same is None:
        return judge(BASELINE_EQUIVALENT, None, 0.0, Direction.AT_MOST, "")
    hashed = content_hash(
        {
            "equity": evidence.cell.unlimited_equity,
            "gross": evidence.cell.unlimited_gross,
            "baselines": [baseline.returns_hash for baseline in evidence.baselines],
        }
    )
    return judge(BASELINE_EQUIVALENT, float(same.holds), 0.0, Direction.AT_MOST, hashed)


def _overfitting(evidence: Evidence, court: Court) -> GateResult:
    """Fail every cell of a search that keeps nothing of what it chose (1) and of no other (0)."""
    family = court.family
    if _member(evidence, court) is None or family is None or family.overfitting is None:
        # One cell was not chosen out of several.
        return not_applicable("overfitting", 0.0, Direction.AT_MOST)
    value = float(family.overfitting.vetoes)
    return judge("overfitting", value, 0.0, Direction.AT_MOST, family.tested)


def _spa(evidence: Evidence, court: Court) -> GateResult:
    member = _member(evidence, court)
    value, hashed = (member.spa, member.spa_hash) if member is not None else (None, "")
    return judge(SPA, value, court.thresholds.spa, Direction.AT_MOST, hashed)


def _deflated_sharpe(evidence: Evidence, court: Court) -> GateResult:
    trials = court.universe.trials
    hashed = content_hash({"excess": _excess_hash(evidence), "trials": trials.head, "n": trials.n_effective})
    threshold = court.thresholds.deflated_sharpe
    return judge(DEFLATED_SHARPE, deflated(evidence, court), threshold, Direction.AT_LEAST, hashed)


def _permutation(evidence: Evidence, court: Court) -> GateResult:
    threshold, direction = court.thresholds.permutation, Direction.AT_MOST
    if court.permutations == 0:
        return not_applicable(PERMUTATION, threshold, direction)
    record = court.universe.permutation
    if record is None or evidence.excess is None:
        return judge(PERMUTATION, None, threshold, direction, "")
    hashed = content_hash({"excess": _excess_hash(evidence), "null": record.null})
    return judge(PERMUTATION, permutation_probability(evidence, court), threshold, direction, hashed)


def permutation_probability(evidence: Evidence, court: Court) -> float:
    """Return the share of permuted markets on which the whole search found at least as much; NaN unknown."""
    record = court.universe.permutation
    if record is None or evidence.excess is None:
        return math.nan
    statistic = metrics.sharpe(evidence.excess, court.days_per_year)
    return math.nan if math.isnan(statistic) else record.p_value(statistic)


def _excess_lower_bound(evidence: Evidence, court: Court) -> GateResult:
    threshold = court.thresholds.excess_lower_bound
    value = lower_bound(evidence, court)
    return judge(EXCESS_LOWER_BOUND, value, threshold, Direction.ABOVE, _excess_hash(evidence))


def _excess_bootstrap(evidence: Evidence, court: Court) -> GateResult:
    member = _member(evidence, court)
    value = member.bootstrap_bound if member is not None else None
    threshold = court.thresholds.excess_bootstrap
    return judge(EXCESS_BOOTSTRAP, value, threshold, Direction.ABOVE, _excess_hash(evidence))


def _track_record(evidence: Evidence, court: Court) -> GateResult:
    threshold = court.thresholds.track_record
    return judge(TRACK_RECORD, track_record(evidence), threshold, Direction.AT_MOST, _excess_hash(evidence))


def track_record(evidence: Evidence) -> float:
    """Return the observations that the excess needs to be proven, as a share of those that there are."""
    sample = describe(evidence.excess) if evidence.excess is not None else None
    if sample is None:
        return math.nan
    return minimum_track_record(sample, benchmark=0.0) / sample.n_observations


def _member(evidence: Evidence, court: Court) -> Member | None:
    return None if court.family is None else court.family.members.get(evidence.cell.key)


def lower_bound(evidence: Evidence, court: Court) -> float:
    """Return the one-sided 95% lower bound of the annualised Sharpe ratio of the excess."""
    excess = evidence.excess
    if excess is None:
        return math.nan
    return annualized_lower_bound(excess, days_per_year=court.days_per_year)


def deflated(evidence: Evidence, court: Court) -> float:
    """Return the deflated Sharpe ratio of the excess over all trials of the register; NaN without one."""
    excess, trials = evidence.excess, court.universe.trials
    sample = describe(excess) if excess is not None else None
    # This cell is a trial itself: a register without any was lost, and forgets what it is there to remember.
    if sample is None or trials.count == 0:
        return math.nan
    return deflated_by_luck(sample, n_effective=trials.n_effective)


def _trades(evidence: Evidence, court: Court) -> GateResult:
    trades = evidence.cell.trades
    return judge(
        "trades",
        trades,
        float(court.thresholds.trades),
        Direction.AT_LEAST,
        content_hash({"trades": float(trades), "returns": evidence.account.returns_hash}),
    )


def _friction_decay(evidence: Evidence, court: Court) -> GateResult:
    threshold, direction = court.thresholds.friction_decay, Direction.AT_MOST
    if Simulator.FRICTIONLESS not in court.simulators:
        return not_applicable("friction_decay", threshold, direction)
    value = friction_decay(evidence, court.days_per_year)
    return judge("friction_decay", value, threshold, direction, _hash(evidence, evidence.frictionless))


def _temporal_fragility(evidence: Evidence, court: Court) -> GateResult:
    value = metrics.temporal_fragility(evidence.account.returns)
    threshold = court.thresholds.temporal_fragility
    return judge("temporal_fragility", value, threshold, Direction.AT_MOST, _hash(evidence))


def _selection_jaccard(evidence: Evidence, court: Court) -> GateResult:
    threshold, direction = court.thresholds.selection_jaccard, Direction.AT_LEAST
    if evidence.cell.key.selection == Selection.ALL:
        return not_applicable("selection_jaccard", threshold, direction)
    weights = evidence.cell.weights
    hashed = content_hash({"weights": weights})
    return judge("selection_jaccard", selection_jaccard(weights), threshold, direction, hashed)


def _af_dist(evidence: Evidence, court: Court) -> GateResult:
    threshold = af_dist_threshold(evidence.market, court.thresholds)
    value = metrics.af_dist(evidence.account.returns)
    return judge("af_dist", value, threshold, Direction.AT_LEAST, _hash(evidence, evidence.market))


def _stress_alpha(evidence: Evidence, court: Court) -> GateResult:
    value = stress_alpha(evidence, evidence.market)
    threshold = court.thresholds.stress_alpha
    return judge("stress_alpha", value, threshold, Direction.AT_LEAST, _hash(evidence, evidence.market))


def stress_alpha(evidence: Evidence, reference: Account | None) -> float:
    """Return the mean daily excess over g x the reference on the reference's worst decile of days."""
    if reference is None:
        return math.nan
    account = evidence.account
    return metrics.stress_alpha(account.returns, account.gross_mean * reference.returns)


def _turnover(evidence: Evidence, court: Court) -> GateResult:
    value = average_turnover(evidence.cell)
    hashed = content_hash({"turnover": evidence.cell.turnover})
    return judge("turnover", value, court.thresholds.turnover, Direction.AT_MOST, hashed)


def _cvar_mult(evidence: Evidence, court: Court) -> GateResult:
    market = evidence.market
    value = None if market is None else cvar_multiple(evidence.account, market)
    threshold = court.thresholds.tail_multiplier
    return judge("cvar_mult", value, threshold, Direction.AT_MOST, _hash(evidence, market))


def _mdd_mult(evidence: Evidence, court: Court) -> GateResult:
    market = evidence.market
    value = None if market is None else drawdown_multiple(evidence.account, market)
    threshold = court.thresholds.tail_multiplier
    return judge("mdd_mult", value, threshold, Direction.AT_MOST, _hash(evidence, market))


def _sim_parity(evidence: Evidence, court: Court) -> GateResult:
    threshold, direction = court.thresholds.sim_parity, Direction.AT_MOST
    if not court.simulators & {Simulator.VECTORBT, Simulator.NAUTILUS}:
        return not_applicable("sim_parity", threshold, direction)
    value = parity_gap(evidence, court.days_per_year)
    return judge("sim_parity", value, threshold, direction, _hash(evidence, second_simulator(evidence)))


def _beta(evidence: Evidence, court: Court) -> GateResult:
    account, market = evidence.account, evidence.market
    threshold = court.thresholds.beta_share * account.gross_mean
    if evidence.cell.key.profile != RiskfolioProfile.MIN_VARIANCE:
        return not_applicable("beta", threshold, Direction.AT_MOST)
    value = None if market is None else metrics.beta(account.returns, market.returns)
    return judge("beta", value, threshold, Direction.AT_MOST, _hash(evidence, market))


def timing_excess(evidence: Evidence) -> float:
    """Return the smallest excess Sharpe ratio among the variants of timing and cost; NaN without them."""
    results = [evidence.cell.variants.get(variant) for variant in TIMING_VARIANTS]
    values = [math.nan if result is None else result.excess_sharpe for result in results]
    return math.nan if any(map(math.isnan, values)) else min(values)


def _timing_excess(evidence: Evidence, court: Court) -> GateResult:
    threshold = court.thresholds.timing_excess
    hashed = variants_hash(evidence.cell, TIMING_VARIANTS)
    return judge("timing_excess", timing_excess(evidence), threshold, Direction.ABOVE, hashed)


def _timing_rank(evidence: Evidence, court: Court) -> GateResult:
    member = _member(evidence, court)
    value, hashed = (member.rank_move, member.rank_hash) if member is not None else (None, "")
    return judge("timing_rank", value, court.thresholds.timing_rank, Direction.AT_MOST, hashed)


def _regimes(evidence: Evidence, court: Court) -> GateResult:
    parts = excess_by_regime(evidence, court)
    hashed = content_hash({str(regime): values for regime, values in parts.items()})
    value = excess_beyond_best_regime(parts, court.days_per_year)
    return judge("regimes", value, court.thresholds.regimes, Direction.ABOVE, hashed)


def excess_by_regime(evidence: Evidence, court: Court) -> dict[Regime, FloatArray]:
    """Return the daily excess of each known regime that has any days, in the order of regimes."""
    if evidence.excess is None or evidence.market is None:
        return {}
    labels = evidence.day_regimes(court.training_rows)
    parts = {regime: evidence.excess[labels == str(regime)] for regime in Regime}
    return {regime: part for regime, part in parts.items() if part.size and regime is not Regime.UNKNOWN}


def excess_beyond_best_regime(parts: Mapping[Regime, FloatArray], days_per_year: int) -> float:
    """Return the excess Sharpe ratio over all days but those of the regime that earned the most.

    NaN where fewer than two regimes are known.
    """
    if len(parts) < 2:
        return math.nan
    best = max(parts, key=lambda regime: float(parts[regime].sum()))
    rest = np.concatenate([part for regime, part in parts.items() if regime is not best])
    return metrics.sharpe(rest, days_per_year)


def capacity(evidence: Evidence, court: Court) -> float:
    """Return the largest capital played that still earned an excess, in quote currency; 0 where none did.

    Counted from the smallest upwards: an excess beyond a capital that earned none is luck.
    """
    if evidence.excess is None:
        return math.nan
    carried = 0.0
    for multiple, value in capacity_curve(evidence, court):
        if not value > 0:
            break
        carried = multiple * court.universe.start_cash
    return carried


def capacity_curve(evidence: Evidence, court: Court) -> list[tuple[float, float]]:
    """Return multiples of the start cash and the excess Sharpe ratio at each, smallest first."""
    base = evidence.excess
    curve = [(1.0, math.nan if base is None else metrics.sharpe(base, court.days_per_year))]
    for variant, multiple in CAPITAL_MULTIPLES.items():
        if (result := evidence.cell.variants.get(variant)) is not None:
            curve.append((multiple, result.excess_sharpe))
    return curve


def _capacity(evidence: Evidence, court: Court) -> GateResult:
    threshold, direction = court.thresholds.capacity, Direction.AT_LEAST
    if not court.universe.has_volume:
        return not_applicable("capacity", threshold, direction)
    if not any(variant in evidence.cell.variants for variant in CAPITAL_MULTIPLES):
        return judge("capacity", None, threshold, direction, "")
    value = capacity(evidence, court)
    hashed = variants_hash(evidence.cell, tuple(CAPITAL_MULTIPLES))
    return judge("capacity", value, threshold, direction, hashed)


def _range(evidence: Evidence, court: Court) -> GateResult:
    threshold, direction = court.thresholds.ambiguous_bars, Direction.AT_MOST
    if not court.universe.has_range:
        # Closes alone say nothing of what happens inside a bar (RULINGS D10).
        return not_applicable("range", threshold, direction)
    ambiguous = evidence.cell.reason_counts.get(Reason.AMBIGUOUS_BAR.name, 0)
    fills = evidence.cell.fills
    # Without a fill nothing is in doubt; how many there were must be known.
    value = 0.0 if fills == 0 else ambiguous / fills
    hashed = content_hash(
        {"ambiguous": ambiguous, "fills": float(fills), "returns": evidence.account.returns_hash}
    )
    return judge("range", value, threshold, direction, hashed)


def variants_hash(cell: CellResult, variants: tuple[Variant, ...]) -> str:
    """Return the hash of what a gate read of a cell's variants."""
    return content_hash(
        {
            str(variant): [result.excess_sharpe, result.curves_hash]
            for variant in variants
            if (result := cell.variants.get(variant)) is not None
        }
    )


_EDGE: Mapping[Callable[[Evidence, Court], GateResult], str] = {
    _spa: SPA,
    _deflated_sharpe: DEFLATED_SHARPE,
    _permutation: PERMUTATION,
    _excess_lower_bound: EXCESS_LOWER_BOUND,
    _excess_bootstrap: EXCESS_BOOTSTRAP,
    _track_record: TRACK_RECORD,
}

_GATES: tuple[Callable[[Evidence, Court], GateResult], ...] = (
    _trades,
    _friction_decay,
    _temporal_fragility,
    _selection_jaccard,
    _af_dist,
    _stress_alpha,
    _turnover,
    _cvar_mult,
    _mdd_mult,
    _sim_parity,
    _beta,
    _overfitting,
    _timing_excess,
    _timing_rank,
    _regimes,
    _capacity,
    _range,
)


def _sharpe_or_zero(returns: FloatArray, days_per_year: int) -> float:
    # An account that never moved earned nothing for its friction: a ratio of 0, not a missing one.
    moved = returns.size >= metrics.MINIMUM_OBSERVATIONS and bool((returns != returns[0]).any())
    return metrics.sharpe(returns, days_per_year) if moved else 0.0


def _hash(evidence: Evidence, other: Account | None = None) -> str:
    """Hash what a gate looked at: the cell's returns and exposure, and the account beside it."""
    return content_hash(
        {
            "returns": evidence.account.returns_hash,
            "gross": [evidence.account.gross_mean, evidence.account.gross_rms],
            "other": other.returns_hash if other is not None else None,
        }
    )


def _excess_hash(evidence: Evidence) -> str:
    return _hash(evidence, evidence.raw_pool)
