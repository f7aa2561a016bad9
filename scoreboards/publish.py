"""Writing a board for people and programs: JSON, CSV, Markdown, and one page of HTML."""

import base64
import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from engine.core.metrics import IDENTITY_TOLERANCE
from engine.domain.errors import IdentityError
from engine.domain.gates import Verdict
from research.cells import BaselineRole
from research.configuration import STANDARD
from research.control_study import Outcome, Study, load_study
from scoreboards import drawing, page_changes, page_table
from scoreboards.board import COLUMNS, Board, Row, UniverseFacts, Value
from scoreboards.explain import VERDICTS, WORDS
from scoreboards.explain import reason as gate_reason
from scoreboards.page_gates import NAMES, definition_needs, marks
from scoreboards.page_heat import slices
from scoreboards.page_luck import luck_facts
from scoreboards.sentences import headline, next_step, pass_words, reason, row_reasons

BOARD_FILE = "board.json"
CSV_FILE = "tournament_scoreboard.csv"
CANDIDATES_FILE = "tournament_candidates.csv"
MARKDOWN_FILE = "tournament_scoreboard.md"
HTML_FILE = "scoreboard.html"

PORT_TEST = "configs/port-test.yaml"

CANDIDATES_IN_MARKDOWN = 50
ROWS_IN_MARKDOWN = 200
REASONS_IN_FULL = 3

TONES = {Verdict.PASS: "good", Verdict.HOLD: "hold", Verdict.FAIL: "bad", Verdict.BASELINE: "ref"}


BASELINE_ORDER = {"market": 0, "raw_pool_ew": 1, "benchmark": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where a board was written. A void board has no candidates file."""

    board: Path
    scoreboard: Path
    candidates: Path | None
    markdown: Path
    html: Path


def publish(board: Board, folder: Path) -> Published:
    """Write every form of a board, each whole or not at all; `board.json` last.

    Raises
    ------
    IdentityError
        If a row's total return is not the change of its account: then nothing is written.
    """
    _check_rows(board.rows)
    folder.mkdir(parents=True, exist_ok=True)
    candidates = folder / CANDIDATES_FILE
    published = Published(
        board=folder / BOARD_FILE,
        scoreboard=folder / CSV_FILE,
        candidates=None if board.void else candidates,
        markdown=folder / MARKDOWN_FILE,
        html=folder / HTML_FILE,
    )
    study = load_study()
    page = html(board, study)
    write_whole(published.scoreboard, csv_text(board.rows))
    if board.void:
        # An earlier, valid run of the same inputs may have left one: it must not outlive the verdict.
        candidates.unlink(missing_ok=True)
    else:
        write_whole(candidates, csv_text(board.candidates))
    write_whole(published.markdown, markdown(board, study))
    write_whole(published.html, page)
    write_whole(published.board, board.file_text())
    return published


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds the old one or the whole new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is its owner's alone; a report is for whoever may read the folder.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def _check_rows(rows: Iterable[Row]) -> None:
    for row in rows:
        if row.values["total_return"] is None:
            continue
        compounded = 1.0 + row.number("total_return")
        change = row.number("final_equity") / row.number("start_cash")
        if not abs(compounded - change) <= IDENTITY_TOLERANCE * max(1.0, abs(change)):
            raise IdentityError(
                f"{row.text('strategy_id')} ({row.text('simulator')}): returns compound to "
                f"x{compounded:.12g}, the account changed x{change:.12g}; nothing was written"
            )


# --- CSV -------------------------------------------------------------------------------------------------


def csv_text(rows: Sequence[Row]) -> str:
    """Return rows as CSV. Floats keep every digit, no value is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([csv_value(row.values[column]) for column in COLUMNS])
    return out.getvalue()


def csv_value(value: Value) -> str:
    """Write one value: floats keep every digit, no value is empty."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case _:
            return str(value)


# --- Markdown --------------------------------------------------------------------------------------------


def markdown(board: Board, study: Study) -> str:
    """Return the report of SPEC 1.8: thresholds, candidates, baselines, the full table.

    Parameters
    ----------
    study
        Of the controls: how often the gates promote luck, and how often they find an edge.
    """
    lines = [f"# {headline(board)}", "", f"Run `{board.run_id}`, content hash `{board.content_hash}`.", ""]
    if board.void:
        lines += ["**VOID: a control misbehaved, so no verdict below counts and nothing is promoted.**", ""]
    lines += [f"- {note}" for note in board.notes]
    lines += ["", "## Controls", "", *_controls_table(board), "", f"Study of the gates: {study.headline()}"]
    lines += ["", "## Luck", "", *_luck_table(board)]
    lines += ["", "## Thresholds", "", *_thresholds_table(board)]
    lines += ["", "## Candidate summary", "", *_summary(board)]
    lines += ["", f"## Top candidates, non-baseline ({CANDIDATES_IN_MARKDOWN})", ""]
    lines += _rows_table(board.candidates[:CANDIDATES_IN_MARKDOWN]) or ["None."]
    misses = board.nearest_misses()
    if misses and not board.candidates:
        lines += ["", "### Nearest misses", ""]
        for row in misses:
            place = f"{row.text('strategy')} on {row.text('universe')} ({row.cell})"
            lines.append(f"- **{row.verdict}** {place}: {'; '.join(row_reasons(row))}")
    lines += ["", "## Baseline reference rows", "", *(_rows_table(board.baselines) or ["None."])]
    shown = board.rows[:ROWS_IN_MARKDOWN]
    lines += ["", f"## Full table ({len(shown)} of {len(board.rows)} rows)", "", *_rows_table(shown)]
    lines += ["", "## Repeat this", "", f"`{repeat_command(board)}`", ""]
    return "\n".join(lines)


def _controls_table(board: Board) -> list[str]:
    lines = ["| control | data | wanted | seen | behaved |", "|---|---|---|---|---|"]
    for control in board.controls:
        behaved = "yes" if control.behaved else "**no**"
        cells = (control.name, control.universe, control.expectation, control.observed, behaved)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _luck_table(board: Board) -> list[str]:
    lines = ["| data | what | value | in words |", "|---|---|---|---|"]
    lines += [
        f"| {universe.name} | {fact.name} | {fact.value} | {fact.words} |"
        for universe in board.universes
        for fact in luck_facts(board, universe)
    ]
    return lines


def _thresholds_table(board: Board) -> list[str]:
    lines = ["| gate | needs | what it asks |", "|---|---|---|"]
    for gate in board.gates:
        needs = f"{gate.direction} {gate.threshold:g}" if gate.threshold is not None else "not judged"
        lines.append(f"| {gate.gate} | {needs} | {gate.asks} |")
    return lines


def _summary(board: Board) -> list[str]:
    lines = [
        "| strategy | data | best cell | verdict | PASS / HOLD / FAIL | why not |",
        "|---|---|---|---|---|---|",
    ]
    for row in board.best():
        counts = " / ".join(str(count) for count in board.cells_of(row).values())
        why = "; ".join(row_reasons(row)) or pass_words(row, board)
        cells = (row.text("strategy"), row.text("universe"), row.cell, str(row.verdict), counts, why)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


_MARKDOWN_COLUMNS = (
    ("id", "strategy_id", ""),
    ("data", "universe", ""),
    ("cell", "", ""),
    ("simulator", "simulator", ""),
    ("verdict", "verdict", ""),
    ("Sharpe", "sharpe", "+.2f"),
    ("excess Sharpe", "excess_sharpe", "+.2f"),
    ("lower 95%", "excess_lower_bound", "+.2f"),
    ("DSR", "deflated_sharpe", ".2f"),
    ("CAGR", "cagr", "+.1%"),
    ("max drawdown", "max_drawdown", ".0%"),
    ("trades", "trades", ".0f"),
    ("failures", "candidate_failures", ""),
)


def _rows_table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    names = [name for name, _, _ in _MARKDOWN_COLUMNS]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for row in rows:
        cells = [
            (row.cell if name == "cell" else figure(row, column, form) if form else row.text(column))
            for name, column, form in _MARKDOWN_COLUMNS
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def figure(row: Row, column: str, form: str) -> str:
    """Write one number of a row; empty where there is none."""
    return format(row.number(column), form) if row.values[column] is not None else ""


# --- HTML ------------------------------------------------------------------------------------------------


def html(board: Board, study: Study) -> str:
    """Return the page: no network, light and dark, on paper too; one small script that sorts and filters.

    Without the script everything can be read. The page lets no other script run, and loads nothing.

    Parameters
    ----------
    study
        Of the controls: how often the gates promote luck, and how often they find an edge.
    """
    environment = page_environment()
    script = Markup(environment.loader.get_source(environment, "page.js")[0].strip())  # type: ignore[union-attr]
    table = page_table.table_of(board)
    counts = _counts(board)
    environment.globals.update(
        board=board,
        study=study,
        study_signs={Outcome.MET: "✓", Outcome.OPEN: "?", Outcome.MISSED: "✕"},
        headline=headline(board),
        next_step=next_step(board),
        reason=reason(board),
        repeat_command=repeat_command(board),
        verdict_words=VERDICTS,
        gate_names=tuple(WORDS),
        names=NAMES,
        figure=figure,
        marks=marks,
        tone=lambda row: TONES[row.verdict],
        why=lambda row: _why(row, board),
        sparkline=drawing.sparkline,
        interval=drawing.interval,
        blocks=drawing.blocks,
        equity=drawing.equity,
        bars=drawing.bars,
        steps=drawing.steps,
        ratios=block_ratios,
        needs=definition_needs,
        luck=lambda universe: luck_facts(board, universe),
        windows=lambda universe: _windows(universe, board),
        best_of=lambda universe: _best_of(universe, board),
        cells_of=lambda row: counts[_strategy(row)],
        baselines_of=lambda universe: _baselines_of(universe, board),
        pool_of=_pools(board),
        scale_of=_scale_of,
        slices=lambda universe: slices(board, universe),
        misses=page_changes.near_misses(board),
        attribution=page_changes.attribution,
        regimes=page_changes.regimes,
        pairs=lambda parts: [part[:2] for part in parts],
        limit_of=_limit_of,
        cost_points=page_changes.cost_points,
        cost_words=page_changes.cost_words,
        capital_points=page_changes.capital_points,
        money_words=page_changes.money_words,
        years_words=page_changes.years_words,
        times=lambda multiple: f"{multiple:.0f}x",
        money=_short_money,
        table=table,
        table_columns=page_table.COLUMNS,
        rows_on_paper=page_table.ROWS_ON_PAPER,
        csv_file=CSV_FILE,
        script=script,
        script_hash=_script_hash(script),
    )
    return environment.get_template("scoreboard.html.j2").render()


def page_environment() -> Environment:
    """Return where pages are made: every value is escaped, a name that is not known stops the page."""
    return Environment(
        loader=PackageLoader("scoreboards", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _script_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def repeat_command(board: Board) -> str:
    """Return the command that makes the same board again."""
    source = str(board.settings["source"])
    if source == STANDARD:
        return "engine tournament" + "".join(f" --data {universe.name}" for universe in board.universes)
    if source == PORT_TEST:
        return "make port-test"
    return f"engine tournament --config {source}"


def block_ratios(row: Row) -> list[float]:
    """Return the Sharpe ratio of each block of 252 days."""
    return [float(text) for text in row.text("block_sharpes").split(";") if text]


def _best_of(universe: UniverseFacts, board: Board) -> list[Row]:
    return [row for row in board.best() if row.text("universe") == universe.name]


def _why(row: Row, board: Board) -> list[str]:
    """Say why a row did not pass: the first reasons in full, the others in a few words each."""
    told = row_reasons(row)
    short = {text: WORDS[gate.gate].short for gate in row.gates if (text := gate_reason(gate))}
    others = [short.get(text, text) for text in told[REASONS_IN_FULL:]]
    more = [f"also {' · '.join(others)}"] if others else []
    return [*told[:REASONS_IN_FULL], *more] or [pass_words(row, board)]


def _strategy(row: Row) -> tuple[str, str]:
    return row.text("universe"), row.text("strategy")


def _counts(board: Board) -> dict[tuple[str, str], dict[Verdict, int]]:
    """Return the verdicts of all cells of every strategy on every data set, counted in one pass."""
    counts: dict[tuple[str, str], dict[Verdict, int]] = {}
    for row in board.judged:
        none_yet = dict.fromkeys((Verdict.PASS, Verdict.HOLD, Verdict.FAIL), 0)
        counts.setdefault(_strategy(row), none_yet)[row.verdict] += 1
    return counts


def _pools(board: Board) -> Callable[[Row], tuple[float, ...]]:
    """Return what finds the curve of the pool that was re-based as often as a row; empty where none is."""
    curves = {
        (row.text("universe"), row.text("rebalance")): row.curve
        for row in board.baselines
        if row.text("baseline_role") == BaselineRole.RAW_POOL
    }
    return lambda row: curves.get((row.text("universe"), row.text("rebalance")), ())


def _limit_of(rows: Sequence[Row], parts_of: Callable[[Row], Sequence[tuple[str, float]]]) -> float:
    """Return the largest part of any row, so that bars of all rows compare."""
    return max((abs(part[1]) for row in rows for part in parts_of(row)), default=0.0)


def _short_money(value: float) -> str:
    """Write a round sum.

    Examples
    --------
    >>> [_short_money(value) for value in (500, 1e5, 1e6, 2.5e9)]
    ['500', '100k', '1M', '2.5G']
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _baselines_of(universe: UniverseFacts, board: Board) -> list[Row]:
    """Return the baselines re-based once a window: one row each is enough to compare with."""
    rows = [row for row in board.baselines if row.text("universe") == universe.name]
    first = {row.text("rebalance") for row in rows}
    wanted = "window" if "window" in first else min(first, default="")
    rows = [row for row in rows if row.text("rebalance") == wanted]
    return sorted(rows, key=lambda row: (BASELINE_ORDER[row.text("baseline_role")], row.text("selection")))


def _scale_of(rows: Sequence[Row]) -> drawing.Scale:
    values = [row.number(column) for row in rows for column in ("excess_lower_bound", "excess_sharpe")]
    return drawing.interval_scale(values)


def _windows(universe: UniverseFacts, board: Board) -> str:
    def length(name: str) -> int:
        return int(board.settings[name] or 0)

    return drawing.windows(
        rows=universe.rows,
        train=length("train"),
        test=length("test"),
        step=length("step"),
        count=universe.windows,
        sealed=universe.holdout_rows,
    )
