"""Frozen data sets as files, `datasets/<name>/<version>.json`: named, numbered, each with its own hash."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.data.actions import Fact, from_document, to_document
from engine.data.lake import files
from engine.data.lake.parts import damaged
from engine.data.manifest import Manifest, Origin, Quality
from engine.data.series import SeriesKey, SeriesKind
from engine.data.venues import Groups
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, Instrument
from engine.domain.time import Calendar, Timeframe
from engine.domain.venue import CalendarPolicy

FOLDER = "datasets"

_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION_FILE = re.compile(r"([1-9][0-9]{0,8})\.json")
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
    adjustment
        What is done to prices for splits and dividends that the lake knows of.
    groups
        Instruments by the calendar that they keep, where they keep several: there is a bar where one of each
        group has one. Empty where all keep the same: there is a bar where any of them has one.
    """

    keys: tuple[SeriesKey, ...]
    timeframe: Timeframe
    calendar: Calendar
    market: SeriesKey | None = None
    universe: str | None = None
    start: int | None = None
    stop: int | None = None
    adjustment: Adjustment = Adjustment.NONE
    groups: Groups = ()

    @property
    def calendar_policy(self) -> CalendarPolicy:
        """What becomes of instruments that keep different calendars."""
        return CalendarPolicy.INNER_JOIN if self.groups else CalendarPolicy.REFUSE


@dataclass(frozen=True, kw_only=True)
class Span:
    """What a data set holds of one series: UTC nanoseconds of the opens of its first and its last bar."""

    key: SeriesKey
    first: int
    last: int


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
    facts
        Corporate actions of the tickers in it, in the order in which they were learned.
    spans
        Of each series that has a bar in it, its market's among them.
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
    facts: tuple[Fact, ...]
    spans: tuple[Span, ...]
    sealed_from: int | None
    manifest: Manifest

    @property
    def content_hash(self) -> str:
        """Hash of the panel: it depends on the values alone, not on how and when they came."""
        return self.manifest.content_hash

    @cached_property
    def spans_by_key(self) -> Mapping[SeriesKey, Span]:
        """The span of each series."""
        return {span.key: span for span in self.spans}


def names(root: Path) -> tuple[str, ...]:
    """Return the data sets of a lake, in alphabetical order."""
    return tuple(sorted(path.name for path in (root / FOLDER).glob("*") if numbers(root, path.name)))


def numbers(root: Path, name: str) -> list[int]:
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
    known = numbers(root, name)
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


def every(root: Path) -> list[DataSetVersion]:
    """Return all data sets of a lake, the versions of each oldest first.

    Raises
    ------
    InputError
        If the file of one is not what was written.
    """
    return [read(root, name, number) for name in names(root) for number in numbers(root, name)]


def require_name(name: str) -> None:
    """Refuse a name that cannot be that of a data set.

    Raises
    ------
    InputError
        If it cannot.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a data set: use up to 64 letters, digits, '-', '_' or '.'"
        )


def write_next(root: Path, frozen: DataSetVersion, known: Sequence[DataSetVersion]) -> DataSetVersion:
    """Write a version under the next number, unless it is there already, and return what is there.

    Parameters
    ----------
    known
        All data sets of the lake, the versions of each oldest first.

    Raises
    ------
    InputError
        If the disk refuses.
    """
    known = [each for each in known if each.name == frozen.name]
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


# --- inside ------------------------------------------------------------------------------------------------


def _gives_the_same(one: DataSetVersion, other: DataSetVersion) -> bool:
    return (one.content_hash, one.definition, one.sealed_from) == (
        other.content_hash,
        other.definition,
        other.sealed_from,
    )


def _hash_of(document: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in document.items() if name != _SELF_HASH}
    return files.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode())


def _to_json(frozen: DataSetVersion) -> dict[str, Any]:
    return {"format": _FORMAT} | asdict(frozen) | {"facts": [to_document(fact) for fact in frozen.facts]}


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
            adjustment=Adjustment(definition["adjustment"]),
            # Files of earlier versions tell of one calendar only.
            groups=tuple(tuple(group) for group in definition.get("groups", ())),
        ),
        instruments=tuple(Instrument(**fields) for fields in document["instruments"]),
        files=tuple(PinnedFile(**fields) for fields in document["files"]),
        facts=tuple(from_document(fact) for fact in document["facts"]),
        spans=_spans_from(document),
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
                "quality": Quality.of_document(manifest.get("quality", {})),
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


def _spans_from(document: Mapping[str, Any]) -> tuple[Span, ...]:
    if "spans" not in document:
        # Files of earlier versions tell of the whole set alone.
        first, last = document["manifest"]["first"], document["manifest"]["last"]
        keys = [_key_from(key) for key in document["definition"]["keys"]]
        return tuple(Span(key=key, first=first, last=last) for key in keys)
    return tuple(
        Span(key=_key_from(span["key"]), first=span["first"], last=span["last"]) for span in document["spans"]
    )
