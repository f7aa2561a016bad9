"""The seal follows the series: no other name, version or cut of the same bars opens what was sealed."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.data import catalogue, holdout
from engine.data.holdout import Request
from engine.data.lake.lake import Lake
from engine.data.lake.versions import DataSetVersion
from engine.data.series import SeriesKey
from engine.domain.errors import InputError, RefusedError
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, ETH, HOUR, START, bars

EARLY, LATER = 10**18, 2 * 10**18

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def lake(home: Path) -> Lake:
    """One with 100 hours of two series."""
    made = Lake(home / "state" / "lake")
    for key in (BTC, ETH):
        append(made, key, 0, 100)
    return made


def append(lake: Lake, key: SeriesKey, first: int, stop: int, known_at: int = EARLY) -> None:
    values = {number: 100.0 + number for number in range(first, stop)}
    lake.append(key, bars(values), known_at=known_at, source="test", run="run-1")


def freeze(
    lake: Lake, name: str, *keys: SeriesKey, start: int | None = None, stop: int | None = None
) -> DataSetVersion:
    """Freeze bars of some hours after START."""
    return lake.freeze(
        name,
        keys,
        timeframe=Timeframe.HOUR_1,
        calendar=Calendar.ALWAYS,
        start=None if start is None else START + start * HOUR,
        stop=None if stop is None else START + stop * HOUR,
    )


def last_open_hour(name: str) -> int:
    return (int(catalogue.load(name).timestamps[-1]) - START) // HOUR


def asking(strategy: str = "a-1") -> Request:
    return Request(strategy_id=strategy, operator="anna", reason="to see", identity_hash=strategy * 20)


def test_a_longer_history_under_another_name_opens_nothing(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    append(lake, BTC, 100, 200, LATER)

    other = freeze(lake, "other", BTC)

    assert last_open_hour("mine") == 79
    # Of 200 bars alone the last 40 would be sealed, and the first 160 open.
    assert last_open_hour("other") == 79
    assert other.manifest.holdout_rows == 120


def test_the_next_version_opens_nothing(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    append(lake, BTC, 100, 200, LATER)
    freeze(lake, "mine", BTC)

    assert last_open_hour("mine@2") == last_open_hour("mine@1") == 79


def test_other_instruments_beside_a_sealed_one_are_sealed_with_it(lake: Lake) -> None:
    freeze(lake, "mine", BTC, stop=50)
    freeze(lake, "both", BTC, ETH)

    assert last_open_hour("both") == 39


def test_a_market_is_a_series_like_any_other(lake: Lake) -> None:
    freeze(lake, "mine", BTC, stop=50)

    lake.freeze("alts", [ETH], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS, market=BTC)

    assert last_open_hour("alts") == 39


def test_a_cut_that_holds_sealed_bars_alone_is_refused(lake: Lake) -> None:
    freeze(lake, "mine", BTC)

    with pytest.raises(InputError, match=r"mine@1 seals kraken BTC/USD 1h bars from 2024-02-04 06:00 UTC on"):
        freeze(lake, "end", BTC, start=85)
    assert lake.data_sets() == ("mine",)


def test_a_cut_over_the_seal_ends_where_it_begins(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    freeze(lake, "cut", BTC, start=50)

    # Of its 50 bars alone the last 10 would be sealed.
    assert last_open_hour("cut") == 79


def test_a_cut_before_the_seal_seals_its_own_end_and_nobody_elses(lake: Lake) -> None:
    """What research could read already is no secret: else one short study would close years of bars."""
    freeze(lake, "mine", BTC)
    freeze(lake, "cut", BTC, stop=50)
    append(lake, BTC, 100, 101, LATER)
    freeze(lake, "mine", BTC)

    assert last_open_hour("cut") == 39
    assert last_open_hour("mine@2") == 79


def test_bars_after_a_sealed_stretch_are_a_history_of_their_own(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    append(lake, BTC, 100, 200, LATER)

    freeze(lake, "since", BTC, start=100)
    freeze(lake, "whole", BTC)

    assert last_open_hour("since") == 179
    # And they do not open what was sealed before them.
    assert last_open_hour("whole") == 79


def test_another_series_is_not_touched(lake: Lake) -> None:
    freeze(lake, "mine", BTC, stop=50)
    freeze(lake, "alts", ETH)

    assert last_open_hour("alts") == 79


def test_a_series_that_ends_before_the_seal_of_its_data_set_was_open_to_its_end(lake: Lake) -> None:
    """A longer one beside it does not make bars open that were not there."""
    short = replace(ETH, instrument="SOL/USD")
    append(lake, short, 0, 30)
    freeze(lake, "both", BTC, short)
    append(lake, short, 30, 60, LATER)
    freeze(lake, "short", short)
    append(lake, short, 60, 100, LATER)
    freeze(lake, "longer", short)

    # Of 60 bars 12 are sealed; "both" was open up to 79, but had none of them.
    assert last_open_hour("short") == 47
    assert last_open_hour("longer") == 47


def test_a_sealed_bar_that_was_withdrawn_seals_nothing(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    lake.withdraw(BTC, [START + 80 * HOUR], reason="test", known_at=LATER, run="run-2")

    assert freeze(lake, "few", BTC, start=77, stop=81).manifest.holdout_rows == 0
    assert last_open_hour("few") == 79


def test_the_seal_is_kept_in_the_file_of_the_version(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    append(lake, BTC, 100, 200, LATER)
    frozen = freeze(lake, "other", BTC)

    again = Lake(lake.root).version("other")

    assert again == frozen
    assert again.sealed_from == START + 80 * HOUR
    assert lake.verify() == []


# --- openings ----------------------------------------------------------------------------------------------


def test_an_opening_counts_for_every_name_of_the_same_bars(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    freeze(lake, "both", BTC, ETH)
    freeze(lake, "alts", ETH)

    holdout.open_holdout("mine", asking(), clock=lambda: 1)

    assert [holdout.openings(name) for name in ("mine", "both", "alts")] == [1, 1, 0]
    assert [opening.data for opening in holdout.openings_of("both")] == ["mine"]


def test_a_candidate_that_was_seen_is_not_unseen_under_another_name(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    freeze(lake, "both", BTC, ETH)
    holdout.open_holdout("mine", asking(), clock=lambda: 1)

    with pytest.raises(RefusedError, match="the hold-out of mine was opened for a-1"):
        holdout.open_holdout("both", asking(), clock=lambda: 2)
    assert len(holdout.open_holdout("both", asking("b-2"), clock=lambda: 3)) == 100


def test_an_opening_of_another_stretch_does_not_count(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    freeze(lake, "cut", BTC, stop=50)

    holdout.open_holdout("cut", asking(), clock=lambda: 1)

    assert holdout.openings("mine") == 0


def release(name: str = "mine") -> holdout.Released:
    return holdout.release(name, operator="anna", reason="a year went by", clock=lambda: 5)


def test_a_release_lets_a_set_that_grew_be_sealed_at_its_own_end_and_is_on_record(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    append(lake, BTC, 100, 200, LATER)
    freeze(lake, "mine", BTC)

    released = release()

    assert (released.version.version, released.rows) == (3, 80)
    assert last_open_hour("mine@2") == 79
    assert last_open_hour("mine") == last_open_hour("mine@3") == 159
    [opening] = holdout.openings_of("mine")
    assert (opening.sealed_rows, opening.request.operator, opening.request.is_candidate) == (
        80,
        "anna",
        False,
    )
    # Nobody saw what is sealed still: a candidate has its one look at it.
    holdout.open_holdout("mine", asking())
    with pytest.raises(RefusedError):
        holdout.open_holdout("mine@3", asking())


def test_what_grows_after_a_release_is_sealed_from_there_on(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    append(lake, BTC, 100, 200, LATER)
    freeze(lake, "mine", BTC)
    release()

    assert freeze(lake, "mine", BTC).version == 3
    append(lake, BTC, 200, 300, LATER)
    freeze(lake, "mine", BTC)
    freeze(lake, "other", BTC)

    assert last_open_hour("mine@4") == last_open_hour("other") == 159
    # Of the bars that are sealed in them, none were released.
    assert holdout.openings("other") == 0


def test_a_release_does_not_bury_what_was_frozen_meanwhile(lake: Lake) -> None:
    freeze(lake, "mine", BTC)
    append(lake, BTC, 100, 200, LATER)
    moved = lake.with_seal_moved(freeze(lake, "mine", BTC))
    append(lake, BTC, 200, 300, LATER)
    freeze(lake, "mine", BTC)

    with pytest.raises(InputError, match="version 3 was frozen meanwhile"):
        lake.write(moved)

    assert lake.versions("mine") == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "words"),
    [("mine", "nothing to release before it has grown"), ("mine@1", "mine@2 is newer"), ("us5", "none of")],
)
def test_what_cannot_be_released_is_said_and_is_no_opening(lake: Lake, name: str, words: str) -> None:
    freeze(lake, "mine", BTC, stop=50)
    freeze(lake, "mine", BTC, stop=50)
    freeze(lake, "mine", BTC, start=20, stop=40)
    before = holdout.openings("mine")

    with pytest.raises(InputError, match=words):
        release(name)

    assert holdout.openings("mine") == before == 0
