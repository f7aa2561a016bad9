"""`engine tournament`: play every strategy walk-forward and judge it."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.domain.errors import InputError

if TYPE_CHECKING:
    from engine.cli.progress import ScreenReporter
    from engine.workforce import LocalWorkers, Workforce
    from research.cluster import RayCluster
    from research.configuration import TournamentSettings
    from scoreboards.board import Board

TOURNAMENT_VOID = 3
NOTHING_PASSED = 4
# Each worker loads a solver library of half a gigabyte.
_WORKERS_MAX = 8

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help="Play every strategy walk-forward and judge it.")
def tournament(
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="NAME", help="A data set to play on; may be given several times."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Configuration; --data replaces its data sets."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Worker processes; by default one a core, at most 8."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Work on a Ray cluster: its address, auto, or local to start one.",
        ),
    ] = None,
    tracking: Annotated[
        str | None,
        typer.Option("--tracking", metavar="URI", help="Tracking store of MLflow; by default one in state/."),
    ] = None,
    track: Annotated[bool, typer.Option("--track/--no-tracking", help="Track the run in MLflow.")] = True,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Play and judge again, even where a board of equal inputs is.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    require_pass: Annotated[
        bool, typer.Option("--require-pass", help="Exit 4 when no strategy passed.")
    ] = False,
) -> None:
    """Play, judge, write `runs/<run_id>/` and print the scoreboard.

    Ctrl-C is safe: the same command carries on. Exit 3 when a control misbehaved and the run is void.
    """
    from rich.console import Console

    from engine.cli.progress import ScreenReporter
    from engine.cli.scoreboard import shown_folder
    from engine.cli.tracking import finish, tracking_of
    from engine.home import runs_folder
    from scoreboards.publish import publish

    wanted = tracking_of(tracking, wanted=track)
    settings = _settings(data or [], config)
    with ScreenReporter(Console(stderr=True)) as reporter:
        reporter.step("config", f"{settings.source} is valid, sha256 {settings.content_hash[:8]}")
        reporter.note("Ctrl-C is safe: what is finished is kept, the same command carries on")
        board = None if fresh else _found(settings)
        if board is None:
            with _workforce(workers, ray) as workforce:
                board = _played(settings, reporter, workforce)
            words = "written to"
        else:
            words = "found with equal inputs (--fresh plays again):"
        folder = runs_folder() / board.run_id
        publish(board, folder)
        reporter.step("scoreboard", f"{words} {shown_folder(folder)}")
    if as_json:
        typer.echo(json.dumps(board.document(), sort_keys=True, allow_nan=False))
    else:
        from scoreboards.terminal import show

        show(board, shown_folder(folder))
    # After the board is shown: MLflow takes seconds to load.
    failed = finish(folder, wanted)
    if board.void:
        raise typer.Exit(TOURNAMENT_VOID)
    if failed:
        raise typer.Exit(failed)
    if require_pass and not board.candidates:
        raise typer.Exit(NOTHING_PASSED)


def _found(settings: "TournamentSettings") -> "Board | None":
    """Return the board of a run whose every input was the same, if it is whole."""
    from engine.home import runs_folder
    from research.choice_file import CHOICES_FILE
    from research.tournament import expected_run_id
    from scoreboards.board import from_text
    from scoreboards.publish import BOARD_FILE

    expected = expected_run_id(settings)
    folder = runs_folder() / expected
    if not (folder / BOARD_FILE).is_file() or not (folder / CHOICES_FILE).is_file():
        return None
    try:
        board = from_text((folder / BOARD_FILE).read_text("utf-8"), folder / BOARD_FILE)
    except InputError:
        # Of another version, or damaged: it is made again.
        return None
    return board if answers(board, expected, settings.source) else None


def answers(board: "Board", run_id: str, source: str) -> bool:
    """Say whether a board is the whole answer of a run, told in the words of a source.

    The board of another run that was put in its place is whole too, and no answer.
    """
    inputs_hash = str(board.settings["inputs_hash"])
    same_run = board.run_id == run_id == f"t-{inputs_hash}"[: len(run_id)]
    same_words = board.settings["source"] == source
    return same_run and same_words and board.is_intact and not _lacks_rows(board)


def _lacks_rows(board: "Board") -> bool:
    """Say whether a simulator failed at a row that the core played: another day it may not."""
    played = {
        row.text("identity_hash")
        for row in board.rows
        if row.text("simulator") == "core" and row.text("status") == "ok"
    }
    return any(row.text("status") == "missing" and row.text("identity_hash") in played for row in board.rows)


def _played(settings: "TournamentSettings", reporter: "ScreenReporter", workforce: "Workforce") -> "Board":
    from engine.home import runs_folder
    from research.choice_file import CHOICES_FILE, choices_csv
    from research.tournament import run
    from scoreboards.judging import build
    from scoreboards.publish import write_whole

    played = run(settings, reporter, workforce=workforce)
    board = build(played, settings)
    reporter.step("gates", f"{len(board.rows):,} rows judged")
    for control in board.controls:
        words = f"{control.name} {control.expectation}: {control.observed}"
        reporter.step("control", words, well=control.behaved)
    folder = runs_folder() / board.run_id
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / CHOICES_FILE, choices_csv(played.choices))
    return board


def _workforce(workers: int | None, ray: str | None) -> "LocalWorkers | RayCluster":
    if ray is not None:
        if workers is not None:
            raise InputError("--workers is for this machine, --ray for a cluster: give one of them")
        from research.cluster import RayCluster

        return RayCluster(ray)
    from engine.workforce import LocalWorkers

    return LocalWorkers(workers or min(os.cpu_count() or 1, _WORKERS_MAX))


def _settings(data: list[str], config: Path | None) -> "TournamentSettings":
    from research.configuration import for_data, on_data, read

    if config is None and not data:
        raise InputError("nothing to play on: name a data set (--data us20) or a file (--config FILE)")
    if config is None:
        return on_data(for_data(data[0]), data)
    settings = read(config)
    return on_data(settings, data) if data else settings
