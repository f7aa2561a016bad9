"""The study of the checker: `python -m scoreboards.control_run [--quick] [--workers N]`, or `make controls`.

Worlds without an edge must not be promoted, worlds with one must be found. Every world is kept as soon as it
is judged, so that a run that was interrupted goes on where it stopped. Exit 1 where a target is missed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engine.compiled import CORE_VERSION
from engine.domain.identity import content_hash
from engine.home import state_folder
from engine.workforce import THIS_PROCESS, LocalWorkers, Workforce
from research.control_bars import overfitted
from research.control_findings import EdgeGate, Finding, pooled_permutation
from research.control_play import SEED, Effort, play
from research.control_study import (
    BATTERY_SOURCES,
    EDGE_SOURCES,
    PACKAGED,
    WORDS,
    Family,
    Outcome,
    Point,
    Rate,
    Study,
    Target,
    World,
    frontier,
    present_sources,
    result_path,
    summarise,
)
from research.sources import sources_hash
from scoreboards.control_battery import permuted_bars, planted_recipe, random_entries
from scoreboards.control_figures import write_figures

# Families that only the statistics decide on: a change of any other gate leaves their worlds as they are.
_EDGE_ONLY = frozenset(Family) - {
    Family.RANDOM_ENTRIES,
    Family.PERMUTED_BARS,
    Family.OVERFITTED,
    Family.PLANTED_RECIPE,
}
# Worlds of one family whose permutations are one another.
_POOLED = (Family.RANDOM_ENTRIES, Family.PERMUTED_BARS)
_FROM_THE_CORE: Mapping[Family, Callable[[int, Effort], World]] = {
    Family.RANDOM_ENTRIES: random_entries,
    Family.PERMUTED_BARS: permuted_bars,
    Family.OVERFITTED: overfitted,
    Family.PLANTED_RECIPE: planted_recipe,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """So many worlds of one family and length, from number 0 on.

    Attributes
    ----------
    years
        0 for families that live on the data they have.
    lot
        How many are handed to a worker at a time.
    """

    family: Family
    years: int
    count: int
    lot: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run measures."""

    parts: tuple[Part, ...]
    effort: Effort
    quick: bool = False


def _plan(counts: Mapping[Family, Mapping[int, int]], effort: Effort, *, lot: int, quick: bool) -> Plan:
    parts = [
        Part(family=family, years=years, count=count, lot=1 if family is Family.OVERFITTED else lot)
        for family, lengths in counts.items()
        for years, count in lengths.items()
    ]
    return Plan(parts=tuple(parts), effort=effort, quick=quick)


# The dearest first, so that no worker is left with one of them at the end.
WHOLE = _plan(
    {
        Family.NOISE_1000: {20: 4000, 10: 400, 5: 400},
        Family.GRID_TREND: {20: 200, 10: 200, 5: 200},
        Family.OVERFITTED: {0: 20},
        Family.PLANTED_RECIPE: {0: 200},
        Family.RANDOM_ENTRIES: {0: 400},
        Family.PERMUTED_BARS: {0: 400},
        Family.NOISE_25: {30: 400, 20: 2000, 10: 400, 5: 400},
        Family.NOISE_25_WILD: {30: 400, 20: 2000, 10: 400, 5: 400},
        Family.LINE: {30: 400, 20: 400, 10: 400, 5: 400},
        Family.LINE_PERSISTENT: {20: 400, 10: 400, 5: 400},
        Family.GRID_RANDOM_WALK: {20: 400, 10: 400, 5: 400},
        Family.GRID_CLUSTERED: {20: 400, 10: 400, 5: 400},
        Family.GRID_DRIFT: {20: 400, 10: 400, 5: 400},
    },
    Effort(),
    lot=10,
    quick=False,
)
QUICK = _plan(
    {
        Family.NOISE_1000: {20: 16, 5: 16},
        Family.GRID_TREND: {20: 10},
        Family.PLANTED_RECIPE: {0: 4},
        Family.RANDOM_ENTRIES: {0: 16},
        Family.PERMUTED_BARS: {0: 16},
        Family.NOISE_25: {20: 100, 5: 100},
        Family.NOISE_25_WILD: {20: 50},
        Family.LINE: {20: 60, 5: 60},
        Family.LINE_PERSISTENT: {20: 40},
        Family.GRID_RANDOM_WALK: {20: 40, 5: 40},
        Family.GRID_CLUSTERED: {20: 40, 5: 40},
        Family.GRID_DRIFT: {20: 40, 5: 40},
    },
    Effort(bootstraps=199, permutations=99),
    lot=4,
    quick=True,
)

Progress = Callable[[int, int, str], None]


def run(
    plan: Plan,
    *,
    workforce: Workforce = THIS_PROCESS,
    kept: Path | None = None,
    progress: Progress | None = None,
) -> Study:
    """Play and judge all worlds of a plan.

    Parameters
    ----------
    workforce
        Who plays. No result depends on it.
    kept
        Folder of the worlds that were judged before, to which new ones are added.
    progress
        Called with the worlds done, all of them, and the family at work.
    """
    return study_of(plan, worlds_of(plan, workforce=workforce, kept=kept, progress=progress))


def worlds_of(
    plan: Plan,
    *,
    workforce: Workforce = THIS_PROCESS,
    kept: Path | None = None,
    progress: Progress | None = None,
) -> tuple[World, ...]:
    """Return the worlds of a plan, in its order."""
    families = {part.family for part in plan.parts}
    files = {} if kept is None else {family: _kept_file(kept, family, plan.effort) for family in families}
    done = {key: worlds for path in sorted(set(files.values())) for key, worlds in _read_kept(path).items()}
    missing = [
        (part.family, part.years, lot, plan.effort)
        for part in plan.parts
        for lot in _lots([n for n in range(part.count) if (part.family, part.years, n) not in done], part.lot)
    ]
    total = sum(part.count for part in plan.parts)
    count = total - sum(len(lot) for _, _, lot, _ in missing)
    for place, played in workforce.stream(_play_lot, missing):
        family, years, lot, _ = missing[place]
        for index in lot:
            done[family, years, index] = tuple(world for world in played if world.index == index)
        if kept is not None:
            _keep(files[family], played)
        count += len(lot)
        if progress is not None:
            progress(count, total, f"{family}")
    asked = [done[part.family, part.years, n] for part in plan.parts for n in range(part.count)]
    return _with_pooled_permutations([world for worlds in asked for world in worlds])


def study_of(plan: Plan, worlds: Sequence[World]) -> Study:
    """Count what was found."""
    return Study(
        quick=plan.quick,
        seed=SEED,
        core_version=CORE_VERSION,
        sources=present_sources(),
        bootstraps=plan.effort.bootstraps,
        permutations=plan.effort.permutations,
        points=summarise(worlds),
        frontier=frontier(worlds),
    )


def _play_lot(family: Family, years: int, lot: Sequence[int], effort: Effort) -> list[World]:
    if family in _FROM_THE_CORE:
        return [_FROM_THE_CORE[family](index, effort) for index in lot]
    return [world for index in lot for world in play(family, years, index, effort)]


def _lots(numbers: Sequence[int], size: int) -> Iterator[list[int]]:
    for first in range(0, len(numbers), size):
        yield list(numbers[first : first + size])


def _with_pooled_permutations(worlds: Sequence[World]) -> tuple[World, ...]:
    found = list(worlds)
    for family in _POOLED:
        places = [place for place, world in enumerate(found) if world.family is family]
        findings = [finding for place in places if (finding := found[place].finding) is not None]
        best = [finding.sharpe for finding in findings]
        for number, (place, finding) in enumerate(zip(places, findings, strict=True)):
            probability = pooled_permutation(best, number)
            found[place] = replace(found[place], finding=replace(finding, permutation=probability))
    return tuple(found)


# --- worlds on disk ---------------------------------------------------------------------------------------


def _kept_file(folder: Path, family: Family, effort: Effort) -> Path:
    """Return where the worlds of a family are kept: under the hash of all that they come from."""
    kind, sources = ("edge", EDGE_SOURCES) if family in _EDGE_ONLY else ("battery", BATTERY_SOURCES)
    inputs = {
        "kind": "control-worlds/1",
        "seed": SEED,
        "core": "" if family in _EDGE_ONLY else CORE_VERSION,
        "sources": sources_hash(*sources),
        "effort": effort,
    }
    return folder / f"{kind}-{content_hash(inputs)[:12]}.jsonl"


def _keep(path: Path, worlds: Iterable[World]) -> None:
    """Write a line for each number: all its edges are there, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers: dict[int, list[dict[str, Any]]] = {}
    for world in worlds:
        numbers.setdefault(world.index, []).append(asdict(world))
    lines = [json.dumps(edges, separators=(",", ":")) for edges in numbers.values()]
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def _read_kept(path: Path) -> dict[tuple[Family, int, int], tuple[World, ...]]:
    """Read what was judged before; a tail that was cut off by a crash is cut off for good."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    found = {}
    for line in data[:whole].splitlines():
        worlds = tuple(_world(record) for record in json.loads(line))
        found[worlds[0].family, worlds[0].years, worlds[0].index] = worlds
    return found


def _world(record: Mapping[str, Any]) -> World:
    finding = record["finding"]
    return World(
        family=Family(record["family"]),
        years=record["years"],
        index=record["index"],
        edge=record["edge"],
        finding=None if finding is None else Finding(**finding),
        battery=record["battery"],
        refused_by=tuple(record["refused_by"]),
    )


# --- words ------------------------------------------------------------------------------------------------


_HEAD = (
    f"{'world':<50}{'years':>6}{'edge':>6}{'worlds':>8}{'N_eff':>7}  {'promoted':<20}"
    f"{'spa':>6}{'dsr':>6}{'perm':>6}{'bound':>6}{'boot':>6}{'track':>6}"
)


def table(study: Study) -> str:
    """Return the figures as a table, the targets in words."""
    lines = [_HEAD, *(_row(point) for point in study.points)]
    lines += ["", "Targets (RULINGS D13), 95% intervals of Clopper and Pearson:"]
    marks = {Outcome.MET: "met", Outcome.OPEN: "OPEN", Outcome.MISSED: "MISSED"}
    for target in study.targets:
        sign = "at least" if target.is_power else "at most"
        lines.append(
            f"  {marks[target.outcome]:<7} {target.name}: {_measured(target)}, {sign} {target.limit:.0%}"
        )
    lines += ["", study.headline()]
    return "\n".join(lines)


def _measured(target: Target) -> str:
    return f"{target.measured.words()} of {target.measured.n:,}"


def _row(point: Point) -> str:
    edge = "known" if point.edge != point.edge else f"{point.edge:g}"
    shown = point.battery or point.promoted or Rate(n=0, k=0)
    cells = [point.gates.get(gate) for gate in EdgeGate]
    share = "".join(f"{100 * cell.rate:6.1f}" if cell is not None else f"{'·':>6}" for cell in cells)
    n_effective = f"{point.n_effective:7.1f}" if point.n_effective == point.n_effective else f"{'·':>7}"
    return (
        f"{WORDS[point.family]:<50}{point.years or '·':>6}{edge:>6}{shown.n:>8,}{n_effective}  "
        f"{shown.words():<20}{share}"
    )


def write(study: Study, path: Path) -> None:
    """Write a result; `control_study.read` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(study.document(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study; 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="make controls", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute instead of twenty, no claims")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--package", action="store_true", help="make the result the one that is shipped")
    given = parser.parse_args(arguments)
    plan = QUICK if given.quick else WHOLE
    began = time.monotonic()

    def tell(done: int, total: int, now: str) -> None:
        sys.stderr.write(f"\r{done:,} of {total:,} worlds, {time.monotonic() - began:.0f} s, {now:<30}")
        sys.stderr.flush()

    with LocalWorkers(given.workers) as workforce:
        study = run(plan, workforce=workforce, kept=state_folder() / "controls", progress=tell)
    sys.stderr.write("\n")
    for path in [result_path(), *([PACKAGED] if given.package else [])]:
        write(study, path)
    drawn = ", ".join(path.name for path in write_figures(study, result_path().parent))
    sys.stdout.write(f"{table(study)}\n\n{result_path()}; beside it {drawn}\n")
    return 1 if study.missed else 0


if __name__ == "__main__":
    sys.exit(main())
