"""`engine parity --row`: why another simulator makes something else of a row, fill by fill."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from engine.domain.errors import InputError

if TYPE_CHECKING:
    from research.parity_report import Finding, Market, ParityReport

_LARGEST = 10


class Verdict(Protocol):
    """Colours what was found."""

    def __call__(self, text: str, *, good: bool) -> str:
        """Return the text in its colour."""


def compare_row(
    strategy_id: str, *, run: str | None, against: str, csv: str | None, as_json: bool, verdict: Verdict
) -> bool:
    """Play a row again in both simulators and print how they differ; return whether all of it has a rule."""
    from engine.home import runs_folder
    from research.dissection import dissect
    from research.parity_play import Rival, compare
    from research.parity_report import as_document, write_csv
    from research.passports import rebuild, require_unchanged
    from scoreboards.finding import find

    rivals = {rival.value: rival for rival in Rival}
    if against not in rivals:
        raise InputError(f"--against must be one of {', '.join(rivals)}, was {against!r}")
    found = find(strategy_id, runs_folder(), run)
    rebuilt = rebuild(found.entry)
    require_unchanged(rebuilt)
    report, market = compare(dissect(rebuilt), rivals[against])
    if csv is not None:
        if not Path(csv).parent.is_dir():
            raise InputError(f"--csv {csv}: there is no folder {Path(csv).parent}")
        write_csv(Path(csv), report, market)
    largest = report.largest(_LARGEST)
    if as_json:
        document = as_document(report, market, largest) | {
            "strategy_id": strategy_id,
            "run_id": found.board.run_id,
            "csv": csv,
        }
        typer.echo(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False))
    else:
        show(strategy_id, report, market, largest, verdict)
        if csv is not None:
            typer.echo(f"path   {csv}")
    return report.agrees


def show(
    strategy_id: str, report: "ParityReport", market: "Market", largest: "list[Finding]", verdict: Verdict
) -> None:
    """Print a report."""
    from research.parity_report import NO_RULE, TOLERANCE, in_words

    said = "every difference has a rule" if report.agrees else "differences without a rule"
    typer.echo(
        f"{verdict('EXPLAINED' if report.agrees else 'NOT EXPLAINED', good=report.agrees)}   {strategy_id}: "
        f"{report.ours} against {report.theirs}: {said}"
    )
    ours, theirs = report.final_equity
    typer.echo(f"  final equity   {report.ours} {ours:,.2f}   {report.theirs} {theirs:,.2f}")
    typer.echo(
        f"  gap            {report.gap:+,.2f}, {report.gap / ours:+.4%} of equity; fills "
        f"{report.fills[0]:,} and {report.fills[1]:,}, {report.equal:,} equal to the last digit\n"
    )
    typer.echo(f"  {'class':<16}{'count':>8}{'money':>16}   meaning")
    for kind, (count, money) in report.classes.items():
        mark = "!" if kind in NO_RULE else " "
        typer.echo(f"{mark} {kind.name:<16}{count:>8,}{money:>+16,.4f}   {kind.value}")
    typer.echo(f"  {'residue':<16}{'':>8}{report.residue:>+16,.6f}   rounding that no class counts")
    typer.echo(f"  without a rule: {report.unexplained:.1e} of equity (allowed {TOLERANCE:.0e})\n")
    for finding in largest:
        typer.echo(f"  {in_words(finding, market, report.theirs)}")
