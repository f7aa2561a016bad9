"""Every notebook runs from top to bottom, and is kept without the output of anyone's machine."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)

    # JupyterLab starts a notebook in the folder that it lies in.
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    complaints = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert complaints == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)

    assert [cell.id for cell in notebook.cells if cell.get("outputs")] == []


def test_there_is_one() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_explore.ipynb", "02_paper_parity.ipynb"]
