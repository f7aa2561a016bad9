"""Alpaca's market data: bars of stocks and crypto for a live session to warm up on, unadjusted."""

from collections.abc import Iterator
from typing import Final

from engine.data.providers.bars import between, traded
from engine.data.providers.finality import sift
from engine.data.providers.matrix import AssetClass, classify
from engine.data.providers.port import Page
from engine.data.providers.replies import bar_series, check_once, decoded, mapping, number, rows_of
from engine.data.providers.stamping import from_iso, iso, midnights_of_dates
from engine.data.providers.vendor import Line, Vendor
from engine.data.providers.web import Query
from engine.data.series import BAR_VALUES, BarSeries
from engine.domain.time import NANOSECONDS_PER_SECOND, Timeframe

ROWS_A_PAGE: Final = 10_000

_NAME = "alpaca"
_SPANS = {
    Timeframe.MINUTE_1: "1Min",
    Timeframe.MINUTE_5: "5Min",
    Timeframe.MINUTE_15: "15Min",
    Timeframe.HOUR_1: "1Hour",
    Timeframe.HOUR_4: "4Hour",
    Timeframe.DAY_1: "1Day",
}
# Younger trades of all exchanges need another subscription; asked for without it, all of them are refused.
_SIP_DELAY = 16 * 60 * NANOSECONDS_PER_SECOND


def _bars(line: Line, symbol: str, timeframe: Timeframe, start: int, stop: int) -> Iterator[Page[BarSeries]]:
    """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds)."""
    is_crypto = classify(symbol) is AssetClass.CRYPTO
    name = symbol.upper().replace("-", "/") if is_crypto else symbol
    step = timeframe.nanoseconds
    now = line.now() - (0 if is_crypto else _SIP_DELAY)
    stop = min(stop, now - step + 1)
    if start >= stop:
        return
    path = "/v1beta3/crypto/us/bars" if is_crypto else "/v2/stocks/bars"
    # A daily bar is stamped with New York's midnight, up to five hours into our date.
    end = min(stop + (step if timeframe is Timeframe.DAY_1 else 0), now)
    query: Query = {
        "symbols": name,
        "timeframe": _SPANS[timeframe],
        "start": iso(start),
        "end": iso(end),
        "limit": ROWS_A_PAGE,
        "sort": "asc",
    }
    if not is_crypto:
        query |= {"adjustment": "raw", "feed": "sip"}
    token = ""
    followed: set[str] = set()
    while True:
        page = query | ({"page_token": token} if token else {})
        payload, (bars, token) = line.web.get(path, page, lambda reply: _read(reply, name))
        if timeframe is Timeframe.DAY_1 and not is_crypto:
            values = {field: getattr(bars, field) for field in BAR_VALUES}
            bars = BarSeries(stamps=midnights_of_dates(bars.stamps, "America/New_York"), **values)
        sifted = sift(bars, timeframe, now, grace=0)
        kept = traded(between(sifted.final, start, stop))
        start = max(start, int(kept.stamps[-1]) + step) if len(kept) else start
        yield Page(payload=payload, series=kept, cursor=start, forming=sifted.forming, future=sifted.future)
        if not token:
            return
        check_once(_NAME, token, followed)


def _read(payload: bytes, symbol: str) -> tuple[BarSeries, str]:
    """Return the bars of a symbol, and the token of the next page, empty for the last."""
    reply = mapping(_NAME, decoded(_NAME, payload), "reply")
    rows = mapping(_NAME, reply.get("bars") or {}, "bars").get(symbol) or []
    bars = []
    for row in rows_of(_NAME, rows, symbol):
        cells = mapping(_NAME, row, "bar")
        stamp = from_iso(_NAME, cells.get("t"))
        bars.append((stamp, *(number(_NAME, cells.get(name), name) for name in "ohlcv")))
    return bar_series(_NAME, bars), str(reply.get("next_page_token") or "")


ALPACA: Final = Vendor(
    name=_NAME,
    url="https://data.alpaca.markets",
    bars=_bars,
    secret_headers={"APCA-API-KEY-ID": "{}", "APCA-API-SECRET-KEY": "{}"},
)
"""Bars of Alpaca; its trades do not say who took."""
