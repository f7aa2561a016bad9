"""Buy what has fallen too fast."""

from dataclasses import dataclass
from typing import ClassVar

from engine.domain.errors import InvalidValueError
from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, latch, zscore
from engine.features.strategy import Strategy, parameter


@dataclass(frozen=True)
class MeanReversion(Strategy):
    """Long from far below the average until the price is back near it (Lehmann 1990).

    `leave` is not 0: a price that equals its average would tie, and rounding would decide when to sell.
    """

    invest: ClassVar[Invest] = Invest.SCALED
    reference: ClassVar[str] = (
        "Lehmann (1990), Fads, Martingales, and Market Efficiency, Quarterly Journal of Economics 105(1)"
    )

    length: int = parameter(20, low=5, high=120)
    entry: float = parameter(2.0, low=0.5, high=4.0)
    leave: float = parameter(-0.5, low=-2.0, high=2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leave <= -self.entry:
            raise InvalidValueError(
                f"mean_reversion: leave must be above -entry, was {self.leave} against {-self.entry}"
            )

    def signal(self) -> Expression:
        """1 from `entry` deviations below the average until above `leave` deviations."""
        distance = zscore(close, self.length)
        return latch(distance < -self.entry, distance > self.leave)
