"""What every test shares: a home of its own outside the repository, and reproducible examples."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from engine.home import cache_folder

# Equal runs try equal examples, and the first call of a kernel compiles for seconds.
settings.register_profile(
    "gauntlet", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gauntlet")


# What a shell starts in the background ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read before any test changes the home.
KERNELS = cache_folder() / "kernels"


def _make_home(folder: Path) -> Path:
    """Make an empty home; only compiled kernels are shared, because compiling takes longer than all tests."""
    (folder / "cache").mkdir(parents=True)
    KERNELS.mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "kernels").symlink_to(KERNELS, target_is_directory=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point GAUNTLET_HOME at a temporary folder, so that no test writes into the user's runs and state."""
    home = _make_home(tmp_path_factory.mktemp("home") / "gauntlet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAUNTLET_HOME", str(home))
        # MLflow takes seconds to load: tests that are about tracking ask for it.
        patch.setenv("GAUNTLET_TRACKING", "off")
        yield home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give one test an empty GAUNTLET_HOME of its own: no runs, no data sets, no trials."""
    folder = _make_home(tmp_path / "gauntlet")
    monkeypatch.setenv("GAUNTLET_HOME", str(folder))
    return folder
