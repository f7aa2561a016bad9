"""Bars from trades, and where they differ from the bars that a venue reports."""

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum

import numpy as np

from engine.data.series import BAR_VALUES, BarSeries, TradeSeries
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import Timeframe

_PRICES = ("open", "high", "low", "close")
_PRICE_TOLERANCE = 1e-9
_VOLUME_TOLERANCE = 1e-12
# Venues count amounts in 1e-8.
_HALF_UNIT = 0.5e-8
# More than sums of any amounts have: nothing is rounded on the way, so that their order is of no account.
_SUM_DIGITS = 60


class DifferenceKind(StrEnum):
    """How bars of one stamp disagree."""

    VALUE = "value"
    NOT_REPORTED = "not_reported"
    NOT_BUILT = "not_built"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value on which trades and the venue's own bars disagree.

    Attributes
    ----------
    stamp
        UTC nanoseconds of the bar's open.
    field
        Name of the value; empty where a whole bar stands on one side only.
    built, reported
        From trades and by the venue; NaN on the side that has no bar.
    """

    stamp: int
    kind: DifferenceKind
    field: str
    built: float
    reported: float


def bars_from_trades(trades: TradeSeries, timeframe: Timeframe) -> BarSeries:
    """Return the bars that trades make; an interval without a trade has no bar.

    The last bar is as complete as the trades are: who reads a stream cuts it off. Volumes are exact sums of
    the amounts as printed, so that they do not depend on where pages of trades began.
    """
    if len(trades) == 0:
        return BarSeries.empty()
    opens, firsts = np.unique(opens_of(trades.stamps, timeframe), return_index=True)
    stops = np.append(firsts[1:], len(trades))
    return BarSeries(
        stamps=opens,
        open=trades.price[firsts],
        high=np.maximum.reduceat(trades.price, firsts),
        low=np.minimum.reduceat(trades.price, firsts),
        close=trades.price[stops - 1],
        volume=_sums(trades.amount, firsts, stops),
    )


def longer_bars(bars: BarSeries, timeframe: Timeframe) -> BarSeries:
    """Return the longer bars that bars make; all of them lie inside one longer bar each."""
    if len(bars) == 0:
        return bars
    opens, firsts = np.unique(opens_of(bars.stamps, timeframe), return_index=True)
    stops = np.append(firsts[1:], len(bars))
    return BarSeries(
        stamps=opens,
        open=bars.open[firsts],
        high=np.maximum.reduceat(bars.high, firsts),
        low=np.minimum.reduceat(bars.low, firsts),
        close=bars.close[stops - 1],
        volume=_sums(bars.volume, firsts, stops),
    )


def opens_of(stamps: IntArray, timeframe: Timeframe) -> IntArray:
    """Return when the bars open in which stamps fall, shape (T,); bars are on the grid of UTC days."""
    return np.asarray(stamps - stamps % timeframe.nanoseconds)


def reconcile(
    bars: BarSeries, ohlc: BarSeries, *, start: int | None = None, stop: int | None = None
) -> list[Difference]:
    """Return where bars that were built from trades differ from those that the venue reports, oldest first.

    A reported bar without volume is an empty interval: some venues print them, others leave them out.

    Parameters
    ----------
    bars, ohlc
        Built from trades, and as reported.
    start, stop
        UTC nanoseconds between which both sides are complete. None: where both have bars. A bar that is
        missing at an end shows only if the ends are given.
    """
    if start is None or stop is None:
        if len(bars) == 0 or len(ohlc) == 0:
            return []
        start = max(int(bars.stamps[0]), int(ohlc.stamps[0])) if start is None else start
        stop = min(int(bars.stamps[-1]), int(ohlc.stamps[-1])) + 1 if stop is None else stop
    built, reported = between(bars, start, stop), between(ohlc, start, stop)
    found: list[Difference] = []
    for series, other, kind in (
        (built, reported, DifferenceKind.NOT_REPORTED),
        (reported, built, DifferenceKind.NOT_BUILT),
    ):
        alone = np.flatnonzero(~np.isin(series.stamps, other.stamps) & ~(series.volume == 0))
        for row in alone.tolist():
            close = float(series.close[row])
            sides = (close, math.nan) if kind is DifferenceKind.NOT_REPORTED else (math.nan, close)
            found.append(
                Difference(
                    stamp=int(series.stamps[row]), kind=kind, field="", built=sides[0], reported=sides[1]
                )
            )
    _, left, right = np.intersect1d(built.stamps, reported.stamps, assume_unique=True, return_indices=True)
    for name in BAR_VALUES:
        ours, theirs = getattr(built, name)[left], getattr(reported, name)[right]
        # Prices by their digits; amounts by the unit in which venues count them.
        relative, absolute = (_PRICE_TOLERANCE, 0.0) if name in _PRICES else (_VOLUME_TOLERANCE, _HALF_UNIT)
        # Written so that a NaN on either side differs.
        same = np.abs(ours - theirs) <= absolute + relative * np.abs(theirs)
        found += [
            Difference(
                stamp=int(built.stamps[left[row]]),
                kind=DifferenceKind.VALUE,
                field=name,
                built=float(ours[row]),
                reported=float(theirs[row]),
            )
            for row in np.flatnonzero(~same).tolist()
        ]
    return sorted(found, key=lambda difference: difference.stamp)


def between(series: BarSeries, start: int, stop: int) -> BarSeries:
    """Return the bars that open from `start` up to, not including, `stop`."""
    first, last = np.searchsorted(series.stamps, (start, max(start, stop)))
    return series.rows(int(first), int(last))


def traded(series: BarSeries) -> BarSeries:
    """Return the bars that had volume; a bar of unknown volume stays."""
    kept = ~(series.volume == 0)
    values = {name: getattr(series, name)[kept] for name in BAR_VALUES}
    return BarSeries(stamps=series.stamps[kept], **values)


def _sums(values: FloatArray, firsts: IntArray, stops: IntArray) -> FloatArray:
    """Return sums of stretches as a venue prints them: added in decimal, as its amounts are written.

    The shortest decimal that a float has is the one that was printed, up to 15 digits. Added in binary, a sum
    of large amounts (a billion SHIB) misses what the venue prints by the last bit.
    """
    with localcontext(prec=_SUM_DIGITS):
        written = [Decimal(repr(value)) for value in values.tolist()]
        return np.array(
            [
                float(sum(written[first:stop]))
                for first, stop in zip(firsts.tolist(), stops.tolist(), strict=True)
            ],
            dtype=np.float64,
        )
