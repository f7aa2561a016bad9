"""Workers are single-threaded and never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine.processes import worker_processes

PARENT = """
import os, sys, time
from engine.processes import worker_processes

if __name__ == "__main__":
    with worker_processes(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1][:3]
    except FileNotFoundError:
        return False


def test_workers_of_a_killed_parent_end(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, env=environment, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert is_alive(worker)
        parent.send_signal(signal.SIGKILL)

    for _ in range(100):
        if not is_alive(worker):
            break
        time.sleep(0.05)
    assert not is_alive(worker)


def test_a_worker_has_one_thread_and_this_process_keeps_its_own_setting() -> None:
    before = os.environ.get("OPENBLAS_NUM_THREADS")

    with worker_processes(1) as pool:
        inside = pool.submit(os.getenv, "OPENBLAS_NUM_THREADS").result()

    assert inside == "1"
    assert os.environ.get("OPENBLAS_NUM_THREADS") == before
