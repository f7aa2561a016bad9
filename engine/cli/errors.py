"""What a person sees when something that they gave cannot be used: the place, the reason, how to mend it."""

import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from engine.domain.errors import (
    ConfigurationError,
    GauntletError,
    InputError,
    InvalidValueError,
    Problem,
    RefusedError,
)
from engine.home import home

BAD_INPUT = 2
CHECK_SAID_NO = 1
GATE_NOT_MET = 5


def report(error: GauntletError, arguments: Sequence[str] | None = None) -> int:
    """Print an error on stderr and return the exit code.

    Parameters
    ----------
    arguments
        Of the command line. With `--json` among them the error is one JSON document, so that a script which
        reads stdout as JSON finds its errors in the same language.
    """
    given = sys.argv[1:] if arguments is None else arguments
    code = _exit_code(error)
    if "--json" in given:
        sys.stderr.write(json.dumps(_document(error, code), sort_keys=True) + "\n")
        return code
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if isinstance(error, ConfigurationError):
        _print_problems(console, error)
    elif isinstance(error, RefusedError):
        console.print(Text.assemble(("  ✕ refused  ", "bold red"), str(error)))
        if error.next_command:
            console.print(Text(f"    next  {error.next_command}"))
    else:
        console.print(Text.assemble(("  ✕ ", "bold red"), str(error)))
    console.print(Text(f"  exit {code}", style="dim"))
    return code


def unusable_home(error: OSError) -> InputError | None:
    """Return what to tell about a home that cannot be used; None if the error is about something else."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"the disk is full: {error}; make room, or set GAUNTLET_HOME to another folder")
    place = home()
    paths = [Path(str(name)) for name in (error.filename, error.filename2) if name is not None]
    refused = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
    # Where the home itself cannot be made, the error may name a folder above it.
    if not any(place.is_relative_to(path) or (refused and path.is_relative_to(place)) for path in paths):
        return None
    return InputError(f"{place} cannot be used: {error}; set GAUNTLET_HOME to a folder that can be written")


def _exit_code(error: GauntletError) -> int:
    if isinstance(error, RefusedError):
        return GATE_NOT_MET
    return BAD_INPUT if isinstance(error, InputError | InvalidValueError) else CHECK_SAID_NO


def _document(error: GauntletError, code: int) -> dict[str, object]:
    document: dict[str, object] = {"error": type(error).__name__, "message": str(error), "exit": code}
    if isinstance(error, RefusedError) and error.next_command:
        document["next"] = error.next_command
    if isinstance(error, ConfigurationError):
        document["path"] = error.path
        document["problems"] = [
            {"line": p.line, "column": p.column, "text": p.text, "message": p.message} for p in error.problems
        ]
    return document


def _print_problems(console: Console, error: ConfigurationError) -> None:
    count = len(error.problems)
    noun = "problem" if count == 1 else "problems"
    console.print(
        Text.assemble(("  ✕ ", "bold red"), (error.path, "bold"), f"  {count} {noun}, nothing was run\n")
    )
    gutter = max((len(str(problem.line)) for problem in error.problems), default=1)
    for problem in error.problems:
        if problem.line == 0:
            console.print(Text(f"    {problem.message}"))
            continue
        for line in _excerpt(problem, gutter):
            console.print(line)


def _excerpt(problem: Problem, gutter: int) -> tuple[Text, Text]:
    """Return the offending line behind its number, and the message behind carets under the place."""
    blank = " " * gutter
    text = problem.text.replace("\t", " ")
    shown = Text.assemble((f"    {problem.line:>{gutter}} │ ", "dim"), text)
    carets = " " * (problem.column - 1) + "^" * problem.width
    below = Text.assemble((f"    {blank} │ ", "dim"), (carets, "bold red"), f"  {problem.message}")
    return shown, below
