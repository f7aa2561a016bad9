"""Market rules: worked out by hand, read through the real client of ccxt, kept in a data set."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.data.actions import ActionKind, Fact, market_rules
from engine.data.audit.metadata import Coverage
from engine.data.ingestion.known_rules import rules_coverage
from engine.data.lake.lake import Lake
from engine.data.market_rules import MarketRules, written
from engine.data.providers.kraken import Kraken
from engine.data.series import SeriesKey
from engine.domain.errors import InvalidValueError
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, ETH, START, bars
from tests.providers_loopback import World
from tests.sandboxes import NOON, sandbox, simulated_market


def fact(rules: MarketRules, known_at: int) -> Fact:
    return Fact(
        venue="kraken",
        ticker="BTC/USD",
        kind=ActionKind.MARKET_RULES,
        effective_at=known_at,
        what=rules,
        known_at=known_at,
        source="kraken",
        run="test",
    )


@pytest.mark.parametrize(
    ("tick", "decimals"), [("0.1", 1), ("0.00000001", 8), ("5", 0), ("0.50", 1), ("100", 0)]
)
def test_a_price_has_the_decimals_of_its_tick(tick: str, decimals: int) -> None:
    assert MarketRules(tick_size=tick).price_decimals == decimals
    assert MarketRules().price_decimals is None


@pytest.mark.parametrize("wrong", ["0", "-0.1", "", "nan", "Infinity", "a tenth"])
def test_what_is_no_step_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidValueError, match="lot_size must be a positive decimal"):
        MarketRules(lot_size=wrong)


def test_numbers_are_written_without_exponents() -> None:
    assert [written(number) for number in (1e-10, 0.1, 5.0, 25000.0)] == [
        "0.0000000001",
        "0.1",
        "5.0",
        "25000.0",
    ]


def test_kraken_tells_its_rules_by_the_list_of_markets() -> None:
    with sandbox(simulated_market(pairs=17)) as running:
        world = World(NOON)
        provider = Kraken(surroundings=world.surroundings, bucket=world.bucket, base_url=running.url)
        bitcoin, shiba = (provider.fetch_rules(symbol) for symbol in ("BTC/USD", "SHIB/USD"))
        provider.close()

    assert bitcoin is not None
    assert shiba is not None
    # As the sandbox has them: a tick of 0.1 and 0.00008 bitcoin at least, worth half a dollar at least.
    assert (bitcoin.rules.tick_size, bitcoin.rules.lot_size) == ("0.1", "0.00000001")
    assert (bitcoin.rules.minimum_amount, bitcoin.rules.minimum_notional) == ("0.00001", "0.5")
    assert (shiba.rules.price_decimals, shiba.rules.lot_size) == (8, "0.00001")
    assert b"XXBTZUSD" in bitcoin.payload


def test_rules_told_again_are_no_news_and_a_version_keeps_those_of_its_moment(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append(BTC, bars({0: 10.0, 1: 20.0}), known_at=START, source="kraken", run="test")
    old, new = MarketRules(tick_size="0.1"), MarketRules(tick_size="0.01")
    assert lake.record_action(fact(old, START + 1))
    assert not lake.record_action(fact(old, START + 2))

    def frozen() -> MarketRules | None:
        version = lake.freeze("mine", [BTC], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)
        return market_rules(version.facts, "kraken", "BTC/USD")

    assert frozen() == old
    assert lake.record_action(fact(new, START + 3))
    # What was said before may be said again: then it is news.
    assert lake.record_action(fact(old, START + 4))
    assert market_rules(lake.actions("kraken", "BTC/USD", as_of=START + 3), "kraken", "BTC/USD") == new
    assert lake.verify() == []


def test_a_data_set_of_a_venue_that_tells_its_rules_needs_them(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    of_file = replace(BTC, venue="file:mine", instrument="AAPL")
    for key in (BTC, ETH, of_file):
        lake.append(key, bars({0: 10.0, 1: 20.0}), known_at=START, source="test", run="test")
    whole = MarketRules(tick_size="0.1", lot_size="0.001")
    lake.record_action(fact(whole, START + 1))

    def covered(*keys: SeriesKey) -> Coverage | None:
        name = "-".join(key.instrument[:3].lower() for key in keys)
        version = lake.freeze(name, keys, timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)
        return rules_coverage(lake, version)

    both = covered(BTC, ETH)
    assert both is not None
    assert (both.is_enough, both.shares["tick_size"], both.lacking["lot_size"]) == (False, 0.5, ("ETH/USD",))
    assert covered(of_file) is None
    # What the lake learns later completes what was frozen without it.
    lake.record_action(replace(fact(whole, START + 2), ticker="ETH/USD"))
    now = covered(BTC, ETH)
    assert now is not None
    assert now.is_enough
