"""From weights to lots, and the price beyond which an order must not fill."""

import math

from engine.compiled import inlined_kernel


@inlined_kernel
def lots_for_weight(weight: float, equity: float, cash_buffer: float, price: float, lot_size: float) -> int:
    """Return the signed lots that bring an instrument to a weight, rounded towards zero.

    Parameters
    ----------
    weight
        Share of equity, below 0 for a short.
    cash_buffer
        Share of equity that stays uninvested.
    """
    if weight < 0.0:
        return -int(math.floor(-weight * (equity * (1.0 - cash_buffer)) / (price * lot_size)))
    return int(math.floor(weight * (equity * (1.0 - cash_buffer)) / (price * lot_size)))


@inlined_kernel
def rest_price(price: float, side: int, tick_size: float) -> float:
    """Return the price of a resting limit on the tick: a buy rounded down, a sell up."""
    if side > 0:
        return math.floor(price / tick_size) * tick_size
    return math.ceil(price / tick_size) * tick_size


@inlined_kernel
def limit_price(reference: float, side: int, bound_bps: float, tick_size: float) -> float:
    """Return the worst price that a marketable limit accepts: a buy rounded down to the tick, a sell up."""
    bound = reference * (1.0 + side * (bound_bps / 1e4))
    if side > 0:
        return math.floor(bound / tick_size) * tick_size
    return math.ceil(bound / tick_size) * tick_size
