"""Kernels of operators over the instruments of one bar, without state. A NaN takes no part and stays NaN."""

import numpy as np

from engine.compiled import inner_kernel
from engine.domain.panel import FloatArray


@inner_kernel
def of_column(column: int, x: FloatArray, out: FloatArray, rows: int, n: int) -> None:
    """Give every instrument the value of one."""
    for row in range(rows):
        value = x[row * n + column]
        for k in range(row * n, row * n + n):
            out[k] = value


@inner_kernel
def cross_rank(x: FloatArray, out: FloatArray, rows: int, n: int) -> None:
    """Rank among the instruments of the bar, from 0 (smallest) to 1 (largest); ties share the middle.

    A single instrument ranks 0.5.
    """
    for row in range(rows):
        values = x[row * n : row * n + n]
        count = 0
        for j in range(n):
            count += 1 if values[j] == values[j] else 0
        for j in range(n):
            value = values[j]
            if value != value:
                out[row * n + j] = np.nan
            elif count == 1:
                out[row * n + j] = 0.5
            else:
                doubled = -1
                for other in range(n):
                    doubled += 2 if values[other] < value else (1 if values[other] == value else 0)
                out[row * n + j] = doubled / (2.0 * (count - 1))


@inner_kernel
def top_k(k: int, x: FloatArray, out: FloatArray, rows: int, n: int) -> None:
    """1 for the `k` largest of the bar, else 0; of equal values the earlier instrument is taken."""
    for row in range(rows):
        values = x[row * n : row * n + n]
        for j in range(n):
            value = values[j]
            if value != value:
                out[row * n + j] = np.nan
                continue
            before = 0
            for other in range(n):
                before += 1 if values[other] > value or (values[other] == value and other < j) else 0
            out[row * n + j] = 1.0 if before < k else 0.0


@inner_kernel
def cross_moment(measure: float, x: FloatArray, out: FloatArray, rows: int, n: int) -> None:
    """Distance to the mean of the bar (`measure` 0), in sample standard deviations (1), or that mean (2).

    All equal, or one alone: there is no deviation to measure in, and 1 gives NaN.
    """
    for row in range(rows):
        values = x[row * n : row * n + n]
        count = 0
        total = 0.0
        for j in range(n):
            if values[j] == values[j]:
                count += 1
                total += values[j]
        if count < 2 and measure == 1.0:
            for j in range(n):
                out[row * n + j] = np.nan
            continue
        mean = total / max(count, 1)
        spread = 0.0
        for j in range(n):
            if values[j] == values[j]:
                spread += (values[j] - mean) * (values[j] - mean)
        scale = np.sqrt(spread / (count - 1)) if measure == 1.0 else 1.0
        for j in range(n):
            if measure == 2.0:
                out[row * n + j] = mean if values[j] == values[j] else np.nan
            else:
                out[row * n + j] = (values[j] - mean) / scale if scale > 0.0 else np.nan


@inner_kernel
def cross_residual(x: FloatArray, y: FloatArray, out: FloatArray, rows: int, n: int) -> None:
    """Distance of `x` to a line through the bar's points (y, x): a regression on `y` with intercept.

    Instruments count for which both are known; the others get NaN. A `y` that is the same for all explains
    nothing: then the distance to the mean is left.
    """
    for row in range(rows):
        base = row * n
        count = 0
        total_x = 0.0
        total_y = 0.0
        largest = 0.0
        for k in range(base, base + n):
            if x[k] == x[k] and y[k] == y[k]:
                count += 1
                total_x += x[k]
                total_y += y[k]
                largest = max(largest, abs(y[k]))
        mean_x = total_x / max(count, 1)
        mean_y = total_y / max(count, 1)
        spread = 0.0
        together = 0.0
        for k in range(base, base + n):
            if x[k] == x[k] and y[k] == y[k]:
                spread += (y[k] - mean_y) * (y[k] - mean_y)
                together += (y[k] - mean_y) * (x[k] - mean_x)
        # The mean of equal numbers may miss them by a rounding, which is no movement.
        still = spread <= count * (count * 2.3e-16 * largest) * (count * 2.3e-16 * largest)
        slope = 0.0 if still else together / spread
        for k in range(base, base + n):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = x[k] - mean_x - slope * (y[k] - mean_y) if known else np.nan
