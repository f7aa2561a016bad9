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
from research.cells import BaselineRole, CellResult, Simulator, UniverseRecord
from research.configuration import GateThresholds, RiskfolioProfile, Selection
from research.statistics import annualized_lower_bound, deflated_sharpe, describe
from scoreboards.evidence import Account, Evidence

EXCESS_LOWER_BOUND = "excess_lower_bound"
DEFLATED_SHARPE = "deflated_sharpe"
BASELINE_EQUIVALENT = "baseline_equivalent"

# A verdict of HOLD may miss these two and nothing else: more data can still mend them.
UNDECIDED = frozenset({EXCESS_LOWER_BOUND, DEFLATED_SHARPE})

HELD_WEIGHT = 1e-3
TURNOVER_ROWS = 20
EQUIVALENT_CORRELATION = 0.999
EQUIVALENT_TRACKING_ERROR = 0.01
MULTIPLIER_EPSILON = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Court:
    """By what a cell is judged: the configuration, and what is known of the data.

    Attributes
    ----------
    simulators
        That were configured: evidence of others is not asked for.
    """

    thresholds: GateThresholds
    simulators: frozenset[Simulator]
    universe: UniverseRecord

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
    """Return |core - vectorbt| of the annualised return, both simulating by themselves."""
    if evidence.vectorbt is None:
        return math.nan
    ours = metrics.annualized_return(evidence.account.returns, days_per_year)
    theirs = metrics.annualized_return(evidence.vectorbt.returns, days_per_year)
    return abs(ours - theirs)


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


def judge_cell(evidence: Evidence, court: Court) -> tuple[GateResult, ...]:
    """Return the answer of every gate for one finished `core` cell."""
    same = equivalence(evidence, court.days_per_year)
    results = [_baseline_equivalent(evidence, same)]
    # Against a baseline in disguise there is no excess to test: what is left is rounding and cash buffer.
    edge_applies = same is None or not same.holds
    results += [
        gate(evidence, court, applies=edge_applies) for gate in (_excess_lower_bound, _deflated_sharpe)
    ]
    results += [gate(evidence, court) for gate in _GATES]
    # By name on every row, so that nobody takes a missing column for a gate that was passed (RULINGS D10):
    # closes alone say nothing of volume and of what happens inside a bar, and where there is both no run at
    # a larger size and no resting order is configured.
    results += [not_applicable(gate, math.nan, Direction.AT_MOST) for gate in ("capacity", "range")]
    return tuple(results)


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
        EXCESS_LOWER_BOUND: (thresholds.excess_lower_bound, above),
        DEFLATED_SHARPE: (thresholds.deflated_sharpe, least),
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
    }


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


def _excess_lower_bound(evidence: Evidence, court: Court, *, applies: bool) -> GateResult:
    threshold = court.thresholds.excess_lower_bound
    if not applies:
        return not_applicable(EXCESS_LOWER_BOUND, threshold, Direction.ABOVE)
    value = lower_bound(evidence, court)
    return judge(EXCESS_LOWER_BOUND, value, threshold, Direction.ABOVE, _excess_hash(evidence))


def _deflated_sharpe(evidence: Evidence, court: Court, *, applies: bool) -> GateResult:
    threshold = court.thresholds.deflated_sharpe
    if not applies:
        return not_applicable(DEFLATED_SHARPE, threshold, Direction.AT_LEAST)
    trials = court.universe.trials
    hashed = content_hash({"excess": _excess_hash(evidence), "trials": trials.head, "n": trials.n_effective})
    return judge(DEFLATED_SHARPE, deflated(evidence, court), threshold, Direction.AT_LEAST, hashed)


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
    return deflated_sharpe(sample, n_effective=trials.n_effective)


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
    if Simulator.VECTORBT not in court.simulators:
        return not_applicable("sim_parity", threshold, direction)
    value = parity_gap(evidence, court.days_per_year)
    return judge("sim_parity", value, threshold, direction, _hash(evidence, evidence.vectorbt))


def _beta(evidence: Evidence, court: Court) -> GateResult:
    account, market = evidence.account, evidence.market
    threshold = court.thresholds.beta_share * account.gross_mean
    if evidence.cell.key.profile != RiskfolioProfile.MIN_VARIANCE:
        return not_applicable("beta", threshold, Direction.AT_MOST)
    value = None if market is None else metrics.beta(account.returns, market.returns)
    return judge("beta", value, threshold, Direction.AT_MOST, _hash(evidence, market))


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
