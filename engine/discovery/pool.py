"""The pool of candidates as a file, `portfolio_candidates_raw.json`: the same scan writes the same bytes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.compiled import CORE_VERSION
from engine.data.universes import Universe
from engine.data.whole import write_whole
from engine.discovery.configuration import Scanner
from engine.discovery.reasons import Reason
from engine.discovery.scan import Scan
from engine.discovery.sight import Sight
from engine.domain.identity import content_hash
from engine.features.strategy import Strategy

FILE = "portfolio_candidates_raw.json"

_FORMAT = 1
_ID_LENGTH = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """What a scan found, with all that it went by.

    Attributes
    ----------
    universe, strategy
        None where the scanner names none.
    """

    scanner: Scanner
    sight: Sight
    universe: Universe | None
    strategy: Strategy | None
    found: Scan

    @property
    def scan_id(self) -> str:
        """Of what was looked for and what was read: the same for the same scan."""
        return f"scan-{self.inputs_hash[:_ID_LENGTH]}"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of the candidates, in order."""
        return tuple(profile.symbol for profile in self.found.candidates)

    @property
    def fallen_counts(self) -> dict[str, int]:
        """How many fell for each reason that there was, in the order of reasons."""
        reasons = [fall.reason for fall in self.found.fallen]
        return {reason.value: reasons.count(reason) for reason in Reason if reason in reasons}

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What decided: what was looked for, and the hashes of what was read; unseen bars have no part."""
        panel = self.sight.panel
        return {
            "scanner": self.scanner.document(),
            "data": self.sight.data,
            "at_ns": str(self.sight.at),
            "bars": panel.content_hash,
            "venues": dict(sorted(self.sight.venues.items())),
            "spreads_bps": dict(sorted(self.sight.spreads_bps.items())),
            "universe": None if self.universe is None else self.universe.content_hash,
            "strategy": None if self.strategy is None else self.strategy.hash,
            "core": CORE_VERSION,
        }

    @cached_property
    def inputs_hash(self) -> str:
        """SHA-256 of the inputs."""
        return content_hash(self.inputs)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of what the file says, which has no clock and no path in it."""
        return content_hash(self._content())

    def document(self) -> dict[str, Any]:
        """Return what the file says."""
        return self._content() | {"content_hash": self.content_hash}

    def stages(self) -> list[dict[str, Any]]:
        """Return the counts of all stages, one object each."""
        return [asdict(count) | {"stage": count.stage.value} for count in self.found.stages]

    def _content(self) -> dict[str, Any]:
        panel = self.sight.panel
        return {
            "format": _FORMAT,
            "scan_id": self.scan_id,
            "inputs_hash": self.inputs_hash,
            "inputs": self.inputs,
            "timeframe": panel.timeframe.value,
            "calendar": panel.calendar.value,
            "adjustment": panel.adjustment.value,
            "synthetic": panel.synthetic,
            "venue_class": self.scanner.venue_class.value,
            "market": self.scanner.venue_class.market.value,
            "days_per_year": panel.calendar.days_per_year,
            "stages": self.stages(),
            "symbols": list(self.symbols),
            "candidates": [_plain(asdict(profile)) for profile in self.found.candidates],
            "fallen": [_plain(asdict(fall)) for fall in self.found.fallen],
        }


def write(pool: Pool, folder: Path) -> Path:
    """Write the file of a pool into a folder, and return it.

    Raises
    ------
    InputError
        If the disk refuses.
    """
    path = folder / FILE
    write_whole(path, json.dumps(pool.document(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as JSON has them: stamps are decimal texts, since a double cannot hold them."""
    stamps = ("first", "delisted_at")
    return {
        f"{name}_ns" if name in stamps else name: str(value)
        if name in stamps and value is not None
        else value
        for name, value in fields.items()
    }
