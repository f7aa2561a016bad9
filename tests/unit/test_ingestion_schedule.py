"""When the lake is looked after, on a clock of the test."""

import numpy as np
import pytest

from engine.data.ingestion.schedule import Depth, Schedule, keep
from engine.domain.errors import InvalidValueError

SECOND = 10**9
MINUTE = 60 * SECOND


def at(text: str) -> int:
    return int(np.datetime64(f"2025-06-{text}", "ns").astype(np.int64))


HALF_HOURLY = Schedule(every=30 * MINUTE, delay=31 * SECOND)


class Days:
    """A clock that sleeping moves on."""

    def __init__(self, now: int, until: int) -> None:
        self.now, self.until = now, until
        self.acts: list[tuple[str, Depth]] = []
        self.takes: dict[int, int] = {}

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def act(self, depth: Depth) -> None:
        self.acts.append((str(np.datetime64(self.now, "ns"))[8:19], depth))
        self.now += self.takes.get(len(self.acts), 0)

    def keep(self, schedule: Schedule) -> list[tuple[str, Depth]]:
        keep(
            schedule,
            self.act,
            now=lambda: self.now,
            sleep=self.sleep,
            stopped=lambda: self.now >= self.until,
        )
        return self.acts


def test_it_acts_at_once_and_then_on_the_half_hours_when_their_bars_are_final() -> None:
    acts = Days(at("18T12:10"), at("18T13:10")).keep(HALF_HOURLY)

    assert acts == [
        ("18T12:10:00", Depth.RECENT),
        ("18T12:30:31", Depth.RECENT),
        ("18T13:00:31", Depth.RECENT),
    ]


def test_once_a_night_it_looks_at_everything() -> None:
    acts = Days(at("18T02:45"), at("20T04:00")).keep(Schedule(every=60 * MINUTE, delay=31 * SECOND))

    assert [moment for moment, depth in acts if depth is Depth.FULL] == [
        "18T03:00:31",
        "19T03:00:31",
        "20T03:00:31",
    ]


def test_what_was_missed_is_made_up_for_by_one_act_and_a_night_is_never_left_out() -> None:
    days = Days(at("18T02:40"), at("18T06:40"))
    # The first one takes three hours and a half, over the night's.
    days.takes = {1: 210 * MINUTE}

    assert days.keep(HALF_HOURLY) == [
        ("18T02:40:00", Depth.RECENT),
        ("18T06:10:00", Depth.FULL),
        ("18T06:30:31", Depth.RECENT),
    ]


@pytest.mark.parametrize("every", [59 * SECOND, 7 * MINUTE, 25 * 60 * MINUTE, 0, -MINUTE])
def test_a_pace_that_does_not_divide_a_day_is_refused(every: int) -> None:
    with pytest.raises(InvalidValueError, match="every must be from a minute to a day"):
        Schedule(every=every)
