"""What a check returns: places in the bars of one instrument, told in words only when somebody reads them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from engine.data.findings import BoolArray, Finding, Kind
from engine.data.quality import Bars
from engine.domain.panel import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """Places of one kind of defect in the bars of one instrument.

    A series can have a million of them, so they stay arrays; `findings` writes as many as are read.

    Attributes
    ----------
    bars
        The bars that were judged.
    at
        Shape (K,), positions in `bars`, ascending.
    severity
        Shape (K,), how bad each is: times the limit of its check, or bars concerned. Greater is worse; to be
        compared inside a kind only.
    tell
        Gives value and message of the place with an index into `at`.
    side
        Shape (K,), +1 or -1 where prices went, if the same of other instruments would explain the place,
        else 0.
    witnesses
        Shape (W,), `share_keys` of all bars that would explain such a place of another instrument, told or
        not; None where nothing would.
    """

    kind: Kind
    bars: Bars
    at: IntArray
    severity: FloatArray
    tell: Callable[[int], tuple[str, str]]
    side: IntArray | None = None
    witnesses: IntArray | None = None

    def __len__(self) -> int:
        return len(self.at)

    def findings(self, limit: int | None = None) -> list[Finding]:
        """Return findings in the order of rows; with a limit the worst ones only."""
        chosen = self.worst(limit)
        told = [chosen.tell(index) for index in range(len(chosen))]
        return [
            self.bars.finding(self.kind, int(at), value, message)
            for at, (value, message) in zip(chosen.at, told, strict=True)
        ]

    def worst(self, limit: int | None) -> "Marks":
        """Return the worst places in the order of rows; all of them without a limit."""
        if limit is None or len(self.at) <= limit:
            return self
        # A stable sort: of two equally bad places the earlier one is told.
        return self.only(np.sort(np.argsort(-self.severity, kind="stable")[:limit]))

    def only(self, chosen: BoolArray | IntArray) -> "Marks":
        """Return some of the places."""
        kept = np.arange(len(self.at))[chosen]
        tell = self.tell
        return replace(
            self,
            at=self.at[kept],
            severity=self.severity[kept],
            tell=lambda index: tell(int(kept[index])),
            side=None if self.side is None else self.side[kept],
        )

    def merged(self, other: "Marks") -> "Marks":
        """Return the places of both; where both point at one bar, this one's are kept."""
        new = other.only(~np.isin(other.at, self.at))
        at = np.concatenate([self.at, new.at])
        order = np.argsort(at, kind="stable")
        own = len(self.at)

        def tell(index: int) -> tuple[str, str]:
            source = int(order[index])
            return self.tell(source) if source < own else new.tell(source - own)

        return replace(
            self,
            at=at[order],
            severity=np.concatenate([self.severity, new.severity])[order],
            tell=tell,
            side=np.concatenate([self.sides, new.sides])[order],
            witnesses=np.concatenate([self.seen, other.seen]),
        )

    @property
    def sides(self) -> IntArray:
        """`side`, 0 where nothing was said."""
        return np.zeros(len(self.at), dtype=np.int64) if self.side is None else self.side

    @property
    def seen(self) -> IntArray:
        """`witnesses`, empty where nothing was said."""
        return np.empty(0, dtype=np.int64) if self.witnesses is None else self.witnesses

    @property
    def share_keys(self) -> IntArray:
        """What places of several instruments have in common that one move of the market explains, or 0.

        Stamps are whole seconds in nanoseconds: the last digit is free for the side.
        """
        return np.where(self.sides != 0, self.bars.stamps[self.at] + self.sides, 0)


def runs(mask: BoolArray) -> tuple[IntArray, IntArray]:
    """Return first and last position of each run of True, shape (K,) each."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def subset(bars: Bars, keep: BoolArray | IntArray) -> Bars:
    """Return some of the bars; each keeps its row."""
    return replace(
        bars,
        rows=bars.rows[keep],
        stamps=bars.stamps[keep],
        close=bars.close[keep],
        open=None if bars.open is None else bars.open[keep],
        high=None if bars.high is None else bars.high[keep],
        low=None if bars.low is None else bars.low[keep],
        volume=None if bars.volume is None else bars.volume[keep],
    )


def number(value: float) -> str:
    """Return a number as it would be typed, none of its digits lost."""
    return np.format_float_positional(value, trim="-")


def number_of_bars(count: int) -> str:
    """Return a count of bars in words."""
    return f"{count:,} bar" if count == 1 else f"{count:,} bars"


def as_sizes(values: "FloatArray | IntArray") -> FloatArray:
    """Return counts as severities."""
    return values.astype(np.float64)
