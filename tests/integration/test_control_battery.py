"""Worlds through the core and all gates of the board: the planted edge passes, coin tosses do not."""

import math
from pathlib import Path

import numpy as np
import pytest

from engine.data import catalogue
from research.control_bars import overfitted
from research.control_play import Effort
from scoreboards import control_battery
from scoreboards.control_battery import permuted_bars, planted_recipe, random_entries

EFFORT = Effort(bootstraps=99, permutations=19)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing that a control plays may count as a trial of the data.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAUNTLET_HOME", str(tmp_path))


def test_the_planted_recipe_passes_every_gate_and_leaves_no_trial(tmp_path: Path) -> None:
    world = planted_recipe(0, EFFORT)

    assert world.battery is True
    assert world.refused_by == ()
    assert not (tmp_path / "state").exists()


def test_coin_tosses_and_permuted_bars_pass_not_every_gate() -> None:
    for play in (random_entries, permuted_bars):
        world = play(0, EFFORT)

        assert world.battery is False
        assert world.refused_by
        assert world.finding is not None
        assert not world.finding.is_promoted()
        assert world.finding.n_days == len(catalogue.load("us20")) - 189


def test_a_world_is_asked_every_gate_once_it_passes_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_battery, "annualized_lower_bound", lambda *_, **__: 1.0)

    world = random_entries(0, EFFORT)

    assert world.battery is False
    assert {"deflated_sharpe", "spa"} <= set(world.refused_by)


def test_the_best_of_many_tossed_coins_is_judged_as_one_of_many() -> None:
    few, many = (overfitted(0, EFFORT, columns=columns).finding for columns in (5, 40))

    assert few is not None
    assert many is not None
    assert many.n_effective > 4 * few.n_effective > 8
    assert math.isnan(many.permutation)
    assert np.isfinite(many.bootstrap_bound)
