"""The audit of a data set as one HTML file: no script, nothing loaded, the same on paper."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from engine.data.audit.health import Health
from engine.data.audit.picture import coverage_picture, price_picture
from engine.data.audit.report import Audit, InstrumentAudit, Place
from engine.data.findings import Kind
from engine.data.quality import moment
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import NANOSECONDS_PER_SECOND

GAPS_SHOWN = 20
PICTURES_PER_KIND = 6
BUCKETS = 120

_MEANINGS = {
    Kind.UNORDERED_STAMP: "rows that do not stand where their stamp belongs",
    Kind.DUPLICATE_STAMP: "bars that are there twice",
    Kind.NOT_A_NUMBER: "cells that are no number",
    Kind.PRICE_NOT_POSITIVE: "prices of zero or less",
    Kind.NEGATIVE_VOLUME: "volumes of less than zero",
    Kind.HIGH_BELOW_LOW: "bars whose high is below their low",
    Kind.OUTSIDE_RANGE: "opens and closes outside low and high",
    Kind.FUTURE: "bars that were not over when they were known",
    Kind.GAP: "stretches that the calendar expects and that are not there",
    Kind.OUTSIDE_CALENDAR: "bars while the exchange was closed",
    Kind.OFF_GRID: "bars that open at another time than all others",
    Kind.TIME_ZONE_SLIP: "blocks whose clock was set wrong",
    Kind.BAD_TICK: "prices that what stands beside them contradicts",
    Kind.VOLUME_SPIKE: "volumes that moved nothing, or are in another unit",
    Kind.SUSPECTED_SPLIT: "jumps by the ratio of a split nobody adjusted for",
    Kind.IDENTITY_BREAK: "another instrument under the same ticker",
    Kind.ZERO_VOLUME: "bars in which nothing was traded",
    Kind.REPEATED: "rows that a stale feed repeated",
    Kind.FLAT: "prices that stand still for longer than by chance",
    Kind.STALE: "instruments that end before the data set does",
}


@dataclass(frozen=True, kw_only=True)
class GapRow:
    """One line of the gap table: the same hole in one instrument or in several."""

    first: str
    last: str
    bars: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """One kind of finding, and its worst places in pictures."""

    kind: Kind
    meaning: str
    count: int
    instruments: int
    shown: tuple[tuple[Place, Markup], ...]


def render(audit: Audit, *, made: int, health: tuple[Health, ...] = (), notes: tuple[str, ...] = ()) -> str:
    """Return the page of an audit that was made with `pictures`.

    Parameters
    ----------
    made
        UTC nanoseconds that the page is dated with.
    health
        Of the symbols, where freshness was judged.
    notes
        Sentences at the head of the page.
    """
    environment = Environment(
        loader=PackageLoader("engine.data.audit", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    gaps = gap_rows(audit)
    start = min((entry.coverage.first for entry in audit.instruments if entry.coverage.expected), default=0)
    end = max(entry.coverage.last for entry in audit.instruments)
    return environment.get_template("audit.html.j2").render(
        audit=audit,
        made=moment(made - made % NANOSECONDS_PER_SECOND),
        start=moment(start),
        end=moment(end),
        health={entry.symbol: entry for entry in health},
        last={entry.symbol: "" if entry.last is None else moment(entry.last) for entry in health},
        notes=notes,
        missing=sum(entry.coverage.missing for entry in audit.instruments),
        maps=[_map(entry, start, end) for entry in audit.instruments],
        gaps=gaps[:GAPS_SHOWN],
        gaps_left=len(gaps) - GAPS_SHOWN,
        kinds=kind_rows(audit),
        errors=sum(count for kind, count in audit.counts.items() if kind.is_error),
        warnings=sum(count for kind, count in audit.counts.items() if not kind.is_error),
    )


def gap_rows(audit: Audit) -> list[GapRow]:
    """Return gaps, longest first; one that several instruments share is one line."""
    found: dict[tuple[int, int, int], list[str]] = {}
    for entry in audit.instruments:
        for first, last, bars in entry.coverage.missing_at.tolist():
            found.setdefault((first, last, bars), []).append(entry.symbol)
    ordered = sorted(found.items(), key=lambda item: (-item[0][2], item[0][0]))
    return [
        GapRow(first=moment(first), last=moment(last), bars=bars, symbols=tuple(symbols))
        for (first, last, bars), symbols in ordered
    ]


def kind_rows(audit: Audit) -> list[KindRow]:
    """Return a line for each kind, errors first and gaps last, with pictures of its worst places."""
    affected = Counter(kind for entry in audit.instruments for kind in entry.counts)
    places: dict[Kind, list[Place]] = {}
    for entry in audit.instruments:
        for place in entry.places:
            places.setdefault(place.finding.kind, []).append(place)
    return [
        KindRow(
            kind=kind,
            meaning=_MEANINGS.get(kind, kind.value.replace("_", " ")),
            count=count,
            instruments=affected[kind],
            shown=tuple(_pictured(place) for place in _worst(places.get(kind, []))),
        )
        for kind, count in sorted(audit.counts.items(), key=lambda item: item[0] is Kind.GAP)
    ]


def _worst(places: list[Place]) -> list[Place]:
    ordered = sorted(places, key=lambda place: -place.severity)
    # What several instruments have at one moment is shown of one of them.
    moments: dict[str, Place] = {}
    for place in ordered:
        moments.setdefault(place.finding.opens, place)
    return list(moments.values())[:PICTURES_PER_KIND]


def _pictured(place: Place) -> tuple[Place, Markup]:
    if place.around is None:
        return place, Markup()
    # The picture escapes its words itself.
    return place, Markup(price_picture(place.around, place.at, place.finding.kind))


def _map(entry: InstrumentAudit, start: int, end: int) -> Markup:
    shares = coverage_shares(entry, start, end)
    label = f"{entry.symbol}: {covered(entry):.2%} of the expected bars are there"
    return Markup(coverage_picture(shares, label))


def covered(entry: InstrumentAudit) -> float:
    """Return the share of expected bars that are there, from 0 to 1."""
    coverage = entry.coverage
    return 1.0 - coverage.missing / coverage.expected if coverage.expected else 0.0


def coverage_shares(entry: InstrumentAudit, start: int, end: int) -> FloatArray:
    """Return the share of bars that are there in each part of a stretch of time, shape (BUCKETS,).

    Bars are taken as spread evenly between gaps. NaN before the first bar of the instrument and after its
    last.
    """
    edges = np.linspace(start, end, BUCKETS + 1)
    coverage = entry.coverage
    if coverage.expected == 0:
        return np.full(BUCKETS, np.nan)
    length = np.diff(edges)
    lacking = np.zeros(BUCKETS)
    gaps: IntArray = coverage.missing_at
    # A gap reaches from its first missing bar to the open of the bar that ends it.
    step = (coverage.last - coverage.first) / max(coverage.expected - 1, 1)
    for first, last, _ in gaps.tolist():
        overlap = np.minimum(edges[1:], last + step) - np.maximum(edges[:-1], first)
        lacking += np.clip(overlap, 0.0, None)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = 1.0 - np.clip(lacking / length, 0.0, 1.0)
    outside = (edges[1:] <= coverage.first) | (edges[:-1] > coverage.last)
    return np.where(outside, np.nan, np.nan_to_num(shares, nan=1.0))
