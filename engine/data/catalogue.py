"""Data sets by name: packaged samples, imported files and the lake's alike, cut off before the hold-out.

A data set of the lake has versions: `mine` is the newest, `mine@2` is the second.
"""

import difflib
import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from engine.data import store, validity
from engine.data.manifest import DataSetInfo, Manifest, Origin, describe, holdout_rows
from engine.data.packaged import PACKAGED, PackagedSet
from engine.domain.errors import InputError
from engine.domain.panel import PRICE_FIELDS, Panel
from engine.home import state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.data.lake.lake import Lake
    from engine.data.quality import Bars

_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, kw_only=True)
class SealedSeries:
    """The sealed stretch of some series of the lake.

    Attributes
    ----------
    keys
        Of the series, as they are written.
    first, last
        UTC nanoseconds at which the first and the last sealed bar open.
    """

    keys: frozenset[str]
    first: int
    last: int

    def overlaps(self, other: "SealedSeries") -> bool:
        """Return whether a bar of one series is sealed in both."""
        return bool(self.keys & other.keys) and self.first <= other.last and other.first <= self.last


def load(name: str, *, sealed: bool = True, as_of: int | None = None) -> Panel:
    """Return the bars of a data set, which end where its hold-out begins.

    Parameters
    ----------
    sealed
        False reads the hold-out too. Only `engine.data.holdout` does that, and journals it.
    as_of
        UTC nanoseconds: what was known then of a data set of the lake. None: all of it.

    Raises
    ------
    InputError
        For a name that is not known, for a set that is INVALID_DATA, and for one whose bars do not have the
        hash of its manifest. For a moment, where nobody wrote down when the bars were learned.
    """
    require_usable(name)
    panel = load_to_inspect(name, sealed=sealed, as_of=as_of)
    if as_of is not None:
        # Bars that were mended since were not then, and nobody has judged that moment yet.
        validity.require_valid(name, validity.judged(panel))
    return panel


def require_usable(name: str) -> None:
    """Refuse a data set that is INVALID_DATA: no result may rest on it.

    Raises
    ------
    InputError
        Naming instrument, score and the command that shows what is wrong; for a name that is not known.
    """
    validity.require_valid(name, manifest(name).quality)


def load_to_inspect(name: str, *, sealed: bool = True, as_of: int | None = None) -> Panel:
    """Return the bars of a data set as `load` does, however bad they are: to look at, not to use.

    Raises
    ------
    InputError
        As `load` does, INVALID_DATA apart.
    """
    _require_known(name)
    base, version = parsed(name)
    if base in lake_names():
        return _lake_panel(name, base, version, sealed=sealed, as_of=as_of)
    if as_of is not None:
        raise InputError(f"data set {name}: is not in the lake, so nobody knows when its bars were learned")
    whole = _packaged_panel(name) if name in PACKAGED else store.read_panel(name)
    if not sealed:
        return whole
    return _copied(whole.rows(0, len(whole) - manifest(name).holdout_rows))


def each_to_inspect(name: str) -> "Iterator[Bars]":
    """Yield the bars of one instrument after the other as `load_to_inspect` has them.

    Of a data set of the lake memory holds those of one instrument, and their rows are counted in it.

    Raises
    ------
    InputError
        As `load_to_inspect` does.
    """
    # It brings calendars along, which a reader of a packaged set does without.
    from engine.data.quality import each_of_panel

    base, version = parsed(name)
    if base not in lake_names():
        yield from each_of_panel(load_to_inspect(name))
        return
    _require_known(name)
    from engine.data.lake.datasets import each

    frozen = lake().version(base, version)
    for panel in each(lake().root, frozen, stop=frozen.sealed_from):
        yield from each_of_panel(replace(panel, name=name))


def manifest(name: str) -> Manifest:
    """Return what is known about a data set, its hold-out included."""
    _require_known(name)
    base, version = parsed(name)
    if base in lake_names():
        return replace(_lake_manifest(base, version), name=name)
    return _packaged_manifest(name) if name in PACKAGED else store.read_manifest(name)


def sealed_series(name: str) -> SealedSeries | None:
    """Return which series of the lake a data set seals, and when; None where it seals none of the lake.

    Raises
    ------
    InputError
        If the data set is not known.
    """
    _require_known(name)
    base, version = parsed(name)
    if base not in lake_names():
        return None
    frozen = lake().version(base, version)
    if frozen.sealed_from is None:
        return None
    return SealedSeries(
        keys=frozenset(str(span.key) for span in frozen.spans),
        first=frozen.sealed_from,
        last=frozen.manifest.last,
    )


def lake() -> "Lake":
    """Return the lake of this home."""
    # It brings pyarrow, which a worker that plays a packaged set does without.
    from engine.data.lake.lake import Lake

    return Lake(state_folder() / "lake")


def lake_names() -> tuple[str, ...]:
    """Return the data sets of the lake, in alphabetical order."""
    return lake().data_sets() if (state_folder() / "lake").is_dir() else ()


def parsed(name: str) -> tuple[str, int | None]:
    """Return the name of a data set without its version, and the version; None where it says none."""
    base, at, version = name.partition("@")
    return (base, int(version)) if at and _VERSION.fullmatch(version) else (name, None)


def require_free(name: str) -> None:
    """Refuse a name for a data set of the lake that stands for another data set already.

    Raises
    ------
    InputError
        If it does.
    """
    # Some file systems do not tell upper from lower case.
    taken = [known for known in (*PACKAGED, *store.names()) if known.lower() == name.lower()]
    taken += [known for known in lake_names() if known.lower() == name.lower() and known != name]
    if taken:
        raise InputError(f"a data set {taken[0]} exists already, and is not this one; choose another name")


def names() -> list[DataSetInfo]:
    """Return a line for each data set that can be read: packaged ones, imported ones, then the lake's."""
    packaged = [_packaged_info(name, facts) for name, facts in PACKAGED.items()]
    broken = damaged()
    imported = [store.read_manifest(name) for name in store.names() if name not in broken]
    frozen = [_lake_manifest(name) for name in lake_names() if name not in broken]
    return packaged + [_stored_info(known) for known in (*imported, *frozen)]


def damaged() -> dict[str, str]:
    """Return the imported data sets and the lake's whose manifest cannot be read, with the reason."""
    reasons = {}
    for read, known in ((store.read_manifest, store.names()), (_lake_manifest, lake_names())):
        for name in known:
            try:
                read(name)
            except InputError as error:
                reasons[name] = str(error)
    return reasons


def _lake_manifest(base: str, version: int | None = None) -> Manifest:
    return lake().version(base, version).manifest


def _lake_panel(name: str, base: str, version: int | None, *, sealed: bool, as_of: int | None) -> Panel:
    frozen = lake().version(base, version)
    if as_of is None:
        # What is sealed is not even decoded.
        stop = frozen.sealed_from if sealed else None
        return replace(lake().load_panel(base, version=frozen.version, stop=stop), name=name)
    then = replace(lake().load_panel(base, version=frozen.version, as_of=as_of), name=name)
    if not sealed:
        return then
    # Fewer bars were known: the last ones of them are sealed, and so is whatever is sealed today.
    open_rows = len(then) - holdout_rows(then)
    if frozen.sealed_from is not None:
        open_rows = min(open_rows, int(np.searchsorted(then.timestamps, frozen.sealed_from)))
    if open_rows == len(then):
        return then
    from engine.data.lake.datasets import before

    return before(then, int(then.timestamps[open_rows]))


@cache
def _packaged_panel(name: str) -> Panel:
    return PACKAGED[name].make()


@cache
def _packaged_manifest(name: str) -> Manifest:
    facts = PACKAGED[name]
    return describe(
        _packaged_panel(name),
        origin=Origin.PACKAGED,
        source=facts.source,
        market=facts.market,
        notes=facts.notes,
    )


def _packaged_info(name: str, facts: PackagedSet) -> DataSetInfo:
    first, last = (
        int(np.datetime64(date, "ns").astype(np.int64)) for date in (facts.first_bar, facts.last_bar)
    )
    return DataSetInfo(
        name=name,
        origin=Origin.PACKAGED,
        description=facts.description,
        timeframe=facts.timeframe,
        calendar=facts.calendar,
        instruments=facts.instruments,
        rows=facts.rows,
        first=first,
        last=last,
        synthetic=facts.synthetic,
        warnings=0,
    )


def _stored_info(known: Manifest) -> DataSetInfo:
    return DataSetInfo(
        name=known.name,
        origin=known.origin,
        description=known.source,
        timeframe=known.timeframe,
        calendar=known.calendar,
        instruments=len(known.instruments),
        rows=known.rows,
        first=known.first,
        last=known.last,
        synthetic=known.synthetic,
        warnings=sum(known.warning_counts.values()),
        invalid=known.quality.invalid,
    )


def _copied(panel: Panel) -> Panel:
    """Return a panel whose arrays are not views: a view would still lead to the sealed rows."""
    arrays = {name: getattr(panel, name).copy() for name in PRICE_FIELDS}
    for values in arrays.values():
        values.flags.writeable = False
    return Panel(
        name=panel.name,
        timestamps=panel.timestamps.copy(),
        **arrays,
        instruments=panel.instruments,
        timeframe=panel.timeframe,
        calendar=panel.calendar,
        adjustment=panel.adjustment,
        has_range=panel.has_range,
        synthetic=panel.synthetic,
        fields={name: values.copy() for name, values in panel.fields.items()},
    )


def _require_known(name: str) -> None:
    of_lake = lake_names()
    known = (*PACKAGED, *store.names(), *of_lake)
    base, version = parsed(name)
    if known.count(base) > 1:
        raise InputError(
            f"data set {base!r} stands for two: one of the lake and another one; remove one of them"
        )
    if name in known:
        return
    if base in of_lake:
        # The lake says which versions there are.
        lake().version(base, version)
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InputError(f"data set {name!r} is not known.{hint} Known: {', '.join(known)}")
