"""What Kraken's Depth and Ticker say is on offer. Neither says when: the stamp is that of our receipt."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.data.providers.replies import broken, decoded, mapping, number, rows_of
from engine.data.series import BookSeries

_NAME = "kraken"

_Offers = Sequence[tuple[float, float]]


def read_depth(payload: bytes, stamp: int, levels: int) -> BookSeries:
    """Return the book of a reply of Depth: its best levels, as many as there are up to `levels`.

    Raises
    ------
    PassingError
        If it is not about one pair, or a side is out of order or reaches over the other.
    """
    result = _result(payload)
    if len(result) != 1:
        raise broken(_NAME, f"is not about one pair but has {sorted(result)}")
    (pair,) = result
    sides = mapping(_NAME, result[pair], pair)
    bids, asks = (_side(sides, name)[:levels] for name in ("bids", "asks"))
    return _book(stamp, bids, asks)


def read_ticker(payload: bytes, stamp: int) -> Mapping[str, BookSeries]:
    """Return the quotes of a reply of Ticker, by Kraken's id of the pair. Amounts are in thousandths there.

    Raises
    ------
    PassingError
        If one is not as documented, or the bid reaches over the ask.
    """
    return {pair: _quote(pair, row, stamp) for pair, row in _result(payload).items()}


def _result(payload: bytes) -> Mapping[str, Any]:
    return mapping(_NAME, mapping(_NAME, decoded(_NAME, payload), "reply").get("result"), "result")


def _quote(pair: str, row: object, stamp: int) -> BookSeries:
    cells = mapping(_NAME, row, pair)
    best = []
    for name in ("b", "a"):
        side = rows_of(_NAME, cells.get(name), name)
        if len(side) != 3:
            raise broken(_NAME, f"has a quote that is not as documented: {str(side)[:120]}")
        # Price, amount in whole units, amount.
        best.append([(number(_NAME, side[0], "price"), number(_NAME, side[2], "amount"))])
    return _book(stamp, best[0], best[1])


def _side(sides: Mapping[str, Any], name: str) -> _Offers:
    offers = []
    for row in rows_of(_NAME, sides.get(name), name):
        cells = rows_of(_NAME, row, "level")
        if len(cells) != 3:
            raise broken(_NAME, f"has a level that is not as documented: {str(cells)[:120]}")
        offers.append((number(_NAME, cells[0], "price"), number(_NAME, cells[1], "amount")))
    return offers


def _book(stamp: int, bids: _Offers, asks: _Offers) -> BookSeries:
    """Return both sides of one moment, the shorter one filled up with NaN."""
    count = max(len(bids), len(asks))
    filled = np.full((count, 4), np.nan)
    for column, offers in ((0, bids), (2, asks)):
        if offers:
            filled[: len(offers), column : column + 2] = offers
    book = BookSeries(
        stamps=np.full(count, stamp),
        levels=np.arange(count),
        bid=filled[:, 0],
        bid_amount=filled[:, 1],
        ask=filled[:, 2],
        ask_amount=filled[:, 3],
    )
    # Written so that the levels that a side does not have pass.
    if (
        (np.diff(book.bid) >= 0).any()
        or (np.diff(book.ask) <= 0).any()
        or (book.bid[:1] >= book.ask[:1]).any()
    ):
        raise broken(_NAME, "has a book that is out of order")
    if (book.bid <= 0).any() or (book.ask <= 0).any():
        raise broken(_NAME, "has an offer without a price")
    return book
