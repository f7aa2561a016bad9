"""The checker is checked: each fault is planted, and its check must name the first bar and the operator."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.panel import IntArray, Panel
from engine.domain.time import Timeframe
from engine.features.strategy import Strategy
from engine.strategy_files import add_folder, load_strategy
from research import check_orders, strategy_check
from research.strategy_check import (
    ORDER_LOTS,
    SIGNAL,
    Check,
    CheckOutcome,
    CheckResult,
    Difference,
    check_strategy,
    peek_check,
    run_check,
    truncation_checks,
)
from tests.builders import NAN, panel_of, random_panel

PANEL = random_panel(260, 3, seed=8, holes=0.02)

HEAD = """
from dataclasses import dataclass
from engine.domain.portfolio import Invest
from engine.features.operators import *
from engine.features.orders import Orders
from engine.features.strategy import Strategy

"""
TAIL = """

@dataclass(frozen=True)
class Fault(Strategy):
    def signal(self):
        return {signal}
"""
OF_F = "window_function(f, 1, close)"


class Plant(Protocol):
    """Writes a strategy with a fault into a strategies folder and loads it."""

    def __call__(self, name: str, source: str = "", signal: str = OF_F, tail: str = "") -> Strategy: ...


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    package = importlib.import_module("strategies")
    before = list(package.__path__)
    folder = tmp_path / "strategies"
    folder.mkdir()
    add_folder(folder)
    planted = []

    def make(name: str, source: str = "", signal: str = OF_F, tail: str = "") -> Strategy:
        text = HEAD + source + TAIL.format(signal=signal) + tail
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        planted.append(name)
        strategy: Strategy = importlib.import_module(f"strategies.{name}").Fault()
        return strategy

    yield make
    package.__path__[:] = before
    for name in planted:
        sys.modules.pop(f"strategies.{name}", None)


def fault_of(result: CheckResult) -> Difference:
    assert result.outcome is CheckOutcome.FAIL, result
    assert result.difference is not None, result
    return result.difference


# ---------------------------------------------------------------------------------- each in its own process


def test_each_check_runs_in_a_process_of_its_own(plant: Plant, tmp_path: Path) -> None:
    source = (
        "import os\nfrom pathlib import Path\n\n"
        "def f(x):\n"
        f"    (Path({str(tmp_path)!r}) / f'{{os.getpid()}}').touch()\n"
        "    return float(x[-1] > x[0])\n"
    )
    told: list[str] = []
    strategy = plant("counted", source, "window_function(f, 4, close)")

    results = check_strategy(strategy, random_panel(60, 2, seed=1), report=lambda r: told.append(r.check))

    assert [result.check for result in results] == list(Check)
    assert sorted(told) == sorted(Check)
    # Five of them wrote; the sixth, truncation, asks the guarded process first, which may not.
    assert len([file for file in tmp_path.iterdir() if file.name.isdigit()]) == 5
    assert not (tmp_path / str(os.getpid())).exists()


def test_an_honest_strategy_passes_every_check() -> None:
    strategy = load_strategy("mean_reversion", {"length": 10})
    panel = random_panel(900, 3, seed=1, holes=0.01)

    results = [run_check(check, strategy, panel) for check in Check]

    assert [result.outcome for result in results] == [CheckOutcome.PASS] * 6, results
    assert all("orders" in result.explanation for result in results[:5])
    assert all("0 orders" not in result.explanation for result in results)


def test_a_strategy_that_ends_its_process_fails(plant: Plant) -> None:
    fault = plant("fault_exit", "import os\n\ndef f(x):\n    os._exit(3)\n")

    results = check_strategy(fault, random_panel(40, 2, seed=1))

    assert {result.outcome for result in results} == {CheckOutcome.FAIL}
    assert "the strategy ended the process that checked it" in results[-1].explanation


def test_a_strategy_that_raises_fails_and_says_what(plant: Plant) -> None:
    fault = plant("fault_raises", "def f(x):\n    return 1.0 / (x[-1] - x[-1].item())\n", OF_F)
    result = run_check(Check.SCALE, plant("fault_key", "def f(x):\n    return {}['a']\n"), PANEL)

    assert fault.signal() is not None
    assert result.outcome is CheckOutcome.FAIL
    assert "cannot be computed: KeyError: 'a'" in result.explanation


# --------------------------------------------------------------------------------------- it reads the future


def test_the_peek_through_a_global_is_caught() -> None:
    result = peek_check(random_panel(500, 4, seed=2))

    assert "it reads the future" in result.explanation
    assert fault_of(result).operator == "strategies._peek.tomorrow(1)"


def test_a_truncation_failure_names_bar_instrument_and_operator() -> None:
    add_folder(Path(__file__).parents[2] / "research" / "faults")
    module = importlib.import_module("strategies._peek")
    module.Leak.panel = PANEL
    try:
        (result,) = truncation_checks(module.Peek(), [PANEL])
    finally:
        module.Leak.panel = None

    first = fault_of(result)
    rises = np.argwhere(np.diff(PANEL.close, axis=0) > 0.0)
    row, column = rises[0]
    assert (first.row, first.symbol) == (row, PANEL.symbols[column])
    assert first.opened == PANEL.timestamps[row]
    assert first.closed == first.opened + PANEL.timeframe.nanoseconds
    assert (first.measured, first.expected, first.found) == (SIGNAL, 0.0, 1.0)
    assert first.operator == "strategies._peek.tomorrow(1)"
    assert first.graph.splitlines() == ["strategies._peek.tomorrow(1)", "└── close"]


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
    fault = plant("fault_frames", source, f"sma({OF_F}, 3) * where(close > 0.0, 1.0, 0.0)")

    result = run_check(Check.TRUNCATION, fault, PANEL)

    assert "it reads the future" in result.explanation
    # Not the average of it, which differs as well.
    assert fault_of(result).operator == "strategies.fault_frames.f(1)"


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


def test_one_fresh_process_serves_several_panels() -> None:
    panels: list[Panel] = [PANEL, random_panel(40, 2, seed=3)]

    results = truncation_checks(load_strategy("buy_and_hold"), panels)

    assert [result.outcome for result in results] == [CheckOutcome.PASS] * 2


# ------------------------------------------------------------------------- it remembers what it should not

COUNTER = (
    "class Memory:\n    calls = 0\n\n"
    "def f(x):\n    Memory.calls += 1\n    return float(Memory.calls % 7 == 0)\n"
)


def test_a_strategy_that_counts_its_calls_is_not_repeatable(plant: Plant) -> None:
    # State on a class passes the check of globals; a second evaluation differs.
    fault = plant("fault_counter", COUNTER, f"where({OF_F} > 0.0, 1.0, 0.0)")

    result = run_check(Check.DETERMINISM, fault, PANEL)

    first = fault_of(result)
    assert "computed a second time, the signal is another" in result.explanation
    assert first.operator == "strategies.fault_counter.f(1)"
    assert (first.measured, {first.expected, first.found}) == (SIGNAL, {0.0, 1.0})


def test_a_strategy_that_depends_on_its_process_is_not_repeatable(plant: Plant) -> None:
    source = "import os\n\nSEED = float(os.getpid() % 1000) / 1000.0\n\ndef f(x):\n    return SEED\n"

    result = run_check(Check.DETERMINISM, plant("fault_process_id", source), PANEL)

    assert fault_of(result).operator == "strategies.fault_process_id.f(1)"
    assert "computed in a fresh process, the signal is another" in result.explanation


def test_a_function_that_remembers_makes_live_another_strategy(plant: Plant) -> None:
    # It smooths with what it returned before: in the stream it begins where the batch ended.
    source = (
        "class Memory:\n    value = 0.0\n\n"
        "def f(x):\n"
        "    Memory.value += 0.1 * (float(x[-1] > x[0]) - Memory.value)\n"
        "    return Memory.value\n"
    )
    fault = plant("fault_stateful", source, "-(-window_function(f, 3, close))")

    result = run_check(Check.BATCH_STREAM, fault, PANEL)

    first = fault_of(result)
    assert "bar by bar, as in live trading, the signal is another" in result.explanation
    assert first.operator == "strategies.fault_stateful.f(3)"
    column = PANEL.symbols.index(first.symbol)
    seen = np.flatnonzero(np.isfinite(PANEL.close[:, column]))
    assert first.row == seen[2]


def test_an_order_that_is_missing_live_is_named_by_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = load_strategy("mean_reversion", {"length": 10})
    orders = check_orders.live_orders(strategy, PANEL)
    row, instrument, lots = orders[5, :3].tolist()

    def without_one(*_: object) -> IntArray:
        return np.delete(orders, 5, axis=0)

    monkeypatch.setattr(strategy_check, "live_orders", without_one)
    result = run_check(Check.BATCH_STREAM, strategy, PANEL)

    first = fault_of(result)
    assert (first.row, first.symbol, first.measured) == (row, PANEL.symbols[instrument], ORDER_LOTS)
    assert (first.expected, first.found, first.operator) == (lots, 0.0, "")
    assert "the order in lots is another" in result.explanation


# --------------------------------------------------------------------------------- what it says of itself


def test_a_recursive_operator_with_too_short_a_warm_up_is_named(plant: Plant) -> None:
    tail = """
        average = ema(close, 60)
        # Says that a tenth of what it needs is enough.
        object.__setattr__(average, "warmups", (60,))
        return where(sma(close, 2) > average, 1.0, 0.0)
"""
    fault = plant("fault_warmup", "", "None if False else self.made()", "\n    def made(self):" + tail)
    try:
        result = run_check(Check.WARM_UP, fault, random_panel(400, 3, seed=4))
    finally:
        signal = fault.signal()
        object.__setattr__(signal.inputs[0].inputs[1], "warmups", (24 * 60,))

    first = fault_of(result)
    assert "a warm-up of 60 bars is too short" in result.explanation
    assert first.operator == "ema(60)"
    assert first.row >= 120


def test_enough_history_gives_the_same_orders_whatever_its_length() -> None:
    result = run_check(Check.WARM_UP, load_strategy("time_series_momentum", {"lookback": 30}), PANEL)

    assert result.outcome is CheckOutcome.PASS, result
    assert result.explanation.startswith("30, 45, 60 bars of history give the same ")


def test_holes_are_no_history(plant: Plant) -> None:
    # Lengths count bars in which an instrument traded: with a hole, as many rows are too few.
    strategy = plant("holes", "", "where(close > sma(close, 30), 1.0, 0.0)")
    for seed in range(6):
        panel = random_panel(400, 4, seed=seed, holes=0.1)

        result = run_check(Check.WARM_UP, strategy, panel)

        assert result.outcome is CheckOutcome.PASS, (seed, result)


def test_a_set_that_is_nothing_but_holes_is_not_a_pass(plant: Plant) -> None:
    strategy = plant("sparse", "", "where(close > sma(close, 30), 1.0, 0.0)")

    closes = [100.0 + row if row % 5 == 0 else NAN for row in range(100)]

    result = run_check(Check.WARM_UP, strategy, panel_of({"A": closes}))

    assert result.outcome is CheckOutcome.NOT_CHECKED
    assert "the set has 100 with too many holes" in result.explanation


def test_the_warm_up_of_a_slower_timeframe_is_counted_in_bars_of_the_panel(plant: Plant) -> None:
    strategy = plant("slower", "", "where(close > resample('1d', sma(close, 3)), 1.0, 0.0)")
    panel = random_panel(400, 2, seed=5, timeframe=Timeframe.HOUR_1)

    result = run_check(Check.WARM_UP, strategy, panel)

    # Three days before the present one, and at worst all of that but its last hour: 4 x 24 - 2.
    assert result.explanation.startswith("94, 141, 188 bars of history give the same ")


def test_a_data_set_that_is_too_short_for_the_warm_up_is_not_a_pass() -> None:
    result = run_check(Check.WARM_UP, load_strategy("trend"), PANEL)

    assert result.outcome is CheckOutcome.NOT_CHECKED
    assert "needs twice the warm-up of 2400 bars and one more, the set has 260" in result.explanation


def test_a_signal_above_one_leaves_the_range(plant: Plant) -> None:
    first = fault_of(
        run_check(Check.RANGE, plant("fault_range", "", "where(close > 100.0, 3.0, 0.0)"), PANEL)
    )

    row, column = np.argwhere(PANEL.close > 100.0)[0]
    assert (first.row, first.symbol) == (row, PANEL.symbols[column])
    assert (first.expected, first.found, first.operator) == (1.0, 3.0, "where")


# ------------------------------------------------------------------------------------- the unit of prices


def scale(strategy: Strategy, panel: Panel = PANEL) -> CheckResult:
    return run_check(Check.SCALE, strategy, panel)


def test_a_price_level_fails_and_the_comparison_is_named(plant: Plant) -> None:
    # Logarithms and squares move with the unit too, but what is made of them does not.
    honest = "(log(close) - log(open_) > -0.5) & (close * close > 0.0)"
    fault = plant("fault_level", "", f"where({honest} & (close > 100.0), 1.0, 0.0)")

    first = fault_of(scale(fault))

    assert first.operator == ">"
    assert first.graph.splitlines() == [">", "├── close", "└── 100"]
    known = np.isfinite(PANEL.close)
    row, column = np.argwhere(known & (PANEL.close <= 100.0))[0]
    assert (first.row, first.symbol) == (row, PANEL.symbols[column])
    assert scale(plant("fine_level", "", f"where({honest}, 1.0, 0.0)")).outcome is CheckOutcome.PASS


def test_an_operator_on_a_slower_timeframe_is_named_with_it(plant: Plant) -> None:
    fault = plant("fault_slower", "", "resample('1d', where(floor(close / 40.0) > 2.0, 1.0, 0.0))")

    first = fault_of(scale(fault, random_panel(400, 2, seed=5, timeframe=Timeframe.HOUR_1)))

    assert first.operator == "floor in resample(1d)"


def test_a_stop_so_many_dollars_away_fails_by_its_orders(plant: Plant) -> None:
    tail = """
    def orders(self):
        return Orders(stop_loss={})
"""
    signal = "where(close > sma(close, 5), 1.0, 0.0)"
    dollars = plant("fault_stop", "", signal, tail.format("close - 3.0"))
    share = plant("fine_stop", "", signal, tail.format("0.97 * close"))

    first = fault_of(scale(dollars))

    assert first.measured == ORDER_LOTS
    assert first.operator == "-"
    assert first.graph.splitlines() == ["-", "├── close", "└── 3"]
    assert scale(share).outcome is CheckOutcome.PASS
    assert run_check(Check.BATCH_STREAM, share, PANEL).outcome is CheckOutcome.PASS


def test_a_scaled_position_may_differ_by_a_rounding(plant: Plant) -> None:
    # A signal with many digits: the last bits differ in every run, and no check minds.
    signal = "volatility_target(1.0, 0.1, 10, bars_a_year=365)"
    strategy = plant("fine_digits", "", signal)

    assert scale(strategy).outcome is CheckOutcome.PASS
    result = run_check(Check.WARM_UP, strategy, random_panel(260, 3, seed=6))
    assert result.outcome is CheckOutcome.PASS, result
