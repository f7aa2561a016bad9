"""Computes a strategy's signals in a process that has seen nothing else, for `strategy_check`.

A strategy that remembers the whole data set, in a global or in a file, gives other signals here than in the
process that has the whole data set. So this process is given panels that end early, and may open no data.
"""

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from engine.domain.errors import LookAheadError
from engine.domain.panel import FloatArray, Panel
from engine.features.evaluate import evaluate
from engine.features.operators import close
from engine.features.strategy import Strategy
from engine.strategy_files import add_folder, strategy_file

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


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What the fresh process is told.

    Attributes
    ----------
    panels
        Arguments that `Panel` is made from.
    stops
        By panel: rows at which it is cut, one signal each.
    """

    folder: str
    module: str
    class_name: str
    parameters: Mapping[str, object]
    panels: Sequence[Mapping[str, Any]]
    stops: Sequence[Sequence[int]]


def fresh_signals(
    strategy: Strategy, panels: Sequence[Panel], stops: Sequence[Sequence[int]]
) -> list[list[FloatArray]]:
    """Return the signals of a strategy on panels cut at `stops`, computed in a fresh process.

    Raises
    ------
    LookAheadError
        If the strategy does not work there: it needs what a panel does not hold.
    """
    request = _Request(
        folder=str(strategy_file(strategy).parent),
        module=type(strategy).__module__,
        class_name=type(strategy).__qualname__,
        parameters=strategy.parameters,
        panels=[_parts(panel) for panel in panels],
        stops=stops,
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
    signals: list[list[FloatArray]] = pickle.loads(answer.stdout)
    return signals


def _parts(panel: Panel) -> dict[str, Any]:
    parts = {field.name: getattr(panel, field.name) for field in fields(panel)}
    return parts | {"fields": dict(panel.fields)}


def _answer(request: _Request) -> list[list[FloatArray]]:
    panels = [Panel(**parts) for parts in request.panels]
    # Compiled code is read from files, so it is loaded before files are out of bounds.
    evaluate([close], panels[0].rows(0, 1))
    add_folder(Path(request.folder))
    sys.addaudithook(_refuse_data)
    kind: type[Strategy] = getattr(importlib.import_module(request.module), request.class_name)
    strategy = kind.of(request.parameters)
    return [
        # Short panels first: nothing that was seen in a long one can help with a short one.
        [evaluate([strategy.signal()], panel.rows(0, stop))[0] for stop in sorted(panel_stops)]
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
