"""Corporate actions: adjusted views by hand, and who bore a ticker when."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.data.actions import (
    ActionKind,
    Delisting,
    Dividend,
    Fact,
    Nothing,
    Split,
    Stretch,
    TickerChange,
    What,
    factors,
    from_document,
    in_force,
    kind_of,
    lives,
    to_document,
)
from engine.data.lake.lake import Lake
from engine.data.lake.problems import ProblemKind
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import Adjustment, Panel
from engine.domain.time import Calendar, Timeframe
from tests.lakes import DAY, START, bars

EARLY, LATER = 10**18, 2 * 10**18


def key(ticker: str) -> SeriesKey:
    return SeriesKey(venue="file:us", kind=SeriesKind.BARS, instrument=ticker, timeframe=Timeframe.DAY_1)


def fact(ticker: str, day: int, what: What, *, known_at: int = EARLY) -> Fact:
    return Fact(
        venue="file:us",
        ticker=ticker,
        kind=kind_of(what),
        effective_at=START + day * DAY,
        what=what,
        known_at=known_at,
        source="test",
        run="run-1",
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def append(lake: Lake, ticker: str, closes: dict[int, float]) -> None:
    lake.append(key(ticker), bars(closes, step=DAY), known_at=EARLY, source="test", run="run-1")


def panel_of(
    lake: Lake, *tickers: str, adjustment: Adjustment = Adjustment.NONE, as_of: int | None = None
) -> Panel:
    lake.freeze(
        "mine",
        [key(ticker) for ticker in tickers],
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.ALWAYS,
        adjustment=adjustment,
        as_of=as_of,
    )
    return lake.load_panel("mine")


def closes_of(panel: Panel, symbol: str) -> dict[int, float]:
    column = panel.symbols.index(symbol)
    return {
        (int(stamp) - START) // DAY: float(close)
        for stamp, close in zip(panel.timestamps, panel.close[:, column], strict=True)
        if np.isfinite(close)
    }


# --- adjusted views ----------------------------------------------------------------------------------------


def test_a_split_divides_what_was_before_it_and_multiplies_the_volume(lake: Lake) -> None:
    append(lake, "AAPL", {0: 400.0, 1: 404.0, 2: 101.0, 3: 102.0})
    lake.record_action(fact("AAPL", 2, Split(new_units=4, old_units=1)))

    panel = panel_of(lake, "AAPL", adjustment=Adjustment.SPLIT)

    assert closes_of(panel, "AAPL") == {0: 100.0, 1: 101.0, 2: 101.0, 3: 102.0}
    # Bars of these tests have a volume of 10 and a high of 1 above the close.
    assert panel.volume[:, 0].tolist() == [40.0, 40.0, 10.0, 10.0]
    assert panel.high[0, 0] == 401.0 / 4
    assert panel.adjustment is Adjustment.SPLIT


def test_raw_prices_stay_raw(lake: Lake) -> None:
    append(lake, "AAPL", {0: 400.0, 1: 404.0, 2: 101.0})
    lake.record_action(fact("AAPL", 2, Split(new_units=4, old_units=1)))

    assert closes_of(panel_of(lake, "AAPL"), "AAPL") == {0: 400.0, 1: 404.0, 2: 101.0}


def test_total_return_is_that_of_who_buys_more_with_the_dividend(lake: Lake) -> None:
    # 100 -> 98 with a dividend of 3 on that day: a holder has 98 * 100 / 97 of what he had, 1.0103 times.
    append(lake, "KO", {0: 100.0, 1: 98.0, 2: 49.5})
    lake.record_action(fact("KO", 1, Dividend(amount_e8=3 * 10**8)))
    lake.record_action(fact("KO", 2, Split(new_units=2, old_units=1)))

    total = closes_of(panel_of(lake, "KO", adjustment=Adjustment.TOTAL_RETURN), "KO")
    split = closes_of(panel_of(lake, "KO", adjustment=Adjustment.SPLIT), "KO")

    assert_allclose(total[1] / total[0], 98 / 97)
    assert_allclose(total[2] / total[1], 49.5 * 2 / 98)
    assert_allclose(split[1] / split[0], 98 / 100)


def test_what_comes_after_the_last_bar_has_not_happened() -> None:
    stamps = START + DAY * np.arange(3)
    later = fact("KO", 5, Split(new_units=2, old_units=1))

    assert factors(stamps, np.ones(3), [later], Adjustment.SPLIT).tolist() == [1.0, 1.0, 1.0]


def test_a_dividend_of_more_than_the_price_is_refused() -> None:
    stamps = START + DAY * np.arange(3)
    wrong = fact("KO", 1, Dividend(amount_e8=2 * 10**8))

    with pytest.raises(
        InputError, match="KO: a dividend of 2 at 2024-02-01 is not less than the close before"
    ):
        factors(stamps, np.ones(3), [wrong], Adjustment.TOTAL_RETURN)


def test_rows_before_a_moment_are_those_of_the_whole(lake: Lake) -> None:
    """A dividend in the sealed rows scales those before them too."""
    append(lake, "KO", {number: 100.0 + number for number in range(10)})
    lake.record_action(fact("KO", 8, Dividend(amount_e8=5 * 10**8)))
    whole = panel_of(lake, "KO", adjustment=Adjustment.TOTAL_RETURN)

    part = lake.load_panel("mine", stop=START + 6 * DAY)

    assert part.close.tobytes() == whole.close[:6].tobytes()
    assert part.close.base is None or part.close.base.shape == (6, 1)


# --- what is known when ------------------------------------------------------------------------------------


def test_the_same_fact_again_is_no_news(lake: Lake) -> None:
    assert lake.record_action(fact("AAPL", 2, Split(new_units=4, old_units=1)))
    assert not lake.record_action(fact("AAPL", 2, Split(new_units=4, old_units=1), known_at=LATER))

    assert len(lake.venue_actions("file:us")) == 1
    assert lake.verify() == []


def test_a_fact_that_was_corrected_or_taken_back_counts_as_of_then(lake: Lake) -> None:
    append(lake, "KO", {0: 100.0, 1: 50.0, 2: 51.0})
    first = fact("KO", 1, Split(new_units=3, old_units=1))
    lake.record_action(first)
    panel_of(lake, "KO", adjustment=Adjustment.SPLIT)
    lake.record_action(fact("KO", 1, Split(new_units=2, old_units=1), known_at=LATER))
    corrected = panel_of(lake, "KO", adjustment=Adjustment.SPLIT)
    lake.record_action(replace(first, what=Nothing(), known_at=LATER + 1))

    assert closes_of(lake.load_panel("mine", version=1), "KO")[0] == pytest.approx(100 / 3)
    assert closes_of(corrected, "KO")[0] == 50.0
    assert closes_of(lake.load_panel("mine", version=2, as_of=LATER - 1), "KO")[0] == pytest.approx(100 / 3)
    assert lake.actions("file:us", "KO") == []
    assert [each.what for each in lake.actions("file:us", "KO", as_of=LATER)] == [
        Split(new_units=2, old_units=1)
    ]
    assert lake.verify() == []


def test_facts_come_back_from_their_documents() -> None:
    told: list[What] = [
        Split(new_units=3, old_units=2),
        Dividend(amount_e8=1),
        TickerChange(to="META"),
        Delisting(haircut=0.0),
    ]
    for what in told:
        one = fact("FB", 1, what)
        assert from_document(to_document(one)) == one
    taken_back = replace(fact("FB", 1, told[0]), what=Nothing())
    assert from_document(to_document(taken_back)) == taken_back


def test_a_fact_that_was_edited_or_is_gone_is_found(lake: Lake) -> None:
    for day in (1, 2, 3):
        lake.record_action(fact("KO", day, Dividend(amount_e8=day)))
    paths = sorted((lake.root / "actions").rglob("*.json"))
    paths[2].write_text(paths[2].read_text().replace('"amount_e8": 3', '"amount_e8": 9'))

    assert [problem.kind for problem in lake.verify()] == [ProblemKind.DAMAGED]
    with pytest.raises(InputError, match="does not have the hash of its name"):
        lake.actions("file:us", "KO")
    paths[1].unlink()
    assert "one is gone" in str(lake.verify()[0])


def test_a_kind_and_what_it_says_agree() -> None:
    with pytest.raises(InvalidValueError, match="a split cannot be"):
        replace(fact("KO", 1, Dividend(amount_e8=1)), kind=ActionKind.SPLIT)


# --- tickers -----------------------------------------------------------------------------------------------


def test_an_instrument_keeps_its_history_under_another_ticker(lake: Lake) -> None:
    append(lake, "FB", {0: 10.0, 1: 11.0})
    append(lake, "META", {2: 12.0, 3: 13.0})
    lake.record_action(fact("FB", 2, TickerChange(to="META")))

    panel = panel_of(lake, "META")

    assert panel.symbols == ("META",)
    assert closes_of(panel, "META") == {0: 10.0, 1: 11.0, 2: 12.0, 3: 13.0}
    # Asked for by its old name it is the same instrument.
    assert panel_of(lake, "FB").content_hash == panel.content_hash


def test_a_ticker_that_somebody_else_bore_before_is_another_instrument(lake: Lake) -> None:
    append(lake, "FB", {0: 10.0, 1: 11.0, 2: 12.0})
    append(lake, "META", {0: 500.0, 1: 501.0, 3: 13.0})
    lake.record_action(fact("META", 2, Delisting(haircut=0.0)))
    lake.record_action(fact("FB", 3, TickerChange(to="META")))

    panel = panel_of(lake, "META")

    assert panel.symbols == ("META", "META~2024-02-02")
    assert closes_of(panel, "META") == {0: 10.0, 1: 11.0, 2: 12.0, 3: 13.0}
    assert closes_of(panel, "META~2024-02-02") == {0: 500.0, 1: 501.0}


def test_what_was_delisted_stays_and_says_when(lake: Lake) -> None:
    append(lake, "LEH", {0: 10.0, 1: 2.0})
    append(lake, "KO", {0: 50.0, 1: 51.0, 2: 52.0})
    lake.record_action(fact("LEH", 2, Delisting(haircut=1.0)))

    panel = panel_of(lake, "LEH", "KO")

    (lehman,) = (each for each in panel.instruments if each.symbol.startswith("LEH"))
    assert (lehman.delisted_at, lehman.delisting_haircut) == (START + DAY, 1.0)
    assert [each.delisted_at for each in panel.instruments if each.symbol == "KO"] == [None]


def test_a_delisting_is_not_known_before_it_is_told(lake: Lake) -> None:
    append(lake, "LEH", {0: 10.0, 1: 2.0})
    append(lake, "KO", {0: 50.0, 1: 51.0, 2: 52.0})
    lake.record_action(fact("LEH", 2, Delisting(haircut=1.0), known_at=LATER))

    panel = panel_of(lake, "LEH", "KO", as_of=LATER - 1)

    assert panel.symbols == ("KO", "LEH")
    assert panel.instruments[1].delisted_at is None


def test_revisions_of_a_shared_ticker_go_to_who_bore_it_then(lake: Lake) -> None:
    append(lake, "META", {0: 500.0, 3: 13.0})
    append(lake, "KO", {0: 50.0, 3: 53.0})
    lake.record_action(fact("META", 2, Delisting()))
    lake.append(key("META"), bars({0: 499.0}, step=DAY), known_at=LATER, source="test", run="run-1")

    panel = panel_of(lake, "META", "KO")

    assert closes_of(panel, "META") == {3: 13.0}
    assert closes_of(panel, "META~2024-02-02") == {0: 499.0}


def test_changes_that_contradict_each_other_are_refused() -> None:
    told = [
        fact("A", 2, TickerChange(to="C")),
        fact("B", 2, TickerChange(to="C")),
    ]

    with pytest.raises(InputError, match="A and B at 2024-02-02 contradict each other"):
        lives(["C"], in_force(told))


def test_a_chain_of_changes_is_one_life() -> None:
    told = [fact("A", 2, TickerChange(to="B")), fact("B", 5, TickerChange(to="C"))]

    (life,) = (each for each in lives(["C"], in_force(told)) if each.symbol == "C")

    two, five = START + 2 * DAY, START + 5 * DAY
    assert life.stretches == (
        Stretch(ticker="A", start=None, stop=two),
        Stretch(ticker="B", start=two, stop=five),
        Stretch(ticker="C", start=five, stop=None),
    )
