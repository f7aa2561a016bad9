"""From expression graphs to a flat program: order of execution, what is shared, where values stand."""

from collections.abc import Mapping, Sequence

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.features.expression import Expression
from engine.features.opcodes import LEAVES, TRUTHS, Op
from engine.features.program import CompiledProgram, Program
from engine.features.recursive import AVERAGE_UNITS, KNOWN_UNITS, LATCH_UNITS, SINCE_UNITS
from engine.features.rolling import (
    EXTREME_HEADER,
    LAG_HEADER,
    MOMENTS_HEADER,
    PAIR_HEADER,
    RANK_HEADER,
    SORTED_HEADER,
    SUM_HEADER,
)
from engine.features.shape import SHAPE_HEADER

# What an operator remembers of one instrument: so many values, and so many more for each bar of its window.
_REMEMBERED: Mapping[Op, tuple[int, int]] = {
    Op.LAG: (LAG_HEADER, 1),
    Op.ROLLING_SUM: (SUM_HEADER, 1),
    Op.ROLLING_MEAN: (SUM_HEADER, 1),
    Op.ROLLING_STD: (MOMENTS_HEADER, 1),
    Op.ROLLING_MIN: (EXTREME_HEADER, 1),
    Op.ROLLING_MAX: (EXTREME_HEADER, 1),
    Op.ROLLING_QUANTILE: (SORTED_HEADER, 2),
    Op.ROLLING_RANK: (RANK_HEADER, 1),
    Op.ROLLING_CORR: (PAIR_HEADER, 2),
    Op.ROLLING_BETA: (PAIR_HEADER, 2),
    Op.ROLLING_COVARIANCE: (PAIR_HEADER, 2),
    Op.ROLLING_SKEW: (SHAPE_HEADER, 1),
    Op.ROLLING_KURTOSIS: (SHAPE_HEADER, 1),
    Op.ROLLING_DEVIATION: (SHAPE_HEADER, 1),
    Op.ROLLING_WEIGHTED_MEAN: (SHAPE_HEADER, 1),
    Op.EMA: (AVERAGE_UNITS, 0),
    Op.WILDER: (AVERAGE_UNITS, 0),
    Op.LATCH: (LATCH_UNITS, 0),
    Op.BARS_SINCE: (SINCE_UNITS, 0),
    Op.LAST_KNOWN: (KNOWN_UNITS, 0),
}
_NOTHING = (0, 0)


def state_units(op: Op, length: int) -> int:
    """Return how many values an operator remembers of one instrument."""
    header, a_bar = _REMEMBERED.get(op, _NOTHING)
    return header + a_bar * length


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
        case Op.CROSS_MEAN:
            return 0, 2.0
    if not node.parameters:
        return 0, 0.0
    length = int(node.parameters[0])
    number = 0.0
    match node.op:
        case Op.ROLLING_SUM | Op.ROLLING_MIN | Op.ROLLING_BETA:
            number = 1.0
        case Op.ROLLING_COVARIANCE:
            number = 2.0
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


class _Graph:
    """All nodes below some roots: what each reads, and the one root that uses it, or `_SHARED`."""

    def __init__(self, roots: Sequence[Expression]) -> None:
        self.children: dict[Expression, list[Expression]] = {}
        self.owner: dict[Expression, int] = {}
        for index, root in enumerate(roots):
            stack = [root]
            while stack:
                node = stack.pop()
                known = self.owner.get(node)
                if known is None:
                    self.owner[node] = index
                    self.children[node] = (
                        [] if node.op in LEAVES else [_executed(child) for child in node.inputs]
                    )
                elif known in (index, _SHARED):
                    continue
                else:
                    self.owner[node] = _SHARED
                stack += self.children[node]

    def order(self, roots: Sequence[Expression], owner: int) -> list[Expression]:
        """Return the nodes of one owner below the roots, inputs first. Leaves are read, not run."""
        if len(roots) == 1 and not any(self.owner[child] == owner for child in self.children[roots[0]]):
            return [roots[0]] if self.owner[roots[0]] == owner and roots[0].op not in LEAVES else []
        found: dict[Expression, None] = {}
        seen: set[Expression] = set()
        stack = list(reversed(roots))
        while stack:
            node = stack[-1]
            if node in seen:
                stack.pop()
                if self.owner[node] == owner and node.op not in LEAVES:
                    found[node] = None
                continue
            seen.add(node)
            if owner in (self.owner[node], _SHARED):
                stack += [child for child in reversed(self.children[node]) if child not in seen]
        return list(found)


class _Writer:
    """Writes nodes in execution order; a scratch slot is free again after its last use."""

    def __init__(self, graph: _Graph, symbols: tuple[str, ...]) -> None:
        self.graph = graph
        self.symbols = symbols
        self.nodes: list[tuple[int, ...]] = []
        self.numbers: list[float] = []
        self.inputs: dict[Expression, int] = {}
        self.slot: dict[Expression, int] = {}
        self.free: list[int] = []
        self.slots = 1  # an empty program has slot 0 too: inputs that a node does not use point at it
        self.state_size = 0

    def write(self, section: list[Expression], keep: set[Expression]) -> None:
        """Append nodes; slots of those not in `keep` are given back after their last use in the section."""
        if len(section) == 1:
            # Nothing of the section is an input of it. A sweep has thousands of such sections.
            node = section[0]
            inputs = self.graph.children[node]
            self.slot[node] = self.append(node.op, [self.code(child) for child in inputs], node)
            return
        uses: dict[Expression, int] = {}
        for node in section:
            for child in self.graph.children[node]:
                uses[child] = uses.get(child, 0) + 1
        here = set(section)
        for node in section:
            inputs = self.graph.children[node]
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
        self.nodes.append((op.value, *codes, *(0,) * (3 - len(codes)), slot, self.state_size, length))
        self.numbers.append(number)
        self.state_size += state_units(op, length) * len(self.symbols)
        return slot

    def code(self, node: Expression) -> int:
        """Return where a node's values are found."""
        if node.op in LEAVES:
            return -1 - self.inputs.setdefault(node, len(self.inputs))
        return self.slot[node]


def compile_program(roots: Sequence[Expression], symbols: Sequence[str]) -> CompiledProgram:
    """Lay out the program that computes all roots for instruments named `symbols`.

    Raises
    ------
    InvalidValueError
        If a root asks for an instrument that is not among them.
    """
    executed = [_executed(root) for root in roots]
    graph = _Graph(executed)
    writer = _Writer(graph, tuple(symbols))
    shared = graph.order(executed, _SHARED)
    keep = set(executed)
    for node, owner in graph.owner.items():
        if owner != _SHARED:
            keep.update(graph.children[node])
    writer.write(shared, keep)
    shared_stop = len(writer.nodes)
    starts, stops, slots = [], [], []
    for index, root in enumerate(executed):
        starts.append(len(writer.nodes))
        if root.op in LEAVES:
            slots.append(writer.append(Op.COPY, [writer.code(root)], root))
        else:
            writer.write(graph.order([root], index), {root})
            slots.append(writer.slot[root])
        if root.op in LEAVES or graph.owner[root] != _SHARED:
            writer.free.append(slots[-1])
        stops.append(len(writer.nodes))
    return CompiledProgram(
        program=Program(
            nodes=np.array(writer.nodes, dtype=np.int64).reshape(-1, 7),
            numbers=np.array(writer.numbers, dtype=np.float64),
            root_slot=np.array(slots, dtype=np.int64),
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
