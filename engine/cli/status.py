"""`engine status`: every session at a glance, readable in five seconds by who cannot read code.

It must answer while a person still looks at the key: nothing here imports numpy, pandas, pydantic or rich.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.light import LightCommand
from engine.domain.errors import InputError, JournalError
from engine.home import sessions_folder
from engine.journal.read_model import SessionState, ask
from engine.journal.storage import ANCHOR, LOG, lock_holder
from engine.journal.views import BarTimes, PositionView, SessionView, session_view

CHECK_SAID_NO = 1

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


class Verdict(StrEnum):
    """What a session is doing, in one word."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    STOPPED = "STOPPED"
    EMPTY = "EMPTY"
    DAMAGED = "DAMAGED"


_COLOURS = {
    Verdict.RUNNING: typer.colors.BLUE,
    Verdict.FINISHED: typer.colors.BLUE,
    Verdict.STOPPED: typer.colors.YELLOW,
    Verdict.EMPTY: typer.colors.YELLOW,
    Verdict.DAMAGED: typer.colors.RED,
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """One session as the screen and the document tell it.

    Attributes
    ----------
    headline, why, next
        What, why, and what to type now.
    running, process
        Whether a process holds the journal, and which one, where the machine tells.
    session
        None where the journal is damaged or empty.
    """

    session_id: str
    verdict: Verdict
    headline: str
    why: str
    next: str
    running: bool
    process: int | None
    path: str
    session: SessionView | None = None


@app.command(cls=LightCommand, help="Show what every session does, why, and what to do next.")
def status(
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="Only this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show every session: first what needs a person, then the newest; a line for each that is finished."""
    folders = session_folders() if session is None else [session_folder(session)]
    reports = sorted(
        (_report(folder) for folder in folders),
        key=lambda report: (report.session.started if report.session else "", report.session_id),
        reverse=True,
    )
    if as_json:
        # A contract, stable from here on.
        document = {"sessions": [asdict(report) for report in reports]}
        typer.echo(json.dumps(document, sort_keys=True, allow_nan=False))
    elif not reports:
        typer.echo("no session yet\n\nnext   engine paper --strategy ID --feed replay --data NAME")
    else:
        _show_all(reports)
    if any(report.verdict is Verdict.DAMAGED for report in reports):
        raise typer.Exit(CHECK_SAID_NO)


def _show_all(reports: Sequence[Report]) -> None:
    """Show in full what is damaged, stopped or running, and the newest; of the others a line each."""
    wanted = [report for report in reports if report.verdict is Verdict.DAMAGED]
    wanted += [report for report in reports if report.verdict not in (Verdict.DAMAGED, Verdict.FINISHED)]
    newest = reports[0]
    if newest not in wanted:
        wanted.append(newest)
    for place, report in enumerate(wanted):
        if place:
            typer.echo("")
        _show(report)
    others = [report for report in reports if report not in wanted]
    if not others:
        return
    typer.echo(f"\n{len(others)} more, finished; in full:  engine status --session ID")
    width = max(len(report.session_id) for report in others)
    for report in others:
        view = report.session
        assert view is not None, "what is finished has said something"
        mark = "   RESEARCH ONLY" if view.research_only else ""
        typer.echo(f"  {report.session_id:<{width}}  {view.data}  {view.since_start:+,.2%}{mark}")


def session_folders() -> list[Path]:
    """Return the folders of all sessions, by name.

    The anchor alone is a session whose log was deleted: it must not vanish from the list without a word.
    """
    return sorted({path.parent for name in (LOG, ANCHOR) for path in sessions_folder().glob(f"*/{name}")})


def session_folder(session_id: str) -> Path:
    """Return the folder of one session.

    Raises
    ------
    InputError
        If there is none of that id.
    """
    folders = {folder.name: folder for folder in session_folders()}
    if session_id not in folders:
        there = f"there are {', '.join(sorted(folders))}" if folders else "there is none yet"
        raise InputError(f"--session {session_id}: there is no such session; {there}")
    return folders[session_id]


def newest_session() -> Path:
    """Return the folder of the session that began last.

    Raises
    ------
    InputError
        If there is none.
    """
    folders = session_folders()
    if not folders:
        raise InputError(
            "there is no session yet; start one with  engine paper --strategy ID --feed replay --data NAME"
        )
    return max(folders, key=lambda folder: (_began(folder), folder.name))


def _began(folder: Path) -> str:
    """Return when a session began; nothing where its journal says nothing, or nothing that can be trusted."""
    view = None
    with suppress(JournalError):
        view = ask(folder, session_view)
    return "" if view is None else view.started


def _report(folder: Path) -> Report:
    # The lock first: a session that ends in between is then read with its last word.
    process = lock_holder(folder)
    running = process is not None or _is_locked(folder)
    report = Report(
        session_id=folder.name,
        verdict=Verdict.EMPTY,
        headline="PAPER has recorded nothing yet",
        why="its first record is not written",
        next=f"engine status --session {folder.name}",
        running=running,
        process=process,
        path=str(folder),
    )
    try:
        view = ask(folder, session_view)
    except JournalError as error:
        # Figures out of a journal that cannot be trusted are worse than none.
        return replace(
            report,
            verdict=Verdict.DAMAGED,
            headline="PAPER journal is damaged: nothing it says can be trusted",
            why=str(error),
            next=f"engine journal verify --session {folder.name}",
        )
    return report if view is None else _judged(replace(report, session=view), view)


def _judged(report: Report, view: SessionView) -> Report:
    if view.state is SessionState.FINISHED:
        return replace(
            report,
            verdict=Verdict.FINISHED,
            headline="PAPER finished",
            why=f"all {view.rows:,} bars of {view.data} were played",
            next=f"engine parity --session {report.session_id}",
        )
    if report.running:
        return replace(
            report,
            verdict=Verdict.RUNNING,
            headline=_trading(view),
            why=view.why,
            next=f"engine orders --session {report.session_id}",
        )
    last = view.last_decision
    place = "before its first bar"
    if last is not None:
        place = f"at bar {last.row:,}, closed {moment(last.closed)} UTC"
    interrupted = view.state is SessionState.INTERRUPTED
    return replace(
        report,
        verdict=Verdict.STOPPED,
        headline=f"PAPER stopped {place}",
        why="it was interrupted" if interrupted else "its process ended without a word; nothing is lost",
        next=f"engine paper --session {report.session_id}",
    )


def _trading(view: SessionView) -> str:
    if view.mode not in ("", "ACTIVE"):
        return f"PAPER opens nothing new: {view.mode}"
    if view.scale == 0.0:
        return "PAPER halted: it holds nothing until its drawdown was reviewed"
    if view.scale < 1.0:
        return "PAPER trading smaller after a drawdown"
    return "PAPER trading normally"


def _is_locked(folder: Path) -> bool:
    """Return whether a process holds the journal that the machine cannot name.

    Some file systems show another device number than the list of locks does. The shared lock lasts for
    microseconds; a session that starts within them is told so and starts again.
    """
    with suppress(OSError), (folder / LOG).open("rb") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _show(report: Report) -> None:
    view = report.session
    marks = []
    if view is not None and view.research_only:
        marks.append("RESEARCH ONLY")
    if view is not None and view.synthetic:
        marks.append("SYNTHETIC DATA")
    typer.secho(
        "   ".join([*marks, report.headline]),
        fg=_COLOURS[report.verdict],
        bold=True,
        color=False if "NO_COLOR" in os.environ else None,
    )
    facts = [("why", report.why)]
    if view is not None:
        facts += _facts(view)
    facts += [
        ("session", f"{report.session_id}, {_process(report)}"),
        ("next", report.next),
        ("path", report.path),
    ]
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        typer.echo(f"  {name:<{width}}  {text}")


def _of_rows(view: SessionView) -> str:
    return "" if view.rows is None else f" of {view.rows - view.start_row:,}"


def _facts(view: SessionView) -> list[tuple[str, str]]:
    cash = ", ".join(f"{Decimal(amount):,.2f} {currency}" for currency, amount in view.cash.items())
    facts = [
        ("runs", f"{view.strategy_id} on {view.data}, bars of {view.timeframe}"),
        ("equity", f"{view.equity:,.2f} {view.quote}, {view.since_start:+,.2%} since the start"),
        ("drawdown", f"{view.drawdown:.2%}, {view.drawdown_max:.2%} at worst"),
        ("exposure", f"{view.exposure:.1%}, cash {cash}"),
    ]
    held = [_position(position) for position in view.positions] or ["nothing"]
    facts += [("holds" if place == 0 else "", line) for place, line in enumerate(held)]
    facts += [
        ("orders", f"{view.orders:,} sent, {view.open_orders:,} open, {view.fills:,} fills"),
        ("bars", f"{view.decisions:,}{_of_rows(view)} decided"),
    ]
    if view.last_decision is not None:
        facts.append(("last bar", bar_text(view.last_decision)))
    if view.last_fill is not None:
        fill = view.last_fill
        what = f"{fill.side} {fill.quantity} {fill.symbol} at {fill.price}"
        facts.append(("last fill", f"{what}, {bar_text(fill.bar)}"))
    return facts


def _position(position: PositionView) -> str:
    verb = "sold" if position.quantity.startswith("-") else "bought"
    now = "" if position.price is None else f", now {position.price}"
    return f"{position.quantity} {position.symbol} {verb} at {position.average_cost}{now}"


def _process(report: Report) -> str:
    if not report.running:
        return "no process runs it"
    return "a process runs it" if report.process is None else f"process {report.process} runs it"


def bar_text(bar: BarTimes) -> str:
    """Return a bar with open and close, as a person reads it."""
    return f"bar {bar.row:,} from {moment(bar.opened)} to {moment(bar.closed)} UTC"


def moment(text: str) -> str:
    """Return a time of a document as a person reads it."""
    return text.replace("T", " ").removesuffix("Z").removesuffix(":00")
