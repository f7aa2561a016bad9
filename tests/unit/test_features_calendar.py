"""The clock on the wall as an expression: against pandas, in batch and stream."""

import numpy as np
import pandas as pd
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.panel import Panel
from engine.domain.time import Timeframe
from engine.features import operators as op
from engine.features.calendar import CalendarValue, calendar_values
from engine.features.evaluate import Stream, evaluate
from engine.features.operators import close
from tests.builders import NAN, panel_of


def test_the_clock_agrees_with_pandas() -> None:
    rng = np.random.default_rng(1)
    # From 1930 to 2100: before 1970 numbers are negative, 2000 had a leap day and 2100 has none.
    stamps = np.sort(rng.integers(-(10**9) * 1_262_304_000, 10**9 * 4_102_444_800, 5000))
    index = pd.to_datetime(stamps, unit="ns", utc=True)
    expected = {
        CalendarValue.HOUR: index.hour,
        CalendarValue.WEEKDAY: index.day_of_week,
        CalendarValue.DAY_OF_MONTH: index.day,
        CalendarValue.MONTH: index.month,
        CalendarValue.DAY: (index.normalize() - pd.Timestamp("1970-01-01", tz="UTC")).days,
    }

    for what in CalendarValue:
        np.testing.assert_array_equal(calendar_values(what, stamps), expected[what].to_numpy(), str(what))


def hourly(hours: list[int]) -> Panel:
    panel = panel_of({"A": [1.0] * len(hours), "B": [NAN] * len(hours)}, timeframe=Timeframe.HOUR_1)
    stamps = np.array(hours, dtype=np.int64) * Timeframe.HOUR_1.nanoseconds
    return Panel(
        name="hourly",
        timestamps=stamps,
        open=panel.open,
        high=panel.high,
        low=panel.low,
        close=panel.close,
        volume=panel.volume,
        instruments=panel.instruments,
        timeframe=Timeframe.HOUR_1,
        calendar=panel.calendar,
    )


def test_a_session_opens_with_the_first_bar_of_a_day_whatever_its_hour() -> None:
    panel = hourly([22, 23, 26, 27, 48, 100])

    values = evaluate([op.session_open], panel)[0]

    # The very first bar may stand in the middle of a session, so it is not known.
    expected = [NAN, 0.0, 1.0, 0.0, 1.0, 1.0]
    np.testing.assert_array_equal(values, np.array([expected, expected]).T)
    assert op.session_open.warmup == 1


def test_the_clock_goes_on_where_nothing_trades() -> None:
    panel = hourly([22, 23, 26])

    np.testing.assert_array_equal(evaluate([op.hour], panel)[0], [[22.0, 22.0], [23.0, 23.0], [2.0, 2.0]])
    assert op.hour.warmup == 0


def test_a_stream_reads_the_clock_from_the_bar() -> None:
    panel = hourly([22, 23, 26, 27, 48])
    roots = [op.hour, op.weekday, op.day_of_month, op.month, op.session_open, close * op.hour]
    stream = Stream(roots, panel.symbols)

    pushed = [
        stream.push({"close": panel.close[row], "opened_at": panel.timestamps[row]})
        for row in range(len(panel))
    ]

    assert stream.fields == {"close", "opened_at"}
    np.testing.assert_array_equal(np.array(pushed).transpose(1, 0, 2), evaluate(roots, panel))


def test_the_time_is_no_field() -> None:
    with pytest.raises(InvalidValueError, match="opened_at is the time of a bar, ask for hour"):
        op.field("opened_at")
