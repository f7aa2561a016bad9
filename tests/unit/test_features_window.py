"""Python functions of a trailing window: what they see, which are refused, what their hash covers."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from engine.features.evaluate import Stream, evaluate
from engine.features.operators import close, open_, sma, window_function
from engine.strategy_files import add_folder
from tests.builders import NAN, panel_of, random_panel

Write = Callable[[str, str], ModuleType]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Give a function that writes a file under strategies/ and imports it."""
    package = importlib.import_module("strategies")
    before = list(package.__path__)
    folder = tmp_path / "strategies"
    folder.mkdir()
    add_folder(folder)
    written = []

    def make(name: str, source: str) -> ModuleType:
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        written.append(name)
        return importlib.import_module(f"strategies.{name}")

    yield make
    package.__path__[:] = before
    for name in written:
        sys.modules.pop(f"strategies.{name}", None)
        if hasattr(package, name):
            delattr(package, name)


SPREAD = """
import numpy as np

WEIGHT = 2.0

def half(x):
    return x / WEIGHT

def spread(closes, opens):
    return half(float(np.max(closes) - np.min(opens)))

def seen(closes):
    if closes.flags.writeable:
        raise ValueError("must be read-only")
    return closes[0] * 100 + closes[-1]

def text(closes):
    return "high"
"""


def test_a_function_sees_the_last_observations_oldest_first(write: Write) -> None:
    seen = write("window_seen", SPREAD).seen
    panel = panel_of({"A": [1.0, 2.0, NAN, 3.0, 4.0]})

    values = evaluate([window_function(seen, 2, close)], panel)[0, :, 0]

    assert values.tolist() == pytest.approx([NAN, 102.0, NAN, 203.0, 304.0], nan_ok=True)


def test_batch_is_stream_for_python_functions_too(write: Write) -> None:
    module = write("window_stream", SPREAD)
    inner = window_function(module.spread, 3, close, sma(open_, 2))
    roots = [window_function(module.seen, 5, inner) - inner, inner > 1.0]
    panel = random_panel(80, 3, seed=9, holes=0.05)

    stream = Stream(roots, panel.symbols)
    pushed = np.array(
        [stream.push({"close": panel.close[row], "open": panel.open[row]}) for row in range(len(panel))]
    )

    assert stream.fields == {"close", "open"}
    np.testing.assert_array_equal(evaluate(roots, panel), pushed.transpose(1, 0, 2))
    assert np.isfinite(pushed[:, 0]).mean() > 0.3


def test_its_warm_up_is_its_window(write: Write) -> None:
    seen = write("window_warmup", SPREAD).seen

    assert window_function(seen, 10, sma(close, 5)).warmup == 13


def test_the_hash_covers_the_file_and_what_it_imports_from_strategies(write: Write) -> None:
    write("window_helper", "SCALE = 1.0\n\ndef scale(x):\n    return x * SCALE\n")
    source = "from strategies.window_helper import scale\n\ndef last(x):\n    return scale(x[-1])\n"
    module = write("window_user", source)
    folder = Path(module.__file__ or "").parent
    before = window_function(module.last, 2, close).hash

    (folder / "window_helper.py").write_text("SCALE = 2.0\n\ndef scale(x):\n    return x * SCALE\n")
    helper_changed = window_function(module.last, 2, close).hash
    (folder / "window_user.py").write_text(source + "# a comment is a change too\n")
    file_changed = window_function(module.last, 2, close).hash

    assert len({before, helper_changed, file_changed}) == 3


def local_function(closes: FloatArray) -> float:
    return float(closes[-1])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("TABLE = {}\n\ndef f(x):\n    return TABLE.get(1, 0.0)\n", "reads the global TABLE, a dict"),
        ("TABLE = [1.0]\n\ndef f(x):\n    return sum(y for y in TABLE)\n", "reads the global TABLE, a list"),
        (
            "PANEL = bytearray(3)\n\ndef g():\n    return PANEL\n\ndef f(x):\n    return g()[0]\n",
            "f -> g reads the global PANEL, a bytearray",
        ),
        ("def f(x, seen=[]):\n    return 0.0\n", "has a default value that is not a constant"),
        ("def f(x, *, seen=[]):\n    return 0.0\n", "has a default value that is not a constant"),
        ("def make(a):\n    def f(x):\n        return a\n    return f\n\nf = make(1.0)\n", "is a closure"),
        ("f = lambda x: x[-1]\n", "a closure, a lambda or a nested function"),
        (
            "class C:\n    def __call__(self, x):\n        return 0.0\n\nf = C()\n",
            "expected a function written with def",
        ),
    ],
)
def test_what_could_remember_is_refused(write: Write, source: str, message: str) -> None:
    module = write("window_refused", source)

    with pytest.raises(InvalidValueError, match=message):
        window_function(module.f, 2, close)


def test_constants_functions_classes_and_modules_are_fine(write: Write) -> None:
    source = (
        "import math\nfrom dataclasses import dataclass\n\nLEVELS = (1.0, (2, 'a'))\n\n"
        "@dataclass(frozen=True)\nclass Line:\n    slope: float\n\n"
        "def even(n):\n    return n == 0 or odd(n - 1)\n\ndef odd(n):\n    return n != 0 and even(n - 1)\n\n"
        "def f(x):\n    return math.sqrt(LEVELS[0]) + Line(x.close if False else 1.0).slope + even(len(x))\n"
    )
    module = write("window_allowed", source)

    assert evaluate([window_function(module.f, 2, close)], panel_of({"A": [1.0, 1.0]}))[0, 1, 0] == 3.0


def test_a_function_outside_strategies_is_told_where_to_go() -> None:
    with pytest.raises(InvalidValueError, match="move it to the top of one"):
        window_function(local_function, 2, close)


def test_a_function_must_have_inputs_and_return_a_number(write: Write) -> None:
    module = write("window_text", SPREAD)

    with pytest.raises(InvalidValueError, match="give at least one input"):
        window_function(module.text, 2)
    with pytest.raises(InvalidValueError, match=r"window_text\.text must return a number, returned str"):
        evaluate([window_function(module.text, 1, close)], panel_of({"A": [1.0]}))
