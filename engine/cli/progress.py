"""Long work on a screen: finished steps with their seconds, and a bar with the time that is left.

Everything goes to stderr, so that stdout holds the result alone. Where stderr is no terminal, plain lines.
"""

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

_NAME_WIDTH = 12
_WORDS_WIDTH = 96
# Without a terminal, a line each time so much more of a piece of work is done.
_PLAIN_SHARE = 0.25


class ScreenReporter:
    """Shows what a tournament reports; a context manager. Calls may come from several threads."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._step_began = time.perf_counter()
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn(f"  {{task.description:<{_NAME_WIDTH}}}"),
                BarColumn(bar_width=34, complete_style="blue", finished_style="blue"),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                TextColumn("[dim]{task.fields[now]}"),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def step(self, name: str, words: str, *, well: bool = True) -> None:
        """Say that a step is done and what came of it, with the seconds since the step before."""
        with self._lock:
            now = time.perf_counter()
            seconds, self._step_began = now - self._step_began, now
            mark = ("✓", "blue") if well else ("✕", "bold red")
            line = Text.assemble(
                "  ", mark, " ", (f"{name:<{_NAME_WIDTH}}", "bold"), f"{words:<{_WORDS_WIDTH}}"
            )
            line.append(f" {seconds:7.1f} s", style="dim")
            self._console.print(line, highlight=False, soft_wrap=True)

    def note(self, words: str) -> None:
        """Say something that is not a step."""
        with self._lock:
            self._console.print(Text(f"    {words}", style="dim"), highlight=False, soft_wrap=True)

    def advance(self, work: str, done: int, total: int, now: str = "") -> None:
        """Say how much of a piece of work is done."""
        with self._lock:
            if self._bars is None:
                self._advance_plainly(work, done, total, now)
            elif work in self._tasks:
                # What is over is told by its step line.
                task, left = self._tasks[work], done < total
                self._bars.update(task, completed=done, total=total, now=now, visible=left)
            else:
                self._tasks[work] = self._bars.add_task(work, completed=done, total=total, now=now)

    def _advance_plainly(self, work: str, done: int, total: int, now: str) -> None:
        share = done / total if total else 1.0
        if share < 1.0 and share - self._told.get(work, -1.0) < _PLAIN_SHARE:
            return
        if share == 1.0 and self._told.get(work) == 1.0:
            return
        self._told[work] = share
        self._console.print(f"    {work} {done}/{total} {now}".rstrip(), highlight=False, soft_wrap=True)
