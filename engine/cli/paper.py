"""`engine paper`: a strategy on a feed with pretend money, written down so that nothing is lost or doubled.

A restart must be quick: what only a beginning needs (data sets, boards, the configuration of research) is
imported when one begins.
"""

import gc
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.light import LightCommand
from engine.domain.errors import InputError, RefusedError

if TYPE_CHECKING:
    from engine.cli.paper_feed import Line
    from engine.cli.paper_screen import PaperScreen
    from engine.domain.panel import Panel
    from engine.domain.passport import Passport
    from engine.features.strategy import Strategy
    from engine.session.feed import Feed
    from engine.session.folders import Asked
    from engine.session.session import Beginning, Ending, Session, Sources
    from engine.session.start import SessionStart
    from scoreboards.finding import Found

INTERRUPTED = 130
STAGE = "paper"
REPLAY = "replay"
SANDBOX = "sandbox"
_NAP_SECONDS = 0.05

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for.

    Attributes
    ----------
    strategy
        Id of what was promoted; for exploring also the name of a strategy, or the id of a row of a board.
    first, last
        UTC dates of the account's first and last bars; None: as early and as late as the data allows. On a
        feed the first one is the next that comes.
    """

    strategy: str
    feed: str
    data: str
    first: date | None
    last: date | None
    force_research: bool


@app.command(cls=LightCommand, help="Run a strategy on a feed with pretend money.")
def paper(
    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="ID", help="Of what was promoted to paper.")
    ] = None,
    feed: Annotated[
        str | None,
        typer.Option(
            "--feed",
            metavar="NAME",
            help="replay: the bars of a data set; sandbox: those of engine sandbox, as they come.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="NAME", help="See: engine data list")] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Where the sandbox listens; its usual port without."),
    ] = None,
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
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="ID", help="Go on with this one; only --speed or --url with it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Go on with the session that the same command began, or begin one."""
    bars_a_second = _speed(speed)
    options = (strategy, feed, data, first, last)
    if session is not None and (force_research or any(option is not None for option in options)):
        raise InputError("--session goes on with what was begun: only --speed, --url and --json go with it")
    order = _order(*options, force_research=force_research) if session is None else None
    if order is not None:
        _check_order(order)
        _check_feed(order.feed, bars_a_second, url)

    with _stopping_on_signals() as stopped:
        with _not_collecting():
            from engine.cli.paper_screen import PaperScreen
            from engine.session.session import Ending

            screen = PaperScreen(is_silent=as_json, url=url)
            wish = _Wish(screen=screen, stopped=stopped, speed=bars_a_second, url=url)
            running = _open(order, wish) if order is not None else _go_on(str(session), wish)
        with running.journal:
            screen.begin(running)
            ending = _run(running, wish)
        _fold(running)
        if as_json:
            typer.echo(json.dumps(screen.document(running, ending), sort_keys=True, allow_nan=False))
        else:
            screen.end(running, ending)
    if ending is Ending.INTERRUPTED:
        raise typer.Exit(INTERRUPTED)


def _fold(session: "Session") -> None:
    """Fold the journal into the tables that are asked, so that the first question is answered at once."""
    from engine.journal.read_model import ask
    from engine.journal.views import session_view

    ask(session.folder, session_view)


def _order(
    strategy: str | None,
    feed: str | None,
    data: str | None,
    first: str | None,
    last: str | None,
    *,
    force_research: bool,
) -> Order:
    for option, given, known in (
        ("--strategy", strategy, "the id of what was promoted"),
        ("--feed", feed, f"{REPLAY} or {SANDBOX}"),
        ("--data", data, "one of  engine data list"),
    ):
        if given is None:
            raise InputError(f"{option} is missing: {known}")
    assert strategy is not None
    assert data is not None
    assert feed is not None
    if feed not in (REPLAY, SANDBOX):
        raise InputError(f"--feed {feed!r} is not known; there are {REPLAY} and {SANDBOX}")
    return Order(
        strategy=strategy,
        feed=feed,
        data=data,
        first=_date("--from", first),
        last=_date("--to", last),
        force_research=force_research,
    )


def _check_order(order: Order) -> None:
    """Refuse a first bar on a feed whose bars are still to come."""
    if order.feed != REPLAY and order.first is not None:
        raise InputError(f"--from is for --feed {REPLAY}; on --feed {order.feed} the account begins now")


def _check_feed(feed: str, speed: float | None, url: str | None) -> None:
    """Refuse options that say nothing on the feed of a session, begun or to begin."""
    if feed == REPLAY and url is not None:
        raise InputError(f"--url is where an exchange listens; --feed {REPLAY} asks none")
    if feed != REPLAY and speed is not None:
        raise InputError(f"--speed is for --feed {REPLAY}; bars of --feed {feed} come when they are final")


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
    """Collect signals that ask for an end: a batch that is being written must not be interrupted by one.

    Who asks a second time does not want to wait for the end of a bar. The journal survives that too.
    """
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _not_collecting() -> Iterator[None]:
    """Look for no garbage while modules and kernels are loaded: nothing of them is any.

    It takes a fifth off the time of a restart.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# ---------------------------------------------------------------------------------------------- opening


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """How a session is to run, whatever it runs.

    Attributes
    ----------
    stopped
        Signals that asked for an end.
    speed
        Bars of a replay a second; None: as fast as it goes.
    url
        Where the exchange listens; None: at its usual place.
    """

    screen: "PaperScreen"
    stopped: list[int]
    speed: float | None
    url: str | None

    def line(self) -> "Line":
        """Return the way to the exchange."""
        from engine.cli.paper_feed import SANDBOX_URL, Line

        return Line(
            SANDBOX_URL if self.url is None else self.url,
            is_stopping=lambda: bool(self.stopped),
            watcher=self.screen,
        )


def _open(order: Order, wish: _Wish) -> "Session":
    """Return the session that this order began and did not finish, or a new one."""
    from engine.cli.first_run import Kernel, tell_if_first
    from engine.home import promotions_folder, sessions_folder
    from engine.journal.promotions import promoted
    from engine.session.folders import following, newest
    from engine.session.session import open_session

    passport = promoted(promotions_folder(), order.strategy, STAGE)
    if passport is None and not order.force_research:
        _refuse(order.strategy)
    asked = _asked(order, passport)
    tell_if_first(Kernel.BAR_BY_BAR)
    sources = _sources(lambda: _beginning(order, passport, wish))
    folder = newest(sessions_folder(), asked)
    session = None if folder is None else open_session(folder, sources)
    if session is not None:
        return session
    # What cannot begin must not leave a folder behind.
    begun = sources.begin()
    label = _label(order.strategy, begun.start)
    session = open_session(following(sessions_folder(), asked, label), _sources(lambda: begun))
    assert session is not None, "a session that is new is not finished"
    return session


def _go_on(session_id: str, wish: _Wish) -> "Session":
    """Return a session that was begun before.

    Raises
    ------
    InputError
        If there is none of this id, if it is finished, or an option says nothing on its feed.
    """
    from engine.cli.status import session_folder
    from engine.session.session import open_session

    def begin() -> "Beginning":
        raise InputError(f"session {session_id} was never begun: give the command that should begin it")

    strangers: list[str] = []

    def is_other(start: "SessionStart") -> bool:
        # Only its journal says on which feed it is, and what is refused must not be written there.
        _check_feed(start.feed, wish.speed, wish.url)
        if is_anew := _is_imported_anew(start):
            strangers.append(start.data.name)
        return is_anew

    session = open_session(session_folder(session_id), replace(_sources(begin), is_other=is_other))
    if session is None and strangers:
        raise InputError(
            f"session {session_id} cannot go on: data set {strangers[0]} was imported again with other bars "
            "since; the command that began it begins another session"
        )
    if session is None:
        raise InputError(f"session {session_id} is finished; see  engine status --session {session_id}")
    return session


def _sources(begin: "Callable[[], Beginning]") -> "Sources":
    from engine.session.session import Sources

    return Sources(begin=begin, strategy=_strategy, panel=_panel, clock=_clock, is_other=_is_imported_anew)


def _asked(order: Order, passport: "Passport | None") -> "Asked":
    from engine.compiled import CORE_VERSION
    from engine.session.folders import Asked
    from engine.strategy_files import load_strategy, strategy_names

    strategy_hash = "" if passport is None else passport.hash
    if passport is None and order.strategy in strategy_names():
        strategy_hash = load_strategy(order.strategy).hash
    first, last = ("" if day is None else day.isoformat() for day in (order.first, order.last))
    return Asked(
        strategy=order.strategy,
        strategy_hash=strategy_hash,
        research_only=order.force_research,
        core_version=CORE_VERSION,
        feed=order.feed,
        data=order.data,
        first=first,
        last=last,
    )


def _label(asked: str, start: "SessionStart") -> str:
    """Return what a new session is known by; who reads it must see that no real price stands behind it."""
    return f"{asked}-synthetic" if start.data.synthetic and "-synthetic" not in asked else asked


def _clock() -> int:
    return time.time_ns()  # noqa: TID251  # when a batch was written is no part of what it says


def _strategy(passport: "Passport") -> "Strategy":
    from engine.strategy_files import load_strategy

    return load_strategy(passport.strategy, passport.parameters)


def _panel(name: str) -> "Panel":
    from engine.data import catalogue

    return catalogue.load(name)


def _is_imported_anew(start: "SessionStart") -> bool:
    """Say whether the data set of a session was imported again with other bars.

    One that is gone is no other one: the session keeps the bars that it is fed. On a feed it goes on from its
    own journal.
    """
    if not start.feed.is_replay:
        return False
    from engine.data import store

    name = start.data.name
    return name in store.names() and store.read_manifest(name).content_hash != start.data.set_hash


# -------------------------------------------------------------------------------------------- beginning


def _beginning(order: Order, promoted: "Passport | None", wish: _Wish) -> "Beginning":
    """Return what a new session runs, after every check."""
    from engine.compiled import CORE_VERSION
    from engine.session.start import require_unchanged

    passport = _research_passport(order) if promoted is None else promoted
    passport = replace(passport, research_only=order.force_research)
    strategy = _strategy(passport)
    require_unchanged(passport, strategy, CORE_VERSION)
    if order.feed == REPLAY:
        promoted_on = None if promoted is None else wish.screen
        return _beginning_of_replay(order, passport, strategy, promoted_on)

    from engine.cli.paper_feed import begin
    from engine.session.live_feed import StoppedError

    try:
        return begin(wish.line(), order.data, passport, strategy, last=order.last)
    except StoppedError:
        raise typer.Exit(INTERRUPTED) from None


def _beginning_of_replay(
    order: Order, passport: "Passport", strategy: "Strategy", promoted_on: "PaperScreen | None"
) -> "Beginning":
    """Return what a new session runs.

    Parameters
    ----------
    promoted_on
        Screen for what is to be said of a promotion; None where nothing was promoted.
    """
    from engine.data import catalogue
    from engine.session.feed import Replay, fed_panel, span_of
    from engine.session.session import Beginning
    from engine.session.start import FedData, SessionStart, require_same_data
    from engine.session.trader import Trader

    panel = _panel(order.data)
    set_hash = catalogue.manifest(order.data).content_hash
    require_same_data(passport, panel)
    if promoted_on is not None:
        _require_same_set(passport, set_hash, promoted_on)
    span = span_of(panel, strategy, passport.plan, first=order.first, last=order.last)
    fed = fed_panel(panel, span)
    start = SessionStart(
        passport=passport,
        data=FedData.of(fed, set_hash=set_hash),
        origin_at=int(fed.timestamps[0]),
        start_row=span.start - span.origin,
        rows=len(fed),
    )
    # Whatever the strategy needs and the data does not have is said before anything is written.
    Replay(fed, Trader(start, strategy).fields)
    return Beginning(start=start, strategy=strategy, fed=fed)


def _require_same_set(passport: "Passport", set_hash: str, screen: "PaperScreen") -> None:
    """Compare a data set with the one on the board that the passport came from."""
    from engine.home import runs_folder
    from engine.session.start import require_same_set
    from scoreboards.finding import find

    try:
        found = find(passport.strategy_id, runs_folder(), passport.run_id)
    except InputError:
        screen.note(f"the scoreboard of run {passport.run_id} is gone: nothing says which bars it was")
        return
    require_same_set(passport, found.universe.content_hash, set_hash)


def _research_passport(order: Order) -> "Passport":
    """Return the passport of what nothing promoted: a bare strategy, or a row of a board."""
    from engine.strategy_files import load_strategy, strategy_names

    if order.strategy in strategy_names():
        from engine.cli.backtest import settings_for
        from research.passports import research_passport

        return research_passport(load_strategy(order.strategy), order.data, settings_for(order.data))

    from research.passports import rebuild, require_unchanged

    rebuilt = rebuild(_row(order.strategy).entry)
    require_unchanged(rebuilt)
    return rebuilt.passport


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

    explore = "to explore anyway, RESEARCH ONLY and with no path further: the same with --force-research"
    if name in strategy_names():
        raise RefusedError(
            f"{name} is a strategy; paper runs the id of a row that was promoted, such as {name}-1a2b3c4d\n"
            f"    {explore}",
            next_command="engine scoreboard",
        )

    from scoreboards.explain import short_reasons

    found = _row(name)
    verdict, why = found.row.text("verdict"), short_reasons(found.row.gates)
    last = f"last result  {found.board.run_id}  {verdict}  {why}".rstrip()
    asks = f"engine promote {name} --to {STAGE}"
    raise RefusedError(
        f"{name} was not promoted to {STAGE}\n    {last}\n    {explore}",
        next_command=asks if verdict == "PASS" else f"engine scoreboard --run {found.board.run_id}",
    )


def _row(name: str) -> "Found":
    """Return the row of a board.

    Raises
    ------
    InputError
        If there is none, naming what is near.
    """
    from difflib import get_close_matches

    from engine.home import runs_folder
    from engine.strategy_files import strategy_names
    from scoreboards.finding import board_files, find

    known = strategy_names()
    # The id of a row begins with a name, and a long name is near to its own ids: those are no slips.
    is_an_id = any(name.startswith(f"{strategy}-") for strategy in known)
    near = [] if is_an_id else get_close_matches(name, known, n=1)
    if board_files(runs_folder()) and not near:
        return find(name, runs_folder())
    hint = f"did you mean {near[0]!r}?" if near else f"strategies are {', '.join(known)}"
    raise InputError(f"no promoted id, no row of a scoreboard and no strategy is called {name!r}; {hint}")


# ---------------------------------------------------------------------------------------------- running


def _run(session: "Session", wish: _Wish) -> "Ending":
    from engine.session.session import QUIET_BARS, Ports, run

    waits_for_bars = wish.speed is not None or not session.start.feed.is_replay
    ports = Ports(
        feed=_feed(session, wish),
        watch=wish.screen.watch,
        is_stopping=lambda: bool(wish.stopped),
        quiet_bars=1 if waits_for_bars else QUIET_BARS,
    )
    return run(session, ports)


def _feed(session: "Session", wish: _Wish) -> "Feed":
    if session.start.feed.is_replay:
        from engine.session.feed import Replay

        return Replay(session.fed, session.trader.fields, wait=_Pace(wish.speed, wish.stopped).wait)

    from engine.cli.paper_feed import feed_of
    from engine.session.live_feed import StoppedError

    try:
        return feed_of(wish.line(), session)
    except StoppedError:
        raise typer.Exit(INTERRUPTED) from None


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
