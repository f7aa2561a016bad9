"""What the core sees of a panel: fill prices, marks, volumes and row flags, as plain arrays."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compiled import kernel
from engine.core.settings import Rules
from engine.domain.panel import FloatArray, IntArray, Panel

DAY_END = 1
EXIT = 2

_SHORT_DAY = 100

FUNDING_FIELD = "funding_rate"
"""Name of the panel field that holds funding rates."""


class Market(NamedTuple):
    """Bars as the core reads them.

    Attributes
    ----------
    fill
        Shape (T, N): the price at which an order decided on the bar before fills before costs: the open, or
        the close where the data has closes only. NaN: not traded.
    mark
        Shape (T, N): the last close so far, 0 before the first one.
    high, low
        Shape (T, N): where resting orders look.
    volume
        Shape (T, N), in units. NaN: unknown, then participation is not limited.
    flags
        Shape (T,): `DAY_END` on the last bar of a day, `EXIT` where `leaves` has a 1.
    next_flag
        Shape (T,): the first row from here on that has a flag, T if none has. A hint where it is of use, for
        one instrument and days of few bars; else shape (0,).
    leaves
        Shape (T, N): 1 where a held instrument is booked out at the mark less its haircut.
    funding
        Shape (T, N): share of a position's value that a long pays and a short receives on the bar; shape
        (0, N) where there is no funding.
    lot_size, tick_size, minimum_notional, haircut, cluster
        Shape (N,). Cluster -1: none.
    """

    fill: FloatArray
    high: FloatArray
    low: FloatArray
    mark: FloatArray
    volume: FloatArray
    flags: npt.NDArray[np.uint8]
    next_flag: IntArray
    leaves: npt.NDArray[np.uint8]
    funding: FloatArray
    lot_size: FloatArray
    tick_size: FloatArray
    minimum_notional: FloatArray
    haircut: FloatArray
    cluster: IntArray


@kernel
def advance_marks(
    close: FloatArray,
    timestamps: IntArray,
    delisted_at: IntArray,
    stale_bars: int,
    last: FloatArray,
    stale: IntArray,
    mark: FloatArray,
    leaves: npt.NDArray[np.uint8],
    flags: npt.NDArray[np.uint8],
) -> None:
    """Carry closes forward and say where a held instrument leaves. One row or many, with the same result.

    Parameters
    ----------
    close
        Shape (T, N).
    delisted_at
        Shape (N,), UTC nanoseconds; the largest integer where trading goes on.
    last, stale
        Shape (N,), state: the last close (0 before the first) and bars since the instrument traded.
    mark, leaves, flags
        Written: shapes (T, N), (T, N), (T,).
    """
    for row in range(close.shape[0]):
        for n in range(close.shape[1]):
            leaves[row, n] = 0
            if np.isnan(close[row, n]):
                if last[n] > 0.0:
                    stale[n] += 1
                    if stale[n] == stale_bars:
                        leaves[row, n] = 1
            else:
                last[n] = close[row, n]
                stale[n] = 0
            if timestamps[row] >= delisted_at[n]:
                leaves[row, n] = 1
            mark[row, n] = last[n]
            if leaves[row, n]:
                flags[row] |= EXIT


def funding_of(rates: FloatArray | None, rows: int, count: int) -> FloatArray:
    """Return funding rates as the core reads them, from a panel's field of shape (T, N), (T,) or none."""
    if rates is None:
        return np.zeros((0, count))
    shared = rates if rates.ndim == 2 else np.repeat(rates, count).reshape(rows, count)
    return np.ascontiguousarray(np.nan_to_num(shared, nan=0.0))


def next_set(flags: npt.NDArray[np.uint8]) -> IntArray:
    """Return for each row the first one from there on that has a flag, shape (T,); T if none has."""
    rows = np.flatnonzero(flags)
    places = np.concatenate((rows, [len(flags)]))
    return np.repeat(places, np.diff(np.concatenate(([-1], rows, [len(flags) - 1]))))


def market_of(panel: Panel, rules: Rules) -> Market:
    """Return the core's view of a panel under the given rules."""
    rows, count = panel.close.shape
    mark = panel.close
    leaves = np.zeros((rows, count), dtype=np.uint8)
    flags = panel.day_ends.astype(np.uint8) * np.uint8(DAY_END)
    never = np.iinfo(np.int64).max
    delisted_at = np.array(
        [never if i.delisted_at is None else i.delisted_at for i in panel.instruments], dtype=np.int64
    )
    # One NaN makes the sum NaN. Where every bar traded, the last close so far is the close.
    if np.isnan(panel.close.sum()) or delisted_at.min(initial=never) < never:
        mark = np.zeros((rows, count))
        advance_marks(
            panel.close,
            panel.timestamps,
            delisted_at,
            rules.stale_bars,
            np.zeros(count),
            np.zeros(count, dtype=np.int64),
            mark,
            leaves,
            flags,
        )
        mark.flags.writeable = False
    clusters = sorted({i.cluster for i in panel.instruments if i.cluster is not None})
    index = {cluster: code for code, cluster in enumerate(clusters)}
    hinted = count == 1 and rows / _SHORT_DAY < np.count_nonzero(flags)
    return Market(
        fill=panel.open if panel.has_range else panel.close,
        high=panel.high,
        low=panel.low,
        mark=mark,
        volume=panel.volume,
        flags=flags,
        next_flag=next_set(flags) if hinted else np.zeros(0, dtype=np.int64),
        leaves=leaves,
        funding=funding_of(panel.fields.get(FUNDING_FIELD), rows, count),
        lot_size=np.full(count, rules.lot_size),
        tick_size=np.full(count, rules.tick_size),
        minimum_notional=np.full(count, rules.minimum_notional),
        haircut=np.array([i.delisting_haircut for i in panel.instruments]),
        cluster=np.array(
            [-1 if i.cluster is None else index[i.cluster] for i in panel.instruments], dtype=np.int64
        ),
    )
