"""Which series and which parts of them stand in the lake."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.data.lake import layout
from engine.data.lake.parts import Part, is_merged_name, is_part_name, read_part
from engine.data.series import SeriesKey


class Shelf:
    """The parts of a lake. Each footer is read once: parts never change.

    Parameters
    ----------
    root
        Folder of the lake.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[Path, Part] = {}

    def series(self) -> list[SeriesKey]:
        """Return the series that have rows, in order of venue, kind, instrument and timeframe."""
        keys = [layout.key_of(place) for place in layout.folders(self._root)]
        return sorted(key for key in keys if key is not None and self._places(layout.folder(key)))

    def parts(self, key: SeriesKey) -> list[Part]:
        """Return the parts of a series in the order in which they were written, none of them twice.

        Raises
        ------
        InputError
            If the footer of a part cannot be read.
        """
        return self._ordered(self._places(layout.folder(key)) + self._places(layout.correction_folder(key)))

    def parts_to_read(self, key: SeriesKey, as_of: int | None = None) -> list[Part]:
        """Return as few parts as there are that tell all that was known of a series at a moment, in order.

        Raises
        ------
        InputError
            If the footer of a part cannot be read.
        """
        merged = [self._part(place) for place in self._places(layout.folder(key), is_merged_name)]
        covered: set[str] = set()
        chosen: list[Path] = []
        # A later merger repeats the earlier one as a whole.
        for part in sorted(merged, key=lambda part: len(part.repeats), reverse=True):
            is_known = as_of is None or part.known_at <= as_of
            if is_known and part.place is not None and covered.isdisjoint(part.repeats):
                chosen.append(part.place)
                covered.update(part.repeats)
        places = self._places(layout.folder(key)) + self._places(layout.correction_folder(key))
        # Their footers are not even read: there may be thousands.
        chosen += [place for place in places if place.stem.rpartition("-")[2] not in covered]
        return [part for part in self._ordered(chosen) if as_of is None or part.known_at <= as_of]

    def _ordered(self, places: Sequence[Path]) -> list[Part]:
        return sorted(
            (self._part(place) for place in places), key=lambda part: (part.sequence, part.name_hash)
        )

    def _part(self, place: Path) -> Part:
        if place not in self._read:
            self._read[place] = read_part(self._root, place)
        return self._read[place]

    def _places(self, series: Path, is_wanted: Callable[[str], bool] = is_part_name) -> list[Path]:
        """Return the files of parts below a folder of a series, relative to the lake."""
        try:
            months = [entry.name for entry in os.scandir(self._root / series) if entry.is_dir()]
        except FileNotFoundError:
            return []
        return [
            series / month / entry.name
            for month in sorted(months)
            for entry in os.scandir(self._root / series / month)
            if is_wanted(entry.name)
        ]
