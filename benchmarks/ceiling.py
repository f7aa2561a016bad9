"""How fast could the machine go? The same work in bare compiled loops, and what share of it we reach.

A bare loop keeps no orders, no records and no reasons, knows one kind of order, one instrument size, no
limit, no halt and no missing price, and is written for its one workload. It is the lower bound that the
general engine is measured against: `share` is its CPU time over ours, 1 being as fast as the bare loop.

`python -m benchmarks.ceiling` prints the figures; `measure_ceilings` returns them.
"""

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.workloads import (
    FEE,
    SLIPPAGE,
    WARM_UP_BARS,
    CrossWorkload,
    FoldWorkload,
    RebalanceWorkload,
    Workload,
    w1,
    w2,
    w3,
    w5,
)
from engine.compiled import kernel
from engine.domain.panel import FloatArray, IntArray

PAIRS = 7


@kernel
def averages_of(close: FloatArray, windows: IntArray, out: FloatArray) -> None:
    """Write the average over each window, shape (W, T), by a running sum; 0 before there is one."""
    for index in range(windows.shape[0]):
        window = windows[index]
        total = 0.0
        for row in range(close.shape[0]):
            total += close[row]
            if row >= window:
                total -= close[row - window]
            out[index, row] = total / window if row >= window - 1 else 0.0


@kernel
def cross_loop(
    averages: FloatArray,
    fast: IntArray,
    slow: IntArray,
    first: IntArray,
    last: IntArray,
    open_: FloatArray,
    close: FloatArray,
    day_ends: FloatArray,
    weight: float,
    start: float,
    out: FloatArray,
) -> None:
    """Trade crossings at the next open: equity, largest drawdown and the sums for a Sharpe ratio.

    Parameters
    ----------
    fast, slow, first, last
        Shape (P,): rows of `averages`, and the bars of each account.
    out
        Written, shape (P, 4).
    """
    for account in range(fast.shape[0]):
        cash, units, peak, deepest, before = start, 0.0, start, 0.0, start
        returns, squares, equity, wanted = 0.0, 0.0, start, 0.0
        for row in range(first[account], last[account]):
            if wanted != units:
                traded = wanted - units
                price = open_[row] * (1.0 + SLIPPAGE if traded > 0.0 else 1.0 - SLIPPAGE)
                cash -= traded * price + abs(traded) * price * FEE
                units = wanted
            equity = cash + units * close[row]
            if equity > peak:
                peak = equity
            elif equity < peak * (1.0 - deepest):
                deepest = 1.0 - equity / peak
            if day_ends[row] > 0.0:
                change = equity / before - 1.0
                before = equity
                returns += change
                squares += change * change
            above = averages[fast[account], row] > averages[slow[account], row]
            if above != (units > 0.0):
                wanted = weight * equity / close[row] if above else 0.0
        out[account, 0] = equity
        out[account, 1] = deepest
        out[account, 2] = returns
        out[account, 3] = squares


@kernel
def rebalance_loop(
    close: FloatArray,
    rows: IntArray,
    weights: FloatArray,
    start: float,
    abreast: int,
    units: FloatArray,
    out: FloatArray,
) -> None:
    """Hold weight sets, decided at a close and filled at the next: equity and largest drawdown.

    Parameters
    ----------
    abreast
        Bars that are valued at a time, 4 or 1: prices of four are read once, and do not wait for one
        another's sums.
    units
        Scratch, shape (2, N): what is held, and what is wanted.
    out
        Written, shape (sets, 2).
    """
    bars, instruments = close.shape
    held, wanted = units[0], units[1]
    for index in range(weights.shape[0]):
        cash, equity, peak, deepest = start, start, start, 0.0
        for n in range(instruments):
            held[n] = 0.0
        row = 0
        for decision in range(rows.shape[0] + 1):
            until = rows[decision] + 1 if decision < rows.shape[0] else bars
            while row < until:
                a, b, c, d = cash, cash, cash, cash
                if row + abreast <= bars and abreast == 4:
                    for n in range(instruments):
                        a += held[n] * close[row, n]
                        b += held[n] * close[row + 1, n]
                        c += held[n] * close[row + 2, n]
                        d += held[n] * close[row + 3, n]
                else:
                    for n in range(instruments):
                        a += held[n] * close[row, n]
                known = min(4 if row + abreast <= bars and abreast == 4 else 1, until - row)
                for ahead in range(known):
                    equity = a if ahead == 0 else (b if ahead == 1 else (c if ahead == 2 else d))
                    peak = max(peak, equity)
                    if equity < peak * (1.0 - deepest):
                        deepest = 1.0 - equity / peak
                row += known
            if decision == rows.shape[0]:
                break
            for n in range(instruments):
                wanted[n] = weights[index, decision, n] * equity * 0.99 / close[row - 1, n]
            # Shared cash: sells first, then buys, all of them less if cash is short.
            need = 0.0
            for n in range(instruments):
                sold = max(held[n] - wanted[n], 0.0)
                cash += sold * close[row, n] * (1.0 - SLIPPAGE) * (1.0 - FEE)
                need += max(wanted[n] - held[n], 0.0) * close[row, n] * (1.0 + SLIPPAGE) * (1.0 + FEE)
                held[n] -= sold
            cut = min(1.0, cash / need) if need > 0.0 else 1.0
            for n in range(instruments):
                bought = (wanted[n] - held[n]) * cut
                cash -= bought * close[row, n] * (1.0 + SLIPPAGE) * (1.0 + FEE)
                held[n] += bought
        out[index, 0] = equity
        out[index, 1] = deepest


def bare_run(workload: Workload, *, plain: bool = False) -> Callable[[], FloatArray]:
    """Return a workload as a bare loop that gives final equities.

    Parameters
    ----------
    plain
        Accounts of many instruments are valued by one sum a bar, without further tricks.
    """
    panel = workload.panel
    if isinstance(workload, RebalanceWorkload):
        units, kept = np.zeros((2, panel.close.shape[1])), np.zeros((len(workload.weights), 2))

        def rebalance() -> FloatArray:
            rebalance_loop(
                panel.close, workload.rows, workload.weights, workload.cash, 1 if plain else 4, units, kept
            )
            return kept[:, 0]

        return rebalance
    windows = sorted({window for pair in workload.pairs for window in pair})
    folds = workload.folds if isinstance(workload, FoldWorkload) else ((0, len(panel)),)
    count = len(folds)
    fast, slow = (
        np.tile([windows.index(pair[side]) for pair in workload.pairs], count).astype(np.int64)
        for side in (0, 1)
    )
    first, last = (
        np.repeat([fold[side] for fold in folds], len(workload.pairs)).astype(np.int64) for side in (0, 1)
    )
    day_ends = panel.day_ends.astype(np.float64)
    close, open_ = panel.close[:, 0].copy(), panel.open[:, 0].copy()
    lengths = np.array(windows, dtype=np.int64)

    def cross() -> FloatArray:
        averages, out = np.empty((len(windows), len(close))), np.zeros((len(fast), 4))
        averages_of(close, lengths, averages)
        cross_loop(
            averages, fast, slow, first, last, open_, close, day_ends, workload.weight, workload.cash, out
        )
        return out[:, 0]

    return cross


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What the bare loop of a workload costs.

    Attributes
    ----------
    bare_s, ours_s
        CPU seconds, medians over interleaved pairs.
    share
        Bare / ours, median over pairs.
    relative_difference
        Largest, of the final equities, our limits out of reach: ours has whole lots and rounded prices.
    """

    workload: str
    bare_s: float
    ours_s: float
    share: float
    relative_difference: float


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What memory gives: gigabytes a second read and written by a copy on one thread."""

    copy_main_gb_s: float
    copy_cached_gb_s: float


# The loop of W3 before it was tuned.
_PLAIN = "W3 plain"

CEILINGS: dict[str, Callable[[], CrossWorkload | RebalanceWorkload | FoldWorkload]] = {
    "W1": w1,
    "W2": w2,
    "W3": w3,
    _PLAIN: w3,
    "W5": w5,
}


def measure_ceilings(names: tuple[str, ...] = tuple(CEILINGS), pairs: int = PAIRS) -> list[Ceiling]:
    """Run each workload and its bare loop in turn."""
    found = []
    for name in names:
        workload = CEILINGS[name]()
        bare_run(workload.shortened(WARM_UP_BARS))()
        workload.shortened(WARM_UP_BARS).run()
        bare = bare_run(workload, plain=name == _PLAIN)
        timed = [(_cpu(bare), _cpu(lambda: workload.run().final_equity)) for _ in range(pairs)]  # noqa: B023
        free = workload.run_without_limits()
        theirs, ours = timed[0][0][1], free[0] if isinstance(free, tuple) else free
        found.append(
            Ceiling(
                workload=name,
                bare_s=median(bare_s for (bare_s, _), _ in timed),
                ours_s=median(ours_s for _, (ours_s, _) in timed),
                share=median(bare_s / ours_s for (bare_s, _), (ours_s, _) in timed),
                relative_difference=float(np.max(np.abs(ours / theirs - 1.0))),
            )
        )
    return found


def measure_machine() -> Machine:
    """Copy 400 MB, and half a megabyte many times over."""

    def speed(size: int, times: int) -> float:
        source, target = np.ones(size), np.zeros(size)

        def copy() -> FloatArray:
            for _ in range(times):
                np.copyto(target, source)
            return target

        copy()
        return 2 * size * 8 * times / min(_cpu(copy)[0] for _ in range(5)) / 1e9

    return Machine(copy_main_gb_s=speed(50_000_000, 1), copy_cached_gb_s=speed(32_768, 2_000))


def _cpu(work: Callable[[], FloatArray]) -> tuple[float, FloatArray]:
    gc.collect()
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def show(found: list[Ceiling], machine: Machine) -> None:
    """Print the figures."""
    print(
        f"\nceiling  bare loops of the same work; a copy moves {machine.copy_main_gb_s:.0f} GB/s in main "
        f"memory and {machine.copy_cached_gb_s:.0f} GB/s in the cache\n"
        f"    {'workload':<10}{'bare CPU s':>12}{'ours CPU s':>12}{'share':>8}   final equities differ by"
    )
    for one in found:
        print(
            f"    {one.workload:<10}{one.bare_s:>12.4f}{one.ours_s:>12.4f}{one.share:>8.0%}   "
            f"{one.relative_difference:.0e} at most without limits (lots, rounding)"
        )


if __name__ == "__main__":
    show(measure_ceilings(tuple(sys.argv[1:]) or tuple(CEILINGS)), measure_machine())
