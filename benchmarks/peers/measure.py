"""Hand the bars of W1 to each peer, read its CPU seconds and its equity, compare with a plain reckoning."""

import gc
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.workloads import FEE, SLIPPAGE, WARM_UP_BARS, CrossWorkload, w1
from engine.domain.panel import FloatArray
from research.nautilus_simulator import available

FAST, SLOW, UNITS, CASH = 20, 100, 10, 1_000_000.0
# Of the traded notional's costs everything is exact but what is named in `Peer.differs`.
TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Peer:
    """An engine, how many bars it is given, and what it does otherwise than W1.

    Attributes
    ----------
    bars
        So many that it runs for a few seconds; figures are scaled to a bar.
    buy_slippage, sell_slippage, fee
        What its rules make of 5 bps of slippage and 10 bps of fee.
    """

    name: str
    bars: int
    buy_slippage: float = SLIPPAGE
    sell_slippage: float = SLIPPAGE
    fee: float = FEE
    differs: str = ""


PEERS = (
    Peer(
        name="backtesting",
        bars=1_000_000,
        sell_slippage=0.0,
        differs="entries alone pay its spread, its first decision is a bar later",
    ),
    Peer(name="backtrader", bars=50_000),
    Peer(
        name="nautilus",
        bars=200_000,
        buy_slippage=0.0,
        sell_slippage=0.0,
        fee=FEE + SLIPPAGE,
        differs="slippage in the fee: it slips by ticks only",
    ),
)


@dataclass(frozen=True, kw_only=True)
class PeerTimes:
    """What one peer needed for W1.

    Attributes
    ----------
    cpu_s, wall_s
        Of its run over `bars` bars, loading and conversion of data left out.
    cpu_ratio
        Its CPU seconds a bar over ours, all our limits on.
    relative_difference
        Of its final equity from a plain reckoning by its own rules of costs.
    """

    name: str
    version: str
    bars: int
    cpu_s: float
    wall_s: float
    cpu_s_per_million: float
    cpu_ratio: float
    fills: int
    relative_difference: float
    differs: str

    @property
    def agrees(self) -> bool:
        """Whether it did the same work."""
        return self.relative_difference <= TOLERANCE


def plain_equity(bars: FloatArray, peer: Peer) -> tuple[float, int]:
    """Return final equity and fills of W1 with 10 units, reckoned without any engine.

    Parameters
    ----------
    bars
        Shape (T, 4): open, high, low, close.
    """
    opens, closes = bars[:, 0], bars[:, 3]
    # Prices lie on a binary grid, so that these sums are exact.
    sums = np.concatenate(([0.0], np.cumsum(closes)))
    rows = np.arange(SLOW - 1, len(bars))
    fast = (sums[rows + 1] - sums[rows + 1 - FAST]) / FAST
    slow = (sums[rows + 1] - sums[rows + 1 - SLOW]) / SLOW
    wanted = np.concatenate(([False], fast > slow))
    changed = np.flatnonzero(wanted[1:] != wanted[:-1])
    cash, held = CASH, 0
    fills = 0
    for row in rows[changed]:
        # Decided at the last close: there is no next open to fill at.
        if row + 1 == len(bars):
            break
        buys = held == 0
        price = opens[row + 1] * (1.0 + peer.buy_slippage if buys else 1.0 - peer.sell_slippage)
        cash -= (UNITS if buys else -UNITS) * price + UNITS * price * peer.fee
        held = UNITS - held
        fills += 1
    return float(cash + held * closes[-1]), fills


def measure_peers(share: float = 1.0) -> list[PeerTimes]:
    """Run W1 in every peer, one after another; empty where they are not installed.

    Parameters
    ----------
    share
        Of each peer's bars, to try it out.
    """
    python = available()
    if python is None:
        return []
    workload = w1()
    ours = _our_cpu_per_bar(workload)
    panel = workload.panel
    prices = np.column_stack([panel.open[:, 0], panel.high[:, 0], panel.low[:, 0], panel.close[:, 0]])
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for peer in PEERS:
            bars = prices[: int(peer.bars * share)]
            file = Path(folder) / f"{peer.name}.npy"
            np.save(file, bars)
            script = Path(__file__).with_name(f"run_{peer.name}.py")
            # -I would hide nothing that these scripts need, and keeps our modules from them.
            answer = subprocess.run([python, "-I", script, file], check=True, capture_output=True, text=True)
            said = json.loads(answer.stdout.strip().splitlines()[-1])
            equity, fills = plain_equity(bars, peer)
            found.append(
                PeerTimes(
                    name=peer.name,
                    version=str(said["version"]),
                    bars=len(bars),
                    cpu_s=said["cpu_s"],
                    wall_s=said["wall_s"],
                    cpu_s_per_million=said["cpu_s"] / len(bars) * 1e6,
                    cpu_ratio=said["cpu_s"] / len(bars) / ours,
                    fills=int(said["fills"]),
                    relative_difference=abs(said["final_equity"] / equity - 1.0)
                    if said["fills"] == fills
                    else float("inf"),
                    differs=peer.differs,
                )
            )
    return found


def _our_cpu_per_bar(workload: CrossWorkload) -> float:
    """Return CPU seconds a bar of our W1 with every limit on: the median of five runs."""
    workload.shortened(WARM_UP_BARS).run()
    seconds = []
    for _ in range(5):
        gc.collect()
        began = time.process_time()
        workload.run()
        seconds.append(time.process_time() - began)
    return float(np.median(seconds)) / len(workload.panel)


def show(found: list[PeerTimes]) -> None:
    """Print the figures."""
    if not found:
        print("\nW1  in backtesting.py, backtrader and nautilus: not installed (make peers)")
        return
    print(
        "\nW1  in engines of other environments, one process each, scaled from fewer bars\n"
        f"    {'engine':<26}{'bars':>10}{'CPU s':>9}{'CPU s / 1M':>12}{'ratio':>10}{'fills':>9}  same equity?"
    )
    for peer in found:
        said = f"yes, to {peer.relative_difference:.0e}" if peer.agrees else "NO"
        known = f" ({peer.differs})" if peer.differs else ""
        print(
            f"    {peer.name + ' ' + peer.version:<26}{peer.bars:>10,}{peer.cpu_s:>9.2f}"
            f"{peer.cpu_s_per_million:>12.1f}{peer.cpu_ratio:>9,.0f}x{peer.fills:>9,}  {said}{known}"
        )
