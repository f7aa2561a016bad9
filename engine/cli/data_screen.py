"""How data sets look on the screen: verdict, facts, findings, next command."""

from enum import StrEnum
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.data_documents import bar_document, iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.data.findings import Finding
    from engine.data.importer import ImportRefusedError
    from engine.data.manifest import DataSetInfo, Manifest
    from engine.domain.panel import Panel

_WARNINGS_SHOWN = 3


class Mark(StrEnum):
    """A sign beside the word, because colour alone is none."""

    DONE = "✓"
    REFUSED = "✕"


def make_console() -> Console:
    """Return a console that never shortens a number."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        # Eighty columns would shorten numbers in a file or a pipe.
        console.width = 200
    return console


def print_lines(console: Console, lines: "Sequence[str]") -> None:
    """Print lines under a verdict; an empty one stays empty."""
    for line in lines:
        console.print(f"  {line}" if line else "")


def print_verdict(console: Console, mark: Mark, name: str, what: str) -> None:
    """Print what happened, in one line."""
    colour = "blue" if mark is Mark.DONE else "dark_orange"
    console.print(Text.assemble((f"  {mark.value} ", colour), (name, "bold"), f"   {what}"))
    console.print()


def print_list(console: Console, known: "Sequence[DataSetInfo]") -> None:
    """Print one line for each data set."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "bars", "instruments", "timeframe", "calendar", "from", "to"):
        table.add_column(
            heading, no_wrap=True, justify="right" if heading in ("bars", "instruments") else "left"
        )
    table.add_column("what", overflow="fold")
    for info in known:
        what = info.description + (f" ({info.warnings:,} warnings)" if info.warnings else "")
        what += f"; INVALID_DATA, not used: {', '.join(info.invalid)}" if info.invalid else ""
        table.add_row(
            info.name,
            f"{info.rows:,}",
            str(info.instruments),
            info.timeframe.value,
            info.calendar.value,
            iso(info.first)[:10],
            iso(info.last)[:10],
            f"{info.origin.value}: {what}",
        )
    console.print(table)


def print_facts(console: Console, manifest: "Manifest") -> None:
    """Print what a data set is."""
    sealed = manifest.holdout_rows
    names = ", ".join(manifest.instruments[:20]) + (", ..." if len(manifest.instruments) > 20 else "")
    kind = "open, high, low, close" if manifest.has_range else "closes only"
    print_lines(
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
            *_quality_lines(manifest),
            *(f"note         {note}" for note in manifest.notes),
        ],
    )


def use_line(manifest: "Manifest") -> str:
    """Return how a data set is used; what is INVALID_DATA is looked at alone."""
    if manifest.quality.invalid:
        return f"       engine data audit {manifest.name} --page audit.html"
    return f"       engine tournament --data {manifest.name}"


def print_findings(
    console: Console, title: str, findings: "Sequence[Finding]", manifest: "Manifest | None"
) -> None:
    """Print a few findings of each kind and count the rest."""
    from engine.data.findings import counts

    if not findings:
        return
    totals = dict(manifest.warning_counts) if manifest is not None else counts(findings)
    print_lines(console, ["", title])
    for kind, number in totals.items():
        print_lines(console, [f"  {kind} ({number:,})"])
        same = [finding for finding in findings if finding.kind == kind][:_WARNINGS_SHOWN]
        print_lines(console, [f"    {finding}" for finding in same])
        if number > len(same):
            print_lines(console, [f"    and {number - len(same):,} more of this kind"])


def print_refusal(refused: "ImportRefusedError") -> None:
    """Print every error of an import that was refused, many of a kind counted."""
    from engine.data.findings import listing
    from engine.data.importer import SHOWN_PER_KIND

    console = make_console()
    number = len(refused.findings)
    files = len({finding.file for finding in refused.findings})
    what = f"{number:,} error{'s' if number != 1 else ''} in {files:,} file{'s' if files != 1 else ''}"
    print_verdict(console, Mark.REFUSED, f"{refused.name} not imported", f"{what}, nothing was written")
    print_lines(console, [f"  {line}" for line in listing(refused.findings, SHOWN_PER_KIND)])
    print_lines(console, ["", "next   mend the files and run the same command again"])
    print_lines(console, ["       engine data sample us5 --out example.csv   writes a file that is accepted"])
    print_lines(console, ["exit 2"])


def print_bars(
    console: Console, panel: "Panel", symbol: str, head: "Sequence[int]", tail: "Sequence[int]"
) -> None:
    """Print the first and the last bars of an instrument, each with its open and its close time."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "row", f"{symbol}: bar opens", "bar closes"):
        table.add_column(heading, no_wrap=True)
    names = ("open", "high", "low", "close", "volume") if panel.has_range else ("close",)
    for heading in names:
        table.add_column(heading, no_wrap=True, justify="right")
    for part in (head, tail):
        for row in part:
            bar = bar_document(panel, symbol, row)
            values = ["-" if bar[field] is None else f"{bar[field]!r}" for field in names]
            table.add_row("", str(bar["row"]), _clock(bar["opens"]), _clock(bar["closes"]), *values)
        if part is head and tail:
            table.add_row("", "...")
    console.print(table)


def _quality_lines(manifest: "Manifest") -> list[str]:
    """Return how good the bars were when they came in; nothing where nobody looked."""
    scores, invalid = manifest.quality.scores, manifest.quality.invalid
    if not scores:
        return []
    lowest = min(scores, key=lambda symbol: scores[symbol])
    lines = [f"quality      {sum(scores.values()) / len(scores):.3f}, lowest {lowest} {scores[lowest]:.3f}"]
    if invalid:
        lines.append(f"             INVALID_DATA: {', '.join(invalid)}; the set is stored and not used")
    return lines


def _span(stamp: int, manifest: "Manifest") -> str:
    return f"{_clock(iso(stamp))} to {_clock(iso(stamp + manifest.timeframe.nanoseconds))}"


def _clock(stamp: str) -> str:
    return stamp[:16].replace("T", " ")
