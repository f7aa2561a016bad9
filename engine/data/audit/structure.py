"""Checks on rows as they stand in a file: order, duplicates, impossible prices, rows of the future."""

from bisect import bisect_left
from collections.abc import Callable

import numpy as np

from engine.data.audit.marks import Marks, number, subset
from engine.data.findings import BoolArray, Kind
from engine.data.quality import ROUNDING, Bars, moment
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import Timeframe

PRICES = ("open", "high", "low", "close")


def structure_marks(bars: Bars, timeframe: Timeframe, now: int | None) -> list[Marks]:
    """Return what cannot be true of rows as they stand in their file.

    Parameters
    ----------
    now
        UTC nanoseconds at which the bars were known; None: rows of the future are not looked for.
    """
    found = [*_order(bars), *_cells(bars), *_bounds(bars)]
    if now is not None:
        found.append(_future(bars, timeframe, now))
    return [marks for marks in found if len(marks)]


def dated(bars: Bars) -> Bars:
    """Return the bars in order, the first of each stamp: what checks on stamps look at."""
    if (np.diff(bars.stamps) > 0).all():
        return bars
    # np.unique gives the first of equal stamps, in order of stamps.
    return subset(bars, np.unique(bars.stamps, return_index=True)[1])


def usable(bars: Bars) -> Bars:
    """Return the bars that can be true: what checks on values look at."""
    good = np.ones(len(bars.stamps), dtype=bool)
    for name in PRICES:
        values = getattr(bars, name)
        if values is not None:
            good &= np.isfinite(values) & (values > 0)
    if bars.volume is not None:
        good &= ~np.isinf(bars.volume) & ~(bars.volume < 0)
    if bars.high is not None and bars.low is not None:
        good &= bars.high >= bars.low
        for name in ("open", "close"):
            good &= ~_outside(bars, name)
    return bars if good.all() else subset(bars, good)


def _order(bars: Bars) -> list[Marks]:
    stamps = bars.stamps
    if len(stamps) < 2 or (np.diff(stamps) > 0).all():
        return []
    repeated = np.ones(len(stamps), dtype=bool)
    first = np.unique(stamps, return_index=True)[1]
    repeated[first] = False
    own = np.sort(first)
    misplaced = np.zeros(len(stamps), dtype=bool)
    misplaced[own[_misplaced(stamps[own])]] = True
    return [
        _at(
            Kind.DUPLICATE_STAMP,
            bars,
            repeated,
            lambda at: (moment(int(stamps[at])), f"{bars.symbol} has this bar already"),
        ),
        _at(
            Kind.UNORDERED_STAMP,
            bars,
            misplaced,
            lambda at: (moment(int(stamps[at])), "does not stand where its stamp belongs; sort oldest first"),
        ),
    ]


def _misplaced(stamps: IntArray) -> IntArray:
    """Return the fewest positions without which all others ascend.

    One row far ahead of its place is one row, not all those below it.

    Parameters
    ----------
    stamps
        Shape (T,), none twice.
    """
    if (np.diff(stamps) > 0).all():
        return np.empty(0, dtype=np.int64)
    # Patience sorting: `smallest[k]` ends the best ascending choice of k + 1 rows so far.
    smallest: list[int] = []
    holders: list[int] = []
    behind = np.full(len(stamps), -1, dtype=np.int64)
    for row, stamp in enumerate(stamps.tolist()):
        place = bisect_left(smallest, stamp)
        if place:
            behind[row] = holders[place - 1]
        if place == len(smallest):
            smallest.append(stamp)
            holders.append(row)
        else:
            smallest[place] = stamp
            holders[place] = row
    kept = np.zeros(len(stamps), dtype=bool)
    row = holders[-1]
    while row >= 0:
        kept[row] = True
        row = int(behind[row])
    return np.flatnonzero(~kept)


def _cells(bars: Bars) -> list[Marks]:
    found = []
    for name in PRICES:
        values = getattr(bars, name)
        if values is None:
            continue
        found += [
            _at(Kind.NOT_A_NUMBER, bars, ~np.isfinite(values), _cell(values, f"{name} is not a number")),
            _at(Kind.PRICE_NOT_POSITIVE, bars, values <= 0, _cell(values, f"{name} must be greater than 0")),
        ]
    if bars.volume is not None:
        found += [
            # Where volume is not known, panels have NaN.
            _at(
                Kind.NOT_A_NUMBER,
                bars,
                np.isinf(bars.volume),
                _cell(bars.volume, "volume is not a number"),
            ),
            _at(
                Kind.NEGATIVE_VOLUME, bars, bars.volume < 0, _cell(bars.volume, "volume must not be negative")
            ),
        ]
    return found


def _bounds(bars: Bars) -> list[Marks]:
    high, low = bars.high, bars.low
    if bars.open is None or high is None or low is None:
        return []
    crossed = high < low
    found = [
        _at(
            Kind.HIGH_BELOW_LOW,
            bars,
            crossed,
            lambda at: (f"high {number(high[at])}, low {number(low[at])}", "high is below low"),
        )
    ]
    found += [
        _at(Kind.OUTSIDE_RANGE, bars, _outside(bars, name) & ~crossed, _outside_words(bars, name))
        for name in ("open", "close")
    ]
    return found


def _outside(bars: Bars, name: str) -> BoolArray:
    values = getattr(bars, name)
    assert bars.high is not None
    assert bars.low is not None
    return np.asarray((values > bars.high * (1 + ROUNDING)) | (values < bars.low * (1 - ROUNDING)))


def _outside_words(bars: Bars, name: str) -> Callable[[int], tuple[str, str]]:
    values, high, low = getattr(bars, name), bars.high, bars.low
    assert high is not None
    assert low is not None
    return lambda at: (
        f"{name} {number(values[at])}, low {number(low[at])}, high {number(high[at])}",
        f"{name} is outside low and high",
    )


def _future(bars: Bars, timeframe: Timeframe, now: int) -> Marks:
    closes = bars.stamps + timeframe.nanoseconds

    def words(at: int) -> tuple[str, str]:
        opens = moment(int(bars.stamps[at]))
        if bars.stamps[at] > now:
            return opens, f"opens after it was known: at {moment(now)} nobody could have this bar"
        return opens, f"was still forming at {moment(now)}, when it was known"

    return _at(Kind.FUTURE, bars, closes > now, words)


def _cell(values: FloatArray, message: str) -> Callable[[int], tuple[str, str]]:
    return lambda at: (number(values[at]), message)


def _at(kind: Kind, bars: Bars, mask: BoolArray, words: Callable[[int], tuple[str, str]]) -> Marks:
    at = np.flatnonzero(mask)
    return Marks(
        kind=kind,
        bars=bars,
        at=at,
        severity=np.ones(len(at)),
        tell=lambda index: words(int(at[index])),
    )
