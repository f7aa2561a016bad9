"""One gate of one row in words: what it needs, what the row has, and what to do where that is not enough."""

import math
from collections.abc import Mapping

from engine.domain.gates import Direction, GateResult, GateStatus
from scoreboards.explain import WORDS, number

_SIDES = {Direction.AT_MOST: "at most", Direction.AT_LEAST: "at least", Direction.ABOVE: "above"}

STEPS: Mapping[str, str] = {
    "baseline_equivalent": "give it a signal of its own: edit the strategy, then  engine tournament",
    "excess_lower_bound": "more history or a stronger idea; trying parameters until it passes makes it worse",
    "deflated_sharpe": "a stronger idea, tried fewer times: every try on this data is counted",
    "trades": "a longer history, or a signal that acts more often",
    "friction_decay": "trade less often, or where it is cheaper; a costs profile must be the venue's",
    "temporal_fragility": "see in the report which years lost, and why",
    "selection_jaccard": "a selection that changes less, such as  all",
    "af_dist": "see the worst days in the report; smaller positions or a way out sooner",
    "stress_alpha": "see in the report what it holds on the market's worst days",
    "turnover": "a slower signal, or the same with rebalance  window",
    "cvar_mult": "smaller positions on wild days, such as a volatility target",
    "mdd_mult": "smaller positions on wild days, or a way out sooner",
    "sim_parity": "find out where the simulators part: nothing moves up until they agree",
    "beta": "another profile than  min_variance",
    "spa": "a stronger idea: among so many cells the luckiest earns as much without one",
    "permutation": "a stronger idea, searched for among fewer: shuffled prices give as much",
    "excess_bootstrap": "more history or a stronger idea; its days, drawn again, do not prove it",
    "track_record": "a longer history; the report says how much is needed",
    "overfitting": "fewer parameters and cells: this search finds what was, not what is",
    "timing_excess": "an idea that lives longer than one bar, or that trades less",
    "timing_rank": "see in the report what one bar of delay changes; do not pick one cell of many alike",
    "regimes": "see in the report which kind of market pays for it",
    "capacity": "instruments with more volume, or a slower signal",
    "range": "wider stops and targets, or shorter bars",
}


def gate_needs(gate: GateResult) -> str:
    """Return what a gate asks of a row, such as `at most 0.30`; empty where it asks nothing."""
    if gate.status is GateStatus.NOT_APPLICABLE or math.isnan(gate.threshold):
        return ""
    if gate.gate == "baseline_equivalent":
        return "something of its own"
    return f"{_SIDES[gate.direction]} {number(gate.threshold, WORDS[gate.gate].scale)}"


def gate_has(gate: GateResult) -> str:
    """Return what a row has, as a reader sees it."""
    match gate.status:
        case GateStatus.NOT_APPLICABLE:
            return "does not apply"
        case GateStatus.MISSING:
            return "no evidence"
        case GateStatus.PASS | GateStatus.FAIL:
            if gate.gate == "baseline_equivalent":
                return "a baseline in disguise" if gate.status is GateStatus.FAIL else "yes"
            value, threshold = (number(x, WORDS[gate.gate].scale) for x in (gate.value, gate.threshold))
            # A near miss must not read as "0.95, needed 0.95".
            return value if value != threshold else f"{gate.value:.6g}"
