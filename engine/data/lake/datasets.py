"""Named, numbered, frozen lists of parts, `datasets/<name>/<version>.json`: what one gives never changes."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.actions import (
    Fact,
    Life,
    adjusted,
    from_document,
    in_force,
    instrument_of,
    lives,
    of_life,
    to_document,
)
from engine.data.findings import Finding, listing
from engine.data.lake import files, panels
from engine.data.lake.panels import Column, PinnedPart, Segment, Source
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
    adjustment
        What is done to prices for splits and dividends that the lake knows of.
    """

    keys: tuple[SeriesKey, ...]
    timeframe: Timeframe
    calendar: Calendar
    market: SeriesKey | None = None
    universe: str | None = None
    start: int | None = None
    stop: int | None = None
    adjustment: Adjustment = Adjustment.NONE


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
    *,
    parts_of: Callable[[SeriesKey], Sequence[Part]],
    facts: Sequence[Fact],
    as_of: int | None,
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

    Raises
    ------
    InputError
        If the name or the definition cannot be used, if a series has no bars, if bars have errors, or if the
        disk refuses.
    """
    _check(name, definition)
    market = () if definition.market is None else (definition.market,)
    # A writer in between would leave one series as of a later moment than another.
    with files.reading(root):
        for key in (*definition.keys, *market):
            if not parts_of(key):
                raise InputError(f"data set {name}: the lake holds no bars of {key} as of that moment")
        told = {ticker for life in _lives(definition, facts) for ticker in life.tickers}
        told |= {(key.venue, key.instrument) for key in definition.keys}
        facts = tuple(fact for fact in facts if (fact.venue, fact.ticker) in told)
        keys = dict.fromkeys([*definition.keys, *(_key(definition, *each) for each in sorted(told)), *market])
        pinned = {
            key: tuple(_pinned(root, part) for part in parts_of(key) if _is_inside(part, definition))
            for key in keys
        }
    panel = _panel(root, name, definition, pinned, facts, before_adjusting=_refuse_errors)
    known = [each.part.known_at for of_series in pinned.values() for each in of_series]
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
        as_of=max([*known, *(fact.known_at for fact in facts)]) if as_of is None else as_of,
        definition=definition,
        instruments=panel.instruments,
        files=tuple(
            PinnedFile(place=str(each.part.place), sha256=each.sha256)
            for of_series in pinned.values()
            for each in of_series
        ),
        facts=facts,
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
        UTC nanoseconds: only bars that open before it, as they are in the whole; None: all.

    Raises
    ------
    InputError
        If a file is not what was frozen, or nothing was known then.
    """
    pinned: dict[SeriesKey, tuple[PinnedPart, ...]] = {}
    for file in frozen.files:
        part = read_part(root, Path(file.place))
        if as_of is None or part.known_at <= as_of:
            each = PinnedPart(part=part, sha256=file.sha256)
            pinned[part.key] = (*pinned.get(part.key, ()), each)
    definition = frozen.definition
    facts = [fact for fact in frozen.facts if as_of is None or fact.known_at <= as_of]
    if stop is None or (definition.stop is not None and definition.stop <= stop):
        return _panel(root, frozen.name, definition, pinned, facts)
    if definition.adjustment is Adjustment.NONE:
        return _panel(root, frozen.name, replace(definition, stop=stop), pinned, facts)
    # A dividend after the end adjusts what is before it, by a close that is not there any more.
    whole = _panel(root, frozen.name, definition, pinned, facts)
    return _before(whole, stop)


def _before(panel: Panel, stop: int) -> Panel:
    """Return the rows before a moment, in arrays of their own, and nothing of what came later."""
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


# --- inside ------------------------------------------------------------------------------------------------


def _check(name: str, definition: Definition) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a data set: use up to 64 letters, digits, '-', '_' or '.'"
        )
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


def _is_inside(part: Part, definition: Definition) -> bool:
    return (definition.start is None or part.last >= definition.start) and (
        definition.stop is None or part.first < definition.stop
    )


def _pinned(root: Path, part: Part) -> PinnedPart:
    return PinnedPart(part=part, sha256=files.sha256(read_bytes(root, part)))


@dataclass(frozen=True, kw_only=True)
class _Lived:
    """One instrument of a venue."""

    venue: str
    quote: str
    life: Life

    @property
    def tickers(self) -> list[tuple[str, str]]:
        return [(self.venue, stretch.ticker) for stretch in self.life.stretches]


def _lives(definition: Definition, facts: Sequence[Fact]) -> list[_Lived]:
    """Return the instruments of a definition in the order of their symbols, by what is known of tickers."""
    tickers: dict[str, list[str]] = {}
    for key in definition.keys:
        tickers.setdefault(key.venue, []).append(key.instrument)
    found = [
        _Lived(venue=venue, quote=_quote(life.stretches[-1].ticker), life=life)
        for venue, of_venue in tickers.items()
        for life in lives(of_venue, in_force(fact for fact in facts if fact.venue == venue))
    ]
    found.sort(key=lambda each: (each.life.symbol, each.venue))
    for one, other in pairwise(found):
        if one.life.symbol == other.life.symbol:
            raise InputError(
                f"{one.life.symbol} is in the data set twice, from {one.venue} and {other.venue}; choose one"
            )
    return found


def _quote(symbol: str) -> str:
    """Return what a symbol as ccxt writes it is quoted in; dollars where it does not say."""
    _, slash, after = symbol.partition("/")
    return (after.split(":")[0] if slash else "") or "USD"


def _key(definition: Definition, venue: str, ticker: str) -> SeriesKey:
    return SeriesKey(venue=venue, kind=SeriesKind.BARS, instrument=ticker, timeframe=definition.timeframe)


def _panel(
    root: Path,
    name: str,
    definition: Definition,
    pinned: Mapping[SeriesKey, tuple[PinnedPart, ...]],
    facts: Sequence[Fact],
    *,
    before_adjusting: Callable[[Panel, Definition], None] | None = None,
) -> Panel:
    """Return the panel of some parts: instruments with all their tickers, adjusted as the definition says."""
    lived = {each.life.symbol: each for each in _lives(definition, facts)}
    columns = tuple(
        Column(
            instrument=Instrument(symbol=symbol, quote=each.quote),
            segments=tuple(
                Segment(
                    key=_key(definition, each.venue, stretch.ticker),
                    parts=pinned.get(_key(definition, each.venue, stretch.ticker), ()),
                    start=stretch.start,
                    stop=stretch.stop,
                )
                for stretch in each.life.stretches
            ),
        )
        for symbol, each in lived.items()
    )
    market = definition.market
    raw = panels.build(
        root,
        Source(
            name=name,
            columns=columns,
            market=None
            if market is None
            else Column(
                instrument=Instrument(symbol=market.instrument),
                segments=(Segment(key=market, parts=pinned.get(market, ())),),
            ),
            timeframe=definition.timeframe,
            calendar=definition.calendar,
            start=definition.start,
            stop=definition.stop,
        ),
    )
    if before_adjusting is not None:
        before_adjusting(raw, definition)
    if not facts:
        return raw
    instruments = tuple(
        instrument_of(lived[symbol].life, lived[symbol].quote, raw.timestamps, raw.close[:, column])
        for column, symbol in enumerate(raw.symbols)
    )
    actions = {
        symbol: of_life(lived[symbol].life, in_force(fact for fact in facts if fact.venue == each.venue))
        for symbol, each in lived.items()
    }
    return adjusted(replace(raw, instruments=instruments), actions, definition.adjustment)


def _refuse_errors(panel: Panel, definition: Definition) -> None:
    """Refuse bars that no import would take: what is frozen is used without another look."""
    # The checks bring pandas with them, which a reader of the lake does not need.
    from engine.data import quality

    found: list[Finding] = []
    for column, symbol in enumerate(panel.symbols):
        for bars in quality.of_panel(panel.select((column,))):
            found += quality.errors(replace(bars, file=f"{symbol} {panel.timeframe.value} bars"))
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
        ),
        instruments=tuple(Instrument(**fields) for fields in document["instruments"]),
        files=tuple(PinnedFile(**fields) for fields in document["files"]),
        facts=tuple(from_document(fact) for fact in document["facts"]),
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
