"""`engine report`: one row of a scoreboard, or a bare idea, with everything that can be seen of it."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from engine.domain.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from scoreboards.finding import Found
    from scoreboards.report import ReportInputs
    from scoreboards.report_page import Written

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help="Write the report on a row of a scoreboard, or on a bare strategy.")
def report(
    strategy_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="Of a row of a scoreboard; with --data the name of a strategy."),
    ],
    run: Annotated[
        str | None, typer.Option("--run", help="Run id; the newest run with that row by default.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="NAME", help="Report on a bare strategy over this data set: no verdict."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="With --data: a parameter; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Play it again, draw it, and write a notebook and one page of HTML; the page's path comes last."""
    from engine.home import runs_folder
    from scoreboards.finding import find

    if data is None:
        if param:
            raise InputError("--param is for a bare strategy: name its data set as well, with --data")
        found = find(strategy_id, runs_folder(), run)
        written = write(found)
        words, following = _row_words(found)
        run_id = found.board.run_id
    else:
        if run is not None:
            raise InputError(
                "--run is for a row of a scoreboard, --data for a bare strategy; give one of them"
            )
        from scoreboards.report import research_inputs

        inputs = research_inputs(strategy_id, data, _parameters(param or []))
        run_id, strategy_id = inputs.run_id, inputs.strategy_id
        written = _written(inputs, runs_folder() / run_id)
        words = "research only: a measurement of the whole history, no verdict"
        following = f"engine tournament --data {data}"
    if as_json:
        document = {
            "strategy_id": strategy_id,
            "run_id": run_id,
            "html": str(written.html),
            "notebook": str(written.notebook),
        }
        typer.echo(json.dumps(document, sort_keys=True, ensure_ascii=False))
        return
    _show(strategy_id, words, following, written)


def write(found: "Found") -> "Written":
    """Write the report on a row, once it is known that the row can be made again.

    Raises
    ------
    RefusedError
        If anything that it was made of changed since.
    """
    from research.passports import rebuild, require_unchanged
    from scoreboards.report import row_inputs

    require_unchanged(rebuild(found.entry))
    return _written(row_inputs(found), found.folder)


def _written(inputs: "ReportInputs", folder: "Path") -> "Written":
    from rich.console import Console

    from engine.cli.progress import ScreenReporter
    from scoreboards.report_page import write_report

    with ScreenReporter(Console(stderr=True)) as screen:
        screen.note("the notebook plays the strategy again and draws it")
        written = write_report(inputs, folder)
        screen.step("report", f"{written.html.stat().st_size / 1e6:.1f} MB, opens without network or script")
    return written


def _row_words(found: "Found") -> tuple[str, str]:
    from scoreboards.sentences import pass_words, row_reasons

    row = found.row
    why = row_reasons(row)
    more = f"; and {len(why) - 1} more" if len(why) > 1 else ""
    words = f"{row.verdict} in {found.board.run_id}: {why[0] if why else pass_words(row, found.board)}{more}"
    if row.values["is_candidate"] is True:
        return words, f"engine promote {row.text('strategy_id')} --to paper"
    return words, f"engine scoreboard --run {found.board.run_id}"


def _parameters(texts: list[str]) -> dict[str, str]:
    parameters = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name.strip() and sign and value.strip()):
            raise InputError(f"--param {text!r} must be NAME=VALUE, such as --param fast=20")
        parameters[name.strip()] = value.strip()
    return parameters


def _show(strategy_id: str, words: str, following: str, written: "Written") -> None:
    from engine.cli.scoreboard import shown_folder

    for line in (
        f"REPORT  {strategy_id}",
        f"  {words}",
        "",
        f"  next      {following}",
        f"  notebook  {shown_folder(written.notebook)}",
        "",
        # Alone on its line, so that a script takes the last line and has it.
        str(shown_folder(written.html)),
    ):
        typer.echo(line)
