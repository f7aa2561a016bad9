"""Who may enter a window, and the selection that takes all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray

BoolArray = npt.NDArray[np.bool_]


class Selection(StrEnum):
    """How a window's universe is chosen from its eligible instruments."""

    ALL = "all"
    LOG_MPS = "log_mps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """What an instrument's training rows must look like.

    Attributes
    ----------
    volatility_max
        Of the returns per bar (sample standard deviation).
    absolute_return_max
        Of any bar: a larger move is an event or an error that a short window would learn from.
    """

    volatility_max: float = 0.10
    absolute_return_max: float = 0.20

    def __post_init__(self) -> None:
        if not (self.volatility_max > 0 and self.absolute_return_max > 0):
            raise InvalidValueError(
                f"eligibility: limits must be positive, were volatility_max {self.volatility_max}, "
                f"absolute_return_max {self.absolute_return_max}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Selected:
    """The universe of one window, and how it came about.

    Attributes
    ----------
    mask, eligible
        Shape (N,), over all instruments of the panel. No instrument selected means cash.
    is_fallback
        Too few were chosen, so all eligible ones were taken.
    components_used, components_zeroed
        Parts of the score that had data, and those that had none and got weight 0.
    components
        Raw values by name, shape (N,), NaN for instruments that were not scored.
    scores
        Shape (N,), natural logarithm of the score; NaN where not scored. Empty for selection `all`.
    clusters
        Shape (N,), numbered from 1; 0 where not clustered. Empty for selection `all`.
    """

    mask: BoolArray
    eligible: BoolArray
    is_fallback: bool = False
    components_used: tuple[str, ...] = ()
    components_zeroed: tuple[str, ...] = ()
    components: Mapping[str, FloatArray] = field(default_factory=dict)
    scores: FloatArray = field(default_factory=lambda: np.empty(0))
    clusters: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def simple_returns(closes: FloatArray) -> FloatArray:
    """Return the returns between consecutive closes, shape (T - 1, N) for closes of shape (T, N)."""
    return closes[1:] / closes[:-1] - 1.0


def eligible(closes: FloatArray, rules: Eligibility) -> BoolArray:
    """Return which instruments may enter a window, shape (N,).

    Parameters
    ----------
    closes
        Shape (T, N), of the training rows only. An instrument with a missing row is not eligible, and one
        that is delisted in the test rows is: nobody knows that yet.
    """
    if closes.ndim != 2 or closes.shape[0] < 3:
        raise InvalidValueError(f"selection: needs closes of at least 3 training rows, was {closes.shape}")
    mask: BoolArray = np.all(np.isfinite(closes) & (closes > 0), axis=0)
    if mask.any():
        returns = simple_returns(closes[:, mask])
        mask[mask] = (returns.std(axis=0, ddof=1) <= rules.volatility_max) & (
            np.abs(returns).max(axis=0) <= rules.absolute_return_max
        )
    return mask


def select_all(closes: FloatArray, rules: Eligibility) -> Selected:
    """Take every eligible instrument."""
    mask = eligible(closes, rules)
    return Selected(mask=mask, eligible=mask)
