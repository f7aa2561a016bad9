"""`engine promote`: move what passed one step up, or say what is missing."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.errors import GATE_NOT_MET
from engine.domain.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from engine.domain.passport import Passport
    from scoreboards.finding import Found
    from scoreboards.promotion import Answer, Review

_WIDTH = 100

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help="Move what passed one step up, or say what is missing.")
def promote(
    strategy_id: Annotated[
        str, typer.Argument(metavar="ID", help="Of a row of a scoreboard, see: engine scoreboard")
    ],
    to: Annotated[str, typer.Option("--to", metavar="STAGE", help="paper, micro-live or live.")],
    run: Annotated[
        str | None, typer.Option("--run", help="Run id; the newest run with that row by default.")
    ] = None,
    operator: Annotated[
        str | None, typer.Option("--operator", help="Who decides; by default who is logged in.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the record.")] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the report before anything is recorded.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Ask every gate of the ladder. Exit 5 when one is not met: then nothing was changed."""
    from engine.home import promotions_folder, runs_folder
    from engine.journal.promotions import promoted
    from scoreboards.finding import find
    from scoreboards.promotion import Stage, review

    stage = _stage(to, [stage.value for stage in Stage])
    try:
        found = find(strategy_id, runs_folder(), run)
    except InputError:
        _refuse_research_only(strategy_id, stage, as_json=as_json)
        raise
    before = promoted(promotions_folder(), strategy_id)
    judged = review(found, Stage(stage), is_in_paper=before is not None)
    if judged.passport is None:
        _refused(judged, as_json=as_json)
        raise typer.Exit(GATE_NOT_MET)
    is_new = before is None or before.hash != judged.passport.hash
    path = _report(found) if report and is_new else None
    if is_new:
        _record(judged, judged.passport, operator, reason)
    if as_json:
        _print(judged, done=True)
        return
    _show_done(found, judged, judged.passport, path, is_new=is_new)


def _stage(to: str, known: list[str]) -> str:
    if to not in known:
        raise InputError(f"--to {to!r} is no stage; stages are {', '.join(known)}")
    return to


def _record(judged: "Review", passport: "Passport", operator: str | None, reason: str | None) -> None:
    import time

    from engine.home import promotions_folder
    from engine.journal.promotions import Promotion, record

    def clock() -> int:
        return time.time_ns()  # noqa: TID251  # a record of what a person did, when it was done

    record(
        promotions_folder(),
        Promotion(
            strategy_id=judged.strategy_id,
            to=judged.stage.value,
            passport=passport,
            gates=[answer.body() for answer in judged.answers],
            operator=operator or _who(),
            reason=reason or f"all gates met in {passport.run_id}",
        ),
        clock=clock,
    )


def _who() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # An account without a name, as in a container.
        return "unknown"


def _report(found: "Found") -> "Path":
    from engine.cli.report import write

    return write(found).html


def _refuse_research_only(strategy_id: str, stage: str, *, as_json: bool) -> None:
    """End here when the id is that of a session that nothing promoted: no path leads on from there."""
    from engine.home import sessions_folder

    if not any(
        _is_research_only(folder.parent, strategy_id) for folder in sessions_folder().glob("*/journal.log")
    ):
        return
    words = "ran with --force-research: it was never judged, and can never be promoted further"
    following = "engine tournament --data NAME"
    if as_json:
        gate = {
            "gate": "scoreboard",
            "status": "missing",
            "value": None,
            "threshold": "PASS",
            "direction": "=",
        }
        _dump(
            {
                "promoted": False,
                "strategy_id": strategy_id,
                "to": stage,
                "gates": [gate],
                "failures": ["scoreboard"],
                "next": following,
                "passport_hash": None,
            }
        )
    else:
        screen = _screen()
        screen.print(f"  ✕ not promoted   {strategy_id} {words}. Nothing was changed.", soft_wrap=True)
        screen.print(f"    next   {following}   and promote a row that passes", soft_wrap=True)
        screen.print(f"  exit {GATE_NOT_MET} (gate not met)", style="dim")
    raise typer.Exit(GATE_NOT_MET)


def _is_research_only(folder: "Path", strategy_id: str) -> bool:
    from engine.domain.errors import GauntletError
    from engine.journal.kinds import Kind
    from engine.journal.reading import read

    try:
        first = next(read(folder), None)
    except GauntletError:
        # A journal that cannot be trusted says nothing here; `engine journal verify` says why.
        return False
    if first is None or first.kind is not Kind.SESSION_STARTED:
        return False
    passport = first.body["passport"]
    return bool(passport["research_only"]) and passport["strategy_id"] == strategy_id


def _print(judged: "Review", *, done: bool) -> None:
    from scoreboards.promotion import names

    _dump(
        {
            "promoted": done,
            "strategy_id": judged.strategy_id,
            "to": judged.stage.value,
            "gates": [answer.document() for answer in judged.answers],
            "failures": names(judged.failures),
            "next": judged.following,
            "passport_hash": judged.passport.hash if judged.passport is not None else None,
        }
    )


def _dump(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False))


# --- the screen ------------------------------------------------------------------------------------------


def _screen() -> "Console":
    from rich.console import Console

    screen = Console(highlight=False)
    # A log or a pipe has no width: there the table keeps that of the other screens.
    return screen if screen.is_terminal else Console(highlight=False, width=_WIDTH)


def _refused(judged: "Review", *, as_json: bool) -> None:
    if as_json:
        _print(judged, done=False)
        return
    gates_of: dict[str, list[str]] = {}
    for answer in judged.failures:
        gates_of.setdefault(answer.step, []).append(answer.gate)
    steps = {
        gates[0] + (f" +{len(gates) - 1}" if len(gates) > 1 else ""): step for step, gates in gates_of.items()
    }
    from rich.text import Text

    screen = _screen()
    _table(screen, judged)
    asked = _asked(judged.answers)
    screen.print()
    screen.print(
        Text.assemble(
            ("  ✕ not promoted", "bold rgb(200,95,20)"),
            f"   {asked - len(judged.failures)}/{asked} gates. Nothing was changed.",
        )
    )
    width = max(len(gate) for gate in steps)
    for gate, step in steps.items():
        _under(screen, f"    {gate:<{width}}  ", step)
    screen.print(f"  next   {judged.following}", soft_wrap=True)
    screen.print(f"  exit {GATE_NOT_MET} (gate not met)", style="dim")


def _show_done(
    found: "Found", judged: "Review", passport: "Passport", path: "Path | None", *, is_new: bool
) -> None:
    from rich.text import Text

    from engine.cli.scoreboard import shown_folder

    screen = _screen()
    _table(screen, judged)
    asked = _asked(judged.answers)
    word = f"promoted to {judged.stage}" if is_new else f"was promoted to {judged.stage} before"
    screen.print()
    screen.print(
        Text.assemble(("  ✓ ", "bold blue"), (word, "bold blue"), f"   {asked}/{asked} gates."),
        soft_wrap=True,
    )
    why = (
        "every gate of the scoreboard is met, and code, data, costs and limits are those that passed"
        if is_new
        else "with the same passport; nothing was changed"
    )
    lines = [("reason", why), ("passport", passport.hash)]
    if passport.synthetic:
        lines.append(("note", "made from synthetic prices: it may rehearse, and never reaches a real venue"))
    lines.append(("next", judged.following))
    if path is not None:
        lines.append(("report", str(shown_folder(path))))
    elif (written := _written(found)) is not None:
        lines.append(("report", str(shown_folder(written))))
    else:
        lines.append(("report", f"engine report {judged.strategy_id}"))
    for name, words in lines:
        _under(screen, f"    {name:<9} ", words)


def _written(found: "Found") -> "Path | None":
    from scoreboards.report_page import place

    path = place(found.folder, found.row.text("strategy_id")).html
    return path if path.is_file() else None


def _asked(answers: "tuple[Answer, ...]") -> int:
    """Count the gates that apply."""
    return sum(answer.status.value != "not_applicable" for answer in answers)


def _table(screen: "Console", judged: "Review") -> None:
    from rich.table import Table
    from rich.text import Text

    marks = {
        "pass": Text("✓", style="blue"),
        "fail": Text("✕", style="bold rgb(200,95,20)"),
        "missing": Text("✕", style="bold rgb(200,95,20)"),
        "not_applicable": Text("·", style="dim"),
    }
    table = Table(
        box=None, padding=(0, 1), show_edge=False, width=min(_WIDTH, screen.width), header_style="bold"
    )
    table.add_column("gate", no_wrap=True)
    table.add_column("needs", ratio=1, overflow="fold")
    table.add_column("has", ratio=1, overflow="fold")
    table.add_column("", width=1)
    for answer in judged.answers:
        style = "dim" if answer.status.value == "not_applicable" else ""
        table.add_row(
            Text(answer.gate), Text(answer.needs), Text(answer.has), marks[answer.status.value], style=style
        )
    screen.print(table)


def _under(screen: "Console", head: str, words: str) -> None:
    """Print words behind a head, wrapped under themselves on a terminal, in one line elsewhere."""
    from rich.text import Text

    if not screen.is_terminal:
        screen.print(Text(head + words), soft_wrap=True)
        return
    lines = Text(words).wrap(screen, max(20, min(_WIDTH, screen.width) - len(head)))
    for place, line in enumerate(lines):
        screen.print(Text(head if place == 0 else " " * len(head)).append_text(line), no_wrap=True)
