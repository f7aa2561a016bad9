"""Print the hash of the order stream of every packaged strategy, on the packaged bars with ranges.

`python -m tests.order_streams [--write]`; with `--write` the golden file is made anew, which is right only
when the orders were meant to change.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.data.catalogue import load
from engine.features.strategy import Strategy
from engine.pipeline.run import Column, Detail, run_all
from engine.strategy_files import load_strategy
from research.backtest import equal_weight_of_listed, whole_history
from research.configuration import for_data
from tests.every_order import EveryOrder

GOLDEN = Path(__file__).parent / "golden" / "order_streams.json"
PACKAGED = (
    "buy_and_hold",
    "channel_breakout",
    "cross_sectional_momentum",
    "low_volatility",
    "mean_reversion",
    "time_series_momentum",
    "trend",
)
DATA = ("planted", "us5")


def order_stream_hash(strategy: Strategy, data: str, *, threads: int = 1) -> str:
    """Return the SHA-256 over every order, its end, and every fill, as integers."""
    panel = load(data)
    plan, settings = equal_weight_of_listed(panel), whole_history(for_data(data), panel)
    column = Column(
        plan=plan, root=strategy.signal(), invest=strategy.invest, order_roots=strategy.order_roots
    )  # fmt: skip
    outcome = run_all(panel, [column] * threads, settings, detail=Detail.RECORDS, threads=threads)
    digest = hashlib.sha256()
    for records in (outcome.order_records, outcome.close_records, outcome.fill_records):
        digest.update(records[threads - 1].astype("<i8").tobytes())
    return digest.hexdigest()


def order_streams(*, threads: int = 1) -> dict[str, str]:
    """Return the hashes by strategy and data set."""
    strategies = [load_strategy(name) for name in PACKAGED] + [EveryOrder()]
    return {
        f"{strategy.name} on {data}": order_stream_hash(strategy, data, threads=threads)
        for strategy in strategies
        for data in DATA
    }


def main(arguments: Sequence[str]) -> None:
    """Print the hashes, or write them down."""
    threads = 2 if "--threads" in arguments else 1
    text = json.dumps(order_streams(threads=threads), indent=2, sort_keys=True) + "\n"
    if "--write" in arguments:
        GOLDEN.write_text(text, "utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
