"""Every row in one table that a reader sorts and filters; without a script it is best first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from engine.domain.gates import GateStatus, Verdict
from scoreboards.board import SIMULATOR_ORDER, VERDICT_ORDER, Board, Row
from scoreboards.explain import short_reasons

# More rows make a page heavy without making it wiser; all of them are in the CSV.
ROWS_ON_THE_PAGE = 6000
ROWS_ON_PAPER = 60

_OPEN = (GateStatus.FAIL, GateStatus.MISSING)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its head, the column of the board, and how a number is written; words have no form."""

    head: str
    source: str
    form: str = ""
    told: str = ""


COLUMNS = (
    Column("strategy", "strategy"),
    Column("verdict", "verdict"),
    Column("data", "universe"),
    Column("selection", "selection"),
    Column("rebalance", "rebalance"),
    Column("engine", "engine"),
    Column("profile", "profile"),
    Column("simulator", "simulator"),
    Column("excess", "excess_sharpe", "+.2f", "Sharpe ratio of what it earned beyond its exposure, a year"),
    Column("low 95%", "excess_lower_bound", "+.2f", "lower bound of the excess Sharpe ratio"),
    Column("DSR", "deflated_sharpe", ".2f", "deflated Sharpe ratio: all tries on record are counted"),
    Column("Sharpe", "sharpe", "+.2f"),
    Column("CAGR", "cagr", "+.1%"),
    Column("max DD", "max_drawdown", ".0%"),
    Column("turnover", "avg_turnover", ".2f", "share of the account in 20 bars"),
    Column("cost share", "friction_decay", ".0%", "share of the Sharpe ratio that costs take"),
    Column("2x costs", "excess_costs_2x", "+.2f", "excess Sharpe ratio at twice the cost"),
    Column("trades", "trades", ".0f", "round trips"),
    Column("open gates", "", "d", "gates that say no, or have no evidence"),
    Column("the first of them", ""),
    Column("id", "strategy_id"),
)
FILTERED = ("data", "strategy", "selection", "rebalance", "engine", "profile", "simulator", "verdict")
_OPEN_PLACE = next(place for place, column in enumerate(COLUMNS) if column.head == "open gates")


@dataclass(frozen=True, slots=True)
class Filter:
    """A choice over the table: the place of its column, and what there is to choose from."""

    name: str
    place: int
    options: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """The table as the page shows it.

    Attributes
    ----------
    body
        Rows as HTML: judged ones best first, then all others.
    n_judged, n_shown, n_rows
        Rows with a verdict, rows on the page, rows on the board.
    """

    filters: tuple[Filter, ...]
    body: Markup
    n_judged: int
    n_shown: int
    n_rows: int


def table_of(board: Board) -> Table:
    """Return the rows of a board, judged ones best first, those of other simulators and baselines behind."""
    judged = board.judged
    others = sorted((row for row in board.rows if not row.is_judged), key=_behind)
    shown = (*judged, *others)[:ROWS_ON_THE_PAGE]
    return Table(
        filters=tuple(_filters(shown)),
        body=Markup("\n").join(_line(row, place) for place, row in enumerate(shown)),
        n_judged=len(judged),
        n_shown=len(shown),
        n_rows=len(board.rows),
    )


def _behind(row: Row) -> tuple[bool, int, str, str, str]:
    baseline = row.values["is_baseline"] is True
    place = SIMULATOR_ORDER[row.text("simulator")]
    return baseline, place, row.text("universe"), row.text("strategy_id"), row.cell


def _filters(rows: Sequence[Row]) -> Iterator[Filter]:
    orders = {
        "verdict": {str(verdict): place for verdict, place in VERDICT_ORDER.items()},
        "simulator": SIMULATOR_ORDER,
    }
    for name in FILTERED:
        place = next(place for place, column in enumerate(COLUMNS) if column.head == name)
        found = {_text(row, COLUMNS[place]) for row in rows}
        order = orders.get(name, {})
        yield Filter(name, place, tuple(sorted(found - {""}, key=lambda text: (order.get(text, 0), text))))


def _text(row: Row, column: Column) -> str:
    if column.head == "strategy" and row.values["is_baseline"] is True:
        return row.text("baseline_role")
    return row.text(column.source)


def _line(row: Row, place: int) -> Markup:
    classes = [] if row.is_judged else ["o"]
    if row.verdict in (Verdict.PASS, Verdict.HOLD):
        classes.append(str(row.verdict).lower())
    if place >= ROWS_ON_PAPER:
        classes.append("late")
    opened = sum(gate.status in _OPEN for gate in row.gates)
    cells = []
    for at, column in enumerate(COLUMNS):
        if at == _OPEN_PLACE:
            cells.append(str(opened) if row.gates else "")
        elif not column.source:
            cells.append(short_reasons(row.gates, most=1) or row.text("problem"))
        elif column.head == "id" and not row.is_judged:
            # The same id as the judged row, or nothing that could be promoted.
            cells.append("")
        elif column.form:
            cells.append(format(row.number(column.source), column.form) if _known(row, column) else "")
        else:
            cells.append(_text(row, column))
    while cells and not cells[-1]:
        cells.pop()
    opening = f'<tr class="{" ".join(classes)}">' if classes else "<tr>"
    # Names come from outside: every cell is escaped. End tags are left out, as HTML allows.
    return Markup(opening) + Markup("").join(Markup("<td>") + escape(cell) for cell in cells)


def _known(row: Row, column: Column) -> bool:
    return row.values[column.source] is not None
