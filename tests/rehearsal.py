"""A home in which a small tournament with a planted edge was played, for tests of what comes after."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import KERNELS

REPOSITORY = Path(__file__).parents[1]
ENGINE = "from engine.cli.main import main; main()"

CONFIGURATION = """
universes: [{name: planted}]
strategies: [trend, mean_reversion]
selections: [all]
rebalances: [window]
allocations: {native: [equal_weight], riskfolio: []}
simulators: [core, frictionless]
costs: house
"""
COSTS = "name: house\ntaker_fee_bps: 10.0\nmaker_fee_bps: 10.0\nslippage_bps: 5.0\n"


class Rehearsal:
    """A home in which a tournament was played."""

    costs: Path
    board: dict[str, Any]
    passed: dict[str, Any]
    failed: dict[str, Any]

    def __init__(self, folder: Path, *, of: "Rehearsal | None" = None) -> None:
        """Play the tournament, or take what another one left into a home of its own."""
        self.home = folder / "home"
        self.project = folder / "project"
        if of is not None:
            shutil.copytree(of.home, self.home, symlinks=True)
            shutil.copytree(of.project, self.project)
            self.costs = self.project / of.costs.relative_to(of.project)
            self.board, self.passed, self.failed = of.board, of.passed, of.failed
            return
        (self.home / "cache").mkdir(parents=True)
        (self.project / "costs").mkdir(parents=True)
        KERNELS.mkdir(parents=True, exist_ok=True)
        (self.home / "cache" / "kernels").symlink_to(KERNELS, target_is_directory=True)
        (self.project / "small.yaml").write_text(CONFIGURATION)
        self.costs = self.project / "costs" / "house.yaml"
        self.costs.write_text(COSTS)
        self.board = self.json("tournament", "--config", "small.yaml")
        rows = {row["strategy"]: row for row in self.board["rows"] if row["simulator"] == "core"}
        self.passed, self.failed = rows["trend"], rows["mean_reversion"]

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "GAUNTLET_HOME": str(self.home), "PYTHONPATH": str(REPOSITORY)}

    def engine(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", ENGINE, *arguments],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        done = self.engine(*arguments, "--json")
        assert done.returncode == code, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    @property
    def journal(self) -> Path:
        return self.home / "state" / "promotions"

    def report_folder(self, strategy_id: str) -> Path:
        run_id: str = self.board["run_id"]
        return self.home / "runs" / run_id / "reports" / strategy_id
