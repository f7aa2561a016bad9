"""Bars that should never have been: withdrawn they are gone from now on, and nothing is forgotten."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cli import data_corrections, data_withdraw
from engine.data import catalogue
from engine.data.ingestion.sync import SyncRequest, sync
from engine.data.lake.lake import Lake
from engine.data.series import SeriesKey
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from tests.ingestions import Heard, World
from tests.lakes import BTC, ETH, HOUR, START, bars, closes
from tests.sandboxes import NOON, sandbox, simulated_market

WHOLE = {0: 10.0, 1: 11.0, 2: 12.0, 3: 13.0}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.append(BTC, bars(WHOLE), known_at=START, source="import", run="run-1")
    return lake


def withdraw(lake: Lake, *numbers: int, known_at: int = START + 10, of: SeriesKey = BTC) -> tuple[int, int]:
    stamps = [START + number * HOUR for number in numbers]
    found = lake.withdraw(of, stamps, reason="a future bar", known_at=known_at, run="run-2")
    return found.corrected, found.same


def test_a_bar_that_was_withdrawn_is_gone_and_was_there_before(lake: Lake) -> None:
    assert withdraw(lake, 1, 3) == (2, 0)
    assert withdraw(lake, 1) == (0, 1)

    assert closes(lake.read(BTC)) == {0: 10.0, 2: 12.0}
    assert closes(lake.read(BTC, as_of=START + 9)) == WHOLE
    lines = [(line.kind.value, line.field, line.old, line.source) for line in lake.corrections(BTC)]
    assert lines == [
        ("withdrawn", "close", 11.0, "a future bar"),
        ("withdrawn", "close", 13.0, "a future bar"),
    ]
    assert lake.verify() == []


def test_the_ends_are_those_of_what_is_left(lake: Lake) -> None:
    assert lake.ends(BTC) == (START, START + 3 * HOUR)
    withdraw(lake, 3)
    assert (lake.watermark(BTC), lake.ends(BTC)) == (START + 2 * HOUR, (START, START + 2 * HOUR))
    withdraw(lake, 2, 0)
    assert lake.ends(BTC) == (START + HOUR, START + HOUR)
    withdraw(lake, 1)
    assert lake.ends(BTC) is None
    assert lake.watermark(BTC) is None
    assert len(lake.read(BTC)) == 0


def test_a_bar_that_is_told_again_is_there_again(lake: Lake) -> None:
    withdraw(lake, 3)

    found = lake.append(BTC, bars({3: 14.0, 4: 15.0}), known_at=START + 20, source="kraken", run="run-3")

    assert (found.corrected, found.new, found.late) == (1, 1, 0)
    assert closes(lake.read(BTC)) == WHOLE | {3: 14.0, 4: 15.0}
    assert closes(lake.read(BTC, as_of=START + 15)) == {0: 10.0, 1: 11.0, 2: 12.0}
    assert lake.verify() == []


def test_a_data_set_frozen_before_keeps_it_and_the_next_version_does_not(lake: Lake) -> None:
    lake.append(ETH, bars({0: 20.0, 1: 21.0, 2: 22.0}), known_at=START, source="import", run="run-1")

    def freeze(*keys: SeriesKey) -> None:
        lake.freeze("mine", keys, timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)

    freeze(BTC, ETH)
    before = lake.load_panel("mine")
    # One that the other one has too, and one that nobody else has.
    withdraw(lake, 1, 3)
    freeze(BTC, ETH)

    panel = lake.load_panel("mine")
    assert ((panel.timestamps - START) // HOUR).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(panel.close[:, 0], [10.0, np.nan, 12.0])
    np.testing.assert_array_equal(panel.volume[:, 0], [10.0, np.nan, 10.0])
    assert panel.close[:, 1].tolist() == [20.0, 21.0, 22.0]
    assert lake.load_panel("mine", version=1).content_hash == before.content_hash
    assert len(before) == 4


def test_the_catalogue_does_not_tell_of_it(lake: Lake) -> None:
    withdraw(lake, 1)
    with lake.connect() as connection:
        assert connection.execute("SELECT count(*), sum(close) FROM bars").fetchall() == [(3, 35.0)]


def test_a_future_bar_that_an_import_took_in_does_not_hold_up_a_sync_any_more(tmp_path: Path) -> None:
    world, lake = World(), Lake(tmp_path / "lake")
    of = replace(BTC, venue="kraken@sandbox")
    back = (START - NOON) // HOUR
    ahead = -back + 500
    lake.append(of, bars({-back - 30: 1e5, ahead: 1e5}), known_at=NOON, source="import", run="run-1")
    withdraw(lake, ahead, known_at=NOON, of=of)

    with sandbox(simulated_market(pairs=1)) as running:
        request = SyncRequest(provider="kraken", is_sandbox=True)
        summary = sync(request, lake=lake, access=world.access(running.url), listener=Heard())

    assert summary.failed == ()
    assert lake.ends(of) == (START + (-back - 30) * HOUR, NOON - NOON % HOUR - HOUR)
    assert len(lake.read(of)) == 29


@pytest.mark.parametrize(
    ("numbers", "reason", "words"),
    [
        ([9], "junk", "has no row at 2024-02-01T07:00:00"),
        ([], "junk", "say which bars"),
        ([1], " ", "what reason"),
    ],
)
def test_what_cannot_be_withdrawn_is_one_error(
    lake: Lake, numbers: list[int], reason: str, words: str
) -> None:
    stamps = [START + number * HOUR for number in numbers]
    with pytest.raises(InputError, match=words):
        lake.withdraw(BTC, stamps, reason=reason, known_at=START, run="run-2")
    assert closes(lake.read(BTC)) == WHOLE


def test_the_command_takes_a_bar_out_and_the_corrections_list_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAUNTLET_HOME", str(tmp_path))
    catalogue.lake().append(BTC, bars(WHOLE), known_at=START, source="import", run="run-1")
    series = ["--venue", "kraken", "--instrument", "BTC/USD"]
    options = [*series, "--timeframe", "1h", "--reason", "doubled"]

    said = CliRunner().invoke(data_withdraw.app, [*options, "--at", "2024-01-31T23:00", "--json"])
    assert json.loads(said.stdout) == {"series": str(BTC), "withdrawn": 1, "known_already": 0}
    listed = CliRunner().invoke(data_corrections.app, [*series, "--json"])
    (line,) = json.loads(listed.stdout)["corrections"]
    assert (line["kind"], line["old"], line["new"]) == ("withdrawn", 11.0, None)
    assert line["source"] == "doubled"
    assert "1 of them" in CliRunner().invoke(data_withdraw.app, [*options, "--at", "2024-01-31T23:00"]).stdout
    wrong = CliRunner().invoke(data_withdraw.app, [*options, "--venue", "krakn", "--at", "2024-01-31T23:00"])
    assert "the lake has no krakn" in str(wrong.exception)
