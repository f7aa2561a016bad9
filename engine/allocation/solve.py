"""Many allocations at once: each distinct question solved once, in worker processes, kept as a fact."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.allocation.allocator import WEIGHT_UNITS, Engine, allocate, weights_of
from engine.allocation.facts import AllocationTask, FactStore, input_hash
from engine.domain.errors import AllocationError
from engine.domain.panel import FloatArray
from engine.processes import worker_processes

# Large enough that pickling costs nothing, small enough that both workers end together.
_CHUNK = 25
# A solver may answer differently on another CPU, by less than this.
_RECHECK_TOLERANCE = 5e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """The answer to one task.

    Attributes
    ----------
    weights
        Shape (n,), multiples of 1e-4 that sum to 1; None if there is no answer.
    problem
        Why there is none, else empty.
    seconds
        That the solver took; 0 for a fact that was known.
    """

    input_hash: str
    weights: FloatArray | None
    problem: str
    seconds: float


def solve_many(
    tasks: Sequence[AllocationTask],
    *,
    facts: Path,
    n_workers: int,
    recheck_every: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Solution, ...]:
    """Solve all tasks; the answers stand in the order of the tasks, whoever finished first.

    Parameters
    ----------
    facts
        Folder of the facts: what is there is not solved again, what is solved is kept as it arrives, so a
        run that was killed goes on where it was.
    n_workers
        Worker processes; 0 solves in this process. Native profiles are always solved in this process.
    recheck_every
        Solve about one in so many known facts again and compare; 0 for none.
    progress
        Called with the number of distinct tasks done, and of all.

    Raises
    ------
    AllocationError
        If a fact that was solved again came out differently: then the facts are not from these solvers.
    """
    store = FactStore(facts)
    keys = [input_hash(task) for task in tasks]
    distinct = dict(zip(keys, tasks, strict=True))
    known: dict[str, Solution] = {}
    for key in distinct:
        units = store.read(key)
        if units is not None:
            known[key] = Solution(input_hash=key, weights=weights_of(units), problem="", seconds=0.0)
    rechecked = {key for key in known if recheck_every and int(key[:8], 16) % recheck_every == 0}
    questions = [(key, task) for key, task in distinct.items() if key not in known or key in rechecked]
    n_done = len(distinct) - len(questions)

    def take(solutions: Sequence[Solution]) -> None:
        nonlocal n_done
        for solution in solutions:
            if solution.input_hash in rechecked:
                _compare(distinct[solution.input_hash], known[solution.input_hash], solution)
            else:
                known[solution.input_hash] = solution
                if solution.weights is not None:
                    units = np.rint(solution.weights * WEIGHT_UNITS).astype(np.int64)
                    store.write(solution.input_hash, units)
        n_done += len(solutions)
        if progress is not None:
            progress(n_done, len(distinct))

    here = [q for q in questions if n_workers == 0 or q[1].engine is Engine.NATIVE]
    elsewhere = [q for q in questions if not (n_workers == 0 or q[1].engine is Engine.NATIVE)]
    take([_solve(key, task) for key, task in here])
    if elsewhere:
        with worker_processes(n_workers) as pool:
            chunks = [elsewhere[start : start + _CHUNK] for start in range(0, len(elsewhere), _CHUNK)]
            futures: list[Future[list[Solution]]] = [pool.submit(_solve_chunk, chunk) for chunk in chunks]
            for future in as_completed(futures):
                take(future.result())
    return tuple(known[key] for key in keys)


def _solve_chunk(questions: Sequence[tuple[str, AllocationTask]]) -> list[Solution]:
    return [_solve(key, task) for key, task in questions]


def _solve(key: str, task: AllocationTask) -> Solution:
    began = time.perf_counter()
    weights, problem = None, ""
    try:
        weights = allocate(task.engine, task.profile, task.returns)
    except AllocationError as error:
        problem = str(error)
    return Solution(input_hash=key, weights=weights, problem=problem, seconds=time.perf_counter() - began)


def _compare(task: AllocationTask, fact: Solution, again: Solution) -> None:
    assert fact.weights is not None, "only answers are kept as facts"
    if again.weights is None or np.abs(again.weights - fact.weights).max() > _RECHECK_TOLERANCE:
        said = again.problem or f"{again.weights}"
        raise AllocationError(
            f"{task.engine}/{task.profile} {fact.input_hash[:12]}: the fact says {fact.weights}, solved "
            f"again it says {said}; delete the folder of facts and run again"
        )
