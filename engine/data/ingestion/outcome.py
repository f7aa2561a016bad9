"""What came of asking for series: rows by what they were to the lake, and what could not be had."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.data.lake.appending import Appended
from engine.data.lake.versions import DataSetVersion
from engine.data.series import SeriesKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows of bars, and replies.

    Attributes
    ----------
    new, same, corrected, late
        As `engine.data.lake.appending.Appended` has them.
    forming, future
        Refused since they were not over, or had not even begun.
    differences
        Values on which the provider's bars and its own trades did not agree; the trades were taken.
    actions
        Splits and dividends that were not known.
    replies
        Of bars and trades, archived with the run.
    """

    new: int = 0
    same: int = 0
    corrected: int = 0
    late: int = 0
    forming: int = 0
    future: int = 0
    differences: int = 0
    actions: int = 0
    replies: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return both together."""
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    def appended(self, step: Appended) -> "Counts":
        """Return these with what an append found."""
        return replace(
            self,
            new=self.new + step.new,
            same=self.same + step.same,
            corrected=self.corrected + step.corrected,
            late=self.late + step.late,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one series.

    Attributes
    ----------
    failed
        Why it could not be had to its end; empty where it was.
    """

    key: SeriesKey
    counts: Counts
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What came of a run.

    Attributes
    ----------
    run
        Id of the run, by which parts and archived replies name it.
    outcomes
        One for each series, in the order in which they were asked for.
    data_sets
        Frozen at the end, one for each timeframe; none where a series failed.
    """

    run: str
    outcomes: tuple[Outcome, ...]
    data_sets: tuple[DataSetVersion, ...] = ()

    @property
    def counts(self) -> Counts:
        """Of all series together."""
        return total([outcome.counts for outcome in self.outcomes])

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The series that could not be had to their end."""
        return tuple(outcome for outcome in self.outcomes if outcome.failed)


def total(counts: Sequence[Counts]) -> Counts:
    """Return counts together."""
    result = Counts()
    for each in counts:
        result = result.plus(each)
    return result
