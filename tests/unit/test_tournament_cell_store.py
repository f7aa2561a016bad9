from pathlib import Path

import numpy as np
import pytest

from research.cell_store import Accounts, CellStore, read_arrays, write_arrays

KEY = "ab" + "0" * 62


def accounts(value: float) -> Accounts:
    curve = np.full((2, 3), value)
    return Accounts(
        equity=curve,
        gross=curve,
        turnover=curve,
        trades=np.array([1.0, np.nan]),
        fills=np.array([2.0, 3.0]),
        fees=np.array([0.5, 0.25]),
        halts=np.array([0, 1]),
        delisted_exits=np.array([0, 0]),
        reason_counts=np.zeros((2, 4), dtype=np.int64),
    )


def test_a_batch_comes_back_bit_for_bit(tmp_path: Path) -> None:
    kept = accounts(1.0 / 3.0)
    CellStore(tmp_path).keep(KEY, kept)

    fetched = CellStore(tmp_path).fetch(KEY)

    assert fetched is not None
    assert fetched.equity.tobytes() == kept.equity.tobytes()
    assert fetched.trades.tobytes() == kept.trades.tobytes()
    assert fetched.halts.dtype == np.int64


def test_reused_and_computed_batches_are_counted_apart(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    assert store.fetch(KEY) is None
    store.keep(KEY, accounts(1.0))
    store.fetch(KEY)

    assert (store.computed, store.reused) == (1, 1)


@pytest.mark.parametrize("cut", [0, 1, 200, -1])
def test_a_file_cut_short_counts_as_absent(tmp_path: Path, cut: int) -> None:
    store = CellStore(tmp_path)
    store.keep(KEY, accounts(1.0))
    path = next(tmp_path.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:cut])

    assert store.fetch(KEY) is None


def test_a_flipped_bit_counts_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "facts.npz"
    write_arrays(path, KEY, {"weights": np.arange(64.0)})
    content = bytearray(path.read_bytes())
    position = content.find(np.arange(64.0).tobytes()[256:264])
    content[position] ^= 1
    path.write_bytes(bytes(content))

    assert read_arrays(path, KEY) is None


def test_arrays_under_another_key_count_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "facts.npz"
    write_arrays(path, KEY, {"weights": np.ones(2)})

    assert read_arrays(path, "other") is None


def test_nothing_unfinished_stays_after_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fail)

    with pytest.raises(OSError, match="no space left"):
        write_arrays(tmp_path / "facts.npz", KEY, {"weights": np.ones(2)})

    assert list(tmp_path.iterdir()) == []
