"""How a strategy wants its entries sent and its positions protected."""

import math
from dataclasses import dataclass, fields

from engine.domain.orders import OrderKind, TimeInForce
from engine.features.expression import Expression, operand

Price = Expression | float


@dataclass(frozen=True, kw_only=True, eq=False)
class Orders:
    """Orders of a strategy that does more than hold a target at the next open.

    What makes a position larger is sent in this style, decided on a closed bar and worked from the next one
    on. What makes it smaller is sent at once, whatever the style: a way out does not wait for a price. Each
    value is a number or an expression, so it may differ by instrument and bar; the order keeps what it was on
    the bar of its decision. A position that a protective order closed stays closed until the signal changes.

    Attributes
    ----------
    kind
        An `OrderKind` from `MARKET` to `STOP_LIMIT`.
    limit
        Price of a `LIMIT` and of a `STOP_LIMIT` once it is triggered.
    trigger
        Price that turns a `STOP` or `STOP_LIMIT` into an order.
    time_in_force
        A `TimeInForce`; only for kinds that rest.
    good_for
        Bars that a resting order waits, 0: no end.
    stop_loss, take_profit
        Prices of the protective orders that begin when an entry fills; when one of them closes the position,
        the others are cancelled. NaN: none.
    trail
        Distance of a trailing stop from the best price since the entry, in quote currency. NaN: none.
    """

    kind: Price = float(OrderKind.MARKETABLE_LIMIT)
    limit: Price = math.nan
    trigger: Price = math.nan
    time_in_force: Price = float(TimeInForce.GTC)
    good_for: Price = 0.0
    stop_loss: Price = math.nan
    take_profit: Price = math.nan
    trail: Price = math.nan

    @property
    def roots(self) -> tuple[Expression, ...]:
        """One expression an attribute, in their order."""
        return tuple(operand(getattr(self, field.name)) for field in fields(self))
