"""The root of the command line: names the commands, imports one only when it is used.

`engine --help` must feel instant. numpy, pandas and pydantic take longer to import than a person waits, so
the names and one-line helps stand here and a command's module is imported when the command runs.
"""

import importlib
import os
from typing import Any

import typer
from typer.core import TyperGroup

from engine.cli.light import leave_as_typed
from engine.domain.errors import GauntletError

# Name -> (module that holds a Typer `app`, help). The order is the order of work.
COMMANDS = {
    "data": ("engine.cli.data", "List, import, show and audit data sets"),
    "discover": ("engine.cli.discover", "Scan a data set for candidates: universe, venue, asset, signal"),
    "strategy": ("engine.cli.strategy", "List, write, check and show strategies"),
    "backtest": ("engine.cli.backtest", "Run one strategy on one data set"),
    "tune": ("engine.cli.tune", "Search a strategy's parameters inside every walk-forward window"),
    "tournament": ("engine.cli.tournament", "Play every strategy walk-forward and judge it"),
    "scoreboard": ("engine.cli.scoreboard", "Show the verdicts of a tournament and the reasons"),
    "report": ("engine.cli.report", "Write the report on a row of a scoreboard, or on a bare strategy"),
    "runs": ("engine.cli.runs", "List, show, compare, verify, track and delete runs"),
    "promote": ("engine.cli.promote", "Move what passed one step up, or say what is missing"),
    "holdout": ("engine.cli.holdout", "List the sealed bars, and open them once for a candidate"),
    "paper": ("engine.cli.paper", "Run a strategy on a feed with pretend money"),
    "status": ("engine.cli.status", "Show what every session does, why, and what to do next"),
    "orders": ("engine.cli.orders", "Show the orders of a session, their fills and the reasons"),
    "parity": ("engine.cli.parity", "Prove that a session did what a backtest of its bars does"),
    "replay": ("engine.cli.replay", "Work a session again from its journal alone"),
    "journal": ("engine.cli.journal", "Find, verify and read the journals"),
    "sandbox": ("engine.cli.sandbox", "Serve a practice exchange on this machine that ccxt takes for Kraken"),
}

INTERRUPTED = 130


def _installs_completion(option: str | None) -> bool:
    return option in {"install_completion", "show_completion"}


class _CommandsOnUse(TyperGroup):
    """A group whose commands are known by name and imported on use."""

    def __init__(self, **attributes: Any) -> None:
        # A placeholder carries name and help; `resolve_command` swaps in the real command.
        placeholders = {name: TyperGroup(name=name, help=line) for name, (_, line) in COMMANDS.items()}
        super().__init__(**attributes | {"commands": placeholders})

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options of `engine` itself, which are switches."""
        return leave_as_typed(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begins with, and import it."""
        if args[0] in COMMANDS:
            module = importlib.import_module(COMMANDS[args[0]][0])
            command = typer.main.get_command(module.app)
            # Completion is installed for the whole of `engine`, not for one command.
            command.params = [option for option in command.params if not _installs_completion(option.name)]
            self.commands[args[0]] = command
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what the user can mend is one message, not a traceback."""
        if "NO_COLOR" in os.environ:
            # Every `echo` below asks its context.
            ctx.color = False
        try:
            return super().invoke(ctx)
        except GauntletError as error:
            from engine.cli.errors import report

            raise typer.Exit(report(error)) from None
        except OSError as error:
            from engine.cli.errors import report, unusable_home

            if (refused := unusable_home(error)) is None:
                raise
            raise typer.Exit(report(refused)) from None
        except KeyboardInterrupt:
            typer.echo("\nInterrupted. Finished work is kept: the same command carries on.", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_CommandsOnUse,
    no_args_is_help=True,
    # Rich help costs 0.2 s of imports, and a traceback of ours shows no variables of the user's.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"engine {version('gauntlet')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Gauntlet: from an idea to a strict verdict, on one compiled path."""


def main() -> None:
    """Run the console script `engine`."""
    # Solvers call BLAS: with one thread, equal inputs give equal bits. Read once, when numpy is imported.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    app(prog_name="engine")
