"""One instrument after the other gives the bars that all of them together have."""

from pathlib import Path

import numpy as np
import pytest

from engine.data.actions import Dividend, Fact, What, kind_of
from engine.data.lake import datasets, panels
from engine.data.lake.lake import Lake
from engine.data.quality import each_of_panel
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, Panel
from engine.domain.time import Calendar, Timeframe
from tests.lakes import DAY, START, bars

KNOWN_AT = 2 * 10**18
CLOSES = {
    "ALL": {day: 100.0 + day for day in range(40)},
    "GAPS": {day: 50.0 + day for day in range(40) if day not in (3, 4, 17)},
    "LATE": {day: 70.0 + day for day in range(20, 40)},
    "ENDS": {day: 90.0 + day for day in range(25)},
}


def key(ticker: str) -> SeriesKey:
    return SeriesKey(venue="file:us", kind=SeriesKind.BARS, instrument=ticker, timeframe=Timeframe.DAY_1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for ticker, closes in CLOSES.items():
        lake.append(key(ticker), bars(closes, step=DAY), known_at=KNOWN_AT, source="test", run="one")
    # A revision, which is read by another way than rows are.
    lake.append(key("GAPS"), bars({10: 61.5}, step=DAY), known_at=KNOWN_AT, source="test", run="two")
    return lake


def freeze(lake: Lake, adjustment: Adjustment = Adjustment.NONE) -> None:
    lake.freeze(
        "mine",
        [key(ticker) for ticker in CLOSES],
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.ALWAYS,
        market=key("ALL"),
        adjustment=adjustment,
    )


def traded(panel: Panel) -> dict[str, dict[str, list[float]]]:
    """Return stamps and values by symbol, of the rows in which each traded, if it did."""
    names = ("stamps", "open", "high", "low", "close", "volume")
    return {
        each.symbol: {name: getattr(each, name).tolist() for name in names}
        for each in each_of_panel(panel)
        if len(each.stamps)
    }


@pytest.mark.parametrize("stop", [None, START + 30 * DAY, START + 15 * DAY])
@pytest.mark.parametrize("adjustment", [Adjustment.NONE, Adjustment.TOTAL_RETURN])
def test_the_bars_of_each_are_those_of_all(lake: Lake, stop: int | None, adjustment: Adjustment) -> None:
    # ENDS is over by then, and the panel is not.
    what: What = Dividend(amount_e8=3 * 10**8)
    for day in (12, 27):
        lake.record_action(
            Fact(
                venue="file:us",
                ticker="ENDS",
                kind=kind_of(what),
                effective_at=START + day * DAY,
                what=what,
                known_at=KNOWN_AT,
                source="test",
                run="one",
            )
        )
    freeze(lake, adjustment)
    frozen = lake.version("mine")

    found: dict[str, dict[str, list[float]]] = {}
    for panel in datasets.each(lake.root, frozen, stop=stop):
        assert len(panel.instruments) == 1
        found |= traded(panel)

    assert found == traded(lake.load_panel("mine", stop=stop))
    assert ("LATE" in found) == (stop is None or stop > START + 20 * DAY)


def test_memory_holds_the_bars_of_one(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    freeze(lake)
    built: list[tuple[int, bool]] = []
    build = panels.build

    def counted(root: Path, source: panels.Source) -> Panel:
        built.append((len(source.columns), source.market is None))
        return build(root, source)

    monkeypatch.setattr(panels, "build", counted)

    symbols = [panel.symbols for panel in datasets.each(lake.root, lake.version("mine"))]

    assert symbols == [("ALL",), ("ENDS",), ("GAPS",), ("LATE",)]
    assert built == [(1, True)] * 4


def test_a_file_that_is_not_what_was_frozen_is_refused(lake: Lake) -> None:
    freeze(lake)
    frozen = lake.version("mine")
    path = lake.root / frozen.files[-1].place
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 3] ^= 1
    path.write_bytes(payload)

    with pytest.raises(InputError, match="is damaged: its bytes have the hash"):
        list(datasets.each(lake.root, frozen))


def test_bars_that_always_traded_are_not_copied(lake: Lake) -> None:
    freeze(lake)

    for panel in datasets.each(lake.root, lake.version("mine")):
        (found,) = each_of_panel(panel)
        assert found.high is not None
        assert np.shares_memory(found.high, panel.high)
        assert found.rows.tolist() == list(range(1, len(panel) + 1))
