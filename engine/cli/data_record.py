"""`engine data record`: quotes and books as they pass, into the lake."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from engine.cli.data_documents import print_json
from engine.cli.data_ingestion import duration_of, machine_access
from engine.cli.data_pull import symbols_of
from engine.cli.data_screen import Mark, make_console, print_lines, print_verdict

if TYPE_CHECKING:
    from engine.data.ingestion.recording import Recorded

NOTHING_CAME = 1


class Offers(StrEnum):
    """What is recorded: the best offers, or those behind them too."""

    QUOTES = "quotes"
    BOOK = "book"


app = typer.Typer(rich_markup_mode=None)


@app.command()
def record(
    symbols: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="As ccxt writes them: BTC/USD,ETH/USD.")
    ] = None,
    universe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Symbols of a universe instead, e.g. UNIVERSE_V1.")
    ] = None,
    provider: Annotated[str, typer.Option("--provider", "--venue", help="Who is asked.")] = "kraken",
    kind: Annotated[
        Offers, typer.Option(help="The best offers, or a book of several levels.")
    ] = Offers.QUOTES,
    levels: Annotated[int, typer.Option(help="Of each side of a book.", min=1, max=500)] = 10,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long, e.g. 1h. Not stated: until Ctrl-C.")
    ] = None,
    every: Annotated[str, typer.Option(metavar="TIME", help="From one look to the next.")] = "10s",
    flush: Annotated[
        str, typer.Option(metavar="TIME", help="How long they wait in memory: so much a kill loses.")
    ] = "1m",
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask there instead, e.g. engine sandbox; the lake keeps it apart."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Record what is on offer until the time is over or Ctrl-C. Nobody gives it afterwards.

    Exit 1 if nothing came at all.
    """
    from engine.data import catalogue
    from engine.data.ingestion.recording import RecordRequest
    from engine.data.ingestion.recording import record as record_all
    from engine.data.series import SeriesKind

    request = RecordRequest(
        provider=provider,
        symbols=symbols_of(symbols, universe),
        kind=SeriesKind(kind.value),
        levels=levels,
        every=duration_of("--every", every),
        flush_every=duration_of("--flush", flush),
        duration=None if duration is None else duration_of("--for", duration),
        is_sandbox=url is not None,
    )
    screen = Console(stderr=True)
    recorded = record_all(
        request,
        lake=catalogue.lake(),
        access=machine_access(provider, url),
        failed=lambda reason: screen.print(f"{reason} · asked again at the next look", style="yellow"),
        flushed=lambda so_far: screen.print(_progress(so_far)),
    )
    if as_json:
        print_json(_document(recorded))
    else:
        _print(recorded)
    if not recorded.moments:
        raise typer.Exit(NOTHING_CAME)


def _progress(recorded: "Recorded") -> str:
    return f"{sum(recorded.moments.values()):,} moments of {len(recorded.moments):,} series are in the lake"


def _document(recorded: "Recorded") -> dict[str, Any]:
    return {
        "run": recorded.run,
        "replies": recorded.replies,
        "failed": recorded.failed,
        "series": [
            {
                "venue": key.venue,
                "kind": key.kind.value,
                "instrument": key.instrument,
                "moments": number,
            }
            for key, number in recorded.moments.items()
        ],
    }


def _print(recorded: "Recorded") -> None:
    console = make_console()
    mark = Mark.DONE if recorded.moments else Mark.REFUSED
    print_verdict(console, mark, "recorded", _progress(recorded))
    lines = [f"replies      {recorded.replies:,}"]
    if recorded.failed:
        lines.append(f"failed       {recorded.failed:,} requests had no answer; nobody has what passed then")
    print_lines(console, [*lines, f"run          {recorded.run}", "", "next   engine data verify"])
