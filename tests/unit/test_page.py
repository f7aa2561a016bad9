"""The scoreboard page in its parts: gates, rows, slices, luck, and what changed since an earlier run."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import escape
from typer.testing import CliRunner

from engine.cli.scoreboard import app
from engine.domain.gates import Direction, GateResult, GateStatus
from research.cells import CellResult, Simulator
from research.control_study import PACKAGED, Study, read
from scoreboards import drawing, page_changes, page_heat, page_table
from scoreboards.board import Board, LuckFacts, Row, from_text
from scoreboards.comparison import compare
from scoreboards.explain import WORDS
from scoreboards.explain import reason as gate_reason
from scoreboards.gate_words import gate_has, gate_needs
from scoreboards.judging import build
from scoreboards.page_comparison import comparison_html
from scoreboards.page_gates import NAMES, SIGNS, marks
from scoreboards.page_luck import luck_facts, luck_line
from scoreboards.publish import html, publish
from tests.boards import market_returns, settings, skilled, three_simulators, tournament, with_baselines

MARKET = market_returns()
LUCK = LuckFacts(
    overfitting_probability=0.31,
    overfitting_degradation=0.42,
    path_sharpe=0.2,
    path_sharpe_deviation=0.33,
    path_loss_share=0.28,
    minimum_years=4.6,
    confidence_set=("good", "weak"),
    block_days=8.3,
    permutations=199,
    cells_permuted=84,
    permuted_best=0.61,
)


@pytest.fixture(scope="module")
def board() -> Board:
    cells: list[CellResult] = []
    for seed, (name, edge) in enumerate({"good": 0.0015, "weak": 0.0004}.items()):
        for profile in ("equal_weight", "hrp"):
            returns = skilled(MARKET, edge=edge, seed=seed)
            cells += three_simulators(returns, strategy=name, profile=profile, gross=0.6)
    made = build(tournament(with_baselines(cells, MARKET)), settings())
    return replace(made, universes=tuple(replace(item, luck=LUCK) for item in made.universes))


@pytest.fixture(scope="module")
def study() -> Study:
    return read(PACKAGED)


@pytest.fixture(scope="module")
def page(board: Board, study: Study) -> str:
    return html(board, study)


def with_values(row: Row, **values: str | float | None) -> Row:
    return replace(row, values={**row.values, **values})


def best(board: Board, strategy: str) -> Row:
    return next(row for row in board.best() if row.text("strategy") == strategy)


# --- the whole -------------------------------------------------------------------------------------------


def test_a_board_that_was_read_back_makes_the_same_page(board: Board, study: Study, page: str) -> None:
    again = from_text(board.file_text(), Path("board.json"))

    assert html(again, study) == page


def test_two_thousand_rows_make_a_page_well_under_two_megabytes(board: Board, study: Study) -> None:
    judged = [row for row in board.rows if row.is_judged]
    many = [
        with_values(judged[place % len(judged)], strategy_id=f"strategy_of_many-{place:08d}")
        for place in range(2000)
    ]

    page = html(replace(board, rows=tuple(many)), study)

    assert page.count("strategy_of_many-") >= 2000
    assert len(page.encode()) < 1_000_000


def test_the_page_says_how_often_the_gates_are_wrong(page: str, study: Study) -> None:
    assert study.headline()[1:] in page
    for target in study.targets:
        assert target.name in page
        assert target.measured.words() in page


# --- luck ------------------------------------------------------------------------------------------------


def test_the_page_says_what_the_search_says_of_luck(page: str) -> None:
    told = page[page.index('<h2 id="believe">') : page.index('<h2 id="data-1">')]

    for value in ("31%", "+0.20 ± 0.33", "+0.61", "4.6", "8.3"):
        assert f"<dt>{value}<dd>" in told
    assert "it loses 42% of its Sharpe ratio there" in told
    assert "28% of them lose" in told
    assert "199 histories, 84 cells on each, those with native allocation only" in told
    assert "with 90% confidence: good, weak" in told
    assert "bars at the end that nothing here has seen, opened 0 times" in told


def test_what_luck_did_is_unknown_and_not_nothing_where_it_was_not_asked(board: Board) -> None:
    bare = replace(board.universes[0], luck=LuckFacts())

    facts = {fact.name: fact.value for fact in luck_facts(board, bare)}

    unknown = {name for name, value in facts.items() if value == "?"}
    assert unknown == {
        "overfitting",
        "paths not chosen on",
        "shuffled bars",
        "cannot be told apart",
        "days drawn again",
        "years needed",
    }
    assert luck_line(bare) == "luck: cannot be told, too few cells were searched"


def test_a_terminal_says_luck_in_one_line(board: Board) -> None:
    assert luck_line(board.universes[0]) == (
        "luck: overfitting 31%, 28% of other paths lose, shuffled bars give +0.61 (1 in 20), 4.6 years needed"
    )


# --- gates -----------------------------------------------------------------------------------------------


def test_every_gate_of_every_best_row_has_its_value_threshold_and_evidence(board: Board, page: str) -> None:
    assert set(NAMES) == set(WORDS)
    for row in (row for row in board.best() if row.gates):
        start = page.index(f"{row.text('strategy')} on us20: value, threshold and evidence")
        table = page[start : page.index("</details>", start)]
        for gate in row.gates:
            line = next(line for line in table.splitlines() if f"<code>{gate.gate}</code>" in line)
            told = (SIGNS[gate.status], gate_has(gate), gate_needs(gate), gate_reason(gate))
            for text in (*told, gate.evidence_hash or "none"):
                assert str(escape(text)) in line


def test_every_sign_of_the_matrix_stands_under_its_gate(board: Board, page: str) -> None:
    head, _, _ = page[page.index('<table class="matrix">') :].partition("</thead>")
    heads = re.findall(r"<th><span>([^<]*)</span>", head)
    row = best(board, "weak")
    line = next(
        line
        for line in page.splitlines()
        if line.startswith('<tr><th class="name">weak') and "title=" in line
    )
    signs = re.findall(r'title="[^"]*">(.)</span>', line)

    by_gate = {gate.gate: SIGNS[gate.status] for gate in row.gates}
    assert heads == [NAMES[gate] for gate in WORDS]
    assert signs == [by_gate[gate] for gate in WORDS]
    assert {"✓", "✕", "–"} <= set(signs)


def test_a_gate_without_evidence_is_a_question_and_never_a_tick() -> None:
    gate = GateResult(
        gate="spa",
        value=float("nan"),
        threshold=0.05,
        direction=Direction.AT_MOST,
        status=GateStatus.MISSING,
        evidence_hash="",
    )

    mark = next(mark for mark in marks(Row(values={}, gates=(gate,), curve=())) if mark.gate == "spa")

    assert (mark.sign, mark.status_words, mark.has) == ("?", "evidence missing", "no evidence")


def test_every_reason_against_a_best_row_stands_on_the_page(board: Board, page: str) -> None:
    row = best(board, "weak")
    reasons = [text for gate in row.gates if (text := gate_reason(gate))]

    shorts = [WORDS[gate.gate].short for gate in row.gates if gate_reason(gate)]
    why, _, _ = page[page.index('<tr class="why">', page.index("<b>weak</b>")) :].partition("\n")
    assert len(reasons) > 3
    for text in reasons:
        assert str(escape(text)) in page
    for text in (*reasons[:3], *shorts[3:]):
        assert str(escape(text)) in why


# --- rows ------------------------------------------------------------------------------------------------


def test_the_table_has_every_row_judged_ones_best_first(board: Board) -> None:
    table = page_table.table_of(board)
    lines = table.body.split("\n")
    judged = [re.findall(r"<td>([^<]*)", line) for line in lines[: table.n_judged]]

    assert len(lines) == table.n_rows == len(board.rows)
    assert [line[-1] for line in judged] == [row.text("strategy_id") for row in board.judged]
    assert not any('class="o' in line for line in lines[: table.n_judged])
    assert all('class="o' in line for line in lines[table.n_judged :])


def test_the_table_can_be_filtered_by_every_coordinate(board: Board, page: str) -> None:
    found = {item.name: item.options for item in page_table.table_of(board).filters}

    assert found["verdict"] == ("PASS", "HOLD", "ref")
    assert found["simulator"] == ("core", "frictionless", "vectorbt")
    assert found["strategy"] == ("benchmark", "good", "market", "raw_pool_ew", "weak")
    assert found["profile"] == ("benchmark", "equal_weight", "hrp", "market", "raw_pool_ew")
    assert set(found) == {
        "data",
        "strategy",
        "selection",
        "rebalance",
        "engine",
        "profile",
        "simulator",
        "verdict",
    }
    for name in found:
        assert f'<select name="{name}"' in page


def test_more_rows_than_a_page_carries_are_left_to_the_csv(
    board: Board, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_table, "ROWS_ON_THE_PAGE", 5)

    page = html(board, study)

    assert f"5 of {len(board.rows)} rows are here; the rest are in tournament_scoreboard.csv" in page


def test_a_name_cannot_write_into_the_table(board: Board) -> None:
    rows = tuple(with_values(row, strategy="<script>x</script>") for row in board.rows[:1])

    body = page_table.table_of(replace(board, rows=rows)).body

    assert "<script>" not in body
    assert "&lt;script&gt;x&lt;/script&gt;" in body


# --- slices ----------------------------------------------------------------------------------------------


def test_a_slice_shows_the_excess_of_every_cell_under_every_simulator(board: Board) -> None:
    slices = page_heat.slices(board, board.universes[0])

    assert list(slices) == ["good", "weak"]
    assert [item.simulator for item in slices["weak"]] == ["core", "frictionless", "vectorbt"]
    core = slices["weak"][0]
    assert core.columns == (("all", "window"),)
    shown = {line: tiles[0].text for line, tiles in core.lines}
    wanted = {
        f"native/{row.text('profile')}": f"{row.number('excess_sharpe'):+.2f}"
        for row in board.rows
        if row.text("strategy") == "weak" and row.text("simulator") == str(Simulator.CORE)
    }
    assert shown == wanted


def test_a_slice_tells_a_baseline_in_disguise_from_a_result_that_is_missing(board: Board) -> None:
    row = with_values(best(board, "weak"), excess_sharpe=None)

    assert page_heat.tile(with_values(row, baseline_equivalent="benchmark")).text == "="
    assert page_heat.tile(row).text == "?"
    assert page_heat.tile(None).text == ""


# --- what would have to change ---------------------------------------------------------------------------


def test_a_near_miss_says_every_open_gate_what_it_needs_and_what_to_do(board: Board, page: str) -> None:
    miss = page_changes.near_misses(board)[0]
    told = page[page.index('<h2 id="misses">') : page.index('<h2 id="all">')]

    opened = [gate.gate for gate in miss.row.gates if gate.status in (GateStatus.FAIL, GateStatus.MISSING)]
    assert miss.row.text("strategy") == "weak"
    assert [opening.mark.gate for opening in miss.openings] == opened
    for opening in miss.openings:
        for text in (opening.mark.has, opening.mark.needs, opening.step):
            assert text
            assert str(escape(text)) in told
    assert f"{len(opened)} of {miss.n_asked} gates that apply are open" in told


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.5, "5.0 years prove an excess of this strength; there are 10.0"),
        (1.6, "16.0 years of such an excess would prove it; there are 10.0"),
        (float("inf"), "no record is long enough: it earned no excess in 10.0 years"),
        (None, "not known: it has no excess over the pool to prove"),
    ],
)
def test_the_record_that_proof_needs_is_said_in_years(board: Board, share: float | None, words: str) -> None:
    row = with_values(best(board, "weak"), track_record=share, days=2520)

    assert page_changes.years_words(row, 252) == words


@pytest.mark.parametrize(
    ("excess", "words"),
    [
        ((0.4, 0.2, -0.2), "it vanishes at 2.5 times the costs"),
        ((0.4, 0.3, 0.2), "it would vanish at about 5.0 times the costs, beyond the 3 times played"),
        ((0.4, 0.39, 0.385), "it is there at 3 times the costs, and does not vanish up to 10 times"),
        ((-0.1, -0.2, -0.3), "at the costs that it was played with there is no excess left to lose"),
        ((None, None, None), "not known: it has no excess over the pool"),
    ],
)
def test_the_costs_at_which_the_excess_is_gone_are_said(
    board: Board, excess: tuple[float | None, ...], words: str
) -> None:
    columns = dict(zip(("excess_sharpe", "excess_costs_2x", "excess_costs_3x"), excess, strict=True))

    assert page_changes.cost_words(with_values(best(board, "weak"), **columns)) == words


def test_the_capital_that_the_excess_carries_is_said(board: Board) -> None:
    row = with_values(
        best(board, "weak"), capacity=1e6, capacity_curve="100000:0.5;1000000:0.1;10000000:-0.2"
    )

    assert page_changes.capital_points(row) == ((1e5, 0.5), (1e6, 0.1), (1e7, -0.2))
    assert page_changes.money_words(row) == "it lasts up to 1,000,000"
    assert (
        page_changes.money_words(with_values(row, capacity=0.0)) == "it carries none: no excess with 100,000"
    )
    assert "no volume" in page_changes.money_words(with_values(row, capacity=None, capacity_curve=None))


def test_regimes_and_sources_of_the_excess_are_read_from_the_row(board: Board) -> None:
    row = with_values(
        best(board, "weak"),
        regime_excess="QUIET:+0.0565/2360;CRISIS:-0.0100/280",
        selection_alpha=0.01,
        optimisation_alpha=-0.002,
        timing_alpha=0.03,
        cost_alpha=-0.005,
    )

    assert page_changes.regimes(row) == (("quiet", 0.0565, 2360), ("crisis", -0.01, 280))
    assert page_changes.attribution(row) == (
        ("selection", 0.01),
        ("optimisation", -0.002),
        ("timing", 0.03),
        ("costs", -0.005),
    )
    assert page_changes.attribution(with_values(row, timing_alpha=None)) == ()


# --- drawings --------------------------------------------------------------------------------------------


def test_equity_is_drawn_on_a_logarithmic_scale_over_the_pool() -> None:
    picture = str(drawing.equity([1.0, 2.0, 4.0], [1.0, 1.0], "good", "mine"))

    curve = re.search(r'class="good curve" points="([^"]*)"', picture)
    assert curve is not None
    heights = [float(point.split(",")[1]) for point in curve.group(1).split()]
    # Twice as much is the same step, wherever it begins.
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
    assert 'class="pool"' in picture
    assert "×4.00" in picture
    assert "mine: equity from 1 to 4.00, the pool to 1.00" in picture


def test_a_loss_is_drawn_to_the_left_of_the_line_and_says_its_sign() -> None:
    picture = str(drawing.bars([("timing", 0.02), ("costs", -0.01)], 0.02, "excess"))

    middle = float(re.search(r'class="axis" x1="([\d.]+)"', picture).group(1))  # type: ignore[union-attr]
    up = re.search(r'class="up" x="([\d.]+)" y="3" width="([\d.]+)"', picture)
    down = re.search(r'class="down" x="([\d.]+)" y="20" width="([\d.]+)"', picture)
    assert up is not None
    assert down is not None
    assert float(up.group(1)) == middle
    assert float(down.group(1)) + float(down.group(2)) == middle
    assert float(up.group(2)) == 2 * float(down.group(2))
    assert ">+2.0%<" in picture
    assert ">-1.0%<" in picture


# --- an earlier run --------------------------------------------------------------------------------------


def flipped(board: Board) -> Board:
    """Return a later run in which the good strategy turns over too much, and costs are others."""

    def turned(row: Row) -> Row:
        if row.text("strategy") != "good" or not row.is_judged:
            return row
        gates = tuple(
            replace(gate, value=0.713, status=GateStatus.FAIL) if gate.gate == "turnover" else gate
            for gate in row.gates
        )
        return replace(with_values(row, verdict="FAIL", avg_turnover=0.713), gates=gates)

    return replace(
        board,
        run_id="T-later",
        rows=tuple(map(turned, board.rows)),
        settings={**board.settings, "costs": "<20 bps>"},
    )


def test_a_comparison_shows_a_gate_that_flipped_with_both_values(board: Board) -> None:
    found = compare(board, flipped(board))
    page = comparison_html(found)

    line = next(line for line in page.splitlines() if "<code>turnover</code>" in line)
    assert "✓ met: 20.0%" in line
    assert "✕ not met: 71.3%" in line
    assert "50.0%" in line
    assert "2 rows have another verdict in T-later" in page
    assert page.count('<span class="v good">PASS</span> → <span class="v bad">FAIL</span>') == 2
    assert "&lt;20 bps&gt;" in page
    assert "<20 bps>" not in page
    assert "://" not in page
    assert comparison_html(compare(board, flipped(board))) == page


def test_runs_that_are_equal_are_said_to_be(board: Board) -> None:
    page = comparison_html(compare(board, board))

    assert f"<h1>{board.run_id} and {board.run_id} are the same</h1>" in page


def test_the_command_compares_with_an_earlier_run_and_writes_a_page(board: Board, home: Path) -> None:
    publish(board, home / "runs" / board.run_id)
    publish(flipped(board), home / "runs" / "T-later")

    arguments = ["--run", "T-later", "--compare", board.run_id]
    told = CliRunner().invoke(app, arguments)
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)

    assert told.exit_code == 0
    assert "turnover" in told.stdout
    assert "comparison.html" in told.stdout
    assert document["runs"] == [board.run_id, "T-later"]
    assert [change["verdicts"] for change in document["changes"]] == [["PASS", "FAIL"]] * 2
    assert (home / "runs" / "T-later" / "comparison.html").read_text(encoding="utf-8") == comparison_html(
        compare(board, flipped(board))
    )
