"""Bars a second of a paper session on replay, journal and all, as a user runs it.

`python -m benchmarks.replay` prints the figures; `measure_replay` returns them.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.home import cache_folder, state_folder

ENGINE = Path(sys.executable).with_name("engine")
_SESSION = (
    "paper",
    "--strategy",
    "trend",
    "--feed",
    "replay",
    "--data",
    "planted",
    "--force-research",
    "--json",
)
# A session of a few bars costs what starting costs.
_FEW_BARS = ("--to", "2008-01-10")


@dataclass(frozen=True, kw_only=True)
class ReplayTimes:
    """Medians over sessions, each in a process of its own.

    Attributes
    ----------
    bars_per_s
        Of the bars between a short session and a whole one, which start alike.
    start_s
        Wall time of the short session: from the command to its end.
    """

    bars: int
    fills: int
    bars_per_s: float
    start_s: float


def _session(home: Path, *more: str) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    answer = subprocess.run(
        [ENGINE, *_SESSION, *more],
        env=os.environ | {"GAUNTLET_HOME": str(home)},
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - began, json.loads(answer.stdout)


def measure_replay(sessions: int = 3) -> ReplayTimes:
    """Play the trend strategy on `planted` from its first bar to its last, on the disk of real sessions."""
    state_folder().mkdir(parents=True, exist_ok=True)
    whole, short = [], []
    few: dict[str, Any] = {}
    all_bars: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-paper-", dir=state_folder()) as folder:
        home = Path(folder)
        (home / "cache").mkdir()
        (home / "cache" / "kernels").symlink_to(cache_folder() / "kernels", target_is_directory=True)
        _session(home, *_FEW_BARS)
        for _ in range(sessions):
            seconds, few = _session(home, *_FEW_BARS)
            short.append(seconds)
            seconds, all_bars = _session(home)
            whole.append(seconds)
    bars = all_bars["bars"] - few["bars"]
    return ReplayTimes(
        bars=all_bars["bars"],
        fills=all_bars["fills"],
        bars_per_s=bars / statistics.median(long - start for long, start in zip(whole, short, strict=True)),
        start_s=statistics.median(short),
    )


def show(times: ReplayTimes) -> None:
    """Print the figures."""
    print(
        "    paper replay of {bars:,} bars with {fills:,} fills, journal on: {bars_per_s:,.0f} bars/s; "
        "a session starts in {start_s:.2f} s".format(**asdict(times))
    )


if __name__ == "__main__":
    show(measure_replay())
    sys.exit(0)
