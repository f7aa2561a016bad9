"""Operators on a handful of bars, worked out by hand; compiled kernels against their plain Python twins."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from engine.compiled import kernel
from engine.domain.errors import InvalidValueError
from engine.features import cross_section, elementwise, recursive, rolling
from engine.features import operators as op
from engine.features import shape as shape_kernels
from engine.features.evaluate import Stream, evaluate
from engine.features.expression import Expression
from engine.features.opcodes import Op
from engine.features.operators import close, volume
from tests.builders import NAN, panel_of


def as_any(value: Any) -> Any:
    """Hide a type that a checker would refuse before the code can."""
    return value


def values(expression: Expression, closes: list[float], volumes: list[float] | None = None) -> list[float]:
    panel = panel_of({"A": closes}, volumes=None if volumes is None else {"A": volumes})
    return [float(value) for value in evaluate([expression], panel)[0, :, 0]]


def across(expression: Expression, row: list[float]) -> list[float]:
    panel = panel_of({f"I{j}": [value] for j, value in enumerate(row)})
    return [float(value) for value in evaluate([expression], panel)[0, 0]]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (op.lag(close, 2), [NAN, NAN, 1.0, NAN, 2.0, 4.0]),
        (op.diff(close), [NAN, 1.0, 2.0, NAN, -1.0, 5.0]),
        (op.rolling_sum(close, 3), [NAN, NAN, 7.0, NAN, 9.0, 15.0]),
        (op.sma(close, 2), [NAN, 1.5, 3.0, NAN, 3.5, 5.5]),
        (op.rolling_min(close, 3), [NAN, NAN, 1.0, NAN, 2.0, 3.0]),
        (op.rolling_max(close, 3), [NAN, NAN, 4.0, NAN, 4.0, 8.0]),
        (op.rolling_median(close, 3), [NAN, NAN, 2.0, NAN, 3.0, 4.0]),
        (op.rolling_median(close, 4), [NAN, NAN, NAN, NAN, 2.5, 3.5]),
        (op.rolling_rank(close, 3), [NAN, NAN, 1.0, NAN, 0.5, 1.0]),
        # Weight 1/2: 1, 1.5, 2.75, (stands still), 2.875, 5.4375; three observations are needed.
        (op.ema(close, 3), [NAN, NAN, 2.75, NAN, 2.875, 5.4375]),
        (op.wilder(close, 2), [NAN, 1.5, 2.75, NAN, 2.875, 5.4375]),
        (op.bars_since(close > 3.5, 2), [NAN, 2.0, 0.0, NAN, 1.0, 0.0]),
        (close > 2.0, [0.0, 0.0, 1.0, NAN, 1.0, 1.0]),
        (close >= 2.0, [0.0, 1.0, 1.0, NAN, 1.0, 1.0]),
        (close < 2.0, [1.0, 0.0, 0.0, NAN, 0.0, 0.0]),
        (close <= 2.0, [1.0, 1.0, 0.0, NAN, 0.0, 0.0]),
        (op.sign(close - 3.0), [-1.0, -1.0, 1.0, NAN, 0.0, 1.0]),
        (op.floor(close / 2.0), [0.0, 1.0, 2.0, NAN, 1.0, 4.0]),
        (op.floor(-close / 2.0), [-1.0, -1.0, -2.0, NAN, -2.0, -4.0]),
        (op.known(close), [1.0, 1.0, 1.0, 0.0, 1.0, 1.0]),
        (op.clip(close, 2.0, 3.0), [2.0, 2.0, 3.0, NAN, 3.0, 3.0]),
        (op.last_known(close, 1), [1.0, 2.0, 4.0, 4.0, 3.0, 8.0]),
        # (1 + 2*2 + 3*4) / 6, then the hole is no observation: (2 + 2*4 + 3*3) / 6, (4 + 2*3 + 3*8) / 6.
        (op.wma(close, 3), [NAN, NAN, 17 / 6, NAN, 19 / 6, 34 / 6]),
        # A line through 1, 2, 4 rises by 1.5 a bar; through 2, 4, 3 by 0.5; through 4, 3, 8 by 2.
        (op.rolling_slope(close, 3), [NAN, NAN, 1.5, NAN, 0.5, 2.0]),
        # Around 7/3: 4/3, 1/3, 5/3; around 3: 1, 1, 0; around 5: 1, 2, 3.
        (op.rolling_deviation(close, 3), [NAN, NAN, 10 / 9, NAN, 2 / 3, 2.0]),
        (op.rolling_cov(close, 2.0 * close, 2), [NAN, 1.0, 4.0, NAN, 1.0, 25.0]),
        (op.roc(close, 1), [NAN, 100.0, 100.0, NAN, -25.0, 500 / 3]),
        # From 1 to 3 in steps of 1, 2, 1; from 2 to 8 in steps of 2, 1, 5.
        (op.efficiency_ratio(close, 3), [NAN, NAN, NAN, NAN, 0.5, 0.75]),
        (op.where(close > 2.0, close, 10.0), [10.0, 10.0, 4.0, NAN, 3.0, 8.0]),
        # The side that is not chosen may be unknown.
        (op.where(close > 2.0, 1.0, op.lag(close)), [NAN, 1.0, 1.0, NAN, 1.0, 1.0]),
    ],
    ids=repr,
)
def test_a_hole_is_no_observation(expression: Expression, expected: list[float]) -> None:
    found = values(expression, [1.0, 2.0, 4.0, NAN, 3.0, 8.0])

    assert found == pytest.approx(expected, nan_ok=True, rel=1e-14, abs=0)


def test_a_latch_holds_from_entry_to_exit() -> None:
    # Entry at 5 and above, exit at 2 and below; 1 and 9 are events, 3 keeps.
    signal = op.latch(close >= 5.0, close <= 2.0)

    assert values(signal, [3.0, 5.0, 3.0, NAN, 3.0, 2.0, 3.0, 9.0]) == pytest.approx(
        [NAN, 1.0, 1.0, NAN, 1.0, 0.0, 0.0, 1.0], nan_ok=True
    )


def test_an_exit_wins_over_an_entry_in_the_same_bar() -> None:
    assert values(op.latch(close > 0.0, close > 4.0), [1.0, 5.0, 3.0]) == [1.0, 0.0, 1.0]


def test_a_latch_forgets_after_its_memory() -> None:
    # Entered at bar 0; two observations later there was no event within the last two, so it is out.
    assert values(op.latch(close > 4.0, close < 1.0, 2), [5.0, 3.0, 3.0, 3.0]) == [1.0, 1.0, 0.0, 0.0]
    # Without any event it is known to be out after two observations.
    assert values(op.latch(close > 4.0, close < 1.0, 2), [3.0, 3.0]) == pytest.approx([NAN, 0.0], nan_ok=True)


def test_rank_and_top_across_instruments() -> None:
    row = [3.0, NAN, 1.0, 3.0, 2.0]

    assert across(op.cross_rank(close), row) == pytest.approx([5 / 6, NAN, 0.0, 5 / 6, 1 / 3], nan_ok=True)
    assert across(op.top_k(close, 1), row) == pytest.approx([1.0, NAN, 0.0, 0.0, 0.0], nan_ok=True)
    assert across(op.top_k(close, 2), row) == pytest.approx([1.0, NAN, 0.0, 1.0, 0.0], nan_ok=True)
    assert across(op.top_k(close, 9), row) == pytest.approx([1.0, NAN, 1.0, 1.0, 1.0], nan_ok=True)
    assert across(op.cross_rank(close), [NAN, 4.0]) == pytest.approx([NAN, 0.5], nan_ok=True)
    assert across(op.cross_demean(close), row) == pytest.approx([0.75, NAN, -1.25, 0.75, -0.25], nan_ok=True)


def test_what_goes_with_another_value_is_taken_out_across_instruments() -> None:
    # On a line x = 3 + 2 y nothing is left; the point that lies 3 above it pulls the line.
    panel = panel_of({"A": [5.0, 5.0], "B": [7.0, 7.0], "C": [9.0, 12.0], "D": [4.0, NAN]}, volumes={
        "A": [1.0, 1.0], "B": [2.0, 2.0], "C": [3.0, 3.0], "D": [NAN, 4.0],
    })  # fmt: skip

    left = evaluate([op.neutralise(close, volume)], panel)[0]

    # Slope 3.5 and mean 8: what is left is 5 - 4.5, 7 - 8, 12 - 11.5.
    np.testing.assert_allclose(left, [[0.0, 0.0, 0.0, NAN], [0.5, -1.0, 0.5, NAN]], atol=1e-12)
    row = [3.0, NAN, 1.0, 5.0]
    assert across(op.neutralise(close, 7.1), row) == pytest.approx([0.0, NAN, -2.0, 2.0], nan_ok=True)
    assert across(op.neutralise(close, close), [4.0]) == [0.0]
    assert across(op.cross_mean(close), row) == pytest.approx([3.0, NAN, 3.0, 3.0], nan_ok=True)


def test_ties_are_decided_as_the_table_says() -> None:
    still = [5.0] * 8
    assert values(op.zscore(close, 3), still)[2:] == pytest.approx([NAN] * 6, nan_ok=True)
    assert values(op.rolling_skew(close, 3), still)[2:] == pytest.approx([NAN] * 6, nan_ok=True)
    assert values(op.rolling_kurtosis(close, 4), still)[3:] == pytest.approx([NAN] * 5, nan_ok=True)
    assert values(op.rolling_deviation(close, 3), still)[2:] == [0.0] * 6
    assert values(op.rolling_slope(close, 3), still)[2:] == [0.0] * 6
    assert values(op.rolling_cov(close, volume, 3), still, [1.0, 2.0] * 4)[2:] == [0.0] * 6
    assert values(op.wma(close, 3), [0.1 + 0.2] * 8)[2:] == [0.1 + 0.2] * 6
    assert values(op.macd(close, 2, 3, 2).histogram, still)[3:] == [0.0] * 5
    assert values(op.rsi(close, 2), still)[3:] == pytest.approx([NAN] * 5, nan_ok=True)
    assert values(op.adx(2), still)[3:] == [0.0] * 5
    assert values(op.percent_b(close, 3), still)[3:] == pytest.approx([NAN] * 5, nan_ok=True)
    assert values(op.stochastic(2, 1).k, still)[3:] == pytest.approx([NAN] * 5, nan_ok=True)
    assert values(op.cci(3), still)[3:] == pytest.approx([NAN] * 5, nan_ok=True)
    assert values(op.efficiency_ratio(close, 2), still)[3:] == pytest.approx([NAN] * 5, nan_ok=True)
    assert values(op.obv(2), still, [1.0] * 8)[3:] == [0.0] * 5
    assert values(op.volatility_target(1.0, 0.1, 3, bars_a_year=252, cap=0.5), still)[3:] == [0.5] * 5
    assert values(op.equal(close, 0.0), [0.0, -0.0]) == [1.0, 1.0]
    assert values(op.clip(close, 3.0, 2.0), [1.0, 5.0]) == [2.0, 2.0]


def test_as_far_up_as_down_is_no_direction() -> None:
    panel = panel_of({"A": [10.0] * 6}, opens={"A": [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]})
    widening = op.directional(2)

    # Highs rise by 1 a bar. Where lows fall by as much, neither counts.
    rising, falling = evaluate([widening.plus, widening.minus], panel)[:, -1, 0]

    assert rising > 0.0
    assert falling == 0.0
    both_ways = panel_of({"A": [10.0, 9.0, 8.0, 7.0]}, opens={"A": [10.0, 11.0, 12.0, 13.0]})
    up, down, index = evaluate(list(op.directional(2)), both_ways)[:, -1, 0]
    assert (up, down, index) == (0.0, 0.0, 0.0)


def test_a_volatility_target_scales_down_and_never_above_its_cap() -> None:
    closes = [100.0, 101.0, 99.99, 101.0, 100.0]
    signal = op.volatility_target(-1.0, 0.10, 2, bars_a_year=4)
    deviation = float(np.std([101 / 100 - 1, 99.99 / 101 - 1], ddof=1))

    scaled = values(signal, closes)

    assert scaled[2] == pytest.approx(-1.0)  # 10% a year is more than twice that deviation: the cap
    assert values(op.volatility_target(1.0, 0.01, 2, bars_a_year=4), closes)[2] == pytest.approx(
        0.01 / (2 * deviation)
    )
    assert values(op.volatility_target(0.5, 0.10, 2, bars_a_year=4, cap=9.0), closes)[2] == pytest.approx(
        0.05 / (2 * deviation)
    )


def test_several_outputs_are_named_and_one_of_them_is_chosen() -> None:
    bands = op.bollinger(close, 5)

    assert bands.upper is op.bollinger_upper(close, 5)
    assert bands.percent is op.percent_b(close, 5)
    assert op.donchian(7).lower is op.donchian_lower(7)
    assert op.directional(9).adx is op.adx(9)
    line, signal, histogram = op.macd(close)
    assert histogram is line - signal
    with pytest.raises(
        InvalidValueError, match=r"Macd holds several expressions, choose one: \.line, \.signal"
    ):
        _ = close > as_any(op.macd(close))


def test_order_flow_is_counted_as_the_paper_counts_it() -> None:
    # Columns: bid, ask, bid size, ask size. Cont, Kukanov and Stoikov (2014), equation 3.
    quotes = np.array(
        [
            [10.0, 11.0, 5.0, 4.0],
            [10.0, 11.0, 7.0, 3.0],  # same prices: 7 - 5 came to the bid, 4 - 3 left the ask
            [10.5, 11.0, 2.0, 3.0],  # the bid rises: all 2 of it are new
            [10.5, 12.0, 2.0, 9.0],  # the ask rises: the 3 that stood lower are gone
            [10.0, 11.5, 6.0, 8.0],  # the bid falls: 2 are gone; the ask falls: 8 are new
            [NAN, 11.5, 6.0, 8.0],  # no quote, no observation
            [10.0, 11.5, 6.0, 8.0],
        ]
    )
    panel = panel_of({"A": [1.0] * len(quotes)})
    names = ("bid", "ask", "bid_size", "ask_size")
    with_book = replace(panel, fields={name: quotes[:, [k]].copy() for k, name in enumerate(names)})

    one, summed, book = evaluate([op.ofi(), op.ofi(2), op.obi()], with_book)[:, :, 0]

    np.testing.assert_array_equal(one, [NAN, 3.0, 2.0, 3.0, -10.0, NAN, 0.0])
    np.testing.assert_array_equal(summed, [NAN, NAN, 5.0, 5.0, -7.0, NAN, -10.0])
    np.testing.assert_allclose(book[:2], [1 / 9, 4 / 10])
    with pytest.raises(InvalidValueError, match="no field 'bid_size', it has open, high, low, close, volume"):
        evaluate([op.obi()], panel)
    with pytest.raises(InvalidValueError, match="no field 'buy_volume'"):
        evaluate([op.cvd(3)], panel)


def test_the_value_of_one_instrument_for_all() -> None:
    assert across(op.of("I1", close) + 0.0, [3.0, 7.0, NAN]) == [7.0, 7.0, 7.0]
    with pytest.raises(InvalidValueError, match="no instrument 'SPY' in the panel, it has I0, I1"):
        across(op.of("SPY", close), [3.0, 7.0])


def test_logic_treats_every_number_but_zero_as_true_and_unknown_as_unknown() -> None:
    a, b = close, volume
    closes, volumes = [0.0, 0.0, 2.0, -1.0, NAN], [0.0, 3.0, 0.0, 0.5, 1.0]

    assert values(a & b, closes, volumes) == pytest.approx([0, 0, 0, 1, NAN], nan_ok=True)
    assert values(a | b, closes, volumes) == pytest.approx([0, 1, 1, 1, NAN], nan_ok=True)
    assert values(~a, closes, volumes) == pytest.approx([1, 1, 0, 0, NAN], nan_ok=True)


def test_roots_and_logarithms_of_what_has_none_are_unknown() -> None:
    assert values(op.log(close), [1.0, 0.0, -1.0]) == pytest.approx([0.0, NAN, NAN], nan_ok=True)
    assert values(op.sqrt(close), [4.0, 0.0, -1.0]) == pytest.approx([2.0, 0.0, NAN], nan_ok=True)


def test_an_average_of_a_price_that_stands_still_is_that_price() -> None:
    # Else two averages of it would differ in the last bit, and a strict comparison would trade on rounding.
    price = 0.1 + 0.2
    assert values(op.ema(close, 7), [price] * 50)[6:] == [price] * 44
    assert values(op.sma(close, 7), [1.7, 2.9] + [price] * 50)[20:] == [price] * 32


def test_rsi_of_a_price_that_only_rises_is_one_hundred() -> None:
    assert values(op.rsi(close, 3), [1.0, 2.0, 3.0, 4.0, 5.0])[3:] == [100.0, 100.0]


def test_a_stream_takes_one_number_for_all_instruments() -> None:
    stream = Stream([op.lag(op.field("market")) + close], ("A", "B"))

    first = stream.push({"close": np.array([1.0, 2.0]), "market": 10.0})
    second = stream.push({"close": np.array([1.0, 2.0]), "market": 20.0})

    assert np.isnan(first).all()
    assert second.tolist() == [[11.0, 12.0]]
    assert stream.fields == {"close", "market"}
    with pytest.raises(InvalidValueError, match="the bar has no field 'market', it has close"):
        stream.push({"close": np.array([1.0, 2.0])})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: op.sma(close, 0), "sma: length must be a whole number of at least 1, was 0"),
        (lambda: op.sma(close, as_any(2.5)), "sma: length must be a whole number of at least 1, was 2.5"),
        (lambda: op.ema(close, True), "ema: span must be a whole number of at least 1, was True"),
        (lambda: op.lag(close, -1), "lag: length must be a whole number of at least 1, was -1"),
        (lambda: op.rolling_std(close, 1), "rolling_std: length must be a whole number of at least 2, was 1"),
        (lambda: op.zscore(close, 1), "zscore: length must be a whole number of at least 2, was 1"),
        (lambda: op.rolling_quantile(close, 5, 1.5), "rolling_quantile: share must be from 0 to 1, was 1.5"),
        (lambda: op.top_k(close, 0), "top_k: k must be a whole number of at least 1, was 0"),
        (lambda: op.donchian_upper(0), "donchian_upper: length must be"),
        (lambda: op.latch(close, close, 0), "latch: memory must be"),
        (lambda: op.last_known(close, 0), "last_known: limit must be"),
        (
            lambda: op.rolling_skew(close, 2),
            "rolling_skew: length must be a whole number of at least 3, was 2",
        ),
        (lambda: op.rolling_kurtosis(close, 3), "rolling_kurtosis: length must be"),
        (lambda: op.macd(close, 0), "macd: fast must be"),
        (lambda: op.macd(close, signal=0), "macd: signal must be"),
        (lambda: op.adx(0), "adx: length must be"),
        (lambda: op.keltner(20, 2.0, 0), "keltner: atr_length must be"),
        (lambda: op.ofi(0), "ofi: length must be"),
        (
            lambda: op.volatility_target(1.0, 0.0, 20, bars_a_year=252),
            "volatility_target: target must be a number above 0, was 0.0",
        ),
        (
            lambda: op.volatility_target(1.0, 0.1, 20, bars_a_year=NAN),
            "volatility_target: bars_a_year must be a number above 0, was nan",
        ),
        (lambda: op.field(""), "field: name must be a text that is not empty"),
        (lambda: op.sma(as_any("close"), 5), "not with str 'close'"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(build: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message.replace("(", r"\(")):
        build()


@cache
def compiled(function: Any) -> Any:
    """Compile a function for a call from Python: an operator is made for other compiled code alone."""
    return kernel(function)


def run_both(operator: Any, state_size: int, *arguments: Any, shape: tuple[int, int]) -> None:
    """Run the compiled operator and its plain Python twin from the same start."""
    rows, n = shape
    outs, states = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for function in (compiled(operator.py_func), operator.py_func):
            out, state = np.full(rows * n, -7.0), np.zeros(state_size)
            leading = (state, 0) if state_size else ()
            function(*leading, *arguments, out, *((rows, n) if rows else ()))
            outs.append(out)
            states.append(state)
    np.testing.assert_array_equal(outs[0], outs[1])
    np.testing.assert_array_equal(states[0], states[1])


def test_kernels_equal_their_plain_python_twins() -> None:
    rng = np.random.default_rng(2)
    rows, n = 40, 2
    x, y = rng.integers(1, 9, (2, rows * n)) / 3.0
    x[10:14] = np.nan
    y[30] = np.nan
    shape = (rows, n)
    run_both(rolling.lag, 2 * (rolling.LAG_HEADER + 3), 3, x, shape=shape)
    run_both(rolling.rolling_sum, 2 * (rolling.SUM_HEADER + 4), 4, 4.0, x, shape=shape)
    run_both(rolling.rolling_std, 2 * (rolling.MOMENTS_HEADER + 4), 4, x, shape=shape)
    run_both(rolling.rolling_extreme, 2 * (rolling.EXTREME_HEADER + 4), 4, -1.0, x, shape=shape)
    run_both(rolling.rolling_quantile, 2 * (rolling.SORTED_HEADER + 10), 5, 0.3, x, shape=shape)
    run_both(rolling.rolling_rank, 2 * (rolling.RANK_HEADER + 5), 5, x, shape=shape)
    run_both(rolling.rolling_pair, 2 * (rolling.PAIR_HEADER + 10), 5, 1.0, x, y, shape=shape)
    run_both(rolling.rolling_pair, 2 * (rolling.PAIR_HEADER + 10), 5, 0.0, x, y, shape=shape)
    run_both(rolling.rolling_pair, 2 * (rolling.PAIR_HEADER + 10), 5, 2.0, x, y, shape=shape)
    for code in range(Op.ROLLING_SKEW, Op.ROLLING_WEIGHTED_MEAN + 1):
        run_both(shape_kernels.rolling_shape, 2 * (shape_kernels.SHAPE_HEADER + 5), 5, code, x, shape=shape)
    run_both(recursive.last_known, 2 * recursive.KNOWN_UNITS, 3, x, shape=shape)
    run_both(recursive.exponential_average, 2 * recursive.AVERAGE_UNITS, 3, 0.5, x, shape=shape)
    run_both(recursive.latch, 2 * recursive.LATCH_UNITS, 5, x - x[0], y - y[0], shape=shape)
    run_both(recursive.bars_since, 2 * recursive.SINCE_UNITS, 5, x - x[0], shape=shape)
    run_both(cross_section.cross_rank, 0, x, shape=shape)
    run_both(cross_section.top_k, 0, 1, x, shape=shape)
    run_both(cross_section.cross_moment, 0, 0.0, x, shape=shape)
    run_both(cross_section.cross_moment, 0, 2.0, x, shape=shape)
    run_both(cross_section.cross_residual, 0, x, y, shape=shape)
    run_both(cross_section.of_column, 0, 1, x, shape=shape)


def test_elementwise_kernels_equal_their_plain_python_twins() -> None:
    x = np.array([1.0, -2.0, 0.0, NAN, 3.0])
    y = np.array([0.0, 2.0, 0.0, 1.0, NAN])
    for op_code in range(Op.NEGATE, Op.KNOWN + 1):
        run_flat(elementwise.unary, op_code, x)
    for op_code in range(Op.ADD, Op.MAXIMUM + 1):
        run_flat(elementwise.arithmetic, op_code, x, y)
    for op_code in range(Op.GREATER, Op.OR + 1):
        run_flat(elementwise.comparison, op_code, x, y)
    run_flat(elementwise.where, x, y, y + 1.0)
    run_flat(elementwise.copy, x)
    run_flat(elementwise.fill, 2.5)


def run_flat(operator: Any, *arguments: Any) -> None:
    outs = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for function in (compiled(operator.py_func), operator.py_func):
            out = np.full(5, -7.0)
            function(*arguments, out)
            outs.append(out)
    np.testing.assert_array_equal(outs[0], outs[1])
