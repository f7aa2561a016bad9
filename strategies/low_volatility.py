"""Hold what moves least."""

from dataclasses import dataclass
from typing import ClassVar

from engine.domain.errors import InvalidValueError
from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, cross_rank, latch, volatility
from engine.features.strategy import Strategy, parameter


@dataclass(frozen=True)
class LowVolatility(Strategy):
    """Long in the calmest instruments of the past year (Blitz and van Vliet 2007).

    Bought in the calmest `buy_share`, held while in the calmest `hold_share`, which spares the trades of the
    one at the border.
    """

    invest: ClassVar[Invest] = Invest.FULL
    reference: ClassVar[str] = (
        "Blitz and van Vliet (2007), The Volatility Effect, Journal of Portfolio Management 34(1); "
        "Ang, Hodrick, Xing and Zhang (2006), The Cross-Section of Volatility and Expected Returns, "
        "Journal of Finance 61(1)"
    )

    length: int = parameter(252, low=20, high=500)
    buy_share: float = parameter(0.25, low=0.05, high=0.5)
    hold_share: float = parameter(0.50, low=0.05, high=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hold_share < self.buy_share:
            raise InvalidValueError(
                f"low_volatility: hold_share must be at least buy_share, was {self.hold_share} against "
                f"{self.buy_share}"
            )

    def signal(self) -> Expression:
        """1 from the entry among the calm to the fall out of the band."""
        rank = cross_rank(volatility(close, self.length))
        return latch(rank <= self.buy_share, rank > self.hold_share)
