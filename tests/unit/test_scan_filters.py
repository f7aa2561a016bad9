"""Who falls at which stage of a scan, with which code and value."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from engine.data.universes import Universe
from engine.discovery.configuration import AssetFilter, Scanner, SignalFilter, UniverseFilter, VenueFilter
from engine.discovery.profiles import profiles
from engine.discovery.reasons import SENTENCES, Reason, Stage
from engine.discovery.scan import Scan, scan
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, FloatArray
from engine.domain.time import Calendar, Timeframe
from engine.domain.venue import VenueClass
from engine.features.expression import Expression
from engine.features.operators import close, cross_rank, sma
from engine.features.strategy import Strategy, parameter
from tests.scans import FIRST, day, panel_of, sight_of, walk

NOBODY = AssetFilter()


def scanner(**changes: object) -> Scanner:
    facts: dict[str, object] = {
        "name": "mine",
        "layers": (),
        "venue_class": VenueClass.CRYPTO,
        "universe": UniverseFilter(),
        "venue": VenueFilter(venue_class=VenueClass.CRYPTO),
        "asset": NOBODY,
        "signal": SignalFilter(),
    }
    return Scanner(**{**facts, **changes})  # type: ignore[arg-type]


def fallen(found: Scan) -> dict[str, tuple[Stage, Reason, object, object]]:
    return {fall.symbol: (fall.stage, fall.reason, fall.value, fall.limit) for fall in found.fallen}


def flat(price: float, days: int = 40) -> FloatArray:
    return np.full(days, price)


@dataclass(frozen=True)
class AboveMean(Strategy):
    """Hold what closes above its mean."""

    days: int = parameter(10, low=2, high=300)

    def signal(self) -> Expression:
        return close > sma(close, self.days)


@dataclass(frozen=True)
class Best(Strategy):
    """Hold what is ranked first."""

    def signal(self) -> Expression:
        return cross_rank(close)


def test_without_a_floor_everything_is_a_candidate() -> None:
    found = scan(scanner(), sight_of(panel_of({"B/USD": flat(2.0), "A/USD": flat(1.0)})))

    assert [profile.symbol for profile in found.candidates] == ["A/USD", "B/USD"]
    assert found.fallen == ()


def test_the_universe_and_the_data_are_held_against_one_another() -> None:
    universe = Universe(name="MINE_V1", quote="USD", assets=("A", "B", "C"))
    sight = sight_of(panel_of({"A/USD": flat(1.0), "B/USD": flat(1.0), "X/USD": flat(1.0)}))
    asked = scanner(universe=UniverseFilter(name="MINE_V1", exclude=("B/USD",)))

    found = scan(asked, sight, universe=universe)

    assert [profile.symbol for profile in found.candidates] == ["A/USD"]
    assert fallen(found) == {
        "B/USD": (Stage.UNIVERSE, Reason.EXCLUDED, None, None),
        "C/USD": (Stage.UNIVERSE, Reason.NOT_IN_DATA, None, None),
        "X/USD": (Stage.UNIVERSE, Reason.NOT_IN_UNIVERSE, None, "MINE_V1"),
    }


def test_a_universe_knows_the_class_that_no_ticker_tells() -> None:
    universe = Universe(name="FUNDS_V1", quote="USD", assets=("SPY",), venue_class=VenueClass.ETF)
    panel = panel_of({"SPY": flat(1.0)}, calendar=Calendar.XNYS)
    sight = sight_of(panel, classes={"SPY": VenueClass.EQUITY})
    asked = scanner(venue_class=VenueClass.ETF)

    assert [profile.venue_class for profile in scan(asked, sight, universe=universe).candidates] == [
        VenueClass.ETF
    ]
    assert fallen(scan(asked, sight)) == {"SPY": (Stage.VENUE, Reason.OTHER_CLASS, "equity", "etf")}


def test_the_venue_its_currency_and_its_class_are_asked_for() -> None:
    panel = panel_of({name: flat(1.0) for name in ("A/USD", "B/USD", "C/EUR", "D/USD")})
    instruments = (
        *panel.instruments[:2],
        replace(panel.instruments[2], quote="EUR"),
        panel.instruments[3],
    )
    sight = sight_of(
        replace(panel, instruments=instruments),
        venues={"A/USD": "kraken", "B/USD": "binance", "C/EUR": "kraken"},
        classes=dict.fromkeys(("A/USD", "B/USD", "C/EUR"), VenueClass.CRYPTO),
    )
    asked = scanner(venue=VenueFilter(venue_class=VenueClass.CRYPTO, venues=("kraken",), quotes=("USD",)))

    found = scan(asked, sight)

    assert [profile.symbol for profile in found.candidates] == ["A/USD"]
    assert fallen(found) == {
        "B/USD": (Stage.VENUE, Reason.OTHER_VENUE, "binance", "kraken"),
        "C/EUR": (Stage.VENUE, Reason.OTHER_QUOTE, "EUR", "USD"),
        "D/USD": (Stage.VENUE, Reason.OTHER_CLASS, None, "crypto"),
    }


def late(days: int, of: int = 40) -> FloatArray:
    return np.concatenate([np.full(of - days, np.nan), np.full(days, 5.0)])


def silent(days: int, of: int = 40) -> FloatArray:
    return np.concatenate([np.full(of - days, 5.0), np.full(days, np.nan)])


@pytest.mark.parametrize(
    ("closes", "asset", "reason", "value"),
    [
        (silent(4), AssetFilter(silent_bars_max=3), Reason.SILENT, 4),
        (late(9), AssetFilter(history_bars_min=10), Reason.HISTORY_SHORT, 9),
        (late(9), AssetFilter(listed_days_min=10), Reason.LISTED_LATELY, 9.0),
        (flat(0.5), AssetFilter(price_min=0.6), Reason.PRICE_LOW, 0.5),
        (flat(9.0), AssetFilter(price_max=8.0), Reason.PRICE_HIGH, 9.0),
        # A thousand units a day at 5.
        (flat(5.0), AssetFilter(dollar_volume_min=5001), Reason.VOLUME_LOW, 5000.0),
    ],
)
def test_a_floor_that_is_not_reached_is_the_reason(
    closes: FloatArray, asset: AssetFilter, reason: Reason, value: object
) -> None:
    panel = panel_of({"A/USD": closes, "Z/USD": flat(5.0)})

    found = scan(scanner(asset=asset), sight_of(panel))

    assert fallen(found)["A/USD"][:3] == (Stage.ASSET, reason, value)


@pytest.mark.parametrize(
    ("closes", "asset"),
    [
        (silent(3), AssetFilter(silent_bars_max=3)),
        (late(10), AssetFilter(history_bars_min=10, listed_days_min=10)),
        (flat(0.6), AssetFilter(price_min=0.6, price_max=0.6)),
        (flat(5.0), AssetFilter(dollar_volume_min=5000)),
    ],
)
def test_a_floor_that_is_just_reached_lets_through(closes: FloatArray, asset: AssetFilter) -> None:
    panel = panel_of({"A/USD": closes, "Z/USD": flat(5.0)})

    assert "A/USD" not in fallen(scan(scanner(asset=asset), sight_of(panel)))


def test_one_reason_is_given_the_first_one() -> None:
    asset = AssetFilter(history_bars_min=30, price_min=100.0, dollar_volume_min=1e9)

    found = scan(scanner(asset=asset), sight_of(panel_of({"A/USD": late(9), "B/USD": flat(5.0)})))

    assert {symbol: fall[1] for symbol, fall in fallen(found).items()} == {
        "A/USD": Reason.HISTORY_SHORT,
        "B/USD": Reason.PRICE_LOW,
    }


def test_volume_that_nobody_knows_is_not_enough() -> None:
    panel = panel_of({"A/USD": flat(5.0)}, volume=np.nan)

    found = scan(scanner(asset=AssetFilter(dollar_volume_min=1)), sight_of(panel))

    assert fallen(found) == {"A/USD": (Stage.ASSET, Reason.VOLUME_UNKNOWN, None, 1.0)}


def test_a_spread_decides_only_where_it_is_known() -> None:
    panel = panel_of({"A/USD": flat(5.0), "B/USD": flat(5.0), "C/USD": flat(5.0)})
    sight = sight_of(panel, spreads_bps={"A/USD": 30.0, "B/USD": 30.1})

    found = scan(scanner(asset=AssetFilter(spread_bps_max=30)), sight)

    assert [profile.symbol for profile in found.candidates] == ["A/USD", "C/USD"]
    assert fallen(found) == {"B/USD": (Stage.ASSET, Reason.SPREAD_WIDE, 30.1, 30.0)}


def test_bars_that_are_not_good_enough_fall_with_their_score() -> None:
    torn = walk(1, 400)
    torn[np.arange(400) % 3 != 0] = np.nan

    found = scan(
        scanner(asset=AssetFilter(quality_min=0.9)),
        sight_of(panel_of({"A/USD": torn, "B/USD": walk(2, 400)})),
    )

    stage, reason, value, limit = fallen(found)["A/USD"]
    assert (stage, reason, limit) == (Stage.ASSET, Reason.QUALITY_LOW, 0.9)
    # Two of three bars are missing, and a missing one weighs .3.
    assert value == pytest.approx(1 - 0.3 * 2 / 3, abs=0.01)
    assert [profile.quality for profile in found.candidates] == [1.0]


def test_what_was_delisted_fell_whatever_its_last_bars_were() -> None:
    panel = panel_of({"A/USD": silent(2)})
    gone = replace(panel.instruments[0], delisted_at=day(37))

    found = scan(scanner(), sight_of(replace(panel, instruments=(gone,))))

    assert fallen(found) == {"A/USD": (Stage.ASSET, Reason.DELISTED, "2023-02-07 00:00 UTC", None)}


def test_the_signal_at_the_last_closed_bar_decides() -> None:
    rising, falling = np.linspace(1, 2, 40), np.linspace(2, 1, 40)
    panel = panel_of({"UP/USD": rising, "DOWN/USD": falling, "NEW/USD": late(5)})

    found = scan(scanner(), sight_of(panel), strategy=AboveMean())

    assert [(profile.symbol, profile.signal) for profile in found.candidates] == [("UP/USD", 1.0)]
    assert fallen(found) == {
        "DOWN/USD": (Stage.SIGNAL, Reason.SIGNAL_OFF, 0.0, 0.0),
        "NEW/USD": (Stage.SIGNAL, Reason.SIGNAL_UNKNOWN, None, 0.0),
    }


def test_where_a_signal_says_nothing_the_one_before_it_stands() -> None:
    rising = np.linspace(1, 2, 40)
    rising[-1] = np.nan
    panel = panel_of({"UP/USD": rising, "Z/USD": flat(5.0)})

    found = scan(scanner(), sight_of(panel), strategy=AboveMean())

    assert [(profile.symbol, profile.signal) for profile in found.candidates] == [("UP/USD", 1.0)]


def test_a_signal_that_ranks_ranks_those_that_came_so_far() -> None:
    closes = {"A/USD": flat(3.0), "B/USD": flat(2.0), "CHEAP/USD": flat(0.1)}
    asked = scanner(asset=AssetFilter(price_min=1.0), signal=SignalFilter(above=0.9))

    found = scan(asked, sight_of(panel_of(closes)), strategy=Best())

    # Of two the better one has the highest rank there is; the cheap one is not ranked with them.
    assert [profile.symbol for profile in found.candidates] == ["A/USD"]
    assert fallen(found)["B/USD"][1] is Reason.SIGNAL_OFF


def test_counts_lead_from_all_to_the_candidates() -> None:
    universe = Universe(name="MINE_V1", quote="USD", assets=("A", "B", "C", "D"))
    panel = panel_of(
        {"A/USD": np.linspace(1, 2, 40), "B/USD": flat(5.0), "C/USD": late(5), "X/USD": flat(5.0)}
    )
    asked = scanner(universe=UniverseFilter(name="MINE_V1"), asset=AssetFilter(history_bars_min=10))

    found = scan(asked, sight_of(panel), universe=universe, strategy=AboveMean())

    assert [(count.stage.value, count.entered, count.left) for count in found.stages] == [
        ("universe", 5, 3),
        ("venue", 3, 3),
        ("asset", 3, 2),
        ("signal", 2, 1),
    ]


def test_a_day_without_a_trade_counts_as_one_on_which_nothing_was_traded() -> None:
    every_third = np.where(np.arange(40) % 3 == 0, 5.0, np.nan)
    sight = sight_of(panel_of({"A/USD": every_third}))

    found = profiles(sight, dollar_volume_days=30, with_quality=False)

    assert found["A/USD"].dollar_volume == 0.0


def test_a_day_that_is_not_over_does_not_count() -> None:
    # Two days of hours and half a third one, of one unit an hour at 1.
    close = np.ones((60, 1))
    stamps = FIRST + np.arange(60, dtype=np.int64) * Timeframe.HOUR_1.nanoseconds
    panel = panel_of({"A/USD": flat(1.0, 60)}, timeframe=Timeframe.HOUR_1, timestamps=stamps)
    panel = replace(panel, volume=close)

    found = profiles(sight_of(panel), dollar_volume_days=1, with_quality=False)

    assert found["A/USD"].dollar_volume == 24.0


def test_days_before_the_first_bar_do_not_count() -> None:
    sight = sight_of(panel_of({"A/USD": late(3)}))

    assert profiles(sight, dollar_volume_days=30, with_quality=False)["A/USD"].dollar_volume == 5000.0


def test_a_set_of_another_calendar_is_refused() -> None:
    panel = panel_of({"A/USD": flat(1.0)}, calendar=Calendar.XNYS)

    with pytest.raises(InputError, match=r"crypto, which keeps the calendar 24/7, but .* keeps XNYS"):
        scan(scanner(), sight_of(panel))

    stated = VenueFilter(venue_class=VenueClass.CRYPTO, session=Calendar.XNYS)
    assert len(scan(scanner(venue=stated), sight_of(panel)).candidates) == 1


def test_a_price_that_later_splits_changed_is_no_price_to_ask_for() -> None:
    sight = sight_of(panel_of({"A/USD": flat(1.0)}, adjustment=Adjustment.SPLIT))

    with pytest.raises(InputError, match=r"asset\.price_min .* is adjusted \(split\) by what came later"):
        scan(scanner(asset=AssetFilter(price_min=0.5)), sight)


def test_every_reason_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Reason)
