"""`engine tune`: search parameters inside every walk-forward window, and judge what comes of it."""

import json
import math
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.domain.errors import InputError

if TYPE_CHECKING:
    from engine.features.strategy import Number, Strategy
    from engine.workforce import Workforce
    from research.configuration import TournamentSettings
    from research.tuning import Tuning
    from research.tuning_search import Quest

TRIALS = 100
OBJECTIVE = "excess_sharpe"
SEED = 1
_WORKERS_MAX = 8

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help="Search a strategy's parameters inside every walk-forward window.")
def tune(
    strategy: Annotated[str, typer.Option("--strategy", metavar="NAME", help="See: engine strategy list")],
    data: Annotated[
        str | None, typer.Option("--data", metavar="NAME", help="See: engine data list; or by --config.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Parameter sets to play in each window.")] = TRIALS,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="NAME",
            help="excess_sharpe (default), sharpe, calmar, cagr, max_drawdown, cvar_95, low_turnover; "
            "several are balanced.",
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", metavar="NAME=LOW:HIGH", help="A narrower range, or NAME=VALUE to fix a parameter."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = SEED,
    train: Annotated[
        int | None, typer.Option(min=1, metavar="BARS", help="To search on; by default three years.")
    ] = None,
    retune: Annotated[
        int | None,
        typer.Option(min=1, metavar="BARS", help="From one search to the next; by default a year."),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Give up what is below the median after half of the bars; of one objective."
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Costs, limits and rules as of a tournament."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default all cores, at most 8.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="ADDRESS", help="Search on a Ray cluster: its address, auto for ours, or local."
        ),
    ] = None,
    tracking: Annotated[
        str | None,
        typer.Option("--tracking", metavar="URI", help="Tracking store of MLflow; by default one in state/."),
    ] = None,
    track: Annotated[bool, typer.Option("--track/--no-tracking", help="Track the run in MLflow.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Search, play what was chosen as one account, write `runs/<run_id>/` and print what came of it.

    Ctrl-C is safe: the same command carries on.
    """
    from rich.console import Console

    from engine.cli.first_run import Kernel, tell_if_first
    from engine.cli.progress import ScreenReporter
    from engine.cli.tracking import finish, tracking_of
    from engine.home import runs_folder
    from engine.strategy_files import strategy_class

    wanted = tracking_of(tracking, wanted=track)
    kind = strategy_class(strategy)
    given = dict(_given(text) for text in param or [])
    settings = _settings(data, config)
    quest = _quest(
        kind,
        settings,
        given,
        objectives=objective or [OBJECTIVE],
        trials=trials,
        seed=seed,
        pruning=prune,
    )
    tell_if_first(Kernel.ALL_BARS)
    with ScreenReporter(Console(stderr=True)) as reporter, _workforce(workers, ray) as workforce:
        from research.tuning import tune as search
        from scoreboards.tuning_files import publish

        reporter.note("Ctrl-C is safe: what is finished is kept, the same command carries on")
        done = search(quest, train, retune, reporter, workforce)
        folder = runs_folder() / done.run_id
        published = publish(done, folder)
        reporter.step("page", f"written to {folder.name}")
    if as_json:
        typer.echo(json.dumps(published.document, sort_keys=True, allow_nan=False))
    else:
        _show(done, published.page)
    # After the result is shown: MLflow takes seconds to load.
    if failed := finish(folder, wanted):
        raise typer.Exit(failed)


def _given(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name.strip() and sign and value.strip()):
        raise InputError(f"--param {text!r} must be NAME=LOW:HIGH or NAME=VALUE, such as --param fast=5:40")
    return name.strip(), value.strip()


def _settings(data: str | None, config: Path | None) -> "TournamentSettings":
    from research.configuration import for_data, on_data, read

    if config is None:
        if data is None:
            raise InputError("nothing to tune on: name a data set (--data us20) or a file (--config FILE)")
        return for_data(data)
    settings = read(config)
    names = [universe.name for universe in settings.configuration.universes]
    if data is None and len(names) > 1:
        raise InputError(f"{config} names {len(names)} data sets, {', '.join(names)}; pick one with --data")
    return on_data(settings, [data or names[0]])


def _quest(
    kind: "type[Strategy]",
    settings: "TournamentSettings",
    given: dict[str, str],
    *,
    objectives: list[str],
    trials: int,
    seed: int,
    pruning: bool,
) -> "Quest":
    """Return what is searched; a parameter that is fixed has its value for untuned, too."""
    from research.tuning_objectives import objectives_of
    from research.tuning_search import Quest, ranges_of

    name = kind.strategy_name()
    ends = {key: _ends(key, text) for key, text in given.items()}
    # Unknown names are refused with the nearest one; values are checked with their range.
    known = kind.of({}).parameters
    for key in ends:
        if key not in known:
            kind.of({key: 0})
    ranges = ranges_of(kind, ends)
    wanted = objectives_of(objectives)
    if pruning and len(wanted) > 1:
        raise InputError("--prune needs one --objective: of several there is no median to be below")
    configured = settings.configuration.parameters.get(name, {})
    fixed = {key: low for key, (low, high) in ends.items() if low == high}
    return Quest(
        kind=kind,
        base=kind.of({**configured, **fixed}).parameters,
        ranges=ranges,
        objectives=wanted,
        trials=trials,
        seed=seed,
        pruning=pruning,
        settings=settings,
    )


def _ends(name: str, text: str) -> "tuple[Number, Number]":
    low, colon, high = text.partition(":")
    return _number(name, low), _number(name, high if colon else low)


def _number(name: str, text: str) -> "Number":
    try:
        value = float(text)
    except ValueError:
        raise InputError(
            f"--param {name}={text}: must be a number, or a range such as --param {name}=5:40"
        ) from None
    if not math.isfinite(value):
        raise InputError(f"--param {name}={text}: must be finite")
    try:
        return int(text)
    except ValueError:
        return value


def _workforce(workers: int | None, ray: str | None) -> "AbstractContextManager[Workforce]":
    from engine.workforce import LocalWorkers, ThisProcess

    if ray is not None:
        if workers is not None:
            raise InputError("--workers is for this machine, --ray for a cluster: give one of them")
        from research.cluster import RayCluster

        return RayCluster(ray)
    count = workers or min(os.cpu_count() or 1, _WORKERS_MAX)
    return nullcontext(ThisProcess()) if count == 1 else LocalWorkers(count)


def _show(done: "Tuning", page: Path) -> None:
    """Print verdict, reason, what is behind it, the next command and the path."""
    from rich.console import Console
    from rich.text import Text

    from engine.cli.scoreboard import shown_folder
    from scoreboards.tuning_words import TONES, facts, next_step, verdict_of

    styles: dict[str, Any] = {"good": "bold blue", "hold": "bold yellow", "bad": "bold rgb(208,101,10)"}
    screen = Console(highlight=False, soft_wrap=True)
    verdict = verdict_of(done)
    screen.print(
        Text.assemble((f"{verdict.outcome}  ", styles[TONES[verdict.outcome]]), (verdict.headline, "bold"))
    )
    screen.print(Text(f"  {verdict.reason}\n"))
    for label, words in facts(done).items():
        screen.print(Text(f"  {label:<14} {words}"))
    screen.print(Text(f"\n  next   {next_step(done, verdict.outcome)}"))
    screen.print(Text(f"  page   {shown_folder(page)}"))
