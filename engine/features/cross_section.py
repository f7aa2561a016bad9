"""Kernels of operators over the instruments of one bar, without state. A NaN takes no part and stays NaN."""

import numpy as np

from engine.compiled import kernel
from engine.domain.panel import FloatArray


@kernel
def of_column(column: int, x: FloatArray, out: FloatArray, rows: int, n: int) -> None:
    """Give every instrument the value of one."""
    for row in range(rows):
        value = x[row * n + column]
        for k in range(row * n, row * n + n):
            out[k] = value


@kernel
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


@kernel
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


@kernel
def cross_moment(standardise: float, x: FloatArray, out: FloatArray, rows: int, n: int) -> None:
    """Distance to the mean of the bar, over the sample standard deviation if `standardise` is 1.

    All equal, or one alone: there is no deviation to measure in, and the result is NaN.
    """
    for row in range(rows):
        values = x[row * n : row * n + n]
        count = 0
        total = 0.0
        for j in range(n):
            if values[j] == values[j]:
                count += 1
                total += values[j]
        if count < 2 and standardise > 0.0:
            for j in range(n):
                out[row * n + j] = np.nan
            continue
        mean = total / max(count, 1)
        spread = 0.0
        for j in range(n):
            if values[j] == values[j]:
                spread += (values[j] - mean) * (values[j] - mean)
        scale = np.sqrt(spread / (count - 1)) if standardise > 0.0 else 1.0
        for j in range(n):
            out[row * n + j] = (values[j] - mean) / scale if scale > 0.0 else np.nan
