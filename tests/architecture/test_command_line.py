"""The command line is a contract: what it lists, what it may import, how it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli.main import COMMANDS, app

REPOSITORY = Path(__file__).parents[2]

RUN_AND_LIST_MODULES = """
import json, sys
from engine.cli.main import main
sys.argv = ["engine", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    code = ended.code
print(json.dumps({"code": code or 0, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def run_and_list_modules(*arguments: str) -> tuple[str, set[str], int]:
    """Return the output, the top-level modules imported and the exit code of one call."""
    result = subprocess.run(
        [sys.executable, "-c", RUN_AND_LIST_MODULES, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    output, _, facts = result.stdout.rstrip("\n").rpartition("\n")
    parsed = json.loads(facts)
    return output, set(parsed["modules"]), parsed["code"]


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    output, modules, code = run_and_list_modules("--help")

    assert code == 0
    for name in ("data", "strategy", "backtest", "tournament", "scoreboard"):
        assert f"\n  {name} " in output
    heavy = {"numpy", "numba", "pandas", "pydantic", "rich", "scipy", "matplotlib", "vectorbt", "ruamel"}
    assert modules & heavy == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_listed_command_exists_and_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], prog_name="engine")

    assert result.exit_code == 0, result.output
    assert f"Usage: engine {command}" in result.output
    assert COMMANDS[command][1] in result.output
    assert "completion" not in result.output


def test_an_unknown_command_names_the_nearest_and_exits_2() -> None:
    result = CliRunner().invoke(app, ["scoreborad"])

    assert result.exit_code == 2
    assert "No such command 'scoreborad'. Did you mean 'scoreboard'?" in result.output


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert (result.exit_code, result.output) == (0, "engine 0.1.0\n")


def test_what_the_user_can_mend_is_one_message_and_exit_2(home: Path) -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("engine"), "data", "show", "no-such-set"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )

    assert result.returncode == 2
    assert result.stdout == ""
    assert "no-such-set" in result.stderr
    assert "Traceback" not in result.stderr
    assert home.is_dir()


def test_an_interrupted_command_exits_130_and_says_that_it_can_be_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted() -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.cli.scoreboard.runs_folder", interrupted)

    result = CliRunner().invoke(app, ["scoreboard"])

    assert result.exit_code == 130
    assert "the same command carries on" in result.stderr
