"""Binance spot: bars and trades of the past, public."""

from collections.abc import Iterator
from typing import Final

from engine.data.providers.bars import between, traded
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import sift
from engine.data.providers.port import Page
from engine.data.providers.replies import (
    NANOSECONDS_PER_MILLISECOND,
    bar_series,
    broken,
    decoded,
    instant,
    number,
    rows_of,
    trade_series,
    whole,
)
from engine.data.providers.vendor import Line, Vendor
from engine.data.providers.web import Query
from engine.data.series import BarSeries, TradeSeries
from engine.domain.time import Timeframe

ROWS_A_PAGE: Final = 1000

_NAME = "binance"


def _bars(line: Line, symbol: str, timeframe: Timeframe, start: int, stop: int) -> Iterator[Page[BarSeries]]:
    """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds)."""
    pair = _pair(symbol)
    step = timeframe.nanoseconds
    start += -start % step
    stop = min(stop, line.now() - step + 1)
    while start < stop:
        query: Query = {
            "symbol": pair,
            "interval": timeframe.value,
            "startTime": start // NANOSECONDS_PER_MILLISECOND,
            "endTime": -(-stop // NANOSECONDS_PER_MILLISECOND) - 1,
            "limit": ROWS_A_PAGE,
        }
        payload, bars = line.web.get("/api/v3/klines", query, _read_bars)
        new = between(bars, start, stop)
        sifted = sift(bars, timeframe, line.now(), grace=0)
        kept = traded(between(sifted.final, start, stop))
        start = int(new.stamps[-1]) + step if len(new) else start
        yield Page(payload=payload, series=kept, cursor=start, forming=sifted.forming, future=sifted.future)
        # It begins at the first bar there is: an empty page is the end.
        if len(new) == 0:
            return


def _trades(line: Line, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
    """Yield trades from `start` up to, not including, `stop` (UTC nanoseconds).

    Fills of one order at one price are one trade, as Binance aggregates them.
    """
    stop = min(stop, line.now())
    query: Query = {"symbol": _pair(symbol), "limit": ROWS_A_PAGE}
    position: Query = {"startTime": start // NANOSECONDS_PER_MILLISECOND}
    while start < stop:
        payload, rows = line.web.get("/api/v3/aggTrades", query | position, _read_trades)
        last = rows[-1] if rows else None
        if last is not None and "fromId" in position and last[1] < int(position["fromId"]):
            raise broken(_NAME, f"has trades before {position['fromId']}, from which on it was asked")
        series = trade_series([row for row in rows if start <= row[0] < stop])
        if last is not None:
            start = stop if last[0] >= stop else max(start, last[0])
            position = {"fromId": last[1] + 1}
        yield Page(payload=payload, series=series, cursor=start)
        if last is None:
            return


def _pair(symbol: str) -> str:
    base, _, quote = symbol.upper().replace("-", "/").partition("/")
    if not (base.isalnum() and quote.isalnum()):
        raise ProviderError(
            ProviderCode.UNKNOWN_SYMBOL, _NAME, f"{symbol!r} is no pair; write it as BTC/USDT"
        )
    return base + quote


def _read_bars(payload: bytes) -> BarSeries:
    bars = []
    for row in rows_of(_NAME, decoded(_NAME, payload), "bars"):
        cells = rows_of(_NAME, row, "bar")
        if len(cells) < 6:
            raise broken(_NAME, f"has a bar of {len(cells)} values")
        stamp = instant(_NAME, cells[0], "open time", NANOSECONDS_PER_MILLISECOND)
        bars.append((stamp, *(number(_NAME, cell, "price or volume") for cell in cells[1:6])))
    return bar_series(_NAME, bars)


def _read_trades(payload: bytes) -> list[tuple[int, int, float, float, bool]]:
    trades = []
    for row in rows_of(_NAME, decoded(_NAME, payload), "trades"):
        if not isinstance(row, dict) or not isinstance(row.get("m"), bool):
            raise broken(_NAME, f"has a trade that is not as documented: {str(row)[:120]}")
        trades.append(
            (
                instant(_NAME, row.get("T"), "time", NANOSECONDS_PER_MILLISECOND),
                whole(_NAME, row.get("a"), "trade id"),
                number(_NAME, row.get("p"), "price"),
                number(_NAME, row.get("q"), "quantity"),
                not row["m"],
            )
        )
    return sorted(trades, key=lambda trade: trade[1])


BINANCE: Final = Vendor(name=_NAME, url="https://api.binance.com", bars=_bars, trades=_trades)
"""Bars and trades of Binance's spot market."""
