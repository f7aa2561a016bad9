"""Kills a writer of the lake before one operation on the disk after the other, and looks at what is left.

Run in a process of its own: `python -m tests.lake_crash FOLDER STRIDE`; a stride of 1 is every operation. It
prints how many operations there were; it fails where a lake lost something, or where the same work done again
does not end with the same bytes.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.data.lake.lake import Lake
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, BTC_TRADES, bars, same_bytes, trades

MOMENTS = (10**18, 2 * 10**18, 3 * 10**18)
_OPERATIONS = ("write", "fsync", "rename", "mkdir", "unlink", "open")


def work(lake: Lake) -> None:
    """Append history and a reply, then all kinds of changes at once over months, then trades; and freeze."""
    first, second, third = MOMENTS
    lake.append(BTC, bars({1: 11.0, 2: 12.0, 4: 14.0}), known_at=first, source="test", run="run-1")
    lake.archive("run-1", "page 1", b"{}" * 1000)
    changed = bars({-900: 5.0, 0: 10.0, 1: 11.5, 2: 12.0, 3: 13.0, 4: 14.5, 5: 15.0, 900: 16.0})
    lake.append(BTC, changed, known_at=second, source="test", run="run-1")
    lake.append(BTC_TRADES, trades([(0, 1, 10.0), (9, 2, 11.0)]), known_at=third, source="test", run="run-1")
    lake.freeze("mine", [BTC], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)


def main(folder: Path, stride: int) -> int:
    """Kill at every so-many-th operation until one run lives to its end; return how many there were."""
    undisturbed = Lake(folder / "undisturbed")
    work(undisturbed)
    expected = undisturbed.read(BTC)
    for operation in range(0, 10_000, stride):
        lake = Lake(folder / f"killed-{operation}")
        if _killed_at(operation, lake) is False:
            return operation
        lost = [problem for problem in lake.verify() if problem.kind.loses_data]
        assert not lost, (operation, lost)
        seen = Lake(lake.root).read(BTC)
        seen_at = max((part.known_at for part in lake.parts(BTC)), default=0)

        work(lake)

        assert lake.verify() == [], operation
        assert same_bytes(lake.read(BTC), expected), operation
        assert lake.version("mine").content_hash == undisturbed.version("mine").content_hash, operation
        assert lake.versions("mine") == [1], operation
        assert lake.read_trades(BTC_TRADES).ids.tolist() == [1, 2], operation
        # The first append of what a crash cut off is later than what the crash left.
        if seen_at and seen_at < MOMENTS[1]:
            assert len(lake.read(BTC, as_of=seen_at)) >= len(seen), operation
    raise AssertionError("no end")


def _killed_at(operation: int, lake: Lake) -> bool:
    """Do the work in a child that kills itself before an operation; return False if it came to its end."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                if count == operation:
                    if name == "write":
                        # Half of a file is on the disk.
                        real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
                return real(*arguments, **named)

            return call

        for name in _OPERATIONS:
            setattr(os, name, counted(name, getattr(os, name)))
        work(lake)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]), int(sys.argv[2]))}\n")
