"""A strategy that sends every kind of order; copied into `strategies/` of a project it is found by name."""

from dataclasses import dataclass

from engine.domain.orders import OrderKind, TimeInForce
from engine.features.expression import Expression
from engine.features.operators import atr, close, ema, lag, minimum, volume, weekday, where
from engine.features.orders import Orders
from engine.features.strategy import Strategy, parameter


@dataclass(frozen=True)
class EveryOrder(Strategy):
    """Long above an average; how it enters and leaves changes with the day of the week."""

    length: int = parameter(20, low=5, high=100)

    def signal(self) -> Expression:
        return where(close > ema(close, self.length), 1.0, 0.0)

    def orders(self) -> Orders:
        reach = atr(14)
        # Five days a week, five kinds of entry.
        kind = minimum(weekday, float(OrderKind.STOP_LIMIT))
        up = volume > lag(volume)
        before = lag(volume) > lag(volume, 2)
        force = where(
            up,
            where(before, float(TimeInForce.GTC), float(TimeInForce.FOK)),
            where(before, float(TimeInForce.DAY), float(TimeInForce.IOC)),
        )
        above = kind > OrderKind.STOP - 0.5
        return Orders(
            kind=kind,
            limit=where(above, close + 0.4 * reach, close - 0.1 * reach),
            trigger=close + 0.1 * reach,
            time_in_force=force,
            good_for=where(up, 5.0, 0.0),
            stop_loss=close - 2.0 * reach,
            take_profit=where(up, close + 3.0 * reach, float("nan")),
            trail=where(before, 2.5 * reach, float("nan")),
        )
