"""Expressions: frozen graphs of causal operators, equal graphs being one object.

Nothing here computes prices; `program` compiles a graph and `evaluate` runs it.
"""

import importlib
import math
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Never, Self

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.time import Timeframe
from engine.features.opcodes import Op

if TYPE_CHECKING:
    import pandas as pd

    from engine.domain.panel import Panel

Parameter = int | float | str
WindowFunction = Callable[..., float]

_INFIX = {
    Op.ADD: "+",
    Op.SUBTRACT: "-",
    Op.MULTIPLY: "*",
    Op.DIVIDE: "/",
    Op.GREATER: ">",
    Op.GREATER_EQUAL: ">=",
    Op.LESS: "<",
    Op.LESS_EQUAL: "<=",
    Op.AND: "&",
    Op.OR: "|",
}
_TIMEFRAMES = tuple(Timeframe)
_RECURSIVE_SPANS = 24
"""A recursive operator needs 24 spans of history: what came before then weighs less than 1e-20."""


class Drawing(str):
    """Text of several lines that a notebook or a prompt shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, eq=False, repr=False)
class Expression:
    """One value per instrument and bar, as a graph of operators.

    Made by the functions of `operators` and by `+ - * / < <= > >= & | ~`. Two expressions with the same graph
    are the same object, so `==` asks for identity; `operators.equal` compares values.

    Attributes
    ----------
    inputs, parameters
        Of the outermost operator.
    warmups
        What `warmup` says, once; or, where a slower timeframe is used, once for each length of bar in the
        order of `Timeframe`.
    function
        The Python function of a `window_function`, else None. Its identity stands in `parameters`.
    """

    op: Op
    inputs: tuple["Expression", ...]
    parameters: tuple[Parameter, ...]
    warmups: tuple[int, ...]
    function: WindowFunction | None = None

    # numpy would otherwise take `array * expression` apart, element by element.
    __array_ufunc__ = None

    @property
    def name(self) -> str:
        """Name of the outermost operator."""
        return self.op.name.lower()

    @property
    def warmup(self) -> int:
        """Number of earlier bars that a value depends on: a window of 20 bars has 19.

        Raises
        ------
        InvalidValueError
            If the graph resamples: a day is 24 bars of an hour and 96 of a quarter. Ask `warmup_on` then.
        """
        if len(self.warmups) > 1:
            raise InvalidValueError(
                "the warm-up of an expression that uses resample depends on the length of bars: "
                "ask warmup_on(panel.timeframe) instead of warmup"
            )
        return self.warmups[0]

    def warmup_on(self, timeframe: Timeframe) -> int:
        """Return the number of earlier bars of this length that a value depends on."""
        return self.warmups[_TIMEFRAMES.index(timeframe) if len(self.warmups) > 1 else 0]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the graph, 64 hex digits, the same in every process."""
        return content_hash([self.name, list(self.parameters), [node.hash for node in self.inputs]])

    def equals(self, other: "Expression") -> bool:
        """Whether both are the same graph."""
        return self.hash == other.hash

    def on(self, panel: "Panel") -> "pd.DataFrame":
        """Compute the expression on a panel.

        Returns
        -------
        pandas.DataFrame
            One column an instrument. The index is the time at which each bar *opened* (UTC); the values are
            known when it closes.
        """
        import pandas as pd

        # By name: the evaluator knows expressions, an expression finds it only when asked for numbers.
        evaluate = importlib.import_module("engine.features.evaluate").evaluate
        opened = pd.to_datetime(panel.timestamps, unit="ns", utc=True).rename("bar open (UTC)")
        return pd.DataFrame(evaluate([self], panel)[0], index=opened, columns=list(panel.symbols))

    def draw(self) -> Drawing:
        """Return the graph as a tree of text, outermost operator first."""
        lines: list[str] = []

        def visit(node: "Expression", lead: str, tail: str) -> None:
            lines.append(lead + node.label)
            for index, child in enumerate(node.inputs):
                last = index == len(node.inputs) - 1
                visit(child, tail + ("└── " if last else "├── "), tail + ("    " if last else "│   "))

        visit(self, "", "")
        return Drawing("\n".join(lines))

    @property
    def label(self) -> str:
        """The outermost operator and its parameters, as `draw` shows them."""
        if self.op is Op.FIELD:
            return str(self.parameters[0])
        if self.op is Op.CONSTANT:
            return f"{self.parameters[0]:g}"
        if self.op in _INFIX:
            return _INFIX[self.op]
        if self.op is Op.WINDOW_FUNCTION:
            return f"{self.parameters[1]}({self.parameters[0]})"
        return self.name + (f"({', '.join(map(str, self.parameters))})" if self.parameters else "")

    def __repr__(self) -> str:
        if not self.inputs:
            return self.label
        if self.op in _INFIX:
            return f"({self.inputs[0]!r} {_INFIX[self.op]} {self.inputs[1]!r})"
        name, parameters = self.name, self.parameters
        if self.op is Op.WINDOW_FUNCTION:
            name, parameters = str(parameters[1]), parameters[:1]
        return f"{name}({', '.join([repr(node) for node in self.inputs] + [str(p) for p in parameters])})"

    def __reduce__(self) -> tuple[Callable[..., "Expression"], tuple[object, ...]]:
        return _again, (self.op, self.inputs, self.parameters, self.function)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __bool__(self) -> Never:
        raise InvalidValueError(
            f"{self!r} is a series, neither true nor false: combine conditions with & | ~ instead of "
            "and, or, not, write a < b < c as (a < b) & (b < c), and choose with where(condition, x, y)"
        )

    def __add__(self, other: "Expression | float") -> "Expression":
        return node(Op.ADD, (self, operand(other)))

    def __radd__(self, other: float) -> "Expression":
        return node(Op.ADD, (operand(other), self))

    def __sub__(self, other: "Expression | float") -> "Expression":
        return node(Op.SUBTRACT, (self, operand(other)))

    def __rsub__(self, other: float) -> "Expression":
        return node(Op.SUBTRACT, (operand(other), self))

    def __mul__(self, other: "Expression | float") -> "Expression":
        return node(Op.MULTIPLY, (self, operand(other)))

    def __rmul__(self, other: float) -> "Expression":
        return node(Op.MULTIPLY, (operand(other), self))

    def __truediv__(self, other: "Expression | float") -> "Expression":
        return node(Op.DIVIDE, (self, operand(other)))

    def __rtruediv__(self, other: float) -> "Expression":
        return node(Op.DIVIDE, (operand(other), self))

    def __neg__(self) -> "Expression":
        return node(Op.NEGATE, (self,))

    def __abs__(self) -> "Expression":
        return node(Op.ABSOLUTE, (self,))

    def __gt__(self, other: "Expression | float") -> "Expression":
        return node(Op.GREATER, (self, operand(other)))

    def __ge__(self, other: "Expression | float") -> "Expression":
        return node(Op.GREATER_EQUAL, (self, operand(other)))

    def __lt__(self, other: "Expression | float") -> "Expression":
        return node(Op.LESS, (self, operand(other)))

    def __le__(self, other: "Expression | float") -> "Expression":
        return node(Op.LESS_EQUAL, (self, operand(other)))

    def __and__(self, other: "Expression | float") -> "Expression":
        return node(Op.AND, (self, operand(other)))

    def __rand__(self, other: float) -> "Expression":
        return node(Op.AND, (operand(other), self))

    def __or__(self, other: "Expression | float") -> "Expression":
        return node(Op.OR, (self, operand(other)))

    def __ror__(self, other: float) -> "Expression":
        return node(Op.OR, (operand(other), self))

    def __invert__(self) -> "Expression":
        return node(Op.NOT, (self,))


class _Entry(weakref.ref["Expression"]):
    """Where the one expression of a key is, while somebody holds it."""

    __slots__ = ("key",)
    key: tuple[object, ...]


# What a WeakValueDictionary does, without a call of Python for each look: a sweep asks thousands of times.
_known: dict[tuple[object, ...], _Entry] = {}
_lock = threading.RLock()


def _forget(entry: _Entry) -> None:
    # The same thread may be inside of `node`: what is collected there comes here.
    with _lock:
        if _known.get(entry.key) is entry:
            del _known[entry.key]


def node(
    op: Op,
    inputs: tuple[Expression, ...] = (),
    parameters: tuple[Parameter, ...] = (),
    function: WindowFunction | None = None,
) -> Expression:
    """Return the one expression with this outermost operator; `operators` has the public constructors."""
    key = (op, inputs, parameters, function)
    entry = _known.get(key)
    known = None if entry is None else entry()
    if known is not None:
        return known
    with _lock:
        entry = _known.get(key)
        known = None if entry is None else entry()
        if known is None:
            known = Expression(op, inputs, parameters, _warmups(op, inputs, parameters), function)
            entry = _Entry(known, _forget)
            entry.key = key
            _known[key] = entry
    return known


def _again(
    op: Op,
    inputs: tuple[Expression, ...],
    parameters: tuple[Parameter, ...],
    function: WindowFunction | None,
) -> Expression:
    """Return the expression that was pickled; its NaN comes back as another object than ours."""
    return operand(parameters[0]) if op is Op.CONSTANT else node(op, inputs, parameters, function)


def _warmups(op: Op, inputs: tuple[Expression, ...], parameters: tuple[Parameter, ...]) -> tuple[int, ...]:
    if op is Op.RESAMPLE:
        return tuple(_slower_warmup(inputs[0], Timeframe(str(parameters[0])), bars) for bars in _TIMEFRAMES)
    own = _own_warmup(op, parameters) if parameters else 0
    # A loop: a sweep makes thousands of nodes, and asks each of them once.
    longest = 0
    for child in inputs:
        if len(child.warmups) > 1:
            break
        longest = max(longest, child.warmups[0])
    else:
        return (own + longest,)
    return tuple(own + max(child.warmup_on(bars) for child in inputs) for bars in _TIMEFRAMES)


def _slower_warmup(slower: Expression, timeframe: Timeframe, bars: Timeframe) -> int:
    """Bars before the present one that the value at the close of the last slower bar depends on."""
    together = max(1, timeframe.nanoseconds // bars.nanoseconds)
    # At worst the present slower bar lacks one bar to be whole: it does not count yet, the one before does.
    return (slower.warmup_on(timeframe) + 2) * together - 2 if together > 1 else slower.warmup_on(timeframe)


def _own_warmup(op: Op, parameters: tuple[Parameter, ...]) -> int:
    """Bars before the present one that an operator itself looks at."""
    if op in (Op.FIELD, Op.OF) or not isinstance(parameters[0], int):
        return 0
    length = parameters[0]
    match op:
        case Op.LAG | Op.LAST_KNOWN:
            return length
        case Op.EMA:
            return _RECURSIVE_SPANS * length
        case Op.WILDER:
            # Wilder's 1/n is the weight of an exponential average of span 2n - 1.
            return _RECURSIVE_SPANS * (2 * length - 1)
        case Op.TOP_K:
            return 0
        case _:
            return length - 1


def operand(value: object) -> Expression:
    """Return `value` as an expression: numbers become constants.

    Raises
    ------
    InvalidValueError
        For anything that is neither an expression nor a number.
    """
    if isinstance(value, Expression):
        return value
    if type(value) is float and value == value:
        return node(Op.CONSTANT, (), (value + 0.0,))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        raise InvalidValueError(
            f"{type(value).__name__} holds several expressions, choose one: "
            f"{', '.join(f'.{name}' for name in value._fields)}"
        )
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise InvalidValueError(
            f"an expression combines with expressions and numbers, not with {type(value).__name__} {value!r}"
        )
    number = float(value)
    # One NaN object and one zero, so that equal constants are one node.
    return node(Op.CONSTANT, (), (math.nan if number != number else number + 0.0,))
