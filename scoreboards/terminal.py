"""The board in a terminal, 100 columns wide. Words and shapes say everything that colour says."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.domain.gates import Verdict
from scoreboards.board import Board, ControlVerdict, Row, UniverseFacts
from scoreboards.explain import short_reasons
from scoreboards.publish import block_ratios, figure
from scoreboards.sentences import headline, next_step, pass_words, reason, row_reasons

WIDTH = 100
STRETCHES = 8
STYLES = {
    Verdict.PASS: "bold white on blue",
    Verdict.HOLD: "bold black on yellow",
    Verdict.FAIL: "bold white on rgb(168,72,10)",
    Verdict.BASELINE: "dim",
}


def show(board: Board, folder: Path | None = None, console: Console | None = None) -> None:
    """Print verdict, reason, next command and path of a board.

    Parameters
    ----------
    folder
        Where it was published, as the reader would type it.
    """
    screen = console or Console(highlight=False)
    screen = Console(
        file=screen.file,
        width=min(WIDTH, screen.width) if screen.is_terminal else WIDTH,
        force_terminal=screen.is_terminal,
        no_color=screen.no_color,
        highlight=False,
    )
    if board.void:
        _void_banner(screen, board)
    screen.print(
        Text.assemble(
            ("SCOREBOARD", "bold"),
            f"  out of sample, net of {board.settings['costs']}, sorted by verdict then lower bound",
        )
    )
    for note in board.notes:
        _say(screen, Text(f"! {note}", style="yellow"), 2)
    _controls(screen, board.controls)
    for universe in board.universes:
        _universe(screen, board, universe)
    _closing(screen, board, folder)


def _void_banner(screen: Console, board: Board) -> None:
    bar = " " * screen.width
    style = "bold white on red"
    screen.print(Text(bar, style=style))
    screen.print(
        Text("  VOID  no verdict below counts, nothing is promoted".ljust(screen.width), style=style)
    )
    screen.print(Text(bar, style=style))
    _say(screen, Text(f"why   {reason(board)}"), 2)
    screen.print()


def _controls(screen: Console, controls: Sequence[ControlVerdict]) -> None:
    behaved = sum(control.behaved for control in controls)
    sign = "✓" if behaved == len(controls) else "✕"
    screen.print(Text(f"  {sign} controls  {behaved} of {len(controls)} behaved", style="bold"))
    for control in controls:
        place = f" on {control.universe}" if control.universe else ""
        sign = "✓" if control.behaved else "✕"
        text = f"{sign} {control.name}{place} {control.expectation}: {control.observed}"
        _say(screen, Text(text, style="" if not control.behaved else "dim"), 4)


def _universe(screen: Console, board: Board, universe: UniverseFacts) -> None:
    screen.print()
    screen.print(
        Text.assemble(
            (universe.name, "bold"),
            f"  {universe.instruments} instruments, {universe.first_bar} to {universe.last_bar}, "
            f"{universe.windows} windows, market {universe.market or 'raw_pool_ew'}",
        )
    )
    table = Table(box=None, padding=(0, 1), show_edge=False, width=screen.width, header_style="bold")
    table.add_column("", width=6)
    table.add_column("strategy", ratio=1, overflow="fold")
    for name in ("Sharpe", "excess", "low 95%", "DSR", "max DD"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("stretches", no_wrap=True)
    table.add_column("P/H/F", justify="right", no_wrap=True)
    rows = [row for row in board.best() if row.text("universe") == universe.name]
    for row in rows:
        table.add_row(*_figures(row), "/".join(str(count) for count in board.cells_of(row).values()))
    for row in _references(board, universe):
        table.add_row(*_figures(row), "", style="dim")
    screen.print(table)
    _reasons(screen, board, rows)
    _say(
        screen,
        Text(
            f"P/H/F: cells that PASS, HOLD, FAIL. DSR counts all {universe.trials} tries on record for "
            f"this data ({universe.n_effective:.1f} independent). {universe.holdout_rows} bars stay "
            f"sealed, opened {universe.holdout_openings} times.",
            style="dim",
        ),
        2,
    )


def _figures(row: Row) -> tuple[Text, ...]:
    baseline = row.text("baseline_role")
    name = Text(baseline or row.text("strategy"), style="" if baseline else "bold")
    return (
        Text(f" {row.verdict:<4} ", style=STYLES[row.verdict]),
        name,
        Text(figure(row, "sharpe", "+.2f")),
        Text(figure(row, "excess_sharpe", "+.2f")),
        Text(figure(row, "excess_lower_bound", "+.2f")),
        Text(figure(row, "deflated_sharpe", ".2f")),
        Text(figure(row, "max_drawdown", ".0%")),
        _stretches(block_ratios(row)),
    )


def _stretches(ratios: Sequence[float]) -> Text:
    """Return up to eight arrows: did the strategy earn (up) or lose (down) in that part of its history."""
    text = Text()
    parts = min(STRETCHES, len(ratios))
    for place in range(parts):
        part = ratios[place * len(ratios) // parts : (place + 1) * len(ratios) // parts]
        earned = sum(part) > 0
        text.append("▲" if earned else "▼", style="blue" if earned else "rgb(200,95,20)")
    return text


def _references(board: Board, universe: UniverseFacts) -> list[Row]:
    """Return market, pool and benchmark once each: as re-based once a window, over all instruments."""
    found: dict[str, Row] = {}
    rows = [row for row in board.baselines if row.text("universe") == universe.name]
    rows.sort(key=lambda row: (row.text("rebalance") != "window", row.text("selection") != "all"))
    for row in rows:
        found.setdefault(row.text("baseline_role"), row)
    return list(found.values())


def _reasons(screen: Console, board: Board, rows: Sequence[Row]) -> None:
    for row in rows:
        why = row_reasons(row)
        first = why[0] if why else pass_words(row, board)
        more = f"; and {len(why) - 1} more" if len(why) > 1 else ""
        cell = f"({row.cell}) " if row.cell else ""
        text = Text.assemble(
            (f"{row.verdict} ", "bold"),
            f"{row.text('strategy')} ",
            (cell, "dim"),
            f"{first}{more}",
        )
        _say(screen, text, 2)


def _closing(screen: Console, board: Board, folder: Path | None) -> None:
    judged = board.judged
    counts = {verdict: sum(row.verdict is verdict for row in judged) for verdict in Verdict}
    tally = ", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLES if verdict is not Verdict.BASELINE)
    screen.print()
    _say(screen, Text.assemble((f"{headline(board)}.", "bold"), f"  Cells: {tally}."), 2)
    if not board.candidates and not board.void:
        _say(screen, Text("Nothing is promoted. Nearest misses:"), 2)
        for row in board.nearest_misses():
            place = f"{row.verdict}  {row.text('strategy_id')} on {row.text('universe')}: "
            _say(screen, Text(place + short_reasons(row.gates, most=3)), 4)
    command, purpose = next_step(board)
    lines = [
        ("reason", Text(reason(board))),
        ("next", Text.assemble((command, "bold"), "   " if command else "", purpose)),
    ]
    if folder is not None:
        lines.append(("scoreboard", Text(f"{folder}/scoreboard.html   (also .csv, .md, board.json)")))
    screen.print()
    grid = Table.grid(padding=(0, 2))
    for name, words in lines:
        grid.add_row(Text(f"  {name}", style="dim"), words)
    screen.print(grid)


def _say(screen: Console, text: Text, indent: int) -> None:
    """Print wrapped text behind a margin, without trailing blanks that a log would keep."""
    for line in text.wrap(screen, screen.width - indent):
        line.rstrip()
        screen.print(Text(" " * indent).append_text(line), no_wrap=True)
