"""W1 in backtrader, in its faster mode. Runs under the interpreter of the peers."""

import json
import sys
import time
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

FAST, SLOW, UNITS, CASH = 20, 100, 10, 1_000_000.0


class Cross(bt.Strategy):  # type: ignore[misc]
    """Hold while the fast average is above the slow one."""

    def __init__(self) -> None:
        self.fast = bt.ind.SMA(self.data.close, period=FAST)
        self.slow = bt.ind.SMA(self.data.close, period=SLOW)
        self.fills = 0

    def notify_order(self, order: Any) -> None:
        """Count fills."""
        self.fills += order.status == order.Completed

    def next(self) -> None:
        """Send an order for the next open where the side changes."""
        above = self.fast[0] > self.slow[0]
        if above and not self.position:
            self.buy(size=UNITS)
        elif not above and self.position:
            self.close()


def main() -> None:
    """Run and print the figures as JSON."""
    bars = np.load(sys.argv[1])
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close"])
    frame.index = pd.date_range("2020-01-01", periods=len(frame), freq="1min")
    engine = bt.Cerebro(stdstats=False)
    engine.adddata(bt.feeds.PandasData(dataname=frame, volume=None, openinterest=None))
    engine.addstrategy(Cross)
    engine.broker.setcash(CASH)
    engine.broker.setcommission(commission=1e-3)
    # Without the last two the slippage is cut at the bar's ends, and not paid at opens at all.
    engine.broker.set_slippage_perc(5e-4, slip_open=True, slip_out=True)
    wall, cpu = time.perf_counter(), time.process_time()
    (strategy,) = engine.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        json.dumps(
            {
                "cpu_s": cpu,
                "wall_s": wall,
                "final_equity": engine.broker.getvalue(),
                "fills": int(strategy.fills),
                "version": bt.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
