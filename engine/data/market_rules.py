"""What a venue takes in orders for an instrument: steps of price and amount, and how little is too little."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from engine.domain.errors import InvalidValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRules:
    """Rules of one market, as its venue said them. Numbers are decimals as text, None where it says nothing.

    They are those of the day on which they were asked for: nobody tells those of the past (VENUES 1.3, P14).

    Attributes
    ----------
    tick_size, lot_size
        Smallest steps of the price (quote currency) and of the amount (units), "0.1".
    minimum_amount, minimum_notional
        Least amount (units) and least worth (quote currency) of an order.
    listed_at
        UTC nanoseconds of the listing; None where the venue does not tell.
    """

    tick_size: str | None = None
    lot_size: str | None = None
    minimum_amount: str | None = None
    minimum_notional: str | None = None
    listed_at: int | None = None

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "minimum_amount", "minimum_notional"):
            value = getattr(self, name)
            if value is not None and not _is_positive(value):
                raise InvalidValueError(f"market rules: {name} must be a positive decimal, was {value!r}")

    @property
    def price_decimals(self) -> int | None:
        """Decimals of a price: those of the tick."""
        if self.tick_size is None:
            return None
        exponent = Decimal(self.tick_size).normalize().as_tuple().exponent
        assert isinstance(exponent, int)
        return max(0, -exponent)


def written(number: float) -> str:
    """Return a number that a venue prints, or that ccxt made of it, as a decimal without an exponent.

    >>> written(1e-08)
    '0.00000001'
    """
    return f"{Decimal(repr(number)):f}"


def _is_positive(text: str) -> bool:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    return number.is_finite() and number > 0
