"""Every notebook runs from top to bottom, and is kept without the output of anyone's machine."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from engine.data import catalogue
from engine.data.series import BarSeries
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, ETH, HOUR, START

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path: Path) -> None:
    run(nbformat.read(path, as_version=4))


@pytest.mark.usefixtures("home")
def test_the_first_one_takes_a_data_set_of_the_lake() -> None:
    freeze_walks("spot")
    notebook = nbformat.read(FOLDER / "01_explore.ipynb", as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = "NAME = 'spot@1'"

    said = run(notebook)

    assert "spot@1: 800 bars of BTC/USD, ETH/USD" in said


def run(notebook: nbformat.NotebookNode) -> str:
    """Run a notebook from top to bottom; it draws, and complains of nothing. Return what it printed."""
    # JupyterLab starts a notebook in the folder that it lies in.
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    complaints = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert complaints == []
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


def freeze_walks(name: str) -> None:
    """Freeze a thousand hours of two random walks as a data set of the lake."""
    lake, draw = catalogue.lake(), np.random.default_rng(3)
    for key in (BTC, ETH):
        close = 100.0 * np.exp(np.cumsum(draw.normal(0.0, 0.005, 1_000)))
        opened = np.concatenate([close[:1], close[:-1]])
        bars = BarSeries(
            stamps=START + HOUR * np.arange(1_000, dtype=np.int64),
            open=opened,
            high=np.maximum(opened, close) * 1.001,
            low=np.minimum(opened, close) * 0.999,
            close=close,
            volume=draw.uniform(5.0, 15.0, 1_000),
        )
        lake.append(key, bars, known_at=START + 2_000 * HOUR, source="made", run="walks")
    lake.freeze(name, [BTC, ETH], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)

    assert [cell.id for cell in notebook.cells if cell.get("outputs")] == []


def test_there_is_one() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_explore.ipynb", "02_paper_parity.ipynb"]
