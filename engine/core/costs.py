"""What a fill costs: price after spread, slippage and impact, and the fee."""

import math

from engine.compiled import inlined_kernel
from engine.core.settings import Costs

PRICE_UNITS = 1e8


@inlined_kernel
def fill_price_e8(reference: float, side: int, quantity: float, volume: float, costs: Costs) -> int:
    """Return the price of a taker fill, in 1e-8 quote units.

    Parameters
    ----------
    reference
        Price before costs.
    side
        +1 for a buy, -1 for a sell.
    quantity, volume
        In units; an unknown volume (NaN) moves no price.
    """
    bps = costs.half_spread_bps + costs.slippage_bps
    if costs.impact_coefficient > 0.0 and volume > 0.0:
        bps += costs.impact_coefficient * math.sqrt(quantity / volume)
    return int(math.floor(reference * (1.0 + side * (bps / 1e4)) * PRICE_UNITS + 0.5))


@inlined_kernel
def taker_fee(notional: float, costs: Costs) -> float:
    """Return the fee of a fill that takes liquidity, of this notional, in quote currency."""
    return notional * (costs.taker_fee_bps / 1e4)


@inlined_kernel
def maker_fee(notional: float, costs: Costs) -> float:
    """Return the fee of a fill that rested in the book, of this notional, in quote currency."""
    return notional * (costs.maker_fee_bps / 1e4)
