"""Two tournaments side by side: whose verdict changed, which gates flipped, what moved, and what was told."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.domain.gates import GateResult, GateStatus
from scoreboards.board import SIMULATOR_ORDER, VERDICT_ORDER, Board, Row, Value

# What a row is, whatever the core, the costs and the length of the data that it was played with.
COORDINATES = (
    "strategy",
    "parameters",
    "universe",
    "selection",
    "rebalance",
    "engine",
    "profile",
    "simulator",
)
METRICS = (
    "excess_sharpe",
    "excess_lower_bound",
    "deflated_sharpe",
    "sharpe",
    "cagr",
    "max_drawdown",
    "avg_turnover",
    "trades",
    "n_effective",
)
# Less is the last digits of another machine.
_STILL = 1e-9
_ABSENT = "not there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One thing that is not the same on both sides."""

    what: str
    first: Value
    second: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFlip:
    """One gate of a row that says something else; values and thresholds are None where there is none."""

    gate: str
    first: str
    second: str
    first_value: float | None
    second_value: float | None
    first_threshold: float | None
    second_threshold: float | None


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """A row that is on both boards and not the same.

    Attributes
    ----------
    name
        Coordinates for a reader.
    verdicts
        On the first and on the second.
    metrics
        That moved.
    """

    name: str
    coordinates: Mapping[str, str]
    strategy_ids: tuple[str, str]
    verdicts: tuple[str, str]
    gates: tuple[GateFlip, ...]
    metrics: tuple[Changed, ...]

    @property
    def has_other_verdict(self) -> bool:
        """Whether the row is another word now."""
        return self.verdicts[0] != self.verdicts[1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two boards do not have in common.

    Attributes
    ----------
    inputs
        Configuration, data, core and registers that differ.
    changes
        Rows, those with another verdict first, then by how far the excess Sharpe ratio moved.
    only_first, only_second
        Names of rows that stand on one board alone.
    n_same
        Rows in which nothing differs.
    """

    runs: tuple[str, str]
    inputs: tuple[Changed, ...]
    changes: tuple[RowChange, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    n_same: int

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (self.inputs or self.changes or self.only_first or self.only_second)

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints: a contract, stable from here on."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return found | {"same": self.is_same}


def compare(first: Board, second: Board) -> Comparison:
    """Compare the judged rows of two boards, and what they were told."""
    ours, theirs = _rows(first), _rows(second)
    both = [key for key in ours if key in theirs]
    changes = [change for key in both if (change := _change(ours[key], theirs[key])) is not None]
    changes.sort(key=_interest)
    return Comparison(
        runs=(first.run_id, second.run_id),
        inputs=tuple(_inputs(first, second)),
        changes=tuple(changes),
        only_first=tuple(_name(row) for key, row in ours.items() if key not in theirs),
        only_second=tuple(_name(row) for key, row in theirs.items() if key not in ours),
        n_same=len(both) - len(changes),
    )


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Value]]:
    """Yield every value of a document under its path; a list is one value."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, str | float | int | bool) or value is None:
        yield path, value
    else:
        yield path, json.dumps(value, sort_keys=True)


def differing(first: Mapping[str, Value], second: Mapping[str, Value]) -> list[Changed]:
    """Return what is not the same in two documents, in the order of the names."""
    return [
        Changed(what=name, first=first.get(name, _ABSENT), second=second.get(name, _ABSENT))
        for name in sorted(first.keys() | second.keys())
        if first.get(name, _ABSENT) != second.get(name, _ABSENT)
    ]


def _rows(board: Board) -> dict[tuple[str, ...], Row]:
    # Parameters decide, not their hash: it covers the graph, which a new version may write otherwise.
    return {tuple(row.text(name) for name in COORDINATES): row for row in board.judged}


def _inputs(first: Board, second: Board) -> Iterator[Changed]:
    yield from differing(_told(first), _told(second))


def _told(board: Board) -> dict[str, Value]:
    told: dict[str, Value] = {f"configuration: {path}": value for path, value in leaves(board.configuration)}
    told |= {
        name.replace("_", " "): value
        for name, value in board.settings.items()
        if name not in ("inputs_hash", "configuration_hash")
    }
    for universe in board.universes:
        told |= {
            f"{universe.name}: data hash": universe.content_hash,
            f"{universe.name}: bars": universe.rows,
            f"{universe.name}: hold-out openings": universe.holdout_openings,
            f"{universe.name}: tries on record": universe.trials,
            f"{universe.name}: register": universe.register_head,
        }
    told |= {
        f"control: {control.name} {control.universe}".strip(): control.observed for control in board.controls
    }
    return told


def _change(first: Row, second: Row) -> RowChange | None:
    change = RowChange(
        name=_name(second),
        coordinates={name: second.text(name) for name in COORDINATES},
        strategy_ids=(first.text("strategy_id"), second.text("strategy_id")),
        verdicts=(str(first.verdict), str(second.verdict)),
        gates=tuple(_flips(first, second)),
        metrics=tuple(_moved(first, second)),
    )
    return change if change.has_other_verdict or change.gates or change.metrics else None


def _flips(first: Row, second: Row) -> Iterator[GateFlip]:
    ours, theirs = ({gate.gate: gate for gate in row.gates} for row in (first, second))
    for name in dict.fromkeys((*ours, *theirs)):
        was, now = ours.get(name), theirs.get(name)
        words = tuple(_ABSENT if gate is None else str(gate.status) for gate in (was, now))
        if words[0] == words[1]:
            continue
        yield GateFlip(
            gate=name,
            first=words[0],
            second=words[1],
            first_value=_value(was),
            second_value=_value(now),
            first_threshold=_threshold(was),
            second_threshold=_threshold(now),
        )


def _moved(first: Row, second: Row) -> Iterator[Changed]:
    for name in METRICS:
        was, now = first.number(name), second.number(name)
        if math.isnan(was) and math.isnan(now):
            continue
        if not math.isclose(was, now, rel_tol=_STILL, abs_tol=_STILL):
            yield Changed(what=name, first=_known(was), second=_known(now))


def _interest(change: RowChange) -> tuple[bool, int, float, str]:
    moved = [
        abs(float(item.second) - float(item.first))
        for item in change.metrics
        if item.what == "excess_sharpe" and isinstance(item.first, float) and isinstance(item.second, float)
    ]
    best = min(VERDICT_ORDER[word] for word in VERDICT_ORDER if str(word) in change.verdicts)
    return not change.has_other_verdict, best, -sum(moved), change.name


def _name(row: Row) -> str:
    simulator = row.text("simulator")
    told = ", ".join(
        f"{name} {value:g}" for name, value in json.loads(row.text("parameters") or "{}").items()
    )
    parts = [f"{row.text('strategy')}{f' ({told})' if told else ''} on {row.text('universe')}", row.cell]
    # Every judged row is the core's, so its name says nothing.
    parts += [simulator] if SIMULATOR_ORDER.get(simulator) else []
    return " · ".join(part for part in parts if part)


def _value(gate: GateResult | None) -> float | None:
    return None if gate is None or gate.status is GateStatus.NOT_APPLICABLE else _known(gate.value)


def _threshold(gate: GateResult | None) -> float | None:
    return None if gate is None else _known(gate.threshold)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
