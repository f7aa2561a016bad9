"""The bars of a session that replays a data set: which rows, kept beside the journal, one after the other.

What a session is fed is cut out of its data set once. A restart then needs neither the data set nor the
libraries that read one.
"""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import PRICE_FIELDS, FloatArray, Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.features.expression import Expression
from engine.features.strategy import Strategy
from engine.pipeline.push import Bar
from engine.session.start import FedData, SessionStart

FEED = "feed.npz"
_FIELD = "field:"
_EPOCH = date(1970, 1, 1)
_DAY = np.timedelta64(1, "D")


class Feed(Protocol):
    """Where closed bars come from."""

    def bars(self, first_row: int) -> Iterator[Bar]:
        """Return bars from a row on, in order, none left out, each when it is closed."""


# ------------------------------------------------------------------------------------------ which rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Rows of a data set that a session is fed.

    Attributes
    ----------
    origin, start, stop
        Rows of the data set: the first that is fed, the first of the account's life, the one after the last.
    """

    origin: int
    start: int
    stop: int


def span_of(
    panel: Panel, strategy: Strategy, terms: PlanTerms, *, first: date | None, last: date | None
) -> Span:
    """Return the rows that a session is fed.

    Parameters
    ----------
    panel
        Up to its hold-out.
    first, last
        UTC dates, both included: of the account's first bar and of its last. None: as early as the plan
        allows, and the end.

    Raises
    ------
    InputError
        If the dates are in the wrong order, outside the data or too early; the message names the range.
    """
    earliest = terms.train + terms.embargo if terms.kind is PlanKind.WALK_FORWARD else 0
    if earliest >= len(panel):
        raise InputError(
            f"data set {panel.name} has {len(panel):,} bars up to its hold-out, and the first base weights "
            f"need {earliest:,} before them"
        )
    days = panel.timestamps.astype("datetime64[ns]")
    lowest, highest = _day(days[earliest]), _day(days[-1])
    for option, given in (("--from", first), ("--to", last)):
        if given is not None and not lowest <= given <= highest:
            raise InputError(
                f"{option} {given} is not in {panel.name}, which can be replayed from {lowest} to {highest} "
                "(UTC; what is later is sealed)"
            )
    if first is not None and last is not None and first > last:
        raise InputError(
            f"--from {first} is after --to {last}; {panel.name} can be replayed from {lowest} to {highest}"
        )
    stop = len(panel) if last is None else int(np.searchsorted(days, np.datetime64(last, "D") + _DAY))
    if first is None:
        return _spanned(panel, Span(origin=0, start=earliest, stop=stop))
    start = max(earliest, int(np.searchsorted(days, np.datetime64(first, "D"))))
    needed = max(earliest, *(root.warmup_on(panel.timeframe) for root in _roots(strategy)))
    return _spanned(panel, Span(origin=max(0, start - needed), start=start, stop=stop))


def _spanned(panel: Panel, span: Span) -> Span:
    if span.start >= span.stop:
        raise InputError(f"no bar of {panel.name} is between --from and --to")
    return span


def _roots(strategy: Strategy) -> tuple[Expression, ...]:
    return (strategy.signal(), *strategy.order_roots)


def _day(stamp: np.datetime64) -> date:
    return _EPOCH + timedelta(days=int(stamp.astype("datetime64[D]").astype(np.int64)))


def fed_panel(panel: Panel, span: Span) -> Panel:
    """Return the rows that are fed, as a panel of their own."""
    return panel.rows(span.origin, span.stop)


# ------------------------------------------------------------------------------------- kept in a folder


def write_feed(folder: Path, fed: Panel) -> None:
    """Keep the fed rows beside the journal; whole or not at all."""
    arrays = {name: getattr(fed, name) for name in PRICE_FIELDS}
    arrays |= {f"{_FIELD}{name}": values for name, values in fed.fields.items()}
    target = folder / FEED
    temporary = folder / f".{FEED}.{os.getpid()}"
    with temporary.open("wb") as file:
        np.savez(file, timestamps=fed.timestamps, **arrays)
    temporary.replace(target)


def read_feed(folder: Path, data: FedData) -> Panel | None:
    """Return the fed rows; None where they are missing, damaged or of other data."""
    try:
        with (folder / FEED).open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        fed = Panel(
            name=data.name,
            timestamps=arrays["timestamps"],
            **{name: arrays[name] for name in PRICE_FIELDS},
            instruments=data.instruments,
            timeframe=data.timeframe,
            calendar=data.calendar,
            adjustment=data.adjustment,
            has_range=data.has_range,
            synthetic=data.synthetic,
            fields={
                name.removeprefix(_FIELD): values
                for name, values in arrays.items()
                if name.startswith(_FIELD)
            },
        )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, InvalidValueError):
        return None
    return fed if fed.content_hash == data.content_hash else None


def cut_again(panel: Panel, start: SessionStart) -> Panel:
    """Return the fed rows, cut out of the data set once more.

    Raises
    ------
    InputError
        If the data set does not hold the bars any more that the session was begun with.
    """
    origin = int(np.searchsorted(panel.timestamps, start.origin_at))
    assert start.rows is not None, "of a feed without an end nothing is cut again"
    fed = panel.rows(origin, min(origin + start.rows, len(panel)))
    if fed.content_hash != start.data.content_hash:
        raise InputError(
            f"data set {panel.name} does not hold the bars any more that this session was begun with: their "
            f"hash was {start.data.content_hash[:16]}, is {fed.content_hash[:16]}"
        )
    return fed


# ------------------------------------------------------------------------------------------- bar by bar


class Replay:
    """A feed that hands out the rows of a panel.

    Parameters
    ----------
    needed
        Names of the fields that are read.
    wait
        Called before each bar; returns when it is time for it.
    """

    def __init__(self, fed: Panel, needed: Sequence[str], *, wait: Callable[[], None] = lambda: None) -> None:
        shape = fed.close.shape
        self._fields = {name: _field(fed, name, shape) for name in needed}
        self._opened_at: list[int] = fed.timestamps.tolist()
        self._day_ends: list[bool] = fed.day_ends.tolist()
        self._wait = wait

    def bars(self, first_row: int) -> Iterator[Bar]:
        """Return bars from a row on."""
        row = first_row
        while (bar := self.bar(row)) is not None:
            self._wait()
            yield bar
            row += 1

    def bar(self, row: int) -> Bar | None:
        """Return the bar of a row, None after the last, without waiting."""
        if row >= len(self._opened_at):
            return None
        return Bar(
            row=row,
            opened_at=self._opened_at[row],
            day_end=self._day_ends[row],
            fields={name: values[row] for name, values in self._fields.items()},
        )


def _field(fed: Panel, name: str, shape: tuple[int, ...]) -> FloatArray:
    if name in PRICE_FIELDS:
        prices: FloatArray = getattr(fed, name)
        return prices
    if name not in fed.fields:
        known = ", ".join((*PRICE_FIELDS, *fed.fields))
        raise InputError(f"data set {fed.name} has no field {name!r}, which the strategy reads, only {known}")
    values = fed.fields[name]
    return values if values.ndim == len(shape) else np.repeat(values, shape[1]).reshape(shape)
