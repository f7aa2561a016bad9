"""How runs look on the screen: the verdict first, wrapped to the width that there is."""

import os
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from scoreboards.comparison import Comparison, GateFlip, RowChange

_WIDTH = 100
_ROWS_SHOWN = 20
_INPUTS_SHOWN = 30

_COLOURS = {
    "PASS": typer.colors.BLUE,
    "HELPED": typer.colors.BLUE,
    "INTACT": typer.colors.BLUE,
    "SAME": typer.colors.BLUE,
    "HOLD": typer.colors.YELLOW,
    "NOT PROVEN": typer.colors.YELLOW,
    "DIFFERENT": typer.colors.YELLOW,
    "VOID": typer.colors.RED,
    "DAMAGED": typer.colors.RED,
    "CHANGED": typer.colors.RED,
}


def columns() -> int:
    """Return how many columns a line may take: of the terminal, at most 100."""
    # A pipe or a file has no width: there the lines keep that of the other screens.
    return min(_WIDTH, shutil.get_terminal_size((_WIDTH, 40)).columns)


def wrapped(words: str, width: int) -> list[str]:
    """Return words in lines of a width, never none."""
    return textwrap.wrap(words, max(20, width), break_long_words=False, break_on_hyphens=False) or [""]


def coloured(words: str, verdict: str, *, nl: bool) -> None:
    """Print words in the colour of a verdict."""
    colour = False if "NO_COLOR" in os.environ else None
    typer.secho(words, fg=_COLOURS.get(verdict.strip()), bold=True, nl=nl, color=colour)


def print_facts(facts: "Sequence[tuple[str, str]]") -> None:
    """Print names with their words, wrapped under themselves; a name that repeats is not said again."""
    width = max(len(name) for name, _ in facts)
    before = None
    for name, words in facts:
        for place, part in enumerate(wrapped(words, columns() - width - 4) if name else [words]):
            label = name if place == 0 and name != before else ""
            typer.echo(f"  {label:<{width}}  {part}")
        before = name


def size_words(size: int) -> str:
    """Return bytes as a person reads them."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size} {unit}"
        size = round(size / 1000)
    return f"{size} GB"


def show_comparison(found: "Comparison") -> None:
    """Print what two boards do not have in common."""
    others = [change for change in found.changes if change.has_other_verdict]
    word = "SAME" if found.is_same else "DIFFERENT"
    moved = len(found.changes) - len(others)
    words = (
        f"{len(others)} rows have another verdict, {moved} moved, {found.n_same} are the same, "
        f"{len(found.only_first)} are gone, {len(found.only_second)} are new"
    )
    coloured(word, word, nl=False)
    for place, part in enumerate(wrapped(f"{found.runs[0]} and {found.runs[1]}: {words}", columns() - 11)):
        typer.echo(" " * (2 if place == 0 else len(word) + 2) + part)
    _section(
        "inputs that differ",
        [f"{item.what}: {item.first} → {item.second}" for item in found.inputs],
        _INPUTS_SHOWN,
    )
    for title, changes in (
        ("another verdict", others),
        ("moved", [c for c in found.changes if c not in others]),
    ):
        if changes:
            typer.echo(f"\n{title}")
        for change in changes[:_ROWS_SHOWN]:
            _show_change(change)
        if len(changes) > _ROWS_SHOWN:
            typer.echo(f"  and {len(changes) - _ROWS_SHOWN} more; all of them with --json")
    _section(f"only in {found.runs[0]}", found.only_first, _ROWS_SHOWN)
    _section(f"only in {found.runs[1]}", found.only_second, _ROWS_SHOWN)
    typer.echo("")
    print_facts([("next", f"engine scoreboard --run {found.runs[1]}")])


def _show_change(change: "RowChange") -> None:
    was, now = change.verdicts
    verdicts = f"{was} → {now}" if change.has_other_verdict else now
    for place, part in enumerate(wrapped(f"{verdicts}  {change.name}", columns() - 4)):
        typer.echo(" " * (2 if place == 0 else 4) + part)
    words = [_flip(gate) for gate in change.gates]
    words += [f"{item.what} {_figure(item.first)} → {_figure(item.second)}" for item in change.metrics]
    for part in wrapped("; ".join(words), columns() - 6):
        typer.echo(f"      {part}")


def _section(title: str, lines: "Sequence[str]", most: int) -> None:
    if not lines:
        return
    typer.echo(f"\n{title}")
    for line in lines[:most]:
        for place, part in enumerate(wrapped(line, columns() - 4)):
            typer.echo(" " * (2 if place == 0 else 4) + part)
    if len(lines) > most:
        typer.echo(f"  and {len(lines) - most} more; all of them with --json")


def _flip(gate: "GateFlip") -> str:
    words = f"gate {gate.gate} {gate.first} {_figure(gate.first_value)} → {gate.second} "
    words += _figure(gate.second_value)
    needed = gate.second_threshold if gate.second_threshold is not None else gate.first_threshold
    return words + (f" (needs {_figure(needed)})" if needed is not None else "")


def _figure(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
