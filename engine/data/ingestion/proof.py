"""What some bars are by the trades in them, which are an exchange's official record (VENUES 1.3, P7)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from engine.data.providers.bars import bars_from_trades
from engine.data.providers.port import Provider
from engine.data.series import BAR_VALUES, BarSeries, TradeSeries
from engine.domain.panel import IntArray
from engine.domain.time import Timeframe


@dataclass(frozen=True, kw_only=True, eq=False)
class Proof:
    """One reply of trades, and what it says of bars.

    Attributes
    ----------
    bars
        Those of the wanted bars that are whole by now.
    is_certain
        Whether trades went on after them. Where there are none, the market may be quiet or the feed may stand
        still, and then it shows fewer trades than there were, never more.
    """

    payload: bytes = field(repr=False)
    bars: BarSeries
    is_certain: bool


def proofs(provider: Provider, symbol: str, timeframe: Timeframe, wanted: IntArray) -> Iterator[Proof]:
    """Yield each reply of trades that is needed for the wanted bars, oldest first.

    A wanted bar that is in no proof is an interval without a trade.

    Parameters
    ----------
    wanted
        Shape (W,), UTC nanoseconds of opens, strictly increasing, all of them over.

    Raises
    ------
    ProviderError
        NOT_OFFERED if the provider gives no trades; else what asking it raises.
    """
    step = timeframe.nanoseconds
    at = 0
    while at < len(wanted):
        start, stop = int(wanted[at]), int(wanted[-1]) + step
        held = TradeSeries.empty()
        asked_from = start
        for page in provider.fetch_trades(symbol, start, stop):
            held = _joined(held, page.series)
            until = stop if page.cursor >= stop else page.cursor - page.cursor % step
            cut = int(np.searchsorted(held.stamps, until))
            bars = bars_from_trades(held.rows(0, cut), timeframe)
            held = held.rows(cut, len(held))
            settled = max(at, int(np.searchsorted(wanted, until)))
            yield Proof(payload=page.payload, bars=_chosen(bars, wanted[at:settled]), is_certain=True)
            at = settled
            span, asked_from = page.cursor - asked_from, page.cursor
            if at == len(wanted) or int(wanted[at]) > page.cursor + span:
                # The next one is more than a page away: nobody needs what lies between.
                break
        else:
            # No trades any more: the last ones make what is taken for whole until more come.
            rest = _chosen(bars_from_trades(held, timeframe), wanted[at:])
            yield Proof(payload=b"", bars=rest, is_certain=False)
            return


def _joined(first: TradeSeries, second: TradeSeries) -> TradeSeries:
    names = ("stamps", "ids", "price", "amount", "buyer_is_taker")
    return TradeSeries(
        **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    )


def _chosen(bars: BarSeries, wanted: IntArray) -> BarSeries:
    rows = np.isin(bars.stamps, wanted)
    return BarSeries(stamps=bars.stamps[rows], **{name: getattr(bars, name)[rows] for name in BAR_VALUES})
