"""Values of expressions: of a whole panel at once, or bar by bar. Both run the same compiled nodes."""

from collections.abc import Mapping, Sequence

import numpy as np

from engine.compiled import kernel
from engine.domain.errors import InvalidValueError
from engine.domain.panel import PRICE_FIELDS, FloatArray, Panel
from engine.features.expression import Expression
from engine.features.layout import compile_program
from engine.features.opcodes import Op
from engine.features.program import Bound, Program, run_nodes
from engine.features.window import WindowMemory


def bind(roots: Sequence[Expression], panel: Panel) -> Bound:
    """Compile roots for a panel and gather the data that they read.

    Window functions are Python and run here, over the whole panel, bar by bar; the compiled loop then reads
    their values as if they were fields.

    Raises
    ------
    InvalidValueError
        If the panel has no field or instrument of a name that a root uses.
    """
    compiled = compile_program(roots, panel.symbols)
    values = [_leaf_values(leaf, panel) for leaf in compiled.inputs]
    if len(values) == 1:
        data = values[0].reshape(1, -1)  # no copy: a million bars would take as long to copy as to compute
    else:
        data = np.empty((len(values), len(panel) * len(panel.instruments)))
        for index, value in enumerate(values):
            data[index] = value.reshape(-1)
    data.flags.writeable = False
    return Bound(compiled=compiled, data=data)


def _field_values(panel: Panel, name: str) -> FloatArray:
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


def _leaf_values(leaf: Expression, panel: Panel) -> FloatArray:
    if leaf.op is Op.FIELD:
        return _field_values(panel, str(leaf.parameters[0]))
    memory = _memory(leaf, len(panel.instruments))
    inputs = evaluate(leaf.inputs, panel)
    return np.array([memory.push(inputs[:, row]) for row in range(len(panel))]).reshape(len(panel), -1)


def _memory(leaf: Expression, n: int) -> WindowMemory:
    assert leaf.function is not None
    return WindowMemory(leaf.function, int(leaf.parameters[0]), len(leaf.inputs), n)


@kernel
def _run_panel(
    program: Program,
    data: FloatArray,
    panel_rows: int,
    block: int,
    state: FloatArray,
    scratch: FloatArray,
    out: FloatArray,
) -> None:
    n = program.n
    for row in range(0, panel_rows, block):
        rows = min(block, panel_rows - row)
        run_nodes(program, program.shared_start, program.shared_stop, data, row, rows, state, scratch)
        for root in range(program.root_slot.shape[0]):
            start = program.private_start[root]
            stop = program.private_stop[root]
            run_nodes(program, start, stop, data, row, rows, state, scratch)
            slot = program.root_slot[root]
            for k in range(rows * n):
                out[root, row * n + k] = scratch[slot, k]


def evaluate(roots: Sequence[Expression], panel: Panel, *, block_rows: int | None = None) -> FloatArray:
    """Return the values of all roots on a panel, Shape (R, T, N); equal sub-expressions are computed once.

    Parameters
    ----------
    block_rows
        Bars computed at a time, None for what suits the cache. Values do not depend on it.
    """
    bound = bind(roots, panel)
    compiled = bound.compiled
    block = compiled.block_rows if block_rows is None else block_rows
    if block < 1:
        raise InvalidValueError(f"evaluate: block_rows must be at least 1, was {block}")
    out = np.empty((len(roots), len(panel) * len(panel.instruments)))
    _run_panel(
        compiled.program,
        bound.data,
        len(panel),
        block,
        compiled.new_state(),
        compiled.new_scratch(block),
        out,
    )
    return out.reshape(len(roots), len(panel), len(panel.instruments))


class Stream:
    """Values of roots bar by bar, bit for bit those of `evaluate` on the same bars."""

    def __init__(self, roots: Sequence[Expression], symbols: Sequence[str]) -> None:
        self._compiled = compile_program(roots, symbols)
        n = len(symbols)
        self._state = self._compiled.new_state()
        self._scratch = self._compiled.new_scratch(1)
        self._row = np.empty((len(self._compiled.inputs), n))
        self._data = self._row.view()
        self._data.flags.writeable = False
        leaves = self._compiled.inputs
        self._fields = [(i, str(leaf.parameters[0])) for i, leaf in enumerate(leaves) if leaf.op is Op.FIELD]
        windows = [(i, leaf) for i, leaf in enumerate(leaves) if leaf.op is Op.WINDOW_FUNCTION]
        self._windows = [(i, _memory(leaf, n), len(leaf.inputs)) for i, leaf in windows]
        behind = [child for _, leaf in windows for child in leaf.inputs]
        self._behind = Stream(behind, symbols) if behind else None

    @property
    def fields(self) -> frozenset[str]:
        """Names of the panel fields that `push` needs."""
        names = frozenset(name for _, name in self._fields)
        return names | self._behind.fields if self._behind else names

    def push(self, bar: Mapping[str, FloatArray | float]) -> FloatArray:
        """Take one closed bar, each field of Shape (N,) or one number for all, and return Shape (R, N).

        Raises
        ------
        InvalidValueError
            If a field that a root uses is not in the bar.
        """
        for index, name in self._fields:
            if name not in bar:
                raise InvalidValueError(f"stream: the bar has no field {name!r}, it has {', '.join(bar)}")
            self._row[index] = bar[name]
        if self._behind is not None:
            inputs = self._behind.push(bar)
            first = 0
            for index, memory, count in self._windows:
                self._row[index] = memory.push(inputs[first : first + count])
                first += count
        out = np.empty((len(self._compiled.program.root_slot), self._row.shape[1]))
        _run_panel(self._compiled.program, self._data, 1, 1, self._state, self._scratch, out)
        return out
