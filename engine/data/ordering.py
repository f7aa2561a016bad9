"""Checks on the order of bars: each later than the one above it, by the length of a bar, on one grid."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.data.findings import Finding, Kind, positions
from engine.data.quality import Bars, moment, phase
from engine.domain.time import NANOSECONDS_PER_DAY, Timeframe


def order_errors(bars: Bars, timeframe: Timeframe) -> list[Finding]:
    """Return bars that are not later than all bars above them, or not by the length of a bar."""
    stamps = bars.stamps
    repeated = pd.Series(stamps).duplicated().to_numpy()
    earlier = np.zeros(len(stamps), dtype=bool)
    earlier[1:] = stamps[1:] < np.maximum.accumulate(stamps)[:-1]
    if len(stamps) > 2 and (np.diff(stamps) < 0).all():
        message = "the file is newest first; sort it oldest first"
        return [bars.finding(Kind.UNORDERED_STAMP, 1, moment(int(stamps[1])), message)]
    found = [
        bars.finding(Kind.DUPLICATE_STAMP, at, moment(int(stamps[at])), f"{bars.symbol} has this bar already")
        for at in positions(repeated)
    ]
    found += [
        bars.finding(
            Kind.UNORDERED_STAMP,
            at,
            moment(int(stamps[at])),
            "is earlier than a row above it; sort oldest first",
        )
        for at in positions(earlier & ~repeated)
    ]
    return found or _spacing_errors(bars, timeframe)


def _spacing_errors(bars: Bars, timeframe: Timeframe) -> list[Finding]:
    steps = np.diff(bars.stamps)
    if len(steps) >= 2 and steps.min() >= 2 * timeframe.nanoseconds:
        message = (
            f"bars are never closer than {_span(int(steps.min()))}, but --timeframe says {timeframe.value}"
        )
        return [bars.finding(Kind.WRONG_TIMEFRAME, 1, moment(int(bars.stamps[1])), message)]
    return [
        bars.finding(
            Kind.MIXED_TIMEFRAME,
            at + 1,
            moment(int(bars.stamps[at + 1])),
            f"opens {_span(int(steps[at]))} after the bar above it, less than {timeframe.value}",
        )
        for at in positions(steps < timeframe.nanoseconds)
    ]


def grid_errors(parts: Sequence[Bars], timeframe: Timeframe) -> list[Finding]:
    """Return instruments whose bars open at another time of the hour: they cannot share one time axis."""
    if not parts:
        return []
    first = parts[0]
    grid = phase(first.stamps, timeframe)
    found = []
    for bars in parts[1:]:
        own = phase(bars.stamps, timeframe)
        if own != grid:
            message = (
                f"{bars.symbol} opens its bars {_span(own)} after a full {timeframe.value}, "
                f"{first.symbol} {_span(grid)} after; one data set needs one grid"
            )
            found.append(bars.finding(Kind.MIXED_TIMEFRAME, 0, moment(int(bars.stamps[0])), message))
    return found


def _span(nanoseconds: int) -> str:
    """Return a length of time as people say it."""
    for size, noun in ((NANOSECONDS_PER_DAY, "day"), (3600 * 10**9, "hour"), (60 * 10**9, "minute")):
        if nanoseconds and nanoseconds % size == 0:
            number = nanoseconds // size
            return f"{number} {noun}" + ("s" if number != 1 else "")
    return f"{nanoseconds / 10**9:g} seconds"
