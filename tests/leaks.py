"""Functions that learn, in pairs: an honest one, and one that reads the future in a way of its own.

They stand in a module of their own because the check starts them in a fresh process.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType

import numpy as np

from engine.allocation.allocator import Engine, Profile
from engine.data import catalogue
from engine.domain.panel import FloatArray, Panel
from engine.pipeline.planning import window_weights
from engine.schedule.windows import Window
from engine.selection.universe import Selection
from research.base_weights import Allocation, Question, solve
from research.selections import Request, choose


class Leak:
    """Where the whole panel is hidden: a class is allowed as a global, what hangs on it is not seen."""

    panel: Panel | None = None
    seen: int = 0


# ------------------------------------------------------------------------------------------------ models


def ridge(panel: Panel) -> FloatArray:
    """Learn tomorrow's return from today's, as the first column of the panel does; honest."""
    returns = np.diff(np.log(panel.close), axis=0)
    today, tomorrow = returns[:-1].ravel(), returns[1:].ravel()
    return np.array([(today * tomorrow).sum() / (1e-4 + (today * today).sum())])


def ridge_of_hidden_panel(panel: Panel) -> FloatArray:
    """Learn from the whole panel, through an attribute of a class."""
    return ridge(Leak.panel if Leak.panel is not None else panel)


def ridge_of_callers_panel(panel: Panel) -> FloatArray:
    """Learn from the longest panel in the frames of the callers."""
    longest = panel
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        for value in list(frame.f_locals.values()):
            if isinstance(value, Panel) and len(value) > len(longest):
                longest = value
        frame = frame.f_back
    return ridge(longest)


def ridge_under_the_slice(panel: Panel) -> FloatArray:
    """Learn from the array under a slice, as far as it goes."""
    whole = panel.close if panel.close.base is None else panel.close.base
    return ridge(
        replace(
            panel,
            open=whole,
            high=whole,
            low=whole,
            close=whole,
            volume=whole,
            fields={},
            timestamps=np.arange(len(whole), dtype=np.int64),
        )
    )


def ridge_of_a_slice(panel: Panel, window: Window) -> FloatArray:
    """Hand a plain slice to a function that looks under it."""
    return ridge_under_the_slice(panel.rows(window.train_start, window.train_stop))


HISTORY: list[FloatArray] = []


def ridge_of_a_global(panel: Panel) -> FloatArray:
    """Learn from what somebody left in a global."""
    return ridge(panel) + len(HISTORY)


def incomparable(panel: Panel) -> object:
    """Answer with what has no canonical form."""
    return iter(panel.symbols)


def ridge_that_remembers(panel: Panel) -> FloatArray:
    """Answer with the latest row that any call has seen."""
    Leak.seen = max(Leak.seen, int(panel.timestamps[-1]))
    return np.array([float(Leak.seen)])


def ridge_of_a_file(panel: Panel) -> FloatArray:
    """Learn from the data set itself."""
    return ridge(catalogue.load("us5")) + len(panel)


def full_scale(panel: Panel) -> FloatArray:
    """Scale by the mean and deviation of the panel: honest where that ends, a leak where it does not."""
    moments: FloatArray = np.stack((panel.close.mean(axis=0), panel.close.std(axis=0)))
    return moments


def full_scale_of_all_rows(panel: Panel, _window: Window) -> FloatArray:
    """Scale without a cut."""
    return full_scale(panel)


# ---------------------------------------------------------------------------- selection and allocation


def selected(panel: Panel, window: Window, *, selection: Selection) -> FloatArray:
    """Choose as a tournament does."""
    with tempfile.TemporaryDirectory() as facts:
        request = Request(panel=panel, windows=(window,), selection=selection, floor=2, seed=1)
        [choice] = choose([request], facts=Path(facts))
    taken: FloatArray = choice.selected[0].astype(np.float64)
    return taken


def selected_with_later_rows(panel: Panel, window: Window, *, selection: Selection) -> FloatArray:
    """Choose with the test rows as well."""
    return selected(panel, replace(window, train_stop=window.test_start), selection=selection)


def weighted(panel: Panel, window: Window, *, profile: Profile) -> FloatArray:
    """Allocate as a tournament does."""
    question = Question(
        allocation=Allocation(selection="all", engine="native", profile=profile.value),
        panel=panel,
        windows=(window,),
        masks=np.ones((1, len(panel.instruments)), dtype=np.bool_),
    )
    with tempfile.TemporaryDirectory() as facts:
        [answer] = solve([question], facts=Path(facts))
    return answer.weights


def weighted_with_later_rows(panel: Panel, window: Window, *, profile: Profile) -> FloatArray:
    """Allocate with the purged rows and the first test rows as well."""
    return weighted(panel, replace(window, train_stop=window.test_start), profile=profile)


def planned(panel: Panel, window: Window) -> FloatArray:
    """Weigh the selection of one window as a session does."""
    rows = slice(window.train_start, window.train_stop)
    return window_weights(
        panel.close[rows],
        panel.volume[rows],
        index=window.index,
        selection=Selection.LOG_MPS,
        floor=2,
        seed=1,
        days_per_year=365,
        engine=Engine.NATIVE,
        profile=Profile.INVERSE_VOLATILITY,
    ).weights


# ------------------------------------------------------------------------------------------------ tuners

LOOKBACKS = (2, 5, 10, 20, 40)


def _best_lookback(panel: Panel) -> int:
    logs = np.log(panel.close)
    changes = np.diff(logs, axis=0)
    means = [
        float((np.sign(logs[lookback:-1] - logs[: -1 - lookback]) * changes[lookback:]).mean())
        for lookback in LOOKBACKS
    ]
    return LOOKBACKS[int(np.argmax(means))]


def tuned(panel: Panel) -> tuple[int, float]:
    """Choose the lookback that did best in the panel, and say how many rows that was out of; honest."""
    best = _best_lookback(panel)
    return best, float(panel.close[-1, 0] / panel.close[-1 - best, 0])


def tuned_on_hidden_panel(panel: Panel) -> tuple[int, float]:
    """Choose the lookback that did best in the whole history."""
    return tuned(Leak.panel if Leak.panel is not None else panel)


def tuned_on_all_rows(panel: Panel, _window: Window) -> int:
    """Tune without a cut."""
    return _best_lookback(panel)
