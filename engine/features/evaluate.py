"""Values of expressions: of a whole panel at once, or bar by bar. Both run the same compiled nodes."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from engine.compiled import CORE_VERSION, kernel
from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import PRICE_FIELDS, FloatArray, Panel
from engine.domain.time import Timeframe
from engine.features.calendar import OPENED_AT, CalendarValue, calendar_values
from engine.features.expression import Expression
from engine.features.layout import compile_program
from engine.features.opcodes import Op
from engine.features.program import Bound, Program, run_nodes
from engine.features.resample import Slower, SlowerBars, slower_panel
from engine.features.window import WindowMemory

State = Mapping[str, npt.NDArray[np.generic]]
"""What a stream remembers, by name."""

_PROGRAM, _KERNELS = "program", "kernels"


def bind(roots: Sequence[Expression], panel: Panel) -> Bound:
    """Compile roots for a panel and gather the data that they read.

    Window functions, calendar values and slower timeframes are no business of the compiled loop: they are
    computed here, over the whole panel, and the loop reads them as if they were fields.

    Raises
    ------
    InvalidValueError
        If the panel has no field or instrument of a name that a root uses, or cannot be resampled as asked.
    """
    compiled = compile_program(roots, panel.symbols)
    slower: dict[str, Slower] = {}
    values = [_leaf_values(leaf, panel, slower) for leaf in compiled.inputs]
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
    return _for_all(values, panel) if values.ndim == 1 else values


def _for_all(values: FloatArray, panel: Panel) -> FloatArray:
    """Return a series as that of every instrument, Shape (T, N)."""
    return np.repeat(values, len(panel.instruments)).reshape(len(panel), -1)


def _leaf_values(leaf: Expression, panel: Panel, slower: dict[str, Slower]) -> FloatArray:
    """Return what stands in the place of a leaf, Shape (T, N). `slower` keeps the panels that were made."""
    match leaf.op:
        case Op.FIELD:
            return _field_values(panel, str(leaf.parameters[0]))
        case Op.CALENDAR:
            return _for_all(calendar_values(CalendarValue(str(leaf.parameters[0])), panel.timestamps), panel)
        case Op.RESAMPLE:
            if len(panel) == 0:
                return panel.close
            timeframe = str(leaf.parameters[0])
            if timeframe not in slower:
                slower[timeframe] = slower_panel(panel, Timeframe(timeframe))
            whole, latest = slower[timeframe]
            inner = evaluate(leaf.inputs, whole)[0]
            return np.concatenate([inner, np.full((1, inner.shape[1]), np.nan)])[latest]
        case _:
            memory = _memory(leaf, len(panel.instruments))
            inputs = evaluate(leaf.inputs, panel)
            return np.array([memory.push(inputs[:, row]) for row in range(len(panel))]).reshape(
                len(panel), -1
            )


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
    """Values of roots bar by bar, bit for bit those of `evaluate` on the same bars.

    Parameters
    ----------
    symbols
        Of the instruments, in the order of the columns of what is pushed.
    timeframe
        Length of the bars; only roots that use `resample` need it.

    Raises
    ------
    InvalidValueError
        If a root asks for an instrument that is not there, or for a slower timeframe without `timeframe`.
    """

    def __init__(
        self, roots: Sequence[Expression], symbols: Sequence[str], *, timeframe: Timeframe | None = None
    ) -> None:
        self._compiled = compile_program(roots, symbols)
        n = len(symbols)
        self._state = self._compiled.new_state()
        self._scratch = self._compiled.new_scratch(1)
        self._row = np.empty((len(self._compiled.inputs), n))
        self._data = self._row.view()
        self._data.flags.writeable = False
        leaves = list(enumerate(self._compiled.inputs))
        self._fields = [(i, str(leaf.parameters[0])) for i, leaf in leaves if leaf.op is Op.FIELD]
        self._calendar = [
            (i, CalendarValue(str(leaf.parameters[0]))) for i, leaf in leaves if leaf.op is Op.CALENDAR
        ]
        windows = [(i, leaf) for i, leaf in leaves if leaf.op is Op.WINDOW_FUNCTION]
        self._windows = [(i, _memory(leaf, n), len(leaf.inputs)) for i, leaf in windows]
        behind = [child for _, leaf in windows for child in leaf.inputs]
        self._behind = Stream(behind, symbols, timeframe=timeframe) if behind else None
        self._slower = _slower_streams(
            [(i, leaf) for i, leaf in leaves if leaf.op is Op.RESAMPLE], symbols, timeframe
        )
        self._names = self._needed()
        self._arrays = self._remembered()
        self._identity = _digest(
            content_hash(
                {
                    "roots": [root.hash for root in roots],
                    "symbols": list(symbols),
                    "timeframe": timeframe if self._slower else None,
                }
            )
        )

    @property
    def fields(self) -> frozenset[str]:
        """Names of all that `push` needs: panel fields, and `opened_at` where the time counts."""
        return self._names

    def _needed(self) -> frozenset[str]:
        names = frozenset(name for _, name in self._fields)
        if self._calendar or self._slower:
            names |= {OPENED_AT}
        if self._behind is not None:
            names |= self._behind.fields
        return names.union(*(slower.fields for slower in self._slower))

    def _remembered(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return every array in which something is remembered, the streams behind this one included."""
        found: dict[str, npt.NDArray[np.generic]] = {"nodes": self._state}
        for place, (_, memory, _) in enumerate(self._windows):
            found |= {f"window.{place}.{name}": array for name, array in memory.memory().items()}
        if self._behind is not None:
            found |= {f"behind.{name}": array for name, array in self._behind.memory().items()}
        for place, slower in enumerate(self._slower):
            found |= {f"slower.{place}.{name}": array for name, array in slower.memory().items()}
        return found

    def push(self, bar: Mapping[str, FloatArray | float]) -> FloatArray:
        """Take one closed bar and return Shape (R, N).

        Parameters
        ----------
        bar
            By name, each field of Shape (N,) or one number for all; `opened_at` is a whole number, UTC
            nanoseconds. What `fields` does not name is not read.

        Raises
        ------
        InvalidValueError
            If something that a root uses is not in the bar.
        """
        for name in self._names:
            if name not in bar:
                raise InvalidValueError(f"stream: the bar has no field {name!r}, it has {', '.join(bar)}")
        opened_at = _opened(bar) if OPENED_AT in self._names else 0
        for index, name in self._fields:
            self._row[index] = bar[name]
        for index, what in self._calendar:
            self._row[index] = calendar_values(what, np.array([opened_at]))[0]
        if self._behind is not None:
            inputs = self._behind.push(bar)
            first = 0
            for index, memory, count in self._windows:
                self._row[index] = memory.push(inputs[first : first + count])
                first += count
        for slower in self._slower:
            self._row[slower.rows] = slower.push(opened_at, bar)
        out = np.empty((len(self._compiled.program.root_slot), self._row.shape[1]))
        _run_panel(self._compiled.program, self._data, 1, 1, self._state, self._scratch, out)
        return out

    def memory(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that is remembered, to be copied or written into."""
        return self._arrays

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that the stream remembers: a stream restored from it goes on to the same bits."""
        return {
            _PROGRAM: self._identity,
            _KERNELS: _digest(CORE_VERSION),
            **{name: array.copy() for name, array in self._arrays.items()},
        }

    def restore(self, state: State) -> None:
        """Take over what another stream of the same roots and instruments remembered.

        Raises
        ------
        InvalidValueError
            If the state is that of other roots, instruments or kernels, or is damaged. Then nothing changes.
        """
        for name, mine, whose in (
            (_PROGRAM, self._identity, "other expressions or instruments"),
            (_KERNELS, _digest(CORE_VERSION), "another version of Gauntlet"),
        ):
            if name not in state or not np.array_equal(state[name], mine):
                raise InvalidValueError(
                    f"stream: this state was saved by a stream of {whose}; push the bars from the origin "
                    "again instead"
                )
        for name, array in self._arrays.items():
            saved = state.get(name)
            if saved is None or saved.shape != array.shape or saved.dtype != array.dtype:
                found = "nothing" if saved is None else f"{saved.dtype} {saved.shape}"
                raise InvalidValueError(
                    f"stream: the saved state is damaged: {name} must be {array.dtype} {array.shape}, "
                    f"was {found}"
                )
        for name, array in self._arrays.items():
            array[...] = state[name]


class _SlowerStream:
    """Values of expressions on slower bars, as they are known at the close of each bar of a stream."""

    def __init__(
        self,
        rows: Sequence[int],
        roots: Sequence[Expression],
        symbols: Sequence[str],
        *,
        timeframe: Timeframe,
        bars: Timeframe,
    ) -> None:
        self.rows = list(rows)
        self._stream = Stream(roots, symbols, timeframe=timeframe)
        read = sorted(self._stream.fields - {OPENED_AT})
        self.fields = frozenset(read)
        self._bars = SlowerBars(read, len(symbols), timeframe=timeframe, bars=bars)
        self._values = np.full((len(roots), len(symbols)), np.nan)

    def push(self, opened_at: int, bar: Mapping[str, FloatArray | float]) -> FloatArray:
        """Take one closed bar and return the values of the last slower bar that is closed."""
        for closed in self._bars.push(opened_at, bar):
            self._values[...] = self._stream.push({**closed.fields, OPENED_AT: closed.opened_at})
        return self._values

    def memory(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that is remembered, to be copied or written into."""
        bars = {f"bars.{name}": array for name, array in self._bars.memory().items()}
        inner = {f"stream.{name}": array for name, array in self._stream.memory().items()}
        return {"values": self._values, **bars, **inner}


def _slower_streams(
    leaves: Sequence[tuple[int, Expression]], symbols: Sequence[str], bars: Timeframe | None
) -> list[_SlowerStream]:
    """Return one stream for each slower timeframe that is asked for."""
    if leaves and bars is None:
        raise InvalidValueError(
            "stream: resample must know how long a bar is: Stream(roots, symbols, timeframe=panel.timeframe)"
        )
    streams = []
    for name in dict.fromkeys(leaf.parameters[0] for _, leaf in leaves):
        assert bars is not None
        mine = [(index, leaf.inputs[0]) for index, leaf in leaves if leaf.parameters[0] == name]
        streams.append(
            _SlowerStream(
                [index for index, _ in mine],
                [root for _, root in mine],
                symbols,
                timeframe=Timeframe(str(name)),
                bars=bars,
            )
        )
    return streams


def _opened(bar: Mapping[str, FloatArray | float]) -> int:
    """Return when a bar opened; a float could not hold nanoseconds."""
    opened = bar[OPENED_AT]
    if not isinstance(opened, int | np.integer):
        raise InvalidValueError(f"stream: opened_at must be a whole number, UTC nanoseconds, was {opened!r}")
    return int(opened)


def _digest(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
