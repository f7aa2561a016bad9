"""What `engine data pull` and `engine data sync` share: the edge of the program, screen, documents."""

import os
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from engine.cli.data_documents import iso
from engine.cli.data_screen import Mark, print_lines, print_verdict
from engine.cli.progress import ScreenReporter
from engine.domain.errors import InputError
from engine.domain.time import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from engine.data.ingestion.outcome import Summary
    from engine.data.lake.corrections import Correction
    from engine.data.lake.lake import Lake
    from engine.data.providers.opening import Access
    from engine.data.series import SeriesKey

CORRECTIONS_SHOWN = 5
CORRECTIONS_IN_JSON = 1000

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class ScreenListener:
    """Shows on stderr how far a run is, with the time that is left."""

    def __init__(self, reporter: ScreenReporter) -> None:
        self._reporter = reporter

    def advanced(self, done: int, total: int, now: str) -> None:
        """Move the bar: intervals of all series that are done."""
        self._reporter.advance("bars", done, total, now)

    def failed(self, key: "SeriesKey", reason: str, *, again: bool) -> None:
        """Say that a series failed."""
        self._reporter.note(f"{key}: {reason}" + (" · tried again" if again else ""))


def screen_reporter() -> ScreenReporter:
    """Return a reporter that draws on stderr."""
    return ScreenReporter(Console(stderr=True))


def machine_access(provider: str, url: str | None) -> "Access":
    """Return access to providers by the clock, the environment and the keyring of this machine.

    Parameters
    ----------
    url
        Who is asked in the provider's place; None: itself.

    Raises
    ------
    InputError
        If the address is none.
    """
    from engine.data.providers.entitlements import machine_keyring
    from engine.data.providers.opening import Access
    from engine.data.providers.port import Surroundings

    if url is not None and not url.startswith(("http://", "https://")):
        raise InputError(f"--url: must be an address like http://127.0.0.1:8787, was {url!r}")
    return Access(
        surroundings=Surroundings(
            # The edge of the program: from here on time and chance are handed in.
            now=time.time_ns,  # noqa: TID251
            monotonic=time.monotonic,
            sleep=time.sleep,
            generator=np.random.default_rng(),
        ),
        environment=os.environ,
        keyring=machine_keyring,
        base_urls={} if url is None else {provider: url},
    )


def stamp_of(option: str, text: str) -> int:
    """Return a date or a time as UTC nanoseconds.

    Raises
    ------
    InputError
        If it is none, or none that a clock of nanoseconds has.
    """
    from datetime import UTC, datetime, timedelta

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{option}: must be a time like 2025-06-18 or 2025-06-18T12:30, which is UTC; was {text!r}"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    stamp = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000
    if not 0 <= stamp < 2**62:
        raise InputError(f"{option}: must be from 1970 to 2116, was {text}")
    return stamp


def duration_of(option: str, text: str) -> int:
    """Return a time like 30s, 10m or 1h in nanoseconds.

    Raises
    ------
    InputError
        If it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InputError(f"{option}: must be a time like 30s, 10m or 1h, was {text!r}")
    return int(found[1]) * _SECONDS[found[2]] * NANOSECONDS_PER_SECOND


def summary_document(summary: "Summary", corrections: "list[Correction]") -> dict[str, Any]:
    """Return what came of a run with stable keys."""
    return {
        "run": summary.run,
        "complete": not summary.failed,
        "counts": asdict(summary.counts),
        "series": [
            {
                "venue": outcome.key.venue,
                "instrument": outcome.key.instrument,
                "timeframe": outcome.key.timeframe,
                **asdict(outcome.counts),
                "failed": outcome.failed or None,
            }
            for outcome in summary.outcomes
        ],
        "corrections": [correction_document(line) for line in corrections[:CORRECTIONS_IN_JSON]],
        "corrections_total": len(corrections),
        "data_sets": [
            {
                "name": frozen.name,
                "version": frozen.version,
                "content_hash": frozen.content_hash,
                "bars": frozen.manifest.rows,
                "instruments": [instrument.symbol for instrument in frozen.instruments],
            }
            for frozen in summary.data_sets
        ],
    }


def corrections_of(summary: "Summary", lake: "Lake") -> "list[Correction]":
    """Return what a run corrected, in the order of its series."""
    return [
        line
        for outcome in summary.outcomes
        if outcome.counts.corrected or outcome.counts.late
        for line in lake.corrections(outcome.key)
        if line.run == summary.run
    ]


def print_summary(console: Console, what: str, summary: "Summary", corrections: "list[Correction]") -> None:
    """Print what came of a run: the verdict, the rows, what was corrected, what failed."""
    counts, failed = summary.counts, summary.failed
    number = len(summary.outcomes)
    verdict = f"{counts.new:,} new bars of {number:,} series"
    if failed:
        verdict += f", {len(failed):,} of them not to their end"
    print_verdict(console, Mark.REFUSED if failed else Mark.DONE, what, verdict)
    lines = [
        f"same         {counts.same:,} bars were known",
        f"late         {counts.late:,} bars came between bars that were known",
        f"corrected    {counts.corrected:,} bars had another value",
    ]
    if counts.forming or counts.future:
        lines.append(
            f"refused      {counts.forming:,} bars were not over, {counts.future:,} had not even begun"
        )
    if counts.differences:
        lines.append(f"differed     {counts.differences:,} values from those of the trades, which were taken")
    if counts.actions:
        lines.append(f"actions      {counts.actions:,} splits and dividends that were not known")
    lines.append(f"run          {summary.run}, {counts.replies:,} replies archived")
    print_lines(console, lines)
    _print_corrections(console, corrections)
    for outcome in failed:
        print_lines(console, [f"✕ {outcome.key}: {outcome.failed}"])
    for frozen in summary.data_sets:
        print_lines(
            console, ["", f"data set     {frozen.name}@{frozen.version}, {frozen.manifest.rows:,} bars"]
        )
        print_lines(console, [f"hash         {frozen.content_hash}"])


def _print_corrections(console: Console, corrections: "list[Correction]") -> None:
    if not corrections:
        return
    print_lines(console, ["", "corrections  bar, value, before, after"])
    for line in corrections[:CORRECTIONS_SHOWN]:
        before = "nothing" if np.isnan(line.old) else f"{line.old!r}"
        print_lines(console, [f"  {line.key} {iso(line.stamp)[:16]} {line.field}: {before}, {line.new!r}"])
    if len(corrections) > CORRECTIONS_SHOWN:
        print_lines(console, [f"  and {len(corrections) - CORRECTIONS_SHOWN:,} more: --json lists them"])


def correction_document(line: "Correction") -> dict[str, Any]:
    """Return one correction with stable keys and readable stamps."""
    return {
        "venue": line.key.venue,
        "instrument": line.key.instrument,
        "timeframe": line.key.timeframe,
        "opens": iso(line.stamp),
        "kind": line.kind.value,
        "field": line.field,
        "old": None if np.isnan(line.old) else line.old,
        "new": None if np.isnan(line.new) else line.new,
        "known_at": iso(line.known_at),
        "source": line.source,
    }
