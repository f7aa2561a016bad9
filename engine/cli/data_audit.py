"""`engine data audit`: what is wrong in data sets, how fresh they are, and whether to go on with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.data_documents import FINDINGS_IN_JSON, findings_documents, iso, print_json
from engine.cli.data_screen import Mark, make_console, print_findings, print_lines, print_verdict
from engine.data.audit.health import Mode
from engine.domain.errors import InputError
from engine.domain.venue import VenueClass

if TYPE_CHECKING:
    from engine.data.audit.health import Health
    from engine.data.audit.metadata import Coverage
    from engine.data.audit.report import Audit
    from engine.data.manifest import Manifest
    from engine.domain.panel import Panel

CHECK_SAID_NO = 1
_PLACES_KEPT = 1000


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What the command has to say.

    Attributes
    ----------
    rows
        Of the set's time axis, without the sealed ones.
    metadata
        How much of tick, lot and precision is known; None where no venue of the set tells them.
    failed
        Reasons to end with 1.
    """

    audit: "Audit"
    manifest: "Manifest"
    rows: int
    health: "tuple[Health, ...]"
    metadata: "Coverage | None"
    failed: list[str]
    page: Path | None


app = typer.Typer(rich_markup_mode=None, help="Check the bars of a data set again.")


@app.command("audit")
def audit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a data set, see: engine data list")],
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="Judge freshness too: raw fails for MISSING symbols only, selected for STALE ones as well."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --mode selected: gaps fail too (STRICT_HEALTH=1).")
    ] = False,
    venue: Annotated[
        VenueClass | None,
        typer.Option(help="How long a last bar is fresh. Not stated: the first class with that calendar."),
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Symbols that there have to be. Not stated: those of the set."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write the audit as one HTML file.")
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="UTC moment to judge freshness at, e.g. 2026-01-31T12:00. Now."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check the bars of a data set again, and say how fresh and whole it is.

    Exit 1 if bars have errors, if an instrument is INVALID_DATA, if a symbol's health is critical, or if too
    little is known of what the venue takes in orders.
    """
    from engine.data import catalogue
    from engine.data.audit import page as pages
    from engine.data.audit import report

    moment = _moment(now)
    wanted = _wanted(symbols)
    if mode is None and (wanted is not None or venue is not None or strict):
        raise InputError(
            "--symbols, --venue, --strict: are about health; state --mode raw or --mode selected"
        )
    manifest = catalogue.manifest(name)
    # Reading compares the bars with what was written: by the content hash, or by the hashes of files.
    audited = report.audit(
        catalogue.each_to_inspect(name),
        manifest.timeframe,
        manifest.calendar,
        name=name,
        now=moment,
        limit=_PLACES_KEPT,
        pictures=page is not None,
    )
    health: tuple[Health, ...] = ()
    if mode is not None:
        health = _health(catalogue.load_to_inspect(name), manifest, venue, wanted, moment)
    if page is not None:
        from engine.data.whole import write_whole

        sealed = f"The last {manifest.holdout_rows:,} bars are sealed and were not looked at."
        notes = (sealed,) if manifest.holdout_rows else ()
        write_whole(page, pages.render(audited, made=moment, health=health, notes=notes))
    metadata = _metadata(name)
    failed = _reasons(audited, manifest, health, mode, strict=strict)
    if metadata is not None and not metadata.is_enough:
        failed.append(f"{metadata}; ask the venue with: engine data sync")
    outcome = _Outcome(
        audit=audited,
        manifest=manifest,
        rows=manifest.rows - manifest.holdout_rows,
        health=health,
        metadata=metadata,
        failed=failed,
        page=page,
    )
    if as_json:
        print_json(_document(outcome))
    else:
        _print(outcome)
    if outcome.failed:
        raise typer.Exit(CHECK_SAID_NO)


def _moment(stated: str | None) -> int:
    import time

    from engine.cli.data_ingestion import stamp_of

    if stated is None:
        return time.time_ns()  # noqa: TID251  # how old data is can only be said of a moment
    return stamp_of("--now", stated)


def _wanted(listed: str | None) -> tuple[str, ...] | None:
    """Return the symbols that were named, None where none were asked for."""
    if listed is None:
        return None
    wanted = tuple(symbol.strip() for symbol in listed.split(",") if symbol.strip())
    if not wanted:
        # A check of nothing would always say yes.
        raise InputError(f"--symbols: name at least one, as BTC/USD,ETH/USD; was {listed!r}")
    return wanted


def _health(
    panel: "Panel", manifest: "Manifest", venue: VenueClass | None, symbols: tuple[str, ...] | None, now: int
) -> "tuple[Health, ...]":
    import numpy as np

    from engine.data.audit.health import Health, Status, judge

    chosen = venue or next(each for each in VenueClass if each.calendar is panel.calendar)
    wanted = panel.symbols if symbols is None else symbols
    elsewhere = _instruments_of_the_lake() if set(wanted) - set(panel.symbols) else frozenset()
    found = []
    for symbol in wanted:
        if symbol not in panel.symbols:
            status = Status.DROPPED if symbol in elsewhere else Status.MISSING
            found.append(Health(symbol=symbol, status=status, last=None, missing_days=0))
            continue
        stamps = panel.timestamps[np.isfinite(panel.close[:, panel.symbols.index(symbol)])]
        # Whoever trades up to the hold-out is taken to trade in it: its bars are not read for this.
        reaches = len(stamps) > 0 and panel.timestamps[-1] - stamps[-1] <= chosen.fresh_hours * 3600 * 10**9
        found.append(
            judge(
                symbol,
                stamps,
                timeframe=panel.timeframe,
                calendar=panel.calendar,
                venue=chosen,
                now=now,
                last=manifest.last if reaches else None,
            )
        )
    return tuple(found)


def _metadata(name: str) -> "Coverage | None":
    from engine.data import catalogue

    base, version = catalogue.parsed(name)
    if base not in catalogue.lake_names():
        return None
    from engine.data.ingestion.known_rules import rules_coverage

    lake = catalogue.lake()
    return rules_coverage(lake, lake.version(base, version))


def _instruments_of_the_lake() -> frozenset[str]:
    """Return symbols that have bars, in whatever data set: one that a set lacks was dropped from it."""
    from engine.data import catalogue
    from engine.home import state_folder

    # The lake brings its libraries along: who has none does without them.
    if not (state_folder() / "lake").is_dir():
        return frozenset()
    return frozenset(key.instrument for key in catalogue.lake().series())


def _reasons(
    audited: "Audit",
    manifest: "Manifest",
    health: "tuple[Health, ...]",
    mode: Mode | None,
    *,
    strict: bool,
) -> list[str]:
    errors = sum(count for kind, count in audited.counts.items() if kind.is_error)
    reasons = [f"{errors:,} errors"] if errors else []
    reasons += [f"{symbol} is INVALID_DATA" for symbol in audited.invalid]
    reasons += [
        f"{symbol} is INVALID_DATA with its sealed bars: {manifest.quality.scores[symbol]:.3f}"
        for symbol in manifest.quality.invalid
        if symbol not in audited.invalid
    ]
    if mode is not None:
        reasons += [
            f"{entry.symbol} is {entry.status.value}"
            for entry in health
            if entry.is_critical(mode, strict=strict)
        ]
    return reasons


def _document(outcome: _Outcome) -> dict[str, Any]:
    from engine.data.findings import capped

    audited, manifest = outcome.audit, outcome.manifest
    counts = audited.counts
    return {
        "name": audited.name,
        "content_hash": manifest.content_hash,
        "rows_checked": outcome.rows,
        "sealed_rows": manifest.holdout_rows,
        "errors": {kind.value: count for kind, count in counts.items() if kind.is_error},
        "warnings": {kind.value: count for kind, count in counts.items() if not kind.is_error},
        "score": audited.score,
        "scores": {entry.symbol: entry.score.value for entry in audited.instruments},
        "invalid": list(audited.invalid),
        "health": [
            {
                "symbol": entry.symbol,
                "status": entry.status.value,
                "last": None if entry.last is None else iso(entry.last),
                "missing_days": entry.missing_days,
            }
            for entry in outcome.health
        ],
        "metadata": None if outcome.metadata is None else dict(outcome.metadata.shares),
        "failed": outcome.failed,
        "page": None if outcome.page is None else str(outcome.page),
        "findings": findings_documents(capped(audited.findings(), FINDINGS_IN_JSON)),
        "import_warnings": dict(manifest.warning_counts),
    }


def _print(outcome: _Outcome) -> None:
    audited, manifest = outcome.audit, outcome.manifest
    console = make_console()
    counts = audited.counts
    errors = sum(count for kind, count in counts.items() if kind.is_error)
    warnings = sum(counts.values()) - errors
    found = f"{errors:,} errors, " if errors else "no errors, "
    mark = Mark.REFUSED if outcome.failed else Mark.DONE
    print_verdict(console, mark, audited.name, f"{found}{warnings:,} warnings in {audited.rows:,} bars")
    print_lines(console, [f"hash         {manifest.content_hash} (bars agree)"])
    stored = sum(manifest.warning_counts.values())
    judged = f", judged at the import: {stored:,} warnings in the whole set" if stored else ""
    print_lines(console, [f"sealed       {manifest.holdout_rows:,} bars{judged}"])
    lowest = min(audited.instruments, key=lambda entry: entry.score.value)
    print_lines(
        console, [f"score        {audited.score:.3f}, lowest {lowest.symbol} {lowest.score.value:.3f}"]
    )
    if outcome.health:
        print_lines(console, [f"health       {line}" for line in _health_lines(outcome.health)])
    if outcome.metadata is not None and outcome.metadata.is_enough:
        known = ", ".join(f"{field} {share:.0%}" for field, share in outcome.metadata.shares.items())
        print_lines(console, [f"metadata     {known} of the instruments"])
    print_lines(console, [f"failed       {reason}" for reason in outcome.failed])
    findings = audited.findings()
    print_findings(console, "errors", [entry for entry in findings if entry.kind.is_error], None)
    print_findings(console, "looks wrong", [entry for entry in findings if not entry.kind.is_error], None)
    if outcome.page is None:
        print_lines(console, ["", f"next   engine data audit {audited.name} --page audit.html"])
    else:
        print_lines(console, ["", f"path   {outcome.page}"])


def _health_lines(health: "tuple[Health, ...]") -> list[str]:
    statuses = dict.fromkeys(entry.status for entry in health)
    lines = []
    for status in statuses:
        symbols = [entry.symbol for entry in health if entry.status is status]
        names = ", ".join(symbols[:6]) + (f" and {len(symbols) - 6} more" if len(symbols) > 6 else "")
        lines.append(f"{len(symbols)} {status.value}: {names}")
    return lines
