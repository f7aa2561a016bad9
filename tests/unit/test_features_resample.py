"""Slower timeframes: which bars they hold, when they are known, and what a stream must be told."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, Instrument, Panel
from engine.domain.time import Calendar, Timeframe
from engine.features import operators as op
from engine.features.evaluate import Stream, evaluate
from engine.features.expression import Expression
from engine.features.operators import close, high, low, open_, resample, sma, volume
from tests.builders import NAN, panel_of, random_panel

HOUR = Timeframe.HOUR_1.nanoseconds


def at_hours(hours: Sequence[int], closes: Sequence[float], **fields: Sequence[float]) -> Panel:
    """Make a panel of one instrument whose hourly bars open so many hours after 1 January 1970."""
    column = np.array(closes, dtype=np.float64)[:, None]
    return Panel(
        name="hours",
        timestamps=np.array(hours, dtype=np.int64) * HOUR,
        open=column - 0.5,
        high=column + 1.0,
        low=column - 1.0,
        close=column,
        volume=np.where(np.isnan(column), np.nan, 10.0),
        instruments=(Instrument(symbol="A"),),
        timeframe=Timeframe.HOUR_1,
        calendar=Calendar.ALWAYS,
        fields={name: np.array(values, dtype=np.float64) for name, values in fields.items()},
    )


def streamed(roots: Sequence[Expression], panel: Panel) -> FloatArray:
    stream = Stream(roots, panel.symbols, timeframe=panel.timeframe)
    known: Mapping[str, FloatArray] = {
        name: getattr(panel, name) for name in ("open", "high", "low", "close", "volume")
    } | dict(panel.fields)
    bars = []
    for row in range(len(panel)):
        bar = {name: values[row] for name, values in known.items()}
        bars.append(stream.push({**bar, "opened_at": panel.timestamps[row]}))
    return np.array(bars).transpose(1, 0, 2)


def both(root: Expression, panel: Panel) -> list[float]:
    """Return values of one root that batch and stream agree on."""
    batch = evaluate([root], panel)
    np.testing.assert_array_equal(batch, streamed([root], panel))
    return [float(value) for value in batch[0, :, 0]]


def same(found: list[float], expected: list[float]) -> bool:
    return found == pytest.approx(expected, nan_ok=True, abs=0)


def test_a_slower_bar_is_known_with_the_bar_that_ends_it() -> None:
    panel = at_hours([20, 21, 22, 23, 24, 25], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    # 20:00 to 23:00 are a slower bar of four hours, known at the close of the bar of 23:00.
    assert same(both(resample("4h", close), panel), [NAN, NAN, NAN, 4.0, 4.0, 4.0])
    assert same(both(resample("4h", open_), panel), [NAN, NAN, NAN, 0.5, 0.5, 0.5])
    assert same(both(resample("4h", high), panel), [NAN, NAN, NAN, 5.0, 5.0, 5.0])
    assert same(both(resample("4h", low), panel), [NAN, NAN, NAN, 0.0, 0.0, 0.0])
    assert same(both(resample("4h", volume), panel), [NAN, NAN, NAN, 40.0, 40.0, 40.0])


def test_where_the_last_bar_is_missing_the_next_one_closes_it() -> None:
    panel = at_hours([21, 22, 24, 25], [1.0, 2.0, 5.0, 6.0])

    assert same(both(resample("1d", close), panel), [NAN, NAN, 2.0, 2.0])


def test_one_bar_may_close_two_slower_ones() -> None:
    # 22:00 leaves its day open; the bar of 23:00 two days later ends its own and closes the first.
    panel = at_hours([22, 71, 72], [1.0, 2.0, 3.0])

    assert same(both(resample("1d", close), panel), [NAN, 2.0, 2.0])
    assert same(both(resample("1d", op.lag(close)), panel), [NAN, 1.0, 1.0])


def test_days_without_any_bar_do_not_exist() -> None:
    panel = at_hours([23, 24 * 9, 24 * 9 + 23], [1.0, 2.0, 3.0])

    assert same(both(resample("1d", op.lag(close)), panel), [NAN, NAN, 1.0])


def test_lengths_count_slower_bars() -> None:
    closes = np.arange(96.0)
    panel = at_hours(list(range(96)), list(closes))

    values = both(resample("1d", sma(close, 2)), panel)

    assert same(values[:47], [NAN] * 47)
    assert values[47:71] == [(23.0 + 47.0) / 2] * 24
    assert values[71:95] == [(47.0 + 71.0) / 2] * 24


def test_an_instrument_that_did_not_trade_in_a_slower_bar_has_none() -> None:
    nothing = [NAN] * 24
    panel = at_hours(list(range(72)), [1.0] * 24 + nothing + [3.0] * 24)

    assert same(both(resample("1d", close), panel)[23::24], [1.0, NAN, 3.0])
    # What is remembered stands still meanwhile.
    assert same(both(resample("1d", op.lag(close)), panel)[23::24], [NAN, NAN, 1.0])


def test_what_is_known_of_a_slower_bar_counts() -> None:
    panel = at_hours(
        [20, 21, 22, 23],
        [NAN, 2.0, 3.0, NAN],
        level=[7.0, NAN, 8.0, NAN],
        buy_volume=[1.0, 2.0, NAN, 4.0],
    )

    assert both(resample("4h", open_), panel)[-1] == 1.5
    assert both(resample("4h", close), panel)[-1] == 3.0
    assert both(resample("4h", volume), panel)[-1] == 20.0
    assert both(resample("4h", op.field("level")), panel)[-1] == 8.0
    assert both(resample("4h", op.field("buy_volume")), panel)[-1] == 7.0


def test_the_clock_of_a_slower_bar_is_when_its_period_begins() -> None:
    panel = at_hours([22, 23, 24, 25], [1.0, 2.0, 3.0, 4.0])

    assert same(both(resample("4h", op.hour), panel), [NAN, 20.0, 20.0, 20.0])


def test_a_timeframe_as_long_as_the_bars_changes_nothing() -> None:
    panel = random_panel(40, 3, seed=1, holes=0.1)

    np.testing.assert_array_equal(*evaluate([resample("1d", sma(close, 4)), sma(close, 4)], panel))


def test_daily_values_agree_with_pandas() -> None:
    panel = random_panel(24 * 40 + 7, 3, seed=3, holes=0.02, timeframe=Timeframe.HOUR_1)
    index = pd.to_datetime(panel.timestamps, unit="ns", utc=True)
    daily = pd.DataFrame(panel.close, index=index).resample("1D").last().iloc[:-1]

    got = evaluate([resample("1d", close)], panel)[0]

    # A day is known at the close of its last bar, which is when the next day begins.
    known_from = daily.set_axis(daily.index + pd.Timedelta(days=1))
    expected = known_from.reindex(index + pd.Timedelta(hours=1), method="ffill")
    np.testing.assert_array_equal(got, expected.to_numpy())


def test_bars_cannot_be_cut_into_shorter_ones() -> None:
    panel = panel_of({"A": [1.0, 2.0]})

    with pytest.raises(InvalidValueError, match="bars of 1d cannot be put together to 4h"):
        evaluate([resample("4h", close)], panel)
    with pytest.raises(InvalidValueError, match="bars of 1d cannot be put together to 4h"):
        Stream([resample("4h", close)], ("A",), timeframe=Timeframe.DAY_1)
    with pytest.raises(InvalidValueError, match="must be one of 1m, 5m, 15m, 1h, 4h, 1d, was '2h'"):
        resample("2h", close)


def test_bars_that_overlap_are_refused() -> None:
    panel = at_hours([0, 1, 2], [1.0, 2.0, 3.0])
    stamps = np.array([0, HOUR, HOUR + HOUR // 2])
    overlapping = Panel(
        **{name: getattr(panel, name) for name in ("name", "open", "high", "low", "close", "volume")},
        instruments=panel.instruments,
        timeframe=panel.timeframe,
        calendar=panel.calendar,
        timestamps=stamps,
    )

    message = "the bar opened 1970-01-01T01:30:00Z begins before the one before it ends, bars are of 1h"
    with pytest.raises(InvalidValueError, match=message):
        evaluate([resample("1d", close)], overlapping)
    with pytest.raises(InvalidValueError, match=message):
        streamed([resample("1d", close)], overlapping)


def test_a_stream_must_know_the_length_of_its_bars_and_when_they_open() -> None:
    with pytest.raises(InvalidValueError, match=r"Stream\(roots, symbols, timeframe=panel.timeframe\)"):
        Stream([resample("1d", close)], ("A",))
    stream = Stream([resample("1d", close), op.hour], ("A",), timeframe=Timeframe.HOUR_1)

    assert stream.fields == {"close", "opened_at"}
    with pytest.raises(InvalidValueError, match="the bar has no field 'opened_at', it has close"):
        stream.push({"close": np.array([1.0])})
    with pytest.raises(
        InvalidValueError, match=r"opened_at must be a whole number, UTC nanoseconds, was 0\.0"
    ):
        stream.push({"close": np.array([1.0]), "opened_at": 0.0})


def test_a_slower_timeframe_counts_its_warm_up_in_bars_of_the_panel() -> None:
    slower = resample("1d", sma(close, 20))

    # 19 days before the last closed one, that one itself, and 23 bars of a day that is not yet closed.
    assert slower.warmup_on(Timeframe.HOUR_1) == 21 * 24 - 2
    assert (slower + op.lag(close, 600)).warmup_on(Timeframe.HOUR_1) == 600
    assert op.lag(slower, 3).warmup_on(Timeframe.HOUR_4) == 21 * 6 - 2 + 3
    assert slower.warmup_on(Timeframe.DAY_1) == 19
    assert sma(close, 20).warmup_on(Timeframe.HOUR_1) == 19
    with pytest.raises(InvalidValueError, match=r"ask warmup_on\(panel.timeframe\) instead of warmup"):
        _ = slower.warmup


@pytest.mark.parametrize("begin", range(24))
def test_that_warm_up_is_enough_wherever_a_day_begins(begin: int) -> None:
    panel = at_hours(list(range(begin, begin + 200)), list(np.arange(200.0)))
    root = resample("1d", sma(close, 3))
    warmup = root.warmup_on(Timeframe.HOUR_1)
    whole = evaluate([root], panel)[0]

    later = evaluate([root], panel.rows(50, 200))[0]

    np.testing.assert_array_equal(later[warmup:], whole[50 + warmup :])
    assert np.isfinite(later[warmup:]).all()


def test_no_bar_less_would_be_enough() -> None:
    # A panel that begins with the second bar of a day, and ends before the last of the fifth.
    panel = at_hours(list(range(1, 119)), list(np.arange(118.0)))
    root = resample("1d", sma(close, 3))

    values = evaluate([root], panel)[0, :, 0]

    # The first day lacks a bar, so what holds it is not the value that it should be: not before the 95th bar.
    assert root.warmup_on(Timeframe.HOUR_1) == 94
    assert np.isfinite(values[70])
    assert values[94] == (46.0 + 70.0 + 94.0) / 3
