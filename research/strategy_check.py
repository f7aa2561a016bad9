"""Checks that a strategy is causal, repeatable, equal live and in a backtest, and blind to price units.

Each check compares runs that must agree: what the strategy computes, and the orders of an account that trades
on it with equal weight over what is listed. Where they differ it names the first bar, and the operator in
which the difference begins.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from engine.domain.errors import GauntletError, InvalidValueError, LookAheadError
from engine.domain.panel import PRICE_FIELDS, FloatArray, IntArray, Panel
from engine.domain.portfolio import Invest, Plan
from engine.features.calendar import OPENED_AT
from engine.features.evaluate import Stream
from engine.features.expression import Expression
from engine.features.opcodes import Op
from engine.features.orders import Orders
from engine.features.strategy import Strategy
from engine.pipeline.run import refuse_without_range
from engine.processes import worker_processes
from engine.strategy_files import add_folder
from research.check_orders import Agreement, first_difference, listed_plan, live_orders, orders_of, until
from research.fresh_signals import (
    Depth,
    StrategyPlace,
    expressions_of,
    fresh_values,
    panel_parts,
    place_of,
    roots_of,
    values_of,
)
from research.graph_nodes import (
    BoolArray,
    apart,
    bits_apart,
    first_to_differ,
    nodes_of,
    unit_dependent,
)

CUTS = 8
"""Dates at which the truncation test cuts a panel."""

WARM_UPS = (1.0, 1.5, 2.0)
"""Multiples of the declared warm-up that must give the same orders (RULINGS B3)."""

PRICE_SCALE = 10.0

_QUOTES = ("bid", "ask")
"""Fields that are prices, beside those of every panel."""

_PEEK_ROWS = 300

SIGNAL, ORDER_LOTS = "signal", "order in lots"


class Check(StrEnum):
    """What is checked, in the order in which it is shown."""

    TRUNCATION = "truncation"
    WARM_UP = "warm-up"
    SCALE = "scale by 10"
    DETERMINISM = "determinism"
    BATCH_STREAM = "batch = stream"
    RANGE = "range"


class CheckOutcome(StrEnum):
    """What a check says. `NOT_CHECKED`: the data set is too short for it."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_CHECKED = "NOT CHECKED"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first bar at which two runs that should agree do not.

    Attributes
    ----------
    opened, closed
        Of the bar, UTC nanoseconds.
    measured
        What differs: the signal, an attribute of the strategy's `Orders`, or an order, in signed lots.
    operator, graph
        Where the difference begins, and all that it is made of; empty where no operator differs.
    """

    row: int
    opened: int
    closed: int
    symbol: str
    measured: str
    expected: float
    found: float
    operator: str = ""
    graph: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check's answer, in words a person understands."""

    check: str
    outcome: CheckOutcome
    explanation: str
    difference: Difference | None = None


# ------------------------------------------------------------------------------------- what others call


def check_strategy(
    strategy: Strategy, panel: Panel, *, report: Callable[[CheckResult], None] = lambda _: None
) -> tuple[CheckResult, ...]:
    """Run every check of a strategy on a panel, each in a process of its own.

    Parameters
    ----------
    report
        Called with each result as soon as it is there.

    Raises
    ------
    InvalidValueError
        If the panel lacks a field or an instrument that the strategy uses.
    """
    _refuse_unusable(strategy, panel)
    # Compiled once, here: six processes that find no compiled code would each compile the same.
    orders_of(panel.rows(0, 1), np.zeros((1, 1, len(panel.instruments))), strategy.invest)
    place, parts = place_of(strategy), panel_parts(panel)
    results: dict[Check, CheckResult] = {}
    # The outer pool starts no process: it holds the environment of the others, which come and go.
    with worker_processes(1), ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        waiting = {threads.submit(_in_own_process, check, place, parts): check for check in Check}
        for done in as_completed(waiting):
            results[waiting[done]] = done.result()
            report(results[waiting[done]])
    return tuple(results[check] for check in Check)


def _refuse_unusable(strategy: Strategy, panel: Panel) -> None:
    """Raise what would stop every check, without a call of the strategy's own functions."""
    fields_needed = Stream(roots_of(strategy), panel.symbols, timeframe=panel.timeframe).fields
    known = (*PRICE_FIELDS, *panel.fields)
    for name in sorted(fields_needed - {*known, OPENED_AT}):
        raise InvalidValueError(f"field: panel {panel.name} has no field {name!r}, it has {', '.join(known)}")
    refuse_without_range(strategy.order_roots, has_range=panel.has_range)


def run_check(check: Check, strategy: Strategy, panel: Panel) -> CheckResult:
    """Run one check in this process."""
    try:
        return _CHECKS[check](strategy, panel)
    except LookAheadError as error:
        return _failed(check, str(error))
    except GauntletError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever a strategy raises is an answer, not a crash
        return _failed(check, f"the strategy cannot be computed: {type(error).__name__}: {error}")


def truncation_checks(strategy: Strategy, panels: Sequence[Panel]) -> tuple[CheckResult, ...]:
    """Say for each panel whether what a strategy computes stays the same when the bars after it are cut off.

    The whole panel is computed here, the cut ones in one fresh process that has never seen the rest.
    """
    try:
        cuts = fresh_values(strategy, panels, [_stops(panel) for panel in panels], _depth_of(strategy))
    except LookAheadError as error:
        return tuple(_failed(Check.TRUNCATION, str(error)) for _ in panels)
    return tuple(_compare_cuts(strategy, panel, cut) for panel, cut in zip(panels, cuts, strict=True))


def peek_check(panel: Panel) -> CheckResult:
    """Run the truncation test on a strategy that reads tomorrow's close: it must say `FAIL`."""
    small = panel.rows(0, _PEEK_ROWS)
    add_folder(Path(__file__).parent / "faults")
    module = importlib.import_module("strategies._peek")
    module.Leak.panel = small
    peek: Strategy = module.Peek()
    try:
        return truncation_checks(peek, [small])[0]
    finally:
        module.Leak.panel = None


def _in_own_process(check: Check, place: StrategyPlace, parts: dict[str, Any]) -> CheckResult:
    with worker_processes(1) as pool:
        try:
            return pool.submit(_run_sent, check, place, parts).result()
        except BrokenProcessPool:
            return _failed(check, "the strategy ended the process that checked it")


def _run_sent(check: Check, place: StrategyPlace, parts: dict[str, Any]) -> CheckResult:
    return run_check(check, place.load(), Panel(**parts))


# ------------------------------------------------------------------------------ two runs that must agree

_Computed = Callable[[Depth], FloatArray]
_Differs = Callable[[FloatArray, FloatArray], BoolArray]


class _Runs:
    """What two runs computed, and the operator in which a difference between them begins."""

    def __init__(self, strategy: Strategy, expected: _Computed, found: _Computed) -> None:
        self._roots = roots_of(strategy)
        self._nodes = nodes_of(self._roots)
        self._depth = _depth_of(strategy)
        self._again = expected, found
        self._first = expected(self._depth), found(self._depth)

    @property
    def expected(self) -> FloatArray:
        """Shape (R, T, N)."""
        return self._of_roots(self._first[0])

    @property
    def found(self) -> FloatArray:
        """Shape (R, T, N)."""
        return self._of_roots(self._first[1])

    def _of_roots(self, values: FloatArray) -> FloatArray:
        if self._depth is Depth.ROOTS:
            return values
        places = {node.root: place for place, node in enumerate(self._nodes)}
        return values[[places[root] for root in self._roots]]

    def blamed(self, difference: Difference, differs: _Differs) -> Difference:
        """Return a difference with the name of the operator in which it begins."""
        expected, found = self._first
        if self._depth is Depth.ROOTS:
            expected, found = (run(Depth.NODES) for run in self._again)
        node = first_to_differ(self._nodes, expected, found, differs)
        if node is None:
            return difference
        return replace(difference, operator=node.operator, graph=str(node.expression.draw()))


def _depth_of(strategy: Strategy) -> Depth:
    """Return how much is kept of a run from the beginning.

    Compiled operators give the same in a second run, so their nodes are looked at only when something
    differs. A function of the user may not.
    """
    functions = any(node.expression.op is Op.WINDOW_FUNCTION for node in nodes_of(roots_of(strategy)))
    return Depth.NODES if functions else Depth.ROOTS


# --------------------------------------------------------------------------------------------- the checks


def _truncation(strategy: Strategy, panel: Panel) -> CheckResult:
    stops = _stops(panel)
    cuts = fresh_values(strategy, [panel], [stops], _depth_of(strategy))[0]
    result = _compare_cuts(strategy, panel, cuts)
    if result.outcome is not CheckOutcome.PASS:
        return result
    # Equal values were found; what is left is the way from them to orders.
    values = values_of(strategy, panel)
    orders = orders_of(panel, values, strategy.invest)
    for stop in stops:
        known = orders_of(panel.rows(0, stop), values[:, :stop], strategy.invest)
        difference = _order_difference(panel, known, until(orders, stop), Agreement.EXACT)
        if difference is not None:
            return _reads_the_future(panel, stop, difference)
    return _passed(
        Check.TRUNCATION, f"cut at {len(stops)} dates in a fresh process, none of {_count(orders)} changed"
    )


def _stops(panel: Panel) -> list[int]:
    """Return the rows at which a panel is cut, spread evenly."""
    return sorted({max(1, len(panel) * k // (CUTS + 1)) for k in range(1, CUTS + 1)})


def _compare_cuts(strategy: Strategy, panel: Panel, cuts: Sequence[FloatArray]) -> CheckResult:
    """Compare values on the whole panel with those that a fresh process computed on cut ones."""
    depth = _depth_of(strategy)
    whole = values_of(strategy, panel, depth)
    for cut in cuts:
        runs = _Runs(
            strategy,
            partial(_cut_values, strategy, panel, cut, depth),
            partial(_whole_values, strategy, panel, whole, depth, cut.shape[1]),
        )
        difference = _value_difference(panel, runs.expected, runs.found, bits_apart)
        if difference is not None:
            return _reads_the_future(panel, cut.shape[1], runs.blamed(difference, bits_apart))
    return _passed(Check.TRUNCATION, f"cut at {len(cuts)} dates in a fresh process, no signal changed")


def _cut_values(strategy: Strategy, panel: Panel, cut: FloatArray, known: Depth, depth: Depth) -> FloatArray:
    return cut if depth is known else fresh_values(strategy, [panel], [[cut.shape[1]]], depth)[0][0]


def _whole_values(
    strategy: Strategy, panel: Panel, whole: FloatArray, known: Depth, stop: int, depth: Depth
) -> FloatArray:
    return (whole if depth is known else values_of(strategy, panel, depth))[:, :stop]


def _reads_the_future(panel: Panel, stop: int, difference: Difference) -> CheckResult:
    return _failed(
        Check.TRUNCATION,
        f"the {difference.measured} changes when the {len(panel) - stop} bars after row {stop - 1} are "
        "there: it reads the future",
        difference,
    )


def _warm_up(strategy: Strategy, panel: Panel) -> CheckResult:
    warmup = max(root.warmup_on(panel.timeframe) for root in roots_of(strategy))
    history = [ceil(warmup * multiple) for multiple in WARM_UPS]
    first, starts = _histories(panel, history)
    if first >= len(panel) or (warmup > 0 and starts[0] == starts[-1]):
        return CheckResult(
            check=Check.WARM_UP.value,
            outcome=CheckOutcome.NOT_CHECKED,
            explanation=f"needs twice the warm-up of {warmup} bars and one more, the set has {len(panel)}"
            + ("" if first >= len(panel) else " with too many holes"),
        )
    plan = listed_plan(panel, first)
    orders: IntArray = np.empty((0, 0), dtype=np.int64)
    for bars, start in zip(history[:-1], starts[:-1], strict=True):
        runs = _Runs(
            strategy,
            partial(_values_after, strategy, panel, starts[-1], first),
            partial(_values_after, strategy, panel, start, first),
        )
        orders = _orders_from(panel, runs.expected, strategy.invest, plan)
        difference = _value_difference(
            panel, runs.expected[:1], runs.found[:1], apart, first_row=first
        ) or _order_difference(
            panel, orders, _orders_from(panel, runs.found, strategy.invest, plan), Agreement.ROUNDED
        )
        if difference is not None:
            return _failed(
                Check.WARM_UP,
                f"{bars} bars of history give another {difference.measured} than {history[-1]}: "
                f"a warm-up of {warmup} bars is too short",
                runs.blamed(difference, apart),
            )
    words = ", ".join(str(bars) for bars in history)
    return _passed(Check.WARM_UP, f"{words} bars of history give the same {_count(orders)}")


def _histories(panel: Panel, history: Sequence[int]) -> tuple[int, list[int]]:
    """Return the first row that has every history behind it, and the row with which each of them begins.

    Lengths count bars in which an instrument traded, so each needs so many of those, or all that it has.
    """
    traded = ~np.isnan(panel.close)
    longest = max(history)
    behind = np.cumsum(traded, axis=0) - traded
    enough = ((behind == 0) | (behind >= longest)).all(axis=1)
    whole = np.flatnonzero(enough[longest:])
    first = longest + int(whole[0]) if len(whole) else longest
    starts = []
    for bars in history:
        start = first - bars
        for column in range(traded.shape[1] if bars else 0):
            rows = np.flatnonzero(traded[:first, column])
            if len(rows):
                start = min(start, int(rows[max(0, len(rows) - bars)]))
        starts.append(start)
    return first, starts


def _values_after(strategy: Strategy, panel: Panel, start: int, first: int, depth: Depth) -> FloatArray:
    """Return values from row `first` on of a run that begins with row `start`."""
    return values_of(strategy, panel.rows(start, len(panel)), depth)[:, first - start :]


def _orders_from(panel: Panel, values: FloatArray, invest: Invest, plan: Plan) -> IntArray:
    """Return the orders on values that begin with the first row of a plan."""
    before = np.full((len(values), len(panel) - values.shape[1], values.shape[2]), np.nan)
    return orders_of(panel, np.concatenate([before, values], axis=1), invest, plan=plan)


def _scale(strategy: Strategy, panel: Panel) -> CheckResult:
    prices = {name: getattr(panel, name) * PRICE_SCALE for name in PRICE_FIELDS if name != "volume"}
    quotes = {name: values * PRICE_SCALE for name, values in panel.fields.items() if name in _QUOTES}
    scaled = replace(panel, **prices, fields={**panel.fields, **quotes})
    runs = _Runs(strategy, partial(values_of, strategy, panel), partial(values_of, strategy, scaled))
    orders = orders_of(panel, runs.expected, strategy.invest)
    difference = _value_difference(panel, runs.expected[:1], runs.found[:1], apart) or _order_difference(
        panel,
        orders,
        orders_of(scaled, runs.found, strategy.invest, price_scale=PRICE_SCALE),
        Agreement.ROUNDED,
    )
    if difference is not None:
        return _failed(
            Check.SCALE,
            f"the {difference.measured} changes when all prices are multiplied by 10: it depends on the unit "
            "of prices, so a split would trade",
            runs.blamed(difference, unit_dependent),
        )
    return _passed(Check.SCALE, f"none of {_count(orders)} changed when all prices are multiplied by 10")


def _determinism(strategy: Strategy, panel: Panel) -> CheckResult:
    here = partial(values_of, strategy, panel)

    def elsewhere(depth: Depth) -> FloatArray:
        return fresh_values(strategy, [panel], [[len(panel)]], depth)[0][0]

    orders: IntArray = np.empty((0, 0), dtype=np.int64)
    for words, again in (("a second time", here), ("in a fresh process", elsewhere)):
        runs = _Runs(strategy, here, again)
        orders, difference = _exact_difference(strategy, panel, runs)
        if difference is not None:
            return _failed(
                Check.DETERMINISM, f"computed {words}, the {difference.measured} is another", difference
            )
    return _passed(
        Check.DETERMINISM, f"the same {_count(orders)} when computed again, here and in a fresh process"
    )


def _batch_stream(strategy: Strategy, panel: Panel) -> CheckResult:
    runs = _Runs(
        strategy,
        partial(values_of, strategy, panel),
        lambda depth: _streamed(expressions_of(strategy, depth), panel),
    )
    orders = orders_of(panel, runs.expected, strategy.invest)
    difference = _value_difference(panel, runs.expected, runs.found, bits_apart) or _order_difference(
        panel, orders, live_orders(strategy, panel), Agreement.EXACT
    )
    if difference is not None:
        return _failed(
            Check.BATCH_STREAM,
            f"bar by bar, as in live trading, the {difference.measured} is another",
            runs.blamed(difference, bits_apart),
        )
    return _passed(
        Check.BATCH_STREAM, f"{len(panel)} bars pushed one by one give the same bits and {_count(orders)}"
    )


def _exact_difference(strategy: Strategy, panel: Panel, runs: _Runs) -> tuple[IntArray, Difference | None]:
    """Return the orders of the first run, and where the second has other bits or other orders."""
    orders = orders_of(panel, runs.expected, strategy.invest)
    difference = _value_difference(panel, runs.expected, runs.found, bits_apart) or _order_difference(
        panel, orders, orders_of(panel, runs.found, strategy.invest), Agreement.EXACT
    )
    return orders, None if difference is None else runs.blamed(difference, bits_apart)


def _streamed(roots: Sequence[Expression], panel: Panel) -> FloatArray:
    stream = Stream(roots, panel.symbols, timeframe=panel.timeframe)
    known: dict[str, Any] = {name: getattr(panel, name) for name in PRICE_FIELDS} | dict(panel.fields)
    known[OPENED_AT] = panel.timestamps
    bars = {name: known[name] for name in stream.fields}
    pushed = [stream.push({name: values[row] for name, values in bars.items()}) for row in range(len(panel))]
    return np.array(pushed).transpose(1, 0, 2)


def _range(strategy: Strategy, panel: Panel) -> CheckResult:
    values = values_of(strategy, panel)[:1]
    difference = _value_difference(panel, np.clip(values, -1.0, 1.0), values, bits_apart)
    if difference is not None:
        signal = strategy.signal()
        return _failed(
            Check.RANGE,
            "a signal is from -1 to 1, this one leaves that range",
            replace(difference, operator=signal.label, graph=str(signal.draw())),
        )
    return _passed(Check.RANGE, "every signal is from -1 to 1")


_CHECKS: dict[Check, Callable[[Strategy, Panel], CheckResult]] = {
    Check.TRUNCATION: _truncation,
    Check.WARM_UP: _warm_up,
    Check.SCALE: _scale,
    Check.DETERMINISM: _determinism,
    Check.BATCH_STREAM: _batch_stream,
    Check.RANGE: _range,
}


# ------------------------------------------------------------------------------------ where runs differ


def _value_difference(
    panel: Panel,
    expected: FloatArray,
    found: FloatArray,
    differs: _Differs,
    *,
    first_row: int = 0,
) -> Difference | None:
    """Return where two runs, Shape (R, T, N), differ for the first time; they begin at `first_row`."""
    unlike = differs(expected, found)
    if not unlike.any():
        return None
    row = int(np.argmax(unlike.any(axis=(0, 2))))
    root, column = (int(place) for place in np.argwhere(unlike[:, row])[0])
    return _at(
        panel,
        first_row + row,
        column,
        measured=(SIGNAL, *(field.name for field in fields(Orders)))[root],
        expected=float(expected[root, row, column]),
        found=float(found[root, row, column]),
    )


def _order_difference(
    panel: Panel, expected: IntArray, found: IntArray, agreement: Agreement
) -> Difference | None:
    """Return the first order that two runs do not share."""
    unlike = first_difference(expected, found, agreement)
    if unlike is None:
        return None
    return _at(
        panel,
        unlike.row,
        unlike.instrument,
        measured=ORDER_LOTS,
        expected=float(unlike.expected),
        found=float(unlike.found),
    )


def _at(panel: Panel, row: int, column: int, *, measured: str, expected: float, found: float) -> Difference:
    opened = int(panel.timestamps[row])
    return Difference(
        row=row,
        opened=opened,
        closed=opened + panel.timeframe.nanoseconds,
        symbol=panel.symbols[column],
        measured=measured,
        expected=expected,
        found=found,
    )


def _count(orders: IntArray) -> str:
    return f"{len(orders):,} order{'' if len(orders) == 1 else 's'}"


def _passed(check: Check, explanation: str) -> CheckResult:
    return CheckResult(check=check.value, outcome=CheckOutcome.PASS, explanation=explanation)


def _failed(check: Check, explanation: str, difference: Difference | None = None) -> CheckResult:
    return CheckResult(
        check=check.value, outcome=CheckOutcome.FAIL, explanation=explanation, difference=difference
    )
