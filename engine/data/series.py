"""Nouns of what a provider gives and the lake keeps: a series by its key; its bars, trades or offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from engine.data.findings import BoolArray
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import Timeframe

BAR_VALUES = ("open", "high", "low", "close", "volume")
BOOK_VALUES = ("bid", "bid_amount", "ask", "ask_amount")


class SeriesKind(StrEnum):
    """What the rows of a series are: quotes are the best offers alone, a book has those behind them too."""

    BARS = "bars"
    TRADES = "trades"
    QUOTES = "quotes"
    BOOK = "book"


SANDBOX: Final = "@sandbox"
"""Ends the venue of series that were asked of another address than the provider's own."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SeriesKey:
    """One series of the lake.

    Attributes
    ----------
    venue
        Who gave it: `kraken`, `binance`, `file:<name>`.
    instrument
        Unified symbol as ccxt writes it, `BTC/USD`; equities `AAPL`.
    timeframe
        Of bars, and of bars only.
    """

    venue: str
    kind: SeriesKind
    instrument: str
    timeframe: Timeframe | None = None

    def __post_init__(self) -> None:
        for name in ("venue", "instrument"):
            value = getattr(self, name)
            if not value or value != value.strip() or not value.isprintable():
                raise InvalidValueError(
                    f"series: {name} must be printable and without blanks around it, was {value!r}"
                )
        if (self.timeframe is not None) != (self.kind is SeriesKind.BARS):
            raise InvalidValueError(
                f"series {self.venue} {self.instrument}: bars have a timeframe and nothing else has one, "
                f"was {self.kind.value} with {self.timeframe}"
            )

    @property
    def is_synthetic(self) -> bool:
        """Whether a sandbox made it: no market ever paid such prices."""
        return self.venue.endswith(SANDBOX)

    def __str__(self) -> str:
        of = self.kind.value if self.timeframe is None else f"{self.timeframe.value} {self.kind.value}"
        return f"{self.venue} {self.instrument} {of}"


@dataclass(frozen=True, kw_only=True, eq=False)
class BarSeries:
    """Bars of one instrument, oldest first, as they were given: nothing here says that they are right.

    Attributes
    ----------
    stamps
        Shape (T,), UTC nanoseconds of the *open*, strictly increasing.
    open, high, low, close
        Shape (T,), in the quote currency; NaN where a bar has none.
    volume
        Shape (T,), in units of the instrument; NaN where it is not known.

    Raises
    ------
    InvalidValueError
        If shapes differ, stamps are no integers, or they do not increase.
    """

    stamps: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __post_init__(self) -> None:
        _take(self, "stamps", np.int64)
        for name in BAR_VALUES:
            _take(self, name, np.float64)
        stamps = self.stamps
        if stamps.size > 1 and not np.all(stamps[1:] > stamps[:-1]):
            row = int(np.argmax(stamps[1:] <= stamps[:-1])) + 1
            raise InvalidValueError(f"bars: stamps must increase, row {row} does not")

    def __len__(self) -> int:
        return int(self.stamps.size)

    @classmethod
    def empty(cls) -> "BarSeries":
        """Return no bars at all."""
        none = np.empty(0)
        return cls(
            stamps=np.empty(0, dtype=np.int64), open=none, high=none, low=none, close=none, volume=none
        )

    def rows(self, start: int, stop: int) -> "BarSeries":
        """Return bars `start` up to, not including, `stop`."""
        cut = slice(start, stop)
        values = {name: getattr(self, name)[cut] for name in BAR_VALUES}
        return BarSeries(stamps=self.stamps[cut], **values)


@dataclass(frozen=True, kw_only=True, eq=False)
class TradeSeries:
    """Trades of one instrument, ordered by (stamp, id).

    Attributes
    ----------
    stamps
        Shape (T,), UTC nanoseconds.
    ids
        Shape (T,), as the venue counts them; no two trades share stamp and id.
    price, amount
        Shape (T,), in the quote currency and in units of the instrument.
    buyer_is_taker
        Shape (T,): True where a buyer took what a seller had on offer.

    Raises
    ------
    InvalidValueError
        If shapes differ, stamps or ids are no integers, or trades are not in order.
    """

    stamps: IntArray
    ids: IntArray
    price: FloatArray
    amount: FloatArray
    buyer_is_taker: BoolArray

    def __post_init__(self) -> None:
        for name in ("stamps", "ids"):
            _take(self, name, np.int64)
        for name in ("price", "amount"):
            _take(self, name, np.float64)
        _take(self, "buyer_is_taker", np.bool_)
        _require_increase("trades: (stamp, id)", self.stamps, self.ids)

    def __len__(self) -> int:
        return int(self.stamps.size)

    @classmethod
    def empty(cls) -> "TradeSeries":
        """Return no trades at all."""
        none, numbers = np.empty(0), np.empty(0, dtype=np.int64)
        return cls(
            stamps=numbers, ids=numbers, price=none, amount=none, buyer_is_taker=np.empty(0, dtype=np.bool_)
        )

    def rows(self, start: int, stop: int) -> "TradeSeries":
        """Return trades `start` up to, not including, `stop`."""
        cut = slice(start, stop)
        return TradeSeries(
            stamps=self.stamps[cut],
            ids=self.ids[cut],
            price=self.price[cut],
            amount=self.amount[cut],
            buyer_is_taker=self.buyer_is_taker[cut],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class BookSeries:
    """What was on offer at some moments, a row for each level of a moment; ordered by (stamp, level).

    Attributes
    ----------
    stamps
        Shape (T,), UTC nanoseconds at which it was told.
    levels
        Shape (T,), 0 for the best offers; quotes have no other.
    bid, bid_amount, ask, ask_amount
        Shape (T,), in the quote currency and in units of the instrument; NaN where a side has no such level.

    Raises
    ------
    InvalidValueError
        If shapes differ, stamps or levels are no integers, levels are negative, or rows are not in order.
    """

    stamps: IntArray
    levels: IntArray
    bid: FloatArray
    bid_amount: FloatArray
    ask: FloatArray
    ask_amount: FloatArray

    def __post_init__(self) -> None:
        for name in ("stamps", "levels"):
            _take(self, name, np.int64)
        for name in BOOK_VALUES:
            _take(self, name, np.float64)
        if self.levels.size and self.levels.min() < 0:
            raise InvalidValueError(f"book: levels must not be negative, was {int(self.levels.min())}")
        _require_increase("book: (stamp, level)", self.stamps, self.levels)

    def __len__(self) -> int:
        return int(self.stamps.size)


def joined_books(parts: Sequence[BookSeries]) -> BookSeries:
    """Return what was on offer at the moments of all parts, which follow one another."""
    names = ("stamps", "levels", *BOOK_VALUES)
    return BookSeries(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _require_increase(what: str, stamps: IntArray, numbers: IntArray) -> None:
    later = stamps[1:] > stamps[:-1]
    wrong = ~(later | ((stamps[1:] == stamps[:-1]) & (numbers[1:] > numbers[:-1])))
    if wrong.any():
        raise InvalidValueError(f"{what} must increase, row {int(np.argmax(wrong)) + 1} does not")


def _take(owner: BarSeries | TradeSeries | BookSeries, name: str, dtype: type[Any]) -> None:
    """Set a field of a noun in the making to a read-only array of its type, of the stamps' shape."""
    given = getattr(owner, name)
    if dtype is np.int64 and np.size(given) and np.asarray(given).dtype.kind not in "iu":
        # Dates would be taken for a count of whatever unit they have, and floats lose their last digits.
        raise InvalidValueError(
            f"{type(owner).__name__}: {name} must be integers, was {np.asarray(given).dtype}"
        )
    array = np.ascontiguousarray(given, dtype=dtype)
    if array is given and array.flags.writeable:
        # A view, so that the caller's own array stays writable: pages of a pull are filled and handed on.
        array = array.view()
    array.flags.writeable = False
    if array.ndim != 1 or array.shape != np.shape(owner.stamps):
        raise InvalidValueError(
            f"{type(owner).__name__}: {name} must have shape {np.shape(owner.stamps)}, was {array.shape}"
        )
    object.__setattr__(owner, name, array)
