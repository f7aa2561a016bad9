"""One lock: pyproject.toml, requirements.lock and environment.yml name the same things."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def locked() -> dict[str, list[str]]:
    """Return the locked versions by package; a package may be locked once per platform."""
    versions: dict[str, list[str]] = {}
    for line in (REPOSITORY / "requirements.lock").read_text("utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9_.-]+)==([^ ;\\]+)", line):
            versions.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return versions


def test_the_lock_satisfies_every_requirement_of_the_project(
    project: dict[str, Any], locked: dict[str, list[str]]
) -> None:
    required = [
        Requirement(text)
        for text in (
            *project["project"]["dependencies"],
            *project["project"]["optional-dependencies"]["bench"],
            *project["dependency-groups"]["dev"],
            *project["build-system"]["requires"],
        )
    ]

    unmet = [
        f"{requirement} (locked: {locked.get(canonicalize_name(requirement.name))})"
        for requirement in required
        if not any(
            requirement.specifier.contains(version)
            for version in locked.get(canonicalize_name(requirement.name), [])
        )
    ]

    assert unmet == [], "run `make lock`"


def test_every_locked_version_is_exact_and_has_hashes() -> None:
    text = (REPOSITORY / "requirements.lock").read_text("utf-8")
    logical = text.replace("\\\n", " ").splitlines()
    entries = [line for line in logical if line.strip() and not line.startswith("#")]

    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"^[A-Za-z0-9_.-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry[:80]


def test_the_conda_environment_installs_the_lock_and_nothing_else(project: dict[str, Any]) -> None:
    environment = YAML(typ="safe").load((REPOSITORY / "environment.yml").read_text("utf-8"))
    python, pip, by_pip = environment["dependencies"]

    assert environment["name"] == project["project"]["name"]
    assert python == "python" + project["project"]["requires-python"]
    assert pip == "pip"
    assert by_pip == {"pip": ["--require-hashes", "-r requirements.lock"]}
