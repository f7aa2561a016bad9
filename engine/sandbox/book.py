"""The order book: resting orders around the middle, equal for equal seconds, and Kraken's checksum of it."""

import zlib
from dataclasses import dataclass

import numpy as np

from engine.domain.panel import IntArray
from engine.domain.time import NANOSECONDS_PER_SECOND
from engine.sandbox.noise import uniform
from engine.sandbox.pairs import Pair

DEPTH_MAX = 500
CHECKSUM_LEVELS = 10

_MEDIAN_NOTIONAL = 4_000.0
_SPREAD_OF_LOGS = 0.9
# Seconds that the amount at one price stands, at most.
_LONGEST_REST = 12
_BIDS, _ASKS = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One side of a book, best price first.

    Attributes
    ----------
    ticks, lots
        Shape (K,), price and amount.
    seconds
        Shape (K,), since when the amount stands, in seconds from 1970-01-01.
    """

    ticks: IntArray
    lots: IntArray
    seconds: IntArray

    def best(self, levels: int) -> "Side":
        """Return the best so many levels."""
        return Side(ticks=self.ticks[:levels], lots=self.lots[:levels], seconds=self.seconds[:levels])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Book:
    """Both sides at one moment; empty where the pair has no price yet."""

    bids: Side
    asks: Side

    def best(self, levels: int) -> "Book":
        """Return the best so many levels of each side."""
        return Book(bids=self.bids.best(levels), asks=self.asks.best(levels))


def book_around(pair: Pair, number: int, middle: float, *, seed: int, now: int, depth: int) -> Book:
    """Return the book around a middle.

    Parameters
    ----------
    number
        Of the pair; with the seed it names what rests where.
    middle
        In ticks; NaN gives an empty book.
    now
        UTC nanoseconds. Orders come and go by the whole second.
    depth
        Levels of a side.
    """
    if not np.isfinite(middle):
        nothing = np.empty(0, dtype=np.int64)
        empty = Side(ticks=nothing, lots=nothing, seconds=nothing)
        return Book(bids=empty, asks=empty)
    half = middle * pair.half_spread
    best_bid = max(1, int(np.floor(middle - half)))
    best_ask = max(best_bid + 1, int(np.ceil(middle + half)))
    # Deeper levels stand on a grid of prices of their own: they stay where they are when the middle moves.
    grid = max(1, round(0.5 * half))
    below = (best_bid - 1) // grid * grid - grid * np.arange(depth - 1, dtype=np.int64)
    above = -(-(best_ask + 1) // grid) * grid + grid * np.arange(depth - 1, dtype=np.int64)
    bids = np.concatenate([[best_bid], below])
    asks = np.concatenate([[best_ask], above])
    return Book(
        bids=_resting(pair, (seed, number, _BIDS), bids[bids > 0], now),
        asks=_resting(pair, (seed, number, _ASKS), asks, now),
    )


def _resting(pair: Pair, keys: tuple[int, int, int], ticks: IntArray, now: int) -> Side:
    second = now // NANOSECONDS_PER_SECOND
    rest = 1 + (uniform(*keys, ticks, 1) * _LONGEST_REST).astype(np.int64)
    since = second // rest * rest
    chance = uniform(*keys, ticks, since)
    # The logistic curve stands in for the normal one: it needs one number and no special function.
    notional = _MEDIAN_NOTIONAL * np.exp(_SPREAD_OF_LOGS * 0.55 * np.log((chance + 1e-9) / (1 - chance)))
    lots = np.rint(notional / (ticks * pair.tick) / pair.lot).astype(np.int64)
    return Side(ticks=ticks, lots=np.maximum(lots, 1), seconds=since)


def checksum(book: Book) -> int:
    """Return the CRC32 of the ten best levels, asks before bids, as WebSocket v2 defines it.

    Prices and amounts stand with all decimals of the pair, without the point and without leading zeros: the
    digits that whole ticks and lots have already.
    """
    best = book.best(CHECKSUM_LEVELS)
    digits = [
        f"{tick}{lot}"
        for side in (best.asks, best.bids)
        for tick, lot in zip(side.ticks.tolist(), side.lots.tolist(), strict=True)
    ]
    return zlib.crc32("".join(digits).encode())
