"""A data set that is never laid out as a whole is frozen as if it had been."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.actions import Fact, Nothing, Split, What, kind_of
from engine.data.lake import bulk, panels
from engine.data.lake.lake import Lake
from engine.data.lake.versions import DataSetVersion
from engine.data.market_rules import MarketRules
from engine.data.series import BarSeries, SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.panel import Panel
from engine.domain.time import Calendar, Timeframe
from tests.lakes import HOUR, START, bars

HOURS = 24 * 70
KNOWN_AT = 2 * 10**18
WALK = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(size=HOURS) * 0.003))
WHOLE = bars(dict(enumerate(WALK.tolist())))


def rows(cut: slice) -> BarSeries:
    return WHOLE.rows(cut.start or 0, HOURS if cut.stop is None else cut.stop)


def without_range(series: BarSeries) -> BarSeries:
    unknown = np.full(len(series), np.nan)
    return replace(series, open=unknown, high=unknown, low=unknown)


LATE, ENDS = rows(slice(900, None)), rows(slice(None, 1000))
MANY: Mapping[str, list[BarSeries]] = {
    "ALL/USD": [WHOLE],
    "ENDS/USD": [ENDS],
    "GAP/USD": [rows(slice(340, None)), rows(slice(None, 300))],
    "LATE/USD": [LATE],
    "REVISED/USD": [WHOLE, bars({10: 61.5, 1600: 70.0})],
}


def key(ticker: str) -> SeriesKey:
    return SeriesKey(venue="file:mine", kind=SeriesKind.BARS, instrument=ticker, timeframe=Timeframe.HOUR_1)


def freeze(root: Path, series: Mapping[str, list[BarSeries]], calendar: Calendar) -> DataSetVersion:
    lake = Lake(root)
    for ticker, given in series.items():
        for number, each in enumerate(given):
            lake.append(key(ticker), each, known_at=KNOWN_AT, source="test", run=f"run-{number}")
        # All of them have a bar about that hour.
        gone = int(given[0].stamps[np.searchsorted(given[0].stamps, START + 950 * HOUR)])
        lake.withdraw(key(ticker), [gone], reason="never traded", known_at=KNOWN_AT, run="run-9")
        # Every list of markets tells it, so every pulled set has such facts.
        lake.record_action(told(ticker, MarketRules(tick_size="0.01", lot_size="0.001")))
    return lake.freeze("mine", lake.series(), timeframe=Timeframe.HOUR_1, calendar=calendar)


def told(ticker: str, what: What) -> Fact:
    return Fact(
        venue="file:mine",
        ticker=ticker,
        kind=kind_of(what),
        effective_at=START,
        what=what,
        known_at=KNOWN_AT,
        source="test",
        run="run-0",
    )


@pytest.fixture
def in_stretches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Take every data set for a large one; the list gets the columns of each panel that is laid out."""
    laid_out: list[int] = []
    build = panels.build

    def counted(root: Path, source: panels.Source) -> Panel:
        laid_out.append(len(source.columns))
        return build(root, source)

    monkeypatch.setattr(panels, "build", counted)
    monkeypatch.setattr(bulk, "LARGE_ROWS", 0)
    monkeypatch.setattr(bulk, "_STRETCH_VALUES", 3000)
    return laid_out


@pytest.mark.parametrize(
    "series",
    [
        MANY,
        {"ALL/USD": [WHOLE]},
        {**MANY, "CLOSES/USD": [without_range(WHOLE)]},
        {"CLOSES/USD": [without_range(WHOLE)], "LATE/USD": [without_range(LATE)]},
        # Ranges for a part of the time: the set has ranges, and some months of it have none.
        {"ALL/USD": [WHOLE], "PARTLY/USD": [without_range(ENDS), rows(slice(1000, None))]},
    ],
    ids=["many", "one", "one has closes only", "closes only", "closes only for a while"],
)
def test_in_stretches_it_has_the_same_hash_scores_and_seal(
    tmp_path: Path, series: Mapping[str, list[BarSeries]], monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = freeze(tmp_path / "whole", series, Calendar.ALWAYS)
    monkeypatch.setattr(bulk, "LARGE_ROWS", 0)
    monkeypatch.setattr(bulk, "_STRETCH_VALUES", 3000)

    assert freeze(tmp_path / "stretches", series, Calendar.ALWAYS) == laid_out
    assert Lake(tmp_path / "stretches").load_panel("mine").content_hash == laid_out.content_hash


def test_no_panel_of_two_is_ever_laid_out(tmp_path: Path, in_stretches: list[int]) -> None:
    freeze(tmp_path, MANY, Calendar.ALWAYS)

    assert in_stretches == [1] * len(MANY)


def test_stretches_begin_with_months_and_are_as_long_as_memory_has_room_for(
    tmp_path: Path, in_stretches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_stretches == []
    cut: list[list[str]] = []
    grid = panels.grid

    def seen(root: Path, source: panels.Source, names: tuple[str, ...]) -> object:
        if names == ("close",):
            bounds = np.array([source.start, source.stop], dtype="datetime64[ns]")
            cut.append([str(day) for day in bounds.astype("datetime64[D]")])
        return grid(root, source, names)

    monkeypatch.setattr(panels, "grid", seen)

    freeze(tmp_path, {"ALL/USD": [WHOLE], "LATE/USD": [LATE]}, Calendar.ALWAYS)

    # 1,500 rows have room: two hours of January, 696 of February and 744 of March.
    assert cut == [["2024-01-31", "2024-03-31"], ["2024-04-01", "2024-04-10"]]


@pytest.mark.usefixtures("in_stretches")
def test_what_is_refused_as_a_whole_is_refused_in_stretches(tmp_path: Path) -> None:
    wrong = replace(WHOLE, high=WHOLE.low - 1)
    with pytest.raises(InputError, match="was not frozen, its bars have errors"):
        freeze(tmp_path / "errors", {"BAD/USD": [wrong], **MANY}, Calendar.ALWAYS)
    off = replace(WHOLE, stamps=WHOLE.stamps + HOUR // 2)
    with pytest.raises(InputError, match="is not on the grid of the first bar"):
        freeze(tmp_path / "grids", {"OFF/USD": [off], **MANY}, Calendar.ALWAYS)
    weekdays = np.isin((WHOLE.stamps // (24 * HOUR) + 3) % 7, range(5))
    closes = {number: float(WALK[number]) for number in np.flatnonzero(weekdays).tolist()}
    with pytest.raises(InputError, match="its instruments have different calendars"):
        freeze(tmp_path / "calendars", {"EUR/USD": [bars(closes)], **MANY}, Calendar.ALWAYS)


def test_what_has_corporate_actions_is_laid_out(tmp_path: Path, in_stretches: list[int]) -> None:
    Lake(tmp_path).record_action(told("ALL/USD", Split(new_units=2, old_units=1)))

    freeze(tmp_path, MANY, Calendar.ALWAYS)

    assert in_stretches == [len(MANY)]


def test_what_was_taken_back_before_it_was_told_moves_nothing(tmp_path: Path) -> None:
    rules = told("ALL/USD", MarketRules(tick_size="0.01"))
    Lake(tmp_path).record_action(replace(rules, what=Nothing()))

    assert freeze(tmp_path, {"ALL/USD": [WHOLE]}, Calendar.ALWAYS).version == 1
