"""Boards on disk: which run has the row that somebody names."""

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.domain.errors import InputError
from research.cells import Simulator
from research.passports import Entry
from scoreboards.board import Board, Row, UniverseFacts, from_text
from scoreboards.explain import REFUSED
from scoreboards.publish import BOARD_FILE

_NEAR = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A row, the board that it stands on, and the folder of that run."""

    row: Row
    board: Board
    folder: Path

    @property
    def universe(self) -> UniverseFacts:
        """What the board says of the row's data set."""
        name = self.row.text("universe")
        return next(universe for universe in self.board.universes if universe.name == name)

    @property
    def entry(self) -> Entry:
        """What the board says that the row was made of.

        Raises
        ------
        InputError
            If the row is no cell of a strategy, or the board is of a version that did not write enough.
        """
        row, board = self.row, self.board
        place = f"{row.text('strategy_id')} in {board.run_id}"
        if row.values["is_baseline"] is True:
            raise InputError(f"{place} is a baseline: it is for comparison and has nothing of its own to run")
        if row.text("status") == REFUSED:
            raise InputError(f"{place} was refused before it was played: {row.text('problem')}")
        if not board.configuration or not row.values.get("parameters"):
            raise InputError(
                f"{place} was written by an earlier version, which did not keep what a row can be made again "
                "from; play the tournament again"
            )
        return Entry(
            strategy_id=row.text("strategy_id"),
            strategy=row.text("strategy"),
            parameters=json.loads(row.text("parameters")),
            parameters_hash=row.text("parameters_hash"),
            universe=row.text("universe"),
            data_hash=self.universe.content_hash,
            selection=row.text("selection"),
            engine=row.text("engine"),
            profile=row.text("profile"),
            rebalance=row.text("rebalance"),
            identity_hash=row.text("identity_hash"),
            core_version=row.text("core_version"),
            universes=tuple(universe.name for universe in board.universes),
            configuration=board.configuration,
            configuration_hash=str(board.settings["configuration_hash"]),
            source=str(board.settings["source"]),
            run_id=board.run_id,
            board_hash=board.content_hash,
        )


def board_files(folder: Path) -> dict[str, Path]:
    """Return the boards of all runs below a folder by run id, the newest first."""
    files = sorted(
        folder.glob(f"*/{BOARD_FILE}"),
        key=lambda path: (path.stat().st_mtime_ns, path.parent.name),
        reverse=True,
    )
    return {path.parent.name: path for path in files}


def find(strategy_id: str, folder: Path, run: str | None = None) -> Found:
    """Return the row of an id from the newest board that has it, or from the run that is named.

    Raises
    ------
    InputError
        If there is no such row, naming ids that are near, or no such run.
    """
    files = board_files(folder)
    if not files:
        raise InputError(f"no run has a scoreboard in {folder}: run  engine tournament --data us20  first")
    if run is not None:
        if run not in files:
            raise InputError(f"no run {run} with a scoreboard in {folder}; there are {', '.join(files)}")
        files = {run: files[run]}
    boards = []
    for path in files.values():
        board = from_text(path.read_text(encoding="utf-8"), path)
        row = _row(board.rows, strategy_id)
        if row is not None:
            return Found(row=row, board=board, folder=path.parent)
        boards.append(board)
    place = f"in run {run}" if run is not None else "on any scoreboard"
    raise InputError(f"no row {strategy_id!r} {place}; {_near(strategy_id, boards)}")


def _row(rows: Iterable[Row], strategy_id: str) -> Row | None:
    """Return the row that is judged; rows of other simulators carry the same id and are its evidence."""
    named = [row for row in rows if row.text("strategy_id") == strategy_id]
    return next((row for row in named if row.text("simulator") == str(Simulator.CORE)), None)


def _near(strategy_id: str, boards: Sequence[Board]) -> str:
    """Name the best rows of a strategy of that name, else ids that are spelled alike."""
    judged = [row for board in boards for row in board.judged]
    of_name = [row.text("strategy_id") for row in judged if row.text("strategy") == strategy_id]
    ids = [row.text("strategy_id") for row in judged]
    near = of_name or difflib.get_close_matches(strategy_id, ids, n=_NEAR, cutoff=0.5)
    near = list(dict.fromkeys(near))[:_NEAR]
    return f"near are {', '.join(near)}" if near else "see  engine scoreboard"
