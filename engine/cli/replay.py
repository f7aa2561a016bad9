"""`engine replay`: whether a session comes out of its journal again, with no data set at hand."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.light import LightCommand
from engine.cli.parity import coloured

if TYPE_CHECKING:
    from engine.session.record_difference import RecordDifference
    from engine.session.replay import Replayed

CHECK_SAID_NO = 1
_MARKS = {"pass": "✓", "fail": "✕", "not_applicable": "–"}

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(cls=LightCommand, help="Work a session again from its journal alone, record by record.")
def replay(
    session: Annotated[str, typer.Option("--session", metavar="ID", help="See: engine status")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Work the journal's bars again and compare every record. Exit 1 if one does not come out the same."""
    from engine.cli.status import session_folder

    folder = session_folder(session)

    from engine.cli import first_run
    from engine.session.replay import replay as work

    first_run.tell_if_first(first_run.Kernel.BAR_BY_BAR)

    replayed = work(folder)
    if as_json:
        typer.echo(json.dumps(_document(replayed, folder), sort_keys=True, allow_nan=False))
    else:
        _show(replayed, folder)
    if not replayed.replay_parity:
        raise typer.Exit(CHECK_SAID_NO)


def _document(replayed: "Replayed", folder: Path) -> dict[str, Any]:
    """Return what `--json` prints: a contract, stable from here on."""
    from engine.journal.storage import LOG

    return asdict(replayed) | {
        "session_id": folder.name,
        "failures": [
            {"class": item.failure, "severity": item.severity, "says": item.says}
            for item in replayed.failures
        ],
        "path": str(folder / LOG),
    }


def _show(replayed: "Replayed", folder: Path) -> None:
    from engine.journal.storage import LOG

    name = f"{replayed.strategy_id} on {replayed.data}" if replayed.strategy_id else folder.name
    verdict = coloured(f"REPLAY PARITY: {str(replayed.replay_parity).upper()}", good=replayed.replay_parity)
    said = ": every record comes out of the journal's bars again" if replayed.replay_parity else ""
    typer.echo(f"{verdict}   {name}{said}")
    for failure in replayed.failures:
        typer.echo(f"  {failure.severity:<9} {failure.failure}: {failure.says}")
    for difference in replayed.differences:
        typer.echo(f"  {_line(difference)}")
    if (rest := replayed.difference_count - len(replayed.differences)) > 0:
        typer.echo(f"  and {rest:,} more")
    for note in replayed.notes:
        typer.echo(f"  note      {note}")
    if replayed.checks:
        weights = "made again" if replayed.weights_recomputed else "a solver's, taken from the journal"
        typer.echo(f"\n  records   {replayed.records:,} of {replayed.bars:,} bars; base weights {weights}")
        typer.echo(f"  root      {replayed.replay_root_hash}   (replay_root_hash)")
        typer.echo(f"  journal   {replayed.journal_root_hash}")
        for check in replayed.checks:
            at = "" if check.row is None else f", bar {check.row:,}"
            typer.echo(f"  {_MARKS[check.status]} {check.name:<20} {check.says}{at}")
    typer.echo(f"\nnext   {_next(replayed, folder.name)}")
    typer.echo(f"path   {folder / LOG}")


def _line(found: "RecordDifference") -> str:
    bar = "" if found.row is None else f", bar {found.row:,} (opens {found.opened}, closes {found.closed})"
    order = "" if found.order is None else f", order {found.order}"
    instrument = "" if found.instrument is None else f", {found.instrument}"
    what = f"{found.record}{bar}{order}{instrument}"
    match found.difference.value:
        case "missing":
            return f"missing   {what}"
        case "extra":
            return f"extra     {what}, record {found.sequence}"
        case "out_of_order":
            return f"moved     {what}, record {found.sequence}"
        case _:
            return f"differs   {what}: {found.field} is {found.journal}, {found.replay} comes out"


def _next(replayed: "Replayed", session: str) -> str:
    if any(item.failure == "JOURNAL_DAMAGED" for item in replayed.failures):
        return f"engine journal verify --session {session}"
    return f"engine parity --session {session}"
