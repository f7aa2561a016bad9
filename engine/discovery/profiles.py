"""What is known of each instrument at the moment of a scan. Pure."""

from dataclasses import dataclass

import numpy as np

from engine.data.validity import judged
from engine.discovery.sight import Sight
from engine.domain.panel import FloatArray, IntArray, Panel, trading_days
from engine.domain.time import NANOSECONDS_PER_DAY, Timeframe
from engine.domain.venue import VenueClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One instrument. None where something is not known, or where nobody asked.

    Attributes
    ----------
    first
        UTC nanoseconds of the open of its first bar.
    listed_days
        From there to the moment of the scan.
    bars
        In which it traded.
    silent_bars
        Bars of the data set since the last one of them.
    delisted_at
        UTC nanoseconds, where that was before the moment of the scan.
    close
        The last one, in the quote currency.
    dollar_volume
        Median of close x volume a day, in the quote currency.
    spread_bps
        Median, in basis points of the middle.
    quality
        DATA_QUALITY_SCORE of its bars.
    signal
        At the last closed bar; where that says nothing, the one before it stands.
    """

    symbol: str
    quote: str
    venue: str | None
    venue_class: VenueClass | None
    first: int
    listed_days: float
    bars: int
    silent_bars: int
    delisted_at: int | None
    close: float
    dollar_volume: float | None
    spread_bps: float | None
    quality: float | None
    signal: float | None = None


def profiles(sight: Sight, *, dollar_volume_days: int, with_quality: bool) -> dict[str, Profile]:
    """Return the profile of each instrument that is seen, by symbol.

    Parameters
    ----------
    dollar_volume_days
        How many last whole days of trading count, of those since an instrument's first bar. A day without a
        trade counts as one on which nothing was traded.
    with_quality
        Whether the bars are audited, which takes longest.
    """
    panel = sight.panel
    traded = np.isfinite(panel.close)
    volumes = _dollar_volumes(panel, traded.argmax(axis=0), dollar_volume_days)
    scores = judged(panel).scores if with_quality else {}
    found = {}
    for column, instrument in enumerate(panel.instruments):
        rows = np.flatnonzero(traded[:, column])
        first = int(panel.timestamps[rows[0]])
        found[instrument.symbol] = Profile(
            symbol=instrument.symbol,
            quote=instrument.quote,
            venue=sight.venues.get(instrument.symbol),
            venue_class=sight.classes.get(instrument.symbol),
            first=first,
            listed_days=(sight.at - first) / NANOSECONDS_PER_DAY,
            bars=len(rows),
            silent_bars=len(panel) - 1 - int(rows[-1]),
            delisted_at=instrument.delisted_at,
            close=float(panel.close[rows[-1], column]),
            dollar_volume=None if np.isnan(volumes[column]) else float(volumes[column]),
            spread_bps=sight.spreads_bps.get(instrument.symbol),
            quality=scores.get(instrument.symbol),
        )
    return found


def _dollar_volumes(panel: Panel, first_row: IntArray, n_days: int) -> FloatArray:
    """Return the median value that was traded a day, shape (N,); NaN where no volume is known."""
    value = panel.close * panel.volume
    days = trading_days(panel.timestamps, panel.calendar)
    starts = np.flatnonzero(np.concatenate([[True], days[1:] != days[:-1]]))
    sums = np.add.reduceat(np.nan_to_num(value), starts, axis=0)
    if panel.timeframe is not Timeframe.DAY_1 and not _ends_a_day(panel, int(days[-1])):
        starts, sums = starts[:-1], sums[:-1]
    medians = np.full(value.shape[1], np.nan)
    for column in np.flatnonzero(np.isfinite(value).any(axis=0)):
        # The day of its first bar may be half a day.
        since = sums[np.searchsorted(starts, first_row[column]) :, column][-n_days:]
        if len(since):
            medians[column] = np.median(since)
    return medians


def _ends_a_day(panel: Panel, last_day: int) -> bool:
    following = panel.timestamps[-1:] + panel.timeframe.nanoseconds
    return int(trading_days(following, panel.calendar)[0]) != last_day
