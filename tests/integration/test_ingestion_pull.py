"""`pull` from the sandbox through the real ccxt: what the lake ends with is what the market's trades say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.ingestion.pull import pull
from engine.data.lake.lake import Lake
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.series import BAR_VALUES
from engine.domain.time import Timeframe
from engine.sandbox.market import Market
from tests.ingestions import SYMBOLS, Heard, World, key, request
from tests.providers_loopback import Reply, serving
from tests.sandboxes import NOON, sandbox, simulated_market

HOUR, MINUTE = Timeframe.HOUR_1, Timeframe.MINUTE_1


@pytest.fixture
def market() -> Market:
    return simulated_market(pairs=4)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAUNTLET_HOME", str(tmp_path))
    return tmp_path


def assert_is_the_market(lake: Lake, market: Market, symbol: str, timeframe: Timeframe, start: int) -> None:
    """Compare the lake with the market itself, in whole ticks and lots: no client is between them."""
    minutes = timeframe.nanoseconds // MINUTE.nanoseconds
    number = market.number(symbol, now=NOON)
    assert number is not None
    pair = market.pairs[number]
    truth = market.bars(number, minutes, after=start - 1, now=NOON, most=10**6)
    over = truth.stamps + timeframe.nanoseconds <= NOON - 30 * 10**9
    bars = lake.read(key(symbol, timeframe))
    assert bars.stamps.tolist() == truth.stamps[over].tolist()
    for name in BAR_VALUES:
        unit = pair.lot if name == "volume" else pair.tick
        np.testing.assert_allclose(getattr(bars, name), getattr(truth, name)[over] * unit, rtol=1e-12)


def test_a_pull_gives_the_bars_that_the_market_s_trades_make(market: Market, home: Path) -> None:
    lake = Lake(home / "state" / "lake")
    asked = request(HOUR, MINUTE)

    with sandbox(market) as running:
        summary = pull(asked, lake=lake, access=World().access(running.url), listener=Heard())

    assert summary.failed == ()
    for symbol in SYMBOLS:
        for timeframe in (HOUR, MINUTE):
            assert_is_the_market(lake, market, symbol, timeframe, asked.start)
    assert [frozen.name for frozen in summary.data_sets] == ["mine-1h", "mine-1m"]
    assert lake.load_panel("mine-1h").symbols == tuple(sorted(SYMBOLS))
    assert summary.counts.new == sum(len(lake.read(each)) for each in lake.series())
    assert lake.verify() == []


def test_the_same_pull_again_changes_nothing(market: Market, home: Path) -> None:
    lake = Lake(home / "state" / "lake")
    with sandbox(market) as running:
        access = World().access(running.url)
        first = pull(request(HOUR), lake=lake, access=access, listener=Heard())
        again = pull(request(HOUR), lake=lake, access=access, listener=Heard())

    assert first.counts.new > 0
    assert (again.counts.new, again.counts.corrected, again.counts.late) == (0, 0, 0)
    assert again.data_sets == first.data_sets
    assert lake.versions("mine") == [1]


def test_older_history_is_put_before_what_there_is_and_is_not_late(market: Market, home: Path) -> None:
    lake = Lake(home / "state" / "lake")
    asked = request(HOUR, symbols=SYMBOLS[:1], days=60)
    with sandbox(market) as running:
        access = World().access(running.url)
        pull(request(HOUR, symbols=SYMBOLS[:1], days=2), lake=lake, access=access, listener=Heard())
        summary = pull(asked, lake=lake, access=access, listener=Heard())

    assert_is_the_market(lake, market, SYMBOLS[0], HOUR, asked.start)
    assert summary.counts.late == 0
    assert lake.corrections(key()) == []


def test_every_reply_is_archived_with_its_run(market: Market, home: Path) -> None:
    lake = Lake(home / "state" / "lake")
    with sandbox(market) as running:
        access = World().access(running.url)
        summary = pull(request(HOUR), lake=lake, access=access, listener=Heard())

    archived = list((lake.root / "raw" / summary.run).glob("*.json.gz"))
    # And once the list of markets, which came before all of them.
    assert len(archived) == summary.counts.replies + 1 > 1


# Often enough that few requests meet most of them, whichever thread asks first.
TRANSPORT = "429=0.04,5xx=0.04,busy=0.04,truncated=0.04,empty=0.04,closed=0.04,latency=0.01"
FAULTS = f"random,{TRANSPORT},revised=0.8,missing=0.1,late=0.3,future=0.3,frozen=0.05"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_every_fault_at_random_the_data_set_is_the_same_and_corrections_are_listed(
    market: Market, tmp_path: Path, seed: int
) -> None:
    calm, rough = Lake(tmp_path / "calm"), Lake(tmp_path / "rough")
    asked = request(HOUR, MINUTE, days=1)
    with sandbox(market) as running:
        clean = pull(asked, lake=calm, access=World().access(running.url), listener=Heard())
    with sandbox(market, faults=FAULTS, seed=seed) as running:
        faulty = pull(asked, lake=rough, access=World(seed=seed).access(running.url), listener=Heard())
        dealt = running.change(lambda server: dict(server.exchange.faults.dealt))

    assert len(dealt) >= 10
    assert [each.content_hash for each in faulty.data_sets] == [each.content_hash for each in clean.data_sets]
    counts = faulty.counts
    assert counts.late > 0
    listed = [line for each in rough.series() for line in rough.corrections(each)]
    assert len({(line.key, line.stamp) for line in listed if line.kind == "late"}) == counts.late
    assert clean.counts.corrected == clean.counts.late == 0


def test_a_refusal_is_one_error_and_is_not_asked_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with serving(lambda _: Reply(b'{"error": ["EGeneral:Permission denied"]}', status=403)) as loopback:
        with pytest.raises(ProviderError, match="403") as refused:
            pull(
                request(HOUR, symbols=SYMBOLS[:1]),
                lake=lake,
                access=World().access(loopback.url),
                listener=Heard(),
            )

        assert refused.value.code is ProviderCode.ENTITLEMENT_FAILURE
        assert len(loopback.asked) == 1
    assert lake.verify() == []


def test_a_symbol_that_nobody_trades_does_not_hold_up_the_others(market: Market, home: Path) -> None:
    lake = Lake(home / "state" / "lake")
    heard = Heard()
    with sandbox(market) as running:
        summary = pull(
            request(HOUR, symbols=("BTC/USD", "NOPE/USD")),
            lake=lake,
            access=World().access(running.url),
            listener=heard,
        )

    assert [outcome.key.instrument for outcome in summary.failed] == ["NOPE/USD"]
    assert "NOPE/USD" in summary.failed[0].failed
    assert len(lake.read(key("BTC/USD"))) > 40
    # Half of what was asked for is no data set.
    assert summary.data_sets == ()
    assert [again for _, _, again in heard.failures] == [False]


def test_an_exchange_that_is_down_is_asked_for_a_while_and_then_told(market: Market, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    heard, world = Heard(), World()
    with sandbox(market, faults="5xx=1") as running:
        summary = pull(
            request(HOUR, symbols=SYMBOLS[:1]), lake=lake, access=world.access(running.url), listener=heard
        )

    assert len(summary.failed) == 1
    assert [again for _, _, again in heard.failures] == [True] * 5 + [False]
    assert world.slept > 60
    assert lake.series() == []


def test_progress_ends_at_the_whole(market: Market, tmp_path: Path) -> None:
    heard = Heard()
    with sandbox(market) as running:
        pull(
            request(HOUR, MINUTE, days=2),
            lake=Lake(tmp_path / "lake"),
            access=World().access(running.url),
            listener=heard,
        )

    assert max(done for done, _, _ in heard.progress) == heard.progress[0][1]


def test_requests_keep_the_rate_of_the_provider(market: Market, tmp_path: Path) -> None:
    world = World()
    with sandbox(market) as running:
        summary = pull(
            replace(request(HOUR), workers=1),
            lake=Lake(tmp_path / "lake"),
            access=world.access(running.url),
            listener=Heard(),
        )

    # ccxt counts 1.2 seconds for each page; the time is asked for too, and the list of markets counts twice.
    assert world.slept == pytest.approx(1.2 * (summary.counts.replies + 2), abs=0.01)
