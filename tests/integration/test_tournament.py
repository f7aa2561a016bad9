"""`engine tournament` as it is typed: equal inputs, equal bytes, whatever happened in between."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.builders import random_panel
from tests.conftest import KERNELS
from tests.paper import engine

REPOSITORY = Path(__file__).parents[2]
ENGINE = "from engine.cli.main import main; main()"

CONFIGURATION = """
universes:
  - name: walk
strategies: [trend, buy_and_hold]
parameters:
  trend: {fast: 5, slow: 40}
windows: {train: 120, test: 40, step: 20, purge: 1, embargo: 0}
selections: [all, log_mps]
rebalances: [window, daily_5pct]
allocations:
  native: [equal_weight, inverse_volatility]
  riskfolio: []
simulators: [core, frictionless]
costs: us_equity
limits: research_default
resampling: {permutations: 19}
"""
# Every worker loads the engine anew: where their number is not what is asked, there is one.
ALONE = ("--workers", "1")
KEYS = {"run_id", "content_hash", "columns", "rows", "candidates", "controls", "void"}


class Home:
    """A folder of its own with a small random data set and a configuration."""

    def __init__(self, folder: Path, configuration: str = CONFIGURATION) -> None:
        self.folder = folder
        (folder / "cache").mkdir(parents=True)
        for kept in (KERNELS, KERNELS.with_name("vectorbt")):
            kept.mkdir(parents=True, exist_ok=True)
            (folder / "cache" / kept.name).symlink_to(kept, target_is_directory=True)
        self.file = folder / "configs" / "small.yaml"
        self.file.parent.mkdir()
        for profiles in ("costs", "limits"):
            (self.file.parent / profiles).symlink_to(REPOSITORY / "configs" / profiles)
        self.file.write_text(configuration)
        self._import_walk()

    def _import_walk(self) -> None:
        panel = random_panel(700, 4, seed=11, volatility=0.01)
        days = panel.timestamps.astype("datetime64[ns]").astype("datetime64[D]")
        paths = []
        for column, symbol in enumerate(panel.symbols):
            lines = ["date,open,high,low,close,volume"]
            for row, day in enumerate(days):
                prices = (panel.open, panel.high, panel.low, panel.close)
                numbers = [f"{values[row, column]!r}" for values in prices]
                lines.append(f"{day},{','.join(numbers)},1e9".replace("np.float64(", "").replace(")", ""))
            paths.append(self.folder / f"{symbol}.csv")
            paths[-1].write_text("\n".join(lines) + "\n")
        # Not what is tested here: in this process, because one of its own would take seconds to load.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GAUNTLET_HOME", str(self.folder))
            said = engine(
                "data", "import", "walk", *map(str, paths), "--timeframe", "1d", "--timezone", "UTC",
                "--calendar", "24/7", "--json",
            )  # fmt: skip
        assert said.code == 0, said.errors

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "GAUNTLET_HOME": str(self.folder)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", ENGINE, *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def engine(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def play(self, *more: str) -> dict[str, Any]:
        done = self.engine("tournament", "--config", str(self.file), "--json", "--no-tracking", *more)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def runs(self) -> dict[str, str]:
        """Hash every file of every run, by its path."""
        folder = self.folder / "runs"
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def finished(self, kind: str) -> dict[Path, int]:
        """Return the pieces of work that are kept, with the time at which each was written."""
        return {path: path.stat().st_mtime_ns for path in (self.folder / "cache" / kind).rglob("*.npz")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, Any]]:
    home = Home(tmp_path_factory.mktemp("undisturbed") / "home")
    return home, home.play("--workers", "2")


def test_the_document_is_a_contract(undisturbed: tuple[Home, dict[str, Any]]) -> None:
    _, document = undisturbed

    assert set(document) == KEYS
    assert document["columns"][:3] == ["strategy_id", "strategy", "universe"]
    assert not document["void"]
    assert document["candidates"] == []
    assert {control["name"] for control in document["controls"]} == {"peek", "no_edge", "planted"}
    assert all(control["behaved"] for control in document["controls"])


def test_every_configured_cell_and_every_baseline_has_a_row(
    undisturbed: tuple[Home, dict[str, Any]],
) -> None:
    _, document = undisturbed
    rows = document["rows"]
    cells = [row for row in rows if not row["is_baseline"]]
    coordinates = ("strategy", "selection", "rebalance", "engine", "profile", "simulator")

    assert len(cells) == 2 * 2 * 2 * 2 * 2
    assert len({tuple(row[name] for name in coordinates) for row in cells}) == len(cells)
    assert all(row["status"] == "ok" for row in rows)
    baselines = {(row["profile"], row["selection"]) for row in rows if row["is_baseline"]}
    assert baselines == {
        ("market", "all"),
        ("raw_pool_ew", "all"),
        ("benchmark", "all"),
        ("benchmark", "log_mps"),
    }


def test_what_every_window_chose_is_written_beside_the_board(
    undisturbed: tuple[Home, dict[str, Any]],
) -> None:
    home, document = undisturbed
    path = home.folder / "runs" / document["run_id"] / "selections.csv"
    with path.open(newline="") as file:
        choices = list(csv.DictReader(file))

    # 700 rows less the hold-out of a fifth are 560: windows start at 0, 20, ... up to 400.
    assert [(choice["selection"], int(choice["window"])) for choice in choices] == [
        (selection, window) for selection in ("all", "log_mps") for window in range(21)
    ]
    for choice in choices:
        assert choice["train_last"] < choice["test_first"]
        assert len(choice["symbols"].split(";")) == int(choice["selected"])
        # Only a choice can fall back, and then it is everything.
        if choice["fallback"] == "true":
            assert choice["selection"] == "log_mps"
            assert choice["selected"] == choice["eligible"]


def test_holding_everything_in_equal_parts_is_told_to_be_a_baseline(
    undisturbed: tuple[Home, dict[str, Any]],
) -> None:
    _, document = undisturbed
    held = [
        row
        for row in document["rows"]
        if row["strategy"] == "buy_and_hold"
        and row["profile"] == "equal_weight"
        and row["simulator"] == "core"
    ]

    assert held
    assert all(row["baseline_equivalent"] for row in held)
    assert not any(row["is_candidate"] or row["verdict"] == "HOLD" for row in held)


def test_a_second_run_gives_the_same_bytes_and_does_nothing_twice(
    undisturbed: tuple[Home, dict[str, Any]],
) -> None:
    home, document = undisturbed
    files, cells = home.runs(), home.finished("cells")

    again = home.play("--workers", "1", "--fresh")

    assert again == document
    assert home.runs() == files
    assert home.finished("cells") == cells


def test_a_board_of_equal_inputs_is_found_and_one_that_was_edited_is_made_again(
    undisturbed: tuple[Home, dict[str, Any]],
) -> None:
    home, document = undisturbed
    files = home.runs()
    board = home.folder / "runs" / document["run_id"] / "board.json"
    board.write_text(board.read_text().replace('"FAIL"', '"PASS"', 1))

    done = home.engine("tournament", "--config", str(home.file), "--no-tracking", "--json")
    found = home.engine("tournament", "--config", str(home.file), "--no-tracking", "--json")

    assert json.loads(done.stdout) == document == json.loads(found.stdout)
    assert "judged" in done.stderr
    assert "found with equal inputs" in found.stderr
    assert "judged" not in found.stderr
    assert home.runs() == files


def test_another_home_and_another_number_of_workers_give_the_same_bytes(
    undisturbed: tuple[Home, dict[str, Any]], tmp_path: Path
) -> None:
    home, document = undisturbed
    other = Home(tmp_path / "home")

    assert other.play("--workers", "1") == document
    # The page names the configuration file as it was given; everything else is equal.
    assert other.runs().keys() == home.runs().keys()
    csv = f"{document['run_id']}/tournament_scoreboard.csv"
    assert other.runs()[csv] == home.runs()[csv]


def _wait_for(there: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("moment", ["selections", "cells", "trials"])
def test_killed_at_any_moment_and_run_again_it_gives_the_same_bytes(
    undisturbed: tuple[Home, dict[str, Any]], tmp_path: Path, moment: str
) -> None:
    _, document = undisturbed
    home = Home(tmp_path / "home")
    process = home.start(
        "tournament", "--config", str(home.file), "--no-tracking", "--json", "--workers", "2"
    )
    trials = home.folder / "state" / "trials" / "walk-1d.jsonl"
    _wait_for(trials.exists if moment == "trials" else lambda: bool(home.finished(moment)), process)
    process.kill()
    process.communicate()
    finished = home.finished("cells") | home.finished("selections")

    again = home.play()

    assert again == document
    kept = home.finished("cells") | home.finished("selections")
    assert all(kept[path] == written for path, written in finished.items())
    csv = f"{document['run_id']}/tournament_scoreboard.csv"
    assert home.runs()[csv] == undisturbed[0].runs()[csv]


def test_ctrl_c_says_so_and_the_same_command_carries_on(
    undisturbed: tuple[Home, dict[str, Any]], tmp_path: Path
) -> None:
    _, document = undisturbed
    home = Home(tmp_path / "home")
    process = home.start("tournament", "--config", str(home.file), "--no-tracking", "--json")
    _wait_for(lambda: bool(home.finished("selections")), process)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert output == ""
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert home.play() == document


def test_a_trial_of_someone_else_makes_it_another_run(
    undisturbed: tuple[Home, dict[str, Any]], tmp_path: Path
) -> None:
    _, document = undisturbed
    home = Home(tmp_path / "home")
    tried = home.engine("backtest", "--strategy", "channel_breakout", "--data", "walk", "--json")
    assert tried.returncode == 0, tried.stderr

    played = home.play(*ALONE)

    # It deflates every Sharpe ratio, so it is an input like any other.
    assert played["run_id"] != document["run_id"]
    assert {row["trials"] for row in played["rows"]} == {document["rows"][0]["trials"] + 1}


def test_what_controls_were_deflated_by_is_an_input_too(
    undisturbed: tuple[Home, dict[str, Any]], tmp_path: Path
) -> None:
    _, document = undisturbed
    home = Home(tmp_path / "home", CONFIGURATION + "controls: {seed: 8}\n")
    home.play(*ALONE)
    home.file.write_text(CONFIGURATION)

    played = home.play(*ALONE)

    # The register of the random control now holds the tries of both seeds, so it may be judged otherwise.
    assert played["run_id"] != document["run_id"]


def test_a_run_whose_control_misbehaves_is_void(tmp_path: Path) -> None:
    # No account trades a billion times, so the planted edge cannot pass: the gates are broken.
    home = Home(tmp_path / "home", CONFIGURATION + "gates: {trades: 1000000000}\n")
    done = home.engine("tournament", "--config", str(home.file), "--no-tracking", "--json", *ALONE)
    document = json.loads(done.stdout)

    assert done.returncode == 3
    assert document["void"]
    assert document["candidates"] == []
    [planted] = [control for control in document["controls"] if control["name"] == "planted"]
    assert not planted["behaved"]
    folder = home.folder / "runs" / document["run_id"]
    assert not (folder / "tournament_candidates.csv").exists()
    assert "VOID" in (folder / "tournament_scoreboard.md").read_text()


def test_vectorbt_plays_the_same_decisions_to_nearly_the_same_end(tmp_path: Path) -> None:
    home = Home(
        tmp_path / "home",
        CONFIGURATION.replace("[core, frictionless]", "[core, vectorbt]").replace("[all, log_mps]", "[all]"),
    )
    rows = {
        (row["strategy"], row["rebalance"], row["profile"], row["simulator"]): row
        for row in home.play(*ALONE)["rows"]
    }
    pairs = [(row, rows[(*key[:3], "vectorbt")]) for key, row in rows.items() if key[3] == "core"]

    assert len(pairs) == 2 * 2 * 2 + 3 * 2
    for core, second in pairs:
        assert second["status"] == "ok", second["problem"]
        assert second["final_equity"] == pytest.approx(core["final_equity"], rel=1e-3)


def test_a_strategy_that_reads_the_future_is_refused_and_shown(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    own = tmp_path / "project"
    (own / "strategies").mkdir(parents=True)
    cheat = (REPOSITORY / "research" / "faults" / "_peek.py").read_text()
    cheat = cheat.replace("class Peek(", "class Cheat(").replace(
        "    panel: Panel | None = None",
        "    import engine.data.catalogue as catalogue\n\n    panel: Panel | None = catalogue.load('walk')",
    )
    (own / "strategies" / "cheat.py").write_text(cheat)
    home.file.write_text(
        CONFIGURATION.replace("[trend, buy_and_hold]", "[trend, cheat]").replace("[all, log_mps]", "[all]")
    )
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            ENGINE,
            "tournament",
            "--config",
            str(home.file),
            "--no-tracking",
            "--json",
            *ALONE,
        ],
        cwd=own,
        env={**home.environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    rows = json.loads(process.stdout)["rows"]

    refused = [row for row in rows if row["strategy"] == "cheat"]
    assert len(refused) == 1
    assert refused[0]["verdict"] == "FAIL"
    assert refused[0]["total_return"] is None
    assert any(row["strategy"] == "trend" and row["total_return"] is not None for row in rows)


def test_require_pass_exits_4_when_nothing_passed(undisturbed: tuple[Home, dict[str, Any]]) -> None:
    home, _ = undisturbed
    done = home.engine("tournament", "--config", str(home.file), "--no-tracking", "--json", "--require-pass")

    assert done.returncode == 4
    assert set(json.loads(done.stdout)) == KEYS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name: walk", "name: wlak"), "Did you mean walk"),
        (("[trend, buy_and_hold]", "[trend, buy_and_hodl]"), "did you mean 'buy_and_hold'"),
        (("train: 120", "train: 5000"), "data set walk: walk-forward"),
        (("fast: 5", "fsat: 5"), "did you mean 'fast'"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_played(
    undisturbed: tuple[Home, dict[str, Any]], tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    home, _ = undisturbed
    file = home.file.with_name(f"{tmp_path.name}.yaml")
    file.write_text(CONFIGURATION.replace(*change))
    done = home.engine("tournament", "--config", str(file))

    assert done.returncode == 2
    assert done.stdout == ""
    assert words in " ".join(done.stderr.split())


def test_nothing_to_play_on_is_an_error(undisturbed: tuple[Home, dict[str, Any]]) -> None:
    done = undisturbed[0].engine("tournament")

    assert done.returncode == 2
    assert "--data us20" in done.stderr


def test_data_and_config_together_play_the_file_on_other_data(
    undisturbed: tuple[Home, dict[str, Any]],
) -> None:
    document = undisturbed[0].play("--data", "us5", *ALONE)

    assert {row["universe"] for row in document["rows"]} == {"us5"}
