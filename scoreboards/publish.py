"""Writing a board for people and programs: JSON, CSV, Markdown, and one page of HTML."""

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from engine.core.metrics import IDENTITY_TOLERANCE
from engine.domain.errors import IdentityError
from engine.domain.gates import GateStatus, Verdict
from research.configuration import STANDARD
from scoreboards import drawing
from scoreboards.board import COLUMNS, Board, Row, UniverseFacts, Value
from scoreboards.explain import VERDICTS, WORDS, number, reasons
from scoreboards.sentences import headline, next_step, pass_words, reason, row_reasons

BOARD_FILE = "board.json"
CSV_FILE = "tournament_scoreboard.csv"
CANDIDATES_FILE = "tournament_candidates.csv"
MARKDOWN_FILE = "tournament_scoreboard.md"
HTML_FILE = "scoreboard.html"

PORT_TEST = "configs/port-test.yaml"

# More rows make a page heavy without making it wiser; all of them are in the CSV.
CELLS_ON_THE_PAGE = 400
CANDIDATES_IN_MARKDOWN = 50
ROWS_IN_MARKDOWN = 200

MARKS = {
    GateStatus.PASS: "✓",
    GateStatus.FAIL: "✕",
    GateStatus.MISSING: "?",
    GateStatus.NOT_APPLICABLE: "·",
}
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
    page = html(board)
    write_whole(published.scoreboard, csv_text(board.rows))
    if board.void:
        # An earlier, valid run of the same inputs may have left one: it must not outlive the verdict.
        candidates.unlink(missing_ok=True)
    else:
        write_whole(candidates, csv_text(board.candidates))
    write_whole(published.markdown, markdown(board))
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


def markdown(board: Board) -> str:
    """Return the report of SPEC 1.8: thresholds, candidates, baselines, the full table."""
    lines = [f"# {headline(board)}", "", f"Run `{board.run_id}`, content hash `{board.content_hash}`.", ""]
    if board.void:
        lines += ["**VOID: a control misbehaved, so no verdict below counts and nothing is promoted.**", ""]
    lines += [f"- {note}" for note in board.notes]
    lines += ["", "## Controls", "", *_controls_table(board)]
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


def html(board: Board) -> str:
    """Return the page: no script, no network, light and dark, on paper too."""
    environment = Environment(
        loader=PackageLoader("scoreboards", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        board=board,
        headline=headline(board),
        next_step=next_step(board),
        reason=reason(board),
        repeat_command=repeat_command(board),
        verdict_words=VERDICTS,
        gate_names=tuple(WORDS),
        figure=figure,
        marks=_marks,
        tone=lambda row: TONES[row.verdict],
        why=lambda row: row_reasons(row) or [pass_words(row, board)],
        sparkline=drawing.sparkline,
        interval=drawing.interval,
        blocks=drawing.blocks,
        windows=_windows,
        ratios=block_ratios,
        needs=_needs,
        best_of=_best_of,
        cells_of=_cells_of,
        baselines_of=_baselines_of,
        scale_of=_scale_of,
        cells_on_the_page=CELLS_ON_THE_PAGE,
        csv_file=CSV_FILE,
    )
    return environment.get_template("scoreboard.html.j2").render()


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


@dataclass(frozen=True, slots=True)
class Mark:
    """One gate of one row, in one sign and one sentence."""

    sign: str
    status: str
    title: str


def _marks(row: Row) -> list[Mark]:
    marks = []
    for gate in row.gates:
        words = WORDS[gate.gate]
        text = "; ".join(reasons([gate]))
        if gate.status is GateStatus.PASS and gate.gate != "baseline_equivalent":
            text = f"{number(gate.value, words.scale)} {gate.direction} {number(gate.threshold, words.scale)}"
        if gate.status is GateStatus.NOT_APPLICABLE:
            text = "does not apply"
        marks.append(Mark(MARKS[gate.status], str(gate.status), f"{gate.gate}: {text or 'met'}"))
    return marks


def _needs(gate: str, board: Board) -> str:
    definition = next(item for item in board.gates if item.gate == gate)
    if definition.threshold is None:
        return ""
    sign = {"<=": "at most", ">=": "at least", ">": "above"}[definition.direction]
    return f"{sign} {number(definition.threshold, WORDS[gate].scale)}"


def _best_of(universe: UniverseFacts, board: Board) -> list[Row]:
    return [row for row in board.best() if row.text("universe") == universe.name]


def _cells_of(universe: UniverseFacts, board: Board) -> list[Row]:
    return [row for row in board.judged if row.text("universe") == universe.name]


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
