"""The control study as it is run: worlds are kept, workers do not show, and a blind gate is found out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.workforce import LocalWorkers
from research import control_findings
from research.control_play import Effort, play
from research.control_study import Family, Outcome, Study
from scoreboards import control_run
from scoreboards.control_figures import write_figures
from scoreboards.control_run import Part, Plan, run, table, worlds_of

TINY = Plan(
    parts=(
        Part(family=Family.NOISE_25, years=2, count=6, lot=4),
        Part(family=Family.GRID_DRIFT, years=1, count=3, lot=2),
    ),
    effort=Effort(bootstraps=49, permutations=39),
    quick=True,
)
NULLS = Plan(
    parts=(Part(family=Family.NOISE_25, years=1, count=150, lot=50),),
    effort=Effort(bootstraps=99, permutations=19),
    quick=True,
)


def false_promotion(study: Study) -> tuple[float, bool]:
    [target] = [target for target in study.targets if not target.is_power]
    return target.measured.rate, target.outcome is Outcome.MISSED and target in study.missed


def test_a_kept_world_is_not_played_again_and_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(TINY, kept=tmp_path)
    [file] = tmp_path.iterdir()
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    # Killed in the middle of a line.
    file.write_text("".join(lines[:3]) + lines[3][:-40], encoding="utf-8")
    played: list[tuple[Family, int]] = []

    def counted(family: Family, years: int, index: int, effort: Effort) -> object:
        played.append((family, index))
        return play(family, years, index, effort)

    monkeypatch.setattr(control_run, "play", counted)

    assert run(TINY, kept=tmp_path).document() == whole.document()
    assert len(lines) == 9
    assert len(played) == 6
    assert (Family.NOISE_25, 0) not in played
    played.clear()
    assert run(TINY, kept=tmp_path).document() == whole.document()
    assert not played


def test_worlds_do_not_depend_on_the_workers_or_on_the_lots() -> None:
    alone = worlds_of(TINY)
    parts = tuple(replace(part, lot=1) for part in TINY.parts)
    with LocalWorkers(2) as workforce:
        together = worlds_of(replace(TINY, parts=parts), workforce=workforce)

    # As text: NaN is not equal to itself.
    assert repr(alone) == repr(together)


def test_gates_of_luck_gone_blind_make_the_study_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    seeing, is_refuted = false_promotion(run(NULLS))
    assert seeing <= 0.02
    assert not is_refuted

    # Either of the two is strict enough for these worlds.
    monkeypatch.setattr(control_findings, "deflated_by_luck", lambda *_, **__: 1.0)
    monkeypatch.setattr(
        control_findings, "step_down_of_winners", lambda _, edges, *__, **___: 0.0 * edges[:, 0]
    )

    blind, is_refuted = false_promotion(run(NULLS))
    assert blind > 0.03
    assert is_refuted


def test_a_gate_that_refuses_everything_makes_the_study_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(NULLS, parts=(Part(family=Family.NOISE_25, years=20, count=8),))
    assert not run(plan).missed

    monkeypatch.setattr(control_findings, "deflated_by_luck", lambda *_, **__: 0.0)

    [missed] = run(plan).missed
    assert missed.is_power


def test_the_table_and_the_pictures_show_every_family(tmp_path: Path) -> None:
    study = run(TINY)
    said = table(study)

    assert "25 independent strategies" in said
    assert "157 moving averages on a steady rise" in said
    assert "OPEN" in said
    written = write_figures(study, tmp_path)
    assert [path.name for path in written] == ["power.svg", "false-promotion.svg", "frontier.svg"]
    first = [path.read_bytes() for path in written]
    assert first == [path.read_bytes() for path in write_figures(study, tmp_path)]


def test_the_quick_study_holds_every_family_that_claims_something_and_the_whole_one_400_worlds() -> None:
    quick = {part.family for part in control_run.QUICK.parts}
    claimed = set(Family) - {Family.OVERFITTED}
    counts: dict[Family, int] = {}
    for part in control_run.WHOLE.parts:
        counts[part.family] = counts.get(part.family, 0) + part.count

    assert quick == claimed
    assert set(counts) == set(Family)
    assert min(counts[family] for family in claimed - {Family.PLANTED_RECIPE}) >= 400
    assert json.dumps(control_run.QUICK.quick) == "true"
