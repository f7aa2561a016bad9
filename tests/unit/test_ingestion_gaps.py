"""Which bars are missing, by the calendar."""

import numpy as np

from engine.data.ingestion.gaps import missing_opens, months_backwards
from engine.domain.time import Calendar, Timeframe
from tests.lakes import HOUR, START


def stamp(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def test_around_the_clock_every_interval_is_expected() -> None:
    there = np.array([START, START + 3 * HOUR])

    missing = missing_opens(there, Timeframe.HOUR_1, Calendar.ALWAYS, START - HOUR, START + 5 * HOUR)

    assert ((missing - START) // HOUR).tolist() == [-1, 1, 2, 4]


def test_a_start_between_two_intervals_expects_the_next_one() -> None:
    missing = missing_opens(
        np.empty(0, dtype=np.int64), Timeframe.HOUR_1, Calendar.ALWAYS, START + 1, START + 2 * HOUR + 1
    )

    assert ((missing - START) // HOUR).tolist() == [1, 2]


def test_nothing_is_missing_where_nothing_is_asked_for() -> None:
    none = np.empty(0, dtype=np.int64)

    assert len(missing_opens(none, Timeframe.HOUR_1, Calendar.ALWAYS, START, START)) == 0


def test_an_exchange_is_closed_on_weekends_and_holidays() -> None:
    # 2024: the 12th of January is a Friday, the 15th is Martin Luther King's day.
    there = np.array([stamp("2024-01-11"), stamp("2024-01-17")])

    missing = missing_opens(there, Timeframe.DAY_1, Calendar.XNYS, stamp("2024-01-11"), stamp("2024-01-18"))

    assert [str(np.datetime64(int(each), "ns"))[:10] for each in missing] == ["2024-01-12", "2024-01-16"]


def test_hours_of_a_session_stand_where_the_bars_stand() -> None:
    # New York opens at 14:30 UTC in winter: seven bars of an hour, the last one half as long.
    there = np.array([stamp("2024-01-11T14:30"), stamp("2024-01-11T16:30")])

    missing = missing_opens(
        there, Timeframe.HOUR_1, Calendar.XNYS, stamp("2024-01-11T00:00"), stamp("2024-01-12T00:00")
    )

    assert [str(np.datetime64(int(each), "ns"))[11:16] for each in missing] == [
        "15:30", "17:30", "18:30", "19:30", "20:30",
    ]  # fmt: skip


def test_months_come_last_first_and_are_cut_at_the_ends() -> None:
    start, stop = stamp("2024-01-20"), stamp("2024-03-02")

    months = list(months_backwards(start, stop))

    assert months == [
        (stamp("2024-03-01"), stop),
        (stamp("2024-02-01"), stamp("2024-03-01")),
        (start, stamp("2024-02-01")),
    ]
    assert list(months_backwards(stop, start)) == []
