"""`engine data`: what there is to test on, and how one's own bars get in."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.domain.panel import Adjustment
from engine.domain.time import Calendar, Timeframe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from engine.data.findings import Finding
    from engine.data.manifest import Manifest
    from engine.domain.panel import Panel

CHECK_SAID_NO = 1
BAD_INPUT = 2
_FINDINGS_IN_JSON = 1000
_WARNINGS_SHOWN = 3
_ROWS_SHOWN = 3

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, import, show and audit data sets.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a data set, see: engine data list")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


class _Mark(StrEnum):
    DONE = "✓"
    REFUSED = "✕"


@app.command("list")
def list_sets(as_json: _Json = False) -> None:
    """Show every data set, packaged and imported."""
    from engine.data import catalogue

    known = catalogue.names()
    if as_json:
        _print_json(
            {"data_sets": [asdict(i) | {"first": _iso(i.first), "last": _iso(i.last)} for i in known]}
        )
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "bars", "instruments", "timeframe", "calendar", "from", "to"):
        justify: Any = "right" if heading in ("bars", "instruments") else "left"
        table.add_column(heading, no_wrap=True, justify=justify)
    table.add_column("what", overflow="fold")
    for info in known:
        what = info.description + (f" ({info.warnings:,} warnings)" if info.warnings else "")
        table.add_row(
            info.name,
            f"{info.rows:,}",
            str(info.instruments),
            info.timeframe.value,
            info.calendar.value,
            _iso(info.first)[:10],
            _iso(info.last)[:10],
            f"{info.origin.value}: {what}",
        )
    console = _console()
    console.print(table)
    _lines(console, ["", "next   engine data show NAME", "       engine data import NAME PATH... --help"])


@app.command()
def sample(
    name: _Name,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the bars as one long CSV file.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Say what a packaged sample holds, and write it as an example of an accepted file."""
    from engine.data import catalogue, export
    from engine.data.packaged import PACKAGED
    from engine.domain.errors import InputError

    manifest = catalogue.manifest(name)
    if name not in PACKAGED:
        raise InputError(f"{name} is not packaged but imported; see: engine data show {name}")
    panel = catalogue.load(name)
    written = export.write_csv(panel, out) if out is not None else 0
    if as_json:
        header = list(export.columns(panel))
        _print_json(
            _facts(manifest) | {"columns": header, "out": str(out) if out else None, "rows_written": written}
        )
        return
    console = _console()
    _verdict(console, _Mark.DONE, name, PACKAGED[name].description)
    _print_facts(console, manifest)
    if out is None:
        lines = export.to_frame(panel.rows(0, _ROWS_SHOWN).select((0,))).to_csv(index=False).splitlines()
        _lines(console, ["", "as a file", *(f"  {line}" for line in lines)])
        _lines(console, ["", f"next   engine data sample {name} --out {name}.csv"])
        return
    stated = f"--timeframe {manifest.timeframe.value} --timezone UTC --calendar {manifest.calendar.value}"
    if manifest.adjustment is not Adjustment.NONE:
        stated += f" --adjustment {manifest.adjustment.value}"
    _lines(console, ["", f"wrote  {written:,} rows; the {manifest.holdout_rows:,} sealed bars stay sealed"])
    _lines(console, [f"next   engine data import my-{name} {out} {stated}", f"path   {out}"])


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name that the data set shall have.")],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="CSV or Parquet files, or folders of them.")
    ],
    timeframe: Annotated[Timeframe, typer.Option(help="Length of a bar.")],
    timezone: Annotated[
        str | None,
        typer.Option(
            help="Of stamps without an offset, e.g. UTC or America/New_York. Refused if not stated."
        ),
    ] = None,
    calendar: Annotated[
        Calendar | None,
        typer.Option(
            help="When bars are expected. Not stated: XNYS if no bar falls on a weekend, else 24/7."
        ),
    ] = None,
    adjustment: Annotated[
        Adjustment | None,
        typer.Option(
            help="What was done to the prices. Not stated: total_return if there is a column of adjusted "
            "closes (all prices of a row are brought to it), else none."
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a data set of the same name.")] = False,
    as_json: _Json = False,
) -> None:
    """Import bars: one file an instrument, or long files with a column of symbols.

    Stamps are the opens of bars. Errors refuse the import and are all named with file, row and value;
    what only looks wrong is imported, and its warnings are stored with the data set. Rows are counted
    without the header.
    """
    from engine.data.importer import ImportRefusedError, Request, import_files

    request = Request(
        name=name,
        paths=tuple(paths),
        timeframe=timeframe,
        timezone=timezone,
        calendar=calendar,
        adjustment=adjustment,
        replace=replace,
    )
    try:
        manifest, folder = import_files(request)
    except ImportRefusedError as refused:
        _print_refusal(refused, as_json)
        raise typer.Exit(BAD_INPUT) from None
    if as_json:
        _print_json(_facts(manifest) | {"imported": True, "path": str(folder)})
        return
    console = _console()
    number = len(manifest.instruments)
    what = f"{manifest.rows:,} bars of {number:,} instrument{'s' if number != 1 else ''}"
    warned = sum(manifest.warning_counts.values())
    _verdict(console, _Mark.DONE, f"{name} imported", what + (f", {warned:,} warnings" if warned else ""))
    _print_facts(console, manifest)
    _print_findings(console, "looks wrong, stored with the data set", manifest.warnings, manifest)
    _lines(console, ["", f"next   engine data show {name}", f"       engine tournament --data {name}"])
    _lines(console, [f"path   {folder}"])


@app.command()
def show(
    name: _Name,
    instrument: Annotated[
        str | None, typer.Option(metavar="SYMBOL", help="Whose bars to show; the first one if not stated.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show what a data set is, and its first and last bars before the hold-out."""
    from engine.data import catalogue, holdout

    manifest = catalogue.manifest(name)
    panel = catalogue.load(name)
    symbol = _known_symbol(panel, instrument)
    head, tail = _shown_rows(panel, symbol)
    opened = holdout.openings(name)
    if as_json:
        _print_json(
            _facts(manifest)
            | {
                "visible_rows": len(panel),
                "holdout_openings": opened,
                "instrument": symbol,
                "head": [_bar(panel, symbol, row) for row in head],
                "tail": [_bar(panel, symbol, row) for row in tail],
            }
        )
        return
    console = _console()
    _verdict(console, _Mark.DONE, name, f"{manifest.rows:,} bars, {len(panel):,} of them open to research")
    _print_facts(console, manifest)
    _lines(console, [f"opened       hold-out opened {opened:,} times" if opened else "opened       never"])
    console.print()
    if head:
        _print_bars(console, panel, symbol, head, tail)
    else:
        _lines(console, [f"{symbol} has no bar before the hold-out"])
    _print_findings(console, "warnings of the import", manifest.warnings, manifest)
    _lines(
        console,
        ["", f"next   engine data audit {name}", f"       engine backtest --strategy trend --data {name}"],
    )


@app.command()
def audit(name: _Name, as_json: _Json = False) -> None:
    """Check the bars of a data set again. Exit 1 if they have errors."""
    from engine.data import catalogue, quality
    from engine.data.findings import capped, counts

    manifest = catalogue.manifest(name)
    # Reading compares the bars, the sealed ones too, with the content hash.
    panel = catalogue.load(name)
    parts = quality.of_panel(panel)
    errors = [finding for bars in parts for finding in quality.errors(bars)]
    warnings = [] if errors else quality.audit(parts, panel.timeframe, panel.calendar)
    if as_json:
        _print_json(
            {
                "name": name,
                "content_hash": manifest.content_hash,
                "rows_checked": len(panel),
                "sealed_rows": manifest.holdout_rows,
                "errors": counts(errors),
                "warnings": counts(warnings),
                "findings": _as_documents(capped([*errors, *warnings], _FINDINGS_IN_JSON)),
                "import_warnings": dict(manifest.warning_counts),
            }
        )
    else:
        console = _console()
        mark = _Mark.REFUSED if errors else _Mark.DONE
        found = f"{len(errors):,} errors, " if errors else "no errors, "
        _verdict(console, mark, name, f"{found}{len(warnings):,} warnings in {len(panel):,} bars")
        _lines(console, [f"hash         {manifest.content_hash} (bars agree)"])
        stored = sum(manifest.warning_counts.values())
        judged = f", judged at the import: {stored:,} warnings in the whole set" if stored else ""
        _lines(console, [f"sealed       {manifest.holdout_rows:,} bars{judged}"])
        _print_findings(console, "errors", errors, None)
        _print_findings(console, "looks wrong", warnings, None)
        _lines(console, ["", f"next   engine data show {name}"])
    if errors:
        raise typer.Exit(CHECK_SAID_NO)


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        # Eighty columns would shorten numbers in a file or a pipe.
        console.width = 200
    return console


def _lines(console: "Console", lines: "Sequence[str]") -> None:
    for line in lines:
        console.print(f"  {line}" if line else "")


def _verdict(console: "Console", mark: _Mark, name: str, what: str) -> None:
    from rich.text import Text

    colour = "blue" if mark is _Mark.DONE else "dark_orange"
    console.print(Text.assemble((f"  {mark.value} ", colour), (name, "bold"), f"   {what}"))
    console.print()


def _print_facts(console: "Console", manifest: "Manifest") -> None:
    sealed = manifest.holdout_rows
    names = ", ".join(manifest.instruments[:20]) + (", ..." if len(manifest.instruments) > 20 else "")
    kind = "open, high, low, close" if manifest.has_range else "closes only"
    _lines(
        console,
        [
            f"bars         {manifest.rows:,}, {manifest.timeframe.value}, {manifest.calendar.value}, {kind}",
            f"from, to     {_span(manifest.first, manifest)}  ...  {_span(manifest.last, manifest)}",
            f"hold-out     the last {sealed:,} bars are sealed",
            f"instruments  {len(manifest.instruments):,}: {names}",
            f"adjustment   {manifest.adjustment.value}",
            f"market       {manifest.market or 'none of its own: the equally weighted pool (raw_pool_ew)'}",
            f"source       {manifest.source}",
            f"hash         {manifest.content_hash}",
            *(f"note         {note}" for note in manifest.notes),
        ],
    )


def _print_findings(
    console: "Console", title: str, findings: "Sequence[Finding]", manifest: "Manifest | None"
) -> None:
    """Print a few findings of each kind and count the rest."""
    from engine.data.findings import counts

    if not findings:
        return
    totals = dict(manifest.warning_counts) if manifest is not None else counts(findings)
    _lines(console, ["", title])
    for kind, number in totals.items():
        _lines(console, [f"  {kind} ({number:,})"])
        same = [finding for finding in findings if finding.kind == kind][:_WARNINGS_SHOWN]
        _lines(console, [f"    {finding}" for finding in same])
        if number > len(same):
            _lines(console, [f"    and {number - len(same):,} more of this kind"])


def _print_refusal(refused: Any, as_json: bool) -> None:
    from engine.data.findings import capped, counts, listing
    from engine.data.importer import SHOWN_PER_KIND

    if as_json:
        _print_json(
            {
                "imported": False,
                "name": refused.name,
                "error_counts": counts(refused.findings),
                "errors": _as_documents(capped(refused.findings, _FINDINGS_IN_JSON)),
            }
        )
        return
    console = _console()
    number = len(refused.findings)
    files = len({finding.file for finding in refused.findings})
    what = f"{number:,} error{'s' if number != 1 else ''} in {files:,} file{'s' if files != 1 else ''}"
    _verdict(console, _Mark.REFUSED, f"{refused.name} not imported", f"{what}, nothing was written")
    _lines(console, [f"  {line}" for line in listing(refused.findings, SHOWN_PER_KIND)])
    _lines(console, ["", "next   mend the files and run the same command again"])
    _lines(console, ["       engine data sample us5 --out example.csv   writes a file that is accepted"])
    _lines(console, [f"exit {BAD_INPUT}"])


def _print_bars(
    console: "Console", panel: "Panel", symbol: str, head: "Sequence[int]", tail: "Sequence[int]"
) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "row", f"{symbol}: bar opens", "bar closes"):
        table.add_column(heading, no_wrap=True)
    names = ("open", "high", "low", "close", "volume") if panel.has_range else ("close",)
    for heading in names:
        table.add_column(heading, no_wrap=True, justify="right")
    for part in (head, tail):
        for row in part:
            bar = _bar(panel, symbol, row)
            values = ["-" if bar[field] is None else f"{bar[field]!r}" for field in names]
            table.add_row("", str(bar["row"]), _clock(bar["opens"]), _clock(bar["closes"]), *values)
        if part is head and tail:
            table.add_row("", "...")
    console.print(table)


def _known_symbol(panel: "Panel", symbol: str | None) -> str:
    import difflib

    from engine.domain.errors import InputError

    if symbol is None:
        return panel.symbols[0]
    if symbol in panel.symbols:
        return symbol
    near = difflib.get_close_matches(symbol, panel.symbols, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InputError(
        f"--instrument: {panel.name} has no {symbol!r}.{hint} It has: {', '.join(panel.symbols)}"
    )


def _shown_rows(panel: "Panel", symbol: str) -> tuple[list[int], list[int]]:
    """Return the first and the last rows in which an instrument traded."""
    import numpy as np

    traded = [int(row) for row in np.flatnonzero(np.isfinite(panel.close[:, panel.symbols.index(symbol)]))]
    return traded[:_ROWS_SHOWN], traded[_ROWS_SHOWN:][-_ROWS_SHOWN:]


def _bar(panel: "Panel", symbol: str, row: int) -> dict[str, Any]:
    import math

    column = panel.symbols.index(symbol)
    opens = int(panel.timestamps[row])
    fields = ("open", "high", "low", "close", "volume") if panel.has_range else ("close",)
    values = {field: float(getattr(panel, field)[row, column]) for field in fields}
    return {
        "row": row + 1,
        "opens": _iso(opens),
        "closes": _iso(opens + panel.timeframe.nanoseconds),
        **{field: None if math.isnan(value) else value for field, value in values.items()},
    }


def _facts(manifest: "Manifest") -> dict[str, Any]:
    """Return a manifest with stable keys and readable stamps."""
    document = asdict(manifest)
    document["first"], document["last"] = _iso(manifest.first), _iso(manifest.last)
    document["last_close"] = _iso(manifest.last + manifest.timeframe.nanoseconds)
    document["warnings"] = _as_documents(manifest.warnings)
    return document


def _as_documents(findings: "Sequence[Finding]") -> list[dict[str, Any]]:
    return [asdict(finding) for finding in findings]


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def _span(stamp: int, manifest: "Manifest") -> str:
    return f"{_clock(_iso(stamp))} to {_clock(_iso(stamp + manifest.timeframe.nanoseconds))}"


def _clock(iso: str) -> str:
    return iso[:16].replace("T", " ")


def _iso(stamp: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(stamp // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
