"""The sealed end of every data set: reading it is an act that is written down and counted."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.data import catalogue
from engine.domain.errors import InputError
from engine.domain.panel import Panel
from engine.home import state_folder

_JOURNAL = "holdout.jsonl"


def journal() -> Path:
    """Return the file of openings: one JSON object a line, only ever appended to."""
    return state_folder() / _JOURNAL


def open_holdout(
    name: str,
    strategy_id: str,
    operator: str,
    reason: str,
    *,
    clock: Callable[[], int] = time.time_ns,  # noqa: TID251  # a person acts, and the act is dated
) -> Panel:
    """Return all bars of a data set, the sealed ones included, after writing down who asked and why.

    Parameters
    ----------
    clock
        Returns UTC nanoseconds.

    Raises
    ------
    InputError
        If the strategy, the operator or the reason is empty, or the data set is not known.
    """
    for field, value in (("strategy_id", strategy_id), ("operator", operator), ("reason", reason)):
        if not value.strip():
            raise InputError(
                f"hold-out of {name}: {field} must not be empty, an opening needs a name and a reason"
            )
    panel = catalogue.load(name, sealed=False)
    known = catalogue.manifest(name)
    _append(
        {
            "data": name,
            "content_hash": known.content_hash,
            "strategy_id": strategy_id,
            "operator": operator,
            "reason": reason,
            "sealed_rows": known.holdout_rows,
            # Integers beyond 2^53 are written as decimal strings.
            "opened_at_ns": str(clock()),
        }
    )
    return panel


def openings(name: str) -> int:
    """Return how often the hold-out of a data set was opened.

    The same bars under another name count too, and so does a line that cannot be read: it was an opening,
    and nobody can say of what.
    """
    content_hash = catalogue.manifest(name).content_hash
    return sum(
        entry is None or entry.get("data") == name or entry.get("content_hash") == content_hash
        for entry in _entries()
    )


def _entries() -> Iterator[dict[str, object] | None]:
    try:
        lines = journal().read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        yield entry if isinstance(entry, dict) else None


def _append(entry: dict[str, object]) -> None:
    path = journal()
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(entry, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # A line torn by a crash must not swallow this one.
            line = b"\n" + line
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
