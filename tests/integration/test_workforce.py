"""Work gives the same bytes whoever does it, and a worker that is lost costs none of it."""

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.errors import InputError, InvalidValueError, SimulatorError
from engine.domain.portfolio import Invest, Plan
from engine.features.operators import close, ema, where
from engine.pipeline.run import Settings
from engine.workforce import ATTEMPTS, THIS_PROCESS, LocalWorkers, Workforce
from research.batches import Batch, Simulators, Work, simulation, variation, without_limits
from research.cell_store import CellStore
from research.cells import Simulator, Variant
from research.cluster import RayCluster
from tests.builders import random_panel


def works() -> list[Work]:
    panel = random_panel(400, 6, seed=5)
    rows = np.arange(60, 380, 20)
    plans = tuple(
        Plan(rows=rows, weights=np.random.default_rng(seed).dirichlet(np.ones(6), len(rows)))
        for seed in range(3)
    )
    found = []
    for slow in range(10, 34, 4):
        root = where(ema(close, 5) > ema(close, slow), 1.0, 0.0)
        settings = Settings(start_row=60)
        batch = Batch(panel=panel, root=root, invest=Invest.FULL, plans=plans, settings=settings)
        pool = Batch(panel=panel, root=None, invest=Invest.SCALED, plans=plans, settings=settings)
        found += [simulation(batch, kind) for kind in (Simulator.CORE, Simulator.STRESSED)]
        found += [without_limits(batch), variation(batch, pool, Variant.LATE, 0.0)]
    return found


def played(folder: Path, workforce: Workforce) -> dict[str, str]:
    """Do all work; return the hash of every file that was kept."""
    with Simulators(CellStore(folder), threads=1) as simulators:
        simulators.ahead(works(), workforce)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.npz")}


def test_processes_keep_the_bytes_that_this_process_keeps(tmp_path: Path) -> None:
    with LocalWorkers(2) as workers:
        there = played(tmp_path / "there", workers)

    assert len(there) == 24
    assert there == played(tmp_path / "here", THIS_PROCESS)


def die_once(place: int, folder: str) -> int:
    """Kill this worker the first time that it comes here with an odd number."""
    mark = Path(folder) / str(place)
    if place % 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return place * place


def die_always() -> None:
    """Kill this worker."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(value: str) -> None:
    """Raise what a piece of work raises."""
    raise InvalidValueError(value)


def test_the_work_of_a_lost_process_is_done_again(tmp_path: Path) -> None:
    with LocalWorkers(2) as workers:
        answers = dict(workers.stream(die_once, [(place, str(tmp_path)) for place in range(4)]))

    assert answers == {0: 0, 1: 1, 2: 4, 3: 9}


def test_work_that_takes_its_worker_down_every_time_ends_the_run_and_is_named() -> None:
    with LocalWorkers(1) as workers, pytest.raises(SimulatorError, match=rf"{ATTEMPTS} times.*die_always"):
        list(workers.stream(die_always, [()]))


def test_an_error_of_the_work_is_the_error_of_the_run() -> None:
    with LocalWorkers(1) as workers, pytest.raises(InvalidValueError, match="no such thing"):
        list(workers.stream(fail, [("no such thing",)]))


def test_a_value_is_handed_out_once_and_read_by_every_worker() -> None:
    with LocalWorkers(2) as workers:
        shared = workers.share({"bars": 7})
        answers = dict(workers.stream(read, [(shared,)] * 3))

    assert set(answers.values()) == {7}


def read(shared: Any) -> int:
    """Return what is shared."""
    value: int = shared.get()["bars"]
    return value


@contextmanager
def cluster_of_four(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Any]]]:
    """Yield a Ray cluster whose work is done by four machines with one core each, as far as Ray knows."""
    from ray.cluster_utils import Cluster

    # Ray's workers are other processes: they find the tests as this one does.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    store: dict[str, Any] = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **store}
    )
    try:
        yield cluster, [cluster.add_node(num_cpus=1, **store) for _ in range(3)]
    finally:
        cluster.shutdown()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_cluster_that_loses_a_machine_keeps_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[Any] = []
    with cluster_of_four(monkeypatch) as (cluster, machines), RayCluster(cluster.address) as workers:
        with Simulators(CellStore(tmp_path / "there"), threads=1) as simulators:

            def lose_one(done: int, _total: int) -> None:
                if done >= 3 and not lost:
                    lost.append(machines.pop())
                    cluster.remove_node(lost[0], allow_graceful=False)

            simulators.ahead(works(), workers, progress=lose_one)
        with pytest.raises(InvalidValueError, match="no such thing"):
            list(workers.stream(fail, [("no such thing",)]))
    there = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / "there").rglob("*.npz")
    }

    assert lost
    assert len(there) == 24
    assert there == played(tmp_path / "here", THIS_PROCESS)


def test_an_address_where_no_cluster_answers_is_one_clear_error() -> None:
    with pytest.raises(InputError, match=r"--ray 127\.0\.0\.1:1"), RayCluster("127.0.0.1:1"):
        pass


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="give HOST:PORT, auto or local"), RayCluster("somewhere"):
        pass
