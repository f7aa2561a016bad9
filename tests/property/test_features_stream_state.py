"""A stream that is saved after any bar and restored in another goes on to the same bits."""

import importlib
import io
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, Panel
from engine.domain.time import Timeframe
from engine.features import evaluate as evaluate_module
from engine.features import operators as op
from engine.features.evaluate import Stream, evaluate
from engine.features.expression import Expression
from engine.features.operators import close, resample, sma, window_function
from engine.strategy_files import add_folder
from tests.builders import random_panel
from tests.features_cases import ROOTS
from tests.property.test_features_operators import bar_of, panels, same

SOURCE = """
def spread(closes, opens):
    return float(closes.max() - opens.min() + closes[0])
"""


@pytest.fixture(scope="module")
def function_roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Expression, ...]]:
    """Give roots with a Python function: of bars, of slower bars, and of another such function."""
    package = importlib.import_module("strategies")
    before = list(package.__path__)
    folder = tmp_path_factory.mktemp("state") / "strategies"
    folder.mkdir()
    (folder / "state_spread.py").write_text(SOURCE, encoding="utf-8")
    add_folder(folder)
    spread = importlib.import_module("strategies.state_spread").spread
    inner = window_function(spread, 3, close, op.open_)
    yield (
        inner,
        window_function(spread, 4, inner, sma(op.open_, 2)),
        resample("1d", window_function(spread, 2, close, op.open_)),
    )
    package.__path__[:] = before
    sys.modules.pop("strategies.state_spread", None)


def stored(state: dict[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[np.generic]]:
    """Return a state as it comes back from a file."""
    file = io.BytesIO()
    np.savez(file, **state)  # type: ignore[arg-type]  # its stub knows no arrays by name
    file.seek(0)
    with np.load(file) as loaded:
        return {name: loaded[name] for name in loaded.files}


def pushed(stream: Stream, panel: Panel, start: int, stop: int) -> list[FloatArray]:
    return [stream.push(bar_of(panel, row)) for row in range(start, stop)]


@given(panel=panels(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_restored_stream_goes_on_to_the_same_bits(
    panel: Panel, data: st.DataObject, function_roots: tuple[Expression, ...]
) -> None:
    roots = (*ROOTS, *function_roots)
    saved_at = data.draw(st.integers(0, len(panel)))
    first = Stream(roots, panel.symbols, timeframe=panel.timeframe)
    head = pushed(first, panel, 0, saved_at)
    state = stored(first.state())
    second = Stream(roots, panel.symbols, timeframe=panel.timeframe)
    pushed(second, panel, 0, data.draw(st.integers(0, min(5, len(panel)))))

    second.restore(state)
    tail = pushed(second, panel, saved_at, len(panel))

    same_bits(np.array([*head, *tail]).transpose(1, 0, 2), evaluate(roots, panel))
    assert_equal_states(first, second, panel, saved_at)


def same_bits(left: FloatArray, right: FloatArray) -> None:
    same(left[: len(ROOTS)], right[: len(ROOTS)])
    np.testing.assert_array_equal(left[len(ROOTS) :], right[len(ROOTS) :])


def assert_equal_states(first: Stream, second: Stream, panel: Panel, saved_at: int) -> None:
    """The one that was never interrupted ends in the same state, to the last byte."""
    pushed(first, panel, saved_at, len(panel))
    one, other = first.state(), second.state()
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), name


def test_a_state_is_a_copy() -> None:
    panel = random_panel(10, 2, seed=1)
    stream = Stream([sma(close, 3)], panel.symbols)
    pushed(stream, panel, 0, 5)
    state = stream.state()
    before = state["nodes"].copy()

    pushed(stream, panel, 5, 10)

    np.testing.assert_array_equal(state["nodes"], before)


def test_a_fresh_process_goes_on_to_the_same_bits() -> None:
    panel = random_panel(150, 3, seed=5, holes=0.05, timeframe=Timeframe.HOUR_4)
    roots = (op.adx(5), resample("1d", op.ema(close, 3)), op.session_open * op.rolling_skew(close, 7))
    stream = Stream(roots, panel.symbols, timeframe=panel.timeframe)
    pushed(stream, panel, 0, 100)
    bars = [bar_of(panel, row) for row in range(100, 150)]
    code = (
        "import pickle, sys\n"
        "from engine.features.evaluate import Stream\n"
        "roots, symbols, timeframe, state, bars = pickle.load(sys.stdin.buffer)\n"
        "stream = Stream(roots, symbols, timeframe=timeframe)\n"
        "stream.restore(state)\n"
        "sys.stdout.buffer.write(pickle.dumps([stream.push(bar) for bar in bars]))\n"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((roots, panel.symbols, panel.timeframe, stored(stream.state()), bars)),
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    tail = np.array(pickle.loads(answer.stdout)).transpose(1, 0, 2)
    assert np.isfinite(tail).any()
    np.testing.assert_array_equal(tail, evaluate(roots, panel)[:, 100:])


def test_a_state_of_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = random_panel(10, 2, seed=1)
    stream = Stream([sma(close, 3)], panel.symbols)
    pushed(stream, panel, 0, 5)
    state = stream.state()

    for other in (
        Stream([sma(close, 4)], panel.symbols),
        Stream([sma(op.open_, 3)], panel.symbols),
        Stream([sma(close, 3)], ("I00", "X")),
        Stream([sma(close, 3)], panel.symbols[::-1]),
        Stream([sma(close, 3), close], panel.symbols),
    ):
        with pytest.raises(InvalidValueError, match="saved by a stream of other expressions or instruments"):
            other.restore(state)
    slow = resample("1d", close)
    hourly = Stream([slow], panel.symbols, timeframe=Timeframe.HOUR_1).state()
    with pytest.raises(InvalidValueError, match="other expressions or instruments"):
        Stream([slow], panel.symbols, timeframe=Timeframe.HOUR_4).restore(hourly)
    with pytest.raises(InvalidValueError, match="other expressions or instruments"):
        stream.restore({})
    monkeypatch.setattr(evaluate_module, "CORE_VERSION", "0" * 16)
    with pytest.raises(InvalidValueError, match="another version of Gauntlet; push the bars from the origin"):
        stream.restore(state)


def test_a_damaged_state_is_refused_and_changes_nothing() -> None:
    panel = random_panel(10, 2, seed=1)
    stream = Stream([sma(close, 3)], panel.symbols)
    pushed(stream, panel, 0, 5)
    state = stream.state()
    fresh = Stream([sma(close, 3)], panel.symbols)

    for damaged in (
        {name: array for name, array in state.items() if name != "nodes"},
        state | {"nodes": state["nodes"][:-1]},
        state | {"nodes": state["nodes"].astype(np.float32)},
    ):
        with pytest.raises(InvalidValueError, match=r"damaged: nodes must be float64 \(18,\)"):
            fresh.restore(damaged)

    assert not fresh.state()["nodes"].any()
