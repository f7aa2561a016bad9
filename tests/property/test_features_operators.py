"""True for every operator on every panel: batch is stream, blocks do not show, the future is not seen."""

import inspect

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.panel import FloatArray, Instrument, Panel
from engine.domain.time import Calendar, Timeframe
from engine.features import operators
from engine.features.behaviour import BEHAVIOUR, Unknown
from engine.features.evaluate import Stream, evaluate
from engine.features.expression import Expression
from engine.features.opcodes import Op
from tests.features_cases import CASES, ROOTS

FIELDS = ("open", "high", "low", "close", "volume")
STEPS = (Timeframe.DAY_1, Timeframe.HOUR_4, Timeframe.HOUR_1)


def order_book(rng: np.random.Generator, close: FloatArray) -> dict[str, FloatArray]:
    """Return quotes and sides of trades on a coarse grid, so that ties happen; NaN where the closes are."""
    sizes = [np.where(np.isnan(close), np.nan, rng.integers(0, 5, close.shape) * 10.0) for _ in range(4)]
    fields = dict(zip(("bid_size", "ask_size", "buy_volume", "sell_volume"), sizes, strict=True))
    return fields | {"bid": close - 0.25, "ask": close + 0.25 * rng.integers(1, 3, close.shape)}


@st.composite
def panels(draw: st.DrawFn, max_rows: int = 70) -> Panel:
    """Draw random walks on a coarse grid (so that ties happen) with holes, late listings and early ends."""
    rows = draw(st.integers(1, max_rows))
    n = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    close = 100.0 + np.cumsum(
        rng.integers(-2, 3, (rows, n)) * draw(st.sampled_from((0.5, 1.0 / 3.0))), axis=0
    )
    open_ = close + rng.integers(-1, 2, (rows, n)) * 0.5
    volume = np.asarray(rng.integers(0, 4, (rows, n)) * 100.0, dtype=np.float64)
    holes = draw(
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, rows), st.integers(1, 25)), max_size=6)
    )
    listed = draw(st.lists(st.integers(0, rows), min_size=n, max_size=n))
    high = np.fmax(open_, close) + 0.5
    low = np.fmin(open_, close)
    for array in (open_, high, low, close, volume):
        for column, first, length in holes:
            array[first : first + length, column] = np.nan
        for column in range(0, n, 2):
            array[: listed[column], column] = np.nan
    level = 50.0 + np.cumsum(rng.normal(size=rows))
    timeframe = draw(st.sampled_from(STEPS))
    # Bars may be missing for all, and days begin anywhere.
    gaps = np.where(rng.random(rows) < draw(st.sampled_from((0.0, 0.1))), rng.integers(2, 40, rows), 1)
    bars = np.cumsum(gaps) + draw(st.integers(0, 30))
    return Panel(
        name="drawn",
        timestamps=bars.astype(np.int64) * timeframe.nanoseconds,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        instruments=tuple(Instrument(symbol="BACD"[column]) for column in range(n)),
        timeframe=timeframe,
        calendar=Calendar.ALWAYS,
        fields={"level": level, **order_book(rng, close)},
    )


def bits(values: FloatArray) -> npt.NDArray[np.int64]:
    """Return bit patterns, all NaNs alike."""
    return np.where(np.isnan(values), np.nan, values).view(np.int64)


def streamed(roots: tuple[Expression, ...], panel: Panel) -> FloatArray:
    stream = Stream(roots, panel.symbols, timeframe=panel.timeframe)
    return np.array([stream.push(bar_of(panel, row)) for row in range(len(panel))]).transpose(1, 0, 2)


def bar_of(panel: Panel, row: int) -> dict[str, FloatArray | float]:
    bar: dict[str, FloatArray | float] = {name: getattr(panel, name)[row] for name in FIELDS}
    bar |= {name: values[row] for name, values in panel.fields.items()}
    return bar | {"opened_at": panel.timestamps[row]}


def first_difference(left: FloatArray, right: FloatArray) -> str:
    root, row, column = np.argwhere(bits(left) != bits(right))[0]
    there = left[root, row, column], right[root, row, column]
    return f"{ROOTS[root]!r} at row {row}, column {column}: {there[0]!r} against {there[1]!r}"


def nodes_below(root: Expression) -> set[Expression]:
    found: set[Expression] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += node.inputs
    return found


def same(left: FloatArray, right: FloatArray) -> None:
    if not np.array_equal(bits(left), bits(right)):
        pytest.fail(first_difference(left, right))


def test_every_operator_has_a_case() -> None:
    # A new operator without a case here would escape every test below.
    public = {name for name in operators.__all__ if inspect.isfunction(getattr(operators, name))}

    # Functions of the user run in Python; they have a file of tests of their own.
    assert public - {"window_function"} == {name for name in CASES if hasattr(operators, name)} - {
        "session_open"
    }
    assert {*CASES, "window_function"} == set(BEHAVIOUR)


def test_every_kind_of_node_has_a_case() -> None:
    found = {node.op for root in ROOTS for node in nodes_below(root)}

    # A COPY is written by the compiler for a root that is a bare field, as the case of `field` is.
    assert set(Op) - found == {Op.COPY, Op.WINDOW_FUNCTION}


@given(panel=panels())
@settings(max_examples=60, deadline=None)
def test_batch_is_stream_bit_for_bit(panel: Panel) -> None:
    same(evaluate(ROOTS, panel), streamed(ROOTS, panel))


@given(panel=panels(), block_rows=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_values_do_not_depend_on_the_size_of_blocks(panel: Panel, block_rows: int) -> None:
    same(evaluate(ROOTS, panel), evaluate(ROOTS, panel, block_rows=block_rows))


@given(panel=panels(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_past_does_not_see_the_future(panel: Panel, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(panel)))

    same(evaluate(ROOTS, panel.rows(0, cut)), evaluate(ROOTS, panel)[:, :cut].copy())


@given(panel=panels(max_rows=30), order=st.permutations(range(len(ROOTS))))
@settings(max_examples=25, deadline=None)
def test_a_root_has_the_same_values_alone_and_in_any_company(panel: Panel, order: list[int]) -> None:
    some = order[: len(order) // 3]
    together = evaluate([ROOTS[index] for index in some] + [ROOTS[some[0]]], panel)
    whole = evaluate(ROOTS, panel)

    assert np.array_equal(bits(together[:-1]), bits(whole[some]))
    assert np.array_equal(bits(together[-1]), bits(whole[some[0]]))


@given(panel=panels(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_an_instrument_does_not_notice_holes_of_another(panel: Panel, data: st.DataObject) -> None:
    column = data.draw(st.integers(0, len(panel.instruments) - 1))
    across = {name for name, declared in BEHAVIOUR.items() if declared.unknown is Unknown.ACROSS}
    roots = [root for name, some in CASES.items() if name not in {*across, "of"} for root in some]
    roots = [root for root in roots if not {"cross_rank"} & {node.name for node in nodes_below(root)}]

    alone = evaluate(roots, panel.select((column,)))

    assert np.array_equal(bits(alone[:, :, 0]), bits(evaluate(roots, panel)[:, :, column]))


def test_batch_is_stream_over_full_blocks() -> None:
    # Longer than the default block, with borders inside windows and holes across them.
    rng = np.random.default_rng(7)
    rows, n = 1300, 3
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, (rows, n)), axis=0))
    close[:600, 1] = np.nan
    close[500:530, 0] = np.nan
    close[1020:1030, :] = np.nan
    panel = Panel(
        name="long",
        timestamps=np.arange(rows, dtype=np.int64) * Timeframe.HOUR_1.nanoseconds,
        open=close * 0.999,
        high=close * 1.002,
        low=close * 0.998,
        close=close,
        volume=rng.uniform(1.0, 2.0, (rows, n)),
        instruments=(Instrument(symbol="A"), Instrument(symbol="B"), Instrument(symbol="C")),
        timeframe=Timeframe.HOUR_1,
        calendar=Calendar.ALWAYS,
        fields={"level": np.cumsum(rng.normal(size=rows)), **order_book(rng, close)},
    )

    same(evaluate(ROOTS, panel), streamed(ROOTS, panel))
