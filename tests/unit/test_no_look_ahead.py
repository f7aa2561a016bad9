"""Base weights and selections of a window know its training rows and nothing after them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.domain.panel import Panel
from engine.schedule.windows import Window, walk_forward
from engine.selection.universe import Selection
from research.base_weights import Allocation, Question, _tasks
from research.selections import Request, choose
from tests.builders import random_panel

PANEL = random_panel(120, 6, seed=3)
WINDOW = walk_forward(len(PANEL), train=80, test=20, step=20)[0]


def changed_from(row: int) -> Panel:
    """Return the panel with every price doubled, and one instrument gone, from a row on."""
    close = PANEL.close.copy()
    close[row:] *= 2.0
    close[row:, 0] = np.nan
    return replace(PANEL, open=close, high=close, low=close, close=close)


def returns_of(panel: Panel, window: Window) -> bytes:
    question = Question(
        allocation=Allocation(selection="all", engine="native", profile="inverse_volatility"),
        panel=panel,
        windows=(window,),
        masks=np.ones((1, 6), dtype=np.bool_),
    )
    return _tasks(question)[0].returns.tobytes()


def chosen_of(panel: Panel, selection: Selection, facts: Path) -> bytes:
    request = Request(panel=panel, windows=(WINDOW,), selection=selection, floor=2, seed=1)
    [choice] = choose([request], facts=facts)
    return choice.selected.tobytes() + choice.eligible.tobytes()


def test_weights_see_the_training_rows_and_no_later_one() -> None:
    before = returns_of(PANEL, WINDOW)

    assert returns_of(changed_from(WINDOW.train_stop), WINDOW) == before
    assert returns_of(changed_from(WINDOW.train_stop - 1), WINDOW) != before


@pytest.mark.parametrize("selection", list(Selection))
def test_a_selection_sees_the_training_rows_and_no_later_one(selection: Selection, tmp_path: Path) -> None:
    before = chosen_of(PANEL, selection, tmp_path / "before")

    assert chosen_of(changed_from(WINDOW.train_stop), selection, tmp_path / "after") == before
    assert chosen_of(changed_from(WINDOW.train_stop - 1), selection, tmp_path / "inside") != before
