"""`engine tournament`: play every strategy walk-forward and judge it."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.domain.errors import InputError

if TYPE_CHECKING:
    from engine.workforce import LocalWorkers
    from research.cluster import RayCluster
    from research.configuration import TournamentSettings

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

    wanted = tracking_of(tracking, wanted=track)
    settings = _settings(data or [], config)
    with ScreenReporter(Console(stderr=True)) as reporter:
        from research.choice_file import CHOICES_FILE, choices_csv
        from research.tournament import run
        from scoreboards.judging import build
        from scoreboards.publish import publish, write_whole

        reporter.step("config", f"{settings.source} is valid, sha256 {settings.content_hash[:8]}")
        reporter.note("Ctrl-C is safe: what is finished is kept, the same command carries on")
        with _workforce(workers, ray) as workforce:
            played = run(settings, reporter, workforce=workforce)
        board = build(played, settings)
        reporter.step("gates", f"{len(board.rows):,} rows judged")
        for control in board.controls:
            words = f"{control.name} {control.expectation}: {control.observed}"
            reporter.step("control", words, well=control.behaved)
        folder = runs_folder() / board.run_id
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / CHOICES_FILE, choices_csv(played.choices))
        publish(board, folder)
        reporter.step("scoreboard", f"written to {shown_folder(folder)}")
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
