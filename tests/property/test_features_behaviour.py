"""The table of behaviour is true: every operator does with halts, late listings and gaps what it declares."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.time import Timeframe
from engine.features import operators as op
from engine.features.behaviour import BEHAVIOUR, Unknown
from engine.features.evaluate import evaluate
from engine.features.expression import Expression
from engine.features.opcodes import Op
from engine.features.operators import close
from tests.builders import random_panel
from tests.features_cases import CASES
from tests.property.test_features_operators import bits, nodes_below, order_book

ROWS = 120


def declared(*unknown: Unknown) -> list[str]:
    return [name for name, behaviour in BEHAVIOUR.items() if behaviour.unknown in unknown and name in CASES]


def filled(panel: Panel, seed: int = 3) -> Panel:
    """Add the fields that cases read, NaN where the instrument did not trade."""
    rng = np.random.default_rng(seed)
    level = 50.0 + np.cumsum(rng.normal(size=len(panel)))
    return replace(panel, fields={"level": level, **order_book(rng, panel.close)})


def whole_panel(instruments: int = 1) -> Panel:
    panel = random_panel(ROWS, instruments, seed=9, timeframe=Timeframe.HOUR_1)
    symbols = [replace(one, symbol="BACD"[place]) for place, one in enumerate(panel.instruments)]
    return filled(replace(panel, instruments=tuple(symbols)))


def without(panel: Panel, rows: IntArray, column: int = 0) -> Panel:
    """Return the panel as it is when an instrument did not trade in some bars."""
    prices = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close", "volume")}
    fields = {name: values.copy() for name, values in panel.fields.items()}
    for values in (*prices.values(), *(some for some in fields.values() if some.ndim == 2)):
        values[rows, column] = np.nan
    return replace(panel, **prices, fields=fields)


def only(panel: Panel, rows: IntArray) -> Panel:
    """Return the bars of some rows, at the times at which they were."""
    prices = {name: getattr(panel, name)[rows] for name in ("open", "high", "low", "close", "volume")}
    fields = {name: values[rows] for name, values in panel.fields.items()}
    return replace(panel, timestamps=panel.timestamps[rows], **prices, fields=fields)


def fields_of(root: Expression) -> set[str]:
    return {str(node.parameters[0]) for node in nodes_below(root) if node.op is Op.FIELD}


HALTS = {
    "halt": np.arange(40, 52),
    "holes": np.flatnonzero(np.random.default_rng(4).random(ROWS) < 0.3),
    "late listing": np.arange(0, 35),
    "early end": np.arange(90, ROWS),
}


@pytest.mark.parametrize("gone", HALTS.values(), ids=HALTS.keys())
@pytest.mark.parametrize("name", declared(Unknown.EACH_BAR, Unknown.OBSERVATIONS))
def test_bars_that_are_not_known_are_as_if_they_were_not_there(name: str, gone: IntArray) -> None:
    # `level` goes on where the instrument does not trade, so what is made of it alone goes on too.
    roots = [root for root in CASES[name] if fields_of(root) and "level" not in fields_of(root)]
    panel = whole_panel()
    kept = np.setdiff1d(np.arange(ROWS), gone)

    values = evaluate(roots, without(panel, gone))

    assert np.isnan(values[:, gone]).all(), "a bar that is not known gives an unknown value"
    assert np.isfinite(values).any()
    compact = evaluate(roots, only(panel, kept))
    assert np.array_equal(bits(values[:, kept]), bits(compact)), "what is remembered must stand still"


@pytest.mark.parametrize(
    "name", declared(Unknown.EACH_BAR, Unknown.OBSERVATIONS, Unknown.ACROSS, Unknown.CHOSEN_SIDE)
)
def test_lengths_count_bars_not_hours(name: str) -> None:
    panel = whole_panel(3)
    gaps = np.cumsum(np.random.default_rng(2).integers(1, 30, ROWS))
    apart = replace(panel, timestamps=gaps.astype(np.int64) * panel.timeframe.nanoseconds)

    assert np.array_equal(bits(evaluate(CASES[name], apart)), bits(evaluate(CASES[name], panel)))


@pytest.mark.parametrize("name", declared(Unknown.ACROSS))
def test_an_instrument_that_is_not_known_takes_no_part(name: str) -> None:
    panel = whole_panel(4)
    listed = 60

    values = evaluate(CASES[name], without(panel, np.arange(listed), column=1))

    alone = evaluate(CASES[name], panel.select((0, 2, 3)))
    assert np.isnan(values[:, :listed, 1]).all()
    assert np.array_equal(bits(values[:, :listed, [0, 2, 3]]), bits(alone[:, :listed]))
    assert np.isfinite(values[:, listed + 10 :, 1]).any(), "it takes part once it trades"
    assert not np.array_equal(bits(values[:, listed:, [0, 2, 3]]), bits(alone[:, listed:]))


@pytest.mark.parametrize("name", declared(Unknown.NO_INPUT))
def test_what_has_no_input_is_known_where_nothing_trades(name: str) -> None:
    panel = whole_panel(2)
    roots = [root for root in CASES[name] if not fields_of(root)]

    values = evaluate(roots, without(panel, np.arange(ROWS)))

    assert roots
    assert np.array_equal(bits(values[:, :, 0]), bits(values[:, :, 1]))
    constant_nan = [root.op is Op.CONSTANT and root.parameters[0] != root.parameters[0] for root in roots]
    assert np.isfinite(values[~np.array(constant_nan), 1:]).all()


def test_only_known_answers_what_is_not_known() -> None:
    panel = without(whole_panel(), HALTS["holes"])
    expected = np.isfinite(panel.close)

    np.testing.assert_array_equal(evaluate([op.known(close)], panel)[0], expected)
    assert declared(Unknown.ANSWERED) == ["known"]


@pytest.mark.parametrize("limit", [1, 3, 11])
def test_the_last_known_value_bridges_so_many_bars_and_no_more(limit: int) -> None:
    panel = without(without(whole_panel(), HALTS["holes"]), HALTS["halt"])

    expected = pd.DataFrame(panel.close).ffill(limit=limit)

    assert expected.isna().any().any()
    np.testing.assert_array_equal(evaluate([op.last_known(close, limit)], panel)[0], expected)
    assert declared(Unknown.BRIDGED) == ["last_known"]


def test_a_choice_needs_its_condition_and_the_chosen_side_only() -> None:
    panel = without(whole_panel(), HALTS["holes"])
    holes = HALTS["holes"]
    unknown = op.lag(close, ROWS)

    chosen, other, condition = evaluate(
        [
            op.where(op.known(close), 1.0, unknown),
            op.where(op.known(close), unknown, 1.0),
            op.where(close, 1, 2),
        ],
        panel,
    )[:, :, 0]

    assert np.isnan(chosen[holes]).all()
    assert np.nansum(chosen) == ROWS - len(holes)
    assert (other[holes] == 1.0).all()
    assert np.isnan(other).sum() == ROWS - len(holes)
    assert np.isnan(condition[holes]).all()
    assert declared(Unknown.CHOSEN_SIDE) == ["where"]


def test_one_instrument_for_all_is_unknown_for_all_where_it_is() -> None:
    panel = without(whole_panel(3), HALTS["holes"], column=0)

    values = evaluate([op.of("B", close)], panel)[0]

    assert np.isnan(values[HALTS["holes"]]).all()
    np.testing.assert_array_equal(values, np.repeat(panel.close[:, :1], 3, axis=1))
    assert declared(Unknown.ONE_FOR_ALL) == ["of"]


def test_a_slower_value_is_unknown_after_a_slower_bar_without_trades() -> None:
    panel = without(whole_panel(), np.arange(20, 53))
    by_day: FloatArray = panel.close.reshape(5, 24)

    values = evaluate([op.resample("1d", close)], panel)[0, 23::24, 0]

    # Hours 24 to 47 are a day without a trade; of the days beside it some hours are known.
    last = [days[np.isfinite(days)][-1] if np.isfinite(days).any() else np.nan for days in by_day]
    np.testing.assert_array_equal(values, last)
    assert np.isnan(values).tolist() == [False, True, False, False, False]
    assert declared(Unknown.LAST_CLOSED) == ["resample"]


@pytest.mark.parametrize("name", CASES)
def test_the_declared_warm_up_is_enough(name: str) -> None:
    # Another start gives other bits to sums and another past to averages; what is left of it is rounding.
    rows, later = 1500, 333
    panel = filled(random_panel(rows, 4, seed=12, timeframe=Timeframe.HOUR_1))
    panel = replace(panel, instruments=whole_panel(4).instruments)
    whole = evaluate(CASES[name], panel)

    begun = evaluate(CASES[name], panel.rows(later, rows))

    for root, expected, found in zip(CASES[name], whole, begun, strict=True):
        warmup = root.warmup_on(panel.timeframe)
        assert warmup < rows - later - 500
        np.testing.assert_allclose(
            found[warmup:], expected[later + warmup :], rtol=1e-9, atol=1e-9, err_msg=repr(root)
        )


def test_every_operator_of_the_user_declares_its_behaviour() -> None:
    assert BEHAVIOUR["window_function"].unknown is Unknown.OBSERVATIONS
    assert {one.unknown for one in BEHAVIOUR.values()} == set(Unknown)
