"""Who does independent pieces of work: this process, processes beside it, or (in `research`) a cluster.

All of them give the same answers in whatever order they come, so results never depend on who did the work.
"""

import os
import pickle
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from engine.domain.errors import SimulatorError
from engine.processes import worker_processes

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# A piece of work that takes its worker down so often is itself what is wrong.
ATTEMPTS = 5
# Pieces under way for each worker: enough that none waits, few enough that answers do not pile up.
_AHEAD = 2


class Shared(Protocol[T_co]):
    """A value that is handed out once and read by many pieces of work."""

    def get(self) -> T_co:
        """Return the value, wherever this is called."""


class Workforce(Protocol):
    """Does pieces of work that do not depend on one another."""

    @property
    def size(self) -> int:
        """How many pieces are done at a time; 0: none beside this process."""

    def share(self, value: T) -> Shared[T]:
        """Place a value where every worker finds it."""

    def stream(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Yield (place of the task, answer) as answers come.

        Parameters
        ----------
        function
            Of a module, called with the values of each task. Pure: work of a lost worker is done again.

        Raises
        ------
        SimulatorError
            If a piece of work lost its worker again and again.
        """


@dataclass(frozen=True, slots=True)
class Here(Generic[T]):
    """A value shared with nobody else."""

    value: T

    def get(self) -> T:
        """Return the value."""
        return self.value


class ThisProcess:
    """Does everything itself, in order."""

    size = 0

    def share(self, value: T) -> Shared[T]:
        """Keep the value."""
        return Here(value)

    def stream(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Yield answers in the order of the tasks."""
        for place, task in enumerate(tasks):
            yield place, function(*task)


THIS_PROCESS = ThisProcess()


@dataclass(frozen=True, slots=True)
class InFile(Generic[T]):
    """A value in a file, read once by each process that asks for it."""

    path: str

    def get(self) -> T:
        """Return the value."""
        if self.path not in _READ:
            _READ[self.path] = pickle.loads(Path(self.path).read_bytes())  # written by the parent
        value: T = _READ[self.path]
        return value


_READ: dict[str, Any] = {}


class LocalWorkers:
    """Processes on this machine, started when there is work; a lost one is replaced. A context manager.

    Parameters
    ----------
    size
        Number of processes, at least 1.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._pools = ExitStack()
        self._pool: ProcessPoolExecutor | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pools.close()
        if self._folder is not None:
            self._folder.cleanup()

    def share(self, value: T) -> Shared[T]:
        """Write the value to a file that workers read once."""
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="gauntlet-shared-")
            descriptor, path = tempfile.mkstemp(dir=self._folder.name)
        with os.fdopen(descriptor, "wb") as file:
            pickle.dump(value, file, protocol=pickle.HIGHEST_PROTOCOL)
        return InFile(path)

    def stream(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Yield answers as they come; work of a lost worker is done again."""
        waiting = deque(range(len(tasks)))
        lost: Counter[int] = Counter()
        running: dict[Future[T], tuple[int, ProcessPoolExecutor]] = {}
        while waiting or running:
            pool = self._current()
            while waiting and len(running) < _AHEAD * self.size:
                place = waiting.popleft()
                try:
                    running[pool.submit(function, *tasks[place])] = (place, pool)
                except BrokenProcessPool:
                    waiting.appendleft(place)
                    self._replace(pool)
                    pool = self._current()
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                place, of_pool = running.pop(future)
                try:
                    answer = future.result()
                except BrokenProcessPool as error:
                    lost[place] += 1
                    if lost[place] >= ATTEMPTS:
                        raise SimulatorError(
                            f"a worker process ended unexpectedly {ATTEMPTS} times at the same piece of work "
                            f"({function.__module__}.{function.__qualname__}); is there enough memory?"
                        ) from error
                    self._replace(of_pool)
                    waiting.appendleft(place)
                    continue
                yield place, answer

    def _current(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = self._pools.enter_context(worker_processes(self.size))
            return self._pool

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        """Leave a pool that lost a worker; whoever notices first does so."""
        with self._lock:
            if self._pool is broken:
                self._pool = None
