"""A data set has one calendar, or says in which way it came to hold several."""

from pathlib import Path

import numpy as np
import pytest

from engine.data.lake.lake import Lake
from engine.data.series import BarSeries, SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from engine.domain.venue import CalendarPolicy
from tests.lakes import DAY

# A Monday, four weeks of which are looked at.
FIRST = int(np.datetime64("2024-01-08", "ns").astype(np.int64))
LEARNED = FIRST + 100 * DAY


def key(symbol: str, venue: str = "yahoo") -> SeriesKey:
    return SeriesKey(venue=venue, kind=SeriesKind.BARS, instrument=symbol, timeframe=Timeframe.DAY_1)


def daily(days: list[int]) -> BarSeries:
    """Return bars of days after FIRST whose close is 100 and the number of the day."""
    close = 100.0 + np.array(days, dtype=np.float64)
    return BarSeries(
        stamps=FIRST + np.array(days, dtype=np.int64) * DAY,
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=np.full(len(days), 10.0 + np.arange(len(days))),
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    every = list(range(28))
    weekdays = [day for day in every if day % 7 < 5]
    for symbol, days in (("AAPL", weekdays), ("MSFT", weekdays), ("BTC-USD", every)):
        lake.append(key(symbol), daily(days), known_at=LEARNED, source="test", run="one")
    return lake


def test_instruments_with_different_calendars_are_not_frozen_together(lake: Lake) -> None:
    with pytest.raises(
        InputError, match=r"mixed: its instruments have different calendars \(BTC-USD keeps 24/7"
    ):
        lake.freeze(
            "mixed", [key("AAPL"), key("BTC-USD")], timeframe=Timeframe.DAY_1, calendar=Calendar.ALWAYS
        )

    assert lake.data_sets() == ()


def test_joined_they_have_the_days_that_both_have_in_whatever_way_they_are_read(lake: Lake) -> None:
    frozen = lake.freeze(
        "mixed",
        [key("AAPL"), key("BTC-USD"), key("MSFT")],
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.XNYS,
        calendar_policy=CalendarPolicy.INNER_JOIN,
    )

    panel = lake.load_panel("mixed")
    read = lake.version("mixed")
    early = lake.load_panel("mixed", stop=FIRST + 8 * DAY)
    assert read == frozen
    assert read.definition.groups == (("BTC-USD",), ("AAPL", "MSFT"))
    assert panel.content_hash == frozen.content_hash
    assert [(int(stamp) - FIRST) // DAY for stamp in early.timestamps] == [0, 1, 2, 3, 4, 7]
    assert len(panel) == 20
    assert np.isfinite(panel.close).all()
    assert frozen.manifest.rows == 20


def test_what_keeps_one_calendar_needs_no_policy(lake: Lake) -> None:
    frozen = lake.freeze(
        "shares", [key("AAPL"), key("MSFT")], timeframe=Timeframe.DAY_1, calendar=Calendar.XNYS
    )

    assert frozen.definition.groups == ()
    assert frozen.definition.calendar_policy is CalendarPolicy.REFUSE
