"""Kernels of operators over the last `length` observations of each instrument.

A bar with a NaN is no observation: state stands still and the output is NaN. Before `length` observations the
output is NaN. Blocks are flat, Shape (rows * N,), row-major. The state of instrument j starts at
`offset + j * units` and all zeros is the state before the first bar.

Running sums are rebuilt exactly every `length` observations counted from the first: a second sum, started at
the last wrap of the ring, is then the sum over the whole window and takes its place. So drift is bounded, a
row costs the same whatever the length, and nothing depends on the size of blocks.
"""

import numpy as np

from engine.compiled import inner_kernel
from engine.domain.panel import FloatArray

LAG_HEADER = 2
SUM_HEADER = 6
MOMENTS_HEADER = 8
EXTREME_HEADER = 3
SORTED_HEADER = 2
RANK_HEADER = 2
PAIR_HEADER = 16

# A sum of squared deviations below this share of its terms is rounding, not movement.
_ROUNDING = 4e-16


@inner_kernel
def lag(
    state: FloatArray, offset: int, length: int, x: FloatArray, out: FloatArray, rows: int, n: int
) -> None:
    """Value `length` observations ago."""
    units = LAG_HEADER + length
    for column in range(n):
        base = offset + column * units
        position = int(state[base])
        full = state[base + 1]
        ring = state[base + LAG_HEADER : base + units]
        for row in range(rows):
            k = row * n + column
            value = x[k]
            if value != value:
                out[k] = np.nan
                continue
            out[k] = ring[position] if full > 0.0 else np.nan
            ring[position] = value
            position += 1
            if position == length:
                position = 0
                full = 1.0
        state[base] = position
        state[base + 1] = full


@inner_kernel
def rolling_sum(
    state: FloatArray,
    offset: int,
    length: int,
    divisor: float,
    x: FloatArray,
    out: FloatArray,
    rows: int,
    n: int,
) -> None:
    """Sum of the window over `divisor`: 1 for a sum, `length` for a mean.

    What is summed are distances to a value of the last lap, so that a price which stands still has itself as
    its mean, and two averages of it tie.
    """
    weight = length / divisor
    units = SUM_HEADER + length
    for column in range(n):
        base = offset + column * units
        position = int(state[base])
        full = state[base + 1]
        total = state[base + 2]
        fresh = state[base + 3]
        centre = state[base + 4]
        centre_fresh = state[base + 5]
        ring = state[base + SUM_HEADER : base + units]
        for row in range(rows):
            k = row * n + column
            value = x[k]
            if value != value:
                out[k] = np.nan
                continue
            if position == 0 and full == 0.0:
                centre_fresh = value
            total += value - ring[position]
            fresh += value - centre_fresh
            ring[position] = value
            position += 1
            if position == length:
                position = 0
                full = 1.0
                total = fresh
                centre = centre_fresh
                fresh = 0.0
                centre_fresh = value
            out[k] = centre * weight + total / divisor if full > 0.0 else np.nan
        state[base] = position
        state[base + 1] = full
        state[base + 2] = total
        state[base + 3] = fresh
        state[base + 4] = centre
        state[base + 5] = centre_fresh


@inner_kernel
def rolling_std(
    state: FloatArray, offset: int, length: int, x: FloatArray, out: FloatArray, rows: int, n: int
) -> None:
    """Sample standard deviation of the window (divisor `length` - 1).

    Squares are taken of distances to a value of the last lap, since squares of the values themselves would
    lose the digits that matter when the level is large against the movement.
    """
    units = MOMENTS_HEADER + length
    for column in range(n):
        base = offset + column * units
        position = int(state[base])
        full = state[base + 1]
        centre = state[base + 2]
        centre_fresh = state[base + 3]
        first = state[base + 4]
        second = state[base + 5]
        first_fresh = state[base + 6]
        second_fresh = state[base + 7]
        ring = state[base + MOMENTS_HEADER : base + units]
        for row in range(rows):
            k = row * n + column
            value = x[k]
            if value != value:
                out[k] = np.nan
                continue
            if full > 0.0:
                gone = ring[position] - centre
                first -= gone
                second -= gone * gone
            elif position == 0:
                centre = value
                centre_fresh = value
            first += value - centre
            second += (value - centre) * (value - centre)
            first_fresh += value - centre_fresh
            second_fresh += (value - centre_fresh) * (value - centre_fresh)
            ring[position] = value
            position += 1
            if position == length:
                position = 0
                full = 1.0
                first = first_fresh
                second = second_fresh
                centre = centre_fresh
                first_fresh = 0.0
                second_fresh = 0.0
                centre_fresh = value
            if full > 0.0:
                spread = second - first * first / length
                if spread <= _ROUNDING * length * second:
                    spread = 0.0
                out[k] = np.sqrt(spread / (length - 1))
            else:
                out[k] = np.nan
        state[base] = position
        state[base + 1] = full
        state[base + 2] = centre
        state[base + 3] = centre_fresh
        state[base + 4] = first
        state[base + 5] = second
        state[base + 6] = first_fresh
        state[base + 7] = second_fresh


@inner_kernel
def rolling_extreme(
    state: FloatArray,
    offset: int,
    length: int,
    sign: float,
    x: FloatArray,
    out: FloatArray,
    rows: int,
    n: int,
) -> None:
    """Smallest value of the window, or the largest with `sign` -1 (van Herk 1992, Gil and Werman 1993).

    Behind the write position the ring holds this lap's values, from it on the suffix minima of the last lap;
    the window is a suffix of the last lap and this lap so far.
    """
    units = EXTREME_HEADER + length
    for column in range(n):
        base = offset + column * units
        position = int(state[base])
        full = state[base + 1]
        prefix = state[base + 2]
        ring = state[base + EXTREME_HEADER : base + units]
        for row in range(rows):
            k = row * n + column
            value = sign * x[k]
            if value != value:
                out[k] = np.nan
                continue
            if position == 0 or value < prefix:
                prefix = value
            ring[position] = value
            position += 1
            smallest = prefix
            if position == length:
                for behind in range(length - 2, -1, -1):
                    if ring[behind + 1] < ring[behind]:
                        ring[behind] = ring[behind + 1]
                position = 0
                full = 1.0
            elif ring[position] < smallest:
                smallest = ring[position]
            out[k] = sign * smallest if full > 0.0 else np.nan
        state[base] = position
        state[base + 1] = full
        state[base + 2] = prefix


@inner_kernel
def rolling_quantile(
    state: FloatArray,
    offset: int,
    length: int,
    share: float,
    x: FloatArray,
    out: FloatArray,
    rows: int,
    n: int,
) -> None:
    """Value below which `share` of the window lies, linear between neighbours (0.5: the median)."""
    units = SORTED_HEADER + 2 * length
    place = (length - 1) * share
    below = min(int(place), length - 1)
    above = min(below + 1, length - 1)
    for column in range(n):
        base = offset + column * units
        position = int(state[base])
        count = int(state[base + 1])
        ring = state[base + SORTED_HEADER : base + SORTED_HEADER + length]
        ranked = state[base + SORTED_HEADER + length : base + units]
        for row in range(rows):
            k = row * n + column
            value = x[k]
            if value != value:
                out[k] = np.nan
                continue
            if count == length:
                index = 0
                while ranked[index] != ring[position]:
                    index += 1
                for behind in range(index, length - 1):
                    ranked[behind] = ranked[behind + 1]
                count -= 1
            index = count
            while index > 0 and ranked[index - 1] > value:
                ranked[index] = ranked[index - 1]
                index -= 1
            ranked[index] = value
            count += 1
            ring[position] = value
            position += 1
            if position == length:
                position = 0
            if count == length:
                out[k] = ranked[below] + (place - below) * (ranked[above] - ranked[below])
            else:
                out[k] = np.nan
        state[base] = position
        state[base + 1] = count


@inner_kernel
def rolling_rank(
    state: FloatArray, offset: int, length: int, x: FloatArray, out: FloatArray, rows: int, n: int
) -> None:
    """Rank of the latest value in its window, from 0 (smallest) to 1 (largest); ties share the middle."""
    units = RANK_HEADER + length
    for column in range(n):
        base = offset + column * units
        position = int(state[base])
        full = state[base + 1]
        ring = state[base + RANK_HEADER : base + units]
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
            if full > 0.0:
                doubled = -1
                for index in range(length):
                    doubled += 2 if ring[index] < value else (1 if ring[index] == value else 0)
                out[k] = doubled / (2.0 * (length - 1))
            else:
                out[k] = np.nan
        state[base] = position
        state[base + 1] = full


@inner_kernel
def rolling_pair(
    state: FloatArray,
    offset: int,
    length: int,
    measure: float,
    x: FloatArray,
    y: FloatArray,
    out: FloatArray,
    rows: int,
    n: int,
) -> None:
    """Correlation of two inputs (`measure` 0), slope of the first on the second (1), or covariance (2).

    A bar counts where both are known. NaN where an input that is divided by does not move.
    """
    units = PAIR_HEADER + 2 * length
    for column in range(n):
        base = offset + column * units
        header = state[base : base + PAIR_HEADER]
        position = int(header[0])
        full = header[1]
        ring_x = state[base + PAIR_HEADER : base + PAIR_HEADER + length]
        ring_y = state[base + PAIR_HEADER + length : base + units]
        for row in range(rows):
            k = row * n + column
            if x[k] != x[k] or y[k] != y[k]:
                out[k] = np.nan
                continue
            if full > 0.0:
                u = ring_x[position] - header[2]
                v = ring_y[position] - header[3]
                header[4] -= u
                header[5] -= v
                header[6] -= u * u
                header[7] -= v * v
                header[8] -= u * v
            elif position == 0:
                header[2] = header[9] = x[k]
                header[3] = header[10] = y[k]
            u = x[k] - header[2]
            v = y[k] - header[3]
            header[4] += u
            header[5] += v
            header[6] += u * u
            header[7] += v * v
            header[8] += u * v
            u = x[k] - header[9]
            v = y[k] - header[10]
            header[11] += u
            header[12] += v
            header[13] += u * u
            header[14] += v * v
            header[15] += u * v
            ring_x[position] = x[k]
            ring_y[position] = y[k]
            position += 1
            if position == length:
                position = 0
                full = 1.0
                for index in range(2, 9):
                    header[index] = header[index + 7]
                    header[index + 7] = 0.0
                header[9] = x[k]
                header[10] = y[k]
            if full > 0.0:
                spread_x = header[6] - header[4] * header[4] / length
                spread_y = header[7] - header[5] * header[5] / length
                together = header[8] - header[4] * header[5] / length
                still_x = spread_x <= _ROUNDING * length * header[6]
                still_y = spread_y <= _ROUNDING * length * header[7]
                if measure == 2.0:
                    out[k] = 0.0 if still_x or still_y else together / (length - 1)
                elif measure == 1.0:
                    out[k] = np.nan if still_y else together / spread_y
                elif still_x or still_y:
                    out[k] = np.nan
                else:
                    out[k] = min(1.0, max(-1.0, together / (np.sqrt(spread_x) * np.sqrt(spread_y))))
            else:
                out[k] = np.nan
        header[0] = position
        header[1] = full
