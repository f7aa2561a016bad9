"""What a person sees of a paper session: checks, a banner, a line that lives, and what came of it.

Everything but the result goes to stderr. No rich here: a restart would wait for it.
"""

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from engine.domain.panel import Adjustment
from engine.domain.passport import PlanKind
from engine.domain.time import NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND
from engine.journal.storage import LOG
from engine.session.session import Ending

if TYPE_CHECKING:
    from engine.session.live_feed import Hindrance
    from engine.session.session import Session
    from engine.session.start import SessionStart
    from engine.session.trader import Worked

RESEARCH_ONLY = "RESEARCH ONLY"
SYNTHETIC = "SYNTHETIC DATA"
_WIDTH = 98
_DIGITS = 8
_REDRAW_SECONDS = 0.1
_PLAIN_SECONDS = 5.0
_CLEAR_LINE = "\r\x1b[2K"
_WHY = {
    Ending.FINISHED: "the feed has no more bars",
    Ending.INTERRUPTED: "somebody asked it to stop; nothing is lost",
}


class PaperScreen:
    """Follows one session.

    Parameters
    ----------
    is_silent
        A script reads the result, nobody watches.
    url
        Where the exchange listens, if that was said: the command that goes on has to say it again.
    """

    def __init__(self, *, is_silent: bool, url: str | None) -> None:
        self._is_silent = is_silent
        self._url = url
        self._is_terminal = sys.stderr.isatty()
        self._bars = 0
        self._notes: list[str] = []
        self._session: Session | None = None
        self._began = self._drawn = self._hindered_at = time.monotonic()

    def note(self, words: str) -> None:
        """Keep something to be shown beside the checks."""
        self._notes.append(words)

    def begin(self, session: "Session") -> None:
        """Show what was checked, and that it runs."""
        self._session = session
        if self._is_silent:
            return
        for name, words in _checks(session).items():
            _tell(f"  {typer.style('✓', fg='blue')} {typer.style(f'{name:<10}', bold=True)} {words}")
        for words in self._notes:
            _tell(f"  {typer.style('!', fg='yellow')} {'':<10} {words}")
        state = "goes on" if session.is_resumed else "begins"
        _tell("")
        _tell("┏" + "━" * _WIDTH + "┓")
        _tell(_boxed(f"PAPER {state}  {session.session_id}", bold=True))
        if marks := _marks(session.start):
            _tell(_boxed("   ".join(marks), bold=True, colour="yellow"))
        _tell(_boxed("No real money can move in this mode. Ctrl-C is safe: the same command goes on."))
        _tell("┗" + "━" * _WIDTH + "┛")

    def watch(self, worked: "Worked") -> None:
        """Take note of a bar, and draw when it is time to."""
        if self._is_silent:
            return
        now = time.monotonic()
        if self._bars == 0:
            # The kernels are loaded with the first bar, which says nothing of the speed.
            self._began = self._drawn = now
        self._bars += 1
        if now - self._drawn >= (_REDRAW_SECONDS if self._is_terminal else _PLAIN_SECONDS):
            self._draw(worked, now)

    def hindered(self, hindrance: "Hindrance", words: str) -> None:
        """Say why there is no bar."""
        self._hindered_at = time.monotonic()
        self._say(f"  {typer.style('!', fg='yellow')} {hindrance}  {words}; waiting")

    def unhindered(self) -> None:
        """Say that bars come again."""
        waited = time.monotonic() - self._hindered_at
        self._say(f"  {typer.style('✓', fg='blue')} goes on after {waited:,.0f} s")

    def end(self, session: "Session", ending: Ending) -> None:
        """Print what came of it, on stdout."""
        if self._is_terminal and not self._is_silent:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
        said = self.document(session, ending)
        start, cash = session.start, session.start.passport.cash
        marks = "".join(f"   {typer.style(mark, fg='yellow', bold=True)}" for mark in _marks(start))
        typer.echo(
            f"{typer.style(ending, bold=True)}  {start.passport.strategy_id} on {start.data.name}: "
            f"{cash:,.2f} became {said['equity']:,.2f} ({said['equity'] / cash - 1.0:+.1%}){marks}"
        )
        for label, words in (
            ("why", _WHY[ending]),
            ("bars", f"{said['bars']:,}{_of_rows(start, -start.start_row)} in the account's life"),
            ("trading", f"{said['orders']:,} orders, {said['fills']:,} fills"),
            ("facts", f"{said['content_hash'][:16]}, the hash of all that was known, decided and done"),
        ):
            typer.echo(f"  {label:<9} {words}")
        option = f"--session {session.session_id}"
        first, second = f"engine parity {option}", f"engine status {option}"
        if ending is Ending.INTERRUPTED:
            url = "" if self._url is None else f" --url {self._url}"
            first, second = f"engine paper {option}{url}", first
        typer.echo(f"\n  next      {first}\n            {second}\n  journal   {said['journal']}")

    def document(self, session: "Session", ending: Ending) -> dict[str, Any]:
        """Return what `--json` prints: a contract, stable from here on."""
        trader, start = session.trader, session.start
        cash, equity = trader.money()
        return {
            "session_id": session.session_id,
            "strategy_id": start.passport.strategy_id,
            "data": start.data.name,
            "research_only": start.passport.research_only,
            "synthetic": start.data.synthetic,
            "resumed": session.is_resumed,
            "finished": ending is Ending.FINISHED,
            "bars": max(trader.next_row - start.start_row, 0),
            "intents": trader.counts.intents,
            "orders": trader.counts.orders,
            "fills": trader.counts.fills,
            "cash": cash,
            "equity": equity,
            "content_hash": session.journal.content_hash,
            "journal": str(session.folder / LOG),
        }

    def _say(self, line: str) -> None:
        if self._is_silent:
            return
        if self._is_terminal:
            sys.stderr.write(_CLEAR_LINE)
        _tell(line)

    def _draw(self, worked: "Worked", now: float) -> None:
        assert self._session is not None, "begun before the first bar"
        counts = self._session.trader.counts
        rate = (self._bars - 1) / max(now - self._began, 1e-9)
        pushed, opened = worked.pushed, _instant(worked.bar.opened_at)
        said = "history, before the account's first bar"
        if pushed is not None:
            invested = (pushed.equity - pushed.cash) / pushed.equity if pushed.equity > 0 else 0.0
            said = (
                f"equity {pushed.equity:,.2f}   exposure {invested:.0%}   {counts.orders:,} orders   "
                f"{counts.fills:,} fills"
            )
        self._drawn = now
        line = f"  bar opened {opened}   {said}   {rate:,.0f} bars/s"
        if self._is_terminal:
            sys.stderr.write(f"{_CLEAR_LINE}{line[:_WIDTH]}")
            sys.stderr.flush()
        else:
            _tell(line)


def _checks(session: "Session") -> dict[str, str]:
    """Return what was found good before the first bar, by name."""
    start = session.start
    passport, data, limits = start.passport, start.data, start.passport.limits
    promoted = "promoted to paper" if passport.run_id else "not promoted"
    checks = {
        "passport": f"{passport.strategy_id}, {promoted}; strategy {passport.graph_hash[:_DIGITS]} and core "
        f"{passport.core_version[:_DIGITS]} are those of today",
        "account": f"simulated {passport.cash:,.2f}; no exchange keys are loaded in paper mode",
        "data": f"{data.name}, {_data_words(start)}",
        "warm-up": _warm_up_words(start),
        "limits": _limit_words(limits),
    }
    if session.is_resumed:
        checks["journal"] = (
            f"goes on at bar {session.trader.next_row:,}{_of_rows(start)}; what it held, ordered and paid "
            "worked out the same"
        )
    return checks


def _data_words(start: "SessionStart") -> str:
    data = start.data
    rows = start.start_row if start.rows is None else start.rows
    words = f"{rows:,} bars from {_instant(start.origin_at)} on, hash {data.content_hash[:_DIGITS]}"
    if not start.feed.is_replay:
        words += f"; then those of the {start.feed}, each when it is final"
    if data.adjustment is not Adjustment.NONE:
        words += f"; prices adjusted ({data.adjustment}), so only a replay"
    return words


def _of_rows(start: "SessionStart", more: int = 0) -> str:
    return "" if start.rows is None else f" of {start.rows + more:,}"


def _warm_up_words(start: "SessionStart") -> str:
    plan = start.passport.plan
    weights = "equal weight of what is listed"
    if plan.kind is PlanKind.WALK_FORWARD:
        weights = f"{plan.engine}/{plan.profile} over {plan.selection}, anew every {plan.step} bars"
    return f"{start.start_row:,} bars of history before the account's first; base weights: {weights}"


def _limit_words(limits: Mapping[str, float]) -> str:
    return (
        f"exposure {limits['gross']:.0%}, one instrument {limits['instrument']:.0%}, flat at a drawdown of "
        f"{limits['halt_drawdown']:.0%}"
    )


def _marks(start: "SessionStart") -> list[str]:
    """Return what must not be overlooked, in capitals."""
    marks = [RESEARCH_ONLY] if start.passport.research_only else []
    return [*marks, SYNTHETIC] if start.data.synthetic else marks


def _boxed(words: str, *, bold: bool = False, colour: str | None = None) -> str:
    return f"┃ {typer.style(f'{words:<{_WIDTH - 2}}', bold=bold, fg=colour)} ┃"


def _instant(nanoseconds: int) -> str:
    """Return when a bar opened, UTC; without the hours where every bar opens at midnight."""
    form = "%Y-%m-%d" if nanoseconds % NANOSECONDS_PER_DAY == 0 else "%Y-%m-%d %H:%M"
    return f"{datetime.fromtimestamp(nanoseconds // NANOSECONDS_PER_SECOND, UTC):{form}}"


def _tell(line: str) -> None:
    typer.echo(line, err=True)
