"""`engine data pull`: history from a provider into the lake, and a data set of it."""

from typing import Annotated

import typer

from engine.cli.data_documents import print_json
from engine.cli.data_ingestion import (
    ScreenListener,
    corrections_of,
    machine_access,
    print_summary,
    screen_reporter,
    stamp_of,
    summary_document,
)
from engine.cli.data_screen import make_console, print_lines
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from engine.domain.venue import CalendarPolicy

NOT_COMPLETE = 1

app = typer.Typer(rich_markup_mode=None)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name that the data set shall have.")],
    start: Annotated[str, typer.Option(metavar="TIME", help="UTC time of the first bar, 2025-06-18.")],
    provider: Annotated[
        str, typer.Option(help="Who is asked: kraken, yahoo, polygon, ..., or ccxt:<exchange>.")
    ] = "kraken",
    symbols: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="As ccxt writes them: BTC/USD,ETH/USD.")
    ] = None,
    universe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Symbols of a universe instead, e.g. UNIVERSE_V1.")
    ] = None,
    timeframe: Annotated[
        list[Timeframe] | None, typer.Option(help="Length of a bar; may be given several times.")
    ] = None,
    stop: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="UTC time before which bars open; not stated: all that are final."),
    ] = None,
    calendar: Annotated[
        Calendar | None, typer.Option(help="When bars are expected; not stated: by what the symbols are.")
    ] = None,
    calendar_policy: Annotated[
        CalendarPolicy, typer.Option(help="What becomes of symbols with different calendars in the data set.")
    ] = CalendarPolicy.REFUSE,
    workers: Annotated[int, typer.Option(help="Series that are worked on at once.", min=1, max=32)] = 4,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask there instead, e.g. engine sandbox; the lake keeps it apart."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Pull bars into the lake and freeze a data set of them. Stopped or killed, the same command goes on.

    With several timeframes each has its own data set, NAME-1h and so on. Exit 1 if a series could not be had
    to its end; then nothing is frozen.
    """
    from engine.data import catalogue
    from engine.data.ingestion.pull import PullRequest
    from engine.data.ingestion.pull import pull as pull_all

    request = PullRequest(
        name=name,
        provider=provider,
        symbols=symbols_of(symbols, universe),
        timeframes=tuple(timeframe or [Timeframe.HOUR_1]),
        start=stamp_of("--start", start),
        stop=None if stop is None else stamp_of("--stop", stop),
        universe=universe,
        calendar=calendar or _calendar_of(universe),
        calendar_policy=calendar_policy,
        workers=workers,
        is_sandbox=url is not None,
    )
    lake, access = catalogue.lake(), machine_access(provider, url)
    with screen_reporter() as reporter:
        summary = pull_all(request, lake=lake, access=access, listener=ScreenListener(reporter))
    corrections = corrections_of(summary, lake)
    if as_json:
        print_json(summary_document(summary, corrections))
    else:
        console = make_console()
        print_summary(console, f"{name} pulled" if not summary.failed else name, summary, corrections)
        if summary.failed:
            print_lines(console, ["", "next   the same command goes on where this one ended"])
        for frozen in summary.data_sets:
            print_lines(console, ["", f"next   engine data audit {frozen.name}"])
    if summary.failed:
        raise typer.Exit(NOT_COMPLETE)


def _calendar_of(universe: str | None) -> Calendar | None:
    """Return the calendar that the instruments of a universe keep; None where there is no universe."""
    from engine.data import universes

    return None if universe is None else universes.read(universe).venue_class.calendar


def symbols_of(listed: str | None, universe: str | None) -> tuple[str, ...]:
    """Return the symbols that were named, or those of a universe.

    Raises
    ------
    InputError
        Unless exactly one of them is stated.
    """
    if (listed is None) == (universe is None):
        raise InputError("--symbols, --universe: state one of them, e.g. --symbols BTC/USD,ETH/USD")
    if universe is not None:
        from engine.data import universes

        return universes.read(universe).instruments
    assert listed is not None
    return tuple(symbol.strip() for symbol in listed.split(",") if symbol.strip())
