"""`python -m benchmarks [--json FILE] [--pairs N] [--rows N] [WHAT ...]`: measure, print, write JSON."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import ceiling, cells, journal, peer, replay, stream
from benchmarks.checks import check
from benchmarks.measure import extra_memory_mb, measure_pairs, start_seconds
from benchmarks.workloads import WORKLOADS

PAIRS = {"W1": 9, "W2": 3, "W3": 9, "W5": 5}
TITLES = {
    "W1": "1,000,000 minutes, one instrument, SMA(20) over SMA(100), next open",
    "W2": "1,000 SMA pairs x 10,000 hours",
    "W3": "64 weight sets x 500 instruments x 2,520 days, new weights every 21, shared cash",
    "W5": "walk-forward: 20 folds of 2,000 hours x 100 SMA pairs, out of 10,000 hours",
}


def measure(name: str, pairs: int | None) -> dict[str, Any]:
    """Return everything that is known about one workload after it was measured."""
    workload = WORKLOADS[name]()
    engines = peer.available_engines(workload)
    times = measure_pairs(workload, engines, pairs or PAIRS[name])
    peers = {}
    for engine in engines:
        peers[engine] = asdict(times[engine]) | {"extra_memory_mb": extra_memory_mb(name, engine)}
        if peer.is_comparable(workload, engine):
            agreement = check(workload, engine)
            peers[engine]["equity_check"] = asdict(agreement) | {"agrees": agreement.agrees}
    checks = [found["equity_check"]["agrees"] for found in peers.values() if "equity_check" in found]
    timed = workload.run()
    return {
        "gauntlet": {"cpu_s": times["gauntlet"].cpu_s, "wall_s": times["gauntlet"].wall_s},
        "extra_memory_mb": extra_memory_mb(name, "gauntlet"),
        "peers": peers,
        "equity_check": all(checks),
        "final_equity_with_limits": float(timed.final_equity.sum()),
        "fills_with_limits": int(timed.fills.sum()),
    }


def show(name: str, result: dict[str, Any]) -> None:
    """Print one workload."""
    print(f"\n{name}  {TITLES[name]}")
    print(
        f"    {'engine':<20}{'CPU s':>10}{'wall s':>10}{'ratio':>9}{'no metrics':>12}{'+MB':>9}  same equity?"
    )
    ours = result["gauntlet"]
    print(
        f"    {'gauntlet':<20}{ours['cpu_s']:>10.4f}{ours['wall_s']:>10.4f}{'':>9}{'':>12}"
        f"{result['extra_memory_mb']:>9.1f}  limits on: {result['fills_with_limits']:,} fills, "
        f"{result['final_equity_with_limits']:,.2f} in all"
    )
    for engine, theirs in result["peers"].items():
        print(
            f"    {engine:<20}{theirs['cpu_s']:>10.4f}{theirs['wall_s']:>10.4f}{theirs['cpu_ratio']:>8.1f}x"
            f"{theirs['cpu_ratio_simulation']:>11.1f}x{theirs['extra_memory_mb']:>9.1f}  "
            f"{_agreement(theirs)}"
        )


def _agreement(theirs: dict[str, Any]) -> str:
    if "equity_check" not in theirs:
        return "not the same work: averages begin anew in each fold"
    agreement = theirs["equity_check"]
    return (
        f"{'yes' if agreement['agrees'] else 'NO'}: limits off, {agreement['accounts']:,} accounts, "
        f"largest difference {agreement['relative_difference']:.1e}"
    )


def measure_paper() -> dict[str, Any]:
    """Measure one account bar by bar, print it, and return the figures."""
    bar, kept, session = stream.measure_stream(), journal.measure_journal(), replay.measure_replay()
    stream.show(bar)
    replay.show(session)
    journal.show(kept)
    return {"bar": asdict(bar), "journal": asdict(kept), "replay": asdict(session)}


def measure_start() -> dict[str, Any]:
    """Measure how long a start takes, print it, and return the figures."""
    found = start_seconds()
    print(
        "\nstart  first result {cold_s:.1f} s ({cold_cpu_s:.1f} CPU s) without compiled kernels, "
        "{warm_s:.2f} s with them; engine --help {help_s:.2f} s".format(**found)
    )
    return found


def measure_ceilings() -> dict[str, Any]:
    """Measure bare loops of the same work, print them, and return the figures."""
    found, machine = ceiling.measure_ceilings(), ceiling.measure_machine()
    ceiling.show(found, machine)
    return {"machine": asdict(machine), "workloads": [asdict(one) for one in found]}


def measure_cells() -> dict[str, Any]:
    """Measure what a cell costs among few and among many, print it, and return the figures."""
    found = cells.measure_cells()
    cells.show(found)
    return asdict(found) | {"largest_to_smallest": found.largest_to_smallest}


def measure_peers() -> dict[str, Any]:
    """Measure W1 in engines of other environments, print it, and return the figures."""
    from benchmarks.peers import measure as others

    found = others.measure_peers()
    others.show(found)
    return {peer.name: asdict(peer) | {"agrees": peer.agrees} for peer in found}


def measure_superior() -> dict[str, Any]:
    """Measure the test of superior predictive ability beside arch, print it, and return the figures."""
    from benchmarks import superior

    found = superior.measure_superior()
    superior.show(found)
    return asdict(found)


def measure_data(rows: int | None = None) -> dict[str, Any]:
    """Measure minute bars in bulk, beside pandas or as many as asked for, print it, return the figures."""
    from benchmarks import data

    found = data.measure_data() if rows is None else data.measure_bound(rows)
    data.show(found)
    bounded = data.is_bounded(found)
    return {"bounded": bounded, "works": [asdict(one) | {"rows_per_s": one.rows_per_s} for one in found]}


OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    "W4": measure_paper,
    "cells": measure_cells,
    "ceiling": measure_ceilings,
    "peers": measure_peers,
    "superior": measure_superior,
    "data": measure_data,
    "start": measure_start,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 1 where an engine disagrees or memory is not bounded."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    choices = (*WORKLOADS, *OTHERS)
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"{', '.join(choices)}; all where none is named"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--pairs", type=int, help="interleaved pairs a workload")
    parser.add_argument("--rows", type=int, help="data: the memory that ours needs for so many bars")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.what) - set(choices):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(choices)}")
    results: dict[str, Any] = {}
    for name in asked.what or choices:
        if name in WORKLOADS:
            results[name] = measure(name, asked.pairs)
            show(name, results[name])
        elif name == "data":
            results[name] = measure_data(asked.rows)
        else:
            results[name] = OTHERS[name]()
    if results.keys() & WORKLOADS.keys():
        print(
            "\nCPU seconds of the process, medians. Ratio: median over interleaved pairs, our limits on.\n"
            "No metrics: without the peer's return, Sharpe and drawdown. Lean: signals by numpy, arrays in\n"
            "place of frames. In W3 the peer's seconds are those of one weight set times 64; all at once it\n"
            "needs 6 GB and is slower a set."
        )
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n", "utf-8")
    agreed = [results[name]["equity_check"] for name in results if name in WORKLOADS]
    agreed += [peer["agrees"] for peer in results.get("peers", {}).values()]
    if "data" in results:
        agreed.append(results["data"]["bounded"])
        agreed += [work["same"] is not False for work in results["data"]["works"]]
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main())
