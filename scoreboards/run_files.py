"""Folders of finished runs as a list shows them: read without numpy, before a person blinks.

A board may have 100 MB, so what the list needs of a run is kept in the cache until the file changes.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.domain.errors import InputError
from engine.home import cache_folder, runs_folder

BOARD_FILE = "board.json"
TUNING_FILE = "tuning.json"
HOLDOUT_FILE = "holdout.json"
SUMS_FILE = "SHA256SUMS"
# Written later, whenever somebody asks for one.
_REPORTS = "reports"
_CACHE = "runs.json"
_CACHE_FORMAT = 1
_BLOCK = 1 << 20


class Kind(StrEnum):
    """What a folder of runs holds."""

    TOURNAMENT = "tournament"
    TUNING = "tuning"
    HOLDOUT = "holdout"


# The file that is written last: a folder without it is unfinished.
FILES = {BOARD_FILE: Kind.TOURNAMENT, TUNING_FILE: Kind.TUNING, HOLDOUT_FILE: Kind.HOLDOUT}


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run in one line.

    Attributes
    ----------
    finished_ns
        When its last file was written, UTC nanoseconds, by the file system.
    configuration
        What it was told to do: a file, or a strategy and how it was searched.
    data
        Names of data sets.
    verdict, words
        In one word, and in a few. DAMAGED where the file cannot be read: then the words say why.
    candidates
        None where a run has no such thing.
    behaved, controls
        How many controls did what they must, of how many.
    """

    run_id: str
    kind: Kind
    finished_ns: int
    configuration: str
    data: tuple[str, ...]
    verdict: str
    words: str
    candidates: int | None = None
    behaved: int = 0
    controls: int = 0
    rows: int = 0
    content_hash: str = ""
    core_version: str = ""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return runs_folder() / self.run_id

    @property
    def file(self) -> Path:
        """Its main file."""
        return self.folder / next(name for name, kind in FILES.items() if kind is self.kind)


def summaries() -> list[RunSummary]:
    """Return all finished runs, the newest first."""
    cached = _cached()
    found: dict[str, dict[str, Any]] = {}
    runs = []
    for path in (path for name in FILES for path in sorted(runs_folder().glob(f"*/{name}"))):
        stat = path.stat()
        place = f"{path.parent.name}/{path.name}"
        known = cached.get(place, {})
        if (known.get("mtime_ns"), known.get("size")) != (stat.st_mtime_ns, stat.st_size):
            summary = asdict(_summary(path, stat.st_mtime_ns))
            known = {"mtime_ns": stat.st_mtime_ns, "size": stat.st_size, "summary": summary}
        found[place] = known
        runs.append(_from_cache(known["summary"]))
    if found != cached:
        _keep(found)
    return sorted(runs, key=lambda run: (-run.finished_ns, run.run_id))


def summary_of(run_id: str) -> RunSummary:
    """Return one run.

    Raises
    ------
    InputError
        If there is none of that id, naming those that there are.
    """
    runs = summaries()
    for run in runs:
        if run.run_id == run_id:
            return run
    there = ", ".join(run.run_id for run in runs[:5]) + (", ..." if len(runs) > 5 else "")
    raise InputError(
        f"no run {run_id} in {runs_folder()}; " + (f"there are {there}" if runs else "there is none")
    )


def files_of(folder: Path) -> dict[str, Path]:
    """Return every file of a run by its name inside the folder, sorted; half-written ones are left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path for path in sorted(files)}


def size_of(folder: Path) -> int:
    """Return how many bytes a run takes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


# --- sums ------------------------------------------------------------------------------------------------


def write_sums(folder: Path) -> None:
    """Write the hashes of all files of a run beside them, in the form of `sha256sum`."""
    from scoreboards.publish import write_whole

    hashes = {
        name: sha256_of(path)
        for name, path in files_of(folder).items()
        if name != SUMS_FILE and not name.startswith(f"{_REPORTS}/")
    }
    write_whole(folder / SUMS_FILE, "".join(f"{digest}  {name}\n" for name, digest in hashes.items()))


def read_sums(folder: Path) -> dict[str, str] | None:
    """Return the hashes of a run's files by name, as they were when it was written; None where nobody did.

    Raises
    ------
    InputError
        If the file is no list of hashes.
    """
    path = folder / SUMS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{path}: is no list of hashes ({error})") from error
    sums = {}
    for number, line in enumerate(lines, start=1):
        digest, gap, name = line.partition("  ")
        if not (gap and name and len(digest) == 64):
            raise InputError(f"{path}: line {number} is no hash and name")
        sums[name] = digest
    return sums


# --- one run ---------------------------------------------------------------------------------------------


def _summary(path: Path, finished_ns: int) -> RunSummary:
    kind = FILES[path.name]
    blank = RunSummary(
        run_id=path.parent.name,
        kind=kind,
        finished_ns=finished_ns,
        configuration="",
        data=(),
        verdict="DAMAGED",
        words="",
    )
    try:
        document = json.loads(path.read_bytes())
        told = {
            Kind.TOURNAMENT: _of_board,
            Kind.TUNING: _of_tuning,
            Kind.HOLDOUT: _of_holdout,
        }[kind](document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        words = f"{path.name} cannot be read ({type(error).__name__}: {error})"
        return RunSummary(**{**asdict(blank), "words": words})
    return RunSummary(**{**asdict(blank), **told})


def _of_board(document: Mapping[str, Any]) -> dict[str, Any]:
    judged = [row for row in document["rows"] if row["verdict"] in ("PASS", "HOLD", "FAIL")]
    holds = sum(row["verdict"] == "HOLD" for row in judged)
    candidates = document["candidates"]
    controls = document["controls"]
    strategies = {row["strategy"] for row in judged}
    passed = {row["strategy"] for row in judged if row["is_candidate"] is True}
    if document["void"]:
        verdict, words = "VOID", "a control misbehaved: it proves nothing"
    elif candidates:
        verdict, words = "PASS", f"{len(passed)} of {len(strategies)} strategies may move to paper"
    elif holds:
        verdict, words = "HOLD", f"nothing passed; {holds} of {len(judged)} cells not proven"
    else:
        verdict, words = "FAIL", f"nothing passed of {len(judged)} cells"
    settings = document["settings"]
    return {
        "configuration": str(settings["source"]),
        "data": tuple(universe["name"] for universe in document["universes"]),
        "verdict": verdict,
        "words": words,
        "candidates": len(candidates),
        "behaved": sum(control["behaved"] is True for control in controls),
        "controls": len(controls),
        "rows": len(document["rows"]),
        "content_hash": document["content_hash"],
        "core_version": str(settings["core_version"]),
    }


def _of_tuning(document: Mapping[str, Any]) -> dict[str, Any]:
    objectives = ", ".join(document["objectives"])
    return {
        "configuration": f"{document['strategy']}, {objectives}",
        "data": (document["data"],),
        "verdict": str(document["verdict"]).upper(),
        "words": document["headline"],
        "rows": sum(document["fates"].values()),
        "content_hash": document["content_hash"],
        "core_version": document["core"],
    }


def _of_holdout(document: Mapping[str, Any]) -> dict[str, Any]:
    ratio = document["excess_sharpe"]
    figure = "none" if ratio is None else f"{ratio:+.2f}"
    return {
        "configuration": f"{document['strategy_id']} of {document['run_id']}",
        "data": (document["data"],),
        "verdict": document["verdict"],
        "words": f"excess Sharpe {figure} on sealed bars, {document['band']} the band",
        "content_hash": document["content_hash"],
        "core_version": document["core_version"],
    }


# --- the cache -------------------------------------------------------------------------------------------


def _from_cache(fields: Mapping[str, Any]) -> RunSummary:
    return RunSummary(**{**fields, "kind": Kind(fields["kind"]), "data": tuple(fields["data"])})


def _cached() -> dict[str, dict[str, Any]]:
    """Return what is known of runs that were listed before; nothing where the cache cannot be read."""
    try:
        document = json.loads((cache_folder() / _CACHE).read_bytes())
        if document["format"] != _CACHE_FORMAT:
            return {}
        runs: dict[str, dict[str, Any]] = document["runs"]
        for known in runs.values():
            _from_cache(known["summary"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return runs


def _keep(runs: Mapping[str, Any]) -> None:
    path = cache_folder() / _CACHE
    # A home that cannot be written lists its runs all the same, only slower.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.write_text(json.dumps({"format": _CACHE_FORMAT, "runs": runs}), encoding="utf-8")
        unfinished.replace(path)
