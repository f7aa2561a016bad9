"""In which kind of market a window was decided on: one label a window, from market returns known by then."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from engine.domain.panel import FloatArray

RECENT_DAYS = 10
MINIMUM_TRAINING_DAYS = 60
QUIET_BELOW = 0.7
TURBULENT_FROM = 1.25
CRISIS_FROM = 1.8


class Regime(StrEnum):
    """Bands of the market's volatility over the last 10 days / over the training window."""

    QUIET = "QUIET"
    NORMAL = "NORMAL"
    TURBULENT = "TURBULENT"
    CRISIS = "CRISIS"
    UNKNOWN = "UNKNOWN"


def decision_regime(market: FloatArray, day: int, training_days: int) -> Regime:
    """Label one decision day from the market's returns up to and including that day.

    The ratio is that of SPEC 1.14, its outer bands (0.7 and 1.8) too; `NORMAL` and `TURBULENT`, which the
    source tells apart by further measures, part at 1.25. `UNKNOWN` where fewer than 60 days of the
    training window lie inside the series: the market row begins at the first test window.

    Parameters
    ----------
    market
        Shape (D,), daily returns of the market row.
    """
    window = market[max(0, day + 1 - training_days) : day + 1]
    if window.size < MINIMUM_TRAINING_DAYS:
        return Regime.UNKNOWN
    whole = float(window.std(ddof=1))
    if whole == 0:
        return Regime.QUIET
    ratio = float(window[-RECENT_DAYS:].std(ddof=1)) / whole
    if ratio >= CRISIS_FROM:
        return Regime.CRISIS
    if ratio >= TURBULENT_FROM:
        return Regime.TURBULENT
    return Regime.QUIET if ratio < QUIET_BELOW else Regime.NORMAL


def worst_regime(regimes: Sequence[Regime], window_returns: Sequence[float]) -> tuple[Regime, float]:
    """Return the known regime of the lowest mean window return, and that mean; UNKNOWN, NaN without any."""
    means = {
        regime: float(
            np.mean([r for known, r in zip(regimes, window_returns, strict=True) if known is regime])
        )
        for regime in Regime
        if regime is not Regime.UNKNOWN and regime in regimes
    }
    if not means:
        return Regime.UNKNOWN, float("nan")
    worst = min(means, key=lambda regime: means[regime])
    return worst, means[worst]
