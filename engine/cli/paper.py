"""`engine paper`: a strategy on a feed with pretend money, written down so that nothing is lost or doubled.

A restart must be quick: what only a beginning needs (data sets, boards, the configuration of research) is
imported when one begins.
"""

import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.light import LightCommand
from engine.domain.errors import InputError, RefusedError

if TYPE_CHECKING:
    from engine.cli.paper_screen import PaperScreen
    from engine.domain.panel import Panel
    from engine.domain.passport import Passport
    from engine.features.strategy import Strategy
    from engine.session.folders import Asked
    from engine.session.session import Beginning, Ending, Session

INTERRUPTED = 130
STAGE = "paper"
_NAP_SECONDS = 0.05

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(cls=LightCommand, help="Run a strategy on a feed with pretend money.")
def paper(
    strategy: Annotated[str, typer.Option("--strategy", metavar="ID", help="Of what was promoted to paper.")],
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="See: engine data list")],
    feed: Annotated[str, typer.Option("--feed", metavar="NAME", help="replay: the bars of a data set.")],
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="Open of the account's first bar, UTC (2024-01-31)."),
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last day, UTC.")] = None,
    speed: Annotated[
        str | None, typer.Option("--speed", metavar="BARS", help="Bars a second; as fast as it goes without.")
    ] = None,
    force_research: Annotated[
        bool,
        typer.Option("--force-research", help="Without a promotion, for exploring: it can never go further."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Go on with the session that the same command began, or begin one."""
    if feed != "replay":
        raise InputError(f"--feed {feed!r} is not known; there is: replay")
    days = (_date("--from", first), _date("--to", last))
    bars_a_second = _speed(speed)

    from engine.cli.paper_screen import PaperScreen

    with _stopping_on_signals() as stopped:
        screen = PaperScreen(is_silent=as_json)
        session = _open(strategy, data, days, force_research=force_research)
        with session.journal:
            screen.begin(session)
            ending = _run(session, screen, stopped, bars_a_second)
        if as_json:
            typer.echo(json.dumps(screen.document(session, ending), sort_keys=True, allow_nan=False))
        else:
            screen.end(session, ending)
    if stopped:
        raise typer.Exit(INTERRUPTED)


def _date(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} {text!r} is not a date; write it as 2024-01-31") from None


def _speed(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not (math.isfinite(speed) and speed > 0):
        raise InputError(f"--speed must be a number of bars a second above 0, was {text!r}")
    return speed


@contextmanager
def _stopping_on_signals() -> Iterator[list[int]]:
    """Collect signals that ask for an end: a batch that is being written must not be interrupted by one."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    asked_to = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, note) for number in asked_to}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---------------------------------------------------------------------------------------------- opening


def _open(
    name: str,
    data: str,
    days: tuple[date | None, date | None],
    *,
    force_research: bool,
) -> "Session":
    """Return the session that this command began and did not finish, or a new one."""
    from engine.home import promotions_folder, sessions_folder
    from engine.journal.promotions import promoted
    from engine.session.folders import following, newest
    from engine.session.session import Sources, open_session

    passport = promoted(promotions_folder(), name, STAGE)
    if passport is None and not force_research:
        _refuse(name)
    if passport is not None and force_research:
        passport = replace(passport, research_only=True)
    asked = _asked(name, passport, data, days, force_research=force_research)

    def begin() -> "Beginning":
        return _beginning(name, passport, data, days)

    sources = Sources(begin=begin, strategy=_strategy, panel=_panel, clock=_clock)
    folder = newest(sessions_folder(), asked)
    session = None if folder is None else open_session(folder, sources)
    if session is not None:
        return session
    label = name if passport is not None else _label(name, data)
    session = open_session(following(sessions_folder(), asked, label), sources)
    assert session is not None, "a session that is new is not finished"
    return session


def _asked(
    name: str,
    passport: "Passport | None",
    data: str,
    days: tuple[date | None, date | None],
    *,
    force_research: bool,
) -> "Asked":
    from engine.compiled import CORE_VERSION
    from engine.data import store
    from engine.session.folders import Asked
    from engine.strategy_files import load_strategy, strategy_names

    strategy_hash = "" if passport is None else passport.hash
    if passport is None and name in strategy_names():
        strategy_hash = load_strategy(name).hash
    first, last = ("" if day is None else day.isoformat() for day in days)
    return Asked(
        strategy=name,
        strategy_hash=strategy_hash,
        research_only=force_research,
        core_version=CORE_VERSION,
        data=data,
        data_hash=store.read_manifest(data).content_hash if data in store.names() else "",
        first=first,
        last=last,
    )


def _label(name: str, data: str) -> str:
    """Return what a new session of a bare idea is known by; who reads it must see that nothing is real."""
    return f"{name}-synthetic" if _panel(data).synthetic and "-synthetic" not in name else name


def _clock() -> int:
    return time.time_ns()  # noqa: TID251  # when a batch was written is no part of what it says


def _strategy(passport: "Passport") -> "Strategy":
    from engine.strategy_files import load_strategy

    return load_strategy(passport.strategy, passport.parameters)


def _panel(name: str) -> "Panel":
    from engine.data import catalogue

    return catalogue.load(name)


# -------------------------------------------------------------------------------------------- beginning


def _beginning(
    name: str,
    passport: "Passport | None",
    data: str,
    days: tuple[date | None, date | None],
) -> "Beginning":
    """Return what a new session runs, after every check."""
    from engine.compiled import CORE_VERSION
    from engine.session.feed import fed_panel, span_of
    from engine.session.session import Beginning
    from engine.session.start import FedData, SessionStart, require_same_data, require_unchanged

    panel = _panel(data)
    if passport is None:
        passport = _research_passport(name, data)
    strategy = _strategy(passport)
    require_unchanged(passport, strategy, CORE_VERSION)
    require_same_data(passport, panel)
    span = span_of(panel, strategy, passport.plan, first=days[0], last=days[1])
    fed = fed_panel(panel, span)
    start = SessionStart(
        passport=passport,
        data=FedData.of(fed),
        origin_at=int(fed.timestamps[0]),
        start_row=span.start - span.origin,
        rows=len(fed),
    )
    return Beginning(start=start, strategy=strategy, fed=fed)


def _research_passport(name: str, data: str) -> "Passport":
    """Return the passport of what nothing promoted: a bare strategy, or a row of a board."""
    from engine.strategy_files import load_strategy, strategy_names

    if name in strategy_names():
        from engine.cli.backtest import settings_for
        from research.passports import research_passport

        return research_passport(load_strategy(name), data, settings_for(data))
    from engine.home import runs_folder
    from research.passports import rebuild, require_unchanged
    from scoreboards.finding import board_files, find

    if not board_files(runs_folder()):
        raise _unknown(name)
    rebuilt = rebuild(find(name, runs_folder()).entry)
    require_unchanged(rebuilt)
    return replace(rebuilt.passport, research_only=True)


def _refuse(name: str) -> None:
    """Say why a strategy may not run, and what to do.

    Raises
    ------
    RefusedError
        If it is known: it was not promoted.
    InputError
        If it is not.
    """
    from engine.strategy_files import strategy_names

    explore = "to explore anyway, RESEARCH ONLY and with no path further: add --force-research to the command"
    if name in strategy_names():
        raise RefusedError(
            f"{name} is a strategy without a promotion: paper runs ids that were promoted",
            next_command=f"engine tournament, then  engine promote <id> --to {STAGE};\n    {explore}",
        )
    from engine.home import runs_folder
    from scoreboards.finding import board_files, find

    if not board_files(runs_folder()):
        raise _unknown(name)
    row = find(name, runs_folder()).row
    raise RefusedError(
        f"{name} was not promoted to paper; it is {row.text('verdict')} on its scoreboard",
        next_command=f"engine promote {name} --to {STAGE};\n    {explore}",
    )


def _unknown(name: str) -> InputError:
    from engine.strategy_files import strategy_names

    known = strategy_names()
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"strategies are {', '.join(known)}"
    return InputError(f"no promoted id, no row of a scoreboard and no strategy is called {name!r}; {hint}")


# ---------------------------------------------------------------------------------------------- running


def _run(session: "Session", screen: "PaperScreen", stopped: list[int], speed: float | None) -> "Ending":
    from engine.session.feed import Replay
    from engine.session.session import QUIET_BARS, Ports, run

    pace = _Pace(speed, stopped)
    ports = Ports(
        feed=Replay(session.fed, session.trader.fields, wait=pace.wait),
        watch=screen.watch,
        is_stopping=lambda: bool(stopped),
        quiet_bars=QUIET_BARS if speed is None else 1,
    )
    return run(session, ports)


class _Pace:
    """Lets bars through at a speed; without one, at once."""

    def __init__(self, speed: float | None, stopped: list[int]) -> None:
        self._seconds = 0.0 if speed is None else 1.0 / speed
        self._stopped = stopped
        self._due = time.monotonic()

    def wait(self) -> None:
        """Return when the next bar is due, or when somebody wants an end."""
        if self._seconds == 0.0:
            return
        while not self._stopped and (left := self._due - time.monotonic()) > 0:
            time.sleep(min(left, _NAP_SECONDS))
        self._due = max(self._due, time.monotonic() - self._seconds) + self._seconds
