"""Data sets by name: packaged samples and imported files alike, cut off before the hold-out."""

import difflib
from functools import cache

import numpy as np

from engine.data import store
from engine.data.manifest import DataSetInfo, Manifest, Origin, describe
from engine.data.packaged import PACKAGED, PackagedSet
from engine.domain.errors import InputError
from engine.domain.panel import PRICE_FIELDS, Panel


def load(name: str, *, sealed: bool = True) -> Panel:
    """Return the bars of a data set, which end where its hold-out begins.

    Parameters
    ----------
    sealed
        False reads the hold-out too. Only `engine.data.holdout` does that, and journals it.

    Raises
    ------
    InputError
        For a name that is not known, and for a set whose bars do not have the hash of its manifest.
    """
    _require_known(name)
    whole = _packaged_panel(name) if name in PACKAGED else store.read_panel(name)
    if not sealed:
        return whole
    return _copied(whole.rows(0, len(whole) - manifest(name).holdout_rows))


def manifest(name: str) -> Manifest:
    """Return what is known about a data set, its hold-out included."""
    _require_known(name)
    return _packaged_manifest(name) if name in PACKAGED else store.read_manifest(name)


def names() -> list[DataSetInfo]:
    """Return a line for each data set that can be read: packaged ones, then imported ones."""
    packaged = [_packaged_info(name, facts) for name, facts in PACKAGED.items()]
    broken = damaged()
    return packaged + [
        _imported_info(store.read_manifest(name)) for name in store.names() if name not in broken
    ]


def damaged() -> dict[str, str]:
    """Return the imported data sets whose manifest cannot be read, with the reason."""
    reasons = {}
    for name in store.names():
        try:
            store.read_manifest(name)
        except InputError as error:
            reasons[name] = str(error)
    return reasons


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


def _imported_info(known: Manifest) -> DataSetInfo:
    return DataSetInfo(
        name=known.name,
        origin=Origin.IMPORTED,
        description=known.source,
        timeframe=known.timeframe,
        calendar=known.calendar,
        instruments=len(known.instruments),
        rows=known.rows,
        first=known.first,
        last=known.last,
        synthetic=known.synthetic,
        warnings=sum(known.warning_counts.values()),
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
    known = (*PACKAGED, *store.names())
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InputError(f"data set {name!r} is not known.{hint} Known: {', '.join(known)}")
