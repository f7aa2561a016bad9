"""`engine journal`: where the authoritative record of a session is, whether it is whole, and what it says."""

import json
import re
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.domain.errors import InputError
from engine.home import promotions_folder, scans_folder, sessions_folder
from engine.journal.storage import LOG, lock_holder

if TYPE_CHECKING:
    from engine.journal.reading import Record, Verification

CHECK_SAID_NO = 1
SESSION_ID = r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

# Bodies hold numbers as hexadecimal text of 16 digits each; a person wants to see these.
_NUMBERS = frozenset({"cash", "equity", "scale", "signals", "haircut"})
_SHOWN_MAX = 6
_TEXT_MAX = 16
_MEANINGS = {
    "CLEAN": "every batch that was acknowledged is there, unchanged",
    "TORN_TAIL": "every batch that was acknowledged is there; the last one was not finished",
    "CORRUPT": "what was acknowledged has been changed or damaged",
    "ROLLBACK": "batches that were acknowledged are missing",
    "ANCHOR_CORRUPT": "the anchor beside the log cannot be used, so nothing says whether the log is whole",
    "SCHEMA_NEWER": "written by a newer engine",
}

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Find, verify and read the journals.")

_Session = Annotated[str | None, typer.Option("--session", metavar="ID", help="Id of a session.")]
_Promotions = Annotated[bool, typer.Option("--promotions", help="The journal of promotions.")]
_Scans = Annotated[bool, typer.Option("--scans", help="The journal of scans.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command()
def path(
    session: _Session = None, promotions: _Promotions = False, scans: _Scans = False, as_json: _Json = False
) -> None:
    """Print the path of the file that decides what happened."""
    log = str(_folder(session, promotions=promotions, scans=scans) / LOG)
    if as_json:
        _print_json({"session": session, "path": log})
    else:
        typer.echo(log)


@app.command()
def verify(
    session: _Session = None, promotions: _Promotions = False, scans: _Scans = False, as_json: _Json = False
) -> None:
    """Check every byte of a journal. Exit 1 if anything that was acknowledged is missing or changed."""
    from engine.journal import reading

    folder = _folder(session, promotions=promotions, scans=scans)
    verification = reading.verify(folder)
    if as_json:
        _print_json(
            asdict(verification)
            | {"session": session, "path": str(folder / LOG), "usable": verification.status.usable}
        )
    else:
        _print_verification(verification, folder, _option(session, scans=scans))
    if not verification.status.usable:
        raise typer.Exit(CHECK_SAID_NO)


@app.command()
def tail(
    session: _Session = None,
    promotions: _Promotions = False,
    scans: _Scans = False,
    count: Annotated[int, typer.Option("-n", min=1, help="How many records.")] = 20,
    as_json: _Json = False,
) -> None:
    """Print the last records, one a line."""
    from engine.journal import reading

    folder = _folder(session, promotions=promotions, scans=scans)
    records = deque(reading.read(folder), maxlen=count)
    if as_json:
        _print_json(
            {"session": session, "path": str(folder / LOG), "records": [_document(r) for r in records]}
        )
        return
    for record in records:
        facts = "  ".join(f"{_name(key)}={_shown(key, record.body[key])}" for key in _in_order(record.body))
        typer.echo(
            f"{record.sequence:>7}  {_instant(record.time_ns // 1000)}  {record.kind.name:<19}  {facts}"
        )
    if not records:
        typer.echo("nothing was written yet")


def _print_verification(verification: "Verification", folder: Path, option: str) -> None:
    good = verification.status.usable
    mark, colour = {"CLEAN": ("✓", "green"), "TORN_TAIL": ("!", "yellow")}.get(
        verification.status, ("✕", "red")
    )
    head = typer.style(f"  {mark} {verification.status}", fg=colour, bold=True)
    typer.echo(f"{head}   {_MEANINGS[verification.status]}")
    if verification.problem:
        typer.echo(f"    {verification.problem}")
    counts = (verification.batches, verification.records, verification.facts)
    sentence = "{:,} batches, {:,} records, {:,} of them facts".format(*counts)
    typer.echo(f"\n  {'good' if good else 'good up to there':<16}  {sentence}")
    typer.echo(f"  {'head':<16}  {verification.head}")
    typer.echo(f"  {'content hash':<16}  {verification.content_hash}\n")
    for line in _following(verification, folder, option):
        typer.echo(line)
    typer.echo(f"path   {folder / LOG}")


def _following(verification: "Verification", folder: Path, option: str) -> list[str]:
    """Return what to do next, as lines."""
    if verification.status == "CLEAN":
        return [f"next   engine journal tail {option}"]
    if verification.status == "TORN_TAIL":
        writer = lock_holder(folder)
        if writer is not None:
            return [f"next   nothing: process {writer} is writing, its last batch was on the way"]
        cut = verification.size - verification.offset
        return [
            f"next   nothing: when the session goes on, the last {cut:,} bytes are moved to quarantine/",
            "       and that is recorded as TAIL_TRUNCATED",
        ]
    if verification.status == "SCHEMA_NEWER":
        return ["next   use the engine that wrote it, or a newer one; nothing was changed"]
    return [
        "next   keep the folder as it is, and put a copy that verifies in its place;",
        "       nothing is mended by itself, and no session goes on from here",
    ]


def _folder(session: str | None, *, promotions: bool, scans: bool) -> Path:
    """Return the folder of the journal that the options name."""
    if (session is not None) + promotions + scans != 1:
        raise InputError("say which journal: --session ID, --promotions or --scans")
    if session is None:
        folder, done = (promotions_folder(), "promoted") if promotions else (scans_folder(), "scanned")
        if not _holds_journal(folder):
            raise InputError(f"nothing was {done} yet: there is no journal in {folder}")
        return folder
    if re.fullmatch(SESSION_ID, session) is None:
        raise InputError(
            f"--session {session!r}: an id has at most 64 letters, digits, '_', '-' and single '.', and "
            "begins with a letter or a digit"
        )
    folder = sessions_folder() / session
    if not _holds_journal(folder):
        known = sorted(path.name for path in sessions_folder().glob("*") if _holds_journal(path))
        there = f"there are {', '.join(known)}" if known else "there is none yet"
        raise InputError(f"no session {session} in {sessions_folder()}; {there}")
    return folder


def _holds_journal(folder: Path) -> bool:
    # The anchor alone is a journal whose log was deleted: `verify` must be able to say so.
    return any((folder / name).is_file() for name in (LOG, "journal.anchor"))


def _option(session: str | None, *, scans: bool) -> str:
    if session is not None:
        return f"--session {session}"
    return "--scans" if scans else "--promotions"


def _document(record: "Record") -> dict[str, Any]:
    return {
        "sequence": record.sequence,
        "batch": record.batch,
        "time_us": record.time_ns // 1000,
        "kind": record.kind.name,
        "body": record.body,
        "content_hash": record.content_hash,
    }


def _in_order(body: Mapping[str, Any]) -> list[str]:
    """Return the keys of a body: the bar first, what is long last."""
    return sorted(body, key=lambda key: (key != "row", isinstance(body[key], dict | list), key))


def _name(key: str) -> str:
    return key.removesuffix("_e8").removesuffix("_us")


def _shown(key: str, value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return "–"
    if key.endswith("_e8"):
        return f"{Decimal(value).scaleb(-8).normalize():f}"
    if key.endswith("_us"):
        return _instant(value)
    if key in _NUMBERS and isinstance(value, str):
        data = bytes.fromhex(value)
        value = [float(f"{number:.10g}") for (number,) in struct.iter_unpack("<d", data)]
        return _shown("", value[0] if len(value) == 1 else value)
    if isinstance(value, dict):
        return f"{{{len(value)} fields}}"
    if isinstance(value, list):
        if len(value) > _SHOWN_MAX or any(isinstance(item, dict) for item in value):
            return f"[{len(value)} entries]"
        return f"[{' '.join(_shown('', item) for item in value)}]"
    if isinstance(value, str) and len(value) > _TEXT_MAX and re.fullmatch("[0-9a-f]+", value):
        return f"{value[:_TEXT_MAX]}…"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _instant(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1000:03d}Z"


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False))
