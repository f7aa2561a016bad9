"""Polygon (now Massive): bars of stocks, currencies and crypto, unadjusted."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from engine.data.providers.bars import between, traded
from engine.data.providers.errors import PassingError
from engine.data.providers.finality import sift
from engine.data.providers.matrix import AssetClass, classify
from engine.data.providers.port import Page
from engine.data.providers.replies import (
    NANOSECONDS_PER_MILLISECOND,
    bar_series,
    check_once,
    decoded,
    instant,
    mapping,
    number,
    rows_of,
)
from engine.data.providers.stamping import midnights_of_dates
from engine.data.providers.vendor import Line, Vendor
from engine.data.providers.web import Query
from engine.data.series import BAR_VALUES, BarSeries
from engine.domain.time import Timeframe

ROWS_A_PAGE: Final = 50_000

_NAME = "polygon"
_SPANS = {
    Timeframe.MINUTE_1: "1/minute",
    Timeframe.MINUTE_5: "5/minute",
    Timeframe.MINUTE_15: "15/minute",
    Timeframe.HOUR_1: "1/hour",
    Timeframe.HOUR_4: "4/hour",
    Timeframe.DAY_1: "1/day",
}
_STATUSES = ("OK", "DELAYED")
_PREFIXES = {AssetClass.CRYPTO: "X:", AssetClass.FX: "C:"}


def _bars(line: Line, symbol: str, timeframe: Timeframe, start: int, stop: int) -> Iterator[Page[BarSeries]]:
    """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds).

    Bars of stocks hold trades before and after the session too; a daily bar is dated, not timed.
    """
    asset_class = classify(symbol)
    step = timeframe.nanoseconds
    stop = min(stop, line.now() - step + 1)
    if start >= stop:
        return
    # A daily bar of a stock is stamped with New York's midnight, up to five hours into our date.
    first = start // NANOSECONDS_PER_MILLISECOND
    last = -(-(stop + (step if timeframe is Timeframe.DAY_1 else 0)) // NANOSECONDS_PER_MILLISECOND) - 1
    path = f"/v2/aggs/ticker/{quote(_ticker(symbol), safe=':')}/range/{_SPANS[timeframe]}/{first}/{last}"
    query: Query = {"adjusted": "false", "sort": "asc", "limit": ROWS_A_PAGE}
    payload, (bars, following) = line.web.get(path, query, _read)
    followed: set[str] = set()
    while True:
        if timeframe is Timeframe.DAY_1 and asset_class is AssetClass.STOCKS:
            values = {name: getattr(bars, name) for name in BAR_VALUES}
            bars = BarSeries(stamps=midnights_of_dates(bars.stamps, "America/New_York"), **values)
        sifted = sift(bars, timeframe, line.now(), grace=0)
        kept = traded(between(sifted.final, start, stop))
        start = max(start, int(kept.stamps[-1]) + step) if len(kept) else start
        yield Page(payload=payload, series=kept, cursor=start, forming=sifted.forming, future=sifted.future)
        if not following:
            return
        check_once(_NAME, following, followed)
        payload, (bars, following) = line.web.follow(following, _read)


def _ticker(symbol: str) -> str:
    prefix = _PREFIXES.get(classify(symbol))
    if prefix is None or symbol.startswith(prefix):
        return symbol
    return prefix + symbol.upper().removesuffix("=X").replace("/", "").replace("-", "")


def _read(payload: bytes) -> tuple[BarSeries, str]:
    """Return the bars of a reply, and where its next page is, empty for the last."""
    reply = mapping(_NAME, decoded(_NAME, payload), "reply")
    if reply.get("status") not in _STATUSES:
        raise PassingError(_NAME, f"answers with status {str(reply.get('status'))[:40]!r}")
    bars = []
    for row in rows_of(_NAME, reply.get("results") or [], "results"):
        cells = mapping(_NAME, row, "bar")
        stamp = instant(_NAME, cells.get("t"), "t", NANOSECONDS_PER_MILLISECOND)
        bars.append((stamp, *(number(_NAME, cells.get(name), name) for name in "ohlcv")))
    return bar_series(_NAME, bars), str(reply.get("next_url") or "")


POLYGON: Final = Vendor(
    name=_NAME,
    url="https://api.polygon.io",
    bars=_bars,
    secret_headers={"Authorization": "Bearer {}"},
)
"""Bars of Polygon; its trades do not say who took."""
