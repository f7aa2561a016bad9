"""Data sets of the lake: frozen, numbered, sealed at their end, and read by name."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from engine.data import catalogue, holdout
from engine.data.actions import ActionKind, Delisting, Fact
from engine.data.holdout import Request
from engine.data.importer import Request as ImportRequest
from engine.data.importer import import_files
from engine.data.lake.lake import Lake
from engine.data.lake.problems import ProblemKind
from engine.data.lake.versions import DataSetVersion
from engine.data.manifest import Origin
from engine.data.series import BarSeries, SeriesKey
from engine.domain.errors import InputError, RefusedError
from engine.domain.panel import Instrument, Panel
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, ETH, HOUR, START, bars, trades

EARLY, LATER, LAST = 10**18, 2 * 10**18, 3 * 10**18


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def home_lake(home: Path) -> Lake:
    """The lake that data sets are read from by name."""
    return Lake(home / "state" / "lake")


def append(lake: Lake, key: SeriesKey, values: dict[int, float], known_at: int = EARLY) -> None:
    lake.append(key, bars(values), known_at=known_at, source="test", run="run-1")


def freeze(lake: Lake, *keys: SeriesKey, name: str = "mine", as_of: int | None = None) -> DataSetVersion:
    return lake.freeze(name, keys, timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS, as_of=as_of)


def ramp(rows: int, first: int = 0) -> dict[int, float]:
    return {number: 100.0 + number for number in range(first, first + rows)}


def test_a_panel_has_the_union_of_stamps_and_a_hole_where_one_did_not_trade(lake: Lake) -> None:
    append(lake, ETH, {0: 5.0, 2: 7.0})
    append(lake, BTC, {0: 10.0, 1: 11.0})

    freeze(lake, ETH, BTC)
    panel = lake.load_panel("mine")

    assert panel.symbols == ("BTC/USD", "ETH/USD")
    assert panel.timestamps.tolist() == [START, START + HOUR, START + 2 * HOUR]
    nan = np.nan
    assert_array_equal(panel.close, [[10.0, 5.0], [11.0, nan], [nan, 7.0]])
    assert_array_equal(panel.high, [[11.0, 6.0], [12.0, nan], [nan, 8.0]])
    assert panel.has_range
    assert panel.instruments[0] == Instrument(symbol="BTC/USD", quote="USD")
    # What a panel is, worked out by the noun itself.
    assert panel.content_hash == lake.version("mine").content_hash


def test_the_hash_depends_on_the_values_alone(tmp_path: Path) -> None:
    """One lake got all at once; the other late, revised, backwards, by bits and in another order."""
    at_once, by_bits = Lake(tmp_path / "one"), Lake(tmp_path / "two")
    for key in (BTC, ETH):
        append(at_once, key, ramp(40))
    append(by_bits, ETH, ramp(7, first=33), LATER)
    append(by_bits, BTC, {0: 1.0, 39: 139.0}, LATER)
    append(by_bits, BTC, ramp(39, first=1), LAST)
    append(by_bits, BTC, ramp(1), LAST)
    append(by_bits, ETH, ramp(40), LAST)

    assert freeze(at_once, BTC, ETH).content_hash == freeze(by_bits, ETH, BTC).content_hash


def test_a_version_keeps_its_bytes_when_corrections_arrive(lake: Lake) -> None:
    append(lake, BTC, ramp(10))
    old = freeze(lake, BTC)
    append(lake, BTC, {3: 99.0, 20: 120.0}, LATER)
    new = freeze(lake, BTC)

    assert (old.version, new.version) == (1, 2)
    assert lake.load_panel("mine", version=1).content_hash == old.content_hash
    assert lake.load_panel("mine").content_hash == new.content_hash != old.content_hash
    assert lake.load_panel("mine").close[3, 0] == 99.0
    assert lake.load_panel("mine", version=1).close[3, 0] == 103.0
    assert lake.versions("mine") == [1, 2]


def test_what_was_known_at_a_moment_is_what_was_frozen_then(lake: Lake) -> None:
    append(lake, BTC, ramp(10))
    then = freeze(lake, BTC)
    append(lake, BTC, {3: 99.0, 20: 120.0}, LATER)
    freeze(lake, BTC)

    assert lake.load_panel("mine", as_of=LATER - 1).content_hash == then.content_hash
    assert freeze(lake, BTC, as_of=LATER - 1).version == 1


def test_equal_content_becomes_no_new_version(lake: Lake) -> None:
    append(lake, BTC, ramp(10))
    first = freeze(lake, BTC)
    append(lake, BTC, ramp(10), LATER)

    assert freeze(lake, BTC) == first
    assert lake.versions("mine") == [1]


def test_values_that_went_and_came_back_unseen_are_the_newest_version_still(lake: Lake) -> None:
    append(lake, BTC, {0: 100.0, 1: 105.0})
    first = freeze(lake, BTC)
    append(lake, BTC, {0: 101.0}, LATER)
    append(lake, BTC, {0: 100.0}, LAST)

    assert freeze(lake, BTC) == first


def test_values_that_were_taken_back_are_the_newest_version_again(lake: Lake) -> None:
    """Else `mine` would go on meaning the second version."""
    for moment, close in ((EARLY, 100.0), (LATER, 101.0), (LAST, 100.0)):
        append(lake, BTC, {0: close, 1: 105.0}, moment)
        freeze(lake, BTC)

    assert lake.versions("mine") == [1, 2, 3]
    assert lake.version("mine").content_hash == lake.version("mine", 1).content_hash


def test_start_and_stop_bound_the_rows(lake: Lake) -> None:
    append(lake, BTC, ramp(40))
    append(lake, BTC, {10: 99.0, 35: 98.0}, LATER)

    frozen = lake.freeze(
        "cut",
        [BTC],
        timeframe=Timeframe.HOUR_1,
        calendar=Calendar.ALWAYS,
        start=START + 5 * HOUR,
        stop=START + 20 * HOUR,
    )

    assert frozen.manifest.rows == 15
    assert lake.load_panel("cut").close[:, 0].tolist() == [
        99.0 if number == 10 else 100.0 + number for number in range(5, 20)
    ]


def test_a_market_is_a_series_whose_level_stands_until_the_next(lake: Lake) -> None:
    append(lake, ETH, ramp(4))
    append(lake, BTC, {0: 10.0, 2: 12.0})

    lake.freeze("alts", [ETH], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS, market=BTC)

    panel = lake.load_panel("alts")
    assert panel.symbols == ("ETH/USD",)
    assert panel.fields["market"].tolist() == [10.0, 10.0, 12.0, 12.0]
    assert lake.verify() == []


def test_the_market_may_be_one_of_the_instruments(lake: Lake) -> None:
    append(lake, ETH, ramp(4))
    append(lake, BTC, ramp(4))

    lake.freeze("both", [BTC, ETH], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS, market=BTC)

    assert_array_equal(lake.load_panel("both").fields["market"], lake.load_panel("both").close[:, 0])


def test_closes_alone_make_a_close_only_panel(lake: Lake) -> None:
    whole = bars(ramp(4))
    nothing = np.full(4, np.nan)
    closes_only = replace(whole, open=nothing, high=nothing, low=nothing, volume=nothing)
    lake.append(BTC, closes_only, known_at=EARLY, source="test", run="run-1")
    append(lake, ETH, ramp(4))

    freeze(lake, BTC, ETH)
    panel = lake.load_panel("mine")

    assert not panel.has_range
    assert_array_equal(panel.high, panel.close)


def test_bars_off_the_grid_are_sorted_into_the_axis(lake: Lake) -> None:
    key = replace(BTC, timeframe=Timeframe.DAY_1)
    other = replace(ETH, timeframe=Timeframe.DAY_1)
    append(lake, key, {0: 10.0, 24: 11.0})
    append(lake, other, {1: 5.0, 24: 6.0})

    # Sessions of an exchange move with the hour of summer.
    lake.freeze("days", [key, other], timeframe=Timeframe.DAY_1, calendar=Calendar.XNYS)

    assert_array_equal(lake.load_panel("days").close, [[10.0, np.nan], [np.nan, 5.0], [11.0, 6.0]])


# --- what cannot be frozen ---------------------------------------------------------------------------------


def test_bars_that_no_import_would_take_are_not_frozen(lake: Lake) -> None:
    append(lake, BTC, ramp(4))
    wrong = replace(bars({4: 10.0}), high=np.array([5.0]))
    lake.append(BTC, wrong, known_at=LATER, source="test", run="run-1")

    with pytest.raises(InputError, match=r"was not frozen, its bars have errors\n.*\n.*BTC/USD 1h bars"):
        freeze(lake, BTC)
    assert lake.data_sets() == ()
    assert freeze(lake, BTC, as_of=LATER - 1).manifest.rows == 4


def test_a_bar_off_the_grid_of_a_market_that_never_closes_is_named(lake: Lake) -> None:
    append(lake, ETH, ramp(4))
    lake.append(BTC, bars({1: 10.0}, step=HOUR // 2), known_at=EARLY, source="test", run="run-1")

    with pytest.raises(InputError, match="BTC/USD has a bar that opens at 2024-01-31 22:30 UTC"):
        freeze(lake, BTC, ETH)


def test_a_series_without_bars_is_refused(lake: Lake) -> None:
    append(lake, BTC, ramp(4), LATER)

    with pytest.raises(InputError, match="no bars of kraken ETH/USD 1h bars"):
        freeze(lake, BTC, ETH)
    with pytest.raises(InputError, match="no bars of kraken BTC/USD 1h bars"):
        freeze(lake, BTC, as_of=EARLY)


def test_one_instrument_of_two_venues_is_refused(lake: Lake) -> None:
    append(lake, BTC, ramp(4))

    with pytest.raises(InputError, match="is in it twice, from binance and from kraken"):
        freeze(lake, BTC, replace(BTC, venue="binance"))


@pytest.mark.parametrize("name", ["", "a/b", "mine@2", "..", ".x"])
def test_a_name_that_cannot_be_a_file_is_refused(lake: Lake, name: str) -> None:
    append(lake, BTC, ramp(4))

    with pytest.raises(InputError, match="cannot be the name"):
        freeze(lake, BTC, name=name)


def test_a_version_that_is_not_there_is_named(lake: Lake) -> None:
    append(lake, BTC, ramp(4))
    freeze(lake, BTC)

    with pytest.raises(InputError, match="has no version 7; it has 1"):
        lake.load_panel("mine", version=7)


# --- damage ------------------------------------------------------------------------------------------------


def test_a_file_of_a_version_that_changed_is_not_read(lake: Lake) -> None:
    append(lake, BTC, ramp(4))
    freeze(lake, BTC)
    path = next((lake.root / "bars").rglob("part-*.parquet"))
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)

    with pytest.raises(InputError, match="is damaged"):
        Lake(lake.root).load_panel("mine")
    assert {problem.path.split("/")[0] for problem in lake.verify()} == {"bars", "datasets"}


def test_a_version_that_was_edited_is_found(lake: Lake) -> None:
    append(lake, BTC, ramp(4))
    freeze(lake, BTC)
    path = lake.root / "datasets" / "mine" / "1.json"
    document = json.loads(path.read_text())
    document["as_of"] += 1
    path.write_text(json.dumps(document))

    with pytest.raises(InputError, match="does not have its own hash"):
        lake.version("mine")
    assert [problem.kind for problem in lake.verify()] == [ProblemKind.DAMAGED]


def test_a_version_that_was_renamed_is_found(lake: Lake) -> None:
    append(lake, BTC, ramp(4))
    freeze(lake, BTC)
    folder = lake.root / "datasets" / "mine"
    (folder / "1.json").rename(folder / "2.json")

    assert [problem.message for problem in lake.verify()] == ["it is version 1 of mine"]


# --- by name -----------------------------------------------------------------------------------------------


def test_the_catalogue_knows_the_newest_version_and_each_by_its_number(home_lake: Lake) -> None:
    append(home_lake, BTC, ramp(100))
    freeze(home_lake, BTC)
    append(home_lake, BTC, {3: 99.0}, LATER)
    freeze(home_lake, BTC)

    assert catalogue.load("mine").close[3, 0] == 99.0
    assert catalogue.load("mine@1").close[3, 0] == 103.0
    assert catalogue.load("mine@1").name == "mine@1"
    assert catalogue.load("mine", as_of=LATER - 1).close[3, 0] == 103.0
    assert catalogue.manifest("mine@2").origin is Origin.LAKE
    assert [known.name for known in catalogue.names() if known.origin is Origin.LAKE] == ["mine"]
    with pytest.raises(InputError, match="has no version 3; it has 1, 2"):
        catalogue.load("mine@3")


def test_the_last_fifth_is_sealed_as_of_an_imported_set(home_lake: Lake) -> None:
    append(home_lake, BTC, ramp(100))
    freeze(home_lake, BTC)

    panel = catalogue.load("mine")

    assert len(panel) == 80
    assert catalogue.manifest("mine").holdout_rows == 20
    assert len(catalogue.load("mine", sealed=False)) == 100
    # No array leads to the sealed rows.
    assert panel.close.base is None or panel.close.base.shape == (80, 1)
    seal = holdout.seal("mine")
    assert seal is not None
    assert (seal.rows, seal.first) == (20, START + 80 * HOUR)


def test_a_read_as_of_a_moment_shows_no_bar_that_is_sealed_today(home_lake: Lake) -> None:
    """Then only the last bars were known, so their own fifth would begin later than that of today."""
    append(home_lake, BTC, ramp(40, first=60))
    append(home_lake, BTC, ramp(60), LATER)
    freeze(home_lake, BTC)

    then = catalogue.load("mine", as_of=EARLY)

    # 20 of 100 bars are sealed, from bar 80 on; of the 40 that were known then it would be those from 92 on.
    assert then.timestamps[-1] == START + 79 * HOUR
    assert then.timestamps[0] == START + 60 * HOUR


def test_a_read_as_of_a_moment_tells_of_no_delisting_among_sealed_bars(home_lake: Lake) -> None:
    append(home_lake, BTC, ramp(100))
    append(home_lake, ETH, ramp(90))
    fact = Fact(
        venue=ETH.venue,
        ticker=ETH.instrument,
        kind=ActionKind.DELISTING,
        effective_at=START + 90 * HOUR,
        what=Delisting(),
        known_at=EARLY,
        source="test",
        run="run-1",
    )
    home_lake.record_action(fact)
    freeze(home_lake, BTC, ETH)

    then, now = catalogue.load("mine", as_of=EARLY), catalogue.load("mine")

    assert [each.delisted_at for each in catalogue.load("mine", sealed=False).instruments] != [None, None]
    assert [each.delisted_at for each in then.instruments] == [None, None]
    assert then.content_hash == now.content_hash


def test_bars_seen_in_one_version_are_seen_in_the_next(home_lake: Lake) -> None:
    append(home_lake, BTC, ramp(100))
    freeze(home_lake, BTC)
    request = Request(strategy_id="a-1", operator="anna", reason="to see", identity_hash="f" * 64)

    assert len(holdout.open_holdout("mine@1", request, clock=lambda: 1)) == 100
    append(home_lake, BTC, ramp(5, first=100), LATER)
    freeze(home_lake, BTC)

    assert holdout.openings("mine") == 1
    assert holdout.openings("mine@2") == 1
    with pytest.raises(RefusedError, match="bars that were seen are sealed no more"):
        holdout.open_holdout("mine", request, clock=lambda: 2)


def test_a_moment_is_refused_where_nobody_wrote_down_when_bars_were_learned() -> None:
    with pytest.raises(InputError, match="is not in the lake"):
        catalogue.load("planted", as_of=EARLY)


def test_a_name_stands_for_one_data_set(home_lake: Lake, tmp_path: Path) -> None:
    append(home_lake, BTC, ramp(100))
    freeze(home_lake, BTC)
    file = tmp_path / "A.csv"
    file.write_text("date,close\n2024-01-01,1\n2024-01-02,2\n")

    with pytest.raises(InputError, match="mine is the name of a data set of the lake"):
        import_files(ImportRequest(name="Mine", paths=(file,), timeframe=Timeframe.DAY_1, timezone="UTC"))
    with pytest.raises(InputError, match="us20 exists already"):
        catalogue.require_free("US20")
    catalogue.require_free("mine")


def test_a_damaged_version_is_listed_and_hides_no_other(home_lake: Lake) -> None:
    append(home_lake, BTC, ramp(100))
    freeze(home_lake, BTC)
    freeze(home_lake, BTC, name="other")
    (home_lake.root / "datasets" / "mine" / "1.json").write_text("{")

    assert list(catalogue.damaged()) == ["mine"]
    assert "other" in [known.name for known in catalogue.names()]


def test_trades_are_no_columns_of_a_panel(lake: Lake) -> None:
    key = SeriesKey(venue="kraken", kind=BTC.kind.__class__.TRADES, instrument="BTC/USD")
    lake.append(key, trades([(0, 1, 10.0)]), known_at=EARLY, source="test", run="run-1")

    with pytest.raises(InputError, match="its series are 1h bars, but not kraken BTC/USD trades"):
        freeze(lake, key)


def test_an_empty_series_has_nothing_to_freeze(lake: Lake) -> None:
    lake.append(BTC, BarSeries.empty(), known_at=EARLY, source="test", run="run-1")

    with pytest.raises(InputError, match="no bars of"):
        freeze(lake, BTC)


def test_a_panel_is_read_only(lake: Lake) -> None:
    append(lake, BTC, ramp(4))
    freeze(lake, BTC)
    panel: Panel = lake.load_panel("mine")

    with pytest.raises(ValueError, match="read-only"):
        panel.close[0, 0] = 1.0
