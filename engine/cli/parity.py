"""`engine parity`: whether a session did what a backtest of the same bars does, to the last bit.

With `--row` instead: why another simulator makes something else of a row of a scoreboard.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.light import LightCommand
from engine.domain.errors import InputError

if TYPE_CHECKING:
    from engine.session.parity import Parity

CHECK_SAID_NO = 1
# Name in `engine.session.journaled.Counts` -> what a person calls it.
_COMPARED = {
    "bars": "bars",
    "base_weights": "base weights",
    "decisions": "decisions",
    "intents": "intents",
    "orders": "orders",
    "fills": "fills",
    "order_ends": "order ends",
    "cash_movements": "cash movements",
}

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(cls=LightCommand, help="Prove that a session did what a backtest of its bars does.")
def parity(
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="See: engine status")] = None,
    row: Annotated[
        str | None,
        typer.Option("--row", metavar="ID", help="Instead: a row of a scoreboard, in two simulators."),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="With --row: run id; the newest with that row by default.")
    ] = None,
    against: Annotated[str, typer.Option("--against", help="With --row: vectorbt or nautilus.")] = "vectorbt",
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="With --row: every difference as a table.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run the session's period as a backtest and compare everything. Exit 1 at the first difference."""
    if (session is None) == (row is None):
        raise InputError("name one thing to compare: --session ID, or --row ID of a scoreboard")
    if row is not None:
        from engine.cli.parity_row import compare_row

        if not compare_row(row, run=run, against=against, csv=csv, as_json=as_json, verdict=coloured):
            raise typer.Exit(CHECK_SAID_NO)
        return
    assert session is not None, "one of the two is named"

    from engine.cli.status import session_folder

    folder = session_folder(session)

    from engine.cli import first_run
    from engine.home import promotions_folder
    from engine.session.parity import prove

    first_run.tell_if_first(first_run.Kernel.ALL_BARS)

    proven = prove(folder, promoted_in=promotions_folder())
    if as_json:
        typer.echo(json.dumps(_document(proven, folder), sort_keys=True, allow_nan=False))
    else:
        _show(proven, folder)
    if not proven.parity:
        raise typer.Exit(CHECK_SAID_NO)


def coloured(text: str, *, good: bool) -> str:
    """Return a verdict in its colour, plain where somebody wants none."""
    if "NO_COLOR" in os.environ:
        return text
    return typer.style(text, fg=typer.colors.BLUE if good else typer.colors.YELLOW, bold=True)


def _document(proven: "Parity", folder: Path) -> dict[str, Any]:
    """Return what `--json` prints: a contract, stable from here on."""
    from engine.journal.storage import LOG

    found = proven.first_difference
    return {
        "session_id": folder.name,
        "parity": proven.parity,
        "intents": proven.journal.intents,
        "orders": proven.journal.orders,
        "fills": proven.journal.fills,
        "first_difference": None if found is None else asdict(found),
        "journal": asdict(proven.journal),
        "backtest": asdict(proven.backtest),
        "weights": None if proven.weights is None else asdict(proven.weights),
        "strategy_id": proven.strategy_id,
        "data": proven.data,
        "finished": proven.finished,
        "first_opened": proven.first_opened,
        "last_closed": proven.last_closed,
        "notes": list(proven.notes),
        "path": str(folder / LOG),
    }


def _show(proven: "Parity", folder: Path) -> None:
    from engine.journal.storage import LOG

    name = f"{proven.strategy_id} on {proven.data}" if proven.strategy_id else folder.name
    if proven.parity:
        typer.echo(f"{coloured('PARITY: TRUE', good=True)}   {name}: paper equals the backtest, bit for bit")
    else:
        typer.echo(f"{coloured('PARITY: FALSE', good=False)}   {name}")
        _show_difference(proven)
    for note in proven.notes:
        typer.echo(f"  note      {note}")
    if proven.strategy_id:
        _show_counts(proven)
    typer.echo(f"\nnext   {_next(proven, folder.name)}")
    typer.echo(f"path   {folder / LOG}")


def _show_difference(proven: "Parity") -> None:
    found = proven.first_difference
    assert found is not None, "only a difference makes it false"
    typer.echo(f"  why       {found.explanation}")
    typer.echo(f"  cause     {found.cause}")
    if found.row is not None:
        typer.echo(f"  bar       {found.row:,}, opens {found.opened}, closes {found.closed}")


def _show_counts(proven: "Parity") -> None:
    if proven.weights is not None and not proven.weights.recomputed:
        gap = "not a number" if proven.weights.gap is None else f"{proven.weights.gap:.1e} at most"
        typer.echo(
            f"  weights   a solver's: taken from the journal; solved again they are apart by {gap} "
            f"(allowed {proven.weights.tolerance:.0e})"
        )
    typer.echo(f"\n  {'compared':<16}{'journal':>12}{'backtest':>12}")
    journal, backtest = asdict(proven.journal), asdict(proven.backtest)
    for key, label in _COMPARED.items():
        typer.echo(f"  {label:<16}{journal[key]:>12,}{backtest[key]:>12,}")
    if proven.first_opened is not None:
        typer.echo(
            f"  from {proven.first_opened} to {proven.last_closed}; cash, equity and lots of every bar"
        )


def _next(proven: "Parity", session: str) -> str:
    found = proven.first_difference
    if found is not None and found.cause == "JOURNAL_DAMAGED":
        return f"engine journal verify --session {session}"
    return f"engine replay --session {session}"
