"""From a finished cell to its row on the board: every column, every gate, one verdict."""

import json
import math
from datetime import UTC, datetime

import numpy as np

from engine.core import metrics
from engine.domain.errors import IdentityError
from engine.domain.gates import GateResult, Verdict
from engine.domain.panel import FloatArray
from engine.domain.time import Timeframe
from research.cells import (
    BaselineRole,
    CellResult,
    CellStatus,
    Refusal,
    Simulator,
    Tournament,
    UniverseRecord,
    Variant,
)
from research.configuration import TournamentSettings
from research.excess import EQUIVALENT_CORRELATION
from scoreboards import gates as gate_rules
from scoreboards.board import COLUMNS, Row, Value, clean
from scoreboards.evidence import Account, Accounts, Evidence, window_days
from scoreboards.explain import REFUSED
from scoreboards.gates import Court
from scoreboards.regimes import worst_regime

CURVE_POINTS = 90


def cell_row(
    cell: CellResult,
    accounts: Accounts,
    court: Court,
    tournament: Tournament,
    settings: TournamentSettings,
    *,
    void: bool,
) -> Row:
    """Return the row of one cell.

    Raises
    ------
    IdentityError
        If its returns do not compound to the change of its account.
    """
    values = _blank(tournament, settings) | _identity_values(cell, court)
    judged = cell.key.simulator is Simulator.CORE and not cell.is_baseline
    if cell.status is CellStatus.MISSING:
        gates = gate_rules.judge_missing(cell.problem, court) if judged else ()
        word = Verdict.FAIL if judged else Verdict.BASELINE
        return _with_verdict(values, gates, word, (), void=void)
    evidence = accounts.evidence(cell)
    check_identity(evidence.account, court.universe)
    values |= _performance_values(evidence, court)
    values |= _comparison_values(evidence, court)
    values |= _weight_values(cell)
    values |= _window_values(evidence, court)
    gates = gate_rules.judge_cell(evidence, court) if judged else ()
    if judged:
        values |= _luck_values(evidence, court) | _sensitivity_values(evidence, court)
        values |= attribution(evidence, court.days_per_year)
        same = gate_rules.equivalence(evidence, court.days_per_year)
        values |= _equivalence_values(same)
        if same is not None and same.holds:
            # Not applicable by RULINGS D6: a number here would read as an edge.
            values |= dict.fromkeys(sorted(gate_rules.UNDECIDED))
    drawn = cell.key.simulator is Simulator.CORE
    curve = _curve(evidence.account) if drawn else ()
    word = gate_rules.verdict(gates, _or_nan(values["excess_sharpe"])) if judged else Verdict.BASELINE
    return _with_verdict(values, gates, word, curve, void=void)


def _with_verdict(
    values: dict[str, Value],
    gates: tuple[GateResult, ...],
    word: Verdict,
    curve: tuple[float, ...],
    *,
    void: bool,
) -> Row:
    values["verdict"] = str(word)
    values["is_candidate"] = word is Verdict.PASS and not void
    values["candidate_failures"] = ";".join(gate_rules.failures(gates))
    for gate in gates:
        values[f"gate_{gate.gate}"] = str(gate.status)
    return Row(values={column: clean(values[column]) for column in COLUMNS}, gates=gates, curve=curve)


def refused_row(
    refusal: Refusal, universe: UniverseRecord, tournament: Tournament, settings: TournamentSettings
) -> Row:
    """Return the row of a strategy that was not played: it shows why, and can never pass."""
    values = _blank(tournament, settings) | {
        "strategy_id": f"{refusal.strategy}-{REFUSED}",
        "strategy": refusal.strategy,
        "universe": refusal.universe,
        "simulator": str(Simulator.CORE),
        "is_baseline": False,
        "status": REFUSED,
        "problem": refusal.reason,
        "market": universe.market or str(BaselineRole.RAW_POOL),
        "synthetic": universe.synthetic,
        "verdict": str(Verdict.FAIL),
        "is_candidate": False,
        "candidate_failures": REFUSED,
    }
    return Row(values=values, gates=(), curve=())


def _blank(tournament: Tournament, settings: TournamentSettings) -> dict[str, Value]:
    values: dict[str, Value] = dict.fromkeys(COLUMNS)
    return values | {
        "costs": settings.costs.name,
        "limits": settings.limits.name,
        "rules": settings.configuration.rules.name,
        "core_version": tournament.core_version,
    }


def _identity_values(cell: CellResult, court: Court) -> dict[str, Value]:
    key, universe = cell.key, court.universe
    values: dict[str, Value] = {
        "strategy_id": cell.strategy_id,
        "strategy": key.strategy,
        "universe": key.universe,
        "selection": key.selection,
        "rebalance": key.rebalance,
        "engine": key.engine,
        "profile": key.profile,
        "simulator": str(key.simulator),
        "is_baseline": cell.is_baseline,
        "baseline_role": str(cell.baseline_role),
        "status": str(cell.status),
        "problem": cell.problem,
        "parameters_hash": key.parameters_hash,
        "identity_hash": cell.identity_hash,
        "market": universe.market or str(BaselineRole.RAW_POOL),
        "synthetic": universe.synthetic,
        "n_effective": universe.trials.n_effective,
        "trials": universe.trials.count,
        "windows": len(cell.window_rows),
        "fills": cell.fills,
        "fees": cell.fees,
        "trades": cell.trades,
        "halts": cell.halts,
        "delisted_exits": cell.delisted_exits,
        "reasons": ";".join(f"{name}:{count}" for name, count in sorted(cell.reason_counts.items()) if count),
        "start_cash": universe.start_cash,
    }
    if not cell.is_baseline:
        values["parameters"] = json.dumps(dict(cell.parameters), sort_keys=True)
    if cell.timestamps.size:
        intraday = universe.timeframe is not Timeframe.DAY_1
        values["first_bar"] = stamp(int(cell.timestamps[0]), intraday=intraday)
        values["last_bar"] = stamp(int(cell.timestamps[-1]), intraday=intraday)
    return values


def _performance_values(evidence: Evidence, court: Court) -> dict[str, Value]:
    account, days = evidence.account, court.days_per_year
    returns = account.returns
    return {
        "annualized_return": metrics.annualized_return(returns, days),
        "annualized_vol": metrics.annualized_volatility(returns, days),
        "max_drawdown": metrics.max_drawdown(returns),
        "cvar_95": metrics.cvar_95(returns),
        "avg_turnover": gate_rules.average_turnover(evidence.cell),
        "af_dist": metrics.af_dist(returns),
        "temporal_fragility": metrics.temporal_fragility(returns),
        "sharpe": metrics.sharpe(returns, days),
        "cagr": metrics.cagr(returns, days),
        "total_return": metrics.total_return(returns),
        "final_equity": float(evidence.cell.equity[-1]),
        "g": account.gross_mean,
        "g_rms": account.gross_rms,
        "days": int(returns.size),
        "block_sharpes": ";".join(f"{value:.2f}" for value in metrics.block_sharpes(returns)),
    }


def _comparison_values(evidence: Evidence, court: Court) -> dict[str, Value]:
    account, market, days = evidence.account, evidence.market, court.days_per_year
    values: dict[str, Value] = {
        "stress_alpha": gate_rules.stress_alpha(evidence, market),
        "stress_alpha_benchmark": gate_rules.stress_alpha(evidence, evidence.benchmark),
        "stress_ref": _stress_reference(market, court),
        "af_dist_threshold": gate_rules.af_dist_threshold(market, court.thresholds),
        "friction_decay": gate_rules.friction_decay(evidence, days),
        "parity_ann_return_gap": gate_rules.parity_gap(evidence, days),
        "excess_sharpe": excess_sharpe(evidence, days),
        "excess_lower_bound": gate_rules.lower_bound(evidence, court),
        "deflated_sharpe": gate_rules.deflated(evidence, court),
    }
    if evidence.cell.is_baseline:
        # A baseline is no try at an edge, and its distance to itself is rounding.
        values |= {"excess_sharpe": None, "excess_lower_bound": None, "deflated_sharpe": None}
    if evidence.excess is not None:
        values["tracking_error"] = metrics.annualized_volatility(evidence.excess, days)
    if market is not None:
        values |= {
            "stress_delta": metrics.stress_delta(account.returns, account.gross_mean * market.returns),
            "cvar_mult": gate_rules.cvar_multiple(account, market),
            "mdd_mult": gate_rules.drawdown_multiple(account, market),
            "beta": metrics.beta(account.returns, market.returns),
            "corr": metrics.correlation(account.returns, market.returns),
        }
    return values


def _stress_reference(market: Account | None, court: Court) -> str:
    if market is None:
        return ""
    # A set that names no market has a market row all the same: it is the pool under that role.
    return str(market.cell.baseline_role if court.universe.market else BaselineRole.RAW_POOL)


def _weight_values(cell: CellResult) -> dict[str, Value]:
    weights = cell.weights
    if weights.size == 0:
        return {}
    return {
        "selection_jaccard": gate_rules.selection_jaccard(weights),
        "hhi": float(np.mean(np.sum(weights * weights, axis=1))),
        "max_weight": float(np.mean(np.max(weights, axis=1))),
        "n_assets": float(np.mean(np.sum(gate_rules.held(weights), axis=1))),
    }


def _window_values(evidence: Evidence, court: Court) -> dict[str, Value]:
    """Return what is read window by window, on the rows on which each window's fit is in force."""
    slices = window_days(evidence.cell)
    if not slices:
        return {}
    returns = [evidence.account.returns[start:stop] for start, stop in slices]
    values: dict[str, Value] = {"avg_window_sharpe": _mean_sharpe(returns, court.days_per_year)}
    if evidence.market is not None:
        regimes = evidence.window_regimes(court.training_rows)
        worst, mean = worst_regime(regimes, [float(np.prod(1.0 + part)) - 1.0 for part in returns])
        values |= {"worst_regime": str(worst), "worst_regime_mean_return": mean}
    return values


def _mean_sharpe(parts: list[FloatArray], days_per_year: int) -> float:
    """Return the mean Sharpe ratio of windows; parts too short for a ratio are left out."""
    lengths = sorted({part.size for part in parts})
    ratios = [
        metrics.sharpe_of_each(np.stack([part for part in parts if part.size == length]), days_per_year)
        for length in lengths
        if length >= metrics.MINIMUM_OBSERVATIONS
    ]
    return float(np.concatenate(ratios).mean()) if ratios else math.nan


def _luck_values(evidence: Evidence, court: Court) -> dict[str, Value]:
    values: dict[str, Value] = {
        "permutation": gate_rules.permutation_probability(evidence, court),
        "track_record": gate_rules.track_record(evidence),
    }
    member = court.family.members.get(evidence.cell.key) if court.family is not None else None
    if member is not None:
        values |= {
            "spa": member.spa,
            "excess_bootstrap": member.bootstrap_bound,
            "timing_rank": member.rank_move,
            "q_value": member.q_value,
            "max_drawdown_bound": member.drawdown_bound,
            "cvar_95_bound": member.cvar_bound,
        }
    return values


def _sensitivity_values(evidence: Evidence, court: Court) -> dict[str, Value]:
    parts = gate_rules.excess_by_regime(evidence, court)
    values: dict[str, Value] = {
        "excess_beyond_best_regime": gate_rules.excess_beyond_best_regime(parts, court.days_per_year),
        "regime_excess": ";".join(
            f"{regime}:{metrics.annualized_return(part, court.days_per_year):+.4f}/{part.size}"
            for regime, part in parts.items()
        ),
    }
    named = {
        "excess_late": Variant.LATE,
        "excess_costs_2x": Variant.COSTS_2X,
        "excess_costs_3x": Variant.COSTS_3X,
    }
    for column, variant in named.items():
        if (result := evidence.cell.variants.get(variant)) is not None:
            values[column] = result.excess_sharpe
    curve = gate_rules.capacity_curve(evidence, court)
    if len(curve) > 1:
        cash = court.universe.start_cash
        values |= {
            "capacity": gate_rules.capacity(evidence, court),
            "capacity_curve": ";".join(f"{cash * multiple:.0f}:{value:.3f}" for multiple, value in curve),
        }
    return values


def attribution(evidence: Evidence, days_per_year: int) -> dict[str, Value]:
    """Return what the yearly excess is made of; the four parts add up to it.

    Each step is a mean daily return times days a year: from the pool to equal weight of what was selected
    (selection), to the base weights (optimisation), to the account with its signals and limits (timing), all
    without costs and the first two at the cell's mean exposure g, as the excess counts the pool; then what
    costs took, less what they took of the pool (SPEC 1.9).
    """
    pool, free = evidence.raw_pool, evidence.frictionless
    free_pool, free_chosen = evidence.frictionless_pool, evidence.frictionless_benchmark
    bare = evidence.cell.variants.get(Variant.ALLOCATION)
    if pool is None or free is None or free_pool is None or free_chosen is None or bare is None:
        return {}

    def yearly(account: Account) -> float:
        return metrics.annualized_return(account.returns, days_per_year)

    g = evidence.account.gross_mean
    return {
        "selection_alpha": g * (yearly(free_chosen) - yearly(free_pool)),
        "optimisation_alpha": g * (bare.annualized_return - yearly(free_chosen)),
        "timing_alpha": yearly(free) - g * bare.annualized_return,
        "cost_alpha": (yearly(evidence.account) - yearly(free)) - g * (yearly(pool) - yearly(free_pool)),
    }


def _equivalence_values(same: gate_rules.Equivalence | None) -> dict[str, Value]:
    if same is None:
        return {}
    # A tracking error near zero is against the pool, whichever baseline it moves with most.
    role = same.role if same.correlation > EQUIVALENT_CORRELATION else BaselineRole.RAW_POOL
    return {
        "baseline_equivalent": str(role) if same.holds else "",
        "baseline_correlation": same.correlation,
    }


def excess_sharpe(evidence: Evidence, days_per_year: int) -> float:
    """Return the annualised Sharpe ratio of the excess: the point that the lower bound belongs to."""
    return math.nan if evidence.excess is None else metrics.sharpe(evidence.excess, days_per_year)


def _curve(account: Account) -> tuple[float, ...]:
    levels: FloatArray = account.cell.equity / account.cell.equity[0]
    if levels.size > CURVE_POINTS:
        levels = levels[np.linspace(0, levels.size - 1, CURVE_POINTS).round().astype(np.int64)]
    return tuple(round(float(level), 4) for level in levels)


def check_identity(account: Account, universe: UniverseRecord) -> None:
    """Check that an account starts with its cash and that its returns compound to its change.

    Raises
    ------
    IdentityError
        If not.
    """
    cell = account.cell
    try:
        metrics.assert_identity(account.returns, cell.equity)
    except IdentityError as error:
        raise IdentityError(
            f"{cell.strategy_id} ({cell.key.simulator}): {error}; nothing was written"
        ) from error
    if cell.equity[0] != universe.start_cash:
        raise IdentityError(
            f"{cell.strategy_id} ({cell.key.simulator}): the account starts with {cell.equity[0]}, "
            f"was given {universe.start_cash}; nothing was written"
        )


def _or_nan(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def stamp(nanoseconds: int, *, intraday: bool) -> str:
    """Write the open of a bar in UTC, without the time of day where bars are days."""
    moment = datetime.fromtimestamp(nanoseconds / 1e9, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%MZ" if intraday else "%Y-%m-%d")
