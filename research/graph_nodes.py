"""The nodes of a strategy's graphs, and which of them is the first to differ between two runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.domain.panel import FloatArray
from engine.features.expression import Expression
from engine.features.opcodes import Op
from engine.features.operators import resample

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One node of a graph.

    Attributes
    ----------
    operator
        As a person reads it: `ema(20)`, or `ema(20) in resample(1d)`.
    root
        What to evaluate on the panel to see the values of the node.
    expression
        The node itself.
    """

    operator: str
    root: Expression
    expression: Expression


def nodes_of(roots: Sequence[Expression]) -> list[Node]:
    """Return every node once, inputs before what is made of them.

    What is computed on slower bars is shown as the bars of the panel see it.
    """
    found: dict[tuple[Expression, tuple[str, ...]], Node] = {}
    waiting: list[tuple[Expression, tuple[str, ...], bool]] = [(root, (), False) for root in reversed(roots)]
    while waiting:
        node, within, is_done = waiting.pop()
        if (node, within) in found:
            continue
        if is_done:
            found[node, within] = _node(node, within)
            continue
        waiting.append((node, within, True))
        inner = (*within, str(node.parameters[0])) if node.op is Op.RESAMPLE else within
        waiting += [(child, inner, False) for child in reversed(node.inputs)]
    return list(found.values())


def _node(node: Expression, within: Sequence[str]) -> Node:
    root, operator = node, node.label
    for timeframe in reversed(within):
        root = resample(timeframe, root)
        operator += f" in resample({timeframe})"
    return Node(operator=operator, root=root, expression=node)


def first_to_differ(
    nodes: Sequence[Node],
    expected: FloatArray,
    found: FloatArray,
    differs: Callable[[FloatArray, FloatArray], BoolArray],
) -> Node | None:
    """Return the node that differs on the earliest bar, of several the one that the others are made of.

    Parameters
    ----------
    expected, found
        Shape (nodes, T, N), of two runs over the same bars.
    differs
        Says of the values of one node, Shape (T, N), where they differ.
    """
    first: Node | None = None
    earliest = expected.shape[1]
    for node, one, other in zip(nodes, expected, found, strict=True):
        rows = np.asarray(differs(one, other).any(axis=1))
        if rows[:earliest].any():
            first, earliest = node, int(np.argmax(rows))
    return first


def unit_dependent(expected: FloatArray, found: FloatArray) -> BoolArray:
    """Say where a value differs that has no right to, when prices come in another unit.

    A price itself is 10 times larger, its square 100 times, its logarithm larger by 2.3: as long as all
    values move by one factor or one distance, nothing is lost, and a ratio or a difference of such values is
    what it was. Truths and what is made of them have to stay.
    """
    differs = apart(expected, found)
    known = np.isfinite(expected) & np.isfinite(found)
    unlike = np.isnan(expected) ^ np.isnan(found)
    if not differs.any() or unlike.any() or not known.any():
        return differs
    one, other = expected[known], found[known]
    if np.isin(one, (-1.0, 0.0, 1.0)).all():
        return differs
    largest = int(np.argmax(np.abs(one)))
    by_factor = one * (other[largest] / one[largest])
    by_distance = one + (other[largest] - one[largest])
    if not apart(by_factor, other).any() or not apart(by_distance, other).any():
        return np.zeros_like(differs)
    return differs


# Where sums start elsewhere or prices are ten times larger the last bits differ; orders must not.
_TOLERANCE = 1e-9


def apart(expected: FloatArray, found: FloatArray) -> BoolArray:
    """Say where two values differ by more than rounding."""
    return ~np.isclose(expected, found, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)


def bits_apart(expected: FloatArray, found: FloatArray) -> BoolArray:
    """Say where two values differ by a bit; all NaNs are alike."""
    return np.asarray(_bits(expected) != _bits(found))


def _bits(values: FloatArray) -> npt.NDArray[np.int64]:
    return np.where(np.isnan(values), np.nan, values).view(np.int64)
