"""Hold the winners of the past year."""

from dataclasses import dataclass
from typing import ClassVar

from engine.domain.errors import InvalidValueError
from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, cross_rank, lag, latch
from engine.features.strategy import Strategy, parameter


@dataclass(frozen=True)
class CrossSectionalMomentum(Strategy):
    """Long in the best of the past year, its last month left out (Jegadeesh and Titman 1993).

    An instrument is bought in the top `buy_share` and held while in the top `hold_share`: without that band
    the one at the border is traded to and fro (Novy-Marx and Velikov 2016).
    """

    invest: ClassVar[Invest] = Invest.FULL
    reference: ClassVar[str] = (
        "Jegadeesh and Titman (1993), Returns to Buying Winners and Selling Losers, Journal of Finance 48(1)"
    )

    lookback: int = parameter(252, low=40, high=500)
    skip: int = parameter(21, low=1, high=39)
    buy_share: float = parameter(0.25, low=0.05, high=0.5)
    hold_share: float = parameter(0.50, low=0.05, high=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hold_share < self.buy_share:
            raise InvalidValueError(
                f"cross_sectional_momentum: hold_share must be at least buy_share, was {self.hold_share} "
                f"against {self.buy_share}"
            )

    def signal(self) -> Expression:
        """1 from the entry into the top to the fall out of the band."""
        past_return = lag(close, self.skip) / lag(close, self.lookback) - 1.0
        rank = cross_rank(past_return)
        return latch(rank >= 1.0 - self.buy_share, rank < 1.0 - self.hold_share)
