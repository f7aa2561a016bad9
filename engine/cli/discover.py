"""`engine discover`: from all that a data set has to a pool of candidates, with counts and reasons."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.data_documents import iso, print_json
from engine.cli.data_ingestion import stamp_of
from engine.cli.data_screen import Mark, make_console, print_lines, print_verdict

if TYPE_CHECKING:
    from rich.console import Console

    from engine.data.lake.versions import DataSetVersion
    from engine.discovery.pool import Pool
    from engine.discovery.profiles import Profile
    from engine.discovery.scan import Fallen

NOTHING_FOUND = 1
_SHOWN = 40

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help="Scan a data set for candidates: universe, venue, asset, signal.")
def discover(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Of the scan, such as configs/discovery/*.yaml.")
    ],
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="See: engine data list")],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="UTC time; bars that close later are not read. Not stated: the last before the hold-out.",
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="Only what the lake knew at that UTC time.")
    ] = None,
    freeze: Annotated[
        str | None,
        typer.Option(
            "--freeze", metavar="NAME", help="Freeze the pool as a data set, from the scan on, to play on."
        ),
    ] = None,
    seen_bars: Annotated[
        int,
        typer.Option(
            "--seen-bars", min=0, help="With --freeze: so many bars before the scan too, to warm up."
        ),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Scan, write `runs/<scan id>/portfolio_candidates_raw.json`, and say why every other instrument fell.

    Exit 1 where nothing passed. The scan is on record before it reads a bar: engine journal tail --scans
    """
    import time

    from engine.discovery import freezing
    from engine.discovery.configuration import read
    from engine.discovery.run import discover as run_scan
    from engine.home import runs_folder, scans_folder

    scanner = read(config)
    pool, path = run_scan(
        scanner,
        data,
        at=None if at is None else stamp_of("--at", at),
        as_of=None if as_of is None else stamp_of("--as-of", as_of),
        runs=runs_folder(),
        journal=scans_folder(),
        clock=time.time_ns,  # noqa: TID251  # when the scan was made is on record, and decides nothing
    )
    frozen = None
    if freeze is not None and pool.symbols:
        frozen = freezing.freeze(pool, freeze, seen_bars=seen_bars)
    if as_json:
        print_json(pool.document() | {"path": str(path), "frozen": _frozen_document(frozen)})
    else:
        _show(pool, path, frozen)
    if not pool.symbols:
        raise typer.Exit(NOTHING_FOUND)


def _frozen_document(frozen: "DataSetVersion | None") -> dict[str, Any] | None:
    if frozen is None:
        return None
    return {
        "name": frozen.name,
        "version": frozen.version,
        "content_hash": frozen.content_hash,
        "bars": frozen.manifest.rows,
        "first": iso(frozen.manifest.first),
    }


# --- the screen --------------------------------------------------------------------------------------------


def _show(pool: "Pool", path: Path, frozen: "DataSetVersion | None") -> None:
    console = make_console()
    panel, number = pool.sight.panel, len(pool.symbols)
    entered = pool.found.stages[0].entered
    mark = Mark.DONE if number else Mark.REFUSED
    words = f"{number:,} of {entered:,} instruments of {pool.sight.data} at {iso(pool.sight.at)}"
    print_verdict(console, mark, pool.scanner.name, words)
    layers = " < ".join(f"{layer.value} {file}" for layer, file in pool.scanner.layers)
    kind = f"{pool.scanner.venue_class.value} ({pool.scanner.venue_class.market.value})"
    year = f"{panel.calendar.value}, {panel.calendar.days_per_year} days a year"
    synthetic = ", made by a sandbox" if panel.synthetic else ""
    last = iso(int(panel.timestamps[-1]))
    print_lines(
        console,
        [
            f"layers       {layers}",
            f"class        {kind}, {year}{synthetic}",
            f"bars         {len(panel):,} of {panel.timeframe.value}, the last opens {last}",
            "",
        ],
    )
    _print_stages(console, pool)
    if number:
        _print_candidates(console, pool.found.candidates)
    _print_fallen(console, pool.found.fallen)
    print_lines(console, ["", f"scan   {pool.scan_id}, sha256 {pool.content_hash[:16]}, on record"])
    if frozen is not None:
        held = f"{frozen.manifest.rows:,} bars from {iso(frozen.manifest.first)}"
        print_lines(
            console,
            [f"frozen {frozen.name}@{frozen.version}, {held}, sha256 {frozen.content_hash[:16]}"],
        )
    print_lines(console, ["", f"next   {_following(pool, frozen)}", f"path   {path}"])


def _following(pool: "Pool", frozen: "DataSetVersion | None") -> str:
    if frozen is not None:
        return f"engine tournament --data {frozen.name}"
    if not pool.symbols:
        return "look at what fell and why; loosen a floor, or scan another moment with --at"
    return "the same with --at TIME --freeze NAME makes a data set of the pool, to play on what came after"


def _print_stages(console: "Console", pool: "Pool") -> None:
    from rich.table import Table

    from engine.discovery.reasons import Stage

    fell: dict[Stage, dict[str, int]] = {stage: {} for stage in Stage}
    for fall in pool.found.fallen:
        fell[fall.stage][fall.reason.value] = fell[fall.stage].get(fall.reason.value, 0) + 1
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("stage", "in", "out"):
        table.add_column(heading, justify="left" if heading == "stage" else "right", no_wrap=True)
    table.add_column("fell")
    for count in pool.found.stages:
        reasons = ", ".join(f"{number} {reason}" for reason, number in fell[count.stage].items())
        table.add_row(f"  {count.stage.value}", f"{count.entered:,}", f"{count.left:,}", reasons)
    console.print(table)


def _print_candidates(console: "Console", candidates: "tuple[Profile, ...]") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns = ("candidate", "venue", "bars", "close", "a day", "spread bps", "quality", "signal")
    for heading in columns:
        table.add_column(heading, justify="left" if heading in columns[:2] else "right", no_wrap=True)
    for profile in candidates[:_SHOWN]:
        table.add_row(
            f"  {profile.symbol}",
            profile.venue or "–",
            f"{profile.bars:,}",
            _number(profile.close, ",.8g"),
            _number(profile.dollar_volume, ",.0f"),
            _number(profile.spread_bps, ".1f"),
            _number(profile.quality, ".3f"),
            _number(profile.signal, "+.4g"),
        )
    console.print()
    console.print(table)
    if len(candidates) > _SHOWN:
        print_lines(console, [f"and {len(candidates) - _SHOWN:,} more: --json lists them"])


def _print_fallen(console: "Console", fallen: "tuple[Fallen, ...]") -> None:
    from engine.discovery.reasons import SENTENCES, Stage

    if not fallen:
        return
    print_lines(console, ["", "fell"])
    for fall in fallen[:_SHOWN]:
        had = "" if fall.value is None else f": {_said(fall.value)}"
        # A signal must be above its limit; all else may stand at it.
        limit = "more than " if fall.stage is Stage.SIGNAL else ""
        asked = "" if fall.limit is None else f", asked for {limit}{_said(fall.limit)}"
        print_lines(
            console, [f"  {fall.symbol:<12} {fall.reason.value:<16} {SENTENCES[fall.reason]}{had}{asked}"]
        )
    if len(fallen) > _SHOWN:
        print_lines(console, [f"  and {len(fallen) - _SHOWN:,} more: --json lists them"])


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _said(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    is_long = isinstance(value, int) or abs(value) >= 1e5
    return f"{value:,.0f}" if is_long else f"{value:.6g}"
