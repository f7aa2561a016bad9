"""`engine data`: what there is to test on, and how one's own bars get in."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.data_audit import audit
from engine.cli.data_compact import compact
from engine.cli.data_corrections import corrections
from engine.cli.data_documents import (
    bar_document,
    facts_document,
    iso,
    print_json,
)
from engine.cli.data_import import import_
from engine.cli.data_pull import pull
from engine.cli.data_record import record
from engine.cli.data_screen import (
    Mark,
    make_console,
    print_bars,
    print_facts,
    print_findings,
    print_lines,
    print_list,
    print_verdict,
    use_line,
)
from engine.cli.data_sync import sync
from engine.cli.data_verify import verify
from engine.cli.data_withdraw import withdraw
from engine.domain.panel import Adjustment

if TYPE_CHECKING:
    from engine.domain.panel import Panel

CHECK_SAID_NO = 1
BAD_INPUT = 2
_ROWS_SHOWN = 3

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, import, show and audit data sets.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a data set, see: engine data list")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command("list")
def list_sets(as_json: _Json = False) -> None:
    """Show every data set, packaged and imported."""
    from engine.data import catalogue

    known, damaged = catalogue.names(), catalogue.damaged()
    if as_json:
        sets = [asdict(info) | {"first": iso(info.first), "last": iso(info.last)} for info in known]
        print_json({"data_sets": sets, "damaged": damaged})
        return
    console = make_console()
    print_list(console, known)
    # One broken set must not hide the others.
    print_lines(console, [f"✕ {reason}" for reason in damaged.values()])
    print_lines(
        console, ["", "next   engine data show NAME", "       engine data import NAME PATH... --help"]
    )


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
        print_json(
            facts_document(manifest)
            | {"columns": header, "out": str(out) if out else None, "rows_written": written}
        )
        return
    console = make_console()
    print_verdict(console, Mark.DONE, name, PACKAGED[name].description)
    print_facts(console, manifest)
    if out is None:
        lines = export.to_frame(panel.rows(0, _ROWS_SHOWN).select((0,))).to_csv(index=False).splitlines()
        print_lines(console, ["", "as a file", *(f"  {line}" for line in lines)])
        print_lines(console, ["", f"next   engine data sample {name} --out {name}.csv"])
        return
    stated = f"--timeframe {manifest.timeframe.value} --timezone UTC --calendar {manifest.calendar.value}"
    if manifest.adjustment is not Adjustment.NONE:
        stated += f" --adjustment {manifest.adjustment.value}"
    print_lines(
        console, ["", f"wrote  {written:,} rows; the {manifest.holdout_rows:,} sealed bars stay sealed"]
    )
    print_lines(console, [f"next   engine data import my-{name} {out} {stated}", f"path   {out}"])


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
    panel = catalogue.load_to_inspect(name)
    symbol = _known_symbol(panel, instrument)
    head, tail = _shown_rows(panel, symbol)
    opened = holdout.openings(name)
    if as_json:
        print_json(
            facts_document(manifest)
            | {
                "visible_rows": len(panel),
                "holdout_openings": opened,
                "instrument": symbol,
                "head": [bar_document(panel, symbol, row) for row in head],
                "tail": [bar_document(panel, symbol, row) for row in tail],
            }
        )
        return
    console = make_console()
    print_verdict(
        console, Mark.DONE, name, f"{manifest.rows:,} bars, {len(panel):,} of them open to research"
    )
    print_facts(console, manifest)
    print_lines(
        console, [f"opened       hold-out opened {opened:,} times" if opened else "opened       never"]
    )
    console.print()
    if head:
        print_bars(console, panel, symbol, head, tail)
    else:
        print_lines(console, [f"{symbol} has no bar before the hold-out"])
    print_findings(console, "warnings of the import", manifest.warnings, manifest)
    print_lines(
        console,
        ["", f"next   engine data audit {name}", use_line(manifest)],
    )


app.command("import")(import_)
app.command("audit")(audit)
app.command("pull")(pull)
app.command("record")(record)
app.command("sync")(sync)
app.command("withdraw")(withdraw)
app.command("verify")(verify)
app.command("corrections")(corrections)
app.command("compact")(compact)


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
