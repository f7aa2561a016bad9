"""`engine data compact`: many small parts of the lake are read as few."""

from dataclasses import asdict
from typing import Annotated

import typer

from engine.cli.data_documents import print_json
from engine.cli.data_screen import Mark, make_console, print_lines, print_verdict

app = typer.Typer(rich_markup_mode=None)


@app.command()
def compact(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Put the small parts of each month together, so that a year of syncs is read as fast as one import.

    Nothing is taken away and no data set changes: what was known at any moment is still what is read.
    """
    from engine.data import catalogue

    lake = catalogue.lake()
    done = lake.compact()
    if as_json:
        print_json({"lake": str(lake.root)} | asdict(done))
        return
    console = make_console()
    print_verdict(
        console,
        Mark.DONE,
        "lake",
        f"{done.series:,} series: {done.before:,} parts are read as {done.after:,}",
    )
    print_lines(console, ["next   engine data verify", f"path   {lake.root}"])
