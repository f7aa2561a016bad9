"""What is kept of a kernel on disk."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numba
import pytest
from numba.core.caching import IndexDataCacheFile

from engine.compiled import kernel


def doubled(number: float) -> float:
    return 2 * number


def test_two_processes_that_keep_versions_of_one_kernel_at_once_keep_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    read: Callable[[IndexDataCacheFile], object] = IndexDataCacheFile._load_index

    def read_slowly(file: IndexDataCacheFile) -> object:
        index = read(file)
        time.sleep(0.2)
        return index

    monkeypatch.setattr(IndexDataCacheFile, "_load_index", read_slowly)
    # As two processes have it: each its own idea of the same files.
    files = [kernel(doubled)._cache._cache_file for _ in range(2)]  # type: ignore[attr-defined]
    savers = [
        threading.Thread(target=file.save, args=(f"types {place}", f"code {place}"))
        for place, file in enumerate(files)
    ]

    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join()

    assert [files[0].load(f"types {place}") for place in range(2)] == ["code 0", "code 1"]
