"""Checks that a strategy is causal, repeatable, equal live and in a backtest, and blind to price units.

Signals are compared, not returns: a strategy whose signals agree trades the same orders.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.domain.errors import LookAheadError
from engine.domain.panel import PRICE_FIELDS, FloatArray, Panel
from engine.features.evaluate import Stream, evaluate
from engine.features.strategy import Strategy
from engine.strategy_files import add_folder
from research.fresh_signals import fresh_signals

CUTS = 8
"""Dates at which the truncation test cuts a panel."""

WARM_UPS = (1.0, 1.5, 2.0)
"""Multiples of the declared warm-up that must give the same signals (RULINGS B3)."""

PRICE_SCALE = 10.0

# Where sums start elsewhere or prices are ten times larger the last bits differ; orders must not.
_TOLERANCE = 1e-9

_PEEK_ROWS = 300


class CheckOutcome(StrEnum):
    """What a check says. `NOT_CHECKED`: the data set is too short for it."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_CHECKED = "NOT CHECKED"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first bar at which two signals that should agree do not.

    Attributes
    ----------
    opened, closed
        Of the bar, UTC nanoseconds.
    expected, found
        Signals.
    """

    row: int
    opened: int
    closed: int
    symbol: str
    expected: float
    found: float


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check's answer, in words a person understands."""

    check: str
    outcome: CheckOutcome
    explanation: str
    difference: Difference | None = None


def check_strategy(strategy: Strategy, panel: Panel) -> tuple[CheckResult, ...]:
    """Run every check of a strategy on a panel.

    Raises
    ------
    InvalidValueError
        If the panel lacks a field or an instrument that the strategy uses.
    """
    signal = evaluate([strategy.signal()], panel)[0]
    stops = _stops(panel)
    try:
        cut, fresh = _split(fresh_signals(strategy, [panel], [[*stops, len(panel)]])[0])
        causal = _compare_cuts(signal, cut, panel)
        repeatable = _determinism(strategy, panel, signal, fresh)
    except LookAheadError as error:
        causal = _failed("truncation", str(error))
        repeatable = _failed("determinism", str(error))
    return (
        causal,
        _warm_up(strategy, panel),
        _scale(strategy, panel, signal),
        repeatable,
        _batch_stream(strategy, panel, signal),
        _range(panel, signal),
    )


def truncation_checks(strategy: Strategy, panels: Sequence[Panel]) -> tuple[CheckResult, ...]:
    """Say for each panel whether a strategy's signals stay the same when the bars after them are cut off.

    The whole panel is computed here, the cut ones in one fresh process that has never seen the rest.
    """
    stops = [_stops(panel) for panel in panels]
    try:
        cuts = fresh_signals(strategy, panels, stops)
    except LookAheadError as error:
        return tuple(_failed("truncation", str(error)) for _ in panels)
    return tuple(
        _compare_cuts(evaluate([strategy.signal()], panel)[0], cut, panel)
        for panel, cut in zip(panels, cuts, strict=True)
    )


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


def _stops(panel: Panel) -> list[int]:
    """Return the rows at which a panel is cut, spread evenly."""
    return sorted({max(1, len(panel) * k // (CUTS + 1)) for k in range(1, CUTS + 1)})


def _split(signals: list[FloatArray]) -> tuple[list[FloatArray], FloatArray]:
    return signals[:-1], signals[-1]


def _compare_cuts(signal: FloatArray, cuts: Sequence[FloatArray], panel: Panel) -> CheckResult:
    for cut in cuts:
        difference = _first_difference(
            panel, 0, cut, signal[: len(cut)], _bits(cut) != _bits(signal[: len(cut)])
        )
        if difference is not None:
            return _failed(
                "truncation",
                f"the signal changes when the {len(panel) - len(cut)} bars after row {len(cut) - 1} are "
                "there: it reads the future",
                difference,
            )
    return _passed("truncation", f"cut at {len(cuts)} dates in a fresh process, no signal changed")


def _warm_up(strategy: Strategy, panel: Panel) -> CheckResult:
    warmup = strategy.signal().warmup
    history = [ceil(warmup * multiple) for multiple in WARM_UPS]
    first = max(history)
    if first >= len(panel):
        return CheckResult(
            check="warm-up",
            outcome=CheckOutcome.NOT_CHECKED,
            explanation=f"needs twice the warm-up of {warmup} bars and one more, the set has {len(panel)}",
        )
    expected: FloatArray | None = None
    for bars in reversed(history):
        rows = panel.rows(first - bars, len(panel))
        signal = _carried(evaluate([strategy.signal()], rows)[0])[bars:]
        if expected is None:
            expected = signal
        difference = _first_difference(panel, first, expected, signal, _apart(expected, signal))
        if difference is not None:
            return _failed(
                "warm-up",
                f"{bars} bars of history give another signal than {first}: "
                f"a warm-up of {warmup} bars is too short",
                difference,
            )
    words = ", ".join(str(bars) for bars in history)
    return _passed("warm-up", f"{words} bars of history give the same signals")


def _scale(strategy: Strategy, panel: Panel, signal: FloatArray) -> CheckResult:
    prices = {name: getattr(panel, name) * PRICE_SCALE for name in PRICE_FIELDS if name != "volume"}
    scaled = replace(panel, **prices, fields=dict(panel.fields))
    found = evaluate([strategy.signal()], scaled)[0]
    apart = _apart(signal, found)
    difference = _first_difference(panel, 0, signal, found, apart)
    if difference is not None:
        return _failed(
            "scale by 10",
            "the signal changes when all prices are multiplied by 10: it depends on the unit of prices, so a "
            "split would trade",
            difference,
        )
    return _passed("scale by 10", "no signal changed when all prices are multiplied by 10")


def _determinism(strategy: Strategy, panel: Panel, signal: FloatArray, fresh: FloatArray) -> CheckResult:
    again = evaluate([strategy.signal()], panel)[0]
    for words, found in (("a second time", again), ("in a fresh process", fresh)):
        difference = _first_difference(panel, 0, signal, found, _bits(signal) != _bits(found))
        if difference is not None:
            return _failed("determinism", f"computed {words}, the signal is another", difference)
    return _passed("determinism", "equal when computed again, here and in a fresh process")


def _batch_stream(strategy: Strategy, panel: Panel, signal: FloatArray) -> CheckResult:
    stream = Stream([strategy.signal()], panel.symbols)
    known = {name: getattr(panel, name) for name in PRICE_FIELDS} | dict(panel.fields)
    fields: Mapping[str, FloatArray] = {name: known[name] for name in stream.fields}
    found = np.array(
        [stream.push({name: values[row] for name, values in fields.items()})[0] for row in range(len(panel))]
    )
    difference = _first_difference(panel, 0, signal, found, _bits(signal) != _bits(found))
    if difference is not None:
        return _failed("batch = stream", "bar by bar, as in live trading, the signal is another", difference)
    return _passed("batch = stream", f"{len(panel)} bars pushed one by one give the same bits")


def _range(panel: Panel, signal: FloatArray) -> CheckResult:
    outside = np.abs(signal) > 1.0
    difference = _first_difference(panel, 0, np.clip(signal, -1.0, 1.0), signal, outside)
    if difference is not None:
        return _failed("range", "a signal is from -1 to 1, this one leaves that range", difference)
    return _passed("range", "every signal is from -1 to 1")


def _first_difference(
    panel: Panel, first: int, expected: FloatArray, found: FloatArray, differs: npt.NDArray[np.bool_]
) -> Difference | None:
    """Return where two signals that begin at row `first` of the panel differ for the first time."""
    if not differs.any():
        return None
    row, column = (int(index) for index in np.argwhere(differs)[0])
    opened = int(panel.timestamps[first + row])
    return Difference(
        row=first + row,
        opened=opened,
        closed=opened + panel.timeframe.nanoseconds,
        symbol=panel.symbols[column],
        expected=float(expected[row, column]),
        found=float(found[row, column]),
    )


def _bits(signal: FloatArray) -> npt.NDArray[np.int64]:
    """Return bit patterns, all NaNs alike."""
    return np.where(np.isnan(signal), np.nan, signal).view(np.int64)


def _apart(expected: FloatArray, found: FloatArray) -> npt.NDArray[np.bool_]:
    return ~np.isclose(expected, found, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)


def _carried(signal: FloatArray) -> FloatArray:
    """Return what is in force: NaN keeps the signal before it, and before the first signal there is cash."""
    rows = np.where(np.isnan(signal), -1, np.arange(len(signal))[:, None])
    latest = np.maximum.accumulate(rows, axis=0)
    carried = np.take_along_axis(signal, np.maximum(latest, 0), axis=0)
    return np.where(latest < 0, 0.0, carried)


def _passed(check: str, explanation: str) -> CheckResult:
    return CheckResult(check=check, outcome=CheckOutcome.PASS, explanation=explanation)


def _failed(check: str, explanation: str, difference: Difference | None = None) -> CheckResult:
    return CheckResult(check=check, outcome=CheckOutcome.FAIL, explanation=explanation, difference=difference)
