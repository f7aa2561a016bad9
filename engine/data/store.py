"""Imported data sets on disk: `state/data/<name>/panel-<hash>.npz` and `manifest.json`.

The manifest names the file of bars, and is replaced in one step after the bars are safe on disk. So a
reader sees the old set or the new one, never half of either.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.findings import Finding, Kind
from engine.data.manifest import Manifest, Origin, Quality
from engine.data.whole import replace_whole
from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import PRICE_FIELDS, Adjustment, Instrument, Panel
from engine.domain.time import Calendar, Timeframe
from engine.home import state_folder

_MANIFEST = "manifest.json"
_FORMAT = 1


def folder(name: str) -> Path:
    """Return where a data set lives."""
    return state_folder() / "data" / name


def names() -> tuple[str, ...]:
    """Return the imported data sets, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in (state_folder() / "data").glob(f"*/{_MANIFEST}")))


def write(panel: Panel, manifest: Manifest) -> Path:
    """Store a data set in place of what stands under its name, and return its folder.

    Raises
    ------
    InputError
        If the disk refuses; what stood there before still stands.
    """
    target = folder(manifest.name)
    bars = target / f"panel-{manifest.content_hash[:16]}.npz"
    arrays = {name: getattr(panel, name) for name in PRICE_FIELDS}
    arrays |= {f"field:{name}": values for name, values in panel.fields.items()}
    document = _to_json(manifest, panel.instruments, bars.name)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        target.mkdir(parents=True, exist_ok=True)
        replace_whole(bars, lambda file: np.savez(file, timestamps=panel.timestamps, **arrays))
        replace_whole(target / _MANIFEST, lambda file: file.write(text.encode()))
    except OSError as refused:
        raise InputError(
            f"{target} cannot be written: {refused}; set GAUNTLET_HOME to a folder that can"
        ) from refused
    for path in target.glob("panel-*.npz"):
        if path != bars:
            path.unlink()
    return target


def read_manifest(name: str) -> Manifest:
    """Return the manifest of an imported data set."""
    document = _document(name)
    try:
        return _from_json(document)
    except (KeyError, TypeError, ValueError) as wrong:
        raise _damaged(name, f"{_MANIFEST}: {type(wrong).__name__} {wrong}") from wrong


def read_panel(name: str) -> Panel:
    """Return all bars of an imported data set, after comparing them with the hash in the manifest."""
    document = _document(name)
    manifest = read_manifest(name)
    path = folder(name) / str(document["bars"])
    try:
        with np.load(path, allow_pickle=False) as arrays:
            panel = Panel(
                name=name,
                timestamps=arrays["timestamps"],
                **{field: arrays[field] for field in PRICE_FIELDS},
                instruments=tuple(Instrument(**fields) for fields in document["instruments"]),
                timeframe=manifest.timeframe,
                calendar=manifest.calendar,
                adjustment=manifest.adjustment,
                has_range=manifest.has_range,
                synthetic=manifest.synthetic,
                fields={
                    key.removeprefix("field:"): arrays[key]
                    for key in arrays.files
                    if key.startswith("field:")
                },
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, InvalidValueError) as wrong:
        raise _damaged(name, f"{path.name} cannot be read ({type(wrong).__name__}: {wrong})") from wrong
    if panel.content_hash != manifest.content_hash:
        raise _damaged(
            name, f"content hash is {panel.content_hash[:16]}, the manifest says {manifest.content_hash[:16]}"
        )
    return panel


def _document(name: str) -> dict[str, Any]:
    path = folder(name) / _MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise _damaged(name, f"{_MANIFEST} cannot be read ({wrong})") from wrong
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise _damaged(name, f"{_MANIFEST} is not of format {_FORMAT}")
    return document


def _damaged(name: str, what: str) -> InputError:
    return InputError(
        f"data set {name} in {folder(name)} is damaged: {what}. "
        f"Import it again: engine data import {name} PATH... --replace"
    )


def _to_json(manifest: Manifest, instruments: tuple[Instrument, ...], bars: str) -> dict[str, Any]:
    document = {"format": _FORMAT, "bars": bars} | asdict(manifest)
    document["instruments"] = [asdict(instrument) for instrument in instruments]
    return document


def _from_json(document: Mapping[str, Any]) -> Manifest:
    return Manifest(
        name=document["name"],
        origin=Origin(document["origin"]),
        source=document["source"],
        content_hash=document["content_hash"],
        rows=int(document["rows"]),
        instruments=tuple(instrument["symbol"] for instrument in document["instruments"]),
        first=int(document["first"]),
        last=int(document["last"]),
        timeframe=Timeframe(document["timeframe"]),
        calendar=Calendar(document["calendar"]),
        adjustment=Adjustment(document["adjustment"]),
        has_range=bool(document["has_range"]),
        market=document["market"],
        holdout_rows=int(document["holdout_rows"]),
        synthetic=bool(document["synthetic"]),
        warnings=tuple(
            Finding(**(warning | {"kind": Kind(warning["kind"])})) for warning in document["warnings"]
        ),
        warning_counts=dict(document["warning_counts"]),
        notes=tuple(document["notes"]),
        quality=Quality.of_document(document.get("quality", {})),
    )
