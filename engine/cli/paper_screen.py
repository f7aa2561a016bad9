"""What a person sees of a paper session: checks, a banner, a line that lives, and what came of it.

Everything but the result goes to stderr. No rich here: a restart would wait for it.
"""

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from engine.domain.time import NANOSECONDS_PER_SECOND
from engine.journal.storage import LOG
from engine.session.session import Ending

if TYPE_CHECKING:
    from engine.session.session import Session
    from engine.session.trader import Worked

RESEARCH_ONLY = "RESEARCH ONLY"
_WIDTH = 98
_REDRAW_SECONDS = 0.1
_PLAIN_SECONDS = 5.0


class PaperScreen:
    """Follows one session.

    Parameters
    ----------
    is_silent
        A script reads the result, nobody watches.
    """

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent
        self._is_terminal = sys.stderr.isatty()
        self._bars = 0
        self._began = self._drawn = time.monotonic()

    def begin(self, session: "Session") -> None:
        """Show what was checked, and that it runs."""
        self._began = self._drawn = time.monotonic()
        if self._is_silent:
            return
        start = session.start
        passport, data = start.passport, start.data
        marks = _marks(session)
        origin = _day(start.origin_at)
        checks = {
            "passport": f"{passport.strategy_id}, core {passport.core_version} and strategy "
            f"{passport.graph_hash[:8]} are those of today",
            "account": f"simulated {passport.cash:,.2f}; no keys are loaded, no real money can move",
            "data": f"{data.name}: {start.rows:,} bars from {origin} on, hash {data.content_hash[:8]}",
            "warm-up": f"{start.start_row:,} bars before the account's first",
            "limits": _limits(passport.limits),
        }
        if session.is_resumed:
            checks["journal"] = (
                f"RESUMED at bar {session.trader.next_row:,}: all before it worked out the same"
            )
        for name, words in checks.items():
            _tell(f"  {typer.style('✓', fg='blue')} {typer.style(f'{name:<10}', bold=True)} {words}")
        edge = "━" * _WIDTH
        head = f"PAPER  {'resumed' if session.is_resumed else 'started'}  {session.session_id}"
        for line in (edge, f"  {head}{marks}", "  no real money can move in this mode; Ctrl-C is safe", edge):
            _tell(line)

    def watch(self, worked: "Worked") -> None:
        """Take note of a bar, and draw when it is time to."""
        self._bars += 1
        if self._is_silent:
            return
        now = time.monotonic()
        if now - self._drawn >= (_REDRAW_SECONDS if self._is_terminal else _PLAIN_SECONDS):
            self._draw(worked, now)

    def end(self, session: "Session", ending: Ending) -> None:
        """Print what came of it, on stdout."""
        if self._is_terminal and not self._is_silent:
            sys.stderr.write("\r\x1b[2K")
        document = self.document(session, ending)
        start_cash = session.start.passport.cash
        equity = document["equity"]
        name = f"{session.start.passport.strategy_id} on {session.start.data.name}"
        typer.echo(
            f"{typer.style(ending, bold=True)}  {name}: {start_cash:,.2f} became {equity:,.2f} "
            f"({equity / start_cash - 1.0:+.1%}){_marks(session)}"
        )
        why = {
            Ending.FINISHED: "the feed has no more bars",
            Ending.INTERRUPTED: "somebody asked it to stop; the same command goes on",
        }
        typer.echo(f"  why        {why[ending]}")
        typer.echo(f"  bars       {document['bars']:,} of the account's life")
        typer.echo(f"  trading    {document['orders']:,} orders, {document['fills']:,} fills")
        typer.echo(f"\n  next     engine parity --session {session.session_id}")
        typer.echo(f"           engine status --session {session.session_id}")
        typer.echo(f"  journal  {document['journal']}")

    def document(self, session: "Session", ending: Ending) -> dict[str, Any]:
        """Return what `--json` prints: a contract, stable from here on."""
        trader = session.trader
        cash, equity = trader.money()
        return {
            "session_id": session.session_id,
            "strategy_id": session.start.passport.strategy_id,
            "research_only": session.start.passport.research_only,
            "synthetic": session.start.data.synthetic,
            "resumed": session.is_resumed,
            "finished": ending is Ending.FINISHED,
            "bars": max(trader.next_row - session.start.start_row, 0),
            "orders": trader.counts.orders,
            "fills": trader.counts.fills,
            "intents": trader.counts.intents,
            "cash": cash,
            "equity": equity,
            "content_hash": session.journal.content_hash,
            "journal": str(session.folder / LOG),
        }

    def _draw(self, worked: "Worked", now: float) -> None:
        pushed = worked.pushed
        day = _day(worked.bar.opened_at)
        rate = self._bars / max(now - self._began, 1e-9)
        if pushed is None:
            line = f"  {day}  history"
        else:
            line = f"  {day}  equity {pushed.equity:>14,.2f}  exposure {_exposure(worked):>4.0%}"
        line += f"  {rate:>8,.0f} bars/s"
        self._drawn = now
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[2K{line}")
            sys.stderr.flush()
        else:
            _tell(line)


def _exposure(worked: "Worked") -> float:
    assert worked.pushed is not None
    equity = worked.pushed.equity
    return (equity - worked.pushed.cash) / equity if equity > 0 else 0.0


def _marks(session: "Session") -> str:
    marks = []
    if session.start.passport.research_only:
        marks.append(RESEARCH_ONLY)
    if session.start.data.synthetic:
        marks.append("SYNTHETIC DATA")
    return "".join(f"   {typer.style(mark, fg='yellow', bold=True)}" for mark in marks)


def _limits(limits: Any) -> str:
    return (
        f"exposure {limits['gross']:.0%}, one instrument {limits['instrument']:.0%}, "
        f"halt at a drawdown of {limits['halt_drawdown']:.0%}"
    )


def _day(nanoseconds: int) -> str:
    return f"{datetime.fromtimestamp(nanoseconds / NANOSECONDS_PER_SECOND, UTC):%Y-%m-%d}"


def _tell(line: str) -> None:
    typer.echo(line, err=True)
