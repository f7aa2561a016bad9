"""The same work in vectorbt, written as its documentation writes it."""

import time
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt

from benchmarks.workloads import (
    FEE,
    SLIPPAGE,
    WARM_UP_BARS,
    CrossWorkload,
    Equities,
    RebalanceWorkload,
    Workload,
)
from engine.domain.panel import FloatArray, Panel

# The name in the report, and what vectorbt calls it. "auto" takes Rust wherever Rust has the function: with
# "rust" its own signal shift refuses boolean frames.
ENGINES = {"vectorbt_numba": "numba", "vectorbt_rust": "auto"}

_FREQUENCY = {"1m": "1min", "1h": "1h", "1d": "1D"}


def available_engines() -> tuple[str, ...]:
    """Return the engines that are installed; the Rust one is an optional extra."""
    names = ["vectorbt_numba"]
    if find_spec("vectorbt_rust") is not None:
        names.append("vectorbt_rust")
    return tuple(names)


def use_engine(name: str) -> None:
    """Switch vectorbt to one of `ENGINES`."""
    vbt.settings["engine"] = ENGINES[name]


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
    if isinstance(workload, CrossWorkload):
        _series(workload.panel, "close")
        _series(workload.panel, "open")
    else:
        _frame(workload.panel)


def _finish(portfolio: Any) -> PeerRun:
    equities = np.atleast_1d(np.asarray(portfolio.final_value(), dtype=np.float64))
    simulated_at = time.process_time()
    portfolio.total_return()
    portfolio.sharpe_ratio()
    portfolio.max_drawdown()
    return PeerRun(equities=equities, simulated_at=simulated_at)


def run_crosses(workload: CrossWorkload, quantities: FloatArray | None = None) -> PeerRun:
    """Hold while the fast average is above the slow one; act at the next open.

    Parameters
    ----------
    quantities
        Shape (T, pairs): units to buy at each bar, NaN for none. Without it vectorbt sizes by itself.
    """
    close, open_ = _series(workload.panel, "close"), _series(workload.panel, "open")
    fast_windows, slow_windows = (list(windows) for windows in zip(*workload.pairs, strict=True))
    fast = vbt.MA.run(close, fast_windows, short_name="fast", run_unique=True)
    slow = vbt.MA.run(close, slow_windows, short_name="slow", run_unique=True)
    above = fast.ma_above(slow)
    entries = above.vbt.signals.fshift(1)
    exits = (~above).vbt.signals.fshift(1)
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


def run(workload: Workload, repetition: int = 0) -> PeerRun:
    """Run a whole sweep, or one weight set: another one in each repetition."""
    if isinstance(workload, CrossWorkload):
        return run_crosses(workload)
    return run_rebalances(workload, repetition % len(workload.weights))


def warm_up(workload: Workload) -> None:
    """Compile and load everything on few bars, then get the data ready."""
    short = workload.shortened(WARM_UP_BARS)
    prepare(short)
    run(short)
    prepare(workload)
