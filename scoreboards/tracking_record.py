"""What is tracked of a run, made of the files that it left: parameters, metrics, hashes, files, child runs.

Cells are one table of the run; a child run each is kept for the candidates and for the best rows.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.domain.errors import InputError
from engine.domain.gates import Verdict
from engine.domain.identity import content_hash
from scoreboards.board import Board, Row, Value, from_text
from scoreboards.comparison import leaves
from scoreboards.publish import CSV_FILE, repeat_command
from scoreboards.run_files import BOARD_FILE, SUMS_FILE, TUNING_FILE, Kind, files_of, sha256_of
from scoreboards.sentences import headline, reason

CELLS_CSV = "cells.csv"
BEST_ROWS = 20

# What names a row, and what it was told.
_ROW_PARAMETERS = (
    "strategy",
    "universe",
    "selection",
    "rebalance",
    "engine",
    "profile",
    "simulator",
    "costs",
    "limits",
    "rules",
    "market",
)
_ROW_HASHES = ("identity_hash", "parameters_hash", "core_version")


@dataclass(frozen=True, kw_only=True)
class ChildRecord:
    """One row of a board as a run of its own.

    Attributes
    ----------
    key
        Of the row, unique on its board.
    """

    key: str
    name: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A run as it is tracked.

    Attributes
    ----------
    note
        In Markdown, for the page of the run.
    artefacts
        Files by the name that they are kept under.
    board
        Whose rows become the table of cells; None where there is none.
    time_ms
        When the run was written, UTC milliseconds.
    """

    run_id: str
    kind: Kind
    content_hash: str
    note: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artefacts: Mapping[str, Path]
    time_ms: int
    board: Board | None = None
    children: tuple[ChildRecord, ...] = ()
    hashes: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hashes", {name: sha256_of(path) for name, path in self.artefacts.items()})

    @property
    def record_hash(self) -> str:
        """Of all that is tracked, but not of the time."""
        told = (self.parameters, self.metrics, self.tags, self.hashes, self.children)
        return content_hash([self.run_id, self.kind, self.content_hash, self.note, *told])


def record_of(folder: Path) -> Record:
    """Return what is tracked of a finished run.

    Raises
    ------
    InputError
        If the folder holds no tournament and no tuning, or one that cannot be read.
    """
    if (folder / BOARD_FILE).is_file():
        path = folder / BOARD_FILE
        return record_of_board(from_text(path.read_text(encoding="utf-8"), path), folder)
    if (folder / TUNING_FILE).is_file():
        return _record_of_tuning(folder)
    raise InputError(f"{folder}: holds no {BOARD_FILE} and no {TUNING_FILE}, so there is nothing to track")


def record_of_board(board: Board, folder: Path) -> Record:
    """Return what is tracked of a tournament that was published in a folder."""
    judged = board.judged
    counts = {str(verdict): sum(row.verdict is verdict for row in judged) for verdict in Verdict}
    metrics: dict[str, float] = {
        "cells": float(len(board.rows)),
        "candidates": float(len(board.candidates)),
        "void": float(board.void),
        "controls": float(len(board.controls)),
        "controls_behaved": float(sum(control.behaved for control in board.controls)),
        **{f"cells_{word.lower()}": float(n) for word, n in counts.items() if word != str(Verdict.BASELINE)},
    }
    tags = {
        "verdict": headline(board),
        "inputs_hash": str(board.settings["inputs_hash"]),
        "configuration_hash": str(board.settings["configuration_hash"]),
        "core_version": str(board.settings["core_version"]),
    }
    for universe in board.universes:
        metrics[f"{universe.name}/trials"] = float(universe.trials)
        metrics[f"{universe.name}/n_effective"] = float(universe.n_effective)
        metrics[f"{universe.name}/holdout_openings"] = float(universe.holdout_openings)
        tags[f"data_hash/{universe.name}"] = universe.content_hash
        tags[f"register_head/{universe.name}"] = universe.register_head
    if judged:
        metrics |= {f"best/{name}": value for name, value in _numbers(judged[0]).items()}
    return Record(
        run_id=board.run_id,
        kind=Kind.TOURNAMENT,
        content_hash=board.content_hash,
        note=_note(headline(board), reason(board), repeat_command(board), board.run_id),
        parameters=_settings_of(board),
        metrics=metrics,
        tags=tags,
        artefacts=_artefacts(folder),
        time_ms=(folder / BOARD_FILE).stat().st_mtime_ns // 1_000_000,
        board=board,
        children=tuple(_child(row) for row in rows_of_their_own(board)),
    )


def rows_of_their_own(board: Board) -> tuple[Row, ...]:
    """Return the rows that become child runs: all candidates, and the best 20 that were judged."""
    found = {row.text("strategy_id"): row for row in (*board.candidates, *board.judged[:BEST_ROWS])}
    return tuple(found.values())


def cells_table(board: Board) -> Any:
    """Return all cells as an Arrow table: a column of numbers, flags or text for each of the board."""
    import pyarrow

    names = list(board.rows[0].values) if board.rows else []
    columns = {name: _column([row.values[name] for row in board.rows]) for name in names}
    return pyarrow.table(columns)


def _column(values: Sequence[Value]) -> Any:
    import pyarrow

    there = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in there) and there:
        return pyarrow.array(values, type=pyarrow.bool_())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in there) and there:
        # One column, one type: whole counts beside fractions are fractions.
        whole = all(isinstance(value, int) for value in there)
        if whole:
            return pyarrow.array(values, type=pyarrow.int64())
        return pyarrow.array(
            [None if value is None else float(value) for value in values], type=pyarrow.float64()
        )
    return pyarrow.array([None if value is None else str(value) for value in values], type=pyarrow.string())


def _artefacts(folder: Path) -> dict[str, Path]:
    # The CSV of a board is the table of cells, and is kept under that name.
    files = {name: path for name, path in files_of(folder).items() if not name.startswith("reports/")}
    return {
        CELLS_CSV if name == CSV_FILE else name: path for name, path in files.items() if name != SUMS_FILE
    }


def _note(first: str, why: str, repeat: str, run_id: str) -> str:
    return f"**{first}.**\n\n{why}\n\nRepeat: `{repeat}`\n\nShow: `engine runs show {run_id}`\n"


def _settings_of(board: Board) -> dict[str, str]:
    told = (
        _texts(board.configuration)
        if board.configuration
        else {name: str(value) for name, value in board.settings.items() if not name.endswith("_hash")}
    )
    return {"source": str(board.settings["source"]), **told}


def _texts(document: Any) -> dict[str, str]:
    """Return every value of a document under its path, as text."""
    return {path: value if isinstance(value, str) else json.dumps(value) for path, value in leaves(document)}


def _child(row: Row) -> ChildRecord:
    told = json.loads(row.text("parameters") or "{}")
    parameters = {name: row.text(name) for name in _ROW_PARAMETERS if row.text(name)}
    parameters |= {f"parameter.{name}": f"{value:g}" for name, value in told.items()}
    gates = {
        f"gate/{gate.gate}": float(gate.value)
        for gate in row.gates
        if gate.gate != "baseline_equivalent" and math.isfinite(gate.value)
    }
    tags = {"verdict": str(row.verdict), "failures": row.text("candidate_failures") or "none"}
    tags |= {name: row.text(name) for name in _ROW_HASHES}
    tags |= {f"gate/{gate.gate}": str(gate.status) for gate in row.gates}
    return ChildRecord(
        key=row.text("strategy_id"),
        name=f"{row.verdict} {row.text('strategy_id')}",
        parameters=parameters,
        metrics=_numbers(row) | gates,
        tags=tags,
    )


def _numbers(row: Row) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in row.values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _record_of_tuning(folder: Path) -> Record:
    path = folder / TUNING_FILE
    try:
        document = json.loads(path.read_bytes())
        metrics = {
            f"{account}/{name}": float(value)
            for account, figures in document["accounts"].items()
            for name, value in figures.items()
            if isinstance(value, int | float)
        }
        for name in ("gain", "gain_lower_bound"):
            if document[name] is not None:
                metrics[name] = float(document[name])
        metrics |= {f"sets_{fate}": float(count) for fate, count in document["fates"].items()}
        metrics |= {f"importance/{name}": float(value) for name, value in document["importance"].items()}
        told = {
            name: document[name]
            for name in (
                "strategy",
                "data",
                "objectives",
                "sets_a_window",
                "seed",
                "pruning",
                "train",
                "retune",
            )
        }
        told |= {f"range.{name}": ends for name, ends in document["ranges"].items()}
        told |= {f"untuned.{name}": value for name, value in document["untuned_parameters"].items()}
        told |= {f"tuned.{name}": value for name, value in document["parameters"].items()}
        return Record(
            run_id=document["run_id"],
            kind=Kind.TUNING,
            content_hash=document["content_hash"],
            note=_note(document["headline"], document["reason"], document["repeat"], document["run_id"]),
            parameters=_texts(told | {"settings": document["settings"]}),
            metrics=metrics,
            tags={
                "verdict": f"{document['verdict']}: {document['headline']}",
                "inputs_hash": document["inputs_hash"],
                "core_version": document["core"],
                f"panel_hash/{document['data']}": document["panel"],
                f"register_head/{document['data']}": document["trials"]["head"],
            },
            artefacts=_artefacts(folder),
            time_ms=path.stat().st_mtime_ns // 1_000_000,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no tuning of this version ({type(error).__name__}: {error})") from error
