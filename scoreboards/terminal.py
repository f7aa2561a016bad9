"""The board in a terminal, 100 columns wide. Words and shapes say everything that colour says."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.domain.gates import Verdict
from research.control_study import load_study
from scoreboards.board import Board, ControlVerdict, Row, UniverseFacts
from scoreboards.explain import short_reasons
from scoreboards.page_luck import luck_line
from scoreboards.publish import block_ratios, figure
from scoreboards.sentences import headline, next_step, pass_words, reason, row_reasons

WIDTH = 100
STRETCHES = 8

# What stands beside verdict and name, and the order in which it goes where there is no room for all of it:
# a figure can be read on the page, a name that was cut names nothing.
HEADS = ("Sharpe", "excess", "low 95%", "DSR", "max DD", "stretches", "P/H/F")
FIRST_TO_GO = ("stretches", "P/H/F", "max DD", "DSR", "Sharpe", "low 95%")
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
    _say(screen, Text(f"the gates themselves: {load_study().headline()}", style="dim"), 4)


def _universe(screen: Console, board: Board, universe: UniverseFacts) -> None:
    screen.print()
    screen.print(
        Text.assemble(
            (universe.name, "bold"),
            f"  {universe.instruments} instruments, {universe.first_bar} to {universe.last_bar}, "
            f"{universe.windows} windows, market {universe.market or 'raw_pool_ew'}",
        )
    )
    rows = [row for row in board.best() if row.text("universe") == universe.name]
    lines = [(row, "/".join(str(count) for count in board.cells_of(row).values())) for row in rows]
    lines += [(row, "") for row in _references(board, universe)]
    shown = _table(screen, lines)
    _reasons(screen, board, rows)
    _say(screen, Text(luck_line(universe), style="dim"), 2)
    counts = "P/H/F: cells that PASS, HOLD, FAIL. " if "P/H/F" in shown else ""
    _say(
        screen,
        Text(
            f"{counts}DSR counts all {universe.trials} tries on record for this data "
            f"({universe.n_effective:.1f} independent). {universe.holdout_rows} bars stay sealed, opened "
            f"{universe.holdout_openings} times.",
            style="dim",
        ),
        2,
    )


def _table(screen: Console, lines: Sequence[tuple[Row, str]]) -> list[str]:
    """Print verdict and name of every row whole, with as many figures as there is room for; return which."""
    figures = [(row, _figures(row, counts)) for row, counts in lines]
    heads = list(HEADS)
    widths = {head: max(len(head), *(cells[head].cell_len for _, cells in figures)) for head in HEADS}
    names = max(len(_name(row)) for row, _ in figures)
    for head in FIRST_TO_GO:
        # A blank on both sides of every cell; the verdict takes 6.
        if 8 + names + 2 + sum(widths[shown] + 2 for shown in heads) <= screen.width:
            break
        heads.remove(head)
    table = Table(box=None, padding=(0, 1), show_edge=False, width=screen.width, header_style="bold")
    table.add_column("", width=6)
    table.add_column("strategy", ratio=1, overflow="fold")
    for head in heads:
        table.add_column(head, justify="left" if head == "stretches" else "right", no_wrap=True)
    for row, cells in figures:
        baseline = bool(row.text("baseline_role"))
        table.add_row(
            Text(f" {row.verdict:<4} ", style=STYLES[row.verdict]),
            Text(_name(row), style="" if baseline else "bold"),
            *(cells[head] for head in heads),
            style="dim" if baseline else "",
        )
    screen.print(table)
    return heads


def _name(row: Row) -> str:
    return row.text("baseline_role") or row.text("strategy")


def _figures(row: Row, counts: str) -> dict[str, Text]:
    return {
        "Sharpe": Text(figure(row, "sharpe", "+.2f")),
        "excess": Text(figure(row, "excess_sharpe", "+.2f")),
        "low 95%": Text(figure(row, "excess_lower_bound", "+.2f")),
        "DSR": Text(figure(row, "deflated_sharpe", ".2f")),
        "max DD": Text(figure(row, "max_drawdown", ".0%")),
        "stretches": _stretches(block_ratios(row)),
        "P/H/F": Text(counts),
    }


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
