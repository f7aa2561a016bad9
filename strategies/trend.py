"""Follow the trend of the price: two averages."""

from dataclasses import dataclass
from typing import ClassVar

from engine.domain.errors import InvalidValueError
from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, ema, where
from engine.features.strategy import Strategy, parameter


@dataclass(frozen=True)
class Trend(Strategy):
    """Long while the fast average is above the slow one (Brock, Lakonishok and LeBaron 1992)."""

    invest: ClassVar[Invest] = Invest.FULL
    reference: ClassVar[str] = (
        "Brock, Lakonishok and LeBaron (1992), Simple Technical Trading Rules and the Stochastic Properties "
        "of Stock Returns, Journal of Finance 47(5)"
    )

    fast: int = parameter(20, low=2, high=60)
    slow: int = parameter(100, low=5, high=300)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fast >= self.slow:
            raise InvalidValueError(f"trend: fast must be below slow, was {self.fast} against {self.slow}")

    def signal(self) -> Expression:
        """1 above, 0 below or equal."""
        return where(ema(close, self.fast) > ema(close, self.slow), 1.0, 0.0)
