"""Kraken's history: bars of the last 720 intervals as it reports them, all before them built from trades.

What it does that others do not: it gives at most 720 bars whatever is asked, and the forming one after them;
it says that it leaves empty intervals out (VENUES 1.3, P9) and in recorded replies prints them flat, with
volume 0: here they are no bars either way; and it revises volumes after the close, since trades are its
official record. Trades reach back to the first one, a thousand a page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import numpy as np

from engine.data.providers.bars import (
    Difference,
    bars_from_trades,
    between,
    longer_bars,
    reconcile,
    traded,
)
from engine.data.providers.ccxt_wire import CcxtWire
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import sift
from engine.data.providers.kraken_book import read_depth, read_ticker
from engine.data.providers.matrix import Capability, capability
from engine.data.providers.patience import Bucket
from engine.data.providers.port import BooksSeen, Page, RulesSeen, Surroundings
from engine.data.providers.replies import (
    bar_series,
    broken,
    decoded,
    mapping,
    number,
    rows_of,
    seconds_to_nanoseconds,
    trade_series,
    whole,
)
from engine.data.providers.stamping import iso
from engine.data.series import BarSeries, TradeSeries
from engine.domain.time import NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND, Timeframe

BARS_MAX: Final = 720
TRADES_A_PAGE: Final = 1000

OVERLAP_BARS: Final = 60
"""So many reported bars are built from trades as well, where deep history meets them, and compared."""

# A trade's stamp is printed as a float of seconds, off by up to 240 ns from the cursor that Kraken counts in.
_ROUNDING: Final = 1_000

_NAME = "kraken"
_SIDES = {"b": True, "s": False}

_Trade = tuple[int, int, float, float, bool]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ohlc:
    """Bars as reported, closed and traded ones only; Kraken has nothing final from `committed_until` on.

    Attributes
    ----------
    forming, future
        How many were left out since they were not over, by our clock or by Kraken's, or had not even begun.
    """

    payload: bytes
    bars: BarSeries
    committed_until: int
    forming: int
    future: int


class _End(Enum):
    """Whether pages of trades end here: they reach where they were to, or there are no more."""

    NOT_YET = auto()
    REACHED = auto()
    DRY = auto()


class Kraken:
    """History of Kraken through ccxt."""

    def __init__(self, *, surroundings: Surroundings, bucket: Bucket, base_url: str | None = None) -> None:
        self._surroundings = surroundings
        self._wire = CcxtWire(_NAME, _NAME, surroundings=surroundings, bucket=bucket, base_url=base_url)

    @property
    def name(self) -> str:
        """`kraken`."""
        return _NAME

    @property
    def capabilities(self) -> Capability:
        """Its row of the matrix."""
        return capability(_NAME)

    def close(self) -> None:
        """Give the connections back."""
        self._wire.close()

    def fetch_bars(
        self, symbol: str, timeframe: Timeframe, start: int, stop: int
    ) -> Iterator[Page[BarSeries]]:
        """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds).

        Where reported bars do not reach back to `start`, pages of trades come first. Where both are known,
        bars are those of the trades, and the last page tells where the two differ.
        """
        step = timeframe.nanoseconds
        start += -start % step
        # Both on the grid: a bar that opens before `stop` needs its trades up to its end.
        stop = min(stop, self._surroundings.now() - step + 1)
        stop += -stop % step
        if start >= stop:
            return
        ohlc = self._ohlc(symbol, timeframe, start)
        # Where Kraken's own data ends before `stop`, no more is in hand than it has.
        reaches = min(stop, ohlc.committed_until)
        if start >= self._reported_from(step):
            yield Page(
                payload=ohlc.payload,
                series=between(ohlc.bars, start, stop),
                cursor=max(start, reaches),
                forming=ohlc.forming,
                future=ohlc.future,
            )
            return
        meets = int(ohlc.bars.stamps[0]) if len(ohlc.bars) else stop
        built_until = min(stop, meets + OVERLAP_BARS * step)
        overlap: list[BarSeries] = []
        done = start
        days = _Days()
        for page in self._built_pages(symbol, timeframe, start, built_until, ohlc.bars):
            overlap.append(between(page.series, meets, built_until))
            days.take(page.series, page.cursor)
            done = page.cursor
            yield page
        differences = reconcile(_joined(overlap), ohlc.bars, start=meets, stop=built_until)
        yield Page(
            payload=ohlc.payload,
            series=between(ohlc.bars, built_until, stop),
            cursor=max(done, reaches),
            differences=tuple(differences),
            day_differences=tuple(self._day_differences(symbol, timeframe, days, start)),
            forming=ohlc.forming,
            future=ohlc.future,
        )

    def fetch_time(self) -> int | None:
        """Return what time it is at the exchange, UTC nanoseconds."""
        return self._wire.time()

    def fetch_rules(self, symbol: str) -> RulesSeen | None:
        """Return what is taken in orders now, by its list of markets, which is asked for once."""
        return self._wire.rules(symbol)

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        """Yield trades from `start` up to, not including, `stop` (UTC nanoseconds), a page for each reply."""
        stop = min(stop, self._surroundings.now())
        if start >= stop:
            return
        cursor = start
        for payload, trades, end in self._trade_pages(symbol, start, stop):
            if end is _End.REACHED:
                cursor = stop
            elif len(trades):
                # The last trade is asked for again by who goes on from here: others may share its stamp.
                cursor = max(cursor, int(trades.stamps[-1]) - _ROUNDING)
            yield Page(payload=payload, series=trades, cursor=cursor)

    def fetch_quotes(self, symbols: Sequence[str]) -> BooksSeen:
        """Return the best offers of some symbols by one request; of one without an offer, nothing."""
        by_pair = {str(self._wire.market(symbol)["id"]): symbol for symbol in symbols}
        request = {"pair": ",".join(by_pair)}
        payload, books = self._wire.ask(
            lambda: self._wire.client.publicGetTicker(request),
            lambda _, reply: read_ticker(reply, self._surroundings.now()),
        )
        return BooksSeen(
            payload=payload, books={by_pair[pair]: book for pair, book in books.items() if pair in by_pair}
        )

    def fetch_book(self, symbol: str, levels: int) -> BooksSeen:
        """Return the best offers of a symbol, up to so many levels of each side."""
        request = {"pair": str(self._wire.market(symbol)["id"]), "count": levels}
        payload, book = self._wire.ask(
            lambda: self._wire.client.publicGetDepth(request),
            lambda _, reply: read_depth(reply, self._surroundings.now(), levels),
        )
        return BooksSeen(payload=payload, books={symbol: book})

    def _day_differences(
        self, symbol: str, timeframe: Timeframe, days: "_Days", start: int
    ) -> list[Difference]:
        """Return where whole days that were built differ from those reported, which go back two years."""
        first = max(start + -start % NANOSECONDS_PER_DAY, self._reported_from(NANOSECONDS_PER_DAY))
        if timeframe is Timeframe.DAY_1 or first >= days.until:
            return []
        reported = self._ohlc(symbol, Timeframe.DAY_1, first).bars
        return reconcile(_joined(days.bars), reported, start=first, stop=days.until)

    def _reported_from(self, step: int) -> int:
        """Return from when on every interval is among the last `BARS_MAX` ones, the forming one counted."""
        now = self._surroundings.now()
        return now - now % step - (BARS_MAX - 2) * step

    def _built_pages(
        self, symbol: str, timeframe: Timeframe, start: int, stop: int, reported: BarSeries
    ) -> Iterator[Page[BarSeries]]:
        """Yield bars built from trades; a page gives the intervals that its trades have left behind."""
        step = timeframe.nanoseconds
        held = TradeSeries.empty()
        done = start
        for payload, trades, end in self._trade_pages(symbol, start, stop):
            held = _joined_trades(held, trades)
            last = int(held.stamps[-1] - held.stamps[-1] % step) if len(held) else done
            # The interval of the last trade is over if trades went on after it, or if there are no more.
            until = last if end is _End.NOT_YET else stop
            cut = int(np.searchsorted(held.stamps, until))
            bars = bars_from_trades(held.rows(0, cut), timeframe)
            held = held.rows(cut, len(held))
            if end is _End.DRY:
                self._check_end(between(bars, last, stop), between(reported, last, stop), last)
            done = max(done, last if end is _End.DRY else until)
            yield Page(payload=payload, series=bars, cursor=done)

    def _check_end(self, built: BarSeries, reported: BarSeries, last: int) -> None:
        """Refuse trades that end while bars go on: a feed that stands still would leave half a bar behind."""
        if len(reported) and reconcile(built, reported, start=last, stop=2**62):
            raise ProviderError(
                ProviderCode.PROVIDER_ERROR,
                _NAME,
                f"its trades end in the bar of {iso(last)}, its own bars go on; try again later",
            )

    def _trade_pages(self, symbol: str, start: int, stop: int) -> Iterator[tuple[bytes, TradeSeries, "_End"]]:
        """Yield each reply, its trades from `start` to `stop` that came in none before, and whether it ends.

        A short page alone is no end, since nobody promises full ones: it takes one that brings nothing new.
        """
        pair = str(self._wire.market(symbol)["id"])
        since = start - _ROUNDING
        newest = (start - 1, 0)
        end = _End.NOT_YET
        while end is _End.NOT_YET:
            payload, (rows, last) = self._trades(pair, since)
            new = [row for row in rows if (row[0], row[1]) > newest]
            if not new:
                end = _End.DRY
            elif max(row[0] for row in new) >= stop:
                end = _End.REACHED
            else:
                newest = max((row[0], row[1]) for row in new)
            yield payload, trade_series([row for row in new if row[0] < stop]), end
            # Trades of one nanosecond may lie on two pages, and the cursor leaves out what it stands on.
            if last - 1 > since:
                since = last - 1
            elif len(rows) < TRADES_A_PAGE:
                since = last
            else:
                raise ProviderError(
                    ProviderCode.PROVIDER_ERROR, _NAME, f"{len(rows)} trades of one nanosecond fill a page"
                )

    def _trades(self, pair: str, since: int) -> tuple[bytes, tuple[list[_Trade], int]]:
        request = {"pair": pair, "since": str(since), "count": TRADES_A_PAGE}
        return self._wire.ask(
            lambda: self._wire.client.publicGetTrades(request), lambda _, reply: _read_trades(reply)
        )

    def _ohlc(self, symbol: str, timeframe: Timeframe, start: int) -> _Ohlc:
        pair = str(self._wire.market(symbol)["id"])
        minutes = timeframe.nanoseconds // (60 * NANOSECONDS_PER_SECOND)
        # One second before: whether `since` itself is among the bars has changed over the years.
        request = {"pair": pair, "interval": minutes, "since": start // NANOSECONDS_PER_SECOND - 1}
        payload, (bars, last) = self._wire.ask(
            lambda: self._wire.client.publicGetOHLC(request), lambda _, reply: _read_ohlc(reply)
        )
        sifted = sift(bars, timeframe, self._surroundings.now(), grace=0)
        # Closed by our clock and by Kraken's, whichever is behind.
        committed = between(sifted.final, 0, last + 1)
        return _Ohlc(
            payload=payload,
            bars=traded(committed),
            committed_until=last + timeframe.nanoseconds,
            forming=sifted.forming + len(sifted.final) - len(committed),
            future=sifted.future,
        )


class _Days:
    """Whole days of the bars that it is given, oldest first.

    Attributes
    ----------
    until
        UTC nanoseconds: days before it are whole.
    """

    def __init__(self) -> None:
        self.bars: list[BarSeries] = []
        self.until = 0
        self._begun = BarSeries.empty()

    def take(self, bars: BarSeries, complete_until: int) -> None:
        """Take the bars that follow; all are known that open before `complete_until`."""
        begun = _joined([self._begun, bars])
        self.until = complete_until - complete_until % NANOSECONDS_PER_DAY
        self.bars.append(longer_bars(between(begun, 0, self.until), Timeframe.DAY_1))
        self._begun = between(begun, self.until, 2**62)


def _read_trades(payload: bytes) -> tuple[list[_Trade], int]:
    """Return trades as (stamp, id, price, amount, buyer is taker), and the cursor in nanoseconds."""
    rows, last = _envelope(payload)
    trades = []
    for row in rows:
        cells = rows_of(_NAME, row, "trade")
        if len(cells) < 7 or str(cells[3]) not in _SIDES:
            raise broken(_NAME, f"has a trade that is not as documented: {str(cells)[:120]}")
        trades.append(
            (
                seconds_to_nanoseconds(_NAME, cells[2], "time"),
                whole(_NAME, cells[6], "trade id"),
                number(_NAME, cells[0], "price"),
                number(_NAME, cells[1], "volume"),
                _SIDES[cells[3]],
            )
        )
    return trades, whole(_NAME, last, "last")


def _read_ohlc(payload: bytes) -> tuple[BarSeries, int]:
    """Return bars as they stand in a reply, and the open of the last one that is committed (nanoseconds)."""
    rows, last = _envelope(payload)
    bars = []
    for row in rows:
        cells = rows_of(_NAME, row, "bar")
        if len(cells) < 7:
            raise broken(_NAME, f"has a bar that is not as documented: {str(cells)[:120]}")
        stamp = seconds_to_nanoseconds(_NAME, cells[0], "time")
        prices = [number(_NAME, cell, "price") for cell in cells[1:5]]
        bars.append((stamp, *prices, number(_NAME, cells[6], "volume")))
    return bar_series(_NAME, bars), seconds_to_nanoseconds(_NAME, last, "last")


def _envelope(payload: bytes) -> tuple[Sequence[Any], object]:
    """Return the rows of the one pair that a reply is about, and its cursor."""
    result = mapping(
        _NAME, mapping(_NAME, decoded(_NAME, payload, exact=True), "reply").get("result"), "result"
    )
    pairs = [name for name in result if name != "last"]
    if len(pairs) != 1 or "last" not in result:
        raise broken(_NAME, f"is not about one pair but has {sorted(result)}")
    return rows_of(_NAME, result[pairs[0]], pairs[0]), result["last"]


def _joined(parts: Sequence[BarSeries]) -> BarSeries:
    kept = [part for part in parts if len(part)]
    if not kept:
        return BarSeries.empty()
    return BarSeries(
        **{
            name: np.concatenate([getattr(part, name) for part in kept])
            for name in ("stamps", "open", "high", "low", "close", "volume")
        }
    )


def _joined_trades(first: TradeSeries, second: TradeSeries) -> TradeSeries:
    names = ("stamps", "ids", "price", "amount", "buyer_is_taker")
    return TradeSeries(
        **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    )
