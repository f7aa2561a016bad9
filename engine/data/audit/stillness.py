"""Checks on bars that do not move: feeds that repeat themselves, prices that stand still, no volume."""

import numpy as np

from engine.data.audit.marks import Marks, as_sizes, number, number_of_bars, runs
from engine.data.findings import BoolArray, Kind
from engine.data.quality import Bars
from engine.domain.panel import FloatArray, IntArray

FLAT_BARS = 5
"""Fewer bars without a move are a quiet market."""

_WINDOW = 500
_BY_CHANCE = 0.01
"""A run of still bars is told if fewer than this many of its length were to be expected in the series."""


def stillness_marks(bars: Bars) -> list[Marks]:
    """Return repeated rows, flat runs and bars without volume of ordered bars."""
    repeated = _repeated(bars)
    found = [_repeats(bars, repeated), _flat(bars, repeated), _zero_volume(bars)]
    return [marks for marks in found if len(marks)]


def _repeated(bars: Bars) -> BoolArray:
    """Return bars that are the one before once more, volume and all, shape (T,)."""
    same = np.zeros(len(bars.close), dtype=bool)
    if bars.volume is None or bars.open is None or len(same) < 2:
        return same
    same[1:] = bars.volume[1:] > 0
    for values in (bars.open, bars.high, bars.low, bars.close, bars.volume):
        assert values is not None
        same[1:] &= values[1:] == values[:-1]
    return same


def _repeats(bars: Bars, repeated: BoolArray) -> Marks:
    first, last = runs(repeated)
    if bars.high is not None and bars.low is not None:
        # One lot at one price, and once more, happens where hardly anybody trades.
        ranged = bars.high[first] > bars.low[first]
        kept = (last > first) | ranged
        first, last = first[kept], last[kept]
    count = last - first + 1

    def words(index: int) -> tuple[str, str]:
        bar = int(first[index])
        assert bars.volume is not None
        value = f"close {number(bars.close[bar])}, volume {number(bars.volume[bar])}"
        return value, f"stale feed? {number_of_bars(int(count[index]))} from here repeat the whole row before"

    return Marks(kind=Kind.REPEATED, bars=bars, at=first, severity=as_sizes(count), tell=words)


def _flat(bars: Bars, repeated: BoolArray) -> Marks:
    still = np.zeros(len(bars.close), dtype=bool)
    still[1:] = bars.close[1:] == bars.close[:-1]
    if bars.high is not None and bars.low is not None:
        still &= bars.high == bars.low
    first, last = runs(still)
    long = last - first + 1 >= FLAT_BARS
    first, last = first[long], last[long]
    count = last - first + 1
    unlikely = _chance(still, first, count) < _BY_CHANCE
    # What is told as a stale feed is not told twice.
    told = np.array([bool(repeated[a : b + 1].all()) for a, b in zip(first, last, strict=True)], dtype=bool)
    kept = unlikely & ~told
    first, count = first[kept], count[kept]

    def words(index: int) -> tuple[str, str]:
        value = f"close {number(bars.close[first[index]])}"
        return value, f"{number_of_bars(int(count[index]))} from here repeat the price"

    return Marks(kind=Kind.FLAT, bars=bars, at=first, severity=as_sizes(count), tell=words)


def _chance(still: BoolArray, first: IntArray, count: IntArray) -> FloatArray:
    """Return how many runs of such a length still bars of the neighbourhood make by chance, shape (K,)."""
    size = len(still)
    total = np.concatenate([[0], np.cumsum(still)])
    start, stop = np.maximum(first - _WINDOW, 0), np.minimum(first + count + _WINDOW, size)
    others = total[stop] - total[start] - count
    share = (others + 1) / (stop - start - count + 2)
    return np.asarray(size * share**count)


def _zero_volume(bars: Bars) -> Marks:
    volume = np.ones(len(bars.close)) if bars.volume is None else bars.volume
    first, last = runs(volume == 0)
    count = last - first + 1
    return Marks(
        kind=Kind.ZERO_VOLUME,
        bars=bars,
        at=first,
        severity=as_sizes(count),
        tell=lambda index: ("0", f"{number_of_bars(int(count[index]))} from here without volume"),
    )
