"""One small sweep in a process of its own: what a start costs, with compiled kernels or without."""

from benchmarks.bars import random_walks
from benchmarks.workloads import CrossWorkload
from engine.domain.time import Timeframe

if __name__ == "__main__":
    panel = random_walks(1_000, 1, timeframe=Timeframe.HOUR_1, volatility=5e-3, seed=2, has_range=True)
    CrossWorkload(panel=panel, pairs=((20, 100),)).run()
