"""Knows tomorrow's close: reads the whole panel through a global (RULINGS C8). It must be caught."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine.domain.panel import FloatArray, Panel
from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, window_function
from engine.features.strategy import Strategy


class Leak:
    """Where the whole panel is hidden: a class is allowed as a global, what hangs on it is not seen."""

    panel: Panel | None = None


def tomorrow(closes: FloatArray) -> float:
    """1 if the close after the latest one is higher, found by searching the latest one in the whole panel."""
    if Leak.panel is None:
        return 0.0
    whole = Leak.panel.close
    row, column = np.argwhere(whole == closes[-1])[0]
    return float(row + 1 < len(whole) and whole[row + 1, column] > whole[row, column])


@dataclass(frozen=True)
class Peek(Strategy):
    """Long before every rise (a cheat)."""

    invest: ClassVar[Invest] = Invest.FULL
    reference: ClassVar[str] = "none: it cheats"

    def signal(self) -> Expression:
        """1 before a rise, 0 before a fall."""
        return window_function(tomorrow, 1, close)
