"""Any exchange that ccxt knows, by ccxt's own unified bars and trades."""

from collections.abc import Iterator
from typing import Any, Final

from engine.data.providers.bars import between, traded
from engine.data.providers.ccxt_wire import CcxtWire
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import sift
from engine.data.providers.matrix import CCXT_PREFIX, Capability, capability
from engine.data.providers.patience import Bucket
from engine.data.providers.port import Page, RulesSeen, Surroundings
from engine.data.providers.replies import (
    NANOSECONDS_PER_MILLISECOND,
    bar_series,
    broken,
    instant,
    number,
    rows_of,
    trade_series,
)
from engine.data.series import BarSeries, TradeSeries
from engine.domain.time import Timeframe

ROWS_A_PAGE: Final = 500
"""Few enough that every exchange gives them at once."""

_SIDES = {"buy": True, "sell": False}

_Trade = tuple[int, int, float, float, bool]


class Exchange:
    """History of an exchange through ccxt; `name` is `ccxt:<exchange>`.

    Its traps are not known as Kraken's are: what it reports is taken as it is, but for bars that have not
    closed and bars in which nothing was traded.
    """

    def __init__(
        self, exchange: str, *, surroundings: Surroundings, bucket: Bucket, base_url: str | None = None
    ) -> None:
        self._name = f"{CCXT_PREFIX}{exchange}"
        self._surroundings = surroundings
        self._wire = CcxtWire(
            self._name, exchange, surroundings=surroundings, bucket=bucket, base_url=base_url
        )

    @property
    def name(self) -> str:
        """`ccxt:<exchange>`."""
        return self._name

    @property
    def capabilities(self) -> Capability:
        """The row of all exchanges that have none of their own."""
        return capability(self._name)

    def close(self) -> None:
        """Give the connections back."""
        self._wire.close()

    def fetch_bars(
        self, symbol: str, timeframe: Timeframe, start: int, stop: int
    ) -> Iterator[Page[BarSeries]]:
        """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds).

        Raises
        ------
        ProviderError
            NOT_OFFERED if the exchange has no bars of this length.
        """
        self._wire.market(symbol)
        client = self._wire.client
        if not client.has.get("fetchOHLCV") or timeframe.value not in (client.timeframes or {}):
            raise ProviderError(
                ProviderCode.NOT_OFFERED, self._name, f"gives no bars of {timeframe.value}; take longer ones"
            )
        step = timeframe.nanoseconds
        start += -start % step
        stop = min(stop, self._surroundings.now() - step + 1)
        while start < stop:
            since = start // NANOSECONDS_PER_MILLISECOND
            limit = min(ROWS_A_PAGE, -(-(stop - start) // step))
            payload, bars = self._wire.ask(
                lambda since=since, limit=limit: client.fetch_ohlcv(  # type: ignore[misc]
                    symbol, timeframe.value, since, limit
                ),
                lambda rows, _: self._read_bars(rows),
            )
            new = between(bars, start, stop)
            sifted = sift(bars, timeframe, self._surroundings.now(), grace=0)
            kept = traded(between(sifted.final, start, stop))
            known = int(new.stamps[-1]) + step if len(new) else start
            yield Page(
                payload=payload, series=kept, cursor=known, forming=sifted.forming, future=sifted.future
            )
            # An empty page may lie before the listing: the next one may not.
            start = known if len(new) else start + limit * step

    def fetch_time(self) -> int | None:
        """Return what time it is at the exchange, UTC nanoseconds; None where ccxt cannot ask it."""
        return self._wire.time()

    def fetch_rules(self, symbol: str) -> RulesSeen | None:
        """Return what is taken in orders now, by its list of markets, which is asked for once."""
        return self._wire.rules(symbol)

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        """Yield trades from `start` up to, not including, `stop` (UTC nanoseconds).

        Raises
        ------
        ProviderError
            NOT_OFFERED if the exchange gives none, or none that are numbered.
        """
        self._wire.market(symbol)
        client = self._wire.client
        if not client.has.get("fetchTrades"):
            raise ProviderError(ProviderCode.NOT_OFFERED, self._name, "gives no trades of the past")
        stop = min(stop, self._surroundings.now())
        begin = start
        newest = (start - 1, 0)
        while start < stop:
            since = start // NANOSECONDS_PER_MILLISECOND
            payload, rows = self._trades(symbol, since)
            new = [row for row in rows if (row[0], row[1]) > newest]
            last = max(new, default=None)
            if rows and last is None and self._trades(symbol, since + 1)[1]:
                # Nothing new, and yet there is more behind: one millisecond fills the page.
                raise ProviderError(
                    ProviderCode.NOT_OFFERED,
                    self._name,
                    f"gives {len(rows)} trades of {symbol} at once and has more in one millisecond; "
                    "take its bars",
                )
            is_last = last is None or last[0] >= stop
            series = trade_series([row for row in new if row[0] < stop])
            # Trades of the last millisecond may not all have come: it is asked for again.
            start = stop if last is None or is_last else last[0]
            newest = newest if last is None else (last[0], last[1])
            yield Page(
                payload=payload, series=series, cursor=stop if last and is_last else max(begin, newest[0])
            )

    def _trades(self, symbol: str, since: int) -> tuple[bytes, list[_Trade]]:
        return self._wire.ask(
            lambda: self._wire.client.fetch_trades(symbol, since, ROWS_A_PAGE),
            lambda answer, _: [self._read_trade(trade) for trade in rows_of(self._name, answer, "trades")],
        )

    def _read_bars(self, answer: object) -> BarSeries:
        bars = []
        for row in rows_of(self._name, answer, "bars"):
            cells = rows_of(self._name, row, "bar")
            if len(cells) < 6:
                raise broken(self._name, f"has a bar of {len(cells)} values")
            stamp = instant(self._name, cells[0], "time", NANOSECONDS_PER_MILLISECOND)
            bars.append((stamp, *(number(self._name, cell, "price or volume") for cell in cells[1:6])))
        return bar_series(self._name, bars)

    def _read_trade(self, trade: Any) -> _Trade:
        identity, side = str(trade.get("id")), trade.get("side")
        if not (identity.isascii() and identity.isdigit()) or side not in _SIDES:
            raise ProviderError(
                ProviderCode.NOT_OFFERED,
                self._name,
                f"numbers its trades {identity[:40]!r} and calls the side {side!r}; take its bars",
            )
        return (
            instant(self._name, trade["timestamp"], "time", NANOSECONDS_PER_MILLISECOND),
            int(identity),
            number(self._name, trade["price"], "price"),
            number(self._name, trade["amount"], "amount"),
            _SIDES[side],
        )
