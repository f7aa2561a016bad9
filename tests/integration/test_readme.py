"""The strategy of the README is what it says: its code runs, and its output is the one shown."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text("utf-8")
ENGINE = Path(sys.executable).with_name("engine")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder in which a reader has done what the README says."""
    (file_name,) = re.findall(r"Put this into `(strategies/\w+\.py)`", README)
    code, *_ = blocks("python")
    path = tmp_path / file_name
    path.parent.mkdir()
    path.write_text(code, "utf-8")
    return tmp_path


def test_the_commands_of_the_readme_print_what_it_shows(project: Path, home: Path) -> None:
    shown = [block for block in blocks("text") if "steady_riser" in block]
    commands = [
        line.removeprefix("$ engine ").split()
        for block in blocks("console")
        for line in block.splitlines()
        if "steady_riser" in line
    ]

    printed = [
        subprocess.run(
            [ENGINE, *command], cwd=project, capture_output=True, text=True, encoding="utf-8", check=True
        ).stdout.strip("\n")
        + "\n"
        for command in commands
    ]

    assert home.is_dir()
    assert len(printed) == 2
    assert printed == shown


def test_the_orders_of_the_readme_are_orders() -> None:
    _, code = blocks("python")
    # It brings its own imports: a reader has nothing else.
    names: dict[str, Any] = {}

    exec(code, names)  # the README's own words

    assert len(names["orders"](None).roots) == 8


def test_every_command_of_the_readme_exists() -> None:
    commands = {
        tuple(line.split()[2:4]) if line.split()[2] in {"data", "strategy"} else (line.split()[2],)
        for block in blocks("console")
        for line in block.splitlines()
        if line.startswith("$ engine ")
    }

    assert ("data", "import") in commands
    for command in commands:
        shown = subprocess.run([ENGINE, *command, "--help"], capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stderr


def test_every_folder_and_picture_that_the_readme_names_exists() -> None:
    first_cells = re.findall(r"^\| (`[^|]+`) \|", README, flags=re.MULTILINE)
    folders = [name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)]
    links = re.findall(r"\]\(([^):]+)\)", README)

    assert len(folders) > 12
    for name in (*folders, *links):
        assert (REPOSITORY / name).exists(), name
