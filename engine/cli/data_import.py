"""`engine data import`: one's own files become a data set, of its own or of the lake."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.data_documents import facts_document, print_json, refusal_document
from engine.cli.data_screen import (
    Mark,
    make_console,
    print_facts,
    print_findings,
    print_lines,
    print_refusal,
    print_verdict,
    use_line,
)
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment
from engine.domain.time import Calendar, Timeframe
from engine.domain.venue import CalendarPolicy

if TYPE_CHECKING:
    from engine.data.lake.appending import Appended
    from engine.data.lake.versions import DataSetVersion
    from engine.data.series import SeriesKey

BAD_INPUT = 2

app = typer.Typer(rich_markup_mode=None)


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name that the data set shall have.")],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="CSV or Parquet files, or folders of them.")
    ],
    timeframe: Annotated[Timeframe, typer.Option(help="Length of a bar.")],
    timezone: Annotated[
        str | None,
        typer.Option(
            help="Of stamps without an offset, e.g. UTC or America/New_York. Refused if not stated."
        ),
    ] = None,
    calendar: Annotated[
        Calendar | None,
        typer.Option(
            help="When bars are expected. Not stated: XNYS if no bar falls on a weekend, else 24/7."
        ),
    ] = None,
    calendar_policy: Annotated[
        CalendarPolicy, typer.Option(help="What becomes of instruments that keep different calendars.")
    ] = CalendarPolicy.REFUSE,
    adjustment: Annotated[
        Adjustment | None,
        typer.Option(
            help="What was done to the prices. Not stated: total_return if there is a column of adjusted "
            "closes (all prices of a row are brought to it), else none."
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a data set of the same name.")] = False,
    into_lake: Annotated[
        bool,
        typer.Option(
            "--lake",
            help="Into the lake, files of any length: what was imported before and is told differently now "
            "becomes a correction, and the data set a new version. Needs --calendar.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Import bars: one file an instrument, or long files with a column of symbols.

    Stamps are the opens of bars. Errors refuse the import and are all named with file, row and value;
    what only looks wrong is imported, and its warnings are stored with the data set. Rows are counted
    without the header.
    """
    if into_lake:
        if calendar is None:
            raise InputError("--calendar: state it with --lake, e.g. --calendar 24/7")
        if adjustment not in (None, Adjustment.NONE) or replace:
            raise InputError(
                "--lake: keeps prices as they are printed and replaces nothing; "
                "leave out --adjustment and --replace"
            )
        _import_into_lake(
            name, tuple(paths), timeframe, timezone, calendar, policy=calendar_policy, as_json=as_json
        )
        return
    from engine.data.importer import ImportRefusedError, Request, import_files

    request = Request(
        name=name,
        paths=tuple(paths),
        timeframe=timeframe,
        timezone=timezone,
        calendar=calendar,
        calendar_policy=calendar_policy,
        adjustment=adjustment,
        replace=replace,
    )
    try:
        manifest, folder = import_files(request)
    except ImportRefusedError as refused:
        if as_json:
            print_json(refusal_document(refused))
        else:
            print_refusal(refused)
        raise typer.Exit(BAD_INPUT) from None
    if as_json:
        print_json(facts_document(manifest) | {"imported": True, "path": str(folder)})
        return
    console = make_console()
    number = len(manifest.instruments)
    what = f"{manifest.rows:,} bars of {number:,} instrument{'s' if number != 1 else ''}"
    warned = sum(manifest.warning_counts.values())
    print_verdict(console, Mark.DONE, f"{name} imported", what + (f", {warned:,} warnings" if warned else ""))
    print_facts(console, manifest)
    print_findings(console, "looks wrong, stored with the data set", manifest.warnings, manifest)
    print_lines(console, ["", f"next   engine data show {name}", use_line(manifest)])
    print_lines(console, [f"path   {folder}"])


def _import_into_lake(
    name: str,
    paths: tuple[Path, ...],
    timeframe: Timeframe,
    timezone: str | None,
    calendar: Calendar,
    *,
    policy: CalendarPolicy,
    as_json: bool,
) -> None:
    """Append files to the series of `file:NAME`, and freeze them."""
    from engine.cli.data_ingestion import machine_access
    from engine.data import catalogue
    from engine.data.ingestion.pull import run_id
    from engine.data.lake.importing import Request, import_files
    from engine.data.lake.versions import require_name

    require_name(name)
    catalogue.require_free(name)
    lake, access = catalogue.lake(), machine_access("files", None)
    request = Request(
        name=name,
        paths=paths,
        timeframe=timeframe,
        timezone=timezone,
        known_at=access.surroundings.now(),
        run=run_id("import", access),
    )
    found = import_files(lake, request)
    # What earlier imports brought belongs to the data set, also where these files have nothing of it.
    keys = [key for key in lake.series() if key.venue == request.venue and key.timeframe is timeframe]
    frozen = lake.freeze(name, keys, timeframe=timeframe, calendar=calendar, calendar_policy=policy)
    _tell_of_lake(frozen, found, as_json=as_json)


def _tell_of_lake(frozen: "DataSetVersion", found: "dict[SeriesKey, Appended]", *, as_json: bool) -> None:
    counts = {
        name: sum(getattr(each, name) for each in found.values())
        for name in ("new", "same", "corrected", "late")
    }
    if as_json:
        facts = facts_document(frozen.manifest) | {"version": frozen.version, "counts": counts}
        print_json(facts | {"imported": True})
        return
    console = make_console()
    what = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)
    print_verdict(console, Mark.DONE, f"{frozen.name}@{frozen.version} imported", f"bars: {what or 'none'}")
    print_facts(console, frozen.manifest)
    print_lines(console, ["", f"next   engine data audit {frozen.name}", use_line(frozen.manifest)])
