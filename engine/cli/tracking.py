"""What commands that end in a run do about tracking it: after the result is shown, never instead of it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from engine.domain.errors import InputError

if TYPE_CHECKING:
    from scoreboards.tracking import Tracked

CHECK_SAID_NO = 1
SWITCH = "GAUNTLET_TRACKING"
_OFF = ("off", "0", "false", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """Where a run will be tracked.

    Attributes
    ----------
    uri
        None for the store of this home.
    is_asked_for
        Whether it stands on the command line: then a failure is one of the command.
    """

    uri: str | None
    is_asked_for: bool = False


def tracking_of(uri: str | None, *, wanted: bool) -> Tracking | None:
    """Return where to track; None where nobody wants it.

    The command line comes first, then `MLFLOW_TRACKING_URI`, then the store of this home.
    `GAUNTLET_TRACKING=off` switches off what the command line does not ask for.

    Parameters
    ----------
    uri
        Of the option `--tracking`.
    wanted
        False with `--no-tracking`.

    Raises
    ------
    InputError
        If both were given.
    """
    if uri is not None:
        if not wanted:
            raise InputError("--tracking and --no-tracking: give one of them")
        return Tracking(uri=uri, is_asked_for=True)
    if not wanted or os.environ.get(SWITCH, "").lower() in _OFF:
        return None
    return Tracking(uri=os.environ.get("MLFLOW_TRACKING_URI") or None)


def finish(folder: Path, tracking: Tracking | None) -> int:
    """Write the hashes of a finished run beside it, track it, say so in one line, and return the exit code.

    The line goes to stderr: stdout is for the result.
    """
    from scoreboards.run_files import write_sums

    write_sums(folder)
    if tracking is None:
        return 0
    from scoreboards.tracking import TrackingError, track
    from scoreboards.tracking_record import record_of

    if sys.stderr.isatty():
        # MLflow takes seconds to load: who waits is told for what, on a line that is written over.
        typer.echo("  tracking, the result above is written\r", nl=False, err=True)
    try:
        done = track(record_of(folder), tracking.uri)
    except TrackingError as error:
        typer.echo(f"  ! not tracked  {error}; later:  engine runs track {folder.name}", err=True)
        return CHECK_SAID_NO if tracking.is_asked_for else 0
    typer.echo(f"  {tracked_words(done)}", err=True)
    return 0


def tracked_words(done: "Tracked") -> str:
    """Return where a run is tracked, in one line."""
    rows = f" with {done.n_children} rows" if done.n_children else ""
    before = "" if done.is_new else "; it was there already"
    return f"tracked as {done.tracking_id}{rows} in {done.uri}{before}"
