"""W1 in backtesting.py, as its documentation writes it. Runs under the interpreter of the peers."""

import json
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting import __version__ as version

FAST, SLOW, UNITS, CASH = 20, 100, 10, 1_000_000.0


def average(values: Any, length: int) -> Any:
    """Return the average over the last bars."""
    return pd.Series(values).rolling(length).mean().to_numpy()


class Cross(Strategy):  # type: ignore[misc]
    """Hold while the fast average is above the slow one."""

    def init(self) -> None:
        """Compute the averages."""
        self.fast = self.I(average, self.data.Close, FAST)
        self.slow = self.I(average, self.data.Close, SLOW)

    def next(self) -> None:
        """Send an order for the next open where the side changes."""
        above = self.fast[-1] > self.slow[-1]
        if above and not self.position:
            self.buy(size=UNITS)
        elif not above and self.position:
            self.position.close()


def main() -> None:
    """Run and print the figures as JSON."""
    warnings.simplefilter("ignore")
    bars = np.load(sys.argv[1])
    frame = pd.DataFrame(bars, columns=["Open", "High", "Low", "Close"])
    frame.index = pd.date_range("2020-01-01", periods=len(frame), freq="1min")
    test = Backtest(frame, Cross, cash=CASH, spread=5e-4, commission=1e-3)
    wall, cpu = time.perf_counter(), time.process_time()
    result = test.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    trades, held = result["_trades"], result["_strategy"].trades
    print(
        json.dumps(
            {
                "cpu_s": cpu,
                "wall_s": wall,
                "final_equity": float(result["Equity Final [$]"]),
                "fills": 2 * len(trades) + len(held),
                "version": version,
            }
        )
    )


if __name__ == "__main__":
    main()
