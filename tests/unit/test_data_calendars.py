"""Which bars a calendar expects."""

import numpy as np
import pytest

from engine.data.calendars import expected_opens, session_labels, sessions
from engine.domain.panel import IntArray, day_ends, trading_days
from engine.domain.time import Calendar, Timeframe


def stamps(*texts: str) -> IntArray:
    return np.array(texts, dtype="datetime64[ns]").astype(np.int64)


def expected(calendar: Calendar, timeframe: Timeframe, first: str, last: str, phase: int = 0) -> list[str]:
    opens = expected_opens(calendar, timeframe, int(stamps(first)[0]), int(stamps(last)[0]), phase)
    return [str(stamp)[:16] for stamp in opens.view("datetime64[ns]")]


def test_sessions_leave_out_weekends_and_holidays() -> None:
    # 2020-01-20 was Martin Luther King day.
    days = sessions(Calendar.XNYS, "2020-01-16", "2020-01-22").view("datetime64[ns]")

    assert [str(day)[:10] for day in days] == ["2020-01-16", "2020-01-17", "2020-01-21", "2020-01-22"]


def test_sessions_go_back_further_than_the_library_does_by_itself() -> None:
    # The fourth of July 1975 was a Friday.
    days = sessions(Calendar.XNYS, "1975-07-02", "1975-07-08").view("datetime64[ns]")

    assert [str(day)[:10] for day in days] == ["1975-07-02", "1975-07-03", "1975-07-07", "1975-07-08"]


def test_a_day_without_a_session_has_none() -> None:
    assert len(sessions(Calendar.XNYS, "2020-01-18", "2020-01-18")) == 0
    assert len(sessions(Calendar.XNYS, "2020-01-17", "2020-01-17")) == 1


def test_a_calendar_that_never_closes_has_every_day() -> None:
    assert len(sessions(Calendar.ALWAYS, "2020-02-28", "2020-03-01")) == 3


def test_the_last_bar_is_expected_too() -> None:
    # Counting nanoseconds of today in floating point loses it.
    opens = expected(Calendar.ALWAYS, Timeframe.HOUR_1, "2021-12-31T21:00", "2021-12-31T23:00")

    assert opens == ["2021-12-31T21:00", "2021-12-31T22:00", "2021-12-31T23:00"]


def test_bars_that_open_at_half_past_are_expected_at_half_past() -> None:
    half_hour = 30 * 60 * 10**9

    opens = expected(Calendar.ALWAYS, Timeframe.HOUR_1, "2020-01-01T00:30", "2020-01-01T02:30", half_hour)

    assert opens == ["2020-01-01T00:30", "2020-01-01T01:30", "2020-01-01T02:30"]


def test_hourly_bars_of_a_session_begin_with_the_one_that_holds_its_open() -> None:
    # New York opens 14:30 and closes 21:00 UTC in winter.
    opens = expected(Calendar.XNYS, Timeframe.HOUR_1, "2020-01-02T00:00", "2020-01-02T23:00")

    assert opens == [f"2020-01-02T{hour}:00" for hour in (14, 15, 16, 17, 18, 19, 20)]


def test_a_session_that_closes_early_has_fewer_minutes() -> None:
    # The day after Thanksgiving closes at 13:00 in New York: 3.5 hours.
    opens = expected(Calendar.XNYS, Timeframe.MINUTE_1, "2020-11-27T00:00", "2020-11-27T23:59")

    assert len(opens) == 210
    assert (opens[0], opens[-1]) == ("2020-11-27T14:30", "2020-11-27T17:59")


def test_a_midnight_names_its_date_whatever_its_zone() -> None:
    # Midnight of New York is 05:00 UTC; its session is the date that was written.
    labels = session_labels(Calendar.XNYS, stamps("2020-01-02T05:00"), stamps("2020-01-02T00:00"))

    assert labels.tolist() == stamps("2020-01-02").tolist()


def test_an_instant_of_the_session_takes_the_date_of_the_exchange() -> None:
    # 00:30 UTC on the third is 19:30 on the second in New York.
    written = stamps("2020-01-03T00:30")

    assert session_labels(Calendar.XNYS, written, written).tolist() == stamps("2020-01-02").tolist()


def test_currencies_trade_from_sunday_to_friday_five_in_the_evening_of_new_york() -> None:
    # Five in the afternoon is 22:00 UTC in winter and 21:00 in summer.
    winter = expected(Calendar.WEEKDAYS, Timeframe.HOUR_1, "2024-01-12T00:00", "2024-01-15T00:00")
    summer = expected(Calendar.WEEKDAYS, Timeframe.HOUR_1, "2024-07-12T00:00", "2024-07-15T00:00")

    assert winter[20:22] == ["2024-01-12T20:00", "2024-01-12T21:00"]
    assert winter[22:] == ["2024-01-14T22:00", "2024-01-14T23:00", "2024-01-15T00:00"]
    assert summer[19:22] == ["2024-07-12T19:00", "2024-07-12T20:00", "2024-07-14T21:00"]


def test_currencies_have_a_bar_of_each_weekday() -> None:
    days = expected(Calendar.WEEKDAYS, Timeframe.DAY_1, "2024-07-12T00:00", "2024-07-16T00:00")

    assert [day[:10] for day in days] == ["2024-07-12", "2024-07-15", "2024-07-16"]


def test_futures_rest_an_hour_a_day_and_close_early_before_a_holiday() -> None:
    # Chicago is six hours behind UTC in winter: 16:00 to 17:00 is 22:00 to 23:00 UTC.
    evening = expected(Calendar.CMES, Timeframe.HOUR_1, "2024-01-10T20:00", "2024-01-11T00:00")
    # On Thanksgiving they closed at noon of Chicago, and opened again at 17:00.
    holiday = expected(Calendar.CMES, Timeframe.HOUR_1, "2019-11-28T16:00", "2019-11-29T00:00")

    assert [stamp[11:13] for stamp in evening] == ["20", "21", "23", "00"]
    assert [stamp[11:13] for stamp in holiday] == ["16", "17", "23", "00"]


def test_an_evening_that_a_day_begins_with_takes_the_next_date() -> None:
    # Sunday 17:00 and Monday 16:00 in New York, both of Monday's session.
    written = stamps("2024-01-14T22:00", "2024-01-15T21:00")

    labels = session_labels(Calendar.WEEKDAYS, written, written)

    assert labels.tolist() == stamps("2024-01-15", "2024-01-15").tolist()


@pytest.mark.parametrize("calendar", [Calendar.XNYS, Calendar.WEEKDAYS, Calendar.CMES])
def test_a_year_has_as_many_days_as_its_calendar_has_sessions(calendar: Calendar) -> None:
    a_year = len(sessions(calendar, "2015-01-01", "2024-12-31")) / 10

    assert abs(a_year - calendar.days_per_year) < 0.5


@pytest.mark.parametrize("calendar", [Calendar.WEEKDAYS, Calendar.CMES])
@pytest.mark.parametrize("week", ["2024-01-14", "2024-07-14"])
def test_a_week_of_hourly_bars_that_begin_on_sunday_evening_has_five_days(
    calendar: Calendar, week: str
) -> None:
    first = int(stamps(week)[0])
    bars = expected_opens(calendar, Timeframe.HOUR_1, first, first + 7 * 24 * 3600 * 10**9 - 1, 0)

    days = trading_days(bars, calendar)

    # 2024-01-15 was Martin Luther King day, on which futures closed early and did trade.
    monday = int(np.datetime64(week, "D").astype(np.int64)) + 1
    assert np.unique(days).tolist() == list(range(monday, monday + 5))
    assert int(day_ends(bars, calendar).sum()) == 5
