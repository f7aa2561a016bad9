"""Checks on bars: what cannot be, and what looks wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.data.calendars import complete_since, expected_opens
from engine.data.findings import BoolArray, Finding, Kind, positions
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.time import Calendar, Timeframe

ROUNDING = 1e-9
"""Adjusting prices moves their last bits: a close so little above its high is rounding, not a defect."""

_NEIGHBOURHOOD = 51
_SPIKE_SCALES = 10.0
_WICK_RANGES = 5.0
_SMALLEST_SPIKE = 0.05
_SPLIT_RATIOS = np.array([1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 100])
_SPLIT_TOLERANCE = 0.06
_SPLIT_SCALES = 8.0
_SPLIT_BARS_AROUND = 5
_FLAT_BARS = 5
_STALE_BARS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """Bars of one instrument that are to be judged, oldest first.

    Attributes
    ----------
    file
        What findings name as their place.
    rows
        Shape (T,), row of each bar in that file, counted from 1.
    stamps
        Shape (T,), UTC nanoseconds of the opens.
    open, high, low
        Shape (T,), None for data that has closes only.
    volume
        Shape (T,), None where it is not known.
    """

    symbol: str
    file: str
    rows: IntArray
    stamps: IntArray
    close: FloatArray
    open: FloatArray | None = None
    high: FloatArray | None = None
    low: FloatArray | None = None
    volume: FloatArray | None = None

    def finding(self, kind: Kind, at: int, value: str, message: str) -> Finding:
        """Return a finding about the bar at a position."""
        return Finding(
            kind=kind,
            file=self.file,
            row=int(self.rows[at]),
            value=value,
            message=message,
            instrument=self.symbol,
            opens=moment(int(self.stamps[at])),
        )


def of_panel(panel: Panel) -> list[Bars]:
    """Return the bars of each instrument of a panel, without the rows in which it did not trade."""
    parts = []
    for column, instrument in enumerate(panel.instruments):
        traded = np.isfinite(panel.close[:, column])
        volume = panel.volume[traded, column]
        fields = {
            name: getattr(panel, name)[traded, column] if panel.has_range else None
            for name in ("open", "high", "low")
        }
        parts.append(
            Bars(
                symbol=instrument.symbol,
                file=panel.name,
                rows=np.flatnonzero(traded) + 1,
                stamps=panel.timestamps[traded],
                close=panel.close[traded, column],
                **fields,
                volume=volume if np.isfinite(volume).any() else None,
            )
        )
    return parts


def errors(bars: Bars) -> list[Finding]:
    """Return what cannot be true of bars, cells that are not numbers excepted."""
    found: list[Finding] = []
    prices = {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
    for name, values in prices.items():
        if values is None:
            continue
        found += [
            bars.finding(Kind.PRICE_NOT_POSITIVE, at, _number(values[at]), f"{name} must be greater than 0")
            for at in positions(values <= 0)
        ]
    if bars.volume is not None:
        found += [
            bars.finding(Kind.NEGATIVE_VOLUME, at, _number(bars.volume[at]), "volume must not be negative")
            for at in positions(bars.volume < 0)
        ]
    return found + _range_errors(bars)


def warnings(bars: Bars, timeframe: Timeframe, calendar: Calendar) -> list[Finding]:
    """Return what looks wrong in bars that have no errors."""
    return [
        *_calendar_warnings(bars, timeframe, calendar),
        *_bad_ticks(bars),
        *_bad_wicks(bars),
        *_suspected_splits(bars),
        *_zero_volume(bars),
        *_flat_runs(bars),
    ]


def audit(parts: Sequence[Bars], timeframe: Timeframe, calendar: Calendar) -> list[Finding]:
    """Return what looks wrong in all the bars of a data set."""
    found = [finding for bars in parts for finding in warnings(bars, timeframe, calendar)]
    return found + stale(parts)


def stale(parts: Sequence[Bars]) -> list[Finding]:
    """Return instruments whose bars end well before the last bar of their data set."""
    end = max(int(bars.stamps[-1]) for bars in parts)
    every = np.unique(np.concatenate([bars.stamps for bars in parts]))
    found = []
    for bars in parts:
        missing = int((every > bars.stamps[-1]).sum())
        if missing > _STALE_BARS:
            message = (
                f"stale or delisted? it ends {missing} bars before the data set, which ends {moment(end)}"
            )
            found.append(
                bars.finding(Kind.STALE, len(bars.stamps) - 1, moment(int(bars.stamps[-1])), message)
            )
    return found


def phase(stamps: IntArray, timeframe: Timeframe) -> int:
    """Return where most bars sit on the grid: opening time modulo the bar's length, in nanoseconds."""
    values, often = np.unique(stamps % timeframe.nanoseconds, return_counts=True)
    return int(values[np.argmax(often)])


def moment(stamp: int) -> str:
    """Return UTC nanoseconds as people read them."""
    text = str(np.datetime64(stamp, "ns")).replace("T", " ")
    # Bars open on full minutes; anything finer is shown because it is then what is wrong.
    return (text[:16] if text.endswith(":00.000000000") else text.rstrip("0").rstrip(".")) + " UTC"


def _range_errors(bars: Bars) -> list[Finding]:
    if bars.open is None or bars.high is None or bars.low is None:
        return []
    found = [
        bars.finding(
            Kind.HIGH_BELOW_LOW,
            at,
            f"high {_number(bars.high[at])}, low {_number(bars.low[at])}",
            "high is below low",
        )
        for at in positions(bars.high < bars.low)
    ]
    in_order = bars.high >= bars.low
    for name, values in (("open", bars.open), ("close", bars.close)):
        outside = (values > bars.high * (1 + ROUNDING)) | (values < bars.low * (1 - ROUNDING))
        found += [
            bars.finding(
                Kind.OUTSIDE_RANGE,
                at,
                f"{name} {_number(values[at])}, low {_number(bars.low[at])}, high {_number(bars.high[at])}",
                f"{name} is outside low and high",
            )
            for at in positions(outside & in_order)
        ]
    return found


def _calendar_warnings(bars: Bars, timeframe: Timeframe, calendar: Calendar) -> list[Finding]:
    grid = phase(bars.stamps, timeframe)
    off_grid = bars.stamps % timeframe.nanoseconds != grid
    found = [
        bars.finding(
            Kind.OFF_GRID,
            at,
            moment(int(bars.stamps[at])),
            f"does not open where other {timeframe.value} bars do",
        )
        for at in positions(off_grid)
    ]
    expected = expected_opens(calendar, timeframe, int(bars.stamps[0]), int(bars.stamps[-1]), grid)
    strange = ~np.isin(bars.stamps, expected) & ~off_grid
    for first, last in _runs(strange):
        span = moment(int(bars.stamps[first]))
        if last > first:
            span += f" to {moment(int(bars.stamps[last]))}, {last - first + 1} bars"
        found.append(
            bars.finding(Kind.OUTSIDE_CALENDAR, first, span, f"the calendar {calendar.value} is closed then")
        )
    missing = ~np.isin(expected, bars.stamps[~off_grid]) & (expected >= complete_since(calendar))
    for first, last in _runs(missing):
        number = last - first + 1
        after = int(np.searchsorted(bars.stamps, expected[last]))
        span = moment(int(expected[first]))
        if number > 1:
            span += f" to {moment(int(expected[last]))}"
        noun = "bar is" if number == 1 else "bars are"
        found.append(
            bars.finding(
                Kind.GAP,
                min(after, len(bars.stamps) - 1),
                span,
                f"{number} {noun} missing before this row by the calendar {calendar.value}",
            )
        )
    return found


def _bad_ticks(bars: Bars) -> list[Finding]:
    """Find closes that jump and come straight back."""
    if len(bars.close) < 3:
        return []
    moves = np.diff(np.log(bars.close))
    scale = _typical(np.abs(moves)) * 1.4826
    there, back = moves[:-1], moves[1:]
    size = np.minimum(np.abs(there), np.abs(back))
    large = size > np.maximum(_SPIKE_SCALES * scale[:-1], _SMALLEST_SPIKE)
    reverts = (there * back < 0) & (np.abs(there + back) < 0.3 * size)
    return [
        bars.finding(
            Kind.BAD_TICK,
            at + 1,
            f"close {_number(bars.close[at + 1])}",
            f"bad tick? the closes around it are {_number(bars.close[at])} and {_number(bars.close[at + 2])}",
        )
        for at in positions(large & reverts)
    ]


def _bad_wicks(bars: Bars) -> list[Finding]:
    """Find highs and lows far from everything that the bar and its neighbours traded at."""
    if bars.open is None or bars.high is None or bars.low is None or len(bars.close) < 3:
        return []
    before = np.concatenate([bars.close[:1], bars.close[:-1]])
    after = np.concatenate([bars.close[1:], bars.close[-1:]])
    around = np.stack([bars.open, bars.close, before, after])
    limit = np.maximum(_WICK_RANGES * _typical(np.log(bars.high / bars.low)), _SMALLEST_SPIKE)
    found = []
    for name, values, distance in (
        ("high", bars.high, np.log(bars.high / around.max(axis=0))),
        ("low", bars.low, np.log(around.min(axis=0) / bars.low)),
    ):
        found += [
            bars.finding(
                Kind.BAD_TICK,
                at,
                f"{name} {_number(values[at])}",
                f"bad tick? open is {_number(bars.open[at])}, close {_number(bars.close[at])}",
            )
            for at in positions(distance > limit)
        ]
    return found


def _suspected_splits(bars: Bars) -> list[Finding]:
    """Find jumps over night by a ratio such as 1/2, after which the price stays."""
    if len(bars.close) < 3:
        return []
    logs = np.log(bars.close)
    moves = np.diff(logs)
    # A split happens between bars: with opens at hand, a move inside the bar is not one.
    overnight = moves if bars.open is None else np.log(bars.open[1:]) - logs[:-1]
    distance = np.abs(np.abs(overnight)[:, None] - np.log(_SPLIT_RATIOS)[None, :])
    nearest = distance.argmin(axis=1)
    later = logs[np.minimum(np.arange(1, len(logs)) + _SPLIT_BARS_AROUND, len(logs) - 1)]
    earlier = logs[np.maximum(np.arange(len(logs) - 1) - _SPLIT_BARS_AROUND, 0)]
    # Steady before and after: the way back from a bad tick is no split.
    stays = (np.abs(later - logs[1:]) < 0.5 * np.abs(moves)) & (
        np.abs(logs[:-1] - earlier) < 0.5 * np.abs(moves)
    )
    suspected = (
        (distance.min(axis=1) < _SPLIT_TOLERANCE)
        & (np.abs(moves) > _SPLIT_SCALES * _typical(np.abs(moves)))
        & (np.abs(moves - overnight) < 0.5 * np.abs(overnight))
        & stays
    )
    found = []
    for at in positions(suspected):
        ratio = _number(_SPLIT_RATIOS[nearest[at]])
        change = f"1/{ratio}" if overnight[at] < 0 else ratio
        found.append(
            bars.finding(
                Kind.SUSPECTED_SPLIT,
                at + 1,
                f"close {_number(bars.close[at])} -> {_number(bars.close[at + 1])}",
                f"unadjusted split? the price changed by a factor of about {change} and stayed",
            )
        )
    return found


def _zero_volume(bars: Bars) -> list[Finding]:
    if bars.volume is None:
        return []
    return [
        bars.finding(Kind.ZERO_VOLUME, first, "0", f"{_bars(first, last)} from here without volume")
        for first, last in _runs(bars.volume == 0)
    ]


def _flat_runs(bars: Bars) -> list[Finding]:
    same = np.zeros(len(bars.close), dtype=bool)
    same[1:] = bars.close[1:] == bars.close[:-1]
    if bars.high is not None and bars.low is not None:
        same &= bars.high == bars.low
    return [
        bars.finding(
            Kind.FLAT,
            first,
            f"close {_number(bars.close[first])}",
            f"{_bars(first, last)} from here repeat the price",
        )
        for first, last in _runs(same)
        if last - first + 1 >= _FLAT_BARS
    ]


def _typical(sizes: FloatArray) -> FloatArray:
    """Shape (T,), the median of each value's neighbourhood: calm and wild years have limits of their own."""
    medians = pd.Series(sizes).rolling(_NEIGHBOURHOOD, center=True, min_periods=1).median()
    return medians.to_numpy(dtype=np.float64)


def _runs(mask: BoolArray) -> list[tuple[int, int]]:
    """Return first and last position of each run of True."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(start), int(stop) - 1) for start, stop in zip(starts, stops, strict=True)]


def _bars(first: int, last: int) -> str:
    number = last - first + 1
    return f"{number} bar" if number == 1 else f"{number} bars"


def _number(value: float) -> str:
    """Return a number as it would be typed, none of its digits lost."""
    return np.format_float_positional(value, trim="-")
