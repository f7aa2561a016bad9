"""`engine data verify`: whether the lake is what was written."""

from typing import Annotated

import typer

from engine.cli.data_documents import print_json
from engine.cli.data_screen import Mark, make_console, print_lines, print_verdict

CHECK_SAID_NO = 1

app = typer.Typer(rich_markup_mode=None)


@app.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare every file of the lake with its hash. Exit 1 if something that was written is gone."""
    from engine.data import catalogue

    lake = catalogue.lake()
    problems = lake.verify()
    lost = [problem for problem in problems if problem.kind.loses_data]
    series, sets = lake.series(), lake.data_sets()
    if as_json:
        print_json(
            {
                "lake": str(lake.root),
                "series": len(series),
                "data_sets": list(sets),
                "problems": [
                    {
                        "kind": problem.kind.value,
                        "path": problem.path,
                        "message": problem.message,
                        "loses_data": problem.kind.loses_data,
                    }
                    for problem in problems
                ],
            }
        )
    else:
        console = make_console()
        words = f"{len(series):,} series and {len(sets):,} data sets are what was written"
        if lost:
            words = f"{len(lost):,} files are damaged or gone"
        print_verdict(console, Mark.REFUSED if lost else Mark.DONE, "lake", words)
        print_lines(console, [str(problem) for problem in problems])
        print_lines(console, ["", f"path   {lake.root}"])
    if lost:
        raise typer.Exit(CHECK_SAID_NO)
