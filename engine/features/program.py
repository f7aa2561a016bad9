"""From expression graphs to a flat program, and the compiled interpreter that runs it.

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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.compiled import kernel
from engine.domain.errors import InvalidValueError
from engine.domain.panel import PRICE_FIELDS, FloatArray, IntArray, Panel
from engine.features.cross_section import cross_moment, cross_rank, of_column, top_k
from engine.features.elementwise import arithmetic, comparison, copy, fill, unary, where
from engine.features.expression import Expression
from engine.features.opcodes import LEAVES, TRUTHS, Op
from engine.features.recursive import (
    AVERAGE_UNITS,
    LATCH_UNITS,
    SINCE_UNITS,
    bars_since,
    exponential_average,
    latch,
)
from engine.features.rolling import (
    EXTREME_HEADER,
    LAG_HEADER,
    MOMENTS_HEADER,
    PAIR_HEADER,
    RANK_HEADER,
    SORTED_HEADER,
    SUM_HEADER,
    lag,
    rolling_extreme,
    rolling_pair,
    rolling_quantile,
    rolling_rank,
    rolling_std,
    rolling_sum,
)

BLOCK = 512
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


@kernel
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
        elif Op.NEGATE <= op <= Op.NOT:
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
        elif op == Op.ROLLING_CORR or op == Op.ROLLING_BETA:
            rolling_pair(state, offset, length, number, x, y, out, rows, n)
        elif op == Op.LATCH:
            latch(state, offset, length, x, y, out, rows, n)
        elif op == Op.BARS_SINCE:
            bars_since(state, offset, length, x, out, rows, n)
        elif op == Op.CROSS_RANK:
            cross_rank(x, out, rows, n)
        elif op == Op.CROSS_ZSCORE or op == Op.CROSS_DEMEAN:
            cross_moment(number, x, out, rows, n)
        elif op == Op.TOP_K:
            top_k(length, x, out, rows, n)
        elif op == Op.OF:
            of_column(length, x, out, rows, n)


@dataclass(frozen=True, kw_only=True, eq=False)
class CompiledProgram:
    """A program with what its caller must provide.

    Attributes
    ----------
    inputs
        Leaves of the graphs, in the order of the rows of the data: panel fields and window functions.
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


def state_units(op: Op, length: int) -> int:
    """Return how many values an operator remembers of one instrument."""
    match op:
        case Op.LAG:
            return LAG_HEADER + length
        case Op.ROLLING_SUM | Op.ROLLING_MEAN:
            return SUM_HEADER + length
        case Op.ROLLING_STD:
            return MOMENTS_HEADER + length
        case Op.ROLLING_MIN | Op.ROLLING_MAX:
            return EXTREME_HEADER + length
        case Op.ROLLING_QUANTILE:
            return SORTED_HEADER + 2 * length
        case Op.ROLLING_RANK:
            return RANK_HEADER + length
        case Op.ROLLING_CORR | Op.ROLLING_BETA:
            return PAIR_HEADER + 2 * length
        case Op.EMA | Op.WILDER:
            return AVERAGE_UNITS
        case Op.LATCH:
            return LATCH_UNITS
        case Op.BARS_SINCE:
            return SINCE_UNITS
        case _:
            return 0


def _arguments(node: Expression, symbols: tuple[str, ...]) -> tuple[int, float]:
    """Return the whole-number and the other parameter that the kernel of a node takes."""
    match node.op:
        case Op.CONSTANT:
            return 0, float(node.parameters[0])
        case Op.OF:
            symbol = str(node.parameters[0])
            if symbol not in symbols:
                raise InvalidValueError(
                    f"of: no instrument {symbol!r} in the panel, it has {', '.join(symbols)}"
                )
            return symbols.index(symbol), 0.0
        case Op.CROSS_ZSCORE:
            return 0, 1.0
    if not node.parameters:
        return 0, 0.0
    length = int(node.parameters[0])
    number = 0.0
    match node.op:
        case Op.ROLLING_SUM | Op.ROLLING_MIN | Op.ROLLING_BETA:
            number = 1.0
        case Op.ROLLING_MAX:
            number = -1.0
        case Op.ROLLING_MEAN:
            number = float(length)
        case Op.ROLLING_QUANTILE:
            number = float(node.parameters[1])
        case Op.EMA:
            number = 2.0 / (length + 1.0)
        case Op.WILDER:
            number = 1.0 / length
    return length, number


def _executed(node: Expression) -> Expression:
    """Return what has to be computed for a node: `where(truth, 1, 0)` is the truth itself."""
    if (
        node.op is Op.WHERE
        and node.inputs[0].op in TRUTHS
        and node.inputs[1].op is Op.CONSTANT
        and node.inputs[2].op is Op.CONSTANT
        and node.inputs[1].parameters[0] == 1.0
        and node.inputs[2].parameters[0] == 0.0
    ):
        return node.inputs[0]
    return node


_SHARED = -1


def _owners(roots: Sequence[Expression]) -> dict[Expression, int]:
    """Return for every node the one root that uses it, or `_SHARED`."""
    owners: dict[Expression, int] = {}
    for index, root in enumerate(roots):
        stack = [root]
        while stack:
            node = stack.pop()
            owner = owners.get(node)
            if owner == index or owner == _SHARED:
                continue
            owners[node] = index if owner is None else _SHARED
            stack += [_executed(child) for child in node.inputs if node.op not in LEAVES]
    return owners


class _Writer:
    """Lays out nodes in execution order; a scratch slot is free again after its last use."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.symbols = symbols
        self.nodes: list[tuple[int, ...]] = []
        self.numbers: list[float] = []
        self.inputs: dict[Expression, int] = {}
        self.slot: dict[Expression, int] = {}
        self.free: list[int] = []
        self.slots = 1  # slot 0 of an empty program exists: unused inputs point at it
        self.state_size = 0

    def order(
        self, roots: Sequence[Expression], owners: dict[Expression, int], owner: int
    ) -> list[Expression]:
        """Return the nodes of one owner below the roots, inputs first."""
        seen: set[Expression] = set()
        found: list[Expression] = []
        stack = [(root, False) for root in reversed(roots)]
        while stack:
            node, done = stack.pop()
            if done:
                found.append(node)
            elif node not in seen and node.op not in LEAVES:
                seen.add(node)
                if owners[node] == owner:
                    stack.append((node, True))
                if owners[node] == owner or owner == _SHARED:
                    stack += [(_executed(child), False) for child in reversed(node.inputs)]
        return found

    def write(self, section: list[Expression], keep: set[Expression]) -> None:
        """Append nodes; slots of those not in `keep` are given back after their last use in the section."""
        uses: dict[Expression, int] = {}
        children = [[_executed(child) for child in node.inputs] for node in section]
        for inputs in children:
            for child in inputs:
                uses[child] = uses.get(child, 0) + 1
        here = set(section)
        for node, inputs in zip(section, children, strict=True):
            self.slot[node] = self.append(node.op, [self.code(child) for child in inputs], node)
            for child in inputs:
                uses[child] -= 1
                if uses[child] == 0 and child in here and child not in keep:
                    self.free.append(self.slot[child])

    def append(self, op: Op, codes: list[int], node: Expression) -> int:
        """Append one node and return its slot."""
        if self.free:
            slot = self.free.pop()
        else:
            slot = self.slots
            self.slots += 1
        length, number = (0, 0.0) if op is Op.COPY else _arguments(node, self.symbols)
        self.nodes.append((int(op), *codes, *(0,) * (3 - len(codes)), slot, self.state_size, length))
        self.numbers.append(number)
        self.state_size += state_units(op, length) * len(self.symbols)
        return slot

    def code(self, node: Expression) -> int:
        """Return where a node's values are found."""
        if node.op in LEAVES:
            return -1 - self.inputs.setdefault(node, len(self.inputs))
        return self.slot[node]


def compile_program(roots: Sequence[Expression], symbols: Sequence[str]) -> CompiledProgram:
    """Lay out the program that computes all roots for instruments named `symbols`."""
    writer = _Writer(tuple(symbols))
    executed = [_executed(root) for root in roots]
    owners = _owners(executed)
    shared = writer.order(executed, owners, _SHARED)
    in_shared = set(shared)
    keep = in_shared.intersection(executed)
    for node, owner in owners.items():
        if owner != _SHARED and node.op not in LEAVES:
            keep.update(in_shared.intersection(map(_executed, node.inputs)))
    writer.write(shared, keep)
    shared_stop = len(writer.nodes)
    starts, stops, root_slots = [], [], []
    for index, root in enumerate(executed):
        starts.append(len(writer.nodes))
        if root.op in LEAVES:
            slot = writer.append(Op.COPY, [writer.code(root)], root)
        else:
            writer.write(writer.order([root], owners, index), {root})
            slot = writer.slot[root]
        root_slots.append(slot)
        if root not in in_shared:
            writer.free.append(slot)
        stops.append(len(writer.nodes))
    nodes = np.array(writer.nodes, dtype=np.int64).reshape(-1, 7)
    return CompiledProgram(
        program=Program(
            nodes=nodes,
            numbers=np.array(writer.numbers, dtype=np.float64),
            root_slot=np.array(root_slots, dtype=np.int64),
            private_start=np.array(starts, dtype=np.int64),
            private_stop=np.array(stops, dtype=np.int64),
            shared_start=0,
            shared_stop=shared_stop,
            n=len(writer.symbols),
        ),
        inputs=tuple(writer.inputs),
        slots=writer.slots,
        state_size=writer.state_size,
    )


def field_values(panel: Panel, name: str) -> FloatArray:
    """Return a field of a panel, Shape (T, N); a field that all instruments share is repeated.

    Raises
    ------
    InvalidValueError
        If the panel has no such field.
    """
    if name in PRICE_FIELDS:
        values: FloatArray = getattr(panel, name)
        return values
    if name not in panel.fields:
        known = ", ".join([*PRICE_FIELDS, *panel.fields])
        raise InvalidValueError(f"field: panel {panel.name} has no field {name!r}, it has {known}")
    values = panel.fields[name]
    if values.ndim == 1:
        return np.repeat(values, len(panel.instruments)).reshape(len(panel), -1)
    return values
