"""Computes what a strategy says in a process that has seen nothing else, for `strategy_check`.

A strategy that remembers the whole data set, in a global or in a file, gives other values here than in the
process that has the whole data set. So this process is given panels that end early, and may open no data.
"""

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

from engine.domain.errors import LookAheadError
from engine.domain.panel import FloatArray, Panel
from engine.features.evaluate import evaluate
from engine.features.expression import Expression
from engine.features.operators import close
from engine.features.strategy import Strategy
from engine.strategy_files import add_folder, strategy_file
from research.graph_nodes import nodes_of

_CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")
_OWN_PACKAGES = ("engine.", "research.", "scoreboards.")
_FOR_STRATEGIES = ("engine.domain", "engine.features")
_FORBIDDEN = (
    "socket.connect",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "sqlite3.connect",
)


class Depth(Enum):
    """What is computed: the roots of a strategy (`roots_of`), or every node of their graphs (`nodes_of`)."""

    ROOTS = "roots"
    NODES = "nodes"


@dataclass(frozen=True, kw_only=True)
class StrategyPlace:
    """Where another process finds a strategy."""

    folder: str
    module: str
    class_name: str
    parameters: Mapping[str, object]

    def load(self) -> Strategy:
        """Import the strategy."""
        add_folder(Path(self.folder))
        kind: type[Strategy] = getattr(importlib.import_module(self.module), self.class_name)
        return kind.of(self.parameters)


def place_of(strategy: Strategy) -> StrategyPlace:
    """Return where another process finds this strategy."""
    return StrategyPlace(
        folder=str(strategy_file(strategy).parent),
        module=type(strategy).__module__,
        class_name=type(strategy).__qualname__,
        parameters=strategy.parameters,
    )


def panel_parts(panel: Panel) -> dict[str, Any]:
    """Return the arguments that `Panel` is made from, which can be sent to another process."""
    parts = {field.name: getattr(panel, field.name) for field in fields(panel)}
    return parts | {"fields": dict(panel.fields)}


def roots_of(strategy: Strategy) -> tuple[Expression, ...]:
    """Return all that a strategy computes: its signal first, then how it wants its orders."""
    return (strategy.signal(), *strategy.order_roots)


def expressions_of(strategy: Strategy, depth: Depth) -> Sequence[Expression]:
    """Return what is evaluated at a depth."""
    roots = roots_of(strategy)
    return roots if depth is Depth.ROOTS else [node.root for node in nodes_of(roots)]


def values_of(strategy: Strategy, panel: Panel, depth: Depth = Depth.ROOTS) -> FloatArray:
    """Return what a strategy computes on a panel, Shape (roots or nodes, T, N)."""
    return evaluate(expressions_of(strategy, depth), panel)


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What the fresh process is told.

    Attributes
    ----------
    panels
        Arguments that `Panel` is made from.
    stops
        By panel: rows at which it is cut, one array of values each.
    """

    place: StrategyPlace
    panels: Sequence[Mapping[str, Any]]
    stops: Sequence[Sequence[int]]
    depth: Depth


def fresh_values(
    strategy: Strategy,
    panels: Sequence[Panel],
    stops: Sequence[Sequence[int]],
    depth: Depth = Depth.ROOTS,
) -> list[list[FloatArray]]:
    """Return `values_of` a strategy on panels cut at `stops`, computed in a fresh process.

    Raises
    ------
    LookAheadError
        If the strategy does not work there: it needs what a panel does not hold.
    """
    request = _Request(
        place=place_of(strategy), panels=[panel_parts(panel) for panel in panels], stops=stops, depth=depth
    )
    answer = subprocess.run(
        [sys.executable, "-m", "research.fresh_signals"],
        input=pickle.dumps(request),
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    if answer.returncode != 0:
        lines = answer.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"the process ended with {answer.returncode}"
        raise LookAheadError(f"{strategy.name} does not work in a fresh process: {reason}")
    values: list[list[FloatArray]] = pickle.loads(answer.stdout)
    return values


def _answer(request: _Request) -> list[list[FloatArray]]:
    panels = [Panel(**parts) for parts in request.panels]
    # Compiled code is read from files, so it is loaded before files are out of bounds.
    evaluate([close], panels[0].rows(0, 1))
    add_folder(Path(request.place.folder))
    sys.addaudithook(_refuse_data)
    strategy = request.place.load()
    return [
        # Short panels first: nothing that was seen in a long one can help with a short one.
        [values_of(strategy, panel.rows(0, stop), request.depth) for stop in sorted(panel_stops)]
        for panel, panel_stops in zip(panels, request.stops, strict=True)
    ]


def _refuse_data(event: str, arguments: tuple[Any, ...]) -> None:
    """Stop a strategy that opens anything but code, or imports what could hand it data."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.fsdecode(arguments[0])
        if not path.endswith(_CODE):
            raise LookAheadError(f"a strategy may not open files, this one opens {Path(path).name}")
    elif event == "import":
        module = str(arguments[0])
        if module.startswith(_OWN_PACKAGES) and not module.startswith(_FOR_STRATEGIES):
            raise LookAheadError(
                f"a strategy may import {' and '.join(_FOR_STRATEGIES)} only, this one imports {module}"
            )
    elif event in _FORBIDDEN:
        raise LookAheadError(f"a strategy may only compute, this one asks for {event}")


def main() -> None:
    """Answer the request on standard input."""
    request = pickle.load(sys.stdin.buffer)
    # Whatever a strategy prints must not end up in the answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(pickle.dumps(_answer(request)))
    answers.close()


if __name__ == "__main__":
    # The same classes as in the parent, which knows this module by its name.
    importlib.import_module("research.fresh_signals").main()
