"""Base weights of every window, from its training rows: questions to the allocators and their answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.allocation.allocator import Engine, Profile
from engine.allocation.cross_check import Check, cross_check
from engine.allocation.facts import AllocationTask
from engine.allocation.solve import Solution, solve_many
from engine.domain.panel import FloatArray, Panel
from engine.pipeline.planning import allocation_task, spread
from engine.schedule.windows import Window
from engine.workforce import THIS_PROCESS, Workforce
from research.training import training_rows

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Allocation:
    """Where base weights come from: which instruments, which library, what it is asked for."""

    selection: str
    engine: str
    profile: str


@dataclass(frozen=True, kw_only=True, eq=False)
class BaseWeights:
    """The weights of all windows of one allocation.

    Attributes
    ----------
    weights
        Shape (K, N); a row of zeros is cash.
    problem
        Why the solver gave none for a window; empty when all are there. Other weights never take the place
        of missing ones.
    checks
        What the other library made of a sample of the windows, by their places. None where it does not know
        the profile.
    """

    weights: FloatArray
    problem: str = ""
    checks: Mapping[int, Check] = field(default_factory=dict)

    @property
    def disagreement(self) -> str:
        """The first window that the other library answers otherwise, and how; empty when they agree."""
        found = ((place, check.problem) for place, check in self.checks.items() if check.problem)
        return next((f"window {place}: {problem}" for place, problem in found), "")


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """An allocation on one data set.

    Attributes
    ----------
    masks
        Shape (K, N), the instruments selected in each window.
    """

    allocation: Allocation
    panel: Panel
    windows: tuple[Window, ...]
    masks: BoolArray


def solve(
    questions: Sequence[Question],
    *,
    facts: Path,
    workforce: Workforce = THIS_PROCESS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[BaseWeights, ...]:
    """Answer all questions, in their order; what was solved before is read from the facts.

    About one window in a hundred of each allocation is solved by the other library as well, and compared.

    Parameters
    ----------
    progress
        Called with the number of solves done and of all.
    """
    tasks = [_tasks(question) for question in questions]
    flat = [task for windows in tasks for task in windows.values()]
    solutions = solve_many(flat, facts=facts, workforce=workforce, progress=progress)
    checks = cross_check(flat, solutions, facts=facts, workforce=workforce)
    answers, first = [], 0
    for question, windows in zip(questions, tasks, strict=True):
        places = list(enumerate(windows, start=first))
        first += len(windows)
        answers.append(
            _assemble(
                question,
                {window: solutions[place] for place, window in places},
                {window: checks[place] for place, window in places if place in checks},
            )
        )
    return _doubted(questions, answers)


def _doubted(questions: Sequence[Question], answers: Sequence[BaseWeights]) -> tuple[BaseWeights, ...]:
    """Leave no weights to a profile that two libraries answer differently: nobody knows which is right.

    A profile that both are asked for is checked once, so a doubt counts for both.
    """
    doubts: dict[str, str] = {}
    for question, answer in zip(questions, answers, strict=True):
        if answer.disagreement:
            doubts.setdefault(question.allocation.profile, answer.disagreement)
    return tuple(
        replace(answer, problem=answer.problem or doubts[question.allocation.profile])
        if question.allocation.profile in doubts
        else answer
        for question, answer in zip(questions, answers, strict=True)
    )


def _tasks(question: Question) -> dict[int, AllocationTask]:
    """Return the question of each window that has one, by the window's place: nothing selected is cash."""
    engine, profile = Engine(question.allocation.engine), Profile(question.allocation.profile)
    tasks = {}
    for index, (window, mask) in enumerate(zip(question.windows, question.masks, strict=True)):
        closes = training_rows(question.panel.close, window)
        task = allocation_task(closes, mask, engine=engine, profile=profile)
        if task is not None:
            tasks[index] = task
    return tasks


def _assemble(
    question: Question, solutions: Mapping[int, Solution], checks: Mapping[int, Check]
) -> BaseWeights:
    weights = np.zeros(question.masks.shape)
    problem = ""
    for index, solution in solutions.items():
        if solution.weights is not None:
            weights[index] = spread(solution.weights, question.masks[index])
        elif not problem:
            problem = f"window {index}: {solution.problem}"
    return BaseWeights(weights=weights, problem=problem, checks=checks)
