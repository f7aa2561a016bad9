"""Two tournaments side by side as one page: verdicts that changed, gates that flipped, figures that moved."""

from dataclasses import dataclass
from pathlib import Path

from engine.domain.gates import GateStatus, Verdict
from scoreboards.board import Value
from scoreboards.comparison import Comparison, GateFlip
from scoreboards.explain import WORDS, number
from scoreboards.page_gates import NAMES, SIGNS, STATUS_WORDS
from scoreboards.publish import TONES, page_environment, write_whole

COMPARISON_FILE = "comparison.html"
# Of those that moved without another verdict; all of them are in the JSON of `engine runs compare`.
MOVED_ON_THE_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A gate that says something else, in signs and words."""

    name: str
    gate: str
    first: str
    second: str
    first_status: str
    second_status: str
    needs: str


def write_comparison(found: Comparison, folder: Path) -> Path:
    """Write the page into the folder of a run, whole or not at all, and return where it is."""
    path = folder / COMPARISON_FILE
    write_whole(path, comparison_html(found))
    return path


def comparison_html(found: Comparison) -> str:
    """Return the page: no script, no network, equal bytes for equal boards."""
    others = [change for change in found.changes if change.has_other_verdict]
    moved = [change for change in found.changes if not change.has_other_verdict]
    environment = page_environment()
    environment.globals.update(
        found=found,
        headline=headline(found),
        others=others,
        moved=moved,
        moved_on_the_page=MOVED_ON_THE_PAGE,
        flip=flip,
        written=written,
        tone=lambda verdict: TONES[Verdict(verdict)],
    )
    return environment.get_template("comparison.html.j2").render()


def headline(found: Comparison) -> str:
    """Say in one sentence what became different."""
    first, second = found.runs
    if found.is_same:
        return f"{first} and {second} are the same"
    others = sum(change.has_other_verdict for change in found.changes)
    if not others:
        return f"No verdict changed from {first} to {second}"
    rows = "1 row has" if others == 1 else f"{others} rows have"
    return f"{rows} another verdict in {second} than in {first}"


def flip(gate: GateFlip) -> Flip:
    """Return a gate that flipped with both its values, and what it needs now."""
    threshold = gate.second_threshold if gate.second_threshold is not None else gate.first_threshold
    return Flip(
        name=NAMES.get(gate.gate, gate.gate),
        gate=gate.gate,
        first=_side(gate.gate, gate.first, gate.first_value),
        second=_side(gate.gate, gate.second, gate.second_value),
        first_status=gate.first,
        second_status=gate.second,
        needs="" if threshold is None else _number(gate.gate, threshold),
    )


def _side(gate: str, status: str, value: float | None) -> str:
    if status not in set(GateStatus):
        return status
    known = GateStatus(status)
    words = f"{SIGNS[known]} {STATUS_WORDS[known]}"
    return words if value is None else f"{words}: {_number(gate, value)}"


def _number(gate: str, value: float) -> str:
    return number(value, WORDS[gate].scale) if gate in WORDS else f"{value:.4g}"


def written(value: Value) -> str:
    """Write one side of something that changed.

    Examples
    --------
    >>> written(0.123456), written(None), written("us_equity"), written(True)
    ('0.1235', 'none', 'us_equity', 'yes')
    """
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)
