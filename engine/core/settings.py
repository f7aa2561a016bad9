"""Costs, rules and limits: what the core is told, as tuples that compiled code reads by name."""

from typing import NamedTuple

import numpy as np

from engine.domain.orders import OrderKind

MARKET = int(OrderKind.MARKET)
MARKETABLE_LIMIT = int(OrderKind.MARKETABLE_LIMIT)


class Costs(NamedTuple):
    """What a fill costs, in basis points of its notional.

    Attributes
    ----------
    impact_coefficient
        A fill of share s of the bar's volume moves the price by `impact_coefficient * sqrt(s)` basis points
        (square-root impact, Almgren et al. 2005, Direct estimation of equity market impact, eq. 13).
    borrow_bps, interest_bps
        A bar, of the value of what is sold short and of the cash that is borrowed.
    """

    taker_fee_bps: float = 10.0
    maker_fee_bps: float = 10.0
    half_spread_bps: float = 0.0
    slippage_bps: float = 5.0
    impact_coefficient: float = 0.0
    borrow_bps: float = 0.0
    interest_bps: float = 0.0


FRICTIONLESS = Costs(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Rules(NamedTuple):
    """How orders are made and filled.

    Attributes
    ----------
    order_kind
        `MARKET` or `MARKETABLE_LIMIT` (immediate or cancel, bound around the close it was decided on).
    order_bound_bps
        Half-width of that bound.
    participation
        Largest share of a bar's volume that a fill may take; infinite for none.
    cash_buffer
        Share of equity that sizing leaves out.
    lot_size, tick_size, minimum_notional
        In units, in quote currency a unit, in quote currency an order.
    stale_bars
        A held instrument that has not traded for this many bars is booked out.
    latency_bars
        Bars that an order is under way: 0, it can fill on the bar after the one it was decided on.
    """

    order_kind: int = MARKETABLE_LIMIT
    order_bound_bps: float = 500.0
    participation: float = 0.10
    cash_buffer: float = 0.01
    lot_size: float = 1e-6
    tick_size: float = 1e-6
    minimum_notional: float = 0.0
    stale_bars: int = 5
    latency_bars: int = 0


class Limits(NamedTuple):
    """Caps on exposure, as shares of equity, and what a drawdown does to them.

    A drawdown from the peak of at least `tier_k_drawdown` scales targets by `tier_k_scale`. At
    `halt_drawdown` the account goes flat for `halt_bars`, then its peak is reset and its scale is at most
    `recovery_scale` for `recovery_bars`.

    Attributes
    ----------
    net
        Cap on longs less shorts, either way.
    short
        Cap on the sum of shorts; 0 forbids them.
    leverage
        Cash may be borrowed up to `leverage - 1` times equity; 1 forbids it.
    """

    gross: float = 1.0
    instrument: float = 0.25
    cluster: float = 0.25
    tier_1_drawdown: float = 0.10
    tier_1_scale: float = 0.75
    tier_2_drawdown: float = 0.15
    tier_2_scale: float = 0.50
    halt_drawdown: float = 0.20
    halt_bars: int = 20
    recovery_bars: int = 60
    recovery_scale: float = 0.50
    net: float = np.inf
    short: float = 0.0
    leverage: float = 1.0


class Terms(NamedTuple):
    """All that the core is told beside prices and targets."""

    costs: Costs
    rules: Rules
    limits: Limits


UNLIMITED = Limits(
    gross=np.inf,
    instrument=np.inf,
    cluster=np.inf,
    tier_1_drawdown=np.inf,
    tier_2_drawdown=np.inf,
    halt_drawdown=np.inf,
)
