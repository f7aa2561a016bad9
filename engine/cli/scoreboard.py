"""`engine scoreboard`: the verdicts of a tournament that has been played."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.domain.errors import InputError
from engine.home import runs_folder

if TYPE_CHECKING:
    from scoreboards.board import Board

BOARD_FILE = "board.json"
TOURNAMENT_VOID = 3
NOTHING_PASSED = 4

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help="Show the verdicts of a tournament and the reasons.")
def scoreboard(
    run: Annotated[str | None, typer.Option("--run", help="Run id; the latest run by default.")] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="RUN", help="What changed since that earlier run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    require_pass: Annotated[
        bool, typer.Option("--require-pass", help="Exit 4 when no strategy passed.")
    ] = False,
) -> None:
    """Print a board, and say by the exit code whether it is void (3) or empty (4, when asked).

    With `--compare` what changed since an earlier run is printed instead, and a page of it is written.
    """
    path = _board_path(run)
    board = _board(path)
    if compare is not None:
        _compare(_board(_board_path(compare)), board, path.parent, as_json=as_json)
    elif as_json:
        typer.echo(json.dumps(board.document(), sort_keys=True, allow_nan=False))
    else:
        from scoreboards.terminal import show

        show(board, shown_folder(path.parent))
    if board.void:
        raise typer.Exit(TOURNAMENT_VOID)
    if require_pass and not board.candidates:
        raise typer.Exit(NOTHING_PASSED)


def _board(path: Path) -> "Board":
    from scoreboards.board import from_text

    return from_text(path.read_text(encoding="utf-8"), path)


def _compare(earlier: "Board", board: "Board", folder: Path, *, as_json: bool) -> None:
    from scoreboards.comparison import compare as compared
    from scoreboards.page_comparison import write_comparison

    found = compared(earlier, board)
    page = write_comparison(found, folder)
    if as_json:
        typer.echo(json.dumps(found.document(), sort_keys=True, allow_nan=False))
        return
    from engine.cli.runs_screen import show_comparison

    show_comparison(found)
    typer.echo(f"  page  {shown_folder(page)}")


def shown_folder(folder: Path) -> Path:
    """Return a folder as a person would type it: relative where it lies below the current one."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _board_path(run: str | None) -> Path:
    folder = runs_folder()
    boards = {path.parent.name: path for path in folder.glob(f"*/{BOARD_FILE}")}
    if not boards:
        raise InputError(f"no run has a scoreboard in {folder}: run  engine tournament --data us20  first")
    if run is None:
        return max(boards.values(), key=lambda path: (path.stat().st_mtime_ns, path.parent.name))
    if run not in boards:
        raise InputError(f"no run {run} with a scoreboard in {folder}; there are {', '.join(sorted(boards))}")
    return boards[run]
