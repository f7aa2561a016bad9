"""The parts of a report: inputs that cannot become code, pictures that show what was played, plain pages."""

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from pydantic import ValidationError

from engine.domain.errors import GauntletError, InputError, RefusedError
from engine.features.expression import Expression
from engine.features.operators import close, ema, where
from engine.features.strategy import Strategy, parameter
from engine.strategy_files import load_strategy
from research.configuration import for_data
from research.dissection import dissect_whole
from scoreboards import report_figures, report_page, report_style, report_tables
from scoreboards.report import Report, ReportInputs, inputs_path, open_report, research_inputs
from scoreboards.report_page import TEMPLATE, drawing, to_html
from scoreboards.report_tables import Passage
from tests.builders import random_panel

SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"
  "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt" height="20pt"
 viewBox="0 0 10 20" xmlns="http://www.w3.org/2000/svg" version="1.1">
 <g id="figure_1"><path d="M 0 0" clip-path="url(#p1)" style="stroke: #1f5fbf; fill: none"/>
 <defs><path id="DejaVu-41"/></defs><use xlink:href="#DejaVu-41" style="fill: #1b1f24"/></g>
 <clipPath id="p1"><rect width="3" height="4"/></clipPath>
</svg>
"""


@dataclass(frozen=True)
class Above(Strategy):
    """Long above an average."""

    span: int = parameter(10, low=2, high=50)

    def signal(self) -> Expression:
        return where(close > ema(close, self.span), 1.0, 0.0)


@pytest.fixture(scope="module")
def research(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report on `trend`, opened as the notebook does."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("GAUNTLET_HOME", str(folder))
        inputs = research_inputs("trend", "us5", {"fast": "10"})
        (folder / "inputs.json").write_text(inputs.model_dump_json())
        return open_report("inputs.json")


def with_strategy(report: Report, strategy: Strategy) -> Report:
    account = dissect_whole(strategy, random_panel(400, 3, seed=2), for_data("us5"))
    return replace(report, account=account)


# --- inputs ----------------------------------------------------------------------------------------------


def test_a_report_on_a_bare_strategy_says_that_it_is_no_verdict(research: Report) -> None:
    text = str(report_tables.verdict(research).html)

    assert "NO VERDICT" in text
    assert "can never be promoted from here" in text
    assert research.passport.research_only
    assert research.headline.trials == 1
    assert isinstance(report_tables.gates(research), Passage)


@pytest.mark.parametrize(
    "inputs",
    [
        "no json",
        '{"kind": "row"}',
        '{"kind": "row", "run_id": "t-1", "strategy_id": "x", "command": "import os"}',
        '{"kind": "other", "run_id": "t-1", "strategy_id": "x"}',
        '{"kind": "row", "run_id": "t-1", "strategy_id": "x", "form": "report-inputs/2"}',
    ],
)
def test_inputs_of_another_form_are_refused(home: Path, inputs: str) -> None:
    (home / "inputs.json").write_text(inputs)

    with pytest.raises(InputError, match="is not what a report is made from"):
        open_report("inputs.json")


def test_inputs_that_are_not_there_are_refused(home: Path) -> None:
    assert home.is_dir()
    with pytest.raises(InputError, match="nowhere"):
        open_report("nowhere.json")


def test_a_strategy_that_changed_since_is_not_reported_under_its_old_name(home: Path) -> None:
    inputs = research_inputs("trend", "us5", {})
    (home / "inputs.json").write_text(
        inputs.model_copy(update={"strategy_id": "trend-0000"}).model_dump_json()
    )

    with pytest.raises(InputError, match="changed since"):
        open_report("inputs.json")


def test_a_notebook_is_told_a_path_seen_from_the_home(home: Path) -> None:
    assert inputs_path(home / "runs" / "t-1" / "inputs.json") == "runs/t-1/inputs.json"


def test_inputs_do_not_change_once_made() -> None:
    inputs = ReportInputs(kind="row", run_id="t-1", strategy_id="x")
    with pytest.raises(ValidationError):
        inputs.run_id = "t-2"


# --- tables ----------------------------------------------------------------------------------------------


def test_tables_say_what_the_account_did(research: Report) -> None:
    account = research.account
    instruments = report_tables.instruments(research)
    costs = report_tables.costs(research)

    assert sorted(instruments.index) == sorted(account.panel.symbols)
    assert costs.loc["fills", "amount"] == f"{account.fills.lots.size:,}"
    assert costs.loc["fees (USD)", "amount"] == f"{account.fills.fee.sum():,.0f}"
    assert list(report_tables.sensitivity(research).index) == [
        "as played", "costs × 2", "costs × 3", "filled one bar later",
    ]  # fmt: skip
    assert report_tables.hashes(research).iloc[0, 0] == research.passport.identity_hash
    assert "engine report trend --data us5 --param fast=10" in str(report_tables.repeat(research).html)
    assert set(report_tables.reasons(research).columns) == {"orders", "why"}


def test_names_in_a_report_are_text_and_never_markup(research: Report) -> None:
    sly = replace(research, passport=replace(research.passport, strategy="<script>alert(1)</script>"))

    assert "<script>" not in str(report_tables.verdict(sly).html)
    assert "&lt;script&gt;" in str(report_tables.verdict(sly).html)


# --- pictures --------------------------------------------------------------------------------------------


def test_every_picture_has_axes_with_units(research: Report) -> None:
    report_style.apply()
    for draw in (
        report_figures.equity,
        report_figures.drawdown,
        report_figures.parameters,
        report_figures.sensitivity,
        report_figures.weights,
        report_figures.fills,
    ):
        figure = draw(research)
        assert isinstance(figure, Figure)
        drawn = [axes for axes in figure.axes if axes.axison]
        assert drawn
        assert all(axes.get_ylabel() or axes.get_xlabel() for axes in drawn), draw.__name__


def test_the_last_points_of_the_equity_picture_are_what_was_played(research: Report) -> None:
    (axes,) = report_figures.equity(research).axes
    own = axes.get_lines()[0]

    assert_allclose(
        np.asarray(own.get_ydata())[-1], research.account.equity[-1] / research.account.settings.cash
    )
    assert axes.get_yscale() == "log"


def test_the_weights_picture_adds_up_to_what_was_invested(research: Report) -> None:
    (axes,) = report_figures.weights(research).axes

    assert axes.get_ylim()[1] <= 1.1
    ever_held = (research.account.weights.max(axis=0) > 0).sum()
    assert len(axes.collections) == ever_held == 4


def test_fills_are_marked_up_and_down(research: Report) -> None:
    legend = report_figures.fills(research).axes[0].get_legend()  # type: ignore[union-attr]

    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} >= {"buy", "sell"}


def test_no_parameters_and_no_windows_are_sentences(research: Report) -> None:
    bare = with_strategy(research, load_strategy("buy_and_hold"))

    assert "no parameters" in str(report_figures.parameters(bare).html)  # type: ignore[union-attr]
    assert "no windows" in str(report_figures.windows(bare).html)  # type: ignore[union-attr]


def test_one_parameter_is_a_line(research: Report) -> None:
    one = with_strategy(research, Above(span=10))

    (axes,) = report_figures.parameters(one).axes  # type: ignore[union-attr]
    assert axes.get_xlabel() == "span"
    assert np.asarray(axes.get_lines()[0].get_xdata()).tolist() == [5, 6, 8, 10, 12, 16, 20]


def test_thinning_hides_no_trough() -> None:
    values = np.array([0.0, -5.0, -1.0, -2.0, -9.0, 0.0])
    places = report_style.thinned(len(values), 3)

    assert places.tolist() == [0, 2, 5]
    assert report_style.lowest(values, places).tolist() == [0.0, -5.0, -9.0]


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.3), (0.5, 70.0), (0.01, 1000.0)])
def test_an_axis_of_multiples_has_marks_to_read(low: float, high: float) -> None:
    marks = report_style.nice_multiples(low, high)

    assert len(marks) >= 3
    assert all(low <= mark <= high for mark in marks)


# --- the page --------------------------------------------------------------------------------------------


def test_a_drawing_takes_the_colours_of_the_page_and_keeps_its_parts_apart() -> None:
    first, second = drawing(SVG, 'a "quoted" name', 1), drawing(SVG, "", 2)

    assert "http" not in first
    assert "var(--blue)" in first
    assert "var(--fg)" in first
    assert 'viewBox="0 0 10 20"' in first
    assert 'width="10pt"' not in first
    assert '<rect width="3" height="4"/>' in first
    assert "&#34;quoted&#34;" in first
    assert set(re.findall(r'id="([^"]+)"', first)) & set(re.findall(r'id="([^"]+)"', second)) == set()
    for text in (first, second):
        named = set(re.findall(r'id="([^"]+)"', text))
        used = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
        assert used == named


def test_a_page_holds_everything_and_shows_no_code() -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("## Words"),
            nbformat.v4.new_code_cell(
                "secret_code()",
                outputs=[
                    nbformat.v4.new_output(
                        "display_data", data={"image/svg+xml": SVG, "text/plain": "Figure"}
                    ),
                    nbformat.v4.new_output("stream", name="stderr", text="a warning"),
                ],
            ),
        ]
    )

    page = to_html(notebook, title="a <title>")

    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert "secret_code" not in page
    assert "a warning" not in page
    assert "<h2" in page
    assert "var(--blue)" in page
    assert "http://" not in page
    assert "<script" not in page
    assert "a &lt;title&gt;" in page
    assert page == to_html(notebook, title="a <title>")


def test_what_a_notebook_refuses_keeps_its_kind() -> None:
    assert isinstance(report_page._refusal("RefusedError", "core version"), RefusedError)
    assert isinstance(report_page._refusal("InputError", "no such file"), InputError)
    other = report_page._refusal("ZeroDivisionError", "division by zero")
    assert type(other) is GauntletError
    assert "division by zero" in str(other)


def test_the_template_defines_nothing_and_takes_one_file() -> None:
    notebook = nbformat.read(TEMPLATE, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert [cell.id for cell in code if cell.outputs] == []
    assert [cell.id for cell in code if "parameters" in cell.metadata.get("tags", [])] == ["parameters"]
    sources = "\n".join(cell.source for cell in code)
    assert not re.search(r"\b(def|class|lambda|for|while)\b", sources)
    drawn = {cell.source.removeprefix("report_figures.") for cell in code if "report_figures." in cell.source}
    assert all(cell.metadata.get("alt") for cell in code if cell.source.startswith("report_figures."))
    assert drawn >= {f"{name}(report)" for name in ("equity", "drawdown", "windows", "parameters", "fills")}


def test_the_template_is_written_as_json_with_one_line_a_line() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")

    assert json.loads(text)["nbformat"] == 4
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"


def test_numbers_that_there_are_none_of_have_no_card(research: Report) -> None:
    html = str(report_tables.facts(research).html)

    assert math.isnan(research.headline.deflated_sharpe)
    assert "deflated" not in html
    assert "nan" not in html
