"""Data sets of the lake: what is known of some series is frozen under a name, and read again as it was."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.data import validity
from engine.data.actions import Fact
from engine.data.lake import assembling, bulk, files, seals
from engine.data.lake.bulk import Looked
from engine.data.lake.panels import NoBarsError, PinnedPart
from engine.data.lake.parts import Part, read_bytes, read_part, repeated
from engine.data.lake.versions import DataSetVersion, Definition, PinnedFile, every, require_name, write_next
from engine.data.manifest import Origin, describe, holdout_rows
from engine.data.series import SeriesKey, SeriesKind
from engine.data.venues import groups
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, Outline, Panel
from engine.domain.venue import CalendarPolicy


def freeze(
    root: Path,
    name: str,
    definition: Definition,
    *,
    parts_of: Callable[[SeriesKey], Sequence[Part]],
    facts: Sequence[Fact],
    as_of: int | None,
    calendar_policy: CalendarPolicy,
) -> DataSetVersion:
    """Write down what some parts give as the next version of a data set, and return it.

    What is equal to the newest version becomes no new one, and neither do the very files of an older one.

    Parameters
    ----------
    parts_of
        Returns the parts of a series that are known as of that moment, in the order of writing.
    facts
        Corporate actions of the venues, as of that moment.
    as_of
        UTC nanoseconds; None: the moment at which the last of the parts was learned.
    calendar_policy
        What becomes of instruments that keep different calendars.

    Raises
    ------
    InputError
        If the name or the definition cannot be used, if a series has no bars, if bars have errors, if
        calendars differ and the policy refuses that, if all bars are sealed, or if the disk refuses.
    """
    _check(name, definition)
    market = () if definition.market is None else (definition.market,)
    # A writer in between would leave one series as of a later moment than another.
    with files.reading(root):
        for key in (*definition.keys, *market):
            if not parts_of(key):
                raise InputError(f"data set {name}: the lake holds no bars of {key} as of that moment")
        facts = assembling.facts_of(definition, facts)
        pinned = {
            key: tuple(_pinned(root, part) for part in parts_of(key) if _is_inside(part, definition))
            for key in assembling.series_of(definition, facts)
        }
    looked = bulk.look(root, name, definition, pinned) if bulk.is_large(definition, pinned, facts) else None
    if looked is None:
        definition, looked = _laid_out(root, name, definition, pinned, facts, calendar_policy)
    outline = looked.outline
    learned = [each.part.known_at for of_series in pinned.values() for each in of_series]
    manifest = describe(
        outline,
        content_hash=looked.content_hash,
        origin=Origin.LAKE,
        source="lake: " + ", ".join(sorted({key.venue for key in definition.keys})),
        market=None if definition.market is None else str(definition.market),
        notes=() if definition.universe is None else (f"Universe: {definition.universe}.",),
        quality=looked.quality,
    )
    frozen = DataSetVersion(
        name=name,
        version=1,
        as_of=max([*learned, *(fact.known_at for fact in facts)]) if as_of is None else as_of,
        definition=definition,
        instruments=outline.instruments,
        files=tuple(
            PinnedFile(place=str(each.part.place), sha256=each.sha256)
            for of_series in pinned.values()
            for each in of_series
        ),
        facts=facts,
        spans=assembling.spans_of(definition, pinned, facts),
        sealed_from=int(outline.timestamps[-manifest.holdout_rows]) if manifest.holdout_rows else None,
        manifest=manifest,
    )
    with files.writing(root):
        known = every(root)
        return write_next(root, _sealed(frozen, outline, known), known)


def with_seal_moved(root: Path, frozen: DataSetVersion) -> DataSetVersion:
    """Return a version with the seal that its bars alone would have: what it inherited is let go.

    Nothing is written.

    Raises
    ------
    InputError
        If its seal is there already, or a file is not what was frozen.
    """
    panel = load(root, frozen)
    rows = holdout_rows(panel)
    if frozen.manifest.holdout_rows <= rows:
        raise InputError(
            f"data set {frozen.name}@{frozen.version}: {rows:,} of {len(panel):,} bars are sealed, no more "
            "than of any set so long; there is nothing to release before it has grown"
        )
    return replace(
        frozen,
        sealed_from=int(panel.timestamps[-rows]) if rows else None,
        manifest=replace(frozen.manifest, holdout_rows=rows),
    )


def write(root: Path, frozen: DataSetVersion) -> DataSetVersion:
    """Write what became of the newest version of a data set under the next number, and return it.

    Raises
    ------
    InputError
        If a newer one was frozen meanwhile, or the disk refuses.
    """
    with files.writing(root):
        known = every(root)
        newest = max(each.version for each in known if each.name == frozen.name)
        if newest != frozen.version:
            raise InputError(
                f"data set {frozen.name}: version {newest} was frozen meanwhile and {frozen.version} is not "
                "the newest any more; nothing was written, do the same again"
            )
        return write_next(root, frozen, known)


def load(root: Path, frozen: DataSetVersion, *, as_of: int | None = None, stop: int | None = None) -> Panel:
    """Return the bars of a version.

    Parameters
    ----------
    as_of
        UTC nanoseconds: only what was known then; None: all of the version.
    stop
        UTC nanoseconds: only bars that open before it, as they are in the whole; None: all.

    Raises
    ------
    InputError
        If a file is not what was frozen, or nothing was known then.
    """
    pinned = _frozen_parts(root, frozen, as_of)
    facts = [fact for fact in frozen.facts if as_of is None or fact.known_at <= as_of]
    return _until(root, frozen, pinned, facts, stop)


def each(root: Path, frozen: DataSetVersion, *, stop: int | None = None) -> Iterator[Panel]:
    """Yield the bars of one instrument of a version after the other, those before `stop` if there is one.

    Memory holds those of one as long as prices are raw and of one calendar. An instrument without any bar is
    left out.

    Raises
    ------
    InputError
        If a file is not what was frozen.
    """
    pinned = _frozen_parts(root, frozen, None)
    if frozen.definition.groups or frozen.definition.adjustment is not Adjustment.NONE:
        # Which bars all calendars have, and which actions have happened, is told by all instruments.
        whole = _until(root, frozen, pinned, frozen.facts, stop)
        has_bars = np.isfinite(whole.close).any(axis=0)
        yield from (whole.select((column,)) for column in np.flatnonzero(has_bars).tolist())
        return
    for instrument in frozen.instruments:
        try:
            panel = _until(root, frozen, pinned, frozen.facts, stop, only=instrument.symbol)
        except NoBarsError:
            continue
        yield panel


def before(panel: Panel, stop: int) -> Panel:
    """Return the rows before a moment in arrays of their own, and nothing of later: no delisting either."""
    rows = int(np.searchsorted(panel.timestamps, stop))
    cut = panel.rows(0, rows)
    return replace(
        cut,
        timestamps=cut.timestamps.copy(),
        open=cut.open.copy(),
        high=cut.high.copy(),
        low=cut.low.copy(),
        close=cut.close.copy(),
        volume=cut.volume.copy(),
        instruments=tuple(
            replace(each, delisted_at=None)
            if each.delisted_at is not None and each.delisted_at >= stop
            else each
            for each in cut.instruments
        ),
        fields={name: values.copy() for name, values in cut.fields.items()},
    )


def _until(
    root: Path,
    frozen: DataSetVersion,
    pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]],
    facts: Sequence[Fact],
    stop: int | None,
    *,
    only: str | None = None,
) -> Panel:
    """Return the bars of a version before a moment, None: all; of one instrument, None: of all."""
    definition = frozen.definition
    if stop is None or (definition.stop is not None and definition.stop <= stop):
        return _panel(root, frozen.name, definition, pinned, facts, only=only)
    if definition.adjustment is Adjustment.NONE:
        return _panel(root, frozen.name, replace(definition, stop=stop), pinned, facts, only=only)
    # A dividend after the end adjusts what is before it, by a close that is not there any more.
    return before(_panel(root, frozen.name, definition, pinned, facts, only=only), stop)


# --- inside ------------------------------------------------------------------------------------------------


def _check(name: str, definition: Definition) -> None:
    require_name(name)
    if not definition.keys:
        raise InputError(f"data set {name}: name at least one series")
    for key in (*definition.keys, *(() if definition.market is None else (definition.market,))):
        if key.kind is not SeriesKind.BARS or key.timeframe is not definition.timeframe:
            raise InputError(
                f"data set {name}: its series are {definition.timeframe.value} bars, but not {key}"
            )
    seen: dict[str, SeriesKey] = {}
    for key in definition.keys:
        if key.instrument in seen:
            raise InputError(
                f"data set {name}: {key.instrument} is in it twice, from {seen[key.instrument].venue} and "
                f"from {key.venue}; choose one"
            )
        seen[key.instrument] = key


def _laid_out(
    root: Path,
    name: str,
    definition: Definition,
    pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]],
    facts: Sequence[Fact],
    calendar_policy: CalendarPolicy,
) -> tuple[Definition, Looked]:
    """Return what the whole panel says, and the definition with the calendars that are in it."""
    # The checks bring pandas with them, which a reader of the lake does not need.
    from engine.data.lake import freezable

    raw = assembling.raw_panel(root, name, definition, pinned, facts)
    freezable.refuse_errors(raw)
    freezable.refuse_two_grids(raw)
    definition = replace(definition, groups=groups(raw, calendar_policy))
    panel = assembling.in_view(raw, definition, facts)
    looked = Looked(outline=panel, content_hash=panel.content_hash, quality=validity.judged(panel))
    return definition, looked


def _sealed(
    frozen: DataSetVersion, panel: Panel | Outline, known: Sequence[DataSetVersion]
) -> DataSetVersion:
    """Return a new version with the bars sealed too that known data sets seal."""
    before = seals.inherited(frozen.spans, known)
    if before is None or (frozen.sealed_from is not None and frozen.sealed_from <= before.sealed_from):
        return frozen
    n_open = int(np.searchsorted(panel.timestamps, before.sealed_from))
    if n_open == len(panel):
        # Bars that were withdrawn, or that other calendars do not have, are in a span and not in the panel.
        return frozen
    if n_open == 0:
        from engine.data.quality import moment

        by = before.by
        assert by.sealed_from is not None
        raise InputError(
            f"data set {frozen.name}: all of its bars are sealed, {by.name}@{by.version} seals {before.key} "
            f"from {moment(by.sealed_from)} on; let it begin earlier"
        )
    return replace(
        frozen,
        sealed_from=int(panel.timestamps[n_open]),
        manifest=replace(frozen.manifest, holdout_rows=len(panel) - n_open),
    )


def _is_inside(part: Part, definition: Definition) -> bool:
    return (definition.start is None or part.last >= definition.start) and (
        definition.stop is None or part.first < definition.stop
    )


def _pinned(root: Path, part: Part) -> PinnedPart:
    return PinnedPart(part=part, sha256=files.sha256(read_bytes(root, part)))


def _frozen_parts(
    root: Path, frozen: DataSetVersion, as_of: int | None
) -> dict[SeriesKey, tuple[PinnedPart, ...]]:
    """Return the parts of a version that were known at a moment, by their series."""
    pinned: dict[SeriesKey, list[PinnedPart]] = {}
    for file in frozen.files:
        part = read_part(root, Path(file.place))
        if as_of is None or part.known_at <= as_of:
            pinned.setdefault(part.key, []).append(PinnedPart(part=part, sha256=file.sha256))
            continue
        # Of the parts that a merged one repeats some were known earlier.
        members = [read_part(root, place) for place in repeated(part)]
        pinned.setdefault(part.key, []).extend(
            _pinned(root, member) for member in members if member.known_at <= as_of
        )
    return {key: tuple(parts) for key, parts in pinned.items()}


def _panel(
    root: Path,
    name: str,
    definition: Definition,
    pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]],
    facts: Sequence[Fact],
    *,
    only: str | None = None,
) -> Panel:
    raw = assembling.raw_panel(root, name, definition, pinned, facts, only=only)
    return assembling.in_view(raw, definition, facts)
