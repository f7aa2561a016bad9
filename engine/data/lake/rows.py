"""Rows of any series in one form, so that bars and trades grow, change and are read by the same code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.data.series import (
    BAR_VALUES,
    BOOK_VALUES,
    BarSeries,
    BookSeries,
    SeriesKey,
    SeriesKind,
    TradeSeries,
)
from engine.domain.errors import InputError
from engine.domain.panel import FloatArray, IntArray

VALUES: Mapping[SeriesKind, tuple[str, ...]] = {
    SeriesKind.BARS: BAR_VALUES,
    SeriesKind.TRADES: ("price", "amount", "buyer_is_taker"),
    SeriesKind.QUOTES: BOOK_VALUES,
    SeriesKind.BOOK: BOOK_VALUES,
}
"""Columns that can be revised."""

NUMBERED: Final = frozenset({SeriesKind.TRADES, SeriesKind.BOOK})
"""Kinds of which several rows may share a stamp and are told apart by a number."""


_NOUNS: Final[Mapping[SeriesKind, type[BarSeries | TradeSeries | BookSeries]]] = {
    SeriesKind.BARS: BarSeries,
    SeriesKind.TRADES: TradeSeries,
    SeriesKind.QUOTES: BookSeries,
    SeriesKind.BOOK: BookSeries,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of one series, strictly increasing by (stamp, id).

    Attributes
    ----------
    stamps
        Shape (T,), UTC nanoseconds.
    ids
        Shape (T,), of trades, and the level in a book; 0 for bars and quotes, whose stamp says it all.
    values
        By name, each of shape (T,). Flags are 0 and 1.
    """

    stamps: IntArray
    ids: IntArray
    values: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return int(self.stamps.size)

    def at(self, positions: IntArray | slice) -> "Rows":
        """Return some of the rows."""
        return Rows(
            stamps=self.stamps[positions],
            ids=self.ids[positions],
            values={name: values[positions] for name, values in self.values.items()},
        )


def value_names(key: SeriesKey) -> tuple[str, ...]:
    """Return the columns of a series that can be revised."""
    return VALUES[key.kind]


def of_series(key: SeriesKey, series: BarSeries | TradeSeries | BookSeries) -> Rows:
    """Return what a provider gave as rows.

    Raises
    ------
    InputError
        If it is not of the kind that the key says.
    """
    names = value_names(key)
    expected = _NOUNS[key.kind]
    if not isinstance(series, expected):
        raise InputError(f"{key}: expected a {expected.__name__}, was given a {type(series).__name__}")
    match series:
        case TradeSeries():
            ids = series.ids
        case BookSeries():
            ids = series.levels
        case BarSeries():
            ids = np.zeros(len(series), dtype=np.int64)
    if key.kind not in NUMBERED and ids.any():
        raise InputError(f"{key}: has the best offers alone, was given level {int(ids.max())}")
    return Rows(
        stamps=series.stamps,
        ids=ids,
        values={name: np.asarray(getattr(series, name), dtype=np.float64) for name in names},
    )


def to_bars(rows: Rows) -> BarSeries:
    """Return rows as bars."""
    return BarSeries(stamps=rows.stamps, **rows.values)


def to_trades(rows: Rows) -> TradeSeries:
    """Return rows as trades."""
    values = rows.values
    return TradeSeries(
        stamps=rows.stamps,
        ids=rows.ids,
        price=values["price"],
        amount=values["amount"],
        buyer_is_taker=values["buyer_is_taker"] != 0,
    )


def to_book(rows: Rows) -> BookSeries:
    """Return rows as what was on offer."""
    return BookSeries(stamps=rows.stamps, levels=rows.ids, **rows.values)


def empty(key: SeriesKey) -> Rows:
    """Return no rows at all."""
    none = np.empty(0, dtype=np.int64)
    return Rows(stamps=none, ids=none, values={name: np.empty(0) for name in value_names(key)})


def increasing(rows: Rows) -> bool:
    """Return whether rows increase strictly by (stamp, id)."""
    stamps, ids = rows.stamps, rows.ids
    later = stamps[1:] > stamps[:-1]
    return bool(np.all(later | ((stamps[1:] == stamps[:-1]) & (ids[1:] > ids[:-1]))))


def joined(pieces: list[Rows]) -> Rows:
    """Return the rows of all pieces in order of (stamp, id); rows that stand twice stay twice."""
    whole = Rows(
        stamps=np.concatenate([piece.stamps for piece in pieces]),
        ids=np.concatenate([piece.ids for piece in pieces]),
        values={name: np.concatenate([piece.values[name] for piece in pieces]) for name in pieces[0].values},
    )
    return whole if increasing(whole) else whole.at(np.lexsort((whole.ids, whole.stamps)))


def find(rows: Rows, stamps: IntArray, ids: IntArray) -> IntArray:
    """Return where rows with these stamps and ids stand, shape of `stamps`; -1 where there is none."""
    if not len(rows) or not len(stamps):
        return np.full(len(stamps), -1, dtype=np.int64)
    at = np.searchsorted(rows.stamps, stamps)
    if rows.ids.any() or ids.any():
        # Several trades share a nanosecond: (stamp, id) of both sides are ranked together.
        all_stamps, all_ids = np.concatenate([rows.stamps, stamps]), np.concatenate([rows.ids, ids])
        order = np.lexsort((all_ids, all_stamps))
        is_new = np.ones(len(order), dtype=bool)
        is_new[1:] = (np.diff(all_stamps[order]) != 0) | (np.diff(all_ids[order]) != 0)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.cumsum(is_new)
        at = np.searchsorted(rank[: len(rows)], rank[len(rows) :])
    at = np.minimum(at, len(rows) - 1)
    same = (rows.stamps[at] == stamps) & (rows.ids[at] == ids)
    return np.where(same, at, -1)


def differs(known: FloatArray, given: FloatArray) -> np.ndarray:
    """Return where two values are not the same, shape (T,); two unknown values are the same."""
    return np.asarray((known != given) & ~(np.isnan(known) & np.isnan(given)))
