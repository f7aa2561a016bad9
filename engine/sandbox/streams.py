"""Kraken's WebSocket v2 channels: what a subscription begins with, and what is new since the last look."""

from typing import Any, Protocol

import numpy as np

from engine.domain.time import NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND
from engine.sandbox.bars import Bars
from engine.sandbox.book import Book, checksum
from engine.sandbox.faults import FaultDealer
from engine.sandbox.market import INTERVALS, NANOSECONDS_PER_MINUTE, Market
from engine.sandbox.pairs import Pair
from engine.sandbox.rest import Moment, iso
from engine.sandbox.tape import Trades

BOOK_DEPTHS = (10, 25, 100, 500, 1000)
TRADES_SNAPSHOT = 50
OHLC_SNAPSHOT = 100
# More than this in one look, and a client reads one message for longer than the next one takes to come.
_TRADES_PER_MESSAGE = 1_000
_BARS_AT_ONCE = 100_000

Message = dict[str, Any]


class RefusedSubscriptionError(Exception):
    """A subscription that Kraken refuses; the message is Kraken's text."""


class Stream(Protocol):
    """One subscription to one pair."""

    def snapshot(self, moment: Moment) -> list[Message]:
        """Return what the subscription begins with."""
        ...

    def news(self, moment: Moment) -> list[Message]:
        """Return what has happened since the last look."""
        ...


def stream_of(market: Market, faults: FaultDealer, number: int, request: Message) -> Stream:
    """Return the stream that the `params` of a subscribe request ask for.

    Raises
    ------
    RefusedSubscriptionError
        For a channel, an interval or a depth that Kraken does not have.
    """
    match request.get("channel"):
        case "trade":
            return TradeStream(market, number)
        case "ticker":
            return TickerStream(market, number)
        case "ohlc":
            minutes = request.get("interval", 1)
            # True is 1 and 5.0 is 5, but neither is what Kraken takes.
            if type(minutes) is not int or minutes not in INTERVALS:
                raise RefusedSubscriptionError("Subscription ohlc interval not supported")
            return OhlcStream(market, faults, number, minutes)
        case "book":
            depth = request.get("depth", BOOK_DEPTHS[0])
            if type(depth) is not int or depth not in BOOK_DEPTHS:
                raise RefusedSubscriptionError("Subscription depth not supported")
            return BookStream(market, number, depth)
        case channel:
            raise RefusedSubscriptionError(f"Channel not supported {channel}")


class TradeStream:
    """Every trade, in order, none twice."""

    def __init__(self, market: Market, number: int) -> None:
        self._market, self._number = market, number
        self._pair = market.pairs[number]
        self._seen = 0

    def snapshot(self, moment: Moment) -> list[Message]:
        """Return the last trades."""
        last = self._market.last_trades(self._number, now=moment.data, most=TRADES_SNAPSHOT)
        self._seen = moment.data
        return [_message("trade", "snapshot", _trade_rows(self._pair, last))]

    def news(self, moment: Moment) -> list[Message]:
        """Return the trades since the last look."""
        messages: list[Message] = []
        while True:
            found = self._market.trades_after(
                self._number, after=self._seen, now=moment.data, most=_TRADES_PER_MESSAGE
            )
            if len(found) == 0:
                # A feed that froze may look from an earlier moment than before: what was seen stays seen.
                self._seen = max(self._seen, moment.data)
                return messages
            self._seen = int(found.stamps[-1])
            messages.append(_message("trade", "update", _trade_rows(self._pair, found)))


class OhlcStream:
    """Bars as they form: a closed bar's last message comes before the first one of the next bar."""

    def __init__(self, market: Market, faults: FaultDealer, number: int, minutes: int) -> None:
        self._market, self._faults, self._number, self._minutes = market, faults, number, minutes
        self._pair = market.pairs[number]
        self._interval = minutes * NANOSECONDS_PER_MINUTE
        # Open and number of trades of the last bar that was sent.
        self._seen = (-1, 0)
        self._last = _LastTrade(market, number)

    def snapshot(self, moment: Moment) -> list[Message]:
        """Return the last bars, the forming one too."""
        bars = self._market.bars(self._number, self._minutes, after=-1, now=moment.data, most=OHLC_SNAPSHOT)
        self._remember(bars, moment)
        return [_message("ohlc", "snapshot", self._rows(bars, moment))]

    def news(self, moment: Moment) -> list[Message]:
        """Return the bars that have traded since the last look."""
        if not self._last.is_new(moment):
            return []
        opened, count = self._seen
        bars = self._market.bars(
            self._number, self._minutes, after=opened - 1, now=moment.data, most=_BARS_AT_ONCE
        )
        if len(bars) and bars.stamps[0] == opened and bars.count[0] <= count:
            bars = bars.take(slice(1, None))
        if len(bars) == 0:
            return []
        self._remember(bars, moment)
        rows = self._rows(bars, moment)
        return [_message("ohlc", "update", rows)] if rows else []

    def _remember(self, bars: Bars, moment: Moment) -> None:
        if len(bars):
            self._seen = (int(bars.stamps[-1]), int(bars.count[-1]))
        else:
            self._seen = max(self._seen, (moment.data // self._interval * self._interval, 0))

    def _rows(self, bars: Bars, moment: Moment) -> list[Message]:
        bars = self._faults.bars(
            bars, pair=self._number, minutes=self._minutes, interval=self._interval, now=moment.data
        )
        pair = self._pair
        average = np.rint(bars.average_price()).astype(np.int64)
        return [
            {
                "symbol": pair.symbol,
                "open": _price(pair, open_),
                "high": _price(pair, high),
                "low": _price(pair, low),
                "close": _price(pair, close),
                "trades": count,
                "volume": _amount(pair, volume),
                "vwap": _price(pair, mean),
                "interval_begin": iso(stamp, "ns"),
                "interval": self._minutes,
                "timestamp": iso(stamp + self._interval),
            }
            for stamp, open_, high, low, close, volume, count, mean in zip(
                bars.stamps.tolist(),
                bars.open.tolist(),
                bars.high.tolist(),
                bars.low.tolist(),
                bars.close.tolist(),
                bars.volume.tolist(),
                bars.count.tolist(),
                average.tolist(),
                strict=True,
            )
        ]


class TickerStream:
    """Best prices and the last day, whenever one of them changes."""

    def __init__(self, market: Market, number: int) -> None:
        self._market, self._number = market, number
        self._pair = market.pairs[number]
        self._sent: Message = {}
        self._last = _LastTrade(market, number)
        self._second = -1

    def snapshot(self, moment: Moment) -> list[Message]:
        """Return the ticker as it stands."""
        row = self._row(moment)
        self._sent = row or {}
        return [_message("ticker", "snapshot", [row | {"timestamp": iso(moment.data)}])] if row else []

    def news(self, moment: Moment) -> list[Message]:
        """Return the ticker if anything in it has changed."""
        second = moment.data // NANOSECONDS_PER_SECOND
        # Both must be looked at: the question whether a trade is new is answered once.
        is_new = self._last.is_new(moment)
        if not is_new and second == self._second:
            return []
        self._second = second
        row = self._row(moment)
        if row is None or row == self._sent:
            return []
        self._sent = row
        return [_message("ticker", "update", [row | {"timestamp": iso(moment.data)}])]

    def _row(self, moment: Moment) -> Message | None:
        pair, now = self._pair, moment.data
        day = self._market.summary(self._number, after=now - NANOSECONDS_PER_DAY, now=now)
        if day is None:
            return None
        book = self._market.book(self._number, now=now, depth=1)
        return {
            "symbol": pair.symbol,
            "bid": _price(pair, int(book.bids.ticks[0])),
            "bid_qty": _amount(pair, int(book.bids.lots[0])),
            "ask": _price(pair, int(book.asks.ticks[0])),
            "ask_qty": _amount(pair, int(book.asks.lots[0])),
            "last": _price(pair, day.close),
            "volume": _amount(pair, day.volume),
            "vwap": _price(pair, round(day.average)),
            "low": _price(pair, day.low),
            "high": _price(pair, day.high),
            "change": _price(pair, day.close - day.open),
            "change_pct": round(100 * (day.close / day.open - 1), 2),
        }


class _LastTrade:
    """Tells cheaply whether a pair has traded since it was asked last: streams are looked at often."""

    def __init__(self, market: Market, number: int) -> None:
        self._market, self._number = market, number
        self._id = 0

    def is_new(self, moment: Moment) -> bool:
        """Say whether there is a trade that was not there at the last call."""
        last = self._market.last_trades(self._number, now=moment.data, most=1)
        if len(last) == 0 or int(last.ids[0]) == self._id:
            return False
        self._id = int(last.ids[0])
        return True


class BookStream:
    """The book, then what changed in it; the checksum is that of the book after the change.

    As at Kraken nobody is told of a price that better ones have pushed beyond the depth: the client cuts its
    book to the depth after each message.
    """

    def __init__(self, market: Market, number: int, depth: int) -> None:
        self._market, self._number, self._depth = market, number, depth
        self._pair = market.pairs[number]
        self._second = -1
        self._sent: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def snapshot(self, moment: Moment) -> list[Message]:
        """Return the whole book."""
        book = self._book(moment)
        self._sent = _sides(book)
        return [self._message("snapshot", book, self._sent, moment)]

    def news(self, moment: Moment) -> list[Message]:
        """Return what changed; an amount of 0 takes a price out of the book."""
        # Orders come and go by the whole second, the best prices too.
        if moment.data // NANOSECONDS_PER_SECOND == self._second:
            return []
        book = self._book(moment)
        sides = _sides(book)
        (bids, asks), self._sent = self._sent, sides
        lowest, highest = min(sides[0], default=0), max(sides[1], default=0)
        changes = (
            _changes({tick: lots for tick, lots in bids.items() if tick >= lowest}, sides[0]),
            _changes({tick: lots for tick, lots in asks.items() if tick <= highest}, sides[1]),
        )
        return [self._message("update", book, changes, moment)] if any(changes) else []

    def _book(self, moment: Moment) -> Book:
        self._second = moment.data // NANOSECONDS_PER_SECOND
        return self._market.book(self._number, now=self._second * NANOSECONDS_PER_SECOND, depth=self._depth)

    def _message(
        self, kind: str, book: Book, sides: tuple[dict[int, int], dict[int, int]], moment: Moment
    ) -> Message:
        pair = self._pair
        bids, asks = (
            [{"price": _price(pair, tick), "qty": _amount(pair, lots)} for tick, lots in side.items()]
            for side in sides
        )
        row = {"symbol": pair.symbol, "bids": bids, "asks": asks, "checksum": checksum(book)}
        return _message("book", kind, [row | {"timestamp": iso(moment.data)}])


def _sides(book: Book) -> tuple[dict[int, int], dict[int, int]]:
    """Return amount by price, of bids and of asks."""
    return (
        dict(zip(book.bids.ticks.tolist(), book.bids.lots.tolist(), strict=True)),
        dict(zip(book.asks.ticks.tolist(), book.asks.lots.tolist(), strict=True)),
    )


def _changes(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    gone = {tick: 0 for tick in before if tick not in after}
    return gone | {tick: lots for tick, lots in after.items() if before.get(tick) != lots}


def _message(channel: str, kind: str, rows: list[Message]) -> Message:
    return {"channel": channel, "type": kind, "data": rows}


def _price(pair: Pair, ticks: int) -> float:
    # Divided, not multiplied by a tenth: this is the float that the decimal text means.
    return float(ticks / 10**pair.price_decimals)


def _amount(pair: Pair, lots: int) -> float:
    return float(lots / 10**pair.lot_decimals)


def _trade_rows(pair: Pair, found: Trades) -> list[Message]:
    return [
        {
            "symbol": pair.symbol,
            "side": "buy" if buys else "sell",
            "price": _price(pair, tick),
            "qty": _amount(pair, lots),
            "ord_type": "market" if at_market else "limit",
            "trade_id": number,
            "timestamp": iso(stamp),
        }
        for tick, lots, stamp, buys, at_market, number in zip(
            found.ticks.tolist(),
            found.lots.tolist(),
            found.stamps.tolist(),
            found.buyer_is_taker.tolist(),
            found.is_market_order.tolist(),
            found.ids.tolist(),
            strict=True,
        )
    ]
