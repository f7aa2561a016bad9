"""CoinAPI: bars of crypto from many exchanges under one key."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from engine.data.providers.bars import between, traded
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import sift
from engine.data.providers.port import Page
from engine.data.providers.replies import bar_series, decoded, mapping, number, rows_of
from engine.data.providers.stamping import from_iso, iso
from engine.data.providers.vendor import Line, Vendor
from engine.data.providers.web import Query
from engine.data.series import BarSeries
from engine.domain.time import Timeframe

ROWS_A_PAGE: Final = 10_000

_NAME = "coinapi"
_EXCHANGE = "KRAKEN"
_PERIODS = {
    Timeframe.MINUTE_1: "1MIN",
    Timeframe.MINUTE_5: "5MIN",
    Timeframe.MINUTE_15: "15MIN",
    Timeframe.HOUR_1: "1HRS",
    Timeframe.HOUR_4: "4HRS",
    Timeframe.DAY_1: "1DAY",
}
_VALUES = ("price_open", "price_high", "price_low", "price_close", "volume_traded")


def _bars(line: Line, symbol: str, timeframe: Timeframe, start: int, stop: int) -> Iterator[Page[BarSeries]]:
    """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds)."""
    path = f"/v1/ohlcv/{quote(_symbol_id(symbol), safe='')}/history"
    step = timeframe.nanoseconds
    start += -start % step
    stop = min(stop, line.now() - step + 1)
    stop += -stop % step
    while start < stop:
        query: Query = {
            "period_id": _PERIODS[timeframe],
            "time_start": iso(start),
            "time_end": iso(stop),
            "limit": ROWS_A_PAGE,
        }
        payload, bars = line.web.get(path, query, _read)
        new = between(bars, start, stop)
        # Rows are paid for: a page that is not full is the last, no empty one is bought to see it.
        is_last = len(bars) < ROWS_A_PAGE or len(new) == 0
        sifted = sift(bars, timeframe, line.now(), grace=0)
        kept = traded(between(sifted.final, start, stop))
        start = int(new.stamps[-1]) + step if len(new) else start
        yield Page(payload=payload, series=kept, cursor=start, forming=sifted.forming, future=sifted.future)
        if is_last:
            return


def _symbol_id(symbol: str) -> str:
    if "_" in symbol:
        return symbol
    base, _, quoted = symbol.upper().replace("-", "/").partition("/")
    if not (base and quoted):
        raise ProviderError(ProviderCode.UNKNOWN_SYMBOL, _NAME, f"{symbol!r} is no pair; write it as BTC/USD")
    return f"{_EXCHANGE}_SPOT_{base}_{quoted}"


def _read(payload: bytes) -> BarSeries:
    bars = []
    for row in rows_of(_NAME, decoded(_NAME, payload), "bars"):
        cells = mapping(_NAME, row, "bar")
        stamp = from_iso(_NAME, cells.get("time_period_start"))
        bars.append((stamp, *(number(_NAME, cells.get(name), name) for name in _VALUES)))
    return bar_series(_NAME, bars)


COINAPI: Final = Vendor(
    name=_NAME, url="https://rest.coinapi.io", bars=_bars, secret_headers={"X-CoinAPI-Key": "{}"}
)
"""Bars of CoinAPI; `BTC/USD` is Kraken's market, `BITSTAMP_SPOT_BTC_USD` says itself whose it is.

Its trades are not numbered.
"""
