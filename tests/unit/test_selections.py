"""What a stored choice of instruments hangs on."""

from pathlib import Path

import pytest

from engine.schedule.windows import walk_forward
from engine.selection.universe import Selection
from research import selections
from research.selections import Request, choose
from tests.builders import random_panel


@pytest.mark.parametrize(
    "place",
    [
        "engine/selection",
        "engine/core/metrics.py",
        "engine/pipeline/planning.py",
        "research/selections.py",
        "research/training.py",
    ],
)
def test_a_choice_is_made_anew_when_code_that_it_hangs_on_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    panel = random_panel(120, 4, seed=3)
    request = Request(
        panel=panel,
        windows=walk_forward(len(panel), train=60, test=20, step=20),
        selection=Selection.ALL,
        floor=1,
        seed=1,
    )

    def files() -> int:
        choose([request], facts=tmp_path)
        return len(list(tmp_path.rglob("*.npz")))

    once = files()
    again = files()
    monkeypatch.setattr(selections, "sources_hash", lambda *places: "changed" if place in places else "same")
    changed = files()
    monkeypatch.setattr(selections, "sources_hash", lambda *_: "same")

    assert (once, again, changed, files()) == (1, 1, 2, 3)
