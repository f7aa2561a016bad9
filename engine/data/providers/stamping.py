"""Stamps as vendors write them, and as we keep them."""

import re

import numpy as np
import pandas as pd

from engine.data.providers.replies import bounded, broken
from engine.domain.panel import IntArray
from engine.domain.time import NANOSECONDS_PER_DAY

_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:Z|\+00:00))?")


def iso(stamp: int) -> str:
    """Return UTC nanoseconds as `2024-01-02T03:04:05Z`; parts of a second are cut off."""
    return f"{np.datetime64(stamp, 'ns').astype('datetime64[s]')}Z"


def iso_date(stamp: int) -> str:
    """Return the UTC day of nanoseconds as `2024-01-02`."""
    return str(np.datetime64(stamp, "ns").astype("datetime64[D]"))


def from_iso(provider: str, value: object) -> int:
    """Return UTC nanoseconds of `2024-01-02` or `2024-01-02T03:04:05.123Z`, with up to nine decimals."""
    found = _ISO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise broken(provider, f"has time {str(value)[:40]!r}, which is no UTC stamp")
    try:
        seconds = np.datetime64(f"{found[1]}T{found[2] or '00:00:00'}", "s")
    except ValueError as wrong:
        raise broken(provider, f"has time {str(value)[:40]!r}, which no calendar has") from wrong
    stamp = int(seconds.astype(np.int64)) * 10**9 + int((found[3] or "").ljust(9, "0"))
    return bounded(provider, stamp, "time")


def midnights_of_dates(stamps: IntArray, zone: str) -> IntArray:
    """Return the UTC midnights of the dates that instants have at the exchange, shape (T,).

    Vendors stamp a daily bar with the midnight or with the open of the exchange; we keep dates.
    """
    if stamps.size == 0:
        return stamps
    local = pd.DatetimeIndex(stamps.view("datetime64[ns]"), tz="UTC").tz_convert(zone).tz_localize(None)
    clocks = np.asarray(local.values).astype("datetime64[ns]").astype(np.int64)
    return np.asarray(clocks - clocks % NANOSECONDS_PER_DAY)
