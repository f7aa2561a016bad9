"""`engine data withdraw`: bars that should never have been in the lake are taken out, with a reason."""

import time
from typing import Annotated

import typer

from engine.cli.data_documents import print_json
from engine.cli.data_ingestion import stamp_of
from engine.cli.data_screen import Mark, make_console, print_lines, print_verdict
from engine.domain.errors import InputError
from engine.domain.time import Timeframe

app = typer.Typer(rich_markup_mode=None)


@app.command()
def withdraw(
    venue: Annotated[
        str, typer.Option(metavar="VENUE", help="Of the series, as in: engine data corrections.")
    ],
    instrument: Annotated[str, typer.Option(metavar="SYMBOL", help="Of the series, e.g. BTC/USD.")],
    timeframe: Annotated[Timeframe, typer.Option(help="Length of its bars.")],
    at: Annotated[
        list[str], typer.Option(metavar="TIME", help="UTC open of a bar; may be given several times.")
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; the corrections list it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Withdraw bars that there never were: future ones, doubled ones. Who reads as of before still sees them.

    Frozen data sets stay what they are; the next version is without these bars.
    """
    from engine.data import catalogue
    from engine.data.series import SeriesKey, SeriesKind

    lake = catalogue.lake()
    key = SeriesKey(venue=venue, kind=SeriesKind.BARS, instrument=instrument, timeframe=timeframe)
    if key not in lake.series():
        known = ", ".join(str(each) for each in lake.series()[:10])
        raise InputError(f"withdraw: the lake has no {key}; it has: {known or 'nothing'}")
    stamps = [stamp_of("--at", text) for text in at]
    now = time.time_ns()  # noqa: TID251  # the edge of the program: when it was learned
    found = lake.withdraw(key, stamps, reason=reason, known_at=now, run=f"withdraw-{now}")
    if as_json:
        print_json({"series": str(key), "withdrawn": found.corrected, "known_already": found.same})
        return
    console = make_console()
    print_verdict(console, Mark.DONE, str(key), f"{found.corrected:,} bars withdrawn: {reason.strip()}")
    if found.same:
        print_lines(console, [f"{found.same:,} of them were withdrawn before"])
    print_lines(console, ["", f"next   engine data corrections --venue {venue} --instrument {instrument}"])
