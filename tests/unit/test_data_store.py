"""Imported data sets on disk: whole or not there, and never other bars than those that were written."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data import store
from engine.data.findings import Finding, Kind
from engine.data.manifest import Manifest, Origin, describe
from engine.domain.errors import InputError
from engine.domain.panel import PRICE_FIELDS, Adjustment, FloatArray, Instrument, Panel
from engine.domain.time import Calendar, Timeframe

pytestmark = pytest.mark.usefixtures("home")


def panel_of(seed: int) -> Panel:
    close = np.random.default_rng(seed).lognormal(0, 1, (50, 2))
    close[:5, 1] = np.nan
    return Panel(
        name="mine",
        timestamps=np.arange(50, dtype=np.int64) * Timeframe.HOUR_1.nanoseconds,
        open=close * 0.9,
        high=close * 1.1,
        low=close * 0.8,
        close=close,
        volume=np.full_like(close, np.nan),
        instruments=(Instrument(symbol="AAA"), Instrument(symbol="B/C", quote="EUR", cluster="x")),
        timeframe=Timeframe.HOUR_1,
        calendar=Calendar.ALWAYS,
        adjustment=Adjustment.SPLIT,
        fields={"market": close[:, 0] * 2},
    )


def manifest_of(panel: Panel) -> Manifest:
    warning = Finding(kind=Kind.GAP, file="a.csv", row=3, value="x", message="gap", instrument="AAA")
    return describe(
        panel,
        origin=Origin.IMPORTED,
        source="a.csv",
        market="index",
        warnings=(warning,),
        warning_counts={"gap": 7},
        notes=("note",),
    )


def bars_of(folder: Path) -> Path:
    [path] = folder.glob("panel-*.npz")
    return path


def test_what_was_written_is_read_again(home: Path) -> None:
    panel = panel_of(1)
    manifest = manifest_of(panel)

    folder = store.write(panel, manifest)

    assert folder == home / "state" / "data" / "mine"
    assert store.names() == ("mine",)
    assert store.read_manifest("mine") == manifest
    again = store.read_panel("mine")
    assert again.content_hash == panel.content_hash
    assert again.instruments == panel.instruments
    for field in PRICE_FIELDS:
        assert np.array_equal(getattr(again, field), getattr(panel, field), equal_nan=True)
        assert not getattr(again, field).flags.writeable


def test_a_new_set_replaces_the_old_one_and_leaves_nothing_behind() -> None:
    store.write(panel_of(1), manifest_of(panel_of(1)))

    folder = store.write(panel_of(2), manifest_of(panel_of(2)))

    assert store.read_panel("mine").content_hash == panel_of(2).content_hash
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", bars_of(folder).name]


@pytest.mark.parametrize("failing_call", [1, 2, 3, 4])
def test_a_disk_that_fails_leaves_the_old_set_or_the_new_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    store.write(panel_of(1), manifest_of(panel_of(1)))
    calls = 0

    def failing_sync(_descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", failing_sync)
    with pytest.raises(InputError, match=r"cannot be written: .*No space left on device"):
        store.write(panel_of(2), manifest_of(panel_of(2)))

    expected = panel_of(1) if failing_call < 4 else panel_of(2)
    assert store.read_panel("mine").content_hash == expected.content_hash
    assert not list((home / "state" / "data" / "mine").glob(".*"))


def test_a_first_import_that_fails_is_no_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing_sync(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", failing_sync)
    with pytest.raises(InputError):
        store.write(panel_of(1), manifest_of(panel_of(1)))

    assert store.names() == ()


@pytest.mark.parametrize("field", PRICE_FIELDS)
def test_one_changed_bit_changes_the_hash(field: str) -> None:
    panel = panel_of(1)
    arrays = {name: getattr(panel, name).copy() for name in PRICE_FIELDS}
    arrays["volume"][:] = 1.0
    values = arrays[field]
    whole = hash_of(panel, arrays)
    values.view(np.int64)[20, 0] ^= 1

    assert hash_of(panel, arrays) != whole


def hash_of(panel: Panel, arrays: dict[str, FloatArray]) -> str:
    return replace(panel, **arrays).content_hash  # type: ignore[arg-type]


def test_one_changed_bit_on_disk_is_noticed() -> None:
    folder = store.write(panel_of(1), manifest_of(panel_of(1)))
    path = bars_of(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))

    with pytest.raises(InputError, match=r"data set mine .* is damaged: .* engine data import mine PATH"):
        store.read_panel("mine")


def test_other_bars_than_the_manifest_speaks_of_are_noticed() -> None:
    folder = store.write(panel_of(1), manifest_of(panel_of(1)))
    path = bars_of(folder)
    other = panel_of(2)
    arrays = {field: getattr(other, field) for field in PRICE_FIELDS}
    arrays |= {"timestamps": other.timestamps, "field:market": other.fields["market"]}
    np.savez(path, **arrays)

    with pytest.raises(InputError, match=r"damaged: content hash is [0-9a-f]{16}, the manifest says"):
        store.read_panel("mine")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "{not json"])
def test_a_broken_manifest_is_a_clear_error(text: str) -> None:
    folder = store.write(panel_of(1), manifest_of(panel_of(1)))
    (folder / "manifest.json").write_text(text)

    with pytest.raises(InputError, match=r"data set mine .* is damaged: manifest\.json"):
        store.read_manifest("mine")


def test_missing_bars_are_a_clear_error() -> None:
    folder = store.write(panel_of(1), manifest_of(panel_of(1)))
    bars_of(folder).unlink()

    with pytest.raises(InputError, match=r"is damaged: panel-.*\.npz cannot be read"):
        store.read_panel("mine")


def test_the_manifest_names_no_folder_of_the_machine(home: Path) -> None:
    folder = store.write(panel_of(1), manifest_of(panel_of(1)))

    document = json.loads((folder / "manifest.json").read_text())

    assert str(home) not in json.dumps(document)
