"""A scan at a moment sees what there was then: nothing that came later changes a byte of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import catalogue
from engine.data.manifest import Origin, describe
from engine.discovery.configuration import AssetFilter, Scanner, SignalFilter, UniverseFilter, VenueFilter
from engine.discovery.pool import Pool
from engine.discovery.scan import scan
from engine.discovery.sight import look
from engine.domain.panel import Instrument, Panel
from engine.domain.venue import VenueClass
from engine.strategy_files import load_strategy
from tests.scans import day, panel_of, walk

DAYS = 90
STRATEGY = load_strategy("trend", {"fast": 5, "slow": 40})
SCANNER = Scanner(
    name="mine",
    layers=(),
    venue_class=VenueClass.CRYPTO,
    universe=UniverseFilter(),
    venue=VenueFilter(venue_class=VenueClass.CRYPTO),
    asset=AssetFilter(
        history_bars_min=10,
        silent_bars_max=3,
        price_min=80.0,
        dollar_volume_min=90_000,
        dollar_volume_days=20,
        quality_min=0.6,
    ),
    signal=SignalFilter(strategy="trend"),
)


def scanned(panel: Panel, at: int, monkeypatch: pytest.MonkeyPatch) -> Pool:
    known = describe(panel, origin=Origin.IMPORTED, source="test")
    monkeypatch.setattr(catalogue, "load", lambda *_, **__: panel)
    monkeypatch.setattr(catalogue, "manifest", lambda _: replace(known, holdout_rows=0))
    monkeypatch.setattr(catalogue, "lake_names", tuple)
    sight = look("scanned", at=at)
    found = scan(SCANNER, sight, strategy=STRATEGY)
    return Pool(scanner=SCANNER, sight=sight, universe=None, strategy=STRATEGY, found=found)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(12, DAYS - 1), listed=st.integers(0, DAYS - 1))
def test_bars_after_the_scan_do_not_change_a_byte(seed: int, cut: int, listed: int) -> None:
    closes = {f"{name}/USD": walk(seed + place, DAYS) for place, name in enumerate("ABCDE")}
    closes["E/USD"][:listed] = np.nan
    whole = panel_of(closes)
    other = {
        symbol: np.concatenate([values[:cut], 7.0 * walk(seed + 99, DAYS)[cut:]])
        for symbol, values in closes.items()
    }
    dies_later = tuple(
        Instrument(symbol=symbol, delisted_at=day(DAYS - 1), delisting_haircut=0.9) for symbol in closes
    )
    # A bar that opens on the last day closes after the scan.
    at = day(cut) + day(1) // 2 - day(0) // 2

    with pytest.MonkeyPatch.context() as monkeypatch:
        known_then = scanned(whole.rows(0, cut), at, monkeypatch).document()
        with_more = scanned(whole, at, monkeypatch).document()
        with_others = scanned(replace(panel_of(other), instruments=dies_later), at, monkeypatch).document()

    assert with_more == known_then
    assert with_others == known_then
    seen = {entry["symbol"] for entry in (*known_then["candidates"], *known_then["fallen"])}
    assert seen == set(closes) - ({"E/USD"} if listed >= cut else set())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(12, DAYS))
def test_another_bar_before_the_scan_is_another_scan(seed: int, cut: int) -> None:
    closes = {"A/USD": walk(seed, DAYS), "B/USD": walk(seed + 1, DAYS)}
    revised = {symbol: values.copy() for symbol, values in closes.items()}
    revised["A/USD"][cut - 1] *= 1.0001

    with pytest.MonkeyPatch.context() as monkeypatch:
        before = scanned(panel_of(closes), day(cut), monkeypatch)
        after = scanned(panel_of(revised), day(cut), monkeypatch)

    assert before.scan_id != after.scan_id
    assert before.content_hash != after.content_hash
