"""The sealed end of every data set: reading it is an act that is written down, counted, and done once.

The journal of openings has one JSON object a line and is only ever appended to. A line holds the hash of all
that stands before it, and beside the journal lies its mark, which says how many lines there have been: a line
that was changed or taken away shows. Lines of earlier versions carry no hash; they count like any other.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.data import catalogue
from engine.data.catalogue import SealedSeries
from engine.domain.errors import InputError, RefusedError
from engine.domain.panel import Panel
from engine.home import state_folder

if TYPE_CHECKING:
    from engine.data.lake.versions import DataSetVersion

_JOURNAL = "holdout.jsonl"
_MARK_SUFFIX = ".mark"
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Request:
    """Who asks to see the sealed bars, for which candidate, and why.

    Attributes
    ----------
    strategy_id
        Of the row of a board.
    operator, reason
        In their own words; never empty.
    identity_hash
        Of the row. Nothing can be compared where it is empty.
    coordinates
        Of the row: graph, parameters, selection, engine, profile, rebalance. A candidate that was renamed, or
        played by another version of the core, is still the one that was seen.
    run_id
        Of the board.
    is_candidate
        Whether the board says so. What is none may be opened for by force, and the record says that.
    result
        Where the result will stand.

    Raises
    ------
    InputError
        If the strategy, the operator or the reason is empty.
    """

    strategy_id: str
    operator: str
    reason: str
    identity_hash: str = ""
    coordinates: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    is_candidate: bool = True
    result: str = ""

    def __post_init__(self) -> None:
        for name in ("strategy_id", "operator", "reason"):
            if not getattr(self, name).strip():
                raise InputError(f"hold-out: {name} must not be empty, an opening needs a name and a reason")


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening, as it was written down.

    Attributes
    ----------
    content_hash
        Of the data set.
    opened_at_ns
        UTC.
    sealed
        Series of the lake that it showed; None for other data sets, and in lines of earlier versions.
    """

    data: str
    content_hash: str
    sealed_rows: int
    opened_at_ns: int
    request: Request
    sealed: SealedSeries | None = None

    @property
    def opened_at(self) -> str:
        """When, to the second, ISO-8601 in UTC."""
        moment = datetime.fromtimestamp(self.opened_at_ns // _NANOSECONDS, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Which bars of a data set are sealed. Dates alone: no price leaves.

    Attributes
    ----------
    first, last
        UTC nanoseconds at which the first and the last sealed bar open.
    """

    rows: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Bars that are sealed no more.

    Attributes
    ----------
    version
        In which they are open.
    first, last
        UTC nanoseconds: the first opened then, all of them by then.
    """

    version: "DataSetVersion"
    rows: int
    first: int
    last: int


def journal() -> Path:
    """Return the file of openings."""
    return state_folder() / _JOURNAL


def open_holdout(
    name: str,
    request: Request,
    *,
    clock: Callable[[], int] = time.time_ns,  # noqa: TID251  # a person acts, and the act is dated
) -> Panel:
    """Return all bars of a data set, the sealed ones included, after writing down who asked and why.

    The opening is safe on disk before a bar is read: who is interrupted in between has opened it.

    Parameters
    ----------
    clock
        Returns UTC nanoseconds.

    Raises
    ------
    InputError
        If the data set is not known or is INVALID_DATA, or the journal of openings is not what was written.
    RefusedError
        If the sealed bars were opened for this candidate before.
    """
    catalogue.require_usable(name)
    known, sealed = catalogue.manifest(name), catalogue.sealed_series(name)
    with _locked():
        log = _log()
        _require_whole(log)
        refuse_second(_first(log, name, request), request)
        _append(log, _line(name, known.content_hash, known.holdout_rows, request, sealed, clock()))
    return catalogue.load(name, sealed=False)


def release(
    name: str,
    *,
    operator: str,
    reason: str,
    clock: Callable[[], int] = time.time_ns,  # noqa: TID251  # a person acts, and the act is dated
) -> Released:
    """Let go of the bars of a data set of the lake that are sealed only because they were once.

    The seal follows its series, so a set that grows night by night would never show research a new bar. Its
    next version is sealed where a set of its length is sealed; what lies before is on record as opened.

    Raises
    ------
    InputError
        If the data set is not one of the lake, if there is nothing to let go of, or if the journal of
        openings is not what was written.
    """
    catalogue.require_usable(name)
    before = catalogue.sealed_series(name)
    if before is None:
        raise InputError(
            f"data set {name}: none of its bars are sealed by the lake; only what grows there is released"
        )
    base, number = catalogue.parsed(name)
    lake = catalogue.lake()
    old = lake.version(base)
    if number not in (None, old.version):
        raise InputError(f"data set {name}: {base}@{old.version} is newer; release {base}")
    moved = lake.with_seal_moved(old)
    rows = old.manifest.holdout_rows - moved.manifest.holdout_rows
    last = before.last if moved.sealed_from is None else moved.sealed_from - 1
    request = Request(
        strategy_id="research",
        operator=operator,
        reason=reason,
        is_candidate=False,
        result=f"{rows:,} bars released from {base}@{old.version}",
    )
    with _locked():
        log = _log()
        _require_whole(log)
        _append(log, _line(name, old.content_hash, rows, request, replace(before, last=last), clock()))
    return Released(version=lake.write(moved), rows=rows, first=before.first, last=last)


def first_opening(name: str, request: Request) -> Opening | None:
    """Return the first opening of a data set for the same candidate; None where there was none.

    Raises
    ------
    InputError
        If the data set is not known, or the journal of openings is not what was written.
    """
    log = _log()
    _require_whole(log)
    return _first(log, name, request)


def refuse_second(before: Opening | None, request: Request) -> None:
    """Refuse a candidate that has been seen on the sealed bars.

    Raises
    ------
    RefusedError
        With the date of the first opening and the place of its result.
    """
    if before is None:
        return
    where = before.request.result
    told = f"its result is in {where}" if where else "its result was kept nowhere"
    raise RefusedError(
        f"the hold-out of {before.data} was opened for {request.strategy_id} at {before.opened_at} by "
        f"{before.request.operator}, and {told}; bars that were seen are sealed no more",
        next_command="engine holdout list",
    )


def openings(name: str) -> int:
    """Return how often the hold-out of a data set was opened.

    The same bars under another name count too, and so does a line that cannot be read or is gone: it was an
    opening, and nobody can say of what. A journal that was changed is one opening at least.
    """
    log = _log()
    count = len(log.lost) + len(_openings_of(log, name))
    return max(count, 1) if log.problem else count


def openings_of(name: str) -> tuple[Opening, ...]:
    """Return the openings of a data set that can be read, oldest first."""
    return _openings_of(_log(), name)


def damage() -> str:
    """Return what is wrong with the journal of openings, in one sentence; empty where it is whole."""
    return _log().problem


def seal(name: str) -> Seal | None:
    """Return which bars of a data set are sealed; None where there is none.

    Raises
    ------
    InputError
        If the data set is not known.
    """
    rows = catalogue.manifest(name).holdout_rows
    if not rows:
        return None
    stamps = catalogue.load_to_inspect(name, sealed=False).timestamps
    return Seal(rows=rows, first=int(stamps[-rows]), last=int(stamps[-1]))


def _openings_of(log: "_Log", name: str) -> tuple[Opening, ...]:
    """Return the openings that showed sealed bars of a data set, under whatever name."""
    content_hash, sealed = catalogue.manifest(name).content_hash, catalogue.sealed_series(name)
    return tuple(
        opening
        for opening in log.openings
        if _is_same_set(opening.data, name)
        or opening.content_hash == content_hash
        or (opening.sealed is not None and sealed is not None and opening.sealed.overlaps(sealed))
    )


def _is_same_set(one: str, other: str) -> bool:
    # Versions of one data set share their bars: what was seen in one is not unseen in the next.
    return catalogue.parsed(one)[0] == catalogue.parsed(other)[0]


def _first(log: "_Log", name: str, request: Request) -> Opening | None:
    # Neither the same bars under another name nor some bars more under the same name are unseen.
    for opening in _openings_of(log, name):
        before = opening.request
        if before.identity_hash and before.identity_hash == request.identity_hash:
            return opening
        if before.coordinates and before.coordinates == request.coordinates:
            return opening
        # A line of an earlier version says no more than the id.
        if not before.identity_hash and before.strategy_id == request.strategy_id:
            return opening
    return None


# --- the journal -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Log:
    """The journal as it stands.

    Attributes
    ----------
    lost
        A reason for every line that was an opening and cannot be read.
    lines
        How many whole lines there are.
    chain
        Hash of all of them; empty where there is none.
    is_torn
        Whether the last line has no end: a crash cut it off.
    problem
        Why it is not what was written; empty where it is.
    """

    openings: tuple[Opening, ...]
    lost: tuple[str, ...]
    lines: int
    chain: str
    is_torn: bool
    problem: str


def _log() -> _Log:
    # The mark first: what it counts was written before it.
    mark = _read(_mark())
    content = _read(journal()) or b""
    *lines, tail = content.split(b"\n")
    found: list[Opening] = []
    lost: list[str] = []
    chains = [""]
    problems: list[str] = []
    n_chained = 0
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if entry is None:
            lost += [f"line {number} cannot be read"] if line.strip() else []
        else:
            found.append(_opening(entry))
            if "previous" in entry:
                n_chained += 1
                if entry["previous"] != chains[-1]:
                    problems.append(f"line {number} does not continue the lines before it")
        chains.append(hashlib.sha256(chains[-1].encode() + line).hexdigest())
    if tail:
        lost.append(f"line {len(chains)} has no end")
    if mark is None:
        if n_chained:
            problems.append(f"its mark {_mark().name} is gone, which says how many lines there were")
    else:
        missing, problem = _against(mark, chains)
        lost += ["a line is gone"] * missing
        problems += [problem] if problem else []
    return _Log(
        openings=tuple(found),
        lost=tuple(lost),
        lines=len(lines),
        chain=chains[-1],
        is_torn=bool(tail),
        problem=problems[0] if problems else "",
    )


def _against(mark: bytes, chains: list[str]) -> tuple[int, str]:
    """Hold the lines against the mark; return how many are gone, and what is wrong."""
    try:
        record = json.loads(mark)
        count, chain = int(record["lines"]), str(record["chain"])
    except (ValueError, KeyError, TypeError):
        return 0, f"its mark {_mark().name} cannot be read"
    if len(chains) - 1 < count:
        missing = count - len(chains) + 1
        return missing, f"it holds {len(chains) - 1} lines, but {count} were written"
    if chains[count] != chain:
        return 0, f"its first {count} lines are not those that were written"
    return 0, ""


def _require_whole(log: _Log) -> None:
    if log.problem:
        raise InputError(
            f"{journal()}: is not the journal of openings that was written: {log.problem}. Nothing is opened "
            f"on top of it: restore {journal().name} and {_mark().name} from a copy"
        )


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        _opening(entry)
    except (ValueError, KeyError, TypeError, AttributeError, InputError):
        return None
    return entry if isinstance(entry, dict) else None


def _opening(entry: Mapping[str, Any]) -> Opening:
    return Opening(
        data=str(entry["data"]),
        content_hash=str(entry.get("content_hash", "")),
        sealed_rows=int(entry.get("sealed_rows", 0)),
        opened_at_ns=int(entry.get("opened_at_ns", 0)),
        request=Request(
            strategy_id=str(entry["strategy_id"]),
            operator=str(entry["operator"]),
            reason=str(entry["reason"]),
            identity_hash=str(entry.get("identity_hash", "")),
            coordinates={str(name): str(value) for name, value in entry.get("coordinates", {}).items()},
            run_id=str(entry.get("run_id", "")),
            is_candidate=bool(entry.get("is_candidate", True)),
            result=str(entry.get("result", "")),
        ),
        sealed=_sealed_from(entry["sealed_series"]) if "sealed_series" in entry else None,
    )


def _line(
    name: str,
    content_hash: str,
    sealed_rows: int,
    request: Request,
    sealed: SealedSeries | None,
    opened_at_ns: int,
) -> dict[str, Any]:
    """Return the line of an opening."""
    return {
        "data": name,
        "content_hash": content_hash,
        "sealed_rows": sealed_rows,
        # Integers beyond 2^53 are written as decimal strings.
        "opened_at_ns": str(opened_at_ns),
        **asdict(request),
    } | ({} if sealed is None else {"sealed_series": _document(sealed)})


def _document(sealed: SealedSeries) -> dict[str, Any]:
    # Integers beyond 2^53 are written as decimal strings.
    return {"keys": sorted(sealed.keys), "first": str(sealed.first), "last": str(sealed.last)}


def _sealed_from(document: Mapping[str, Any]) -> SealedSeries:
    keys = frozenset(str(key) for key in document["keys"])
    return SealedSeries(keys=keys, first=int(document["first"]), last=int(document["last"]))


def _append(log: _Log, entry: dict[str, Any]) -> None:
    """Write a line and then the mark, both safe on disk.

    A chained line without a mark is damage, so the first mark is written before the first line.
    """
    descriptor = os.open(journal(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if log.is_torn:
            # A line torn by a crash must not swallow this one. It stays, and counts.
            os.write(descriptor, b"\n")
            log = _log()
        _write_mark(log.lines, log.chain)
        line = json.dumps(entry | {"previous": log.chain}, sort_keys=True, ensure_ascii=False).encode()
        os.write(descriptor, line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _write_mark(log.lines + 1, hashlib.sha256(log.chain.encode() + line).hexdigest())


def _write_mark(lines: int, chain: str) -> None:
    unfinished = _mark().with_name(f"{_mark().name}.new")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"lines": lines, "chain": chain}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(_mark())
    folder = os.open(_mark().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _locked() -> Iterator[None]:
    path = journal()
    path.parent.mkdir(parents=True, exist_ok=True)
    # What is refused must not leave an empty journal behind, so the lock is a file of its own.
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _mark() -> Path:
    return journal().with_name(_JOURNAL + _MARK_SUFFIX)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
