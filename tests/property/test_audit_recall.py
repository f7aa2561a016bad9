"""Every class of defect, put at random into series that look real, is found with file, row and value."""

import numpy as np
import pytest

from engine.data.audit.checks import inspect
from engine.data.findings import Kind
from engine.domain.time import Calendar, Timeframe
from tests import mutator
from tests.mutator import Mutation

CASES = 200
MARKETS = (
    (Timeframe.HOUR_1, Calendar.ALWAYS),
    (Timeframe.MINUTE_1, Calendar.ALWAYS),
    (Timeframe.DAY_1, Calendar.ALWAYS),
    (Timeframe.DAY_1, Calendar.XNYS),
)


def recall(mutate: Mutation, *, seed: int) -> float:
    """Return the share of mutated series in which the audit finds the defect."""
    random = np.random.default_rng(seed)
    found = 0
    for case in range(CASES):
        # Exchange calendars take their time: one case in ten is about a session.
        timeframe, calendar = MARKETS[3 if case % 10 == 0 else case % 3]
        bars = mutator.realistic(random, size=500, timeframe=timeframe, calendar=calendar)
        changed = mutate(bars, random, timeframe)
        findings = inspect(changed.bars, timeframe, calendar, now=changed.now).findings()
        found += changed.is_found_by(findings)
    return found / CASES


@pytest.mark.parametrize("name", mutator.STRUCTURAL)
def test_structural_defects_are_found(name: str) -> None:
    assert recall(mutator.STRUCTURAL[name], seed=11) >= 0.99


@pytest.mark.parametrize("name", mutator.STATISTICAL)
def test_values_that_their_neighbours_contradict_are_found(name: str) -> None:
    assert recall(mutator.STATISTICAL[name], seed=12) >= 0.95


def test_slips_of_whole_sessions_are_found_in_bars_of_an_exchange() -> None:
    random = np.random.default_rng(13)
    found = 0
    for _ in range(20):
        bars = mutator.realistic(random, size=400, timeframe=Timeframe.HOUR_1, calendar=Calendar.XNYS)
        changed = mutator.zone_slip(bars, random, Timeframe.HOUR_1)
        findings = inspect(changed.bars, Timeframe.HOUR_1, Calendar.XNYS).findings()
        found += changed.is_found_by(findings)
    assert found == 20


def test_slips_that_were_sorted_in_are_found_where_trading_never_stops() -> None:
    random = np.random.default_rng(16)
    found = 0
    for _ in range(CASES):
        changed = mutator.sorted_slip(mutator.realistic(random, size=500), random, Timeframe.HOUR_1)
        found += changed.is_found_by(inspect(changed.bars, Timeframe.HOUR_1, Calendar.ALWAYS).findings())

    assert found / CASES >= 0.99


def test_clean_series_raise_less_than_one_alarm_in_twenty_thousand_bars() -> None:
    random = np.random.default_rng(14)
    bars_judged, alarms = 0, []
    for timeframe, calendar in MARKETS:
        for _ in range(40):
            bars = mutator.realistic(random, size=1000, timeframe=timeframe, calendar=calendar)
            bars_judged += len(bars.close)
            alarms += inspect(bars, timeframe, calendar).findings()

    assert bars_judged == 160_000
    assert len(alarms) <= bars_judged / 20_000, [str(alarm) for alarm in alarms]


def test_a_finding_elsewhere_does_not_count() -> None:
    random = np.random.default_rng(15)
    changed = mutator.bad_price(mutator.realistic(random, size=200), random, Timeframe.HOUR_1)
    findings = inspect(changed.bars, Timeframe.HOUR_1, Calendar.ALWAYS).findings()
    (at,) = changed.rows
    elsewhere = [finding for finding in findings if finding.row != at]

    assert changed.is_found_by(findings)
    assert not changed.is_found_by(elsewhere)
    assert not changed.is_found_by([finding for finding in findings if finding.kind is Kind.FLAT])
