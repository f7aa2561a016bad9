"""The gates of a row on the page: one sign each, and all that stands behind the sign."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from engine.domain.gates import Direction, GateResult, GateStatus, not_applicable
from scoreboards.board import GateDefinition, Row
from scoreboards.explain import WORDS, number, reason
from scoreboards.gate_words import gate_has, gate_needs

SIGNS = {
    GateStatus.PASS: "✓",
    GateStatus.FAIL: "✕",
    GateStatus.MISSING: "?",
    GateStatus.NOT_APPLICABLE: "–",
}
STATUS_WORDS = {
    GateStatus.PASS: "met",
    GateStatus.FAIL: "not met",
    GateStatus.MISSING: "evidence missing",
    GateStatus.NOT_APPLICABLE: "does not apply",
}

# Heads of columns: at most 17 characters, and no judgement, which is the sign's.
NAMES: Mapping[str, str] = {
    "baseline_equivalent": "no baseline",
    "spa": "luckiest of all",
    "deflated_sharpe": "many tries",
    "permutation": "shuffled bars",
    "excess_lower_bound": "lower bound",
    "excess_bootstrap": "days redrawn",
    "track_record": "length of record",
    "trades": "trades",
    "friction_decay": "cost share",
    "temporal_fragility": "steady years",
    "selection_jaccard": "steady picks",
    "af_dist": "tail balance",
    "stress_alpha": "bad markets",
    "turnover": "turnover",
    "cvar_mult": "worst days",
    "mdd_mult": "drawdown",
    "sim_parity": "second simulator",
    "beta": "market risk",
    "overfitting": "search overfits",
    "timing_excess": "a bar later",
    "timing_rank": "rank a bar later",
    "regimes": "kinds of market",
    "capacity": "capacity",
    "range": "clear bars",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One gate of one row.

    Attributes
    ----------
    title
        All of it in one line, for a pointer that rests on the sign.
    """

    gate: str
    name: str
    sign: str
    status: str
    status_words: str
    has: str
    needs: str
    why: str
    evidence: str

    @property
    def title(self) -> str:
        """Everything in one line."""
        told = f": {self.has}, needs {self.needs}" if self.needs else ""
        return f"{self.name} ({self.gate}) {self.status_words}{told}"


def marks(row: Row) -> tuple[Mark, ...]:
    """Return every gate there is, in the order of the gates, as it stands for a row.

    A cell that gave nothing was not asked whether it is a baseline: that does not apply to it.
    """
    by_name = {gate.gate: gate for gate in row.gates}
    return tuple(
        _mark(by_name.get(gate) or not_applicable(gate, math.nan, Direction.AT_MOST)) for gate in WORDS
    )


def _mark(gate: GateResult) -> Mark:
    return Mark(
        gate=gate.gate,
        name=NAMES[gate.gate],
        sign=SIGNS[gate.status],
        status=str(gate.status),
        status_words=STATUS_WORDS[gate.status],
        has=gate_has(gate),
        needs=gate_needs(gate),
        why=reason(gate),
        evidence=gate.evidence_hash,
    )


def definition_needs(definition: GateDefinition) -> str:
    """Return what a gate asks of every row; empty where it compares no number with a standard."""
    if definition.threshold is None:
        return ""
    sign = {"<=": "at most", ">=": "at least", ">": "above"}[definition.direction]
    return f"{sign} {number(definition.threshold, WORDS[definition.gate].scale)}"
