"""The growth of the peak memory during one run, measured in a process that does nothing else.

`python -m benchmarks.memory W2 gauntlet` prints one JSON document.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.workloads import WARM_UP_BARS, WORKLOADS

_STATUS = Path("/proc/self/status")


def _kibibytes(key: str) -> int:
    for line in _STATUS.read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0])
    raise KeyError(key)


def peak_mb() -> float:
    """Return the most memory that this process ever held."""
    return _kibibytes("VmHWM") / 1024


def growth_mb(run: Callable[[], object]) -> float:
    """Run once and return how far the peak of the memory rose above what was in use before."""
    gc.collect()
    # What earlier work freed goes back to the system: reused, it would hide what this run needs.
    ctypes.CDLL(None).malloc_trim(0)
    # Linux: writing 5 sets the peak (VmHWM) back to what is in use now.
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = _kibibytes("VmRSS")
    kept = run()
    after = _kibibytes("VmHWM")
    del kept
    return (after - before) / 1024


def main(name: str, engine: str) -> None:
    """Warm up, forget the peak so far, run once, print how far the peak rose above what was in use."""
    workload = WORKLOADS[name]()
    if engine == "gauntlet":
        workload.shortened(WARM_UP_BARS).run()

        def run() -> object:
            return workload.run()

    else:
        # vectorbt is loaded only in the process that measures it.
        from benchmarks import peer

        peer.warm_up(workload, engine)

        def run() -> object:
            return peer.run(workload, engine)

    sys.stdout.write(json.dumps({"extra_memory_mb": growth_mb(run)}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
