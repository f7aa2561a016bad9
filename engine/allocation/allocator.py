"""The one interface of all allocations, and what comes out of it: weights that are facts.

A profile sees the returns of one training window and answers with weights. Whatever it is made of, its
answer is checked, quantised and from then on a fact: the same bits wherever it is read.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import numpy as np

from engine.allocation import native, riskfolio_adapter, skfolio_adapter
from engine.domain.errors import AllocationError, InvalidValueError
from engine.domain.panel import FloatArray, IntArray

WEIGHT_UNITS = 10_000
# Solvers stop near the constraint, not on it.
_CONSTRAINT_TOLERANCE = 1e-4


class Engine(StrEnum):
    """Who makes the weights."""

    NATIVE = "native"
    RISKFOLIO = "riskfolio"
    SKFOLIO = "skfolio"


class Profile(StrEnum):
    """What is asked for. All are long-only and fully invested."""

    EQUAL_WEIGHT = "equal_weight"
    INVERSE_VOLATILITY = "inverse_volatility"
    MIN_VARIANCE = "min_variance"
    MAX_SHARPE = "max_sharpe"
    HRP = "hrp"
    HERC = "herc"
    NCO = "nco"
    RISK_PARITY = "risk_parity"
    MEAN_CVAR = "mean_cvar"
    BARBELL = "barbell"


class Allocator(Protocol):
    """Turns simple returns, shape (T, n) without NaN, oldest first, into n weights that sum to 1."""

    def __call__(self, returns: FloatArray, /) -> FloatArray:
        """Return shape (n,), at least 0, or raise `AllocationError`."""


PROFILES: Mapping[tuple[Engine, Profile], Allocator] = {
    (Engine.NATIVE, Profile.EQUAL_WEIGHT): native.equal_weight,
    (Engine.NATIVE, Profile.INVERSE_VOLATILITY): native.inverse_volatility,
    (Engine.RISKFOLIO, Profile.MIN_VARIANCE): riskfolio_adapter.min_variance,
    (Engine.RISKFOLIO, Profile.MAX_SHARPE): riskfolio_adapter.max_sharpe,
    (Engine.RISKFOLIO, Profile.HRP): riskfolio_adapter.hrp,
    (Engine.RISKFOLIO, Profile.HERC): riskfolio_adapter.herc,
    (Engine.RISKFOLIO, Profile.NCO): riskfolio_adapter.nco,
    (Engine.RISKFOLIO, Profile.RISK_PARITY): riskfolio_adapter.risk_parity,
    (Engine.RISKFOLIO, Profile.MEAN_CVAR): riskfolio_adapter.mean_cvar,
    (Engine.RISKFOLIO, Profile.BARBELL): riskfolio_adapter.barbell,
    (Engine.SKFOLIO, Profile.MIN_VARIANCE): skfolio_adapter.min_variance,
    (Engine.SKFOLIO, Profile.MAX_SHARPE): skfolio_adapter.max_sharpe,
    (Engine.SKFOLIO, Profile.HRP): skfolio_adapter.hrp,
    (Engine.SKFOLIO, Profile.HERC): skfolio_adapter.herc,
    (Engine.SKFOLIO, Profile.NCO): skfolio_adapter.nco,
    (Engine.SKFOLIO, Profile.RISK_PARITY): skfolio_adapter.risk_parity,
    (Engine.SKFOLIO, Profile.MEAN_CVAR): skfolio_adapter.mean_cvar,
    (Engine.SKFOLIO, Profile.BARBELL): skfolio_adapter.barbell,
}


def allocator(engine: Engine, profile: Profile) -> Allocator:
    """Return the allocator of that name.

    Raises
    ------
    InvalidValueError
        If the engine does not make that profile.
    """
    found = PROFILES.get((engine, profile))
    if found is None:
        known = ", ".join(sorted(f"{e}/{p}" for e, p in PROFILES))
        raise InvalidValueError(f"allocation {engine}/{profile} does not exist; there are {known}")
    return found


def allocate(engine: Engine, profile: Profile, returns: FloatArray) -> FloatArray:
    """Return the quantised base weights of a universe.

    Parameters
    ----------
    returns
        Shape (T, n), simple returns of the training rows, oldest first.

    Returns
    -------
    Shape (n,), multiples of 1e-4 that sum to 1. An instrument whose price never moved gets 0 from every
    profile that looks at risk: it has none, and would get everything.

    Raises
    ------
    AllocationError
        If the returns hold no answer, or the solver has none.
    """
    return weights_of(quantise(unrounded(engine, profile, returns)))


def unrounded(engine: Engine, profile: Profile, returns: FloatArray) -> FloatArray:
    """Return the weights of `allocate` as the engine gave them, to compare engines with one another."""
    make = allocator(engine, profile)
    if returns.ndim != 2 or returns.shape[0] < 2 or returns.shape[1] < 1:
        raise AllocationError(
            f"{engine}/{profile}: needs returns of at least 2 rows and 1 instrument, was {returns.shape}"
        )
    if not np.isfinite(returns).all():
        row, column = np.argwhere(~np.isfinite(returns))[0]
        raise AllocationError(
            f"{engine}/{profile}: return of instrument {column} in training row {row} is "
            f"{returns[row, column]}; select instruments with all training rows"
        )
    weights = np.zeros(returns.shape[1])
    moved = (returns != returns[0]).any(axis=0)
    if profile is Profile.EQUAL_WEIGHT:
        moved[:] = True
    if not moved.any():
        raise AllocationError(f"{engine}/{profile}: no instrument moved in {returns.shape[0]} training rows")
    if moved.sum() == 1:
        weights[moved] = 1.0
    else:
        weights[moved] = make(np.ascontiguousarray(returns[:, moved]))
    return weights


def quantise(weights: FloatArray) -> IntArray:
    """Round weights to units of 1e-4 that sum to 10,000 exactly.

    Largest remainder: all are rounded down, and the units left over go to the largest remainders, the
    first instrument first among equals.

    Raises
    ------
    AllocationError
        If the weights are not long-only and fully invested.
    """
    total = float(weights.sum())
    if not abs(total - 1.0) <= _CONSTRAINT_TOLERANCE or float(weights.min()) < -_CONSTRAINT_TOLERANCE:
        raise AllocationError(
            f"weights must be at least 0 and sum to 1; the smallest is {weights.min()}, the sum {total}"
        )
    clipped = np.maximum(weights, 0.0)
    exact = clipped / clipped.sum() * WEIGHT_UNITS
    units: IntArray = np.floor(exact).astype(np.int64)
    left_over = WEIGHT_UNITS - int(units.sum())
    units[np.argsort(units - exact, kind="stable")[:left_over]] += 1
    return units


def weights_of(units: IntArray) -> FloatArray:
    """Return units of 1e-4 as shares."""
    return units / WEIGHT_UNITS
