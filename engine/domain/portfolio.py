"""What a strategy and its allocation ask for: base weights, from when, and how signals scale them."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray


class Invest(StrEnum):
    """How a signal turns base weights into target weights (part of a strategy's identity).

    `SCALED`: base weight x signal; what is not invested is cash. `FULL`: the same, renormalised over the
    non-zero signals to the gross of the base weights.
    """

    SCALED = "scaled"
    FULL = "full"


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Base weights of one account, and the rows from which they are in force.

    Attributes
    ----------
    rows
        Shape (R,), strictly increasing rows of the panel. Row `rows[k]` is a decision row: the account is
        re-based to `weights[k]`, filled from the next row on.
    weights
        Shape (R, N), base weights as shares of equity, at least 0.
    drift_band
        Re-base as well on a row whose one-way drift sum |w - target| / 2 exceeds this. Infinite: only at
        `rows`; 0: on every row.
    """

    rows: IntArray
    weights: FloatArray
    drift_band: float = np.inf

    def __post_init__(self) -> None:
        if self.rows.ndim != 1 or self.weights.ndim != 2 or len(self.rows) != len(self.weights):
            raise InvalidValueError(
                f"plan: rows {self.rows.shape} and weights {self.weights.shape} must be (R,) and (R, N)"
            )
        if len(self.rows) == 0 or (np.diff(self.rows) <= 0).any():
            raise InvalidValueError("plan: rows must not be empty and must increase")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise InvalidValueError("plan: weights must be finite and at least 0")
        if self.drift_band < 0:
            raise InvalidValueError(f"plan: drift_band must be at least 0, was {self.drift_band}")
