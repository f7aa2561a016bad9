"""The market as it stands at a moment: bars, trades, book and day of a pair, all from one tape."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from engine.domain.time import NANOSECONDS_PER_DAY
from engine.sandbox.bars import Bars, bars_of_trades, joined_bars, longer_bars
from engine.sandbox.book import Book, book_around
from engine.sandbox.pairs import Pair
from engine.sandbox.tape import Tape, Trades, joined, no_trades

NANOSECONDS_PER_MINUTE = 60_000_000_000
MINUTES_PER_DAY = 1_440
_LONG_BAR_MINUTES = 240
# Kraken's intervals, in minutes; the last two are a week and a fortnight and a day.
INTERVALS = (1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600)

_SHORT_BAR_DAYS_KEPT = 600
_LONG_BAR_DAYS_KEPT = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Trading of a stretch: ticks and lots, the average price weighted by volume."""

    open: int
    high: int
    low: int
    close: int
    close_lots: int
    volume: int
    average: float
    count: int


class Market:
    """What can be asked about a tape, never about what comes after `now`.

    Parameters
    ----------
    tape
        Where trades come from.
    seed
        Of the order book.
    """

    def __init__(self, tape: Tape, *, seed: int = 0) -> None:
        self.tape = tape
        self.pairs: tuple[Pair, ...] = tape.pairs
        self.seed = seed
        # Every name that a client may use, REST and WebSocket.
        self._by_name = {
            name: number
            for number, pair in enumerate(tape.pairs)
            for name in (pair.pair_id, pair.altname, pair.wsname, pair.symbol)
        }
        # A day has up to 1,440 bars or a single one: what is small is kept for longer.
        self._short_bars = lru_cache(maxsize=_SHORT_BAR_DAYS_KEPT)(self._whole_day)
        self._long_bars = lru_cache(maxsize=_LONG_BAR_DAYS_KEPT)(self._whole_day)

    def number(self, name: str, *, now: int) -> int | None:
        """Return the number of a pair by any of its names, None where nobody knows it, or not yet."""
        number = self._by_name.get(name)
        return number if number is not None and self.is_listed(number, now=now) else None

    def is_listed(self, pair: int, *, now: int) -> bool:
        """Say whether a pair can be traded at a moment."""
        return self.pairs[pair].listed_day * NANOSECONDS_PER_DAY <= now

    # ------------------------------------------------------------------------------------------- trades

    def trades_after(self, pair: int, *, after: int, now: int, most: int) -> Trades:
        """Return the first `most` trades later than `after`, not later than `now`."""
        parts: list[Trades] = []
        left = most
        day = max(self.tape.first_day, after // NANOSECONDS_PER_DAY)
        while left > 0 and day <= self._last_day(now):
            part = self.tape.day(pair, day).between(after, now).rows(0, left)
            parts.append(part)
            left -= len(part)
            day += 1
        return joined(parts)

    def last_trades(self, pair: int, *, now: int, most: int) -> Trades:
        """Return the last `most` trades that are not later than `now`."""
        parts: list[Trades] = []
        left = most
        day = self._last_day(now)
        while left > 0 and day >= self.tape.first_day:
            whole = self.tape.day(pair, day).between(0, now)
            part = whole.rows(max(0, len(whole) - left), len(whole))
            parts.append(part)
            left -= len(part)
            day -= 1
        return joined(parts[::-1]) if parts else no_trades()

    # --------------------------------------------------------------------------------------------- bars

    def bars(self, pair: int, minutes: int, *, after: int, now: int, most: int) -> Bars:
        """Return the last `most` bars that open later than `after`; the last one may be forming still.

        Parameters
        ----------
        minutes
            One of `INTERVALS`.
        after, now
            UTC nanoseconds. Trades later than `now` are in no bar.
        """
        if minutes not in INTERVALS:
            raise InvalidValueError(f"interval must be one of {INTERVALS}, was {minutes}")
        interval = minutes * NANOSECONDS_PER_MINUTE
        parts: list[Bars] = []
        rows = 0
        day = self._last_day(now)
        # One interval earlier: a bar of several days may have begun before the day that `after` is in.
        first = max(self.tape.first_day, (after - interval) // NANOSECONDS_PER_DAY)
        while day >= first and rows <= most * max(1, minutes // MINUTES_PER_DAY):
            part = self._bars_until(pair, min(minutes, MINUTES_PER_DAY), day, now)
            parts.append(part)
            rows += len(part)
            day -= 1
        if not parts:
            return bars_of_trades(no_trades(), interval)
        whole = joined_bars(parts[::-1])
        if minutes > MINUTES_PER_DAY:
            # The days may begin in the middle of the first bar; there are more days than are asked for, so it
            # is not one of those that are given.
            whole = longer_bars(whole, interval)
        start = max(int(np.searchsorted(whole.stamps, after, side="right")), len(whole) - most)
        return whole.take(slice(start, None))

    def summary(self, pair: int, *, after: int, now: int) -> Summary | None:
        """Return the trading later than `after`, not later than `now`; None where there was none."""
        parts = [
            self.tape.day(pair, day).between(after, now)
            for day in range(max(self.tape.first_day, after // NANOSECONDS_PER_DAY), self._last_day(now) + 1)
        ]
        trades = joined(parts)
        if len(trades) == 0:
            return None
        lots: FloatArray = trades.lots.astype(np.float64)
        return Summary(
            open=int(trades.ticks[0]),
            high=int(trades.ticks.max()),
            low=int(trades.ticks.min()),
            close=int(trades.ticks[-1]),
            close_lots=int(trades.lots[-1]),
            volume=int(trades.lots.sum()),
            average=float((trades.ticks * lots).sum() / lots.sum()),
            count=len(trades),
        )

    def book(self, pair: int, *, now: int, depth: int) -> Book:
        """Return the order book of the second that `now` is in."""
        return book_around(
            self.pairs[pair],
            pair,
            self.tape.middle(pair, now),
            seed=self.seed,
            now=now,
            depth=depth,
        )

    # ------------------------------------------------------------------------------------------- inside

    def _last_day(self, now: int) -> int:
        return min(now // NANOSECONDS_PER_DAY, self.tape.stop_day - 1)

    def _bars_until(self, pair: int, minutes: int, day: int, now: int) -> Bars:
        if now >= (day + 1) * NANOSECONDS_PER_DAY - 1:
            kept = self._short_bars if minutes < _LONG_BAR_MINUTES else self._long_bars
            return kept(pair, minutes, day)
        return bars_of_trades(self.tape.day(pair, day).between(0, now), minutes * NANOSECONDS_PER_MINUTE)

    def _whole_day(self, pair: int, minutes: int, day: int) -> Bars:
        return bars_of_trades(self.tape.day(pair, day), minutes * NANOSECONDS_PER_MINUTE)
