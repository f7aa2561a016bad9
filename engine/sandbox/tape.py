"""The tape: every trade of a market, day by day. Bars, books and tickers are worked out from it alone."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from engine.domain.panel import IntArray
from engine.sandbox.pairs import Pair

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trades:
    """Trades of one pair, oldest first, in whole ticks and lots so that sums are exact.

    Attributes
    ----------
    stamps
        Shape (K,), UTC nanoseconds, strictly increasing. Fills of one order share a microsecond.
    ids
        Shape (K,), counted without holes from the pair's first trade on.
    ticks, lots
        Shape (K,), price and amount, in `Pair.tick` and `Pair.lot`.
    buyer_is_taker, is_market_order
        Shape (K,).
    """

    stamps: IntArray
    ids: IntArray
    ticks: IntArray
    lots: IntArray
    buyer_is_taker: BoolArray
    is_market_order: BoolArray

    def __len__(self) -> int:
        return int(self.stamps.size)

    def rows(self, start: int, stop: int) -> Self:
        """Return trades `start` up to, not including, `stop`."""
        cut = slice(start, stop)
        return type(self)(
            stamps=self.stamps[cut],
            ids=self.ids[cut],
            ticks=self.ticks[cut],
            lots=self.lots[cut],
            buyer_is_taker=self.buyer_is_taker[cut],
            is_market_order=self.is_market_order[cut],
        )

    def between(self, after: int, until: int) -> Self:
        """Return trades later than `after`, not later than `until`, both UTC nanoseconds."""
        start, stop = np.searchsorted(self.stamps, (after, until), side="right")
        return self.rows(int(start), int(stop))


def no_trades() -> Trades:
    """Return the tape of a day on which nothing traded."""
    nothing = np.empty(0, dtype=np.int64)
    never = np.empty(0, dtype=np.bool_)
    return Trades(
        stamps=nothing, ids=nothing, ticks=nothing, lots=nothing, buyer_is_taker=never, is_market_order=never
    )


def joined(parts: list[Trades]) -> Trades:
    """Return the parts, which stand in the order of time, as one."""
    if not parts:
        return no_trades()
    if len(parts) == 1:
        return parts[0]
    return Trades(
        stamps=np.concatenate([part.stamps for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        ticks=np.concatenate([part.ticks for part in parts]),
        lots=np.concatenate([part.lots for part in parts]),
        buyer_is_taker=np.concatenate([part.buyer_is_taker for part in parts]),
        is_market_order=np.concatenate([part.is_market_order for part in parts]),
    )


class Tape(Protocol):
    """Where trades come from. Days are counted from 1970-01-01.

    A day's trades depend on the tape and the day alone, never on what was asked before.
    """

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair, in the order in which they are counted."""
        ...

    @property
    def first_day(self) -> int:
        """Day of the first trade."""
        ...

    @property
    def stop_day(self) -> int:
        """Day after the last trade that there will ever be."""
        ...

    def day(self, pair: int, day: int) -> Trades:
        """Return the trades of a pair on a day from `first_day` up to, not including, `stop_day`."""
        ...

    def middle(self, pair: int, stamp: int) -> float:
        """Return the price between bid and ask, in ticks; NaN before the first trade."""
        ...
