"""Pull: the history of many instruments into the lake, and a data set of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.data import catalogue
from engine.data.ingestion.crew import WORKERS, Listener, Task, ingest_all
from engine.data.ingestion.one_series import Span
from engine.data.ingestion.outcome import Outcome, Summary
from engine.data.ingestion.venues import venue_of
from engine.data.lake.lake import Lake
from engine.data.lake.versions import DataSetVersion
from engine.data.providers.finality import GRACE, final_until
from engine.data.providers.matrix import Purpose
from engine.data.providers.opening import Access, permit_all
from engine.data.series import SeriesKey, SeriesKind
from engine.data.venues import class_of
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from engine.domain.venue import CalendarPolicy


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """What is to be had.

    Attributes
    ----------
    name
        Of the data set that is frozen at the end; with several timeframes `<name>-<timeframe>` each. None
        freezes none.
    provider
        As in the capability matrix.
    start, stop
        UTC nanoseconds: bars that open from `start` up to, not including, `stop`; None is all that is final.
    universe
        Name of the universe that the symbols were taken from, if any.
    calendar
        When bars are expected; None: that of the class of the symbols.
    calendar_policy
        What becomes of symbols with different calendars.
    workers
        Series that are worked on at once.
    grace
        Nanoseconds after its end at which a bar is final.
    is_sandbox
        Whether another address than the provider's own is asked; the lake keeps that apart.
    """

    name: str | None
    provider: str
    symbols: tuple[str, ...]
    timeframes: tuple[Timeframe, ...]
    start: int
    stop: int | None = None
    universe: str | None = None
    calendar: Calendar | None = None
    calendar_policy: CalendarPolicy = CalendarPolicy.REFUSE
    workers: int = WORKERS
    grace: int = GRACE
    is_sandbox: bool = False

    def data_set(self, timeframe: Timeframe) -> str | None:
        """Return the name of the data set of a timeframe."""
        return (
            self.name if self.name is None or len(self.timeframes) == 1 else f"{self.name}-{timeframe.value}"
        )


def pull(request: PullRequest, *, lake: Lake, access: Access, listener: Listener) -> Summary:
    """Bring the wanted series into the lake and freeze what they are. The same again goes on where it ended.

    Raises
    ------
    ProviderError
        If the provider may not be asked, or refuses us altogether.
    InputError
        If the request cannot be used, or the lake cannot be written or read.
    """
    now = access.surroundings.now()
    calendars = _checked(request, now)
    permit_all(request.provider, request.symbols, start=request.start, purpose=Purpose.HISTORY, access=access)
    tasks = [
        Task(
            key=_key(request, symbol, timeframe),
            span=_span(request, timeframe, calendars[symbol], now),
        )
        for timeframe in request.timeframes
        for symbol in request.symbols
    ]
    run = run_id("pull", access)
    outcomes = ingest_all(
        tasks,
        provider=request.provider,
        lake=lake,
        access=access,
        run=run,
        listener=listener,
        workers=request.workers,
        grace=request.grace,
        is_sandbox=request.is_sandbox,
    )
    return Summary(run=run, outcomes=outcomes, data_sets=_frozen(request, lake, outcomes, calendars))


def run_id(what: str, access: Access) -> str:
    """Return the id of a run: what it does, when it began, and letters that tell two of a second apart."""
    began = np.datetime64(access.surroundings.now(), "ns").astype("datetime64[s]").item()
    return f"{what}-{began:%Y%m%dT%H%M%SZ}-{int(access.surroundings.generator.integers(16**6)):06x}"


def calendar_of(symbol: str) -> Calendar:
    """Return when bars of a symbol are expected, by what it is.

    Raises
    ------
    InputError
        If its class has no calendar of its own here.
    """
    venue_class = class_of(symbol)
    if venue_class is None:
        raise InputError(
            f"--calendar: {symbol} is not traded, so it has no calendar of its own; state one of "
            f"{', '.join(Calendar)}"
        )
    return venue_class.calendar


def _checked(request: PullRequest, now: int) -> Mapping[str, Calendar]:
    """Return the calendar of each symbol of a request that can be used."""
    if not request.symbols:
        raise InputError("--symbols: name at least one, as BTC/USD")
    if not request.timeframes:
        raise InputError(f"--timeframe: name at least one of {', '.join(Timeframe)}")
    for option, values in (("--symbols", request.symbols), ("--timeframe", request.timeframes)):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise InputError(f"{option}: {twice} is named twice; name it once")
    stop = now if request.stop is None else min(request.stop, now)
    if request.start >= stop:
        raise InputError(
            f"--start: must be before {'the present' if stop == now else '--stop'}, was "
            f"{np.datetime64(request.start, 'ns').astype('datetime64[s]')}"
        )
    for timeframe in request.timeframes:
        if (name := request.data_set(timeframe)) is not None:
            catalogue.require_free(name)
    if request.calendar is not None:
        return dict.fromkeys(request.symbols, request.calendar)
    calendars = {symbol: calendar_of(symbol) for symbol in request.symbols}
    if len(set(calendars.values())) > 1 and request.calendar_policy is CalendarPolicy.REFUSE:
        told = ", ".join(f"{symbol} {calendar.value}" for symbol, calendar in calendars.items())
        raise InputError(
            f"--symbols: have different calendars ({told}); pull them apart, state --calendar "
            f"where they all keep one there, or --calendar-policy {CalendarPolicy.INNER_JOIN.value}, which "
            "freezes the bars that all have"
        )
    return calendars


def _span(request: PullRequest, timeframe: Timeframe, calendar: Calendar, now: int) -> Span:
    # All series end at the same moment, however long the pull takes.
    until = final_until(now, timeframe, request.grace)
    stop = until if request.stop is None else min(request.stop, until)
    return Span(start=request.start, stop=stop, holes_from=request.start, calendar=calendar)


def _key(request: PullRequest, symbol: str, timeframe: Timeframe) -> SeriesKey:
    venue = venue_of(request.provider, is_sandbox=request.is_sandbox)
    return SeriesKey(venue=venue, kind=SeriesKind.BARS, instrument=symbol, timeframe=timeframe)


def _frozen(
    request: PullRequest, lake: Lake, outcomes: tuple[Outcome, ...], calendars: Mapping[str, Calendar]
) -> tuple[DataSetVersion, ...]:
    """Freeze a data set of each timeframe, none at all if a series is not what was asked for."""
    if request.name is None or any(outcome.failed for outcome in outcomes):
        return ()
    return tuple(
        lake.freeze(
            request.data_set(timeframe) or request.name,
            [_key(request, symbol, timeframe) for symbol in request.symbols],
            timeframe=timeframe,
            # A join has the bars of the one that closes most.
            calendar=min(calendars.values(), key=lambda calendar: calendar.days_per_year),
            universe=request.universe,
            start=request.start,
            stop=request.stop,
            calendar_policy=request.calendar_policy,
        )
        for timeframe in request.timeframes
    )
