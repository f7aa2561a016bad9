"""Buy new highs, sell new lows."""

from dataclasses import dataclass
from typing import ClassVar

from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, donchian_lower, donchian_upper, latch
from engine.features.strategy import Strategy, parameter


@dataclass(frozen=True)
class ChannelBreakout(Strategy):
    """Long from a close above the channel of past highs until one below that of past lows (Donchian 1960).

    Brock, Lakonishok and LeBaron (1992) test it as the trading range break.
    """

    invest: ClassVar[Invest] = Invest.FULL
    reference: ClassVar[str] = (
        "Donchian (1960), High Finance in Copper, Financial Analysts Journal 16(6); "
        "Brock, Lakonishok and LeBaron (1992), Journal of Finance 47(5)"
    )

    entry: int = parameter(55, low=5, high=250)
    leave: int = parameter(20, low=2, high=250)

    def signal(self) -> Expression:
        """1 from a break upwards to a break downwards."""
        return latch(close > donchian_upper(self.entry), close < donchian_lower(self.leave))
