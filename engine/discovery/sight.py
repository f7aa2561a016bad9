"""What a scan may see of a data set: bars that were closed at its moment, and no sealed one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.data import catalogue
from engine.data.quality import moment
from engine.data.series import SANDBOX, SeriesKey, SeriesKind
from engine.data.venues import class_of, kept_calendars
from engine.domain.errors import InputError
from engine.domain.panel import Instrument, Panel
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar
from engine.domain.venue import VenueClass

_SPREAD_DAYS = 30
"""Quotes of so many last days tell what it costs to cross."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """What is seen.

    Attributes
    ----------
    data
        Name of the data set.
    panel
        Its bars that were closed at `at`, none of them sealed, of the instruments that have one: nobody knew
        then of those that were listed later.
    at
        UTC nanoseconds.
    venues
        Where each symbol is traded, of those where it is known.
    classes
        Class of venue of each symbol, of those that have one.
    spreads_bps
        Median spread of each symbol with quotes of the last 30 days, in basis points of the middle.
    """

    data: str
    panel: Panel
    at: int
    venues: Mapping[str, str]
    classes: Mapping[str, VenueClass]
    spreads_bps: Mapping[str, float]


def look(data: str, *, at: int | None = None, as_of: int | None = None) -> Sight:
    """Return what can be seen of a data set at a moment.

    Parameters
    ----------
    at
        UTC nanoseconds: bars that close later are not seen. None: the close of the last bar before the
        hold-out.
    as_of
        UTC nanoseconds: only what the lake knew then. None: all that the data set holds.

    Raises
    ------
    InputError
        If the data set is not known, or the moment lies before its first close or in its sealed bars.
    """
    open_bars = catalogue.load(data, as_of=as_of)
    closes = open_bars.timestamps + open_bars.timeframe.nanoseconds
    last = int(closes[-1]) if len(closes) else 0
    at = last if at is None else at
    rows = int(np.searchsorted(closes, at, side="right"))
    if rows == 0:
        first = f"its first one closes {moment(int(closes[0]))}" if len(closes) else "it has none"
        raise InputError(f"data set {data}: no bar was closed at {moment(at)}; {first}")
    if at > last and catalogue.manifest(data).holdout_rows:
        raise InputError(
            f"data set {data}: the bars after {moment(last)} are sealed, and a scan at {moment(at)} would "
            f"ask for them; scan at {moment(last)} or before"
        )
    seen = open_bars.rows(0, rows)
    listed = np.flatnonzero(np.isfinite(seen.close).any(axis=0))
    seen = seen.select(tuple(listed.tolist()))
    panel = replace(seen, instruments=tuple(_as_known(each, at) for each in seen.instruments))
    keys = _keys(panel, data)
    return Sight(
        data=data,
        panel=panel,
        at=at,
        venues={symbol: key.venue.removesuffix(SANDBOX) for symbol, key in keys.items()},
        classes=_classes(panel),
        spreads_bps=_spreads(keys, at, as_of),
    )


def _as_known(instrument: Instrument, at: int) -> Instrument:
    """Return an instrument without a delisting that was yet to come."""
    if instrument.delisted_at is None or instrument.delisted_at < at:
        return instrument
    return Instrument(symbol=instrument.symbol, quote=instrument.quote, cluster=instrument.cluster)


def _keys(panel: Panel, data: str) -> dict[str, SeriesKey]:
    """Return the series of each symbol of a data set of the lake; nothing of any other one."""
    base, version = catalogue.parsed(data)
    if base not in catalogue.lake_names():
        return {}
    keys = {key.instrument: key for key in catalogue.lake().version(base, version).definition.keys}
    return {symbol: keys[symbol] for symbol in panel.symbols if symbol in keys}


def _spreads(keys: Mapping[str, SeriesKey], at: int, as_of: int | None) -> dict[str, float]:
    """Return the median spread of the last days before a moment, of those whose quotes were recorded then."""
    lake = catalogue.lake()
    start = at - _SPREAD_DAYS * NANOSECONDS_PER_DAY
    spreads = {}
    for symbol, key in keys.items():
        quotes_key = SeriesKey(venue=key.venue, kind=SeriesKind.QUOTES, instrument=key.instrument)
        quotes = lake.read_book(quotes_key, start=start, stop=at, as_of=as_of)
        known = np.isfinite(quotes.bid) & np.isfinite(quotes.ask)
        bid, ask = quotes.bid[known], quotes.ask[known]
        if len(bid):
            spreads[symbol] = float(np.median(2e4 * (ask - bid) / (ask + bid)))
    return spreads


def _classes(panel: Panel) -> dict[str, VenueClass]:
    classes = {}
    for symbol, calendar in kept_calendars(panel).items():
        written = class_of(symbol)
        # A ticker says nothing of its class, but only crypto is traded round the clock.
        is_crypto = written is VenueClass.EQUITY and calendar is Calendar.ALWAYS
        if written is not None:
            classes[symbol] = VenueClass.CRYPTO if is_crypto else written
    return classes
