"""Which calendar an instrument keeps, and what becomes of several of them in one panel."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from engine.data.findings import BoolArray
from engine.data.providers.matrix import AssetClass, classify
from engine.domain.errors import InputError
from engine.domain.panel import PRICE_FIELDS, IntArray, Panel
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar
from engine.domain.venue import CalendarPolicy, VenueClass

Groups = tuple[tuple[str, ...], ...]
"""Symbols by the calendar that they keep."""

_CLASSES: Final[Mapping[AssetClass, VenueClass]] = {
    AssetClass.STOCKS: VenueClass.EQUITY,
    AssetClass.FX: VenueClass.FOREX,
    AssetClass.COMMODITIES: VenueClass.FUTURES,
    AssetClass.CRYPTO: VenueClass.CRYPTO,
}
_DAYS_TO_TELL = 3 * 7
_SATURDAYS_MIN = 1 / 14
"""Least share of Saturdays among the days of what never closes: half of a seventh, as a bar may be stray."""
_SHOWN = 5


def class_of(symbol: str) -> VenueClass | None:
    """Return the class of venue of a symbol by how it is written, None for what is not traded.

    A bare ticker is taken for an equity: neither an ETF nor a CFD can be told from one.
    """
    return _CLASSES.get(classify(symbol))


def kept_calendars(panel: Panel) -> dict[str, Calendar]:
    """Return the calendar that each instrument of a panel keeps, by symbol.

    What has bars on Saturdays never closes, whatever it is: crypto exchanges trade currencies so. Of all
    else the symbol says so where it can mean one thing only, `BTC/USD` or `GC=F`. A bare ticker keeps the
    panel's calendar, where that closes at weekends or its bars are too few to tell.
    """
    days = panel.timestamps // NANOSECONDS_PER_DAY
    return {symbol: _kept(panel, column, days) for column, symbol in enumerate(panel.symbols)}


def groups(panel: Panel, policy: CalendarPolicy) -> Groups:
    """Return which instruments of a panel keep the same calendar; parameters and errors as of `grouped`."""
    return grouped(panel.name, panel.calendar, kept_calendars(panel), policy)


def grouped(name: str, calendar: Calendar, kept: Mapping[str, Calendar], policy: CalendarPolicy) -> Groups:
    """Return which instruments keep the same calendar, where they do not all do; else nothing.

    Parameters
    ----------
    name, calendar
        Of the data set.
    kept
        By symbol.

    Raises
    ------
    InputError
        If they keep several and the policy refuses that, or if the panel's own is not the one of them that
        closes most.
    """
    by_calendar: dict[Calendar, list[str]] = {}
    for symbol, its in kept.items():
        by_calendar.setdefault(its, []).append(symbol)
    if len(by_calendar) <= 1:
        return ()
    told = "; ".join(
        f"{_names(symbols)} {'keeps' if len(symbols) == 1 else 'keep'} {its.value}"
        for its, symbols in sorted(by_calendar.items())
    )
    if policy is CalendarPolicy.REFUSE:
        raise InputError(
            f"{name}: its instruments have different calendars ({told}). Make a data set of each, or "
            f"state the calendar policy {CalendarPolicy.INNER_JOIN.value}, which keeps the bars that all have"
        )
    narrowest = min(by_calendar, key=lambda each: each.days_per_year)
    if calendar is not narrowest:
        raise InputError(
            f"{name}: has bars when all its instruments trade ({told}), so its calendar must be "
            f"{narrowest.value}, was {calendar.value}"
        )
    return tuple(tuple(sorted(symbols)) for _, symbols in sorted(by_calendar.items()))


def joined(panel: Panel, of_groups: Groups) -> Panel:
    """Return the bars at which an instrument of each group traded: no weekend is filled with anything.

    Raises
    ------
    InputError
        If there is none.
    """
    if not of_groups:
        return panel
    traded = np.isfinite(panel.close)
    columns = {symbol: column for column, symbol in enumerate(panel.symbols)}
    kept: BoolArray = np.ones(len(panel), dtype=np.bool_)
    for group in of_groups:
        inside = [columns[symbol] for symbol in group if symbol in columns]
        kept &= traded[:, inside].any(axis=1)
    if not kept.any():
        raise InputError(f"{panel.name}: there is no bar that all of its calendars have")
    return replace(
        panel,
        timestamps=panel.timestamps[kept],
        **{name: getattr(panel, name)[kept] for name in PRICE_FIELDS},
        fields={name: values[kept] for name, values in panel.fields.items()},
    )


def _kept(panel: Panel, column: int, days: IntArray) -> Calendar:
    written = class_of(panel.symbols[column])
    is_ticker = written in (None, VenueClass.EQUITY)
    # They are in order: sorting them, as np.unique does, would take longer than to read them.
    own = days[np.isfinite(panel.close[:, column])]
    own = own[np.flatnonzero(np.diff(own, prepend=own[:1] - 1))]
    is_short = len(own) == 0 or own[-1] - own[0] < _DAYS_TO_TELL
    if is_ticker and is_short:
        return panel.calendar
    # Day 0 of the epoch was a Thursday: two days on is Saturday.
    if len(own) and (own % 7 == 2).mean() >= _SATURDAYS_MIN:
        return Calendar.ALWAYS
    if written is not None and not is_ticker:
        return written.calendar
    return Calendar.XNYS if panel.calendar is Calendar.ALWAYS else panel.calendar


def _names(symbols: list[str]) -> str:
    more = f" and {len(symbols) - _SHOWN} more" if len(symbols) > _SHOWN else ""
    return ", ".join(symbols[:_SHOWN]) + more
