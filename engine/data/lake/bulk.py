"""Data sets too large to be laid out: looked at instrument by instrument, hashed by stretches of months."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from engine.data.actions import ActionKind, Fact
from engine.data.lake import assembling, panels
from engine.data.lake.layout import month_cuts
from engine.data.lake.panels import NoBarsError, PinnedPart
from engine.data.lake.versions import Definition
from engine.data.manifest import Quality
from engine.data.series import SeriesKey
from engine.domain.panel import (
    PRICE_FIELDS,
    Adjustment,
    FloatArray,
    Instrument,
    IntArray,
    Outline,
    Panel,
    Values,
    content_hash,
)
from engine.domain.time import Calendar

LARGE_ROWS = 5_000_000
"""Bars up to which a data set is laid out as a whole: a quarter to a half faster, in twice the memory."""

_STRETCH_VALUES = 4_000_000

_Pinned = Mapping[SeriesKey, tuple[PinnedPart, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Looked:
    """All that a freeze wants to know of a panel."""

    outline: Outline | Panel
    content_hash: str
    quality: Quality


def is_large(definition: Definition, pinned: _Pinned, facts: Sequence[Fact]) -> bool:
    """Return whether a data set is too large to be laid out, and such that each instrument stands alone."""
    rows = sum(each.part.rows for parts in pinned.values() for each in parts if each.part.is_rows)
    # What a venue takes in orders moves no bar.
    moved = any(fact.kind is not ActionKind.MARKET_RULES for fact in facts)
    is_plain = not moved and definition.market is None and definition.adjustment is Adjustment.NONE
    return is_plain and rows > LARGE_ROWS


def look(root: Path, name: str, definition: Definition, pinned: _Pinned) -> Looked | None:
    """Return what a whole panel would say; None where the instruments have to be seen side by side.

    Raises
    ------
    InputError
        If bars have errors, a file is not what was written, or there is no bar at all.
    """
    # The checks bring pandas with them, which a reader of the lake does not need.
    from engine.data import validity
    from engine.data.audit.report import audit
    from engine.data.lake import freezable
    from engine.data.quality import Bars, each_of_panel
    from engine.data.venues import kept_calendars

    seen = _Seen()

    def each() -> Iterator[Bars]:
        for symbol in sorted(key.instrument for key in definition.keys):
            try:
                panel = assembling.raw_panel(root, name, definition, pinned, (), only=symbol)
            except NoBarsError:
                continue
            freezable.refuse_errors(panel)
            seen.take(panel, kept_calendars(panel)[symbol])
            yield from each_of_panel(panel)

    audited = audit(each(), definition.timeframe, definition.calendar, name=name, limit=0)
    # One instrument without ranges takes them from all, and their audits see less then.
    if len(set(seen.calendars)) > 1 or len(seen.has_range) > 1:
        return None
    if definition.calendar is Calendar.ALWAYS:
        since_first = seen.timestamps - seen.timestamps[0]
        if (since_first % definition.timeframe.nanoseconds).any():
            return None
    outline = Outline(
        name=name,
        timestamps=seen.timestamps,
        instruments=tuple(seen.instruments),
        timeframe=definition.timeframe,
        calendar=definition.calendar,
        adjustment=Adjustment.NONE,
        has_range=seen.has_range == {True},
        synthetic=seen.synthetic,
    )
    shape = (len(outline), len(outline.instruments))
    fields = {
        field: Values(shape=shape, stretches=_stretches(root, outline, definition, pinned, field))
        for field in PRICE_FIELDS
    }
    return Looked(
        outline=outline, content_hash=content_hash(outline, fields), quality=validity.verdict(audited)
    )


class _Seen:
    """What is left of instruments that were looked at."""

    def __init__(self) -> None:
        self.timestamps: IntArray = np.empty(0, dtype=np.int64)
        self.instruments: list[Instrument] = []
        self.calendars: list[Calendar] = []
        self.has_range: set[bool] = set()
        self.synthetic = False

    def take(self, panel: Panel, calendar: Calendar) -> None:
        """Take down what one instrument says."""
        if not np.array_equal(self.timestamps, panel.timestamps):
            self.timestamps = np.union1d(self.timestamps, panel.timestamps)
        self.instruments += panel.instruments
        self.calendars.append(calendar)
        self.has_range.add(panel.has_range)
        self.synthetic |= panel.synthetic


def _stretches(
    root: Path, outline: Outline, definition: Definition, pinned: _Pinned, field: str
) -> Iterator[FloatArray]:
    """Yield one field of the panel that nobody laid out, some months of it at a time."""
    name = field if outline.has_range or field == "volume" else "close"
    column_of = {symbol: column for column, symbol in enumerate(outline.symbols)}
    for first, stop in pairwise(_cuts(outline)):
        stamps = outline.timestamps[first:stop]
        start, end = int(stamps[0]), int(stamps[-1])
        inside = {
            key: tuple(each for each in parts if each.part.last >= start and each.part.first <= end)
            for key, parts in pinned.items()
        }
        stretch = replace(definition, start=start, stop=end + 1)
        source, axis, fields = panels.grid(
            root, assembling.source_of(outline.name, stretch, inside, ()), (name,)
        )
        assert np.array_equal(axis, stamps)
        values = np.full((len(stamps), len(outline.instruments)), np.nan)
        values[:, [column_of[column.instrument.symbol] for column in source.columns]] = fields[name]
        yield values


def _cuts(outline: Outline) -> list[int]:
    """Return where stretches begin, and the end: at beginnings of months, which are those of files."""
    rows = max(1, _STRETCH_VALUES // len(outline.instruments))
    cuts = [0]
    months = month_cuts(outline.timestamps)
    for month, after in pairwise(months):
        if after - cuts[-1] > rows and month > cuts[-1]:
            cuts.append(month)
    return [*cuts, months[-1]]
