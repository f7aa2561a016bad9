"""Kernels of operators whose value depends on their own last value, layout as in `rolling`."""

import numpy as np

from engine.compiled import inner_kernel
from engine.domain.panel import FloatArray

AVERAGE_UNITS = 2
LATCH_UNITS = 2
SINCE_UNITS = 2
KNOWN_UNITS = 2

_UNKNOWN, _OUT, _IN = 0.0, 1.0, 2.0


@inner_kernel
def exponential_average(
    state: FloatArray,
    offset: int,
    length: int,
    weight: float,
    x: FloatArray,
    out: FloatArray,
    rows: int,
    n: int,
) -> None:
    """Average in which each observation moves the value by `weight` of its distance; starts at the first."""
    for column in range(n):
        base = offset + column * AVERAGE_UNITS
        count = int(state[base])
        value = state[base + 1]
        for row in range(rows):
            k = row * n + column
            if x[k] != x[k]:
                out[k] = np.nan
                continue
            if count == 0:
                value = x[k]
            # In this form a price that stands still gives exactly itself, so two averages of it tie.
            value += weight * (x[k] - value)
            count = min(count + 1, length)
            out[k] = value if count == length else np.nan
        state[base] = count
        state[base + 1] = value


@inner_kernel
def latch(
    state: FloatArray,
    offset: int,
    memory: int,
    entry: FloatArray,
    leave: FloatArray,
    out: FloatArray,
    rows: int,
    n: int,
) -> None:
    """1 from an entry to an exit, 0 from an exit to an entry; an exit wins over an entry in the same bar.

    `memory` observations after the last event it is 0, so that a value needs no older bars than that. NaN
    before the first event, until `memory` observations without one have passed.
    """
    for column in range(n):
        base = offset + column * LATCH_UNITS
        position = state[base]
        age = int(state[base + 1])
        for row in range(rows):
            k = row * n + column
            if entry[k] != entry[k] or leave[k] != leave[k]:
                out[k] = np.nan
                continue
            if leave[k] != 0.0:
                position = _OUT
                age = 0
            elif entry[k] != 0.0:
                position = _IN
                age = 0
            else:
                age = min(age + 1, memory)
                if age == memory:
                    position = _OUT
            out[k] = position - _OUT if position != _UNKNOWN else np.nan
        state[base] = position
        state[base + 1] = age


@inner_kernel
def bars_since(
    state: FloatArray, offset: int, limit: int, x: FloatArray, out: FloatArray, rows: int, n: int
) -> None:
    """Observations since the input was last true, at most `limit`; NaN where that is not known yet."""
    for column in range(n):
        base = offset + column * SINCE_UNITS
        known = state[base]
        age = int(state[base + 1])
        for row in range(rows):
            k = row * n + column
            if x[k] != x[k]:
                out[k] = np.nan
                continue
            if x[k] != 0.0:
                known = 1.0
                age = 0
            else:
                age = min(age + 1, limit)
                if age == limit:
                    known = 1.0
            out[k] = age if known > 0.0 else np.nan
        state[base] = known
        state[base + 1] = age


@inner_kernel
def last_known(
    state: FloatArray, offset: int, limit: int, x: FloatArray, out: FloatArray, rows: int, n: int
) -> None:
    """Latest value that was known, while it is at most `limit` bars old. Here every bar counts."""
    for column in range(n):
        base = offset + column * KNOWN_UNITS
        # 0 before the first value, else one more than the age of the value in bars.
        age = int(state[base])
        value = state[base + 1]
        for row in range(rows):
            k = row * n + column
            if x[k] == x[k]:
                age = 1
                value = x[k]
            elif age > 0:
                age = min(age + 1, limit + 2)
            out[k] = value if 0 < age <= limit + 1 else np.nan
        state[base] = age
        state[base + 1] = value
