"""`engine holdout`: the sealed end of every data set, and the one look that a candidate has at it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.runs_screen import coloured, columns, print_facts, wrapped
from engine.domain.errors import InputError, RefusedError

if TYPE_CHECKING:
    from engine.data.holdout import Opening
    from scoreboards.finding import Found

CHECK_SAID_NO = 1

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List the sealed bars, and open them once for a candidate.",
)


# --- list ------------------------------------------------------------------------------------------------


@app.command("list", help="List what is sealed, and every opening: who, when, why, for which candidate.")
def list_holdouts(
    data: Annotated[str | None, typer.Option("--data", metavar="NAME", help="Only this data set.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the seal of every data set. Exit 1 where the journal of openings is not what was written."""
    from engine.data import catalogue, holdout

    names = [data] if data is not None else [known.name for known in catalogue.names()]
    sets = [_sealed(name) for name in names]
    damage = holdout.damage()
    if as_json:
        _dump({"data_sets": sets, "journal": str(holdout.journal()), "damage": damage or None})
    else:
        _show_seals(sets)
        facts = [("journal", str(holdout.journal()))]
        if damage:
            facts.insert(
                0, ("damage", f"{damage}; it counts as an opening, and nothing is opened on top of it")
            )
        facts.append(("next", "engine holdout open ID --data NAME --operator WHO --reason WHY"))
        typer.echo("")
        print_facts(facts)
    if damage:
        raise typer.Exit(CHECK_SAID_NO)


def _sealed(name: str) -> dict[str, Any]:
    """Return what `--json` prints of a data set: a contract, stable from here on."""
    from engine.data import holdout

    seal = holdout.seal(name)
    return {
        "data": name,
        "sealed_rows": 0 if seal is None else seal.rows,
        "first": None if seal is None else _date(seal.first),
        "last": None if seal is None else _date(seal.last),
        "openings": holdout.openings(name),
        "opened_by": [_opening(opening) for opening in holdout.openings_of(name)],
    }


def _opening(opening: "Opening") -> dict[str, Any]:
    document = asdict(opening.request)
    return document | {"data": opening.data, "opened_at": opening.opened_at}


def _show_seals(sets: list[dict[str, Any]]) -> None:
    width = max((len(known["data"]) for known in sets), default=0)
    for known in sets:
        span = f"{known['first']} to {known['last']}" if known["first"] else "nothing is sealed"
        times = {0: "never opened", 1: "opened once"}.get(
            known["openings"], f"opened {known['openings']} times"
        )
        typer.echo(f"  {known['data']:<{width}}  {known['sealed_rows']:>6,} bars  {span}  {times}")
        for opening in known["opened_by"]:
            forced = "" if opening["is_candidate"] else ", no candidate"
            words = f"{opening['opened_at']}  {opening['strategy_id']}{forced}, by {opening['operator']}: "
            words += opening["reason"] + (f"  ({opening['result']})" if opening["result"] else "")
            for place, part in enumerate(wrapped(words, columns() - width - 6)):
                typer.echo(" " * (width + (4 if place == 0 else 6)) + part)
        if lost := known["openings"] - len(known["opened_by"]):
            typer.echo(" " * (width + 4) + f"{lost} more, of which no line can be read")


# --- open ------------------------------------------------------------------------------------------------


@app.command("open", help="Play a candidate on the sealed bars: once, on record, for good.")
def open_sealed(
    strategy_id: Annotated[
        str, typer.Argument(metavar="ID", help="Of a row of a scoreboard, see: engine scoreboard")
    ],
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="The data set of that row.")],
    operator: Annotated[str, typer.Option("--operator", metavar="NAME", help="Who decides.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record.")],
    run: Annotated[
        str | None, typer.Option("--run", help="Run id; the newest run with that row by default.")
    ] = None,
    force_research: Annotated[
        bool,
        typer.Option("--force-research", help="Also for a row that is no candidate; the record says so."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write the opening down, then read the bars. Exit 5 where they were opened for this candidate before.

    Everything that can fail is done before: the row is made again and must be what its board says.
    """
    from engine.cli.first_run import Kernel, tell_if_first
    from engine.data import holdout
    from engine.home import runs_folder
    from research.passports import rebuild, require_unchanged
    from research.sealed import play_sealed, promise
    from scoreboards.finding import find
    from scoreboards.sealed import document, folder_of, publish, request_for

    found = find(strategy_id, runs_folder(), run)
    _require_row_of(found, data)
    _require_candidate(found, forced=force_research)
    request = request_for(found, operator=operator, reason=reason)
    holdout.refuse_second(holdout.first_opening(data, request), request)
    rebuilt = rebuild(found.entry)
    require_unchanged(rebuilt)
    tell_if_first(Kernel.ALL_BARS)
    promised = promise(rebuilt, found.row.number("excess_sharpe"))

    panel = holdout.open_holdout(data, request)
    number = holdout.openings(data)
    sealed = play_sealed(rebuilt, panel, promised)
    opening = holdout.first_opening(data, request)
    assert opening is not None, "it was written down before the bars were read"
    result = document(sealed, opening, number)
    path = publish(sealed, result, folder_of(strategy_id))
    if as_json:
        _dump(result)
    else:
        _show_result(result, path)


def _require_row_of(found: "Found", data: str) -> None:
    universe = found.row.text("universe")
    if universe != data:
        raise InputError(
            f"--data {data}: {found.row.text('strategy_id')} is a row of {universe}; it was judged there, "
            "and its sealed bars are those of that data set"
        )


def _require_candidate(found: "Found", *, forced: bool) -> None:
    from scoreboards.sealed import is_candidate

    board, strategy_id = found.board, found.row.text("strategy_id")
    if not board.is_intact:
        raise RefusedError(
            f"{board.run_id}: its board is not what was written; nothing was opened",
            next_command=f"engine runs verify {board.run_id}",
        )
    if is_candidate(found) or forced:
        return
    verdict = "VOID" if board.void else str(found.row.verdict)
    raise RefusedError(
        f"{strategy_id} is no candidate of {board.run_id} ({verdict}): the sealed bars are for what passed. "
        "Nothing was opened; --force-research opens them all the same, for good and on record",
        next_command=f"engine report {strategy_id} --run {board.run_id}",
    )


def _show_result(result: dict[str, Any], path: Path) -> None:
    from engine.cli.scoreboard import shown_folder
    from scoreboards.sealed import headline, lines

    word = result["verdict"]
    for place, part in enumerate(wrapped(headline(result), columns() - len(word) - 2)):
        if place == 0:
            coloured(word, word, nl=False)
        typer.echo(f"  {part}" if place == 0 else " " * (len(word) + 2) + part)
    following = f"engine promote {result['strategy_id']} --to paper"
    if not result["is_candidate"] or word == "FAIL":
        following = "engine strategy new NAME   and a better idea: these bars are spent for this one"
    print_facts([*lines(result), ("next", following), ("path", str(shown_folder(path)))])


# --- release ---------------------------------------------------------------------------------------------


@app.command("release", help="Let research see what a growing data set keeps sealed from its younger days.")
def release_sealed(
    data: Annotated[str, typer.Argument(metavar="NAME", help="A data set of the lake.")],
    operator: Annotated[str, typer.Option("--operator", metavar="NAME", help="Who decides.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write the release down as an opening, then the next version, sealed at its own end alone."""
    from engine.data import holdout

    released = holdout.release(data, operator=operator, reason=reason)
    name = f"{released.version.name}@{released.version.version}"
    left = released.version.manifest.holdout_rows
    if as_json:
        _dump(
            {
                "data": name,
                "released_rows": released.rows,
                "first": _date(released.first),
                "last": _date(released.last),
                "sealed_rows": left,
            }
        )
        return
    coloured("RELEASED", "PASS", nl=False)
    typer.echo(f"  {released.rows:,} bars of {data}, {_date(released.first)} to {_date(released.last)}")
    print_facts(
        [
            ("version", name),
            ("sealed", f"its last {left:,} bars, as in any set so long"),
            ("record", "counted as an opening, for good"),
            ("next", f"engine tournament --data {released.version.name}"),
        ]
    )


# --- small parts -----------------------------------------------------------------------------------------


def _date(nanoseconds: int) -> str:
    from engine.cli.data_documents import iso

    return iso(nanoseconds)[:10]


def _dump(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False))
