"""A definition and the parts of its series -> one panel: instruments through all their tickers, adjusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from engine.data.actions import Fact, Life, adjusted, in_force, instrument_of, lives, of_life
from engine.data.lake import panels
from engine.data.lake.panels import Column, PinnedPart, Segment, Source
from engine.data.lake.versions import Definition, Span
from engine.data.series import SeriesKey, SeriesKind
from engine.data.venues import joined
from engine.domain.errors import InputError
from engine.domain.panel import Instrument, Panel


def series_of(definition: Definition, facts: Sequence[Fact]) -> list[SeriesKey]:
    """Return all series that tell of the instruments of a definition, and the one of its market."""
    told = _told(definition, facts)
    market = () if definition.market is None else (definition.market,)
    return list(
        dict.fromkeys([*definition.keys, *(_key(definition, *each) for each in sorted(told)), *market])
    )


def facts_of(definition: Definition, facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """Return the facts that are about instruments of a definition."""
    told = _told(definition, facts)
    return tuple(fact for fact in facts if (fact.venue, fact.ticker) in told)


def raw_panel(
    root: Path,
    name: str,
    definition: Definition,
    pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]],
    facts: Sequence[Fact],
    *,
    only: str | None = None,
) -> Panel:
    """Return the panel of some parts, with the prices as they were printed.

    Parameters
    ----------
    only
        Symbol of the one instrument that is wanted, without a market; None: all.

    Raises
    ------
    InputError
        If a file is not what was frozen, or there is no bar at all.
    """
    return panels.build(root, source_of(name, definition, pinned, facts, only=only))


def source_of(
    name: str,
    definition: Definition,
    pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]],
    facts: Sequence[Fact],
    *,
    only: str | None = None,
) -> Source:
    """Return what `raw_panel` is made of."""
    columns = _columns(definition, pinned, facts)
    if only is not None:
        columns = tuple(column for column in columns if column.instrument.symbol == only)
    return Source(
        name=name,
        columns=columns,
        market=_market(definition, pinned) if only is None else None,
        timeframe=definition.timeframe,
        calendar=definition.calendar,
        start=definition.start,
        stop=definition.stop,
    )


def spans_of(
    definition: Definition, pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]], facts: Sequence[Fact]
) -> tuple[Span, ...]:
    """Return from when to when each series tells of the panel that `raw_panel` makes of the same."""
    market = _market(definition, pinned)
    columns = [*_columns(definition, pinned, facts), *(() if market is None else (market,))]
    found: dict[SeriesKey, Span] = {}
    for segment in (segment for column in columns for segment in column.segments):
        parts = [each.part for each in segment.parts if each.part.is_rows]
        if not parts:
            continue
        start, stop = panels.bounds(definition.start, definition.stop, segment)
        first, last = (
            max(start, min(part.first for part in parts)),
            min(stop - 1, max(part.last for part in parts)),
        )
        if first <= last:
            before = found.get(segment.key, Span(key=segment.key, first=first, last=last))
            first, last = min(first, before.first), max(last, before.last)
            found[segment.key] = Span(key=segment.key, first=first, last=last)
    return tuple(found.values())


def in_view(raw: Panel, definition: Definition, facts: Sequence[Fact]) -> Panel:
    """Return a raw panel as its definition wants it: lives known, prices adjusted, calendars joined."""
    return joined(_adjusted(raw, definition, facts), definition.groups)


# --- inside ------------------------------------------------------------------------------------------------


def _adjusted(raw: Panel, definition: Definition, facts: Sequence[Fact]) -> Panel:
    if not facts:
        return raw
    lived = {each.life.symbol: each for each in _lives(definition, facts)}
    instruments = tuple(
        instrument_of(lived[symbol].life, lived[symbol].quote, raw.timestamps, raw.close[:, column])
        for column, symbol in enumerate(raw.symbols)
    )
    actions = {
        symbol: of_life(each.life, in_force(fact for fact in facts if fact.venue == each.venue))
        for symbol, each in lived.items()
    }
    return adjusted(replace(raw, instruments=instruments), actions, definition.adjustment)


@dataclass(frozen=True, kw_only=True)
class _Lived:
    """One instrument of a venue."""

    venue: str
    quote: str
    life: Life

    @property
    def tickers(self) -> list[tuple[str, str]]:
        return [(self.venue, stretch.ticker) for stretch in self.life.stretches]


def _lives(definition: Definition, facts: Sequence[Fact]) -> list[_Lived]:
    """Return the instruments of a definition in the order of their symbols, by what is known of tickers."""
    tickers: dict[str, list[str]] = {}
    for key in definition.keys:
        tickers.setdefault(key.venue, []).append(key.instrument)
    found = [
        _Lived(venue=venue, quote=_quote(life.stretches[-1].ticker), life=life)
        for venue, of_venue in tickers.items()
        for life in lives(of_venue, in_force(fact for fact in facts if fact.venue == venue))
    ]
    found.sort(key=lambda each: (each.life.symbol, each.venue))
    for one, other in pairwise(found):
        if one.life.symbol == other.life.symbol:
            raise InputError(
                f"{one.life.symbol} is in the data set twice, from {one.venue} and {other.venue}; choose one"
            )
    return found


def _quote(symbol: str) -> str:
    """Return what a symbol as ccxt writes it is quoted in; dollars where it does not say."""
    _, slash, after = symbol.partition("/")
    return (after.split(":")[0] if slash else "") or "USD"


def _told(definition: Definition, facts: Sequence[Fact]) -> set[tuple[str, str]]:
    """Return the venue and the ticker of all series that tell of the instruments of a definition."""
    told = {ticker for life in _lives(definition, facts) for ticker in life.tickers}
    return told | {(key.venue, key.instrument) for key in definition.keys}


def _key(definition: Definition, venue: str, ticker: str) -> SeriesKey:
    return SeriesKey(venue=venue, kind=SeriesKind.BARS, instrument=ticker, timeframe=definition.timeframe)


def _columns(
    definition: Definition, pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]], facts: Sequence[Fact]
) -> tuple[Column, ...]:
    return tuple(
        Column(
            instrument=Instrument(symbol=each.life.symbol, quote=each.quote),
            segments=tuple(
                Segment(
                    key=_key(definition, each.venue, stretch.ticker),
                    parts=pinned.get(_key(definition, each.venue, stretch.ticker), ()),
                    start=stretch.start,
                    stop=stretch.stop,
                )
                for stretch in each.life.stretches
            ),
        )
        for each in _lives(definition, facts)
    )


def _market(definition: Definition, pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]]) -> Column | None:
    market = definition.market
    if market is None:
        return None
    instrument = Instrument(symbol=market.instrument)
    return Column(instrument=instrument, segments=(Segment(key=market, parts=pinned.get(market, ())),))
