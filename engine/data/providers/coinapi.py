"""CoinAPI: bars of crypto from many exchanges under one key."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from engine.data.providers.bars import between, closed, traded
from engine.data.providers.entitlements import Secret
from engine.data.providers.errors import ProviderCode, ProviderError, no_trades
from engine.data.providers.matrix import Capability, capability
from engine.data.providers.patience import Bucket
from engine.data.providers.port import Page, Surroundings
from engine.data.providers.replies import bar_series, decoded, mapping, number, rows_of
from engine.data.providers.stamping import from_iso, iso
from engine.data.providers.web import Query, Web
from engine.data.series import BarSeries, TradeSeries
from engine.domain.time import Timeframe

URL: Final = "https://rest.coinapi.io"
ROWS_A_PAGE: Final = 10_000

_NAME = "coinapi"
_PERIODS = {
    Timeframe.MINUTE_1: "1MIN",
    Timeframe.MINUTE_5: "5MIN",
    Timeframe.MINUTE_15: "15MIN",
    Timeframe.HOUR_1: "1HRS",
    Timeframe.HOUR_4: "4HRS",
    Timeframe.DAY_1: "1DAY",
}
_VALUES = ("price_open", "price_high", "price_low", "price_close", "volume_traded")


class CoinApi:
    """History of CoinAPI.

    Parameters
    ----------
    exchange
        Whose market `BTC/USD` is, as CoinAPI spells it; `BITSTAMP_SPOT_BTC_USD` says so itself.
    """

    def __init__(
        self,
        key: Secret,
        *,
        surroundings: Surroundings,
        bucket: Bucket,
        base_url: str | None = None,
        exchange: str = "KRAKEN",
    ) -> None:
        self._surroundings = surroundings
        self._exchange = exchange
        self._web = Web(
            _NAME,
            base_url or URL,
            surroundings=surroundings,
            bucket=bucket,
            secret_headers={"X-CoinAPI-Key": key},
        )

    @property
    def name(self) -> str:
        """`coinapi`."""
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
        """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds)."""
        path = f"/v1/ohlcv/{quote(self._symbol_id(symbol), safe='')}/history"
        step = timeframe.nanoseconds
        start += -start % step
        stop = min(stop, self._surroundings.now() - step + 1)
        stop += -stop % step
        while start < stop:
            query: Query = {
                "period_id": _PERIODS[timeframe],
                "time_start": iso(start),
                "time_end": iso(stop),
                "limit": ROWS_A_PAGE,
            }
            payload, bars = self._web.get(path, query, _read)
            new = between(bars, start, stop)
            # Rows are paid for: a page that is not full is the last, no empty one is bought to see it.
            is_last = len(bars) < ROWS_A_PAGE or len(new) == 0
            kept = traded(closed(new, timeframe, self._surroundings.now()))
            start = int(new.stamps[-1]) + step if len(new) else start
            yield Page(payload=payload, series=kept, cursor=start)
            if is_last:
                return

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        """Refuse: its trades are not numbered.

        Raises
        ------
        ProviderError
            NOT_OFFERED.
        """
        raise no_trades(_NAME, symbol, start, stop)

    def _symbol_id(self, symbol: str) -> str:
        if "_" in symbol:
            return symbol
        base, _, quoted = symbol.upper().replace("-", "/").partition("/")
        if not (base and quoted):
            raise ProviderError(
                ProviderCode.UNKNOWN_SYMBOL, _NAME, f"{symbol!r} is no pair; write it as BTC/USD"
            )
        return f"{self._exchange}_SPOT_{base}_{quoted}"


def _read(payload: bytes) -> BarSeries:
    bars = []
    for row in rows_of(_NAME, decoded(_NAME, payload), "bars"):
        cells = mapping(_NAME, row, "bar")
        stamp = from_iso(_NAME, cells.get("time_period_start"))
        bars.append((stamp, *(number(_NAME, cells.get(name), name) for name in _VALUES)))
    return bar_series(_NAME, bars)
