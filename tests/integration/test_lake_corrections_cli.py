"""`engine data corrections` as a person or a script meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.data.lake.lake import Lake
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, ETH, HOUR, START, bars

JANUARY, FEBRUARY, MARCH = 1_704_067_200 * 10**9, 1_706_745_600 * 10**9, 1_709_251_200 * 10**9

pytestmark = pytest.mark.usefixtures("lake")


@pytest.fixture
def lake(home: Path) -> Lake:
    """One with a revised bar in the first version's future, a late one in the second's, and one sealed."""
    made = Lake(home / "state" / "lake")

    def learn(values: dict[int, float], moment: int, source: str) -> None:
        made.append(BTC, bars(values), known_at=moment, source=source, run=f"run-{moment}")
        made.freeze("mine", [BTC], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)

    learn({number: 100.0 + number for number in range(100) if number != 7}, JANUARY, "kraken OHLC")
    learn({3: 99.0, 90: 50.0}, FEBRUARY, "kraken Trades")
    learn({7: 107.0}, MARCH, "kraken OHLC")
    made.append(ETH, bars({0: 5.0}), known_at=JANUARY, source="kraken OHLC", run="run-1")
    return made


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["data", "corrections", *arguments])


def document(*arguments: str) -> dict[str, Any]:
    result = asked(*arguments, "--json")
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def told(*arguments: str) -> list[tuple[str, str, float | None, float | None]]:
    """Return the closes that were corrected: when it was learned, how, before, after."""
    return [
        (line["known_at"][:7], line["kind"], line["old"], line["new"])
        for line in document(*arguments)["corrections"]
        if line["field"] == "close" and not line["sealed"]
    ]


def test_it_says_what_it_was_what_it_is_when_and_from_whom() -> None:
    assert told("mine") == [("2024-02", "revised", 103.0, 99.0), ("2024-03", "late", None, 107.0)]

    line = document("mine")["corrections"][0]
    assert line["source"] == "kraken Trades"
    assert line["opens"] == "2024-02-01T01:00:00Z"

    screen = asked("mine").stdout
    assert (
        "2024-02-01 00:00  kraken BTC/USD 1h bars 2024-02-01 01:00 close: 103.0, 99.0, kraken Trades"
        in screen
    )
    assert "close: nothing, 107.0, kraken OHLC" in screen


def test_a_version_knows_of_what_was_learned_before_it() -> None:
    assert told("mine@1") == []
    assert told("mine@2") == [("2024-02", "revised", 103.0, 99.0)]
    assert "nothing was corrected" in asked("mine@1").stdout


def test_since_a_moment_by_venue_and_by_instrument() -> None:
    assert [each[0] for each in told("mine", "--since", "2024-02-15")] == ["2024-03"]
    assert len(told("--venue", "kraken")) == 2
    assert told("--instrument", "ETH/USD") == []
    assert document("--venue", "kraken")["series"] == ["kraken BTC/USD 1h bars", "kraken ETH/USD 1h bars"]


def test_values_of_sealed_bars_are_not_told() -> None:
    """Bar 90 of 100 is sealed: that it was revised may be known, to what may not."""
    for arguments in (("mine",), ("--venue", "kraken")):
        sealed = [line for line in document(*arguments)["corrections"] if line["sealed"]]
        assert {line["field"] for line in sealed} == {"open", "high", "low", "close"}
        assert {(line["old"], line["new"]) for line in sealed} == {(None, None)}
    assert "close: sealed" in asked("mine").stdout
    assert "50.0" not in asked("mine").stdout


def test_a_bar_that_was_withdrawn_is_nothing_now(lake: Lake) -> None:
    lake.withdraw(BTC, [START + 5 * HOUR], reason="never printed", known_at=MARCH + 1, run="run-9")

    assert told("mine", "--since", "2024-03-01")[-1] == ("2024-03", "withdrawn", 105.0, None)
    assert "close: 105.0, nothing, never printed" in asked("mine").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "State a data set, --venue or --instrument"),
        (("us5",), "data set us5: is not in the lake"),
        (("mine@9",), "has no version 9"),
        (("--venue", "krakn"), "there are: kraken BTC/USD 1h bars, kraken ETH/USD 1h bars"),
        (("mine", "--since", "soon"), "--since: must be a time like"),
    ],
)
def test_what_cannot_be_listed_is_bad_input(arguments: tuple[str, ...], message: str) -> None:
    result = asked(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
