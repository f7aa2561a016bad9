"""Bars of a slower timeframe, put together from the bars of a panel or of a stream.

A slower bar holds the bars that open within it; periods are counted from 1 January 1970 in UTC, so a day
begins at midnight UTC. It is closed at the close of the bar that ends with it or, where that one is missing,
at the close of the first bar after it. Periods without a single bar do not exist. The first one begins with
the first bar, even in the middle of a day.

An instrument that did not trade in any of the bars has NaN, as in any other bar that it did not trade in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.time import Timeframe

_SUMMED = frozenset({"volume", "buy_volume", "sell_volume"})
"""Fields that count what happened within a bar. All others but the prices below take their last value."""

_NEVER = np.iinfo(np.int64).min // 2


class Slower(NamedTuple):
    """A panel of slower bars, and which of them is known when.

    Attributes
    ----------
    latest
        Shape (T,): by bar of the faster panel, the last slower bar that is closed then; -1 before the first.
    """

    panel: Panel
    latest: IntArray


def check_timeframes(slower: Timeframe, bars: Timeframe) -> None:
    """Refuse to put bars together to something shorter than themselves.

    Raises
    ------
    InvalidValueError
        If the slower timeframe is not a multiple of the bars.
    """
    if slower.nanoseconds % bars.nanoseconds != 0:
        raise InvalidValueError(
            f"resample: bars of {bars.value} cannot be put together to {slower.value}; "
            f"choose a timeframe of {bars.value} or longer"
        )


def slower_panel(panel: Panel, timeframe: Timeframe) -> Slower:
    """Put the bars of a panel together to slower ones; a slower bar opens where its period begins.

    Raises
    ------
    InvalidValueError
        If the timeframe is shorter than the panel's, or bars overlap.
    """
    check_timeframes(timeframe, panel.timeframe)
    overlaps = np.diff(panel.timestamps) < panel.timeframe.nanoseconds
    if overlaps.any():
        raise _overlap(int(panel.timestamps[int(np.argmax(overlaps)) + 1]), panel.timeframe)
    periods = panel.timestamps // timeframe.nanoseconds
    starts = np.flatnonzero(np.diff(periods, prepend=_NEVER))
    # Of each slower bar, the bar at whose close it is closed; a last one that is not whole stays open.
    last = np.append(starts[1:], len(panel)) - 1
    whole = (
        panel.timestamps[last] + panel.timeframe.nanoseconds >= (periods[last] + 1) * timeframe.nanoseconds
    )
    closed_at = np.where(whole, last, last + 1)
    latest = np.searchsorted(closed_at, np.arange(len(panel)), side="right") - 1
    arrays = {"open": panel.open, "high": panel.high, "low": panel.low, "close": panel.close}
    arrays |= {"volume": panel.volume, **panel.fields}
    together = {name: _together(name, values, starts) for name, values in arrays.items()}
    prices: dict[str, Any] = {name: together.pop(name) for name in ("open", "high", "low", "close", "volume")}
    slower = replace(
        panel,
        timestamps=periods[starts] * timeframe.nanoseconds,
        timeframe=timeframe,
        fields=together,
        **prices,
    )
    return Slower(panel=slower, latest=latest)


def _overlap(opened_at: int, bars: Timeframe) -> InvalidValueError:
    opened = np.datetime64(opened_at, "ns").astype("datetime64[s]")
    return InvalidValueError(
        f"resample: the bar opened {opened}Z begins before the one before it ends, bars are of {bars.value}"
    )


def _together(name: str, values: FloatArray, starts: IntArray) -> FloatArray:
    """Return one value a slower bar, from all those that are known."""
    if name == "high":
        return np.asarray(np.fmax.reduceat(values, starts, axis=0))
    if name == "low":
        return np.asarray(np.fmin.reduceat(values, starts, axis=0))
    known = ~np.isnan(values)
    if name in _SUMMED:
        sums = np.zeros((len(starts), *values.shape[1:]))
        bar = np.searchsorted(starts, np.arange(len(values)), side="right") - 1
        # One after the other, as a stream adds them: `reduceat` may add in pairs and round differently.
        np.add.at(sums, bar, np.where(known, values, 0.0))
        return np.where(np.logical_or.reduceat(known, starts, axis=0), sums, np.nan)
    rows = np.arange(len(values)).reshape(-1, *(1,) * (values.ndim - 1))
    if name == "open":
        chosen = np.minimum.reduceat(np.where(known, rows, len(values)), starts, axis=0)
    else:
        chosen = np.maximum.reduceat(np.where(known, rows, -1), starts, axis=0)
    found = (chosen >= 0) & (chosen < len(values))
    return np.where(found, np.take_along_axis(values, np.where(found, chosen, 0), axis=0), np.nan)


@dataclass(frozen=True, kw_only=True, eq=False)
class SlowerBar:
    """A slower bar that is closed: when its period begins (UTC nanoseconds), and fields of Shape (N,)."""

    opened_at: int
    fields: Mapping[str, FloatArray]


class SlowerBars:
    """Puts the bars of a stream together, to the same bits as `slower_panel`."""

    def __init__(self, fields: Sequence[str], n: int, *, timeframe: Timeframe, bars: Timeframe) -> None:
        check_timeframes(timeframe, bars)
        self._fields = tuple(fields)
        self._timeframe = timeframe
        self._bars = bars
        self._values = np.full((len(self._fields), n), np.nan)
        # The period that is being put together, whether it still is (else its last bar closed it), and when
        # the latest bar was closed.
        self._period = np.array([_NEVER, 0, _NEVER])

    def push(self, opened_at: int, bar: Mapping[str, FloatArray | float]) -> list[SlowerBar]:
        """Take one closed bar and return the slower bars that it closes: none, one or, after a gap, two.

        Raises
        ------
        InvalidValueError
            If the bar opens before the one before it is closed.
        """
        if opened_at < self._period[2]:
            raise _overlap(opened_at, self._bars)
        self._period[2] = opened_at + self._bars.nanoseconds
        period = opened_at // self._timeframe.nanoseconds
        closed = []
        if period != self._period[0]:
            if self._period[1]:
                closed.append(self._close())
            self._period[:2] = period, 1
            self._values[:] = np.nan
        for values, name in zip(self._values, self._fields, strict=True):
            _add(name, values, np.asarray(bar[name], dtype=np.float64))
        if self._period[2] >= (period + 1) * self._timeframe.nanoseconds:
            closed.append(self._close())
        return closed

    def _close(self) -> SlowerBar:
        self._period[1] = 0
        opened_at = int(self._period[0]) * self._timeframe.nanoseconds
        fields = dict(zip(self._fields, self._values.copy(), strict=True))
        return SlowerBar(opened_at=opened_at, fields=fields)

    def memory(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that is remembered, to be copied or written into."""
        return {"values": self._values, "period": self._period}


def _add(name: str, values: FloatArray, new: FloatArray) -> None:
    """Add one bar's values to those of the slower bar, in place."""
    if name == "high":
        np.fmax(values, new, out=values)
    elif name == "low":
        np.fmin(values, new, out=values)
    elif name in _SUMMED:
        known = ~np.isnan(new)
        np.copyto(values, np.where(np.isnan(values), 0.0, values) + new, where=known)
    elif name == "open":
        np.copyto(values, new, where=np.isnan(values))
    else:
        np.copyto(values, new, where=~np.isnan(new))
