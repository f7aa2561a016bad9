"""Print the hash of the order stream of every packaged strategy, and of the journals of two sessions.

`python -m tests.order_streams [--write]`; with `--write` the golden file is made anew, which is right only
when the orders were meant to change.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.data.catalogue import load
from engine.features.strategy import Strategy
from engine.journal.reading import verify
from engine.pipeline.run import Column, Detail, run_all
from engine.strategy_files import load_strategy
from research.backtest import equal_weight_of_listed, whole_history
from research.configuration import for_data
from tests.every_order import EveryOrder
from tests.recorded import WALK, record

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
SESSION_BARS = 1200


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


def journals() -> dict[str, str]:
    """Return the content hashes of paper sessions: base weights a window, and every kind of order.

    They hold the version of the core, so they are compared with one another and not with a file.
    """
    panel = load("planted").rows(0, SESSION_BARS)
    with tempfile.TemporaryDirectory() as folder:
        sessions = (
            record(Path(folder) / "trend", load_strategy("trend"), panel, plan=WALK),
            record(Path(folder) / "every_order", EveryOrder(), panel),
        )
        return {session.name: verify(session).content_hash for session in sessions}


def main(arguments: Sequence[str]) -> None:
    """Print the hashes, or write those of the orders down."""
    orders = order_streams(threads=2 if "--threads" in arguments else 1)
    if "--write" in arguments:
        GOLDEN.write_text(json.dumps(orders, indent=2, sort_keys=True) + "\n", "utf-8")
    json.dump({"orders": orders, "journals": journals()}, sys.stdout, indent=2, sort_keys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
