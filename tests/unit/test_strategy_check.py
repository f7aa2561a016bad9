"""The checker is checked: each fault is planted, and its check must name the first bar that shows it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.panel import Panel
from engine.domain.portfolio import Invest
from engine.features.expression import Expression
from engine.features.operators import close, sma, where
from engine.features.strategy import Strategy
from engine.strategy_files import add_folder, load_strategy
from research.strategy_check import (
    CheckOutcome,
    CheckResult,
    check_strategy,
    peek_check,
    truncation_checks,
)
from tests.builders import random_panel

Plant = Callable[[str, str], Strategy]

PANEL = random_panel(260, 3, seed=8, holes=0.02)

HEAD = """
from dataclasses import dataclass
from engine.features.operators import close, window_function
from engine.features.strategy import Strategy

"""
TAIL = """

@dataclass(frozen=True)
class Fault(Strategy):
    def signal(self):
        return window_function(f, 1, close)
"""


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Give a function that writes a strategy with a fault into a strategies folder and loads it."""
    package = importlib.import_module("strategies")
    before = list(package.__path__)
    folder = tmp_path / "strategies"
    folder.mkdir()
    add_folder(folder)
    planted = []

    def make(name: str, source: str) -> Strategy:
        (folder / f"{name}.py").write_text(HEAD + source + TAIL, encoding="utf-8")
        importlib.invalidate_caches()
        planted.append(name)
        strategy: Strategy = importlib.import_module(f"strategies.{name}").Fault()
        return strategy

    yield make
    package.__path__[:] = before
    for name in planted:
        sys.modules.pop(f"strategies.{name}", None)


def by_name(results: tuple[CheckResult, ...]) -> dict[str, CheckResult]:
    return {result.check: result for result in results}


def test_an_honest_strategy_passes_every_check() -> None:
    results = check_strategy(
        load_strategy("mean_reversion", {"length": 10}), random_panel(900, 3, seed=1, holes=0.01)
    )

    assert [result.outcome for result in results] == [CheckOutcome.PASS] * 6


def test_the_peek_through_a_global_is_caught() -> None:
    result = peek_check(random_panel(500, 4, seed=2))

    assert result.outcome is CheckOutcome.FAIL
    assert "it reads the future" in result.explanation
    assert result.difference is not None


def test_a_truncation_failure_names_bar_and_instrument() -> None:
    add_folder(Path(__file__).parents[2] / "research" / "faults")
    module = importlib.import_module("strategies._peek")
    module.Leak.panel = PANEL
    try:
        (result,) = truncation_checks(module.Peek(), [PANEL])
    finally:
        module.Leak.panel = None

    first = result.difference
    assert first is not None
    rises = np.argwhere(np.diff(PANEL.close, axis=0) > 0.0)
    row, column = rises[0]
    assert (first.row, first.symbol) == (row, PANEL.symbols[column])
    assert first.opened == PANEL.timestamps[row]
    assert first.closed == first.opened + PANEL.timeframe.nanoseconds
    assert (first.expected, first.found) == (0.0, 1.0)


def test_a_peek_into_the_memory_of_the_caller_is_caught_by_cutting(plant: Plant) -> None:
    # It sees the same whether the process is fresh or not; only fewer bars show it.
    source = (
        "import sys\n\n"
        "def f(x):\n"
        "    frame = sys._getframe()\n"
        "    while frame.f_code.co_name != '_leaf_values':\n"
        "        frame = frame.f_back\n"
        "    return float(frame.f_locals['inputs'][0, -1, 0] > x[-1])\n"
    )

    (result,) = truncation_checks(plant("fault_frames", source), [PANEL])

    assert result.outcome is CheckOutcome.FAIL
    assert "it reads the future" in result.explanation


def test_a_panel_in_a_plain_global_is_refused_before_it_runs(plant: Plant) -> None:
    fault = plant("fault_global", "PANEL = []\n\ndef f(x):\n    return float(len(PANEL))\n")

    with pytest.raises(InvalidValueError, match="reads the global PANEL, a list"):
        fault.signal()


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        (
            "fault_file",
            "def f(x):\n    with open('prices.csv') as file:\n        return float(len(file.read()) > 0)\n",
            "a strategy may not open files, this one opens prices.csv",
        ),
        (
            "fault_import",
            "def f(x):\n    from engine.data.catalogue import load\n    return float(load is not None)\n",
            "a strategy may import engine.domain and engine.features only",
        ),
        (
            "fault_process",
            "import subprocess\n\ndef f(x):\n    return float(subprocess.call(['date']))\n",
            "a strategy may only compute, this one asks for subprocess.Popen",
        ),
    ],
)
def test_a_strategy_that_fetches_data_is_caught(plant: Plant, name: str, source: str, message: str) -> None:
    (result,) = truncation_checks(plant(name, source), [PANEL])

    assert result.outcome is CheckOutcome.FAIL
    assert message in result.explanation


def test_a_strategy_that_remembers_calls_is_caught(plant: Plant) -> None:
    # State on a class passes the check of globals; it counts calls, so a second evaluation differs.
    source = (
        "class Memory:\n    calls = 0\n\n"
        "def f(x):\n    Memory.calls += 1\n    return float(Memory.calls % 7 == 0)\n"
    )

    results = by_name(check_strategy(plant("fault_memory", source), PANEL))

    assert results["determinism"].outcome is CheckOutcome.FAIL
    assert results["determinism"].difference is not None


@dataclass(frozen=True)
class Fixed(Strategy):
    """Compares with a price in dollars, takes too much, and says too little of its memory."""

    invest: ClassVar[Invest] = Invest.SCALED

    def signal(self) -> Expression:
        return where(close > 100.0, 3.0, 0.0)


def test_a_price_level_fails_the_scale_check_and_a_signal_above_one_the_range() -> None:
    results = by_name(check_strategy(Fixed(), PANEL))

    assert results["scale by 10"].outcome is CheckOutcome.FAIL
    assert results["range"].outcome is CheckOutcome.FAIL
    first = results["range"].difference
    assert first is not None
    assert (first.expected, first.found) == (1.0, 3.0)
    row, column = np.argwhere(PANEL.close > 100.0)[0]
    assert (first.row, first.symbol) == (row, PANEL.symbols[column])


def test_a_warm_up_that_is_too_short_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = load_strategy("time_series_momentum", {"lookback": 30})
    honest = by_name(check_strategy(strategy, PANEL))["warm-up"]
    # The average of a longer window under the declared warm-up of a shorter one.
    signal = where(close > sma(close, 90), 1.0, 0.0)
    object.__setattr__(signal, "warmups", (60,))
    monkeypatch.setattr(type(strategy), "signal", lambda _: signal)
    try:
        short = by_name(check_strategy(strategy, PANEL))["warm-up"]
    finally:
        object.__setattr__(signal, "warmups", (89,))

    assert honest.outcome is CheckOutcome.PASS
    assert short.outcome is CheckOutcome.FAIL
    assert "a warm-up of 60 bars is too short" in short.explanation


def test_a_data_set_that_is_too_short_for_the_warm_up_is_not_a_pass() -> None:
    result = by_name(check_strategy(load_strategy("trend"), PANEL))["warm-up"]

    assert result.outcome is CheckOutcome.NOT_CHECKED
    assert "needs twice the warm-up of 2400 bars and one more, the set has 260" in result.explanation


def test_one_fresh_process_serves_several_panels() -> None:
    panels: list[Panel] = [PANEL, random_panel(40, 2, seed=3)]

    results = truncation_checks(load_strategy("buy_and_hold"), panels)

    assert [result.outcome for result in results] == [CheckOutcome.PASS] * 2
