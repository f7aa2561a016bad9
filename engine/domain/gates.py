"""What a gate says about a strategy. Missing evidence never passes."""

import math
from dataclasses import dataclass
from enum import StrEnum

from engine.domain.errors import InvalidValueError


class Direction(StrEnum):
    """On which side of its threshold a value passes."""

    AT_MOST = "<="
    AT_LEAST = ">="
    ABOVE = ">"


class GateStatus(StrEnum):
    """`MISSING`: configured, and no evidence came. `NOT_APPLICABLE`: by configuration there is none."""

    PASS = "pass"
    FAIL = "fail"
    MISSING = "missing"
    NOT_APPLICABLE = "not_applicable"


class Verdict(StrEnum):
    """What a row of the scoreboard says in one word."""

    PASS = "PASS"
    HOLD = "HOLD"
    FAIL = "FAIL"
    BASELINE = "ref"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate's answer for one cell.

    Attributes
    ----------
    gate
        Name of the gate, as in the column `candidate_failures`.
    value, threshold
        What was measured and what was needed; NaN where there is none.
    evidence_hash
        SHA-256 of the inputs of the value.
    """

    gate: str
    value: float
    threshold: float
    direction: Direction
    status: GateStatus
    evidence_hash: str

    def __post_init__(self) -> None:
        if self.status is GateStatus.PASS and math.isnan(self.value):
            raise InvalidValueError(f"gate {self.gate}: a value that is missing cannot pass")


def judge(
    gate: str, value: float | None, threshold: float, direction: Direction, evidence_hash: str
) -> GateResult:
    """Compare a value with its threshold; no value (or NaN) is `MISSING`."""
    if value is None or math.isnan(value):
        return GateResult(
            gate=gate,
            value=math.nan,
            threshold=threshold,
            direction=direction,
            status=GateStatus.MISSING,
            evidence_hash=evidence_hash,
        )
    match direction:
        case Direction.AT_MOST:
            holds = value <= threshold
        case Direction.AT_LEAST:
            holds = value >= threshold
        case Direction.ABOVE:
            holds = value > threshold
    return GateResult(
        gate=gate,
        value=value,
        threshold=threshold,
        direction=direction,
        status=GateStatus.PASS if holds else GateStatus.FAIL,
        evidence_hash=evidence_hash,
    )


def not_applicable(gate: str, threshold: float, direction: Direction) -> GateResult:
    """Say that a gate has nothing to judge by configuration."""
    return GateResult(
        gate=gate,
        value=math.nan,
        threshold=threshold,
        direction=direction,
        status=GateStatus.NOT_APPLICABLE,
        evidence_hash="",
    )
