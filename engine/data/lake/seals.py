"""The seal follows the series: bars that one data set sealed stay sealed in the next, whatever its name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.data.lake.versions import DataSetVersion, Span
from engine.data.series import SeriesKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """The first bar of a new data set that is sealed already, and where.

    Attributes
    ----------
    sealed_from
        UTC nanoseconds of its open.
    by
        The data set that sealed it.
    """

    sealed_from: int
    key: SeriesKey
    by: DataSetVersion


def inherited(spans: Iterable[Span], known: Sequence[DataSetVersion]) -> Inherited | None:
    """Return the earliest of some bars that known data sets seal; None where all of them are open.

    What research could read once is no secret any more: a bar that an older data set left open is not sealed
    by a newer one that ends sooner.

    Parameters
    ----------
    spans
        Of the series of a new data set.
    known
        All data sets of the lake.
    """
    found = [
        each
        for span in spans
        for each in _sealed(span, [(frozen, frozen.spans_by_key.get(span.key)) for frozen in known])
    ]
    return min(found, key=lambda each: each.sealed_from, default=None)


def _sealed(span: Span, known: Sequence[tuple[DataSetVersion, Span | None]]) -> list[Inherited]:
    """Return for each data set that knows a series the first bar of a span that it seals."""
    with_series = [(frozen, other) for frozen, other in known if other is not None]
    was_open = sorted(
        (other.first, other.last if frozen.sealed_from is None else min(other.last, frozen.sealed_from - 1))
        for frozen, other in with_series
    )
    found = []
    for frozen, other in with_series:
        if frozen.sealed_from is None:
            continue
        start = max(span.first, other.first, frozen.sealed_from)
        for first, last in was_open:
            if first <= start <= last:
                start = last + 1
        if start <= min(span.last, other.last):
            found.append(Inherited(sealed_from=start, key=span.key, by=frozen))
    return found
