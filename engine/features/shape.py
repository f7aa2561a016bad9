"""Kernels of operators that go through a whole window at each bar: its shape, or weights within it.

State and blocks as in `rolling`. A bar costs `length` steps; in return the result depends on the window
alone, to the last bit, and not on where the data began.
"""

import numpy as np

from engine.compiled import inner_kernel, kernel
from engine.domain.panel import FloatArray
from engine.features.opcodes import Op

SHAPE_HEADER = 2

# A sum of squared deviations below this share of its terms is rounding, not movement.
_ROUNDING = 4e-16


@kernel
def _weighted_mean(ring: FloatArray, oldest: int, length: int) -> float:
    """Mean of the window with weights 1, 2, ..., `length`, oldest first."""
    # Distances to the oldest value, so that a price which stands still has itself as its mean.
    origin = ring[oldest]
    total = 0.0
    weight = 0.0
    for index in range(oldest, length):
        weight += 1.0
        total += weight * (ring[index] - origin)
    for index in range(oldest):
        weight += 1.0
        total += weight * (ring[index] - origin)
    return float(origin + total / (0.5 * length * (length + 1)))


@kernel
def _shape(op: int, ring: FloatArray, oldest: int, length: int) -> float:
    """Mean absolute deviation, skewness or excess kurtosis of the window, the latter two without bias.

    The two without bias are those of Joanes and Gill (1998), Comparing measures of sample skewness and
    kurtosis, The Statistician 47(1): G1 and G2. NaN where nothing moves.
    """
    origin = ring[oldest]
    total = 0.0
    for index in range(oldest, length):
        total += ring[index] - origin
    for index in range(oldest):
        total += ring[index] - origin
    mean = total / length
    absolute = 0.0
    second = 0.0
    third = 0.0
    fourth = 0.0
    level = 0.0
    for step in range(length):
        index = oldest + step
        if index >= length:
            index -= length
        away = ring[index] - origin
        level += away * away
        away -= mean
        absolute += abs(away)
        second += away * away
        third += away * away * away
        fourth += away * away * away * away
    if op == Op.ROLLING_DEVIATION:
        return absolute / length
    if second <= _ROUNDING * length * level or second == 0.0:
        return np.nan
    deviation = np.sqrt(second / (length - 1.0))
    if op == Op.ROLLING_SKEW:
        scale = length / ((length - 1.0) * (length - 2.0))
        return float(scale * third / (deviation * deviation * deviation))
    scale = length * (length + 1.0) / ((length - 1.0) * (length - 2.0) * (length - 3.0))
    normal = 3.0 * (length - 1.0) * (length - 1.0) / ((length - 2.0) * (length - 3.0))
    return float(scale * fourth / (deviation * deviation * deviation * deviation) - normal)


@inner_kernel
def rolling_shape(
    state: FloatArray, offset: int, length: int, op: int, x: FloatArray, out: FloatArray, rows: int, n: int
) -> None:
    """Measure the last `length` observations by `op`: see `_shape`, or the mean with weights."""
    units = SHAPE_HEADER + length
    for column in range(n):
        base = offset + column * units
        position = int(state[base])
        full = state[base + 1]
        ring = state[base + SHAPE_HEADER : base + units]
        for row in range(rows):
            k = row * n + column
            value = x[k]
            if value != value:
                out[k] = np.nan
                continue
            ring[position] = value
            position += 1
            if position == length:
                position = 0
                full = 1.0
            if full == 0.0:
                out[k] = np.nan
            elif op == Op.ROLLING_WEIGHTED_MEAN:
                out[k] = _weighted_mean(ring, position, length)
            else:
                out[k] = _shape(op, ring, position, length)
        state[base] = position
        state[base + 1] = full
