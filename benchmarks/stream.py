"""What one closed bar costs a live account of 30 instruments: stream, core, and what is handed back.

`python -m benchmarks.stream` prints the figures; `measure_stream` returns them.
"""

import gc
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.bars import random_walks
from engine.core.settings import Costs, Limits, Rules
from engine.domain.panel import PRICE_FIELDS
from engine.domain.time import Timeframe
from engine.pipeline.push import Bar, Pipeline
from engine.pipeline.run import Settings
from engine.strategy_files import load_strategy

INSTRUMENTS = 30
BARS = 20_000
_WARM = 500
_REBASE_EVERY = 20


@dataclass(frozen=True, kw_only=True)
class StreamTimes:
    """Time of `Pipeline.push`: stream, marks, fills, limits, decisions, and copies of what came out.

    Attributes
    ----------
    p50_us, p99_us
        CPU time over all bars, those with orders and fills among them.
    wall_p50_us, wall_p99_us
        The same on the wall clock, other load on the machine included.
    orders, fills
        That the bars brought.
    """

    instruments: int
    bars: int
    p50_us: float
    p99_us: float
    wall_p50_us: float
    wall_p99_us: float
    orders: int
    fills: int


def measure_stream(instruments: int = INSTRUMENTS, bars: int = BARS) -> StreamTimes:
    """Feed hourly bars one by one to the crossing of two averages, re-based every 20 bars."""
    panel = random_walks(
        bars, instruments, timeframe=Timeframe.HOUR_1, volatility=0.005, seed=4, has_range=True
    )  # fmt: skip
    settings = Settings(costs=Costs(), rules=Rules(order_bound_bps=100.0), limits=Limits())
    pipeline = Pipeline(
        strategy=load_strategy("trend"),
        instruments=panel.instruments,
        settings=settings,
        drift_band=np.inf,
        has_range=True,
    )
    weights = np.full(instruments, 1.0 / instruments)
    ends = panel.day_ends
    fed = [
        Bar(
            row=row,
            opened_at=int(panel.timestamps[row]),
            day_end=bool(ends[row]),
            fields={name: getattr(panel, name)[row] for name in PRICE_FIELDS},
        )
        for row in range(bars)
    ]
    cpu, wall = np.empty(bars), np.empty(bars)
    orders = fills = 0
    gc.collect()
    for bar in fed:
        due = weights if bar.row % _REBASE_EVERY == 0 else None
        wall_began, cpu_began = time.perf_counter_ns(), time.thread_time_ns()
        pushed = pipeline.push(bar, due)
        cpu[bar.row] = time.thread_time_ns() - cpu_began
        wall[bar.row] = time.perf_counter_ns() - wall_began
        orders += len(pushed.orders)
        fills += len(pushed.fills)
    p50, p99 = np.percentile(cpu[_WARM:] / 1e3, [50, 99])
    wall_p50, wall_p99 = np.percentile(wall[_WARM:] / 1e3, [50, 99])
    return StreamTimes(
        instruments=instruments,
        bars=bars - _WARM,
        p50_us=float(p50),
        p99_us=float(p99),
        wall_p50_us=float(wall_p50),
        wall_p99_us=float(wall_p99),
        orders=orders,
        fills=fills,
    )


def show(times: StreamTimes) -> None:
    """Print the figures."""
    print(
        "\nW4  one account bar by bar\n"
        "    one closed bar of {instruments} instruments through stream and core: CPU p50 "
        "{p50_us:.1f} us, p99 {p99_us:.1f} us; wall p50 {wall_p50_us:.1f}, p99 {wall_p99_us:.1f} "
        "({bars:,} bars, {orders:,} orders, {fills:,} fills)".format(**asdict(times))
    )


if __name__ == "__main__":
    show(measure_stream())
    sys.exit(0)
