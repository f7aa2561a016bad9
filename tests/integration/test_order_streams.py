"""Equal inputs give equal orders: no hash seed, number of threads or vector unit changes one."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.order_streams import DATA, GOLDEN, PACKAGED, journals, order_streams

REPOSITORY = Path(__file__).parents[2]
# What these name is looked for and switched off, in numpy and in compiled kernels.
WITHOUT_AVX512 = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "NUMBA_CPU_FEATURES": "-avx512f,-avx512bw,-avx512cd,-avx512dq,-avx512vl",
}


def golden() -> dict[str, str]:
    known: dict[str, str] = json.loads(GOLDEN.read_text("utf-8"))
    return known


def hashes_elsewhere(environment: Mapping[str, str], *arguments: str) -> dict[str, dict[str, str]]:
    """Return the hashes of orders and journals that a fresh process finds under other circumstances."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.order_streams", *arguments],
        cwd=REPOSITORY,
        env=os.environ | dict(environment),
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, dict[str, str]] = json.loads(answer.stdout)
    return found


def test_every_strategy_has_its_golden_order_stream() -> None:
    assert order_streams() == golden()
    assert len(golden()) == (len(PACKAGED) + 1) * len(DATA)
    assert len(set(golden().values())) == len(golden())


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ({"PYTHONHASHSEED": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, ()),
        ({"PYTHONHASHSEED": "2", "NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}, ("--threads",)),
        (WITHOUT_AVX512, ()),
    ],
    ids=["another hash seed, one thread", "a third hash seed, two threads", "without AVX-512"],
)
def test_no_circumstance_changes_an_order_or_a_journal(
    environment: Mapping[str, str], arguments: tuple[str, ...]
) -> None:
    assert hashes_elsewhere(environment, *arguments) == {"orders": golden(), "journals": journals()}
