"""`engine data sync`: every series of the lake goes on, once or on a schedule."""

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.data_documents import print_json
from engine.cli.data_ingestion import (
    ScreenListener,
    corrections_of,
    duration_of,
    machine_access,
    print_summary,
    screen_reporter,
    summary_document,
)
from engine.cli.data_screen import make_console, print_lines
from engine.domain.errors import InputError, InvalidValueError

if TYPE_CHECKING:
    from engine.data.ingestion.outcome import Summary
    from engine.data.ingestion.schedule import Depth, Schedule
    from engine.data.ingestion.sync import SyncRequest
    from engine.data.providers.opening import Access

NOT_COMPLETE = 1

_NIGHT = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_MINUTE = 60 * 10**9

app = typer.Typer(rich_markup_mode=None)


@app.command()
def sync(
    once: Annotated[bool, typer.Option("--once", help="Look once and end; the default.")] = False,
    every: Annotated[
        str | None, typer.Option(metavar="PACE", help="Go on looking, e.g. every 30m or 1h.")
    ] = None,
    nightly: Annotated[
        str, typer.Option(metavar="HH:MM", help="UTC time of the look at everything, with --every.")
    ] = "03:00",
    full: Annotated[
        bool, typer.Option("--full", help="Look at everything, as the nightly look does.")
    ] = False,
    provider: Annotated[str | None, typer.Option(help="Only series of this provider.")] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze/--no-freeze", help="Give data sets without an end a new version.")
    ] = True,
    workers: Annotated[int, typer.Option(help="Series that are worked on at once.", min=1, max=32)] = 4,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Series of sandboxes, asked there, e.g. engine sandbox.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for each look on stdout.")
    ] = False,
) -> None:
    """Bring the series of the lake up to date: new bars, holes, and what is told differently now.

    Exit 1 if a series could not be had to its end. With --every it goes on until Ctrl-C; data sets get a new
    version in the nightly look.
    """
    from engine.data.ingestion.schedule import Depth, keep
    from engine.data.ingestion.sync import SyncRequest

    if once and every is not None:
        raise InputError("--once, --every: state one of them")
    request = SyncRequest(
        provider=provider,
        is_sandbox=url is not None,
        freezes=freeze,
        workers=workers,
        depth=_depth(full=full),
    )
    access = machine_access(provider or "kraken", url)
    if every is None:
        summary = _look(request, access, as_json=as_json)
        if summary.failed:
            raise typer.Exit(NOT_COMPLETE)
        return
    schedule = _schedule(every, nightly)

    def act(depth: Depth) -> None:
        from dataclasses import replace

        nightly_look = depth is Depth.FULL
        _look(replace(request, depth=depth, freezes=freeze and nightly_look), access, as_json=as_json)

    keep(schedule, act, now=access.surroundings.now, sleep=time.sleep, stopped=lambda: False)


def _look(request: "SyncRequest", access: "Access", *, as_json: bool) -> "Summary":
    """Synchronise once and say what came of it."""
    from engine.data import catalogue
    from engine.data.ingestion.sync import sync as sync_all

    lake = catalogue.lake()
    with screen_reporter() as reporter:
        summary = sync_all(request, lake=lake, access=access, listener=ScreenListener(reporter))
    corrections = corrections_of(summary, lake)
    if as_json:
        print_json(summary_document(summary, corrections))
    else:
        console = make_console()
        print_summary(console, "lake is up to date" if not summary.failed else "lake", summary, corrections)
        print_lines(console, ["", "next   engine data list"])
    return summary


def _depth(*, full: bool) -> "Depth":
    from engine.data.ingestion.schedule import Depth

    return Depth.FULL if full else Depth.RECENT


def _schedule(every: str, nightly: str) -> "Schedule":
    from engine.data.ingestion.schedule import Schedule

    pace, night = duration_of("--every", every), _NIGHT.fullmatch(nightly)
    if night is None:
        raise InputError(f"--nightly: must be a time like 03:00, was {nightly!r}")
    try:
        return Schedule(every=pace, nightly=(int(night[1]) * 60 + int(night[2])) * _MINUTE)
    except InvalidValueError as wrong:
        raise InputError(f"--every: {wrong}") from None
