"""Bars of one instrument as checks see them, and what cannot be true of them; oddities are in `audit`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from engine.data.findings import BoolArray, Finding, Kind, positions
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.time import Timeframe

ROUNDING = 1e-9
"""Adjusting prices moves their last bits: a close so little above its high is rounding, not a defect."""

_Value = TypeVar("_Value", np.float64, np.int64)


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


def each_of_panel(panel: Panel) -> Iterator[Bars]:
    """Give the bars of each instrument of a panel in turn, without the rows in which it did not trade."""
    for column, instrument in enumerate(panel.instruments):
        traded = np.isfinite(panel.close[:, column])
        volume = _traded(panel.volume[:, column], traded)
        fields = {
            name: _traded(getattr(panel, name)[:, column], traded) if panel.has_range else None
            for name in ("open", "high", "low")
        }
        yield Bars(
            symbol=instrument.symbol,
            file=panel.name,
            rows=np.flatnonzero(traded) + 1,
            stamps=_traded(panel.timestamps, traded),
            close=_traded(panel.close[:, column], traded),
            **fields,
            volume=volume if np.isfinite(volume).any() else None,
        )


def _traded(values: npt.NDArray[_Value], traded: BoolArray) -> npt.NDArray[_Value]:
    """Return the values of the rows that traded, side by side; copied only where they are not."""
    return np.ascontiguousarray(values) if traded.all() else values[traded]


def of_panel(panel: Panel) -> list[Bars]:
    """Return the bars of all instruments of a panel at once."""
    return list(each_of_panel(panel))


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


def _number(value: float) -> str:
    """Return a number as it would be typed, none of its digits lost."""
    return np.format_float_positional(value, trim="-")
