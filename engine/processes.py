"""Worker processes: spawned, one thread each, gone when their parent is gone."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait

# Read by the numerical libraries when they are loaded, so they must stand before a worker starts.
_ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


@contextmanager
def worker_processes(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of worker processes; the work that has not begun is dropped on leaving.

    More processes with many threads each would only fight for the same cores, and sums that are split over
    threads differ in their last bits.
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    pool = ProcessPoolExecutor(
        n_workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_worker() -> None:
    # Ctrl-C goes to the whole group; the parent decides, and a worker that dies first looks like a crash.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent closes nothing: without this the worker would wait for work for ever.
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a worker only"
    wait([parent.sentinel])
    os._exit(1)
