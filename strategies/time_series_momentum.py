"""Follow the trend of the price: the past year's return."""

from dataclasses import dataclass
from typing import ClassVar

from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, returns, where
from engine.features.strategy import Strategy, parameter


@dataclass(frozen=True)
class TimeSeriesMomentum(Strategy):
    """Long while an instrument's own past return is positive (Moskowitz, Ooi and Pedersen 2012).

    The paper also sells short, and scales each position by its volatility; here the allocation scales.
    """

    invest: ClassVar[Invest] = Invest.SCALED
    reference: ClassVar[str] = (
        "Moskowitz, Ooi and Pedersen (2012), Time Series Momentum, Journal of Financial Economics 104(2)"
    )

    lookback: int = parameter(252, low=20, high=500)

    def signal(self) -> Expression:
        """1 after a gain, 0 after a loss."""
        return where(returns(close, self.lookback) > 0.0, 1.0, 0.0)
