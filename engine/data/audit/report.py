"""The audit of a data set: instruments one after the other, so that memory holds the bars of one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.data.audit.checks import Inspection, inspect
from engine.data.audit.marks import Marks, subset
from engine.data.audit.score import Score, score
from engine.data.audit.sessions import Schedule, due
from engine.data.findings import Finding, Kind
from engine.data.quality import Bars, moment
from engine.domain.errors import InputError
from engine.domain.panel import IntArray
from engine.domain.time import Calendar, Timeframe

STALE_BARS = 5
"""An instrument that ends up to so many bars before its data set does is not worth a word."""

WITNESSES = 2
WITNESSES_SHARE = 0.1
"""What so many others have in that bar was the market: a crash of minutes, no bad tick and no split."""

PICTURE_BARS = 24
"""Bars on each side of a place that a picture shows."""

_IMPOSSIBLE = (Kind.PRICE_NOT_POSITIVE, Kind.NEGATIVE_VOLUME, Kind.NOT_A_NUMBER)
_SPIKES = (Kind.BAD_TICK, Kind.VOLUME_SPIKE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """A finding, how bad it is among those of its kind, and the bars around it.

    Attributes
    ----------
    share_key
        Equal for places of several instruments that one move of the market would explain; 0 for all others.
    at
        Position of the bar in `around`.
    around
        None where nobody asked for pictures.
    """

    finding: Finding
    severity: float
    share_key: int
    at: int
    around: Bars | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Coverage:
    """Bars that there are of those that a calendar expects.

    Attributes
    ----------
    first, last
        UTC nanoseconds of the first and the last bar; 0 without any.
    last_row
        Row of the last bar in its file.
    expected, missing
        Bars.
    missing_at
        Shape (M, 3): UTC nanoseconds of the first and the last bar of each gap, and how many bars it has.
    """

    first: int
    last: int
    last_row: int
    expected: int
    missing: int
    missing_at: IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class InstrumentAudit:
    """What was found in the bars of one instrument.

    Attributes
    ----------
    places
        Of each kind the worst ones, as many as were asked for, in the order of `Kind` and then of rows.
    share_keys
        Of all places, one that was not kept counted too.
    witnesses
        Ascending: `share_keys` of other instruments that this one explains.
    """

    symbol: str
    file: str
    rows: int
    coverage: Coverage
    counts: Mapping[Kind, int]
    places: tuple[Place, ...]
    share_keys: Mapping[Kind, IntArray]
    witnesses: IntArray
    impossible_rows: int

    @property
    def score(self) -> Score:
        """DATA_QUALITY_SCORE of the instrument."""
        return score(
            rows=self.rows,
            expected=self.coverage.expected,
            missing=self.coverage.missing,
            duplicates=self.counts.get(Kind.DUPLICATE_STAMP, 0),
            impossible=self.impossible_rows,
            spikes=sum(self.counts.get(kind, 0) for kind in _SPIKES),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What was found in a data set."""

    name: str
    timeframe: Timeframe
    calendar: Calendar
    instruments: tuple[InstrumentAudit, ...]

    @property
    def rows(self) -> int:
        """Rows of all instruments."""
        return sum(entry.rows for entry in self.instruments)

    @property
    def counts(self) -> dict[Kind, int]:
        """How often each kind was found, in the order of `Kind`."""
        total: Counter[Kind] = Counter()
        for entry in self.instruments:
            total.update(entry.counts)
        return {kind: total[kind] for kind in Kind if total[kind]}

    @property
    def score(self) -> float:
        """Mean DATA_QUALITY_SCORE of the instruments, from 0 to 1."""
        return float(np.mean([entry.score.value for entry in self.instruments]))

    @property
    def invalid(self) -> tuple[str, ...]:
        """Symbols that are INVALID_DATA: stored, never used."""
        return tuple(entry.symbol for entry in self.instruments if not entry.score.is_valid)

    def findings(self) -> list[Finding]:
        """Return the findings that were kept, one instrument after the other."""
        return [place.finding for entry in self.instruments for place in entry.places]


def audit(
    parts: Iterable[Bars],
    timeframe: Timeframe,
    calendar: Calendar,
    *,
    name: str = "",
    now: int | None = None,
    limit: int | None = None,
    pictures: bool = False,
) -> Audit:
    """Return what is wrong, or looks wrong, in the bars of a data set.

    Parameters
    ----------
    parts
        One entry an instrument, each read once: a generator keeps memory at the bars of one instrument.
    now
        UTC nanoseconds at which the bars were known; None: rows of the future are not looked for.
    limit
        Places of one kind and instrument that are kept, the worst ones; all are counted.
    pictures
        Whether the bars around each place are kept.

    Raises
    ------
    InputError
        If there is no instrument.
    """
    # No name holds an inspection: memory has no room for that of one instrument beside the next one's.
    entries = [
        _summary(inspect(bars, timeframe, calendar, now=now), limit=limit, pictures=pictures)
        for bars in parts
    ]
    if not entries:
        raise InputError(f"audit: {name or 'the data set'} has no instrument; import or pull one first")
    entries = list(_with_stale(_without_shared(entries), timeframe, calendar))
    return Audit(name=name, timeframe=timeframe, calendar=calendar, instruments=tuple(entries))


def _summary(inspection: Inspection, *, limit: int | None, pictures: bool) -> InstrumentAudit:
    bars, marks = inspection.bars, inspection.marks
    counts: Counter[Kind] = Counter()
    for entry in marks:
        counts[entry.kind] += len(entry)
    places = [place for entry in marks for place in _places(entry, limit=limit, pictures=pictures)]
    impossible = [entry.at for entry in marks if entry.kind in _IMPOSSIBLE]
    return InstrumentAudit(
        symbol=bars.symbol,
        file=bars.file,
        rows=len(bars.stamps),
        coverage=_coverage(inspection.ordered, inspection.plan),
        counts=dict(counts),
        places=tuple(places),
        share_keys={entry.kind: entry.share_keys for entry in marks if entry.sides.any()},
        witnesses=inspection.witnesses,
        impossible_rows=len(np.unique(np.concatenate(impossible))) if impossible else 0,
    )


def _places(marks: Marks, *, limit: int | None, pictures: bool) -> Iterator[Place]:
    kept = marks.worst(limit)
    keys = kept.share_keys
    for index, finding in enumerate(kept.findings()):
        at = int(kept.at[index])
        start = max(0, at - PICTURE_BARS)
        around = (
            subset(kept.bars, np.arange(start, min(at + PICTURE_BARS + 1, len(kept.bars.stamps))))
            if pictures
            else None
        )
        yield Place(
            finding=finding,
            severity=float(kept.severity[index]),
            share_key=int(keys[index]),
            at=at - start,
            around=around,
        )


def _coverage(ordered: Bars, plan: Schedule | None) -> Coverage:
    if plan is None or len(ordered.stamps) == 0:
        nothing = np.empty((0, 3), dtype=np.int64)
        return Coverage(first=0, last=0, last_row=0, expected=0, missing=0, missing_at=nothing)
    return Coverage(
        first=int(ordered.stamps[0]),
        last=int(ordered.stamps[-1]),
        last_row=int(ordered.rows[-1]),
        expected=len(plan.expected),
        missing=int((~plan.present).sum()),
        missing_at=plan.gaps(),
    )


def _without_shared(entries: list[InstrumentAudit]) -> list[InstrumentAudit]:
    """Return entries without places that the same bar of other instruments explains."""
    values, often = np.unique(np.concatenate([entry.witnesses for entry in entries]), return_counts=True)
    # Whoever has the wick is a witness too.
    others = often - 1
    shared = frozenset(values[others >= max(WITNESSES, WITNESSES_SHARE * len(entries))].tolist())
    if not shared:
        return entries
    result = []
    for entry in entries:
        gone = {kind: sum(key in shared for key in keys.tolist()) for kind, keys in entry.share_keys.items()}
        counts = {kind: count - gone.get(kind, 0) for kind, count in entry.counts.items()}
        result.append(
            replace(
                entry,
                counts={kind: count for kind, count in counts.items() if count},
                places=tuple(place for place in entry.places if place.share_key not in shared),
            )
        )
    return result


def _with_stale(
    entries: list[InstrumentAudit], timeframe: Timeframe, calendar: Calendar
) -> Iterator[InstrumentAudit]:
    end = max(entry.coverage.last for entry in entries)
    for entry in entries:
        last = entry.coverage.last
        if entry.coverage.expected == 0:
            yield entry
            continue
        grid = last % timeframe.nanoseconds
        missing = len(due(calendar, timeframe, last + 1, end, grid)) if end > last else 0
        if missing <= STALE_BARS:
            yield entry
            continue
        message = f"stale or delisted? it ends {missing:,} bars before the data set, which ends {moment(end)}"
        finding = Finding(
            kind=Kind.STALE,
            file=entry.file,
            row=entry.coverage.last_row,
            value=moment(last),
            message=message,
            instrument=entry.symbol,
            opens=moment(last),
        )
        place = Place(finding=finding, severity=float(missing), share_key=0, at=0, around=None)
        yield replace(entry, counts={**entry.counts, Kind.STALE: 1}, places=(*entry.places, place))
