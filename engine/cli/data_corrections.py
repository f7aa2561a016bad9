"""`engine data corrections`: what was told differently later, told late or withdrawn, and when."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.data_documents import iso, print_json
from engine.cli.data_ingestion import correction_document, stamp_of
from engine.cli.data_screen import Mark, make_console, print_lines, print_verdict
from engine.domain.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from engine.data.lake.corrections import Correction
    from engine.data.lake.lake import Lake
    from engine.data.series import SeriesKey

_SHOWN = 20

app = typer.Typer(rich_markup_mode=None)


@app.command()
def corrections(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Data set of the lake; mine@2: what was known to that version."),
    ] = None,
    venue: Annotated[str | None, typer.Option(metavar="VENUE", help="Only series of this venue.")] = None,
    instrument: Annotated[
        str | None, typer.Option(metavar="SYMBOL", help="Only series of this instrument.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what was learned from this UTC time on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List what was revised, came late or was withdrawn: before, after, when it was learned, from whom.

    What a data set seals stays sealed: of such a bar no value is told.
    """
    from engine.data import catalogue

    if name is None and venue is None and instrument is None:
        raise InputError("corrections: of what? State a data set, --venue or --instrument")
    lake = catalogue.lake()
    keys, until = _keys(lake, name)
    chosen = [key for key in keys if venue in (None, key.venue) and instrument in (None, key.instrument)]
    if not chosen:
        known = ", ".join(str(key) for key in keys[:10])
        raise InputError(
            f"corrections: no series fits --venue {venue or 'any'} --instrument {instrument or 'any'}; "
            + (f"there are: {known}" if known else "the lake has none, see: engine data pull --help")
        )
    start = None if since is None else stamp_of("--since", since)
    found = [
        line
        for key in chosen
        for line in lake.corrections(key, start)
        if until is None or line.known_at <= until
    ]
    found.sort(key=lambda line: (line.known_at, line.key, line.stamp, line.id))
    sealed = {key: lake.sealed_from(key) for key in chosen}
    if as_json:
        lines = [_document(line, sealed[line.key]) for line in found]
        print_json({"series": [str(key) for key in chosen], "corrections": lines, "total": len(lines)})
        return
    console = make_console()
    what = f"{len(found):,} corrections of {len(chosen):,} series"
    print_verdict(console, Mark.DONE, name or "lake", what if found else f"nothing was corrected: {what}")
    _print(console, found, sealed)


def _keys(lake: "Lake", name: str | None) -> "tuple[list[SeriesKey], int | None]":
    """Return the series of a data set, and the moment after which it knows of nothing; all without a name."""
    from engine.data import catalogue

    if name is None:
        return lake.series(), None
    base, version = catalogue.parsed(name)
    if base not in lake.data_sets():
        raise InputError(
            f"data set {name}: is not in the lake, so nobody knows what was corrected; the lake has: "
            + (", ".join(lake.data_sets()) or "none")
        )
    frozen = lake.version(base, version)
    return sorted(span.key for span in frozen.spans), None if version is None else frozen.as_of


def _is_sealed(line: "Correction", sealed_from: int | None) -> bool:
    return sealed_from is not None and line.stamp >= sealed_from


def _document(line: "Correction", sealed_from: int | None) -> dict[str, Any]:
    document = correction_document(line)
    if _is_sealed(line, sealed_from):
        return document | {"old": None, "new": None, "sealed": True}
    return document | {"sealed": False}


def _print(console: "Console", found: "list[Correction]", sealed: "dict[SeriesKey, int | None]") -> None:
    import math

    if found:
        print_lines(console, ["learned           bar, value, before, after, from"])
    for line in found[-_SHOWN:]:
        before, after = ("nothing" if math.isnan(value) else repr(value) for value in (line.old, line.new))
        values = "sealed" if _is_sealed(line, sealed[line.key]) else f"{before}, {after}"
        learned, opens = (iso(stamp)[:16].replace("T", " ") for stamp in (line.known_at, line.stamp))
        print_lines(console, [f"{learned}  {line.key} {opens} {line.field}: {values}, {line.source}"])
    if len(found) > _SHOWN:
        print_lines(console, [f"and {len(found) - _SHOWN:,} before them: --json lists all"])
