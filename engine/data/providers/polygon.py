"""Polygon (now Massive): bars of stocks, currencies and crypto, unadjusted."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from engine.data.providers.bars import between, closed, traded
from engine.data.providers.entitlements import Secret
from engine.data.providers.errors import PassingError, no_trades
from engine.data.providers.matrix import AssetClass, Capability, capability, classify
from engine.data.providers.patience import Bucket
from engine.data.providers.port import Page, Surroundings
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
from engine.data.providers.web import Query, Web
from engine.data.series import BAR_VALUES, BarSeries, TradeSeries
from engine.domain.time import Timeframe

URL: Final = "https://api.polygon.io"
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


class Polygon:
    """History of Polygon."""

    def __init__(
        self, key: Secret, *, surroundings: Surroundings, bucket: Bucket, base_url: str | None = None
    ) -> None:
        self._surroundings = surroundings
        self._web = Web(
            _NAME,
            base_url or URL,
            surroundings=surroundings,
            bucket=bucket,
            secret_headers={"Authorization": Secret(f"Bearer {key.value}")},
        )

    @property
    def name(self) -> str:
        """`polygon`."""
        return _NAME

    @property
    def capabilities(self) -> Capability:
        """Its row of the matrix."""
        return capability(_NAME)

    def close(self) -> None:
        """Give the connections back."""
        self._web.close()

    def fetch_bars(
        self, symbol: str, timeframe: Timeframe, start: int, stop: int
    ) -> Iterator[Page[BarSeries]]:
        """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds).

        Bars of stocks hold trades before and after the session too; a daily bar is dated, not timed.
        """
        asset_class = classify(symbol)
        step = timeframe.nanoseconds
        stop = min(stop, self._surroundings.now() - step + 1)
        if start >= stop:
            return
        # A daily bar of a stock is stamped with New York's midnight, up to five hours into our date.
        first = start // NANOSECONDS_PER_MILLISECOND
        last = -(-(stop + (step if timeframe is Timeframe.DAY_1 else 0)) // NANOSECONDS_PER_MILLISECOND) - 1
        path = f"/v2/aggs/ticker/{quote(_ticker(symbol), safe=':')}/range/{_SPANS[timeframe]}/{first}/{last}"
        query: Query = {"adjusted": "false", "sort": "asc", "limit": ROWS_A_PAGE}
        payload, (bars, following) = self._web.get(path, query, _read)
        followed: set[str] = set()
        while True:
            if timeframe is Timeframe.DAY_1 and asset_class is AssetClass.STOCKS:
                values = {name: getattr(bars, name) for name in BAR_VALUES}
                bars = BarSeries(stamps=midnights_of_dates(bars.stamps, "America/New_York"), **values)
            kept = traded(closed(between(bars, start, stop), timeframe, self._surroundings.now()))
            start = max(start, int(kept.stamps[-1]) + step) if len(kept) else start
            yield Page(payload=payload, series=kept, cursor=start)
            if not following:
                return
            check_once(_NAME, following, followed)
            payload, (bars, following) = self._web.follow(following, _read)

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        """Refuse: its trades do not say who took.

        Raises
        ------
        ProviderError
            NOT_OFFERED.
        """
        raise no_trades(_NAME, symbol, start, stop)


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
