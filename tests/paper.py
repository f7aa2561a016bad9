"""Paper sessions as they are typed: in this process, or in one of their own that can be killed."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from engine.cli.main import app
from engine.journal.kinds import Kind
from engine.journal.reading import Record, read
from engine.journal.storage import LOG

PACKAGED = (
    "buy_and_hold",
    "channel_breakout",
    "cross_sectional_momentum",
    "low_volatility",
    "mean_reversion",
    "time_series_momentum",
    "trend",
)
EVERY_ORDER = "every_order"
ENGINE = Path(sys.executable).with_name("engine")
_POLL_SECONDS = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command answered."""

    code: int
    output: str
    errors: str

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` printed."""
        assert self.code == 0, f"exit {self.code}: {self.errors}"
        document: dict[str, Any] = json.loads(self.output)
        return document


def engine(*arguments: str) -> Said:
    """Run a command in this process."""
    result = CliRunner().invoke(app, list(arguments), prog_name="engine")
    return Said(code=result.exit_code, output=result.stdout, errors=result.stderr)


def replayed(strategy: str, data: str, *more: str) -> tuple[str, ...]:
    """Return the arguments of a session that nothing promoted."""
    return ("paper", "--strategy", strategy, "--feed", "replay", "--data", data, "--force-research", *more)


def project_with_every_order(folder: Path) -> Path:
    """Make a project whose own strategy sends every kind of order."""
    own = folder / "strategies"
    own.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("every_order.py"), own / f"{EVERY_ORDER}.py")
    return folder


def started(arguments: Sequence[str], *, project: Path, home: Path) -> subprocess.Popen[str]:
    """Run a command in a process of its own."""
    return subprocess.Popen(
        [ENGINE, *arguments],
        cwd=project,
        env=os.environ | {"GAUNTLET_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> Said:
    """Return what a process said when it has ended."""
    output, errors = process.communicate()
    return Said(code=process.returncode, output=output, errors=errors)


def log_of(home: Path) -> Path | None:
    """Return the journal of the only session of a home."""
    logs = list((home / "state" / "sessions").glob(f"*/{LOG}"))
    assert len(logs) < 2, f"one session is expected, there are {logs}"
    return logs[0] if logs else None


def size_of(home: Path) -> int:
    """Return the length of the journal of a home that was written last; 0 where there is none yet."""
    found = [log.stat() for log in (home / "state" / "sessions").glob(f"*/{LOG}")]
    return max(((log.st_mtime_ns, log.st_size) for log in found), default=(0, 0))[1]


def kill_at(process: subprocess.Popen[str], home: Path, size: int) -> bool:
    """Kill a process with its journal that long; say whether it was still alive."""
    while process.poll() is None and size_of(home) < size:
        time.sleep(_POLL_SECONDS)
    process.kill()
    answer(process)
    return process.returncode < 0


def seconds_to_first_new_bar(folder: Path, began: float) -> float | None:
    """Return how long after `began` (UTC seconds) the last restart had its first new bar safe on disk."""
    first: float | None = None
    is_new = False
    for record in read(folder):
        if record.kind is Kind.SESSION_RESUMED:
            is_new, first = record.time_ns / 1e9 >= began, None
        elif is_new and first is None and record.kind is Kind.BAR:
            first = record.time_ns / 1e9 - began
    return first


def facts(folder: Path) -> list[Record]:
    """Return what was known, decided and done."""
    return [record for record in read(folder) if record.kind < Kind.SESSION_RESUMED]
