"""Allocations without a library: the same bits on every machine, for golden hashes and permutations."""

import math

import numpy as np

from engine.domain.panel import FloatArray


def equal_weight(returns: FloatArray) -> FloatArray:
    """Give every instrument the same."""
    n_instruments = returns.shape[1]
    return np.full(n_instruments, 1.0 / n_instruments)


def inverse_volatility(returns: FloatArray) -> FloatArray:
    """Weight by 1 / sample standard deviation, which must not be 0."""
    # Exactly rounded sums: no order of addition, vector width or thread count can show in the weights.
    inverse = np.array([1.0 / _standard_deviation(column.tolist()) for column in returns.T])
    return inverse / math.fsum(inverse)


def _standard_deviation(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) * (value - mean) for value in values) / (len(values) - 1))
