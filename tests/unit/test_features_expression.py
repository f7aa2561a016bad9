"""Expressions as values: identity, warm-up, drawing, refusals; and the layout of programs."""

import copy
import gc
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pandas as pd
import pytest

from engine.domain.errors import InvalidValueError
from engine.features import operators as op
from engine.features.evaluate import bind, evaluate
from engine.features.expression import Expression
from engine.features.layout import compile_program
from engine.features.operators import close, ema, sma, where
from tests.builders import panel_of, random_panel


def test_equal_graphs_are_one_object() -> None:
    left = sma(close, 20) > 2 * sma(close, 100)
    right = sma(op.field("close"), 20) > 2.0 * sma(close, 100)

    assert left is right
    assert left.equals(right)
    assert not left.equals(close > 2.0)


def test_a_graph_that_nobody_holds_is_forgotten() -> None:
    graph = sma(close, 7777)
    before, alive = graph.hash, weakref.ref(graph)
    del graph
    gc.collect()

    assert alive() is None
    assert sma(close, 7777).hash == before


def test_a_graph_made_again_while_the_old_one_dies_is_the_one_that_is_known() -> None:
    graph = sma(close, 7001)
    again = []
    alive = weakref.ref(graph, lambda _: again.append(sma(close, 7001)))
    del graph

    assert alive() is None
    assert sma(close, 7001) is again[0]


def test_the_hash_covers_operator_parameters_and_inputs() -> None:
    expressions = [
        sma(close, 20),
        sma(close, 21),
        ema(close, 20),
        sma(op.open_, 20),
        close + 1.0,
        close + 2.0,
    ]

    assert len({expression.hash for expression in expressions}) == len(expressions)


def test_the_hash_is_the_same_in_every_process() -> None:
    code = (
        "from engine.features.operators import close, ema, where;"
        "print(where(ema(close, 20) > ema(close, 100), 1.0, 0.0).hash)"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert hashes == {where(ema(close, 20) > ema(close, 100), 1.0, 0.0).hash}


def test_copies_and_pickles_are_the_same_graph() -> None:
    signal = where(ema(close, 20) > 1.5, op.latch(close > 2.0, close < 1.0), float("nan"))

    assert copy.deepcopy(signal) is signal
    assert copy.copy(signal) is signal
    assert pickle.loads(pickle.dumps(signal)) is signal


@pytest.mark.parametrize(
    ("expression", "warmup"),
    [
        (close, 0),
        (op.lag(close, 5), 5),
        (sma(close, 20), 19),
        (sma(sma(close, 20), 10), 28),
        (sma(close, 20) > sma(close, 100), 99),
        (op.donchian_upper(20), 20),
        (op.returns(close, 252), 252),
        (op.volatility(close, 20), 20),
        # RULINGS B3: recursive operators need 24 spans; Wilder's 14 is a span of 27.
        (ema(close, 20), 480),
        (ema(sma(close, 10), 20), 489),
        (op.wilder(close, 14), 648),
        (op.latch(close > 1.0, close < 1.0, 50), 49),
        (op.bars_since(close > 1.0, 50), 49),
        (op.top_k(op.lag(close, 3), 50), 3),
        (op.of("A", op.lag(close, 3)), 3),
        (op.rolling_quantile(close, 10, 0.5), 9),
        (op.rolling_skew(close, 6), 5),
        (op.wma(close, 6), 5),
        (op.rolling_cov(close, op.returns(close), 6), 6),
        (op.last_known(close, 4), 4),
        (op.hour, 0),
        (op.session_open, 1),
        # An average of an average: their spans add up, on top of the change from bar to bar.
        (op.rsi(close, 14), 1 + 648),
        (op.atr(14), 1 + 648),
        (op.directional(14).plus, 1 + 648),
        (op.adx(14), 1 + 648 + 648),
        (op.macd(close, 12, 26, 9).line, 24 * 26),
        (op.macd(close, 12, 26, 9).histogram, 24 * 26 + 24 * 9),
        (op.keltner(20, 2.0, 10).upper, 480),
        (op.keltner(5, 2.0, 10).upper, 1 + 24 * 19),
        (op.stochastic(14, 3).k, 13),
        (op.stochastic(14, 3).d, 15),
        (op.cci(20), 19),
        (op.mfi(14), 14),
        (op.obv(20), 20),
        (op.efficiency_ratio(close, 10), 10),
        (op.bollinger(close, 20).percent, 19),
        (op.donchian(20).middle, 20),
        (op.volatility_target(op.lag(close, 50), 0.1, 20, bars_a_year=252), 50),
        (op.volatility_target(1.0, 0.1, 20, bars_a_year=252), 20),
        (op.cross_mean(op.lag(close, 3)), 3),
        (op.neutralise(close, op.lag(close, 3)), 3),
        (op.cvd(10), 9),
        (op.ofi(10), 10),
    ],
    ids=repr,
)
def test_the_warm_up_is_derived_from_the_graph(expression: Expression, warmup: int) -> None:
    assert expression.warmup == warmup


def test_a_finite_warm_up_is_enough_and_no_bar_less() -> None:
    panel = random_panel(60, 1, seed=1)
    for expression in (op.zscore(close, 9), op.donchian_upper(7), op.volatility(close, 5), op.lag(close, 4)):
        values = evaluate([expression], panel)[0, :, 0]
        assert np.isnan(values[expression.warmup - 1])
        assert np.isfinite(values[expression.warmup])


def test_drawing_reads_like_the_code() -> None:
    signal = where((ema(close, 20) > ema(close, 100)) & ~(close < 2.5), 1.0, -close)

    assert (
        repr(signal) == "where(((ema(close, 20) > ema(close, 100)) & not((close < 2.5))), 1, negate(close))"
    )
    assert str(where(close > op.lag(close), 1.0, 0.0).draw()).splitlines() == [
        "where",
        "├── >",
        "│   ├── close",
        "│   └── lag(1)",
        "│       └── close",
        "├── 1",
        "└── 0",
    ]
    assert repr(signal.draw()) == str(signal.draw())


def test_values_on_a_panel_are_stamped_with_the_time_a_bar_opened() -> None:
    panel = panel_of({"A": [1.0, 2.0, 4.0], "B": [3.0, 3.0, 3.0]})

    frame = sma(close, 2).on(panel)

    assert list(frame.columns) == ["A", "B"]
    assert frame.index.equals(pd.date_range("1970-01-01", periods=3, freq="D", tz="UTC"))
    assert frame.index.name == "bar open (UTC)"
    assert frame["A"].tolist()[1:] == [1.5, 3.0]


def test_a_series_is_neither_true_nor_false() -> None:
    with pytest.raises(InvalidValueError, match=r"use|combine conditions with & \| ~"):
        bool(close > 1.0)
    with pytest.raises(InvalidValueError, match=r"write a < b < c as \(a < b\) & \(b < c\)"):
        _ = 1.0 < close < 2.0


def test_only_numbers_and_expressions_combine() -> None:
    with pytest.raises(InvalidValueError, match="not with str '3'"):
        _ = close + "3"  # type: ignore[operator]  # what a beginner writes
    with pytest.raises(InvalidValueError, match="not with bool True"):
        _ = close > True
    assert np.float64(2.0) * close is 2.0 * close


def test_an_unknown_field_names_those_that_exist() -> None:
    with pytest.raises(InvalidValueError, match="no field 'funding', it has open, high, low, close, volume"):
        evaluate([op.field("funding")], panel_of({"A": [1.0]}))


def test_a_sweep_computes_each_average_once() -> None:
    roots = [sma(close, fast) > sma(close, slow) for fast in range(5, 30) for slow in range(35, 75)]

    compiled = compile_program(roots, ("A",))

    # 65 averages used by many, one comparison for each of 1,000 roots, and its slot is used again.
    assert compiled.program.shared_stop == 65
    assert len(compiled.program.nodes) == 65 + 1000
    assert compiled.slots <= 68


def test_a_long_chain_needs_two_slots() -> None:
    expression = close
    for _ in range(2000):
        expression = expression + 1.0

    compiled = compile_program([expression], ("A",))

    assert compiled.slots <= 5
    assert evaluate([expression], panel_of({"A": [1.0]})).item() == 2001.0


def test_a_truth_is_not_computed_twice() -> None:
    truth = close > 1.0

    assert len(compile_program([where(truth, 1.0, 0.0)], ("A",)).program.nodes) == 2
    assert len(compile_program([where(truth, 0.0, 1.0)], ("A",)).program.nodes) == 4
    assert evaluate([where(truth, 0.0, 1.0)], panel_of({"A": [2.0]})).item() == 0.0


def test_a_single_field_is_read_in_place() -> None:
    panel = random_panel(100, 3, seed=4)

    assert np.shares_memory(bind([sma(close, 5)], panel).data, panel.close)


def test_roots_may_be_fields_constants_and_repeated() -> None:
    panel = panel_of({"A": [1.0, 2.0]})

    values = evaluate([close, op.constant(3.0), close, sma(close, 1), sma(close, 1)], panel)

    assert values[:, :, 0].tolist() == [[1.0, 2.0], [3.0, 3.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]


def test_block_rows_suit_the_number_of_instruments() -> None:
    assert compile_program([close], ("A",)).block_rows == 1024
    assert compile_program([close], [f"I{j}" for j in range(500)]).block_rows == 32
    with pytest.raises(InvalidValueError, match="block_rows must be at least 1, was 0"):
        evaluate([close], panel_of({"A": [1.0]}), block_rows=0)
