"""The same work in vectorbt: as its documentation writes it, and in the leanest form that we know of.

Lean: signals computed by numpy once for each average, and arrays in place of frames.
"""

import time
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import vectorbt as vbt

from benchmarks.workloads import (
    FEE,
    SLIPPAGE,
    WARM_UP_BARS,
    CrossWorkload,
    Equities,
    FoldWorkload,
    RebalanceWorkload,
    Workload,
)
from engine.domain.panel import FloatArray, Panel

BoolArray = npt.NDArray[np.bool_]

# The name in the report, and what vectorbt calls it. "auto" takes Rust wherever Rust has the function: with
# "rust" its own signal shift refuses boolean frames.
ENGINES = {
    "vectorbt_numba": "numba",
    "vectorbt_rust": "auto",
    "vectorbt_numba_lean": "numba",
    "vectorbt_rust_lean": "auto",
}

_FREQUENCY = {"1m": "1min", "1h": "1h", "1d": "1D"}


def available_engines(workload: Workload) -> tuple[str, ...]:
    """Return the forms that are installed: Rust is an optional extra, weight sets have one form."""
    names = [name for name in ENGINES if not (isinstance(workload, RebalanceWorkload) and is_lean(name))]
    if find_spec("vectorbt_rust") is None:
        names = [name for name in names if ENGINES[name] == "numba"]
    return tuple(names)


def is_lean(engine: str) -> bool:
    """Say whether a form is the lean one."""
    return engine.endswith("_lean")


def is_comparable(workload: Workload, engine: str) -> bool:
    """Say whether a form does exactly our work.

    The documented way cuts folds out first and computes its averages inside each: their warm-up is lost.
    """
    return not isinstance(workload, FoldWorkload) or is_lean(engine)


def units_of_work(workload: Workload) -> int:
    """Return how many of the peer's runs do the work of one of ours.

    The peer is given its best way: a sweep at once, and weight sets one by one (all at once needs the prices
    64 times over, 6 GB, and is slower a set).
    """
    return len(workload.weights) if isinstance(workload, RebalanceWorkload) else 1


@dataclass(frozen=True, kw_only=True)
class PeerRun:
    """What one run of the peer gave.

    Attributes
    ----------
    simulated_at
        Process CPU seconds at which equities were known and metrics were not.
    """

    equities: Equities
    simulated_at: float


@cache
def _index(panel: Panel) -> pd.DatetimeIndex:
    # With a time zone vectorbt turns every stamp into a Python object at each wrap, and 0.3 s become 15 s.
    return pd.DatetimeIndex(panel.timestamps.astype("datetime64[ns]"))


@cache
def _series(panel: Panel, name: str) -> "pd.Series[float]":
    return pd.Series(getattr(panel, name)[:, 0], index=_index(panel), name=panel.symbols[0])


@cache
def _frame(panel: Panel) -> pd.DataFrame:
    return pd.DataFrame(panel.close, index=_index(panel), columns=list(panel.symbols))


def prepare(workload: Workload) -> None:
    """Build the frames that stand for loaded data; this is not measured, as the panel's loading is not."""
    if isinstance(workload, RebalanceWorkload):
        _frame(workload.panel)
    else:
        _series(workload.panel, "close")
        _series(workload.panel, "open")


def _finish(portfolio: Any) -> PeerRun:
    equities = np.atleast_1d(np.asarray(portfolio.final_value(), dtype=np.float64))
    simulated_at = time.process_time()
    portfolio.total_return()
    portfolio.sharpe_ratio()
    portfolio.max_drawdown()
    return PeerRun(equities=equities, simulated_at=simulated_at)


def _from_signals(
    workload: CrossWorkload | FoldWorkload,
    close: Any,
    open_: Any,
    entries: Any,
    exits: Any,
    quantities: FloatArray | None,
) -> PeerRun:
    """Trade on signals.

    Parameters
    ----------
    quantities
        Units to buy at each bar, NaN for none. Without it vectorbt sizes by itself.
    """
    sizing: dict[str, Any] = {"size": workload.weight, "size_type": "percent"}
    if quantities is not None:
        sizing = {"size": quantities, "size_type": "amount"}
    portfolio = vbt.Portfolio.from_signals(
        close,
        entries,
        exits,
        price=open_,
        fees=FEE,
        slippage=SLIPPAGE,
        init_cash=workload.cash,
        direction="longonly",
        freq=_FREQUENCY[workload.panel.timeframe.value],
        **sizing,
    )
    return _finish(portfolio)


def _windows(workload: CrossWorkload | FoldWorkload) -> tuple[list[int], list[int]]:
    fast, slow = zip(*workload.pairs, strict=True)
    return list(fast), list(slow)


def run_crosses(workload: CrossWorkload, quantities: FloatArray | None = None) -> PeerRun:
    """Hold while the fast average is above the slow one; act at the next open. Quantities: (T, pairs)."""
    close, open_ = _series(workload.panel, "close"), _series(workload.panel, "open")
    fast_windows, slow_windows = _windows(workload)
    fast = vbt.MA.run(close, fast_windows, short_name="fast", run_unique=True)
    slow = vbt.MA.run(close, slow_windows, short_name="slow", run_unique=True)
    above = fast.ma_above(slow)
    entries = above.vbt.signals.fshift(1)
    exits = (~above).vbt.signals.fshift(1)
    return _from_signals(workload, close, open_, entries, exits, quantities)


def run_folds(workload: FoldWorkload) -> PeerRun:
    """Cut the folds out as the documentation does; averages begin anew in each."""
    length = workload.folds[0][1] - workload.folds[0][0]
    cut = {"n": len(workload.folds), "window_len": length, "left_to_right": False}
    close, open_ = (
        getattr(_series(workload.panel, name), "vbt").rolling_split(**cut)[0]  # noqa: B009  # no type knows it
        for name in ("close", "open")
    )
    fast_windows, slow_windows = _windows(workload)
    fast = vbt.MA.run(close, fast_windows, short_name="fast", run_unique=True)
    slow = vbt.MA.run(close, slow_windows, short_name="slow", run_unique=True)
    above = fast.ma_above(slow)
    entries = above.vbt.signals.fshift(1)
    exits = (~above).vbt.signals.fshift(1)
    folds = len(workload.folds)
    opens = np.tile(open_.to_numpy(), (1, above.shape[1] // folds))
    closes = np.tile(close.to_numpy(), (1, above.shape[1] // folds))
    return _from_signals(workload, closes, opens, entries.to_numpy(), exits.to_numpy(), None)


def _above(workload: CrossWorkload | FoldWorkload) -> BoolArray:
    """Return where each pair's fast average is above its slow one, shape (T, pairs): each average once."""
    close = workload.panel.close[:, 0]
    sums = np.concatenate(([0.0], np.cumsum(close)))
    averages: dict[int, FloatArray] = {}
    for window in {window for pair in workload.pairs for window in pair}:
        averages[window] = np.full(len(close), np.nan)
        averages[window][window - 1 :] = (sums[window:] - sums[:-window]) / window
    above = np.empty((len(close), len(workload.pairs)), dtype=np.bool_)
    for index, (fast, slow) in enumerate(workload.pairs):
        np.greater(averages[fast], averages[slow], out=above[:, index])
    return above


def _one_later(above: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return entries and exits, one bar after they were decided."""
    entries, exits = np.zeros_like(above), np.zeros_like(above)
    entries[1:] = above[:-1]
    np.logical_not(above[:-1], out=exits[1:])
    return entries, exits


def run_crosses_lean(workload: CrossWorkload, quantities: FloatArray | None = None) -> PeerRun:
    """Do the work of `run_crosses` with signals by numpy."""
    entries, exits = _one_later(_above(workload))
    return _from_signals(workload, workload.panel.close, workload.panel.open, entries, exits, quantities)


def run_folds_lean(workload: FoldWorkload, quantities: FloatArray | None = None) -> PeerRun:
    """Trade all folds at once: ranges of rows of the same signals, side by side."""
    above = _above(workload)
    entries, exits = zip(*(_one_later(above[first:last]) for first, last in workload.folds), strict=True)
    pairs = len(workload.pairs)
    close, open_ = (
        np.hstack(
            [np.broadcast_to(prices[first:last], (last - first, pairs)) for first, last in workload.folds]
        )
        for prices in (workload.panel.close, workload.panel.open)
    )
    return _from_signals(workload, close, open_, np.hstack(entries), np.hstack(exits), quantities)


def run_rebalances(workload: RebalanceWorkload, weight_set: int) -> PeerRun:
    """Re-balance one weight set: decided and sized at a close, filled at the next."""
    close = _frame(workload.panel)
    weights = np.full(close.shape, np.nan)
    weights[workload.rows + 1] = workload.weights[weight_set] * (1.0 - workload.cash_buffer)
    portfolio = vbt.Portfolio.from_orders(
        close,
        size=pd.DataFrame(weights, index=close.index, columns=close.columns),
        size_type="targetpercent",
        val_price=close.shift(1),
        fees=FEE,
        slippage=SLIPPAGE,
        init_cash=workload.cash,
        group_by=True,
        cash_sharing=True,
        call_seq="auto",
        freq=_FREQUENCY[workload.panel.timeframe.value],
    )
    return _finish(portfolio)


def run(
    workload: Workload, engine: str, repetition: int = 0, quantities: FloatArray | None = None
) -> PeerRun:
    """Run a whole sweep, or one weight set: another one in each repetition.

    Parameters
    ----------
    engine
        One of `ENGINES`.
    quantities
        Units to buy, for a sweep that is compared with ours.
    """
    vbt.settings["engine"] = ENGINES[engine]
    if isinstance(workload, RebalanceWorkload):
        return run_rebalances(workload, repetition % len(workload.weights))
    if isinstance(workload, FoldWorkload):
        return run_folds_lean(workload, quantities) if is_lean(engine) else run_folds(workload)
    crosses = run_crosses_lean if is_lean(engine) else run_crosses
    return crosses(workload, quantities)


def warm_up(workload: Workload, engine: str) -> None:
    """Compile and load everything on few bars, then get the data ready."""
    short = workload.shortened(WARM_UP_BARS)
    prepare(short)
    run(short, engine)
    prepare(workload)
