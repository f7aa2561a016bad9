"""What a cell costs when there are many: parameters x plans, from a hundred to a hundred thousand.

A cell is one account over the whole panel: a pair of averages and a plan of base weights. Cells are made and
run in batches, as a worker gets them, so that memory does not grow with their number.

`python -m benchmarks.cells` prints the figures; `measure_cells` returns them.
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.bars import random_walks
from benchmarks.memory import growth_mb
from benchmarks.workloads import COSTS, RULES_DAILY
from engine.core.settings import Limits
from engine.domain.panel import FloatArray, Panel
from engine.domain.portfolio import Invest, Plan
from engine.domain.time import Timeframe
from engine.features.operators import close, sma, where
from engine.pipeline.run import Column, Detail, Settings, run_all

COUNTS = (100, 1_000, 10_000, 100_000)
BARS, INSTRUMENTS = 1_260, 4
BATCH = 1_000
_PLANS = 10
_WINDOWS = 100


@dataclass(frozen=True, kw_only=True)
class CellTimes:
    """Costs of sweeps of one kind.

    Attributes
    ----------
    counts, microseconds, extra_memory_mb
        For each number of cells: CPU time a cell, and the growth of the peak memory in a fresh process.
    """

    counts: tuple[int, ...]
    microseconds: tuple[float, ...]
    extra_memory_mb: tuple[float, ...]

    @property
    def largest_to_smallest(self) -> float:
        """Cost of a cell among the most over that among the fewest: 1 is flat."""
        return self.microseconds[-1] / self.microseconds[0]


def cell_panel() -> Panel:
    """Return five years of four instruments."""
    return random_walks(
        BARS, INSTRUMENTS, timeframe=Timeframe.DAY_1, volatility=0.012, seed=6, has_range=True
    )  # fmt: skip


def cell_plans() -> list[Plan]:
    """Return plans that re-base every 60 days."""
    generator = np.random.Generator(np.random.PCG64(7))
    rows = np.arange(0, BARS - 1, 60, dtype=np.int64)
    weights = generator.dirichlet(np.ones(INSTRUMENTS), size=(_PLANS, len(rows))) * 0.2
    return [Plan(rows=rows, weights=np.ascontiguousarray(one)) for one in weights]


def batches(count: int, plans: list[Plan]) -> Iterator[list[Column]]:
    """Return so many cells: pairs of averages, each with every plan."""
    pairs = [(fast, slow) for slow in range(2, 2 + _WINDOWS) for fast in range(102, 102 + _WINDOWS)]
    columns: list[Column] = []
    for index in range(count):
        fast, slow = pairs[index // _PLANS]
        root = where(sma(close, fast) < sma(close, slow), 1.0, 0.0)
        columns.append(Column(plan=plans[index % _PLANS], root=root, invest=Invest.SCALED))
        if len(columns) == BATCH or index == count - 1:
            yield columns
            columns = []


def run_cells(panel: Panel, plans: list[Plan], count: int) -> FloatArray:
    """Run so many cells to metrics; return the Sharpe ratio of each."""
    settings = Settings(costs=COSTS, rules=RULES_DAILY, limits=Limits())
    return np.concatenate(
        [run_all(panel, batch, settings, detail=Detail.METRICS).sharpe for batch in batches(count, plans)]
    )


def measure_cells(counts: tuple[int, ...] = COUNTS) -> CellTimes:
    """Time sweeps of each size, the small ones several times."""
    panel, plans = cell_panel(), cell_plans()
    run_cells(panel, plans, 10)
    microseconds = []
    for count in counts:
        seconds = []
        for _ in range(max(1, min(9, 20_000 // count))):
            gc.collect()
            began = time.process_time()
            run_cells(panel, plans, count)
            seconds.append(time.process_time() - began)
        microseconds.append(median(seconds) / count * 1e6)
    grown = [
        float(
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.cells", str(count)],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
        )
        for count in counts
    ]
    return CellTimes(counts=counts, microseconds=tuple(microseconds), extra_memory_mb=tuple(grown))


def show(times: CellTimes) -> None:
    """Print the figures."""
    print(
        f"\ncells  {BARS:,} days x {INSTRUMENTS} instruments a cell, parameters x plans, every limit on\n"
        f"    {'cells':>9}{'us a cell':>12}{'+MB':>9}"
    )
    for count, cost, grown in zip(times.counts, times.microseconds, times.extra_memory_mb, strict=True):
        print(f"    {count:>9,}{cost:>12.1f}{grown:>9.1f}")
    print(f"    a cell of the most costs {times.largest_to_smallest:.2f} times one of the fewest")


if __name__ == "__main__":
    if sys.argv[1:]:
        prices, weights = cell_panel(), cell_plans()
        run_cells(prices, weights, 10)
        sys.stdout.write(json.dumps(growth_mb(lambda: run_cells(prices, weights, int(sys.argv[1])))) + "\n")
    else:
        show(measure_cells())
