"""From judged worlds to rates, targets and the frontier; the study as a file."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from engine.domain.errors import InputError
from research import control_study
from research.control_findings import STANDARD, Finding
from research.control_study import (
    Family,
    Outcome,
    Rate,
    Study,
    Target,
    World,
    frontier,
    load_study,
    read,
    summarise,
)

GOOD = Finding(
    sharpe=1.2,
    carries_edge=True,
    n_effective=25.0,
    step_down=0.001,
    deflated_sharpe=0.99,
    steepness=71.0,
    n_days=5040,
    independent=1.0,
    permutation=math.nan,
    lower_bound=0.5,
    bootstrap_bound=0.5,
    track_record=0.2,
)
# Promoted by the standard, refused by a family-wise level of .5%.
LUCKY = replace(GOOD, carries_edge=False, step_down=0.008)
BAD = replace(GOOD, carries_edge=False, step_down=0.5, deflated_sharpe=0.2)


def worlds(family: Family, edge: float, findings: list[Finding], years: int = 20) -> list[World]:
    return [
        World(family=family, years=years, index=index, edge=edge, finding=finding)
        for index, finding in enumerate(findings)
    ]


def made(lucky: int, found: int, n: int = 400) -> list[World]:
    """Return few and many trials, without an edge (so many of them lucky) and with one (so many of them
    found)."""
    made_worlds = []
    for family, edge in ((Family.NOISE_25, 1.0), (Family.NOISE_1000, 1.3)):
        made_worlds += worlds(family, 0.0, [LUCKY] * lucky + [BAD] * (n - lucky))
        made_worlds += worlds(family, edge, [GOOD] * found + [BAD] * (n - found))
    return made_worlds


def study(made_worlds: list[World], *, quick: bool = False) -> Study:
    return Study(
        quick=quick,
        seed=1,
        core_version="0123456789abcdef",
        sources=control_study.present_sources(),
        bootstraps=499,
        permutations=199,
        points=summarise(made_worlds),
        frontier=frontier(made_worlds),
    )


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_intervals_are_those_of_newcombe_1998_table_1_method_5(
    k: int, n: int, low: float, high: float
) -> None:
    # Newcombe (1998), Two-sided confidence intervals for the single proportion, Statistics in Medicine 17.
    measured = Rate(n=n, k=k)

    assert measured.low == pytest.approx(low, abs=5e-5)
    assert measured.high == pytest.approx(high, abs=5e-5)


def test_none_of_370_shows_one_percent_and_all_of_370_reach_up_to_all() -> None:
    assert Rate(n=370, k=0).high < 0.01
    assert Rate(n=370, k=370).high == 1.0
    assert math.isnan(Rate(n=0, k=0).rate)


def test_rates_are_counted_by_family_length_and_edge() -> None:
    found = summarise(
        worlds(Family.NOISE_25, 0.0, [LUCKY, BAD, BAD, BAD])
        + worlds(Family.NOISE_25, 0.0, [BAD, BAD], years=5)
        + worlds(Family.NOISE_25, 1.0, [GOOD, GOOD, LUCKY, BAD])
    )

    assert [(point.years, point.edge) for point in found] == [(5, 0.0), (20, 0.0), (20, 1.0)]
    assert [point.promoted for point in found] == [Rate(n=2, k=0), Rate(n=4, k=1), Rate(n=4, k=2)]
    # A promoted winner without the edge is no find.
    assert [point.misled for point in found] == [0, 0, 1]
    assert found[1].gates["spa"] == Rate(n=4, k=1)
    assert "permutation" not in found[1].gates


@pytest.mark.parametrize(
    ("k", "n", "outcome"),
    [(0, 400, Outcome.MET), (2, 400, Outcome.OPEN), (5, 400, Outcome.MISSED), (0, 300, Outcome.OPEN)],
)
def test_luck_must_be_shown_to_be_rare(k: int, n: int, outcome: Outcome) -> None:
    target = Target(name="luck", family=Family.NOISE_25, limit=0.01, is_power=False, measured=Rate(n=n, k=k))

    assert target.outcome is outcome


@pytest.mark.parametrize(("k", "outcome"), [(320, Outcome.MET), (318, Outcome.OPEN), (280, Outcome.MISSED)])
def test_power_counts_as_measured(k: int, outcome: Outcome) -> None:
    target = Target(
        name="power", family=Family.NOISE_25, limit=0.80, is_power=True, measured=Rate(n=400, k=k)
    )

    assert target.outcome is outcome


def test_a_study_that_keeps_its_promises_has_nothing_missed_and_says_its_figures() -> None:
    kept = study(made(lucky=0, found=360))

    assert not kept.missed
    assert [target.outcome for target in kept.targets] == [Outcome.MET] * 4
    said = kept.headline()
    assert "false promotion 0.0% [0.0, 0.5] of 800 no-edge worlds" in said
    assert "power 90% [87, 93] at excess Sharpe 1.0, 20 years, at most 25 trials" in said
    assert "power 90% [87, 93] at excess Sharpe 1.3, 20 years, 1,000 trials" in said
    assert "other sources" not in said


def test_a_study_of_other_sources_says_so() -> None:
    old = replace(study(made(lucky=0, found=360)), sources="0" * 64)

    assert not old.is_current
    assert "run make controls" in old.headline()


def test_luck_that_is_promoted_too_often_is_a_target_missed() -> None:
    assert {target.is_power for target in study(made(lucky=20, found=360)).missed} == {False}
    assert {target.is_power for target in study(made(lucky=0, found=100)).missed} == {True}


def test_the_frontier_begins_with_the_standard_and_moves_one_level_at_a_time() -> None:
    points = frontier(made(lucky=20, found=360))

    assert points[0].moved == ""
    assert points[0].levels == STANDARD
    assert points[0].false_promotion == Rate(n=400, k=20)
    moved = [point for point in points if point.moved == "step_down"]
    assert [point.false_promotion.k for point in moved] == sorted(point.false_promotion.k for point in moved)
    assert {point.false_promotion.k for point in moved if point.levels.step_down < 0.008} == {0}
    assert all(replace(point.levels, step_down=STANDARD.step_down) == STANDARD for point in moved)


def test_a_quick_run_misses_a_target_only_where_it_is_certain() -> None:
    unlucky = made(lucky=1, found=18, n=20)
    hopeless = made(lucky=10, found=18, n=20)

    assert not study(unlucky, quick=True).missed
    assert study(unlucky).missed
    assert study(hopeless, quick=True).missed


def test_a_study_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    before = study(made(lucky=20, found=360))
    path = tmp_path / "study.json"
    path.write_text(json.dumps(before.document()), encoding="utf-8")

    after = read(path)

    assert after.document() == before.document()
    assert after.points[0].promoted == before.points[0].promoted


def test_a_damaged_study_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    path.write_text('{"kind": "something else"}', encoding="utf-8")

    with pytest.raises(InputError, match=r"study\.json: .* make controls"):
        read(path)


def test_the_study_that_was_run_here_comes_before_the_packaged_one_unless_it_was_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAUNTLET_HOME", str(tmp_path))
    packaged = load_study()
    own = control_study.result_path()
    own.parent.mkdir(parents=True)

    own.write_text(json.dumps(study(made(0, 360), quick=True).document()), encoding="utf-8")
    assert load_study().document() == packaged.document()
    own.write_text(json.dumps(study(made(0, 360)).document()), encoding="utf-8")
    assert load_study().seed == 1
    assert not packaged.quick
    assert packaged.seed != 1
