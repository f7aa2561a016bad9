"""Bars of several instruments on one time axis."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_EVENING = 4 * NANOSECONDS_PER_DAY // 24

_HASHED_VALUES = 1 << 20

PRICE_FIELDS = ("open", "high", "low", "close", "volume")


class Adjustment(StrEnum):
    """What was done to prices for splits and dividends. Volume is divided by the same factor."""

    NONE = "none"
    SPLIT = "split"
    TOTAL_RETURN = "total_return"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """Something that can be traded.

    Attributes
    ----------
    cluster
        Instruments that share a cluster share its exposure cap; None where clusters are not known.
    delisted_at
        UTC nanoseconds of the last bar, None where trading goes on.
    delisting_haircut
        Share of the last close that is lost when a held instrument is booked out.
    """

    symbol: str
    quote: str = "USD"
    cluster: str | None = None
    delisted_at: int | None = None
    delisting_haircut: float = 0.30

    def __post_init__(self) -> None:
        if not self.symbol:
            raise InvalidValueError("instrument: symbol must not be empty")
        if not 0 <= self.delisting_haircut <= 1:
            raise InvalidValueError(
                f"{self.symbol}: delisting_haircut must be from 0 to 1, was {self.delisting_haircut}"
            )


def trading_days(timestamps: IntArray, calendar: Calendar) -> IntArray:
    """Return the day of trading that each bar belongs to, in days since 1970, shape (T,).

    It is the UTC day where no session crosses midnight. Where a day begins in the evening, bars from 20:00
    UTC on belong to the next one, which is early by an hour in summer and by two in winter; what that makes
    of weekends belongs to the Friday before or the Monday after.

    Parameters
    ----------
    timestamps
        Shape (T,), UTC nanoseconds of the opens.
    """
    if not calendar.day_begins_in_the_evening:
        return timestamps // NANOSECONDS_PER_DAY
    days = (timestamps + _EVENING) // NANOSECONDS_PER_DAY
    # Day 0 of the epoch was a Thursday: 5 is Saturday, 6 is Sunday.
    weekday = (days + 3) % 7
    return np.asarray(np.where(weekday == 5, days - 1, np.where(weekday == 6, days + 1, days)))


def day_ends(timestamps: IntArray, calendar: Calendar) -> npt.NDArray[np.bool_]:
    """Return which bars are the last of their day of trading, shape (T,); `timestamps` are in order."""
    days = trading_days(timestamps, calendar)
    ends = np.ones(len(days), dtype=np.bool_)
    ends[:-1] = days[1:] != days[:-1]
    return ends


def _read_only(values: FloatArray) -> FloatArray:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array is values and values.flags.writeable:
        array = array.copy()
    array.flags.writeable = False
    return array


@dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """What a panel is, its values apart: all that is at hand of one too large to be laid out.

    Attributes
    ----------
    timestamps, instruments, has_range
        As those of the panel.
    """

    name: str
    timestamps: IntArray
    instruments: tuple[Instrument, ...]
    timeframe: Timeframe
    calendar: Calendar
    adjustment: Adjustment
    has_range: bool
    synthetic: bool

    def __len__(self) -> int:
        return int(self.timestamps.size)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the instruments, in column order."""
        return tuple(instrument.symbol for instrument in self.instruments)

    @cached_property
    def day_ends(self) -> npt.NDArray[np.bool_]:
        """Shape (T,): the last bar of each day of trading."""
        return day_ends(self.timestamps, self.calendar)


@dataclass(frozen=True, kw_only=True, eq=False)
class Values:
    """One field of a panel, as stretches of rows: how it is cut is of no account.

    Attributes
    ----------
    shape
        Of the whole.
    """

    shape: tuple[int, ...]
    stretches: Iterable[FloatArray]


def content_hash(outline: "Outline | Panel", fields: Mapping[str, Values]) -> str:
    """Return the SHA-256 of a canonical byte layout: header lines, then little-endian arrays by name."""
    digest = hashlib.sha256()
    header = [
        "panel/1",
        outline.timeframe.value,
        outline.calendar.value,
        outline.adjustment.value,
        str(int(outline.has_range)),
        str(int(outline.synthetic)),
        f"{len(outline)}x{len(outline.instruments)}",
    ]
    header += [
        f"{i.symbol}|{i.quote}|{i.cluster}|{i.delisted_at}|{i.delisting_haircut.hex()}"
        for i in outline.instruments
    ]
    digest.update("\n".join(header).encode())
    digest.update(outline.timestamps.astype("<i8").tobytes())
    for name in sorted(fields):
        digest.update(f"\n{name} {fields[name].shape}\n".encode())
        for stretch in fields[name].stretches:
            # One bit pattern for NaN, whatever wrote it.
            values = np.where(np.isnan(stretch), np.nan, stretch) + 0.0
            digest.update(values.astype("<f8").tobytes())
    return digest.hexdigest()


def _stretches(values: FloatArray) -> Values:
    # The bytes that are hashed are copies: those of a whole field would double the memory of a panel.
    cut = max(1, _HASHED_VALUES * max(len(values), 1) // max(values.size, 1))
    return Values(
        shape=values.shape, stretches=(values[row : row + cut] for row in range(0, len(values), cut))
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Bars, valid once made. Arrays are C-contiguous and read-only.

    Attributes
    ----------
    name
        Of the data set.
    timestamps
        Shape (T,), UTC nanoseconds of the bar's *open*, strictly increasing.
    open, high, low, close, volume
        Shape (T, N). NaN: not traded or not listed in that bar. Volume in units, NaN where unknown.
    has_range
        False for data that has closes only: then open, high and low are copies of the close.
    fields
        Extra data of shape (T, N) or (T,), by name. `market` is the benchmark's level, shape (T,).
    day_ends_told
        Shape (T,): which bars end a day, where that was said before the next bar was known; None: the bars
        themselves say it. No part of the hash.
    """

    name: str
    timestamps: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    instruments: tuple[Instrument, ...]
    timeframe: Timeframe
    calendar: Calendar
    adjustment: Adjustment = Adjustment.NONE
    has_range: bool = True
    synthetic: bool = False
    fields: Mapping[str, FloatArray] = field(default_factory=dict)
    day_ends_told: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        stamps = np.ascontiguousarray(self.timestamps, dtype=np.int64)
        if stamps is self.timestamps and stamps.flags.writeable:
            stamps = stamps.copy()
        stamps.flags.writeable = False
        object.__setattr__(self, "timestamps", stamps)
        if stamps.ndim != 1:
            raise InvalidValueError(f"{self.name}: timestamps must have shape (T,), was {stamps.shape}")
        if stamps.size > 1 and not np.all(np.diff(stamps) > 0):
            row = int(np.argmax(np.diff(stamps) <= 0)) + 1
            raise InvalidValueError(f"{self.name}: timestamps must increase, row {row} does not")
        shape = (stamps.size, len(self.instruments))
        for name in PRICE_FIELDS:
            values = _read_only(getattr(self, name))
            if values.shape != shape:
                raise InvalidValueError(f"{self.name}: {name} must have shape {shape}, was {values.shape}")
            object.__setattr__(self, name, values)
        extras = {}
        for name in sorted(self.fields):
            values = _read_only(self.fields[name])
            if values.shape not in (shape, shape[:1]):
                raise InvalidValueError(
                    f"{self.name}: field {name} must have shape {shape} or {shape[:1]}, was {values.shape}"
                )
            extras[name] = values
        object.__setattr__(self, "fields", MappingProxyType(extras))
        told = self.day_ends_told
        if told is not None and told.shape != shape[:1]:
            raise InvalidValueError(
                f"{self.name}: day_ends_told must have shape {shape[:1]}, was {told.shape}"
            )
        if len(set(self.symbols)) != len(self.symbols):
            raise InvalidValueError(f"{self.name}: an instrument stands twice in {self.symbols}")

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to another process: bars, without what is worked out from them."""
        kept = {item.name: getattr(self, item.name) for item in fields_of(self)}
        return kept | {"fields": dict(self.fields)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what another process checked; arrays arrive writable and must not stay so."""
        for name, value in state.items():
            arrays = value.values() if isinstance(value, dict) else [value]
            for array in arrays:
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
            stored = MappingProxyType(value) if isinstance(value, dict) else value
            object.__setattr__(self, name, stored)

    def __len__(self) -> int:
        return int(self.timestamps.size)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the instruments, in column order."""
        return tuple(instrument.symbol for instrument in self.instruments)

    @property
    def has_volume(self) -> bool:
        """Whether any bar has a volume."""
        return bool(np.isfinite(self.volume).any())

    @cached_property
    def day_ends(self) -> npt.NDArray[np.bool_]:
        """Shape (T,): the last bar of each day of trading (for daily bars: every bar)."""
        told = self.day_ends_told
        return day_ends(self.timestamps, self.calendar) if told is None else told

    @cached_property
    def bars_a_day(self) -> int:
        """Bars of a usual day: 1 for daily bars, 24 for hourly ones around the clock."""
        if len(self) == 0:
            return 1
        return int(np.median(np.diff(np.flatnonzero(self.day_ends), prepend=-1)))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all that the panel holds, whatever wrote it."""
        arrays = {name: getattr(self, name) for name in PRICE_FIELDS} | dict(self.fields)
        return content_hash(self, {name: _stretches(values) for name, values in arrays.items()})

    def rows(self, start: int, stop: int) -> Self:
        """Return bars `start` up to, not including, `stop`."""
        cut = slice(start, stop)
        prices: dict[str, Any] = {name: getattr(self, name)[cut] for name in PRICE_FIELDS}
        return replace(
            self,
            timestamps=self.timestamps[cut],
            fields={name: values[cut] for name, values in self.fields.items()},
            day_ends_told=None if self.day_ends_told is None else self.day_ends_told[cut],
            **prices,
        )

    def select(self, columns: tuple[int, ...]) -> Self:
        """Return the same bars of some instruments, in the order given."""
        index = list(columns)
        prices: dict[str, Any] = {name: getattr(self, name)[:, index] for name in PRICE_FIELDS}
        return replace(
            self,
            instruments=tuple(self.instruments[column] for column in index),
            **prices,
            fields={
                name: np.ascontiguousarray(values[:, index]) if values.ndim == 2 else values
                for name, values in self.fields.items()
            },
        )
