"""Print hashes of three walks; run with and without the compiler, the output must be the same."""

import hashlib
import sys

import numpy as np

from engine.core.simulate import pack_plans
from engine.domain.portfolio import Invest
from tests.builders import random_panel
from tests.property.test_core_parity import random_plan, random_signals, run_whole

for seed, invest, drift_band in (
    (1, Invest.SCALED, np.inf),
    (2, Invest.FULL, np.inf),
    (3, Invest.FULL, 0.05),
):
    panel = random_panel(120, 5, seed=seed, volatility=0.03, holes=0.02)
    plans = pack_plans([random_plan(120, 5, seed, drift_band)], [invest])
    digest = hashlib.sha256()
    for part in run_whole(panel, random_signals(120, 5, seed), plans):
        for values in part:
            digest.update(np.asarray(values).tobytes())
    sys.stdout.write(digest.hexdigest() + "\n")
