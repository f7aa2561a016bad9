"""Sync: each series of the lake goes on from its watermark, holes are filled, its last bars read again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.data.ingestion.crew import WORKERS, Listener, Task, ingest_all
from engine.data.ingestion.one_series import Span
from engine.data.ingestion.outcome import Counts, Outcome, Summary
from engine.data.ingestion.pull import calendar_of, run_id
from engine.data.ingestion.schedule import Depth
from engine.data.ingestion.venues import provider_of
from engine.data.lake.lake import Lake
from engine.data.lake.versions import DataSetVersion
from engine.data.providers.errors import ProviderError
from engine.data.providers.finality import GRACE, final_until
from engine.data.providers.matrix import Purpose, capability
from engine.data.providers.opening import Access, permit_all
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar

REREAD_BARS: Final = 60
"""So many bars below the watermark are asked for again each time: late and revised ones are among them."""

REREAD_BARS_FULL: Final = 700
"""Of the nightly look: about as many as Kraken reports at once, so that it still costs one request."""

HOLES_BARS: Final = 720
"""So far below the watermark holes are looked for each time; the nightly look goes back to the beginning."""


@dataclass(frozen=True, kw_only=True)
class SyncRequest:
    """What is to be brought up to date.

    Attributes
    ----------
    provider
        Only series of this one; None: of all of them.
    is_sandbox
        Whether the series of sandboxes are meant, and none but those.
    freezes
        Whether data sets without an end get a version with what came.
    """

    provider: str | None = None
    is_sandbox: bool = False
    depth: Depth = Depth.RECENT
    freezes: bool = True
    workers: int = WORKERS
    grace: int = GRACE


def sync(request: SyncRequest, *, lake: Lake, access: Access, listener: Listener) -> Summary:
    """Bring the series of the lake up to date. A provider that refuses does not hold up the others.

    Raises
    ------
    InputError
        If there is nothing to bring up to date, or the lake cannot be written or read.
    """
    providers = _keys_by_provider(request, lake)
    calendars = _calendars(lake)
    run = run_id("sync", access)
    outcomes: list[Outcome] = []
    for provider, keys in providers.items():
        tasks = [_task(request, key, lake, access, provider, calendars) for key in keys]
        try:
            permit_all(
                provider,
                sorted({key.instrument for key in keys}),
                start=min(_asked_from(task) for task in tasks),
                purpose=Purpose.HISTORY,
                access=access,
            )
            outcomes += ingest_all(
                tasks,
                provider=provider,
                lake=lake,
                access=access,
                run=run,
                listener=listener,
                workers=request.workers,
                grace=request.grace,
                is_sandbox=request.is_sandbox,
            )
        except ProviderError as refused:
            for key in keys:
                listener.failed(key, str(refused), again=False)
            outcomes += [Outcome(key=key, counts=Counts(), failed=str(refused)) for key in keys]
    if request.depth is Depth.FULL:
        # Each look of the day left a part behind.
        lake.compact()
    frozen = _frozen(lake, outcomes) if request.freezes else ()
    return Summary(run=run, outcomes=tuple(outcomes), data_sets=frozen)


def _keys_by_provider(request: SyncRequest, lake: Lake) -> Mapping[str, Sequence[SeriesKey]]:
    if request.provider is not None:
        # An unknown name is told as such, not as a lake without its series.
        capability(request.provider)
    found: dict[str, list[SeriesKey]] = {}
    for key in lake.series():
        provider = provider_of(key.venue, is_sandbox=request.is_sandbox)
        if provider is None or key.kind is not SeriesKind.BARS or request.provider not in (None, provider):
            continue
        if lake.ends(key) is None:
            # All that it had was withdrawn: nothing says from when on it is wanted.
            continue
        found.setdefault(provider, []).append(key)
    if not found:
        whose = request.provider or "any provider"
        where = " sandbox" if request.is_sandbox else ""
        raise InputError(
            f"sync: the lake holds no bars of {whose}{where}; begin with: engine data pull NAME --help"
        )
    return found


def _calendars(lake: Lake) -> Mapping[SeriesKey, Calendar]:
    """Return the calendars that data sets were frozen with, by series; a later one is no better."""
    known: dict[SeriesKey, Calendar] = {}
    for name in lake.data_sets():
        definition = lake.version(name).definition
        # Of those that were joined each keeps its own.
        for key in () if definition.groups else definition.keys:
            known.setdefault(key, definition.calendar)
    return known


def _task(
    request: SyncRequest,
    key: SeriesKey,
    lake: Lake,
    access: Access,
    provider: str,
    calendars: Mapping[SeriesKey, Calendar],
) -> Task:
    timeframe = key.timeframe
    assert timeframe is not None
    now = access.surroundings.now()
    ends = lake.ends(key)
    assert ends is not None
    first, last = ends
    if request.depth is Depth.FULL:
        # No further than the provider may be asked.
        reaches = now - (capability(provider).history_days_max - 1) * NANOSECONDS_PER_DAY
        holes_from, reread = max(first, reaches), REREAD_BARS_FULL
    else:
        holes_from, reread = max(first, last - HOLES_BARS * timeframe.nanoseconds), REREAD_BARS
    span = Span(
        start=first,
        stop=final_until(now, timeframe, request.grace),
        holes_from=holes_from,
        reread_bars=reread,
        calendar=calendars[key] if key in calendars else calendar_of(key.instrument),
    )
    return Task(key=key, span=span)


def _asked_from(task: Task) -> int:
    return task.span.holes_from


def _frozen(lake: Lake, outcomes: Sequence[Outcome]) -> tuple[DataSetVersion, ...]:
    """Freeze what came as the next version of each data set without an end whose series all came."""
    synced = {outcome.key for outcome in outcomes if not outcome.failed}
    frozen = []
    for name in lake.data_sets():
        before = lake.version(name)
        definition = before.definition
        keys = {*definition.keys, *(() if definition.market is None else (definition.market,))}
        if definition.stop is not None or not keys <= synced:
            continue
        after = lake.freeze(
            name,
            definition.keys,
            timeframe=definition.timeframe,
            calendar=definition.calendar,
            market=definition.market,
            universe=definition.universe,
            start=definition.start,
            adjustment=definition.adjustment,
            calendar_policy=definition.calendar_policy,
        )
        if after.version != before.version:
            frozen.append(after)
    return tuple(frozen)
