"""What may stand in a tracked file, and what a wheel must hold."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("engine", "research", "strategies", "scoreboards")

# Written in pieces, so that this file does not find itself.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.$}~])/(?:home|Users|root|work)/[A-Za-z0-9_.-]+",
            r"[A-Z]:\\\\?Users\\",
            r"--(?:extra-)?index" + r"-url",
            r"registry = \"" + "http",
            "files." + "pythonhosted.org",
            "pypi.org/" + "simple",
        ]
    )
)


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout
    return [REPOSITORY / name for name in listing.split("\0") if name and (REPOSITORY / name).is_file()]


def test_no_tracked_file_names_this_machine_or_a_package_registry() -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        needles = [str(REPOSITORY) + "/", str(Path.home()) + "/"]
        for number, line in enumerate(text.splitlines(), 1):
            if FORBIDDEN.search(line) or any(needle in line for needle in needles):
                found.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:100]}")

    assert found == []


@pytest.mark.parametrize(
    "line", ["see /home" + "/ann/data.csv", "--index" + "-url x", "C:" + r"\Users\ann", "/root" + "/x"]
)
def test_the_search_for_machine_paths_finds_them(line: str) -> None:
    assert FORBIDDEN.search(line)


def test_package_files_hold_a_docstring_and_nothing_else() -> None:
    wordy = []
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("__init__.py"):
            body = ast.parse(path.read_text("utf-8")).body
            if len(body) > 1 or ast.get_docstring(ast.Module(body=body, type_ignores=[])) is None:
                wordy.append(str(path.relative_to(REPOSITORY)))

    assert wordy == []


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")}

    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_wheel_holds_every_tracked_file_of_the_packages(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())

    expected = {
        path.relative_to(REPOSITORY).as_posix()
        for path in tracked_files()
        if path.relative_to(REPOSITORY).parts[0] in PACKAGES
    }
    assert expected - packed == set()
