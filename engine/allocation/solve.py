"""Many allocations at once: each distinct question solved once, in worker processes, kept as a fact."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from engine.allocation.allocator import WEIGHT_UNITS, Engine, allocate, weights_of
from engine.allocation.facts import AllocationTask, FactStore, input_hash
from engine.domain.errors import AllocationError
from engine.domain.panel import FloatArray
from engine.workforce import THIS_PROCESS, Workforce

# Large enough that pickling costs nothing, small enough that both workers end together.
_CHUNK = 25


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
    workforce: Workforce = THIS_PROCESS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Solution, ...]:
    """Solve all tasks; the answers stand in the order of the tasks, whoever finished first.

    Parameters
    ----------
    facts
        Folder of the facts: what is there is not solved again, what is solved is kept as it arrives, so a
        run that was killed goes on where it was.
    workforce
        Who solves. Native profiles are always solved in this process, and are no facts: it takes as long to
        read them.
    progress
        Called with the number of distinct tasks done, and of all.
    """
    store = FactStore(facts)
    keys = [input_hash(task) for task in tasks]
    distinct = dict(zip(keys, tasks, strict=True))
    known: dict[str, Solution] = {}
    for key, task in distinct.items():
        units = None if task.engine is Engine.NATIVE else store.read(key)
        if units is not None:
            known[key] = Solution(input_hash=key, weights=weights_of(units), problem="", seconds=0.0)
    questions = [(key, task) for key, task in distinct.items() if key not in known]

    def take(solutions: Sequence[Solution]) -> None:
        for solution in solutions:
            known[solution.input_hash] = solution
            is_fact = distinct[solution.input_hash].engine is not Engine.NATIVE
            if is_fact and solution.weights is not None:
                units = np.rint(solution.weights * WEIGHT_UNITS).astype(np.int64)
                store.write(solution.input_hash, units)
        if progress is not None:
            progress(len(known), len(distinct))

    here = [q for q in questions if workforce.size == 0 or q[1].engine is Engine.NATIVE]
    take([_solve(key, task) for key, task in here])
    elsewhere = [q for q in questions if q[0] not in known]
    chunks = [(elsewhere[start : start + _CHUNK],) for start in range(0, len(elsewhere), _CHUNK)]
    for _, solutions in workforce.stream(_solve_chunk, chunks):
        take(solutions)
    return tuple(known[key] for key in keys)


def _solve_chunk(questions: Sequence[tuple[str, AllocationTask]]) -> list[Solution]:
    solutions = [_solve(key, task) for key, task in questions]
    keep_libraries()
    return solutions


@cache
def keep_libraries() -> None:
    """Take everything loaded so far out of the garbage collector's sight; for worker processes.

    A convex problem is thousands of small objects in cycles, so it collects often, and each time walked
    through the million objects of the libraries: a tenth of the time.
    """
    gc.collect()
    gc.freeze()


def _solve(key: str, task: AllocationTask) -> Solution:
    began = time.perf_counter()
    weights, problem = None, ""
    try:
        weights = allocate(task.engine, task.profile, task.returns)
    except AllocationError as error:
        problem = str(error)
    return Solution(input_hash=key, weights=weights, problem=problem, seconds=time.perf_counter() - began)
