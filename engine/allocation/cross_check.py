"""A second engine's answers to a sample of the questions, held against the first's.

A solver that stops early, a library whose convention changed with a version, or an adapter that asks another
question than it says, all show as weights that the other library does not find.
"""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from engine.allocation.allocator import PROFILES, WEIGHT_UNITS, Engine, Profile, unrounded
from engine.allocation.conventions import TAIL
from engine.allocation.facts import AllocationTask, input_hash, sources_hash
from engine.allocation.solve import Solution, keep_libraries
from engine.domain.errors import AllocationError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray
from engine.workforce import THIS_PROCESS, Workforce

TOLERANCES: Mapping[Profile, float] = MappingProxyType(
    {
        Profile.HRP: 1e-12,
        Profile.HERC: 1e-12,
        Profile.BARBELL: 1e-12,
        Profile.MEAN_CVAR: 1e-6,
        Profile.MIN_VARIANCE: 1e-4,
        Profile.MAX_SHARPE: 1e-4,
        Profile.RISK_PARITY: 1e-4,
        Profile.NCO: 1e-4,
    }
)
"""Largest difference of a weight, before it is rounded to a fact: arithmetic, linear programme, conic."""

OBJECTIVE_TOLERANCE = 1e-6
"""Relative. Where the optimum is flat, two exact answers may have different weights, never another value."""

FACT_TOLERANCE = 5e-4
"""A solver may answer differently on another CPU, by less than this."""

SAMPLE_EVERY = 100

_COUNTERPART: Mapping[Engine, Engine] = MappingProxyType(
    {Engine.RISKFOLIO: Engine.SKFOLIO, Engine.SKFOLIO: Engine.RISKFOLIO}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a second engine made of a question.

    Attributes
    ----------
    difference
        Largest of a weight, before rounding; NaN where an engine has no answer.
    problem
        Why the answers are not the same; empty where they are.
    """

    engine: Engine
    second: Engine
    profile: Profile
    difference: float
    tolerance: float
    problem: str


def cross_check(
    tasks: Sequence[AllocationTask],
    solutions: Sequence[Solution],
    *,
    facts: Path,
    workforce: Workforce = THIS_PROCESS,
    every: int = SAMPLE_EVERY,
) -> dict[int, Check]:
    """Solve a sample of the tasks with both libraries, and compare.

    Of each engine and profile that the other library has too, about one distinct question in `every` is
    taken, at least one: those whose returns have the smallest hashes, so it is the same sample on every
    machine and in every version, and a profile that both engines are asked for is solved once for both. That
    they agreed is kept beside the facts, by what was compared.

    Parameters
    ----------
    solutions
        Of the tasks, in their order: they are held against the first engine too.

    Returns
    -------
    Checks by the place of their task, in its order.
    """
    store = _CheckStore(facts / "checks")
    checks: dict[int, Check] = {}
    jobs: list[tuple[int, str]] = []
    for place in _sample(tasks, every):
        key = _key(tasks[place], solutions[place])
        agreed = store.read(key)
        if agreed is None:
            jobs.append((place, key))
        else:
            checks[place] = _of(tasks[place], difference=agreed, problem="")
    asked = [(tasks[place], solutions[place].weights) for place, _ in jobs]
    for number, found in workforce.stream(_check_in_worker if workforce.size else check, asked):
        place, key = jobs[number]
        checks[place] = found
        if not found.problem:
            store.write(key, found.difference)
    return dict(sorted(checks.items()))


def check(task: AllocationTask, weights: FloatArray | None) -> Check:
    """Solve one task with both libraries, and compare them with each other and with the weights known.

    Parameters
    ----------
    weights
        Shape (n,), multiples of 1e-4; None if the task has no answer.
    """
    answers: list[FloatArray] = []
    silent: list[str] = []
    for engine in (task.engine, _COUNTERPART[task.engine]):
        try:
            answers.append(unrounded(engine, task.profile, task.returns))
        except AllocationError as error:
            silent.append(str(error))
    made = _of(task, difference=math.nan, problem="")
    if len(answers) < 2:
        # What neither can answer, both agree on.
        return replace(made, problem=f"no answer from one engine: {silent[0]}") if answers else made
    first, second = answers
    made = replace(made, difference=float(np.abs(first - second).max()))
    if not _agree(task, first, second, made):
        return replace(
            made,
            problem=f"{made.engine} and {made.second} differ by {made.difference:.1e} in a weight of "
            f"{task.profile}, at most {made.tolerance:.0e} is allowed",
        )
    gap = math.inf if weights is None else float(np.abs(first - weights).max())
    if gap > FACT_TOLERANCE:
        return replace(
            made,
            problem=f"the fact of {made.engine}/{task.profile} is {gap:.1e} from the weights solved again, "
            "so it is not from this solver; delete the folder of facts",
        )
    return made


def objective(profile: Profile, returns: FloatArray, weights: FloatArray) -> float:
    """Return the value that a profile optimises; NaN for one that optimises none, or none alone.

    Parameters
    ----------
    returns
        Shape (T, n), simple returns per row.
    weights
        Shape (n,).
    """
    held = returns @ weights
    match profile:
        case Profile.MIN_VARIANCE:
            return float(held.var(ddof=1))
        case Profile.MAX_SHARPE:
            return float(held.mean() / held.std(ddof=1))
        case Profile.MEAN_CVAR:
            return _mean_of_worst(held)
        case _:
            return math.nan


def _mean_of_worst(returns: FloatArray) -> float:
    """Return the mean loss of the worst 5% of the rows, the last of them in part."""
    losses = np.sort(-returns)[::-1]
    count = TAIL * losses.size
    whole = int(count)
    return float(losses[:whole].sum() + (count - whole) * losses[whole]) / count


def _agree(task: AllocationTask, first: FloatArray, second: FloatArray, made: Check) -> bool:
    if made.difference <= made.tolerance:
        return True
    ours, theirs = (objective(task.profile, task.returns, weights) for weights in (first, second))
    return abs(ours - theirs) <= OBJECTIVE_TOLERANCE * abs(ours)


def _of(task: AllocationTask, *, difference: float, problem: str) -> Check:
    return Check(
        engine=task.engine,
        second=_COUNTERPART[task.engine],
        profile=task.profile,
        difference=difference,
        tolerance=TOLERANCES[task.profile],
        problem=problem,
    )


def _check_in_worker(task: AllocationTask, weights: FloatArray | None) -> Check:
    made = check(task, weights)
    keep_libraries()
    return made


def _sample(tasks: Sequence[AllocationTask], every: int) -> list[int]:
    groups: dict[tuple[Engine, Profile], dict[str, int]] = {}
    for place, task in enumerate(tasks):
        second = _COUNTERPART.get(task.engine)
        if second is not None and (second, task.profile) in PROFILES:
            group = groups.setdefault((task.engine, task.profile), {})
            group.setdefault(content_hash(task.returns), place)
    taken: dict[tuple[Profile, str], int] = {}
    for (_, profile), group in groups.items():
        for digest in sorted(group)[: math.ceil(len(group) / every)]:
            taken.setdefault((profile, digest), group[digest])
    return sorted(taken.values())


def _key(task: AllocationTask, solution: Solution) -> str:
    second = replace(task, engine=_COUNTERPART[task.engine])
    weights = solution.weights
    return content_hash(
        {
            "kind": "cross-check/1",
            "first": solution.input_hash,
            "second": input_hash(second),
            "units": None if weights is None else np.rint(weights * WEIGHT_UNITS).astype(np.int64),
            "code": _code(),
        }
    )


@cache
def _code() -> str:
    return sources_hash(sys.modules[__name__])


@dataclass(frozen=True, slots=True)
class _CheckStore:
    """Differences of answers that agreed, by the hash of what was compared; a damaged file is none."""

    folder: Path

    def read(self, key: str) -> float | None:
        try:
            record = json.loads((self.folder / f"{key}.json").read_text())
            return float.fromhex(record["difference"]) if record["key"] == key else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, key: str, difference: float) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f"{key}.{os.getpid()}.tmp"
        unfinished.write_text(json.dumps({"key": key, "difference": difference.hex()}))
        unfinished.replace(self.folder / f"{key}.json")
