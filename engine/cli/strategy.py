"""`engine strategy`: which ideas there are, how to add one, and whether one can be believed."""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.domain.errors import GauntletError, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from engine.features.expression import Expression
    from engine.features.strategy import Strategy
    from research.strategy_check import CheckResult, Difference

CHECK_SAID_NO = 1
_GRAPH_LINES = 16

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, write, check and show strategies.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a strategy, see: engine strategy list")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
_Parameters = Annotated[
    list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="Change a parameter; repeatable.")
]


@app.command("list")
def list_strategies(as_json: _Json = False) -> None:
    """Show every strategy, packaged and in the folder strategies/ of this project."""
    from engine.strategy_files import load_strategy, strategy_names

    entries: list[dict[str, Any]] = []
    for name in strategy_names():
        try:
            strategy = load_strategy(name)
            entries.append(
                {
                    "name": name,
                    "idea": _idea(strategy),
                    "parameters": strategy.parameters,
                    "invest": strategy.invest.value,
                    "reference": strategy.reference,
                    "file": _file(strategy),
                    "problem": None,
                }
            )
        except GauntletError as error:
            # One broken file must not hide the others.
            entries.append({"name": name, "problem": str(error)})
    if as_json:
        _print_json({"strategies": entries})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    table.add_column("parameters", overflow="fold")
    table.add_column("idea", overflow="fold")
    for entry in entries:
        if entry["problem"]:
            table.add_row(entry["name"], "", f"✕ {entry['problem']}")
        else:
            table.add_row(entry["name"], _pairs(entry["parameters"]), entry["idea"])
    console = _console()
    console.print(table)
    _lines(console, ["", "next   engine strategy show NAME", "       engine strategy new NAME"])


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, such as dip_buyer.")],
    as_json: _Json = False,
) -> None:
    """Write a strategy that works, and its test, to begin with."""
    from engine.strategy_template import write_strategy

    written = write_strategy(name)
    strategy, test = _shown(written.strategy), _shown(written.test)
    if as_json:
        _print_json({"strategy": name, "file": strategy, "test": test})
        return
    _lines(
        _console(),
        [
            f"  ✓ {name}   a working strategy and its test",
            "",
            f"next   edit {strategy}, then  engine strategy check {name}",
            f"       pytest {test}",
            f"path   {strategy}",
        ],
    )


@app.command()
def show(name: _Name, param: _Parameters = None, as_json: _Json = False) -> None:
    """Show parameters, identity, warm-up and the graph of a strategy."""
    strategy = _strategy(name, param)
    signal = strategy.signal()
    warmups = _warmups([signal, *strategy.order_roots])
    style = strategy.orders()
    orders = None if style is None else {name: repr(value) for name, value in vars(style).items()}
    bounds = {
        field.name: {"low": field.metadata["low"], "high": field.metadata["high"], "default": field.default}
        for field in dataclasses.fields(strategy)
    }
    if as_json:
        _print_json(
            {
                "name": strategy.name,
                "idea": _idea(strategy),
                "reference": strategy.reference,
                "file": _file(strategy),
                "invest": strategy.invest.value,
                "parameters": strategy.parameters,
                "bounds": bounds,
                "warmup": next(iter(warmups.values())) if len(set(warmups.values())) == 1 else None,
                "warmup_by_timeframe": warmups,
                "hash": strategy.hash,
                "graph_hash": signal.hash,
                "graph": repr(signal),
                "orders": orders,
            }
        )
        return
    console = _console()
    _lines(console, [f"{strategy.name}   {_idea(strategy)}", ""])
    facts = [
        ("reference", strategy.reference),
        ("invest", strategy.invest.value),
        ("warm-up", _counts(warmups)),
        ("hash", strategy.hash),
        ("file", _file(strategy)),
    ]
    facts += [
        (
            key,
            f"{value}   from {bounds[key]['low']} to {bounds[key]['high']}, default {bounds[key]['default']}",
        )
        for key, value in strategy.parameters.items()
    ]
    width = max(len(key) for key, _ in facts)
    _lines(console, [f"  {key:<{width}}  {value}" for key, value in facts])
    _lines(console, ["", *(f"  {line}" for line in signal.draw().splitlines())])
    if orders is not None:
        _lines(console, ["", "  orders", *(f"    {key:<13}  {value}" for key, value in orders.items())])
    _lines(console, ["", f"next   engine strategy check {name}"])


@app.command()
def operators(as_json: _Json = False) -> None:
    """Show what strategies are made of, and what each operator does with unknown values and ties."""
    from engine.cli.operator_screen import operator_entries, show_operators

    entries = operator_entries()
    if as_json:
        _print_json({"operators": [asdict(entry) for entry in entries]})
    else:
        show_operators(_console(), entries)


@app.command()
def check(
    name: _Name,
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="Data set to check on.")] = "us20",
    param: _Parameters = None,
    as_json: _Json = False,
) -> None:
    """Test that a strategy reads no future, repeats, and is the same live as in a backtest."""
    from engine.data.catalogue import load
    from research.strategy_check import CheckOutcome, check_strategy

    strategy = _strategy(name, param)
    panel = load(data)
    with _waiting(f"checking {strategy.name} on {data}") as tell:
        results = check_strategy(strategy, panel, report=lambda result: tell(result.check))
    failed = [result for result in results if result.outcome is CheckOutcome.FAIL]
    if as_json:
        _print_json(
            {
                "strategy": strategy.name,
                "hash": strategy.hash,
                "parameters": strategy.parameters,
                "data": data,
                "passed": not failed,
                "checks": [_document(result) for result in results],
            }
        )
    else:
        _print_checks(strategy, data, results)
    if failed:
        raise typer.Exit(CHECK_SAID_NO)


def _print_checks(strategy: "Strategy", data: str, results: "tuple[CheckResult, ...]") -> None:
    from research.strategy_check import CheckOutcome

    marks = {CheckOutcome.PASS: "✓", CheckOutcome.FAIL: "✕", CheckOutcome.NOT_CHECKED: "–"}
    colours = {CheckOutcome.PASS: "green", CheckOutcome.FAIL: "bold red", CheckOutcome.NOT_CHECKED: "yellow"}
    from rich.text import Text

    console = _console()
    parameters = _pairs(strategy.parameters)
    _lines(console, [f"{strategy.name} on {data}" + (f"   {parameters}" if parameters else ""), ""])
    width = max(len(result.check) for result in results)
    for result in results:
        head = (f"  {marks[result.outcome]} {result.outcome.value:<11}", colours[result.outcome])
        console.print(Text.assemble(head, f"  {result.check:<{width}}  {result.explanation}"), soft_wrap=True)
        if result.difference is not None:
            _lines(console, [" " * (width + 17) + line for line in _where(result.difference)])
    failed = sum(result.outcome is CheckOutcome.FAIL for result in results)
    skipped = sum(result.outcome is CheckOutcome.NOT_CHECKED for result in results)
    done = len(results) - skipped
    verdict = f"  ✕ {failed} of {done} checks failed" if failed else f"  ✓ all {done} checks passed"
    if skipped:
        verdict += f", {skipped} not possible on this data set"
    _lines(console, ["", verdict, ""])
    following = "mend it, then check again" if failed else f"engine tournament --data {data}"
    _lines(console, [f"next   {following}", f"path   {_file(strategy)}"])


def _where(difference: "Difference") -> list[str]:
    bar = f"bar opened {_instant(difference.opened)}, closed {_instant(difference.closed)}"
    lines = [
        f"first at {difference.symbol}, row {difference.row}, {bar}",
        f"{difference.measured}: expected {difference.expected:g}, found {difference.found:g}",
    ]
    if difference.operator:
        graph = difference.graph.splitlines()
        lines += [f"begins in {difference.operator}", *(f"  {line}" for line in graph[:_GRAPH_LINES])]
        if len(graph) > _GRAPH_LINES:
            lines.append(f"  and {len(graph) - _GRAPH_LINES} lines more, see --json")
    return lines


def _document(result: "CheckResult") -> dict[str, Any]:
    difference = None
    if result.difference is not None:
        difference = asdict(result.difference)
        difference |= {
            "opened": _instant(result.difference.opened),
            "closed": _instant(result.difference.closed),
            # JSON has no NaN.
            "expected": _number(result.difference.expected),
            "found": _number(result.difference.found),
            "operator": result.difference.operator or None,
            "graph": result.difference.graph or None,
        }
    return {
        "check": result.check,
        "outcome": result.outcome.value,
        "explanation": result.explanation,
        "difference": difference,
    }


def _warmups(roots: "Sequence[Expression]") -> dict[str, int]:
    """Return the warm-up by length of bar; it differs where a slower timeframe is used."""
    from engine.domain.time import Timeframe

    return {bars.value: max(root.warmup_on(bars) for root in roots) for bars in Timeframe}


def _counts(warmups: dict[str, int]) -> str:
    if len(set(warmups.values())) == 1:
        return f"{next(iter(warmups.values()))} bars"
    return ", ".join(f"{count} bars of {timeframe}" for timeframe, count in warmups.items())


@contextmanager
def _waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Show on stderr, if it is a terminal, what is being waited for; the function adds what is done."""
    from rich.console import Console

    done: list[str] = []
    console = Console(stderr=True)
    if not console.is_terminal:
        yield done.append
        return
    with console.status(what) as status:

        def tell(name: str) -> None:
            done.append(name)
            status.update(f"{what}: {', '.join(done)} done")

        yield tell


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _instant(nanoseconds: int) -> str:
    import numpy as np

    return f"{np.datetime64(nanoseconds, 'ns').astype('datetime64[s]')}Z"


def _strategy(name: str, param: list[str] | None) -> "Strategy":
    from engine.strategy_files import load_strategy

    parameters = {}
    for pair in param or []:
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise InputError(f"--param {pair!r}: write it as KEY=VALUE, such as --param length=20")
        parameters[key] = value
    return load_strategy(name, parameters)


def _idea(strategy: "Strategy") -> str:
    return (inspect.getdoc(type(strategy)) or "").partition("\n")[0]


def _pairs(parameters: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in parameters.items())


def _file(strategy: "Strategy") -> str:
    from engine.strategy_files import strategy_file

    return _shown(strategy_file(strategy))


def _shown(path: Path) -> str:
    """Return a path as a person would type it here; a packaged file by its place in the package."""
    here = Path.cwd().resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) else "/".join(path.parts[-2:])


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False))


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _lines(console: "Console", lines: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
