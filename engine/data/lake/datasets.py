"""Named, numbered, frozen lists of parts, `datasets/<name>/<version>.json`: what one gives never changes."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.findings import Finding, listing
from engine.data.lake import files, panels
from engine.data.lake.panels import Column, PinnedPart, Source
from engine.data.lake.parts import Part, damaged, read_bytes, read_part
from engine.data.manifest import Manifest, Origin, describe
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, Instrument, Panel
from engine.domain.time import Calendar, Timeframe

FOLDER = "datasets"

_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION_FILE = re.compile(r"([1-9][0-9]{0,8})\.json")
_ERRORS_SHOWN = 20
_SELF_HASH = "sha256"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a data set is made of, whatever is known of it at the moment.

    Attributes
    ----------
    keys
        Series of bars, one an instrument; they become columns in the order of their symbols.
    market
        Series whose close is the market; None: the equally weighted pool.
    universe
        Name of the universe that the instruments were taken from, if any.
    start, stop
        UTC nanoseconds of opens, from `start` up to, not including, `stop`; None: no bound.
    """

    keys: tuple[SeriesKey, ...]
    timeframe: Timeframe
    calendar: Calendar
    market: SeriesKey | None = None
    universe: str | None = None
    start: int | None = None
    stop: int | None = None

    @property
    def all_keys(self) -> tuple[SeriesKey, ...]:
        """The series of the instruments, and that of the market behind them unless it is one of them."""
        is_apart = self.market is not None and self.market not in self.keys
        return (*self.keys, self.market) if is_apart and self.market is not None else self.keys


@dataclass(frozen=True, kw_only=True)
class PinnedFile:
    """One file of a version: its place in the lake and the hash of its bytes."""

    place: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DataSetVersion:
    """A frozen data set.

    Attributes
    ----------
    version
        Counted from 1.
    as_of
        UTC nanoseconds; what was learned later is not in it.
    instruments
        In column order.
    files
        In the order of series, and in them in the order in which they were written.
    sealed_from
        UTC nanoseconds at which the first sealed bar opens; None where none is sealed.
    manifest
        Facts of the panel that it gives, its content hash among them.
    """

    name: str
    version: int
    as_of: int
    definition: Definition
    instruments: tuple[Instrument, ...]
    files: tuple[PinnedFile, ...]
    sealed_from: int | None
    manifest: Manifest

    @property
    def content_hash(self) -> str:
        """Hash of the panel: it depends on the values alone, not on how and when they came."""
        return self.manifest.content_hash


def names(root: Path) -> tuple[str, ...]:
    """Return the data sets of a lake, in alphabetical order."""
    return tuple(sorted(path.name for path in (root / FOLDER).glob("*") if versions(root, path.name)))


def versions(root: Path, name: str) -> list[int]:
    """Return the numbers of the versions of a data set, oldest first; none where it is not known."""
    if not _NAME.fullmatch(name):
        return []
    found = [_VERSION_FILE.fullmatch(path.name) for path in (root / FOLDER / name).glob("*.json")]
    return sorted(int(match[1]) for match in found if match is not None)


def read(root: Path, name: str, number: int | None = None) -> DataSetVersion:
    """Return a version of a data set, without reading its bars; the newest where no number is given.

    Raises
    ------
    InputError
        If there is none, or its file is not what was written.
    """
    known = versions(root, name)
    if not known:
        raise InputError(f"data set {name!r}: the lake has none of that name")
    if number is not None and number not in known:
        raise InputError(
            f"data set {name}: has no version {number}; it has " + ", ".join(str(each) for each in known)
        )
    path = root / FOLDER / name / f"{number or known[-1]}.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT or document[_SELF_HASH] != _hash_of(document):
            raise ValueError("it does not have its own hash")
        return _from_json(document)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise damaged(path, f"{type(wrong).__name__}: {wrong}") from wrong


def freeze(
    root: Path,
    name: str,
    definition: Definition,
    parts: Mapping[SeriesKey, Sequence[Part]],
    as_of: int | None,
) -> DataSetVersion:
    """Write down what some parts give as the next version of a data set, and return it.

    What is equal to the newest version becomes no new one, and neither do the very files of an older one.

    Parameters
    ----------
    parts
        Of each series, those known as of that moment.
    as_of
        UTC nanoseconds; None: the moment at which the last of the parts was learned.

    Raises
    ------
    InputError
        If the name or the definition cannot be used, if a series has no bars, if bars have errors, or if the
        disk refuses.
    """
    _check(name, definition)
    for key in definition.all_keys:
        if not parts[key]:
            raise InputError(f"data set {name}: the lake holds no bars of {key} as of that moment")
    if as_of is None:
        as_of = max(part.known_at for of_series in parts.values() for part in of_series)
    pinned = {
        key: tuple(_pinned(root, part) for part in parts[key] if _is_inside(part, definition))
        for key in definition.all_keys
    }
    instruments = tuple(_instrument(key) for key in definition.keys)
    panel = panels.build(root, _source(name, definition, instruments, pinned))
    _refuse_errors(panel, definition)
    manifest = describe(
        panel,
        origin=Origin.LAKE,
        source="lake: " + ", ".join(sorted({key.venue for key in definition.keys})),
        market=None if definition.market is None else str(definition.market),
        notes=() if definition.universe is None else (f"Universe: {definition.universe}.",),
    )
    sealed = manifest.holdout_rows
    frozen = DataSetVersion(
        name=name,
        version=1,
        as_of=as_of,
        definition=definition,
        instruments=instruments,
        files=tuple(
            PinnedFile(place=str(each.part.place), sha256=each.sha256)
            for key in definition.all_keys
            for each in pinned[key]
        ),
        sealed_from=int(panel.timestamps[-sealed]) if sealed else None,
        manifest=manifest,
    )
    with files.writing(root):
        return _numbered(root, frozen)


def load(root: Path, frozen: DataSetVersion, *, as_of: int | None = None, stop: int | None = None) -> Panel:
    """Return the bars of a version.

    Parameters
    ----------
    as_of
        UTC nanoseconds: only what was known then; None: all of the version.
    stop
        UTC nanoseconds: only bars that open before it; None: all.

    Raises
    ------
    InputError
        If a file is not what was frozen, or nothing was known then.
    """
    pinned: dict[SeriesKey, list[PinnedPart]] = {key: [] for key in frozen.definition.all_keys}
    for file in frozen.files:
        part = read_part(root, Path(file.place))
        if as_of is None or part.known_at <= as_of:
            pinned[part.key].append(PinnedPart(part=part, sha256=file.sha256))
    definition = frozen.definition
    if stop is not None and (definition.stop is None or stop < definition.stop):
        definition = replace(definition, stop=stop)
    return panels.build(root, _source(frozen.name, definition, frozen.instruments, pinned))


# --- inside ------------------------------------------------------------------------------------------------


def _check(name: str, definition: Definition) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a data set: use up to 64 letters, digits, '-', '_' or '.'"
        )
    if not definition.keys:
        raise InputError(f"data set {name}: name at least one series")
    for key in definition.all_keys:
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


def _is_inside(part: Part, definition: Definition) -> bool:
    return (definition.start is None or part.last >= definition.start) and (
        definition.stop is None or part.first < definition.stop
    )


def _pinned(root: Path, part: Part) -> PinnedPart:
    return PinnedPart(part=part, sha256=files.sha256(read_bytes(root, part)))


def _instrument(key: SeriesKey) -> Instrument:
    """Return the instrument of a series; a symbol as ccxt writes it says what it is quoted in."""
    _, slash, after = key.instrument.partition("/")
    quote = after.split(":")[0] if slash else ""
    return Instrument(symbol=key.instrument, quote=quote or "USD")


def _source(
    name: str,
    definition: Definition,
    instruments: Sequence[Instrument],
    pinned: Mapping[SeriesKey, Sequence[PinnedPart]],
) -> Source:
    columns = tuple(
        Column(instrument=instrument, key=key, parts=tuple(pinned[key]))
        for instrument, key in zip(instruments, definition.keys, strict=True)
    )
    market = definition.market
    return Source(
        name=name,
        columns=columns,
        market=None
        if market is None
        else Column(instrument=_instrument(market), key=market, parts=tuple(pinned[market])),
        timeframe=definition.timeframe,
        calendar=definition.calendar,
        start=definition.start,
        stop=definition.stop,
    )


def _refuse_errors(panel: Panel, definition: Definition) -> None:
    """Refuse bars that no import would take: what is frozen is used without another look."""
    # The checks bring pandas with them, which a reader of the lake does not need.
    from engine.data import quality

    found: list[Finding] = []
    for column, key in enumerate(definition.keys):
        for bars in quality.of_panel(panel.select((column,))):
            found += quality.errors(replace(bars, file=str(key)))
    if found:
        lines = listing(found, _ERRORS_SHOWN)
        raise InputError("\n".join([f"{panel.name} was not frozen, its bars have errors", *lines]))
    if definition.calendar is Calendar.ALWAYS:
        step = definition.timeframe.nanoseconds
        off = np.flatnonzero((panel.timestamps - panel.timestamps[0]) % step)
        if len(off):
            row = int(off[0])
            symbols = [
                symbol
                for symbol, close in zip(panel.symbols, panel.close[row], strict=True)
                if np.isfinite(close)
            ]
            opens = quality.moment(int(panel.timestamps[row]))
            raise InputError(
                f"{panel.name} was not frozen: {', '.join(symbols)} has a bar that opens at {opens}, which "
                "is not on the grid of the first bar; one data set needs one grid"
            )


def _numbered(root: Path, frozen: DataSetVersion) -> DataSetVersion:
    """Write a version under the next number, unless it is there already."""
    known = [read(root, frozen.name, number) for number in versions(root, frozen.name)]
    if known and _gives_the_same(known[-1], frozen):
        return known[-1]
    for older in known:
        if _gives_the_same(older, frozen) and older.files == frozen.files:
            return older
    new = replace(frozen, version=known[-1].version + 1 if known else 1)
    document = _to_json(new)
    text = json.dumps(document | {_SELF_HASH: _hash_of(document)}, indent=1, ensure_ascii=False) + "\n"
    files.put(root, root / FOLDER / new.name / f"{new.version}.json", text.encode())
    return new


def _gives_the_same(one: DataSetVersion, other: DataSetVersion) -> bool:
    return one.content_hash == other.content_hash and one.definition == other.definition


def _hash_of(document: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in document.items() if name != _SELF_HASH}
    return files.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode())


def _to_json(frozen: DataSetVersion) -> dict[str, Any]:
    return {"format": _FORMAT} | asdict(frozen)


def _from_json(document: Mapping[str, Any]) -> DataSetVersion:
    definition, manifest = document["definition"], document["manifest"]
    market = definition["market"]
    return DataSetVersion(
        name=document["name"],
        version=int(document["version"]),
        as_of=int(document["as_of"]),
        definition=Definition(
            keys=tuple(_key_from(key) for key in definition["keys"]),
            timeframe=Timeframe(definition["timeframe"]),
            calendar=Calendar(definition["calendar"]),
            market=None if market is None else _key_from(market),
            universe=definition["universe"],
            start=definition["start"],
            stop=definition["stop"],
        ),
        instruments=tuple(Instrument(**fields) for fields in document["instruments"]),
        files=tuple(PinnedFile(**fields) for fields in document["files"]),
        sealed_from=document["sealed_from"],
        manifest=Manifest(
            **manifest
            | {
                "origin": Origin(manifest["origin"]),
                "instruments": tuple(manifest["instruments"]),
                "timeframe": Timeframe(manifest["timeframe"]),
                "calendar": Calendar(manifest["calendar"]),
                "adjustment": Adjustment(manifest["adjustment"]),
                "warnings": (),
                "notes": tuple(manifest["notes"]),
            }
        ),
    )


def _key_from(fields: Mapping[str, Any]) -> SeriesKey:
    return SeriesKey(
        venue=fields["venue"],
        kind=SeriesKind(fields["kind"]),
        instrument=fields["instrument"],
        timeframe=Timeframe(fields["timeframe"]),
    )
