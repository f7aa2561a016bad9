"""Running a report: the notebook is executed with one file as its parameter, then becomes one page of HTML.

Both are the same bytes for the same inputs: whatever papermill, Jupyter and matplotlib write that depends on
the clock, on chance or on the machine is taken out. The page holds everything that it shows, runs no script
and asks the network for nothing.
"""

import copy
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from markupsafe import escape

from engine.domain import errors
from engine.domain.errors import GauntletError
from scoreboards.publish import write_whole
from scoreboards.report import ReportInputs, inputs_path
from scoreboards.report_style import ROLES

TEMPLATE = Path(__file__).parents[1] / "reports" / "templates" / "promotion.ipynb"
PAGES = Path(__file__).parent / "templates"
PAGE_TEMPLATE = "gauntlet_report"
PARAMETER = "inputs_file"
TIMEOUT_SECONDS = 600
_KERNEL = "gauntlet-report"
_LAUNCH = "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
_KERNEL_OPTIONS = ("--IPKernelApp.ignore_cwd=True", "--HistoryManager.enabled=False")

# What a drawing says of itself that a page has no use for.
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_NAMESPACES = re.compile(r'\s+xmlns(?::\w+)?="[^"]*"')
_GROUP_NAMES = re.compile(r'<g id="[^"]*">')
_SIZE = re.compile(r'(<svg\b[^>]*?)\s+width="[^"]*"')
_HEIGHT = re.compile(r'(<svg\b[^>]*?)\s+height="[^"]*"')
_DEFINED = re.compile(r'\bid="([^"]+)"')
_USED = re.compile(r'(?:xlink:)?href="#([^"]+)"')
_CLIPPED = re.compile(r"url\(#([^)]+)\)")
_TABLE_STYLE = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL)
_TABLE_BORDER = re.compile(r'<table border="1" class="dataframe">')


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where a report is."""

    html: Path
    notebook: Path
    inputs: Path


def place(run_folder: Path, strategy_id: str) -> Written:
    """Return where the report on a row stands below the folder of its run."""
    folder = run_folder / "reports" / strategy_id
    return Written(
        html=folder / "report.html", notebook=folder / "report.ipynb", inputs=folder / "inputs.json"
    )


def write_report(inputs: ReportInputs, run_folder: Path) -> Written:
    """Execute the notebook and write it and its page, each whole or not at all.

    Raises
    ------
    GauntletError
        What the notebook refused, in the words in which it refused it.
    """
    written = place(run_folder, inputs.strategy_id)
    written.inputs.parent.mkdir(parents=True, exist_ok=True)
    write_whole(written.inputs, json.dumps(inputs.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")
    notebook = execute(inputs_path(written.inputs))
    # The page is made before anything is written: a report is both or neither.
    page = to_html(notebook, title=f"Report on {inputs.strategy_id}")
    write_whole(written.notebook, nbformat.writes(notebook) + "\n")
    write_whole(written.html, page)
    return written


def execute(inputs_file: str) -> nbformat.NotebookNode:
    """Run the template on an inputs file, seen from the home, and return it as it is kept.

    Raises
    ------
    GauntletError
        What the notebook refused.
    """
    import papermill  # type: ignore[import-untyped]  # ships no types
    from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped]
    from traitlets.config import Config

    template = nbformat.read(TEMPLATE, as_version=4)
    # Its log repeats on every call what the screen says anyway.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    with _own_kernel():
        try:
            notebook = papermill.execute_notebook(
                template,
                None,
                parameters={PARAMETER: inputs_file},
                kernel_name=_KERNEL,
                language="python",
                progress_bar=False,
                execution_timeout=TIMEOUT_SECONDS,
                config=Config({"KernelManager": {"transport_encryption": _encryption()}}),
            )
        except PapermillExecutionError as failure:
            raise _refusal(failure.ename, failure.evalue) from None
    return _settled(notebook)


def _encryption() -> str:
    """Return how this process and the kernel talk: nobody else on the machine may listen or speak."""
    import zmq

    return "auto" if zmq.has("curve") else "disabled"


def _refusal(name: str, words: str) -> GauntletError:
    """Return the error that a notebook ended with, of its own kind where it is one of ours."""
    kind = getattr(errors, name, None)
    ours = (errors.InputError, errors.InvalidValueError, errors.IdentityError, errors.RefusedError)
    if kind in ours:
        found: GauntletError = kind(words)
        return found
    return GauntletError(f"the report could not be made: {name}: {words}")


@contextmanager
def _own_kernel() -> Iterator[None]:
    """Offer a kernel that is this very interpreter, whatever else is installed on the machine.

    Neither start-up files of the user nor modules of the current folder reach it: they are in no hash.
    """
    with tempfile.TemporaryDirectory(prefix="gauntlet-kernel-") as folder:
        place_of = Path(folder) / "kernels" / _KERNEL
        place_of.mkdir(parents=True)
        ours = str(Path(__file__).parents[1])
        paths = [ours, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        spec = {
            "argv": [sys.executable, "-P", "-c", _LAUNCH, "-f", "{connection_file}", *_KERNEL_OPTIONS],
            "display_name": _KERNEL,
            "language": "python",
            "metadata": {"supported_encryption": ["curve"]},
            "env": {
                "IPYTHONDIR": str(Path(folder) / "ipython"),
                "MPLBACKEND": "module://matplotlib_inline.backend_inline",
                # The very code that asks for the report, not another copy that is installed.
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            },
        }
        (place_of / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = folder if before is None else os.pathsep.join((folder, before))
        try:
            yield
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def _settled(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take out of an executed notebook what depends on the clock, on chance or on the machine."""
    settled = copy.deepcopy(notebook)
    settled.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in settled.cells:
        tags = cell.metadata.get("tags", [])
        kept = {name: cell.metadata[name] for name in ("alt", "numbers", "tags") if name in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
        if cell.cell_type == "code":
            # Streams hold what libraries have to say about this machine, such as a cache of fonts.
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
    return settled


# --- the page --------------------------------------------------------------------------------------------


def to_html(notebook: nbformat.NotebookNode, *, title: str) -> str:
    """Return an executed notebook as one page: outputs and words, no code."""
    from nbconvert import HTMLExporter

    page = copy.deepcopy(notebook)
    drawings = 0
    for cell in page.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/svg+xml" in data:
                drawings += 1
                output.data = nbformat.from_dict(
                    {"text/html": drawing(data["image/svg+xml"], cell.metadata.get("alt", ""), drawings)}
                )
            elif "text/html" in data:
                output.data["text/html"] = _plain_table(data["text/html"])
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name=PAGE_TEMPLATE, extra_template_basedirs=[str(PAGES)], exclude_anchor_links=True
    )
    body, _ = exporter.from_notebook_node(page, resources={"metadata": {"name": title}})
    text: str = body
    return text


def _plain_table(html: str) -> str:
    return _TABLE_BORDER.sub("<table>", _TABLE_STYLE.sub("", html))


def drawing(svg: str, alt: str, number: int) -> str:
    """Return a matplotlib drawing as part of a page: its colours are the page's, on light, dark and paper.

    Parameters
    ----------
    alt
        What it shows, for who cannot see it.
    number
        Counts the drawings of a page: parts that drawings refer to by name are told apart by it.
    """
    text = _NAMESPACES.sub("", _PROLOGUE.sub("", svg))
    text = _GROUP_NAMES.sub("<g>", text)
    text = _HEIGHT.sub(r"\1", _SIZE.sub(r"\1", text))
    text = _DEFINED.sub(rf'id="d{number}-\1"', text)
    text = _USED.sub(rf'href="#d{number}-\1"', text)
    text = _CLIPPED.sub(rf"url(#d{number}-\1)", text)
    for colour, role in ROLES.items():
        text = text.replace(colour, f"var(--{role})")
    text = text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
    return f"<figure>{text}</figure>"
