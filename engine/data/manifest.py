"""What is known about a data set without reading its bars."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.data.findings import Finding
from engine.domain.panel import Adjustment, Outline, Panel, trading_days
from engine.domain.time import Calendar, Timeframe

HOLDOUT_DAYS = 504
HOLDOUT_SHARE = 5
"""One row in so many is sealed at most."""


class Origin(StrEnum):
    """Where a data set lives."""

    PACKAGED = "packaged"
    IMPORTED = "imported"
    LAKE = "lake"


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good the bars of a data set were when they came in.

    Attributes
    ----------
    scores
        DATA_QUALITY_SCORE by symbol, from 0 to 1; empty where nobody looked.
    invalid
        Symbols that are INVALID_DATA: stored, never used.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    invalid: tuple[str, ...] = ()

    @staticmethod
    def of_document(document: Mapping[str, Any]) -> "Quality":
        """Return what `dataclasses.asdict` made a document of; nothing was known to earlier versions."""
        return Quality(scores=dict(document.get("scores", {})), invalid=tuple(document.get("invalid", ())))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Facts of one data set. All of them are about the whole set, the hold-out included.

    Attributes
    ----------
    content_hash
        Of the whole panel.
    instruments
        Symbols, in column order.
    first, last
        UTC nanoseconds at which the first and the last bar open.
    market
        What `Panel.fields["market"]` is; None where the set has no benchmark of its own, then
        the market is the equally weighted pool (`raw_pool_ew`).
    holdout_rows
        The last rows, which are sealed.
    quality
        Of its instruments, the sealed bars included.
    warnings
        The first findings of each kind; `warning_counts` has how many there were in all.
    """

    name: str
    origin: Origin
    source: str
    content_hash: str
    rows: int
    instruments: tuple[str, ...]
    first: int
    last: int
    timeframe: Timeframe
    calendar: Calendar
    adjustment: Adjustment
    has_range: bool
    market: str | None
    holdout_rows: int
    synthetic: bool
    warnings: tuple[Finding, ...] = ()
    warning_counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    quality: Quality = Quality()


@dataclass(frozen=True, kw_only=True)
class DataSetInfo:
    """One line of `engine data list`."""

    name: str
    origin: Origin
    description: str
    timeframe: Timeframe
    calendar: Calendar
    instruments: int
    rows: int
    first: int
    last: int
    synthetic: bool
    warnings: int
    invalid: tuple[str, ...] = ()


def holdout_rows(panel: Panel | Outline) -> int:
    """Return how many last rows are sealed: 504 days' worth of bars or 20% of the rows, the smaller.

    Days are days of trading on which the panel has bars, so that both sessions and round-the-clock trading
    count alike.
    """
    if len(panel) == 0:
        return 0
    days = trading_days(panel.timestamps, panel.calendar)
    last_rows_of_days = panel.day_ends.nonzero()[0]
    if len(last_rows_of_days) <= HOLDOUT_DAYS:
        return len(panel) // HOLDOUT_SHARE
    first_sealed_day = days[last_rows_of_days[-HOLDOUT_DAYS]]
    return min(int((days >= first_sealed_day).sum()), len(panel) // HOLDOUT_SHARE)


def describe(
    panel: Panel | Outline,
    *,
    origin: Origin,
    source: str,
    content_hash: str | None = None,
    market: str | None = None,
    warnings: tuple[Finding, ...] = (),
    warning_counts: Mapping[str, int] | None = None,
    notes: tuple[str, ...] = (),
    quality: Quality | None = None,
) -> Manifest:
    """Return the manifest of a whole panel.

    Parameters
    ----------
    content_hash
        Of a panel of which there is an outline only.
    """
    if content_hash is None:
        assert isinstance(panel, Panel)
        content_hash = panel.content_hash
    return Manifest(
        name=panel.name,
        origin=origin,
        source=source,
        content_hash=content_hash,
        rows=len(panel),
        instruments=panel.symbols,
        first=int(panel.timestamps[0]),
        last=int(panel.timestamps[-1]),
        timeframe=panel.timeframe,
        calendar=panel.calendar,
        adjustment=panel.adjustment,
        has_range=panel.has_range,
        market=market,
        holdout_rows=holdout_rows(panel),
        synthetic=panel.synthetic,
        warnings=warnings,
        warning_counts=dict(warning_counts or {}),
        notes=notes,
        quality=quality or Quality(),
    )
