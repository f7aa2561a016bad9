"""A pull that is killed while the exchange fails in every way ends with the data set of one that is not."""

from pathlib import Path

import pytest

from tests.ingestion_soak import soak
from tests.sandboxes import simulated_market

# Of thirteen; which ones depends on which thread asks first.
FAULTS_MET_AT_LEAST = 7


@pytest.mark.parametrize("seed", [1, 2])
def test_five_kills_and_all_faults_leave_the_data_set_of_an_undisturbed_pull(
    tmp_path: Path, seed: int
) -> None:
    market = simulated_market(pairs=4)
    symbols = tuple(pair.symbol for pair in market.pairs)

    found = soak(tmp_path, market, symbols=symbols, days=1, kills=5, seed=seed)

    assert found.differences == []
    assert found.kills == 5
    assert found.late > 0
    assert found.revised > 0
    assert len(found.dealt) >= FAULTS_MET_AT_LEAST
