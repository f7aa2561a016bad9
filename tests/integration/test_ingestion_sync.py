"""`sync` from the sandbox: series go on, what was served wrong is corrected, what was left out comes late."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.ingestion.pull import pull
from engine.data.ingestion.schedule import Depth
from engine.data.ingestion.sync import SyncRequest, sync
from engine.data.lake.lake import Lake
from engine.data.series import BAR_VALUES, BarSeries, SeriesKey
from engine.domain.errors import InputError
from engine.domain.time import Timeframe
from engine.sandbox.background import BackgroundSandbox
from engine.sandbox.market import Market
from tests.ingestions import SYMBOLS, Heard, World, key, request
from tests.sandboxes import NOON, sandbox, set_faults, simulated_market, step

HOUR, MINUTE = Timeframe.HOUR_1, Timeframe.MINUTE_1
SECOND = 10**9


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAUNTLET_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def lake(home: Path) -> Lake:
    return Lake(home / "state" / "lake")


@pytest.fixture
def market() -> Market:
    return simulated_market(pairs=4)


def later(running: BackgroundSandbox, world: World, seconds: int) -> None:
    """Let time pass for both sides."""
    step(running, seconds)
    world.now += seconds * SECOND


def same(one: BarSeries, other: BarSeries) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("stamps", *BAR_VALUES))


def truth(market: Market, folder: Path, now: int, *timeframes: Timeframe) -> Lake:
    """Return what a pull of everything gives at a moment, from an exchange without faults."""
    lake = Lake(folder / "truth")
    with sandbox(market, start=now) as running:
        pull(
            request(*timeframes, name=None),
            lake=lake,
            access=World(now=now).access(running.url),
            listener=Heard(),
        )
    return lake


def test_series_go_on_from_where_they_are_and_the_data_set_gets_a_version(
    lake: Lake, market: Market, tmp_path: Path
) -> None:
    world = World()
    with sandbox(market) as running:
        access = world.access(running.url)
        pull(request(HOUR), lake=lake, access=access, listener=Heard())
        later(running, world, 5 * 3600)
        summary = sync(SyncRequest(), lake=lake, access=access, listener=Heard())
        again = sync(SyncRequest(), lake=lake, access=access, listener=Heard())

    expected = truth(market, tmp_path, world.now, HOUR)
    assert all(same(lake.read(each), expected.read(each)) for each in expected.series())
    assert (summary.counts.new, summary.counts.late, summary.counts.corrected) == (4 * 5, 0, 0)
    assert [(each.name, each.version) for each in summary.data_sets] == [("mine", 2)]
    # Nothing new is no new version.
    assert again.counts.new == 0
    assert again.data_sets == ()


def test_what_an_exchange_served_wrong_is_corrected_and_listed(
    lake: Lake, market: Market, tmp_path: Path
) -> None:
    world = World()
    with sandbox(market, faults="revised=1,late=0.3,missing=0.05") as running:
        access = world.access(running.url)
        pull(request(HOUR, MINUTE), lake=lake, access=access, listener=Heard())
        for _ in range(4):
            later(running, world, 600)
            sync(SyncRequest(freezes=False), lake=lake, access=access, listener=Heard())
        set_faults(running, "none")
        later(running, world, 4 * 3600)
        sync(SyncRequest(), lake=lake, access=access, listener=Heard())

    expected = truth(market, tmp_path, world.now, HOUR, MINUTE)
    assert all(same(lake.read(each), expected.read(each)) for each in expected.series())
    kinds = {line.kind.value for each in lake.series() for line in lake.corrections(each)}
    assert kinds == {"late", "revised"}
    assert lake.verify() == []


@pytest.mark.parametrize("ahead", [40 * 60, 12 * 86_400])
def test_a_bar_that_is_not_over_at_the_exchange_is_not_taken_though_our_clock_is_ahead(
    lake: Lake, market: Market, tmp_path: Path, ahead: int
) -> None:
    world = World(now=NOON + ahead * SECOND)
    with sandbox(market) as running:
        access = world.access(running.url)
        pull(request(HOUR), lake=lake, access=access, listener=Heard())
        pulled = {each: lake.read(each) for each in lake.series()}
        later(running, world, 45 * 60)
        sync(SyncRequest(), lake=lake, access=access, listener=Heard())

    before = truth(market, tmp_path / "before", NOON, HOUR)
    after = truth(market, tmp_path / "after", NOON + 45 * 60 * SECOND, HOUR)
    assert all(same(pulled[each], before.read(each)) for each in before.series())
    assert all(same(lake.read(each), after.read(each)) for each in after.series())
    assert [line for each in lake.series() for line in lake.corrections(each)] == []


def tampered(lake: Lake, of: SeriesKey, back: int) -> int:
    """Make the lake believe another close of one bar, so many before the last one; return its stamp."""
    bars = lake.read(of)
    row = len(bars) - 1 - back
    wrong = bars.rows(row, row + 1)
    # Halfway to the high, so that the bar is a possible one.
    close = (wrong.close + wrong.high + wrong.low) / 3
    changed = BarSeries(
        stamps=wrong.stamps,
        open=wrong.open,
        high=wrong.high,
        low=wrong.low,
        close=close,
        volume=wrong.volume * 0.5,
    )
    assert lake.append(of, changed, known_at=NOON, source="test", run="wrong").corrected == 1
    return int(wrong.stamps[0])


def test_a_revision_is_found_below_the_watermark_and_older_ones_by_the_nightly_look(
    lake: Lake, market: Market
) -> None:
    world = World()
    with sandbox(market) as running:
        access = world.access(running.url)
        asked = request(MINUTE, symbols=SYMBOLS[:1], days=0, name=None)
        pull(asked, lake=lake, access=access, listener=Heard())
        right = lake.read(key(timeframe=MINUTE))
        recent, old = (tampered(lake, key(timeframe=MINUTE), back) for back in (20, 500))
        sync(SyncRequest(), lake=lake, access=access, listener=Heard())
        after_recent = lake.read(key(timeframe=MINUTE))
        sync(SyncRequest(depth=Depth.FULL), lake=lake, access=access, listener=Heard())

    wrong = after_recent.stamps[after_recent.close != right.close]
    assert recent not in wrong
    assert wrong.tolist() == [old]
    assert same(lake.read(key(timeframe=MINUTE)), right)


def test_the_nightly_look_lets_the_small_parts_of_a_month_be_read_as_one(lake: Lake, market: Market) -> None:
    world = World()
    may = int(np.datetime64("2025-05", "ns").astype(np.int64))
    with sandbox(market) as running:
        access = world.access(running.url)
        for day in (24, 27, 30):
            asked = request(HOUR, symbols=SYMBOLS[:1], days=30, name=None, stop=may + day * 24 * 3600 * 10**9)
            pull(asked, lake=lake, access=access, listener=Heard())
        sync(SyncRequest(), lake=lake, access=access, listener=Heard())
        known = lake.read(key())
        scattered = len(lake.parts(key()))
        sync(SyncRequest(depth=Depth.FULL), lake=lake, access=access, listener=Heard())

    assert len(lake.parts(key())) <= scattered - 2
    assert same(lake.read(key()), known)
    assert lake.verify() == []


def test_a_revision_that_the_trades_do_not_know_is_not_taken(lake: Lake, market: Market) -> None:
    """Bars that are revised for three intervals are asked for again while they are still served wrong."""
    world = World()
    with sandbox(market) as running:
        access = world.access(running.url)
        pull(request(HOUR, symbols=SYMBOLS[:1]), lake=lake, access=access, listener=Heard())
        right = lake.read(key())
        set_faults(running, "revised=1")
        summary = sync(SyncRequest(), lake=lake, access=access, listener=Heard())

    assert summary.counts.corrected == 0
    assert same(lake.read(key()), right)


def test_a_frozen_feed_leaves_nothing_behind_that_stays(lake: Lake, market: Market, tmp_path: Path) -> None:
    world = World()
    with sandbox(market) as running:
        access = world.access(running.url)
        pull(request(HOUR, MINUTE), lake=lake, access=access, listener=Heard())
        set_faults(running, "frozen=1")
        # The first request freezes it; time goes on for everybody else.
        sync(SyncRequest(), lake=lake, access=access, listener=Heard())
        later(running, world, 7200)
        sync(SyncRequest(), lake=lake, access=access, listener=Heard())
        set_faults(running, "none")
        sync(SyncRequest(), lake=lake, access=access, listener=Heard())

    expected = truth(market, tmp_path, world.now, HOUR, MINUTE)
    assert all(same(lake.read(each), expected.read(each)) for each in expected.series())


def test_a_lake_without_series_says_how_to_begin(lake: Lake) -> None:
    with pytest.raises(InputError, match="engine data pull"):
        sync(SyncRequest(), lake=lake, access=World().access("http://127.0.0.1:9"), listener=Heard())


def test_what_came_from_a_sandbox_is_not_synchronised_with_the_real_exchange(
    lake: Lake, market: Market
) -> None:
    with sandbox(market) as running:
        access = World().access(running.url)
        asked = replace(request(HOUR, symbols=SYMBOLS[:1]), is_sandbox=True)
        pull(asked, lake=lake, access=access, listener=Heard())
        assert [each.venue for each in lake.series()] == ["kraken@sandbox"]
        with pytest.raises(InputError, match="no bars"):
            sync(SyncRequest(), lake=lake, access=access, listener=Heard())
        summary = sync(SyncRequest(is_sandbox=True), lake=lake, access=access, listener=Heard())

    assert summary.failed == ()
