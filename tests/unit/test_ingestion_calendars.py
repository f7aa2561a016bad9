"""Symbols with different calendars are not pulled into one data set unless somebody says so."""

from pathlib import Path

import pytest

from engine.data.ingestion import pull as pulls
from engine.data.ingestion.pull import PullRequest, calendar_of, pull
from engine.data.lake.lake import Lake
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from engine.domain.venue import CalendarPolicy
from tests.ingestions import DAY, Heard, World
from tests.sandboxes import NOON


def request(**changes: object) -> PullRequest:
    facts: dict[str, object] = {
        "name": "mixed",
        "provider": "yahoo",
        "symbols": ("AAPL", "BTC-USD", "EURUSD=X"),
        "timeframes": (Timeframe.DAY_1,),
        "start": NOON - 30 * DAY,
    }
    return PullRequest(**{**facts, **changes})  # type: ignore[arg-type]


def test_nothing_is_asked_where_calendars_differ(tmp_path: Path, home: Path) -> None:
    assert home.is_dir()
    with pytest.raises(
        InputError, match=r"AAPL XNYS, BTC-USD 24/7, EURUSD=X 24/5\); pull them apart"
    ) as refused:
        # Nobody answers at this address: a request would be another error.
        pull(request(), lake=Lake(tmp_path), access=World().access("http://127.0.0.1:9"), listener=Heard())

    assert "--calendar-policy inner_join" in str(refused.value)


def test_where_they_are_joined_each_is_expected_by_its_own_calendar(home: Path) -> None:
    assert home.is_dir()
    wanted = request(calendar_policy=CalendarPolicy.INNER_JOIN)

    assert dict(pulls._checked(wanted, NOON)) == {
        "AAPL": Calendar.XNYS,
        "BTC-USD": Calendar.ALWAYS,
        "EURUSD=X": Calendar.WEEKDAYS,
    }


def test_what_is_not_traded_has_no_calendar() -> None:
    with pytest.raises(InputError, match="FRED:DGS10 is not traded"):
        calendar_of("FRED:DGS10")
