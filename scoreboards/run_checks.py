"""Is a run still what was written? Hashes, tables against their board, files against their copies."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.domain.errors import InputError
from engine.domain.identity import content_hash
from scoreboards import tracked
from scoreboards.board import Board, Row, from_text
from scoreboards.publish import CANDIDATES_FILE, CSV_FILE, csv_value
from scoreboards.run_files import BOARD_FILE, SUMS_FILE, Kind, RunSummary, files_of, read_sums, sha256_of
from scoreboards.tracking_record import CELLS_CSV


class Answer(StrEnum):
    """What a check says. `UNCHECKED`: there was nothing to check it against."""

    EQUAL = "equal"
    CHANGED = "changed"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison.

    Attributes
    ----------
    file
        Name inside the run's folder.
    against
        What it was held against.
    words
        Why not, where it is not equal.
    """

    file: str
    against: str
    answer: Answer
    words: str = ""


def verify(run: RunSummary, uri: str | None = None) -> list[Check]:
    """Check a run's files.

    Parameters
    ----------
    uri
        Of a tracking store; the one of this home, read without MLflow, where there is none.

    Raises
    ------
    TrackingError
        If the store that was named does not answer.
    """
    checks = list(_CONTENT[run.kind](run))
    checks += _against_sums(run.folder)
    if run.kind is not Kind.HOLDOUT:
        checks += _against_store(run, uri)
    return checks


# --- contents --------------------------------------------------------------------------------------------


def _board(run: RunSummary) -> Iterator[Check]:
    file = run.file
    against = "the content hash in it"
    try:
        board = from_text(file.read_text(encoding="utf-8"), file)
    except (InputError, ValueError) as error:
        if _is_of_another_version(file):
            words = "was written by another version, which this one cannot read"
            yield Check(file=BOARD_FILE, against=against, answer=Answer.UNCHECKED, words=words)
        else:
            yield _changed(BOARD_FILE, against, str(error))
        return
    said = str(board.settings["configuration_hash"])
    if not board.is_intact:
        yield _changed(BOARD_FILE, against, f"the contents do not have the hash {board.content_hash}")
    elif board.configuration and content_hash(board.configuration) != said:
        yield _changed(BOARD_FILE, against, f"the configuration does not have the hash {said}")
    elif board.run_id != run.run_id:
        yield _changed(BOARD_FILE, against, f"it is the board of {board.run_id}")
    else:
        yield Check(file=BOARD_FILE, against=against, answer=Answer.EQUAL)
    yield _table(run.folder / CSV_FILE, board, board.rows)
    if not board.void:
        yield _table(run.folder / CANDIDATES_FILE, board, board.candidates)
    elif (run.folder / CANDIDATES_FILE).exists():
        yield _changed(CANDIDATES_FILE, BOARD_FILE, "a void board has no candidates")


def _table(path: Path, board: Board, rows: Sequence[Row]) -> Check:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
    except (OSError, ValueError) as error:
        return _changed(path.name, BOARD_FILE, f"cannot be read ({error})")
    if board.rows and set(header) != set(board.rows[0].values):
        return _changed(path.name, BOARD_FILE, "its columns are not those of the board")
    if len(lines) != len(rows):
        return _changed(path.name, BOARD_FILE, f"it has {len(lines):,} rows, the board {len(rows):,}")
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), start=2):
        wanted = [csv_value(row.values[column]) for column in header]
        if line != wanted:
            places = zip(header, line, wanted, strict=False)
            wrong = next((column for column, is_, should in places if is_ != should), "its length")
            return _changed(path.name, BOARD_FILE, f"line {number:,} differs from the board in {wrong}")
    return Check(file=path.name, against=BOARD_FILE, answer=Answer.EQUAL)


def _document(run: RunSummary) -> Iterator[Check]:
    file, against = run.file, "the content hash in it"
    try:
        document: dict[str, Any] = json.loads(file.read_bytes())
        said = document.pop("content_hash")
        is_equal = content_hash(document) == said
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield _changed(file.name, against, f"cannot be read ({type(error).__name__}: {error})")
        return
    if not is_equal:
        yield _changed(file.name, against, f"the contents do not have the hash {said}")
        return
    yield Check(file=file.name, against=against, answer=Answer.EQUAL)
    for name, digest in document.get("files", {}).items():
        yield _held(run.folder, name, digest, file.name)


_CONTENT = {Kind.TOURNAMENT: _board, Kind.TUNING: _document, Kind.HOLDOUT: _document}


# --- copies ----------------------------------------------------------------------------------------------


def _against_sums(folder: Path) -> Iterator[Check]:
    try:
        sums = read_sums(folder)
    except InputError as error:
        yield _changed(SUMS_FILE, "its form", str(error))
        return
    if sums is None:
        yield Check(
            file=SUMS_FILE,
            against="",
            answer=Answer.UNCHECKED,
            words="was not written by the version that wrote this run: pages were not checked",
        )
        return
    for name, digest in sums.items():
        yield _held(folder, name, digest, SUMS_FILE)


def _is_of_another_version(path: Path) -> bool:
    """Return whether a board that cannot be read is what was written: by its sum, else by being JSON."""
    try:
        sums = read_sums(path.parent)
        if sums is not None:
            return sums.get(path.name) == sha256_of(path)
        json.loads(path.read_bytes())
    except (InputError, ValueError):
        return False
    return True


def _against_store(run: RunSummary, uri: str | None) -> Iterator[Check]:
    found = _stored(run, uri)
    if found is None:
        yield Check(
            file=run.file.name,
            against="MLflow",
            answer=Answer.UNCHECKED,
            words="this run is not tracked there",
        )
        return
    logged, kept = found
    here = {CELLS_CSV if name == CSV_FILE else name: name for name in files_of(run.folder)}
    for name, digest in sorted(logged.items()):
        if kept.get(name) != digest:
            words = "is gone" if name not in kept else "is not what was logged"
            yield _changed(name, "MLflow's hash", f"the copy that MLflow keeps {words}")
        elif name in here:
            yield _held(run.folder, here[name], digest, "MLflow's copy")
        elif not name.endswith(".parquet"):
            yield _changed(name, "MLflow's copy", "is not in the run's folder any more")
        else:
            yield Check(file=name, against="MLflow's hash", answer=Answer.EQUAL)


def _stored(run: RunSummary, uri: str | None) -> tuple[dict[str, str], dict[str, str]] | None:
    """Return the hashes that a store logged, and those of the files that it keeps."""
    if uri is not None and uri != tracked.local_uri():
        from scoreboards.tracking import fetch

        answer = fetch(run.run_id, run.content_hash, uri)
        return None if answer is None else answer[1:]
    of_id = [known for known in tracked.local_runs() if known.tags[tracked.RUN_ID] == run.run_id]
    # A file that cannot be read has no content hash to ask for: then the newest copy says what it was.
    known = next((k for k in of_id if run.content_hash in ("", k.tags.get(tracked.CONTENT_HASH))), None)
    if known is None or known.artefacts is None:
        return None
    return known.hashes, {name: sha256_of(path) for name, path in files_of(known.artefacts).items()}


def _held(folder: Path, name: str, digest: str, against: str) -> Check:
    path = folder / name
    if not path.is_file():
        return _changed(name, against, "is gone")
    if sha256_of(path) != digest:
        return _changed(name, against, f"does not have the hash {digest[:16]}... any more")
    return Check(file=name, against=against, answer=Answer.EQUAL)


def _changed(file: str, against: str, words: str) -> Check:
    return Check(file=file, against=against, answer=Answer.CHANGED, words=words)
