"""Slices of the grid: selection and rebalance by engine and profile, coloured by excess Sharpe ratio."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scoreboards.board import SIMULATOR_ORDER, Board, Row, UniverseFacts

# Lower ends of the tones, in excess Sharpe ratio a year; the same for every slice, so that they compare.
LEVELS = (0.0, 0.15, 0.35, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Tile:
    """One cell of a slice: what it shows, and its tone from `n4` (loses) over `z` to `p4` (earns)."""

    text: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One strategy as one simulator played it.

    Attributes
    ----------
    columns
        Selection and rebalance.
    lines
        Engine and profile, and a tile for every column.
    """

    strategy: str
    simulator: str
    columns: tuple[tuple[str, str], ...]
    lines: tuple[tuple[str, tuple[Tile, ...]], ...]


def slices(board: Board, universe: UniverseFacts) -> dict[str, tuple[Slice, ...]]:
    """Return the slices of every strategy on a data set by its name; of each the simulators, core first.

    A strategy that stands on the board with several parameters is told apart by their hash.
    """
    rows = [
        row
        for row in board.rows
        if row.text("universe") == universe.name and row.values["is_baseline"] is False and row.cell
    ]
    versions: dict[str, set[str]] = {}
    for row in rows:
        versions.setdefault(row.text("strategy"), set()).add(row.text("parameters_hash"))
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        title = row.text("strategy")
        if len(versions[title]) > 1:
            title = f"{title} {row.text('parameters_hash')}"
        groups.setdefault(title, {}).setdefault(row.text("simulator"), []).append(row)
    return {
        title: tuple(
            _slice(title, simulator, groups[title][simulator])
            for simulator in sorted(groups[title], key=lambda name: SIMULATOR_ORDER[name])
        )
        for title in sorted(groups)
    }


def _slice(title: str, simulator: str, rows: Sequence[Row]) -> Slice:
    by_place = {(*_column(row), _line(row)): row for row in rows}
    columns = sorted({_column(row) for row in rows})
    lines = sorted({_line(row) for row in rows})
    return Slice(
        strategy=title,
        simulator=simulator,
        columns=tuple(columns),
        lines=tuple(
            (line, tuple(tile(by_place.get((*column, line))) for column in columns)) for line in lines
        ),
    )


def _column(row: Row) -> tuple[str, str]:
    return row.text("selection"), row.text("rebalance")


def _line(row: Row) -> str:
    return f"{row.text('engine')}/{row.text('profile')}"


def tile(row: Row | None) -> Tile:
    """Return what stands for a row: its excess, `=` for a baseline in disguise, `?` for no result."""
    if row is None:
        return Tile("", "z")
    value = row.number("excess_sharpe")
    if math.isnan(value):
        return Tile("=" if row.text("baseline_equivalent") else "?", "z")
    return Tile(f"{value:+.2f}", tone(value))


def tone(value: float) -> str:
    """Return the tone of an excess.

    Examples
    --------
    >>> tone(0.2), tone(-2.0), tone(0.001)
    ('p1', 'n4', 'p0')
    """
    level = sum(abs(value) >= limit for limit in LEVELS[1:])
    return f"{'p' if value >= 0 else 'n'}{level}"
