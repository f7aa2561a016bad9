"""Pulls that are killed again and again, from an exchange that fails in every way: is anything lost?

`python -m tests.ingestion_soak [--symbols 30] [--days 7] [--kills 20] [--seed N]`. A sandbox serves so many
symbols, hourly and by the minute. One pull meets no fault and nobody touches it. Another one meets all faults
at random and is killed (`kill -9`) so many times, at random numbers of files of its lake and after random
times; one that ends before the last kill is followed by another. Both data sets must have the same hash, all
series the same bytes, the lake must verify and corrections must be listed. Exit 1 if anything differs.

Time runs a hundred times as fast for whoever waits, so that the rate of the exchange is kept and not felt.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.data.ingestion.pull import PullRequest, pull
from engine.data.lake.lake import Lake
from engine.data.providers.entitlements import no_keyring
from engine.data.providers.opening import Access
from engine.data.providers.port import Surroundings
from engine.data.series import BAR_VALUES, SeriesKey
from engine.domain.time import NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND, Timeframe
from engine.sandbox.background import in_background
from engine.sandbox.clock import Clock
from engine.sandbox.faults import plan_of_text
from engine.sandbox.market import Market
from engine.sandbox.server import SandboxServer
from tests.ingestions import Heard
from tests.sandboxes import NOON, simulated_market

ROOT = Path(__file__).parents[1]
TIMEFRAMES = (Timeframe.HOUR_1, Timeframe.MINUTE_1)
FAULTS = "random,latency=0.02,revised=0.8,late=0.3"

# The last minute of it is final when the exchange opens, and young enough to be reported wrongly.
STOP = NOON - 90 * NANOSECONDS_PER_SECOND
_HASTE = 100
_RUN_SECONDS_MAX = 1_800
# Of all kills, those after a time instead of at a number of files: they meet a pull that is still starting.
_BY_TIME = 0.25


@dataclass(kw_only=True)
class Found:
    """What a soak found.

    Attributes
    ----------
    differences
        What is not as it must be, in words; empty if nothing is wrong.
    runs
        Pulls that were started and met faults.
    dealt
        Faults by how often they were dealt.
    """

    symbols: int
    days: float
    bars: int = 0
    replies_clean: int = 0
    replies: int = 0
    kills: int = 0
    runs: int = 0
    late: int = 0
    revised: int = 0
    seconds_clean: float = 0.0
    seconds: float = 0.0
    hashes: tuple[str, ...] = ()
    dealt: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return it for a reader."""
        faults = ", ".join(f"{name} {count:,}" for name, count in sorted(self.dealt.items()))
        return [
            f"{self.symbols} symbols, {self.days:g} days, 1h and 1m: {self.bars:,} bars",
            f"undisturbed   {self.replies_clean:,} replies archived, {self.seconds_clean:.0f} s",
            f"disturbed     {self.replies:,} replies archived, {self.seconds:.0f} s",
            f"              {self.runs} runs, {self.kills} kill -9",
            f"faults        {faults}",
            f"corrections   {self.late:,} bars came late, {self.revised:,} bars were revised",
            *(f"hash          {each}" for each in self.hashes),
            *(f"✕ {difference}" for difference in self.differences),
            "✕ not the same" if self.differences else "✓ the same data sets; nothing lost, nothing doubled",
        ]


def soak(
    folder: Path, market: Market, *, symbols: tuple[str, ...], days: float, kills: int, seed: int
) -> Found:
    """Pull undisturbed and disturbed into two lakes below a folder, and compare them."""
    found = Found(symbols=len(symbols), days=days)
    calm, rough = folder / "calm", folder / "rough"
    began = time.perf_counter()
    opened = time.monotonic_ns()
    with in_background(_server(market, "none", seed)) as running:
        _finish(_started(running.url, calm, symbols, days, seed, opened))
    found.seconds_clean = time.perf_counter() - began
    found.replies_clean = _replies(calm)
    began = time.perf_counter()
    with in_background(_server(market, FAULTS, seed)) as running:
        _disturb(found, running.url, rough, symbols, days, kills, seed)
        found.dealt = running.change(
            lambda server: Counter({fault.value: n for fault, n in server.exchange.faults.dealt.items()})
        )
    found.seconds = time.perf_counter() - began
    found.replies = _replies(rough)
    _compare(found, Lake(_lake(calm)), Lake(_lake(rough)))
    return found


def _server(market: Market, faults: str, seed: int) -> SandboxServer:
    clock = Clock(start=NOON, speed=1, wall=time.monotonic_ns)
    return SandboxServer(market, clock, faults=plan_of_text(faults), seed=seed)


def _disturb(
    found: Found, url: str, home: Path, symbols: tuple[str, ...], days: float, kills: int, seed: int
) -> None:
    """Kill one pull after the other, then let one come to its end."""
    opened = time.monotonic_ns()
    draw = np.random.default_rng(seed)
    # Spread over the work of one pull, some of which is done again after each kill.
    usual = max(2, found.replies_clean // max(1, kills))
    while found.kills < kills:
        process = _started(url, home, symbols, days, seed + found.runs, opened)
        found.runs += 1
        wait = float(draw.uniform(0.2, 4.0)) if draw.random() < _BY_TIME else float("inf")
        more, before = 1 + int(draw.integers(2 * usual)), _files(home)
        began = time.monotonic()
        while process.poll() is None and time.monotonic() - began < wait and _files(home) - before < more:
            time.sleep(0.005)
        if process.poll() is None:
            process.kill()
            process.communicate()
            found.kills += 1
        else:
            _finish(process)
    found.runs += 1
    _finish(_started(url, home, symbols, days, seed + found.runs, opened))


def _compare(found: Found, calm: Lake, rough: Lake) -> None:
    for timeframe in TIMEFRAMES:
        name = f"soak-{timeframe.value}"
        one, other = calm.version(name), rough.version(name)
        found.hashes += (one.content_hash,)
        if one.content_hash != other.content_hash:
            found.differences.append(f"{name}: {one.content_hash} is {other.content_hash}")
    if calm.series() != rough.series():
        found.differences.append(f"series: {calm.series()} are {rough.series()}")
    for key in calm.series():
        found.differences += _different(key, calm, rough)
        found.bars += len(calm.read(key))
        corrections = rough.corrections(key)
        found.late += len({line.stamp for line in corrections if line.kind == "late"})
        found.revised += len({line.stamp for line in corrections if line.kind == "revised"})
        if calm.corrections(key):
            found.differences.append(f"{key}: corrected where nothing was wrong")
    found.differences += [f"{name}: {each}" for name, lake in _named(calm, rough) for each in lake.verify()]
    if not found.late or not found.revised:
        found.differences.append("no corrections are listed, though bars were served wrong and late")


def _different(key: SeriesKey, calm: Lake, rough: Lake) -> list[str]:
    one, other = calm.read(key), rough.read(key)
    lost = np.setdiff1d(one.stamps, other.stamps)
    more = np.setdiff1d(other.stamps, one.stamps)
    if len(lost) or len(more):
        return [f"{key}: {len(lost)} bars lost, {len(more)} too many"]
    return [
        f"{key}: {name} differs in {int((getattr(one, name) != getattr(other, name)).sum())} bars"
        for name in BAR_VALUES
        if getattr(one, name).tobytes() != getattr(other, name).tobytes()
    ]


def _named(calm: Lake, rough: Lake) -> list[tuple[str, Lake]]:
    return [("undisturbed", calm), ("disturbed", rough)]


def _lake(home: Path) -> Path:
    return home / "state" / "lake"


def _files(home: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(_lake(home)))


def _replies(home: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(_lake(home) / "raw"))


# --- the process that is killed ----------------------------------------------------------------------------


def _started(
    url: str, home: Path, symbols: tuple[str, ...], days: float, seed: int, opened: int
) -> "subprocess.Popen[str]":
    # The clock of the sandbox stood at NOON when it was opened; both count on the clock of the machine.
    arguments = [url, str(seed), str(days), ",".join(symbols), str(NOON - opened)]
    home.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ingestion_soak", "--work", *arguments],
        cwd=ROOT,
        env=os.environ | {"GAUNTLET_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process: "subprocess.Popen[str]") -> None:
    said, _ = process.communicate(timeout=_RUN_SECONDS_MAX)
    if process.returncode != 0:
        raise AssertionError(f"a pull ended with {process.returncode}: {said[-3000:]}")


def work(url: str, seed: int, days: float, symbols: tuple[str, ...], offset: int) -> int:
    """Pull; return 0 if every series came to its end."""
    surroundings = Surroundings(
        now=lambda: time.monotonic_ns() + offset,
        monotonic=lambda: time.monotonic() * _HASTE,
        sleep=lambda seconds: time.sleep(seconds / _HASTE),
        generator=np.random.default_rng(seed),
    )
    access = Access(surroundings=surroundings, environment={}, keyring=no_keyring, base_urls={"kraken": url})
    begins = STOP - STOP % NANOSECONDS_PER_DAY - round(days * NANOSECONDS_PER_DAY)
    request = PullRequest(
        name="soak", provider="kraken", symbols=symbols, timeframes=TIMEFRAMES, start=begins, stop=STOP
    )
    summary = pull(
        request, lake=Lake(_lake(Path(os.environ["GAUNTLET_HOME"]))), access=access, listener=Heard()
    )
    for outcome in summary.failed:
        sys.stdout.write(f"{outcome.key}: {outcome.failed}\n")
    return 1 if summary.failed else 0


def main() -> int:
    """Run the soak of the arguments and say what it found."""
    if sys.argv[1:2] == ["--work"]:
        url, seed, days, listed, offset = sys.argv[2:]
        return work(url, int(seed), float(days), tuple(listed.split(",")), int(offset))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--symbols", type=int, default=30)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    market = simulated_market(pairs=options.symbols)
    symbols = tuple(pair.symbol for pair in market.pairs)
    with tempfile.TemporaryDirectory(prefix="ingestion-soak-") as folder:
        found = soak(
            Path(folder), market, symbols=symbols, days=options.days, kills=options.kills, seed=options.seed
        )
    sys.stdout.write("\n".join(found.lines()) + "\n")
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main())
