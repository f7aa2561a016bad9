"""The flat program that expression graphs become (`layout`), and the compiled interpreter that runs it.

A program computes many expressions at once, block by block of about 512 bars. Nodes that several roots use
come first and keep their results in scratch for the length of a block; then come, root by root, the nodes of
that root alone, whose scratch is used again by the next root. So a sweep computes each distinct
sub-expression once and needs little memory. A caller that consumes each root at once runs, per block, nodes
`shared_start` to `shared_stop`, and then per root nodes `private_start[root]` to `private_stop[root]`, after
which the value of bar `row + i` and instrument j stands in `scratch[root_slot[root], i * n + j]`. A stream is
the same with one row.

In compiled code pass no literal numbers to `run_nodes`: numba would compile the whole interpreter once more
for each. `Program.shared_start` exists for that; it is 0.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.compiled import inner_kernel
from engine.domain.panel import FloatArray, IntArray
from engine.features.cross_section import cross_moment, cross_rank, cross_residual, of_column, top_k
from engine.features.elementwise import arithmetic, comparison, copy, fill, unary, where
from engine.features.expression import Expression
from engine.features.opcodes import Op
from engine.features.recursive import bars_since, exponential_average, last_known, latch
from engine.features.rolling import (
    lag,
    rolling_extreme,
    rolling_pair,
    rolling_quantile,
    rolling_rank,
    rolling_std,
    rolling_sum,
)
from engine.features.shape import rolling_shape

BLOCK = 1024
"""Largest number of bars in a block."""

_BLOCK_VALUES = 16_384
"""Values a block should have at most, so that a node's results stay in the processor's cache."""

# Columns of `Program.nodes`.
OPCODE, FIRST, SECOND, THIRD, SLOT, OFFSET, WHOLE = range(7)


class Program(NamedTuple):
    """What the interpreter reads.

    Attributes
    ----------
    nodes
        Shape (M, 7): opcode, three inputs, output slot, offset of the state, whole-number parameter. An input
        of at least 0 is a scratch slot, -1 - f is row f of the data.
    numbers
        Shape (M,): the other parameter of each node.
    root_slot, private_start, private_stop
        Shape (R,): where the values of each root stand after its private nodes have run.
    n
        Number of instruments.
    """

    nodes: IntArray
    numbers: FloatArray
    root_slot: IntArray
    private_start: IntArray
    private_stop: IntArray
    shared_start: int
    shared_stop: int
    n: int


@inner_kernel
def run_nodes(  # noqa: C901  # one branch an operator reads better than a table of tables
    program: Program,
    first: int,
    stop: int,
    data: FloatArray,
    row: int,
    rows: int,
    state: FloatArray,
    scratch: FloatArray,
) -> None:
    """Compute nodes `first` up to `stop` for bars `row` up to `row + rows` of the data.

    Parameters
    ----------
    data
        Shape (F, T * N), read-only.
    state
        Shape (state_size,), zeros before the first bar.
    scratch
        Shape (slots, at least rows * N).
    """
    n = program.n
    low = row * n
    size = rows * n
    for index in range(first, stop):
        node = program.nodes[index]
        code = node[FIRST]
        x = data[-1 - code, low : low + size] if code < 0 else scratch[code, :size]
        code = node[SECOND]
        y = data[-1 - code, low : low + size] if code < 0 else scratch[code, :size]
        out = scratch[node[SLOT], :size]
        offset = node[OFFSET]
        length = node[WHOLE]
        number = program.numbers[index]
        op = node[OPCODE]
        if Op.GREATER <= op <= Op.OR:
            comparison(op, x, y, out)
        elif Op.ADD <= op <= Op.MAXIMUM:
            arithmetic(op, x, y, out)
        elif op == Op.WHERE:
            code = node[THIRD]
            z = data[-1 - code, low : low + size] if code < 0 else scratch[code, :size]
            where(x, y, z, out)
        elif Op.NEGATE <= op <= Op.KNOWN:
            unary(op, x, out)
        elif op == Op.CONSTANT:
            fill(number, out)
        elif op == Op.COPY:
            copy(x, out)
        elif op == Op.ROLLING_SUM or op == Op.ROLLING_MEAN:
            rolling_sum(state, offset, length, number, x, out, rows, n)
        elif op == Op.EMA or op == Op.WILDER:
            exponential_average(state, offset, length, number, x, out, rows, n)
        elif op == Op.LAG:
            lag(state, offset, length, x, out, rows, n)
        elif op == Op.ROLLING_STD:
            rolling_std(state, offset, length, x, out, rows, n)
        elif op == Op.ROLLING_MIN or op == Op.ROLLING_MAX:
            rolling_extreme(state, offset, length, number, x, out, rows, n)
        elif op == Op.ROLLING_QUANTILE:
            rolling_quantile(state, offset, length, number, x, out, rows, n)
        elif op == Op.ROLLING_RANK:
            rolling_rank(state, offset, length, x, out, rows, n)
        elif op == Op.ROLLING_CORR or op == Op.ROLLING_BETA or op == Op.ROLLING_COVARIANCE:
            rolling_pair(state, offset, length, number, x, y, out, rows, n)
        elif Op.ROLLING_SKEW <= op <= Op.ROLLING_WEIGHTED_MEAN:
            rolling_shape(state, offset, length, op, x, out, rows, n)
        elif op == Op.LATCH:
            latch(state, offset, length, x, y, out, rows, n)
        elif op == Op.BARS_SINCE:
            bars_since(state, offset, length, x, out, rows, n)
        elif op == Op.LAST_KNOWN:
            last_known(state, offset, length, x, out, rows, n)
        elif op == Op.CROSS_RANK:
            cross_rank(x, out, rows, n)
        elif op == Op.CROSS_ZSCORE or op == Op.CROSS_DEMEAN or op == Op.CROSS_MEAN:
            cross_moment(number, x, out, rows, n)
        elif op == Op.TOP_K:
            top_k(length, x, out, rows, n)
        elif op == Op.CROSS_RESIDUAL:
            cross_residual(x, y, out, rows, n)
        elif op == Op.OF:
            of_column(length, x, out, rows, n)


@dataclass(frozen=True, kw_only=True, eq=False)
class CompiledProgram:
    """A program with what its caller must provide.

    Attributes
    ----------
    inputs
        Leaves of the graphs, in the order of the rows of the data: panel fields and what is computed outside.
    slots
        Number of scratch slots.
    state_size
        Number of float64 values that all operators together remember.
    """

    program: Program
    inputs: tuple[Expression, ...]
    slots: int
    state_size: int

    @property
    def block_rows(self) -> int:
        """Bars in a block. Results do not depend on it."""
        return max(1, min(BLOCK, _BLOCK_VALUES // self.program.n))

    def new_state(self) -> FloatArray:
        """Return the state before the first bar."""
        return np.zeros(self.state_size)

    def new_scratch(self, rows: int) -> FloatArray:
        """Return working memory for blocks of up to `rows` bars."""
        return np.empty((self.slots, rows * self.program.n))


@dataclass(frozen=True, kw_only=True, eq=False)
class Bound:
    """A program and the data it runs on.

    Attributes
    ----------
    data
        Shape (F, T * N), read-only.
    """

    compiled: CompiledProgram
    data: FloatArray

    @property
    def has_roots(self) -> bool:
        """Whether there is anything to evaluate."""
        return len(self.compiled.program.root_slot) > 0
