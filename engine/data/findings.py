"""What is wrong, or looks wrong, in a set of bars."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]


class Kind(StrEnum):
    """One kind of defect. Errors refuse an import; warnings are stored with the data set."""

    EMPTY_FILE = "empty_file"
    UNREADABLE_FILE = "unreadable_file"
    NO_HEADER = "no_header"
    MISSING_COLUMN = "missing_column"
    DUPLICATE_COLUMN = "duplicate_column"
    DUPLICATE_INSTRUMENT = "duplicate_instrument"
    NO_TIMEZONE = "no_timezone"
    AMBIGUOUS_DATE = "ambiguous_date"
    UNREADABLE_STAMP = "unreadable_stamp"
    AMBIGUOUS_LOCAL_TIME = "ambiguous_local_time"
    NONEXISTENT_LOCAL_TIME = "nonexistent_local_time"
    UNORDERED_STAMP = "unordered_stamp"
    DUPLICATE_STAMP = "duplicate_stamp"
    MIXED_TIMEFRAME = "mixed_timeframe"
    WRONG_TIMEFRAME = "wrong_timeframe"
    EMPTY_CELL = "empty_cell"
    NOT_A_NUMBER = "not_a_number"
    PRICE_NOT_POSITIVE = "price_not_positive"
    NEGATIVE_VOLUME = "negative_volume"
    HIGH_BELOW_LOW = "high_below_low"
    OUTSIDE_RANGE = "outside_range"
    FUTURE = "future"

    GAP = "gap"
    OUTSIDE_CALENDAR = "outside_calendar"
    OFF_GRID = "off_grid"
    TIME_ZONE_SLIP = "time_zone_slip"
    BAD_TICK = "bad_tick"
    VOLUME_SPIKE = "volume_spike"
    SUSPECTED_SPLIT = "suspected_split"
    IDENTITY_BREAK = "identity_break"
    ZERO_VOLUME = "zero_volume"
    REPEATED = "repeated"
    FLAT = "flat"
    STALE = "stale"

    @property
    def is_error(self) -> bool:
        """Whether this kind refuses an import."""
        return self not in _WARNINGS


_WARNINGS = frozenset(
    {
        Kind.GAP,
        Kind.OUTSIDE_CALENDAR,
        Kind.OFF_GRID,
        Kind.TIME_ZONE_SLIP,
        Kind.BAD_TICK,
        Kind.VOLUME_SPIKE,
        Kind.SUSPECTED_SPLIT,
        Kind.IDENTITY_BREAK,
        Kind.ZERO_VOLUME,
        Kind.REPEATED,
        Kind.FLAT,
        Kind.STALE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One defect, and where it is.

    Attributes
    ----------
    file
        Name of the file as it was given, empty for data that has none.
    row
        Row of data in the file counted from 1 (the header is not counted); 0 for the file as a whole.
    instrument
        Symbol, empty where the defect is not about one instrument.
    value
        What stands there.
    message
        What is wrong, and how to mend it.
    opens
        When the bar opens, empty where the defect is not about one bar.
    """

    kind: Kind
    file: str
    row: int
    value: str
    message: str
    instrument: str = ""
    opens: str = ""

    def __str__(self) -> str:
        where = self.file
        if self.instrument and self.instrument not in self.file:
            where += f", {self.instrument}"
        if self.row:
            where += f", row {self.row}"
        if self.opens and self.opens not in self.value:
            where += f", {self.opens}"
        return f"{where}: {self.message}" + (f" (value: {self.value})" if self.value else "")


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how often each kind was found, in the order of `Kind`."""
    found = Counter(finding.kind for finding in findings)
    return {kind.value: found[kind] for kind in Kind if found[kind]}


def capped(findings: Sequence[Finding], limit: int) -> tuple[Finding, ...]:
    """Return at most `limit` findings of each kind, first ones first, kinds in the order of `Kind`."""
    kept: list[Finding] = []
    for kind in Kind:
        kept += [finding for finding in findings if finding.kind is kind][:limit]
    return tuple(kept)


def positions(mask: BoolArray) -> list[int]:
    """Return where a mask is True."""
    return [int(position) for position in np.flatnonzero(mask)]


def listing(findings: Sequence[Finding], limit: int) -> list[str]:
    """Return a line for each finding, at most `limit` of each kind, and how many more of it there are."""
    lines = []
    for kind, number in counts(findings).items():
        lines.append(f"{kind} ({number})")
        same = [finding for finding in findings if finding.kind == kind]
        lines += [f"  {finding}" for finding in same[:limit]]
        if number > limit:
            lines.append(f"  and {number - limit} more of this kind")
    return lines
