"""Kernels of operators that look at one value a time: arithmetic, comparisons, logic, choice.

All take flat blocks: Shape (rows * N,), row-major. A NaN input gives a NaN output; KNOWN alone answers it.
"""

import math

import numpy as np

from engine.compiled import inner_kernel
from engine.domain.panel import FloatArray
from engine.features.opcodes import Op


@inner_kernel
def fill(value: float, out: FloatArray) -> None:
    """Write a constant."""
    for k in range(out.shape[0]):
        out[k] = value


@inner_kernel
def copy(x: FloatArray, out: FloatArray) -> None:
    """Copy a panel field, where a root is nothing but a field."""
    for k in range(out.shape[0]):
        out[k] = x[k]


@inner_kernel
def unary(op: int, x: FloatArray, out: FloatArray) -> None:  # noqa: C901  # a loop an operator
    """Apply a function of one value. The logarithm of a number that is not positive is NaN."""
    size = out.shape[0]
    if op == Op.NEGATE:
        for k in range(size):
            out[k] = -x[k]
    elif op == Op.ABSOLUTE:
        for k in range(size):
            out[k] = abs(x[k])
    elif op == Op.LOG:
        for k in range(size):
            out[k] = math.log(x[k]) if x[k] > 0.0 else np.nan
    elif op == Op.EXP:
        for k in range(size):
            out[k] = math.exp(x[k])
    elif op == Op.SQRT:
        for k in range(size):
            out[k] = math.sqrt(x[k]) if x[k] >= 0.0 else np.nan
    elif op == Op.SIGN:
        for k in range(size):
            value = x[k]
            out[k] = (1.0 if value > 0.0 else (-1.0 if value < 0.0 else 0.0)) if value == value else np.nan
    elif op == Op.NOT:
        for k in range(size):
            out[k] = (1.0 if x[k] == 0.0 else 0.0) if x[k] == x[k] else np.nan
    elif op == Op.FLOOR:
        for k in range(size):
            out[k] = np.floor(x[k])
    elif op == Op.KNOWN:
        for k in range(size):
            out[k] = 1.0 if x[k] == x[k] else 0.0


@inner_kernel
def arithmetic(op: int, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """Combine two values. Division by zero follows IEEE 754."""
    size = out.shape[0]
    if op == Op.ADD:
        for k in range(size):
            out[k] = x[k] + y[k]
    elif op == Op.SUBTRACT:
        for k in range(size):
            out[k] = x[k] - y[k]
    elif op == Op.MULTIPLY:
        for k in range(size):
            out[k] = x[k] * y[k]
    elif op == Op.DIVIDE:
        for k in range(size):
            out[k] = x[k] / y[k]
    elif op == Op.MINIMUM:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = min(x[k], y[k]) if known else np.nan
    elif op == Op.MAXIMUM:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = max(x[k], y[k]) if known else np.nan


@inner_kernel
def comparison(op: int, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """Compare or combine truths: 1, 0, or NaN if either side is NaN. Any number but 0 counts as true."""
    size = out.shape[0]
    if op == Op.GREATER:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = (1.0 if x[k] > y[k] else 0.0) if known else np.nan
    elif op == Op.GREATER_EQUAL:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = (1.0 if x[k] >= y[k] else 0.0) if known else np.nan
    elif op == Op.LESS:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = (1.0 if x[k] < y[k] else 0.0) if known else np.nan
    elif op == Op.LESS_EQUAL:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = (1.0 if x[k] <= y[k] else 0.0) if known else np.nan
    elif op == Op.EQUAL:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = (1.0 if x[k] == y[k] else 0.0) if known else np.nan
    elif op == Op.AND:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = (1.0 if x[k] != 0.0 and y[k] != 0.0 else 0.0) if known else np.nan
    elif op == Op.OR:
        for k in range(size):
            known = x[k] == x[k] and y[k] == y[k]
            out[k] = (1.0 if x[k] != 0.0 or y[k] != 0.0 else 0.0) if known else np.nan


@inner_kernel
def where(condition: FloatArray, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """Choose: the side that is not chosen may be NaN, the condition may not."""
    for k in range(out.shape[0]):
        chosen = x[k] if condition[k] != 0.0 else y[k]
        out[k] = chosen if condition[k] == condition[k] else np.nan
