"""Volumes as a venue prints them, whichever way they came."""

from typing import Final

import numpy as np

from engine.data.series import BAR_VALUES, BarSeries

DIGITS: Final = 15
"""Every number of so many digits is a float of its own, so one that was printed can be told from its sum."""


def as_printed(bars: BarSeries) -> BarSeries:
    """Return bars whose volumes are the nearest numbers of `DIGITS` digits.

    A sum of trades misses what the venue prints by the last bit where amounts are large (a billion SHIB), and
    bars would differ by whether they were reported or built.
    """
    volume = np.array([float(f"{value:.{DIGITS}g}") for value in bars.volume.tolist()], dtype=np.float64)
    values = {name: getattr(bars, name) for name in BAR_VALUES if name != "volume"}
    return BarSeries(stamps=bars.stamps, volume=volume, **values)
