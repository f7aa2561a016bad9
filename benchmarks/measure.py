"""CPU seconds by interleaved pairs, memory by fresh processes, and how long a start takes."""

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks import peer
from benchmarks.workloads import WARM_UP_BARS, Workload

REPOSITORY = Path(__file__).parent.parent
ENGINE = Path(sys.executable).with_name("engine")

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Times:
    """Medians over the pairs, of one engine for the work of one of our runs.

    Attributes
    ----------
    cpu_ratio, cpu_ratio_simulation
        Peer / ours, median over pairs: whole, and with the peer's metrics left out (ours keep theirs).
        1 for ourselves.
    """

    cpu_s: float
    wall_s: float
    cpu_ratio: float = 1.0
    cpu_ratio_simulation: float = 1.0


def _timed(work: Callable[[], _Result]) -> tuple[_Result, float, float, float]:
    """Return the result, process CPU seconds, wall seconds, and the CPU clock at the start."""
    gc.collect()
    wall = time.perf_counter()
    cpu = time.process_time()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall, cpu


def measure_pairs(workload: Workload, engines: tuple[str, ...], pairs: int) -> dict[str, Times]:
    """Run ours and each peer in turn, so that other load on the machine meets all of them.

    Returns
    -------
    By engine, `gauntlet` first.
    """
    workload.shortened(WARM_UP_BARS).run()
    for engine in engines:
        peer.warm_up(workload, engine)
    units = peer.units_of_work(workload)
    cpu: dict[str, list[float]] = {name: [] for name in ("gauntlet", *engines)}
    wall: dict[str, list[float]] = {name: [] for name in ("gauntlet", *engines)}
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for repetition in range(pairs):
        for engine in engines:
            _, ours, ours_wall, _ = _timed(workload.run)
            cpu["gauntlet"].append(ours)
            wall["gauntlet"].append(ours_wall)
            result, theirs, theirs_wall, began = _timed(lambda: peer.run(workload, engine, repetition))  # noqa: B023
            cpu[engine].append(theirs * units)
            wall[engine].append(theirs_wall * units)
            ratios[engine].append((theirs * units / ours, (result.simulated_at - began) * units / ours))
    median = statistics.median
    times = {"gauntlet": Times(cpu_s=median(cpu["gauntlet"]), wall_s=median(wall["gauntlet"]))}
    for engine in engines:
        times[engine] = Times(
            cpu_s=median(cpu[engine]),
            wall_s=median(wall[engine]),
            cpu_ratio=median(whole for whole, _ in ratios[engine]),
            cpu_ratio_simulation=median(part for _, part in ratios[engine]),
        )
    return times


def extra_memory_mb(workload: str, engine: str) -> float:
    """Return the growth of the peak memory during one run, in a fresh process."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", workload, engine],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(answer.stdout)["extra_memory_mb"])


def _seconds(command: list[str], home: Path) -> tuple[float, float]:
    """Return wall seconds and CPU seconds of a command and all that it started."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(
        command,
        cwd=REPOSITORY,
        env=os.environ | {"GAUNTLET_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu


def start_seconds() -> dict[str, float]:
    """Return how long a process takes: to a first result without and with compiled kernels, and to help."""
    first_result = [sys.executable, "-m", "benchmarks.first_result"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cold, cold_cpu = _seconds(first_result, home)
        warm = statistics.median(_seconds(first_result, home)[0] for _ in range(3))
        shown = statistics.median(_seconds([str(ENGINE), "--help"], home)[0] for _ in range(5))
    return {"cold_s": cold, "cold_cpu_s": cold_cpu, "warm_s": warm, "help_s": shown}
