"""The table of `engine strategy operators`: every word that a strategy can be made of."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from engine.features import operators
from engine.features.behaviour import BEHAVIOUR, Unknown


@dataclass(frozen=True, kw_only=True)
class OperatorEntry:
    """One operator as the table shows it.

    Attributes
    ----------
    call
        How it is written, with its defaults.
    unknown, unknown_means
        What it does where a value is NaN: a word, and the sentence that it stands for.
    ties
        What equal values give; empty where there is nothing to decide.
    """

    call: str
    gives: str
    unknown: str
    unknown_means: str
    ties: str


def operator_entries() -> list[OperatorEntry]:
    """Return all operators, in the order of the table of their behaviour."""
    return [
        OperatorEntry(
            call=_call(name),
            gives=_gives(name),
            unknown=_word(behaviour.unknown),
            unknown_means=behaviour.unknown.value,
            ties=behaviour.ties,
        )
        for name, behaviour in BEHAVIOUR.items()
    ]


def show_operators(console: Console, entries: Sequence[OperatorEntry]) -> None:
    """Print the table, and what its words mean."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("operator", "gives", "unknown", "ties"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        table.add_row(entry.call, entry.gives, entry.unknown, entry.ties)
    console.print(table)
    lines = ["", f"{len(entries)} operators. Unknown is NaN: not traded, or not listed, in that bar", ""]
    width = max(len(_word(unknown)) for unknown in Unknown)
    lines += [f"  {_word(unknown):<{width}}  {unknown.value}" for unknown in Unknown]
    lines += ["", "next   engine strategy new NAME", "path   engine/features/operators.py"]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _word(unknown: Unknown) -> str:
    return unknown.name.lower().replace("_", " ")


def _call(name: str) -> str:
    function = getattr(operators, name, None)
    if not inspect.isfunction(function):
        return name
    parameters = inspect.signature(function).parameters.values()
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return f"{name}{inspect.Signature(plain)}"


def _gives(name: str) -> str:
    """Return the first sentence of the documentation."""
    function = getattr(operators, name, None)
    if inspect.isfunction(function):
        sentence = (inspect.getdoc(function) or "").partition("\n")[0]
        return sentence.removeprefix("Return ").rstrip(".")
    if name == "session_open":
        return "1 on the first bar of a UTC day, else 0"
    return (
        "when the bar opened, UTC; Monday is 0" if name.startswith("hour") else "as in Python, value by value"
    )
