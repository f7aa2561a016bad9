"""`engine orders`: what a session ordered, what became of it, and why."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from engine.cli.status import moment, newest_session, session_folder
from engine.journal.read_model import ask
from engine.journal.views import OrderView, order_views

_SHOWN = 20
_HEADS = (
    "order", "decided on the bar (UTC)", "state", "side", "quantity", "symbol", "kind", "price", "filled",
    "average", "why",
)  # fmt: skip
# Numbers stand on the right.
_RIGHT = frozenset({"order", "quantity", "price", "filled", "average"})

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help="Show the orders of a session, their fills and the reasons.")
def orders(
    session: Annotated[
        str | None, typer.Option("--session", metavar="ID", help="See: engine status. Left out: the newest.")
    ] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only orders that can still fill.")] = False,
    last: Annotated[
        int | None,
        typer.Option(
            "--last", min=1, metavar="N", help=f"The newest N. Left out: {_SHOWN}; all with --json."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show orders, oldest first."""
    folder = newest_session() if session is None else session_folder(session)
    shown = last if last is not None or as_json else _SHOWN
    found = ask(folder, lambda model: order_views(model, only_open=only_open, last=shown))
    if as_json:
        # A contract, stable from here on.
        document = {"session_id": folder.name, "orders": [asdict(order) for order in found]}
        typer.echo(json.dumps(document, sort_keys=True))
        return
    for line in _table(found):
        typer.echo(line)
    if not found:
        typer.echo("no open order" if only_open else "no order yet")
    typer.echo(f"\nnext   engine status --session {folder.name}")
    typer.echo(f"path   {folder}")


def _table(found: Sequence[OrderView]) -> list[str]:
    if not found:
        return []
    rows = [_HEADS]
    rows += [
        (
            str(order.order),
            f"{moment(order.decided.opened)} to {moment(order.decided.closed)}",
            order.state,
            order.side,
            order.quantity or "all",
            order.symbol,
            order.kind.lower().replace("_", " "),
            _price(order),
            order.filled,
            order.average_price or "",
            order.why,
        )
        for order in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if _HEADS[column] in _RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _price(order: OrderView) -> str:
    """Return the limit, and the trigger that it waits for."""
    parts = [part for part in (order.trigger and f"if {order.trigger}", order.limit) if part]
    return " then ".join(parts)
