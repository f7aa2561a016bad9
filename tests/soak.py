"""Sessions that are killed again and again: what they lose, what they double, how long a restart takes.

`python -m tests.soak [--kills 50] [--strategy NAME ...] [--data NAME ...] [--seed N]`. For every packaged
strategy and one that sends every kind of order, on five years of real bars and on all generated ones: a
session that nobody touches, and one that is killed (`kill -9`) so many times, at random lengths of its
journal and after random times. The second must say what the first says; then its journal is verified,
compared with a backtest and replayed. Exit 1 if anything differs or a restart took too long.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.home import cache_folder
from engine.journal.kinds import Kind
from engine.journal.reading import read, verify
from tests.paper import (
    EVERY_ORDER,
    PACKAGED,
    answer,
    kill_at,
    project_with_every_order,
    replayed,
    size_of,
    started,
)

RESTART_SECONDS_MAX = 1.5
DATES = {"us5": ("--from", "2003-01-01", "--to", "2007-12-31"), "planted": ()}
# Of all kills, those after a time instead of at a length: they meet a session that is still starting.
_BY_TIME = 0.3
_START_SECONDS = 1.2
_COLUMNS = (
    ("strategy", 26), ("data", 8), ("bars", 6), ("bars/s", 7), ("fills", 6), ("kills", 6), ("runs", 5),
    ("restart p50", 12), ("max", 7), ("facts", 9), ("verify", 7), ("parity", 7), ("replay", 7),
)  # fmt: skip


@dataclass(kw_only=True)
class Round:
    """One strategy on one data set.

    Attributes
    ----------
    runs
        Sessions that came to their end; one that ends before the last kill is followed by another.
    restarts
        Seconds from the start of a process to its first new bar on disk.
    """

    strategy: str
    data: str
    bars: int = 0
    bars_a_second: float = 0.0
    fills: int = 0
    kills: int = 0
    runs: int = 0
    restarts: list[float] = field(default_factory=list)
    is_equal: bool = True
    checks: dict[str, bool] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost or doubled and every restart was quick."""
        quick = max(self.restarts, default=0.0) < RESTART_SECONDS_MAX
        return self.is_equal and quick and all(self.checks.values())

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""

        def said(name: str) -> str:
            return "ok" if self.checks.get(name) else "FAILED"

        p50, worst = (np.median(self.restarts), max(self.restarts)) if self.restarts else (np.nan, np.nan)
        return (
            self.strategy, self.data, f"{self.bars:,}", f"{self.bars_a_second:,.0f}", f"{self.fills:,}",
            str(self.kills), str(self.runs), f"{p50:.2f} s", f"{worst:.2f} s",
            "equal" if self.is_equal else "DIFFERENT", said("verify"), said("parity"), said("replay"),
        )  # fmt: skip


def soak(
    strategy: str, data: str, *, kills: int, generator: np.random.Generator, folder: Path, project: Path
) -> Round:
    """Play one strategy on one data set, untouched and killed."""
    done = Round(strategy=strategy, data=data)
    command = replayed(strategy, data, *DATES[data], "--json")
    whole = _home(folder / "untouched")
    usual = answer(started(command, project=project, home=whole)).document
    content, size = usual["content_hash"], Path(usual["journal"]).stat().st_size
    done.bars, done.fills = usual["bars"], usual["fills"]
    done.bars_a_second = _bars_a_second(Path(usual["journal"]).parent)
    home = _home(folder / "killed")
    began: list[float] = []
    while done.kills < kills:
        began.append(time.time())  # noqa: TID251  # compared with the times that journals hold
        process = started(command, project=project, home=home)
        if generator.random() < _BY_TIME:
            time.sleep(generator.uniform(0.0, _START_SECONDS))
            process.kill()
            answer(process)
            is_killed = process.returncode < 0
        else:
            longer = int(generator.exponential(size / kills))
            is_killed = kill_at(process, home, size_of(home) + longer)
        done.kills += is_killed
    began.append(time.time())  # noqa: TID251
    last = answer(started(command, project=project, home=home)).document
    folders = sorted((home / "state" / "sessions").iterdir())
    done.runs = len(folders)
    done.is_equal = all(verify(session).content_hash == content for session in folders)
    for session in folders:
        done.restarts += _restarts(session, began)
    for name, check in (
        ("verify", ("journal", "verify")), ("parity", ("parity",)), ("replay", ("replay",)),
    ):  # fmt: skip
        said = answer(
            started((*check, "--session", last["session_id"], "--json"), project=project, home=home)
        )
        done.checks[name] = said.code == 0
    return done


def _home(folder: Path) -> Path:
    """Make a home that shares the compiled kernels: compiling takes longer than a session."""
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "kernels").symlink_to(cache_folder() / "kernels", target_is_directory=True)
    return folder


def _bars_a_second(folder: Path) -> float:
    """Return the speed of a session after its first batch, in which the kernels are loaded."""
    times = [record.time_ns for record in read(folder) if record.kind is Kind.BAR]
    return (len(times) - times.count(times[0])) / max((times[-1] - times[0]) / 1e9, 1e-9)


def _restarts(folder: Path, began: Sequence[float]) -> list[float]:
    """Return how long after its start each process that went on had its first new bar on disk."""
    seconds = []
    is_new = False
    for record in read(folder):
        if record.kind is Kind.SESSION_RESUMED:
            is_new = True
        elif is_new and record.kind is Kind.BAR:
            is_new = False
            at = record.time_ns / 1e9
            seconds.append(at - max(time_began for time_began in began if time_began <= at))
    return seconds


def _line(cells: Sequence[str]) -> str:
    return "".join(f"{cell:<{width}}" for cell, (_, width) in zip(cells, _COLUMNS, strict=True)).rstrip()


def main(arguments: Sequence[str]) -> int:
    """Print a line for each strategy and data set; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--strategy", nargs="*", default=[*PACKAGED, EVERY_ORDER])
    parser.add_argument("--data", nargs="*", default=list(DATES), choices=list(DATES))
    parser.add_argument("--seed", type=int, default=20_240_131)
    chosen = parser.parse_args(arguments)
    sys.stdout.write(_line([name for name, _ in _COLUMNS]) + "\n")
    rounds = []
    with tempfile.TemporaryDirectory(prefix="gauntlet-soak-") as temporary:
        project = project_with_every_order(Path(temporary) / "project")
        for place, (strategy, data) in enumerate(
            (strategy, data) for strategy in chosen.strategy for data in chosen.data
        ):
            done = soak(
                strategy,
                data,
                kills=chosen.kills,
                generator=np.random.default_rng([chosen.seed, place]),
                folder=Path(temporary) / f"{strategy}-{data}",
                project=project,
            )
            rounds.append(done)
            sys.stdout.write(_line(done.cells()) + "\n")
            sys.stdout.flush()
    restarts = [seconds for done in rounds for seconds in done.restarts]
    bad = [f"{done.strategy} on {done.data}" for done in rounds if not done.is_good]
    sys.stdout.write(
        f"\n{sum(done.kills for done in rounds):,} kills, {len(restarts):,} restarts measured, median "
        f"{np.median(restarts):.2f} s, longest {max(restarts):.2f} s (limit {RESTART_SECONDS_MAX} s)\n"
        f"{'NOT GOOD: ' + ', '.join(bad) if bad else 'nothing lost, nothing doubled, every restart quick'}\n"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
