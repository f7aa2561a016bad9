"""`engine runs`: what was played, what came of it, whether it is still what was written.

The list answers before a person has let go of the key: no module level import of numpy, pandas or MLflow.
"""

import json
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.light import LightCommand, LightGroup
from engine.cli.runs_screen import coloured, columns, print_facts, show_comparison, size_words, wrapped
from engine.domain.errors import InputError, RefusedError
from scoreboards import tracked
from scoreboards.run_files import Kind, RunSummary, files_of, sha256_of, size_of, summaries, summary_of

if TYPE_CHECKING:
    from scoreboards.board import Board, UniverseFacts
    from scoreboards.run_checks import Check

CHECK_SAID_NO = 1
_LISTED = 20

_JSON = typer.Option("--json", help="One JSON document on stdout.")
_STORE = typer.Option("--tracking", metavar="URI", help="A tracking store of MLflow; this home's by default.")

app = typer.Typer(
    cls=LightGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, show, compare, verify, track and delete runs.",
)


# --- list ------------------------------------------------------------------------------------------------


@app.command("list", cls=LightCommand, help="List runs, the newest first.")
def list_runs(
    everything: Annotated[bool, typer.Option("--all", help=f"More than the newest {_LISTED}.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print what was played, when, and what came of it."""
    runs = summaries()
    known, problem = _tracked()
    if as_json:
        _dump({"runs": [_document(run, known) for run in runs], "tracking": tracked.local_uri()})
        return
    if not runs:
        typer.echo("no run yet\n\nnext   engine tournament --data us20")
        return
    shown = runs if everything else runs[:_LISTED]
    # The result of a hold-out bears a long name: it takes the room that it needs, and no other line does.
    width = max((len(run.run_id) for run in shown if run.kind is not Kind.HOLDOUT), default=0)
    words = max(len(run.verdict) for run in shown)
    for run in shown:
        _print_run(run, words, width, known)
    if len(runs) > len(shown):
        typer.echo(f"\n{len(runs) - len(shown)} more, older; in full:  engine runs list --all")
    typer.echo("")
    facts = [("next", f"engine runs show {runs[0].run_id}")]
    count = f"{len(known)} run{'' if len(known) == 1 else 's'}"
    facts += [("tracking", problem or f"{count} tracked; to look at them:")]
    print_facts(facts)
    # In one piece, so that it can be copied.
    if not problem:
        typer.echo(f"  {tracked.ui_command()}")


def _print_run(
    run: RunSummary, words: int, width: int, known: "dict[tuple[str, str], tracked.TrackedRun]"
) -> None:
    facts = [run.kind.value]
    if run.candidates is not None:
        facts.append(f"{run.candidates} candidate{'' if run.candidates == 1 else 's'}")
    if run.controls:
        facts.append(f"{run.behaved}/{run.controls} controls")
    facts += [size_words(size_of(run.folder)), *(["tracked"] if _key(run) in known else [])]
    told = f"{run.configuration} on {', '.join(run.data)}: {run.words}" if run.configuration else run.words
    head, line, more = f"{run.verdict:<{words}}  ", f"{run.run_id:<{width}}  {when(run)}", ", ".join(facts)
    coloured(head, run.verdict, nl=False)
    if len(head) + len(line) + len(more) + 2 <= columns():
        typer.echo(f"{line}  {more}")
    else:
        # Narrow: what has no room beside the name begins the words below it.
        typer.echo(line)
        told = f"{more}; {told}"
    for part in wrapped(told, columns() - len(head)):
        typer.echo(" " * len(head) + part)


def _tracked() -> "tuple[dict[tuple[str, str], tracked.TrackedRun], str]":
    """Return runs in the store of this home by id and content hash, and why it cannot be read."""
    try:
        runs = tracked.local_runs()
    except InputError as error:
        return {}, str(error)
    return {(run.tags[tracked.RUN_ID], run.tags.get(tracked.CONTENT_HASH, "")): run for run in runs}, ""


def _key(run: RunSummary) -> tuple[str, str]:
    return run.run_id, run.content_hash


def _document(run: RunSummary, known: "dict[tuple[str, str], tracked.TrackedRun]") -> dict[str, Any]:
    """Return what `--json` prints of a run: a contract, stable from here on."""
    store = known.get(_key(run))
    document = {name: value for name, value in asdict(run).items() if name != "finished_ns"}
    return document | {
        "finished": when(run).replace(" ", "T") + ":00Z",
        "folder": str(run.folder),
        "bytes": size_of(run.folder),
        "tracking_id": None if store is None else store.tracking_id,
    }


# --- show ------------------------------------------------------------------------------------------------


@app.command(cls=LightCommand, help="Show a run: verdicts, hashes, files, how to repeat it.")
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="See: engine runs list")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print everything that a run says about itself."""
    run = summary_of(run_id)
    known, problem = _tracked()
    files = {name: (path.stat().st_size, sha256_of(path)) for name, path in files_of(run.folder).items()}
    facts, document = _told(run)
    if as_json:
        listed = [{"file": name, "bytes": size, "sha256": digest} for name, (size, digest) in files.items()]
        _dump(_document(run, known) | document | {"files": listed})
        return
    coloured(run.verdict, run.verdict, nl=False)
    for place, part in enumerate(wrapped(run.words, columns() - len(run.verdict) - len(run.run_id) - 4)):
        head = f"  {run.run_id}  "
        typer.echo(f"{head}{part}" if place == 0 else " " * (len(head) + len(run.verdict)) + part)
    store = known.get(_key(run))
    where = problem or ("nowhere" if store is None else f"{store.tracking_id} in {tracked.local_uri()}")
    facts = [("written", f"{when(run)} UTC, {size_words(size_of(run.folder))}"), *facts]
    facts += [("tracked", where), ("content", run.content_hash or "unknown")]
    facts += [("files" if place == 0 else "", line) for place, line in enumerate(_file_lines(files))]
    print_facts([*facts, ("verify", f"engine runs verify {run.run_id}"), ("path", str(run.folder))])


def _file_lines(files: dict[str, tuple[int, str]]) -> list[str]:
    width = max((len(name) for name in files), default=0)
    return [f"{name:<{width}} {size_words(size):>7} {digest[:8]}" for name, (size, digest) in files.items()]


def _told(run: RunSummary) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Return what a kind of run says beyond its summary, for the screen and for `--json`."""
    if run.verdict == "DAMAGED":
        return [], {}
    if run.kind is Kind.TOURNAMENT:
        try:
            return _told_by_board(_board(run))
        except InputError as error:
            # Written by another version: its files and hashes are there all the same.
            return [("board", str(error))], {}
    document = json.loads(run.file.read_bytes())
    if run.kind is Kind.TUNING:
        facts = [
            ("reason", document["reason"]),
            ("hashes", f"inputs {document['inputs_hash'][:16]}, core {document['core']}"),
            ("repeat", document["repeat"]),
        ]
        return facts, {name: document[name] for name in ("reason", "inputs_hash", "parameters", "repeat")}
    opening = document["opening"]
    facts = [
        ("reason", document["why"]),
        ("opened", f"{opening['opened_at']} by {opening['operator']}: {opening['reason']}"),
        ("repeat", "never: a hold-out is opened once for a candidate"),
    ]
    return facts, {"reason": document["why"], "opening": opening, "strategy_id": document["strategy_id"]}


def _told_by_board(board: "Board") -> tuple[list[tuple[str, str]], dict[str, Any]]:
    from scoreboards.publish import repeat_command
    from scoreboards.sentences import reason

    repeat = repeat_command(board)
    facts = [("reason", reason(board)), ("told", f"{board.settings['source']}; {board.settings['costs']}")]
    facts += [("data", _universe_words(universe)) for universe in board.universes]
    facts += [("control", f"{c.name} {c.expectation}: {c.observed}") for c in board.controls]
    for row in board.best()[:5]:
        figures = f"excess Sharpe {row.number('excess_sharpe'):+.2f}, low 95% "
        figures += f"{row.number('excess_lower_bound'):+.2f}"
        facts.append(("best", f"{row.verdict} {row.text('strategy_id')}: {figures}"))
    hashes = {
        "inputs": str(board.settings["inputs_hash"]),
        "configuration": str(board.settings["configuration_hash"]),
        "core": str(board.settings["core_version"]),
    }
    facts += [("hashes", ", ".join(f"{name} {value[:16]}" for name, value in hashes.items()))]
    facts += [("repeat", repeat), ("next", f"engine scoreboard --run {board.run_id}")]
    document = {
        "reason": reason(board),
        "hashes": hashes,
        "repeat": repeat,
        "universes": [asdict(universe) for universe in board.universes],
        "controls_seen": [asdict(control) for control in board.controls],
        "best": [
            {"strategy_id": row.text("strategy_id"), "verdict": str(row.verdict)} for row in board.best()
        ],
    }
    return facts, document


def _universe_words(universe: "UniverseFacts") -> str:
    return (
        f"{universe.name}, {universe.rows:,} bars x {universe.instruments}, {universe.first_bar} to "
        f"{universe.last_bar}, {universe.windows} windows, sha256 {universe.content_hash[:16]}; "
        f"{universe.trials:,} tries on record, hold-out opened {universe.holdout_openings} times"
    )


def _board(run: RunSummary) -> "Board":
    from scoreboards.board import from_text

    if run.kind is not Kind.TOURNAMENT:
        raise InputError(f"{run.run_id} is a {run.kind}, not a tournament: it has no board")
    return from_text(run.file.read_text(encoding="utf-8"), run.file)


# --- compare ---------------------------------------------------------------------------------------------


@app.command(cls=LightCommand, help="Compare two tournaments: verdicts, gates, figures, inputs.")
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="The earlier one.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The later one.")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print what two boards do not have in common."""
    from scoreboards.comparison import compare as compared

    found = compared(_board(summary_of(first)), _board(summary_of(second)))
    if as_json:
        _dump(found.document())
        return
    show_comparison(found)


# --- verify ----------------------------------------------------------------------------------------------


@app.command(cls=LightCommand, help="Check that runs are what was written; exit 1 where a byte changed.")
def verify(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="All runs by default.")] = None,
    tracking: Annotated[str | None, _STORE] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Hold every file against its hash, the tables against their board, and all against MLflow's copies."""
    from scoreboards.run_checks import Answer
    from scoreboards.run_checks import verify as checked

    runs = summaries() if run_id is None else [summary_of(run_id)]
    found = {run.run_id: checked(run, tracking) for run in runs}
    changed = {name: [c for c in checks if c.answer is Answer.CHANGED] for name, checks in found.items()}
    if as_json:
        document = [
            {"run_id": name, "intact": not changed[name], "checks": [asdict(check) for check in checks]}
            for name, checks in found.items()
        ]
        _dump({"runs": document, "intact": not any(changed.values())})
    elif not runs:
        typer.echo("no run yet\n\nnext   engine tournament --data us20")
    else:
        for name, checks in found.items():
            _show_checks(name, checks)
    if any(changed.values()):
        raise typer.Exit(CHECK_SAID_NO)


def _show_checks(name: str, checks: "list[Check]") -> None:
    from scoreboards.run_checks import Answer

    changed = [check for check in checks if check.answer is Answer.CHANGED]
    equal = sum(check.answer is Answer.EQUAL for check in checks)
    # The first check is of the run's main file: what it cannot say is not said.
    word = "CHANGED" if changed else "UNCHECKED" if checks[0].answer is Answer.UNCHECKED else "INTACT"
    coloured(word, word, nl=False)
    files = ", ".join(dict.fromkeys(check.file for check in changed))
    typer.echo(f"  {name}  " + (files if changed else f"{equal} checks, nothing changed"))
    lines = [f"✕ {check.file}, against {check.against}: {check.words}" for check in changed]
    lines += [f"· {check.file}: {check.words}" for check in checks if check.answer is Answer.UNCHECKED]
    for line in lines:
        for place, part in enumerate(wrapped(line, columns() - 4)):
            typer.echo(" " * (2 if place == 0 else 4) + part)


# --- track -----------------------------------------------------------------------------------------------


@app.command(cls=LightCommand, help="Write a run into a tracking store of MLflow.")
def track(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="See: engine runs list")],
    tracking: Annotated[str | None, _STORE] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Track a run that was played without; an equal one is brought up to date, not made twice."""
    from engine.cli.tracking import tracked_words
    from scoreboards.tracking import track as written
    from scoreboards.tracking_record import record_of

    run = summary_of(run_id)
    done = written(record_of(run.folder), tracking)
    if as_json:
        _dump({"run_id": run.run_id, **asdict(done)})
        return
    typer.echo(tracked_words(done))
    typer.echo(f"  {tracked.ui_command(done.uri)}")


# --- delete ----------------------------------------------------------------------------------------------


@app.command(cls=LightCommand, help="Delete a run's folder and what is tracked of it.")
def delete(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="See: engine runs list")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, nothing is deleted.")] = False,
    tracking: Annotated[str | None, _STORE] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Delete a run for good. Exit 5 where something rests on it: a promotion, or an opening of a hold-out."""
    run = summary_of(run_id)
    _refuse_needed(run)
    size = size_of(run.folder)
    if not yes:
        raise InputError(
            f"{run.run_id} would be deleted for good: {size_words(size)} in {run.folder}, and what is "
            f"tracked of it. To do it:  engine runs delete {run.run_id} --yes"
        )
    from scoreboards.tracking import remove

    # The store first: where it fails the files are still there, and the command can be typed again.
    removed = remove(run.run_id, run.content_hash, tracking)
    # Renamed before it is emptied: who is interrupted leaves no half of a run in the list.
    going = run.folder.with_name(f".deleted-{run.run_id}")
    if going.exists():
        shutil.rmtree(going)
    run.folder.replace(going)
    shutil.rmtree(going)
    if as_json:
        _dump({"deleted": run.run_id, "bytes": size, "tracking_ids": removed})
        return
    coloured("DELETED", "", nl=False)
    typer.echo(f"  {run.run_id}, {size_words(size)}, {len(removed)} tracked runs")
    if removed:
        store = tracking or tracked.local_uri()
        typer.echo(f"  MLflow keeps them as deleted until  mlflow gc --backend-store-uri {store}")


def _refuse_needed(run: RunSummary) -> None:
    from engine.data.holdout import journal
    from engine.home import promotions_folder
    from engine.journal.promotions import promotions

    for promotion in promotions(promotions_folder()):
        if promotion.passport.run_id == run.run_id:
            raise RefusedError(
                f"{promotion.strategy_id} was promoted to {promotion.to} by what {run.run_id} says; what a "
                "promotion rests on is kept"
            )
    if run.kind is Kind.HOLDOUT:
        raise RefusedError(
            f"{run.run_id} is the result of an opening in {journal()}; a hold-out is opened once, and "
            "its result is kept"
        )


# --- small parts -----------------------------------------------------------------------------------------


def when(run: RunSummary) -> str:
    """Return when a run was written, to the minute, UTC."""
    return datetime.fromtimestamp(run.finished_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M")


def _dump(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False, default=str))
