"""What tests of whole commands share."""

import pytest

from tests.rehearsal import Rehearsal


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Play one small tournament for all: it takes longer than what is asked about it."""
    return Rehearsal(tmp_path_factory.mktemp("rehearsal"))
