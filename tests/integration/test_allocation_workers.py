"""Worker processes answer as this process does."""

from pathlib import Path

import numpy as np

from engine.allocation.allocator import Engine, Profile
from engine.allocation.cross_check import cross_check
from engine.allocation.facts import AllocationTask
from engine.allocation.solve import solve_many
from engine.workforce import LocalWorkers


def test_workers_give_the_weights_that_this_process_gives(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    tasks = [
        AllocationTask(engine=engine, profile=profile, returns=generator.normal(0, 0.01, (60, 4)))
        for engine in (Engine.RISKFOLIO, Engine.SKFOLIO)
        for profile in (Profile.MIN_VARIANCE, Profile.HRP, Profile.MEAN_CVAR)
    ]

    here = solve_many(tasks, facts=tmp_path / "here")
    with LocalWorkers(1) as workforce:
        there = solve_many(tasks, facts=tmp_path / "there", workforce=workforce)
        checks = cross_check(tasks, there, facts=tmp_path / "there", workforce=workforce)

    for one, other in zip(here, there, strict=True):
        assert one.weights is not None
        assert other.weights is not None
        assert one.weights.tolist() == other.weights.tolist()
    assert checks == cross_check(tasks, here, facts=tmp_path / "here")
    assert list(checks) == [0, 1, 2, 3, 4, 5]
    assert [check.problem for check in checks.values()] == [""] * 6
