"""From weights to lots, and the price beyond which an order must not fill."""

import math

import numpy as np

from engine.compiled import constant, inlined_kernel
from engine.core.account import DECIDED, LOTS, SIZED
from engine.domain.panel import IntArray
from engine.domain.reasons import Cause

TIER_CAUSE = constant(Cause.TIER)

# Twice as many, from short to long, are still exact in a float and in every journal.
MOST_LOTS = 2.0**52 - 1.0


@inlined_kernel
def lots_for_weight(weight: float, equity: float, cash_buffer: float, price: float, lot_size: float) -> int:
    """Return the signed lots that bring an instrument to a weight, rounded towards zero, `MOST_LOTS` at most.

    Parameters
    ----------
    weight
        Share of equity, below 0 for a short.
    cash_buffer
        Share of equity that stays uninvested.
    """
    lots = weight * (equity * (1.0 - cash_buffer)) / (price * lot_size)
    return int(max(min(lots, MOST_LOTS), -MOST_LOTS))


@inlined_kernel
def rest_price(price: float, side: int, tick_size: float) -> float:
    """Return the price of a resting limit on the tick: a buy rounded down, a sell up."""
    if side > 0:
        return math.floor(price / tick_size) * tick_size
    return math.ceil(price / tick_size) * tick_size


@inlined_kernel
def limit_price(reference: float, side: float, bound_bps: float, tick_size: float) -> float:
    """Return the worst price that a marketable limit accepts: a buy rounded down to the tick, a sell up.

    It lies a tick beyond the reference at least: a bound that is narrower than that would let nobody out.
    """
    bound = reference * (1.0 + side * (bound_bps / 1e4)) / tick_size
    beyond = np.floor(reference / tick_size + 0.5) + side
    # Without a branch: the side of the next order is anybody's guess.
    ticks = max(np.floor(bound), beyond) if side > 0 else min(np.ceil(bound), beyond)
    price: float = ticks * tick_size
    return price


@inlined_kernel
def reduces(wanted: int, held: int) -> bool:
    """Say whether an order of so many lots makes a position smaller without turning it round."""
    # No product: lots of a millionth overflow it.
    against = (wanted != 0) & (held != 0) & ((wanted > 0) != (held > 0))
    smaller: bool = against & (abs(wanted) <= abs(held))
    return smaller


@inlined_kernel
def wanted_lots(n: int, lots: IntArray) -> int:
    """Return the signed lots between what is held and the target. A tier only reduces."""
    wanted, held = lots[SIZED, n] - lots[LOTS, n], lots[LOTS, n]
    allowed: int = wanted if (lots[DECIDED, n] != TIER_CAUSE) | reduces(wanted, held) else 0
    return allowed
