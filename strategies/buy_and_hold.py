"""Hold everything, always."""

from dataclasses import dataclass
from typing import ClassVar

from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, where
from engine.features.strategy import Strategy


@dataclass(frozen=True)
class BuyAndHold(Strategy):
    """Long in all that trades, from the first bar to the last (Sharpe 1991)."""

    invest: ClassVar[Invest] = Invest.SCALED
    reference: ClassVar[str] = (
        "Sharpe (1991), The Arithmetic of Active Management, Financial Analysts Journal 47(1)"
    )

    def signal(self) -> Expression:
        """1 once the instrument has a price."""
        return where(close > 0.0, 1.0, 0.0)
