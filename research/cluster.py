"""A workforce on many machines: Ray, with the same pieces of work and the same answers as on one.

Every machine needs the same version of everything, which is checked before any work is given out: another
core would give other fills under the same hash.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from engine.compiled import CORE_VERSION
from engine.domain.errors import InputError, SimulatorError
from engine.workforce import ATTEMPTS, Shared
from research.sources import library_versions, sources_hash

T = TypeVar("T")

LOCAL = "local"
AUTO = "auto"
_ANSWER_SECONDS = 5.0
# Pieces under way for each core of the cluster.
_AHEAD = 2
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class InStore(Generic[T]):
    """A value in the object store: one copy a machine, arrays read where they lie."""

    reference: Any

    def get(self) -> T:
        """Return the value."""
        import ray

        value: T = ray.get(self.reference)
        return value


class RayCluster:
    """Workers of a Ray cluster, for as long as the block lasts.

    Parameters
    ----------
    address
        As `ray.init` takes it, such as "10.0.0.1:6379"; "auto" for the cluster that this machine is part of;
        "local" starts one here.
    memory_mb
        That a piece of work may need: no machine is given more of them at a time than fit.

    Raises
    ------
    InputError
        If Ray is not installed, there is no such cluster, or a machine of it runs another version.
    """

    def __init__(self, address: str, *, memory_mb: int = 1024) -> None:
        self._address = address
        self._memory = memory_mb * 1024 * 1024

    def __enter__(self) -> Self:
        try:
            import ray
        except ImportError as error:
            raise InputError(
                f"--ray {self._address}: Ray is not installed here; pip install 'gauntlet[cluster]'"
            ) from error

        self._refuse_silence()
        # Workers run this checkout, with one thread each: more would fight for the same cores.
        variables = dict.fromkeys(_ONE_THREAD, "1") | {
            name: os.environ[name] for name in ("GAUNTLET_HOME",) if name in os.environ
        }
        # A machine that is lost is told by what is done about it, not by pages of another program's log.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        try:
            ray.init(
                address=None if self._address == LOCAL else self._address,
                runtime_env={"env_vars": variables},
                include_dashboard=False if self._address == LOCAL else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"--ray {self._address}: no cluster answers there ({error})") from error
        self._ray = ray
        try:
            self._refuse_other_versions()
        except BaseException:
            ray.shutdown()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    @property
    def size(self) -> int:
        """Cores of the cluster, at least 1."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def share(self, value: T) -> Shared[T]:
        """Place the value in the object store."""
        return InStore(self._ray.put(value))

    def stream(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Yield answers as they come; Ray does the work of a lost worker or machine again.

        Raises
        ------
        SimulatorError
            If a piece of work lost its worker again and again.
        """
        remote = self._ray.remote(function).options(
            num_cpus=1, memory=self._memory, max_retries=ATTEMPTS - 1, retry_exceptions=False
        )
        running: dict[Any, int] = {}
        following = iter(enumerate(tasks))
        exhausted = False
        while running or not exhausted:
            while not exhausted and len(running) < _AHEAD * self.size:
                try:
                    place, task = next(following)
                except StopIteration:
                    exhausted = True
                    break
                running[remote.remote(*task)] = place
            if not running:
                break
            finished, _ = self._ray.wait(list(running), num_returns=1)
            for reference in finished:
                place = running.pop(reference)
                yield place, self._answer(reference, function)

    def _answer(self, reference: Any, function: Callable[..., T]) -> T:
        try:
            answer: T = self._ray.get(reference)
        except (
            self._ray.exceptions.WorkerCrashedError,
            self._ray.exceptions.NodeDiedError,
            self._ray.exceptions.ObjectLostError,
            self._ray.exceptions.OutOfMemoryError,
        ) as error:
            raise SimulatorError(
                f"the cluster lost the same piece of work {ATTEMPTS} times "
                f"({function.__module__}.{function.__qualname__}): {error}"
            ) from error
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, Exception) else error from None
        return answer

    def _refuse_silence(self) -> None:
        """Refuse an address where nobody listens: Ray itself would wait for minutes, then end the program."""
        host, colon, port = self._address.removeprefix("ray://").rpartition(":")
        if not colon or not port.isdigit():
            if self._address not in (LOCAL, AUTO):
                raise InputError(f"--ray {self._address}: give HOST:PORT, auto or local")
            return
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise InputError(f"--ray {self._address}: no cluster answers there ({error})") from error

    def _refuse_other_versions(self) -> None:
        here = _versions()
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        for node in self._ray.nodes():
            if not node["Alive"] or not node["Resources"].get("CPU"):
                continue
            placed = self._ray.remote(_versions).options(
                num_cpus=0, scheduling_strategy=strategy(node_id=node["NodeID"], soft=False)
            )
            there = self._ray.get(placed.remote())
            if there != here:
                different = [
                    f"{name} {there.get(name)} instead of {here.get(name)}"
                    for name in sorted(here.keys() | there.keys())
                    if here.get(name) != there.get(name)
                ]
                raise InputError(
                    f"--ray {self._address}: machine {node['NodeManagerAddress']} runs "
                    f"{', '.join(different)}; install the same version on every machine"
                )


def _versions() -> dict[str, str]:
    sources = sources_hash("engine", "research", "strategies")
    return {"core": CORE_VERSION, "sources": sources[:16], **dict(library_versions())}
