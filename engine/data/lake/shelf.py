"""Which series and which parts of them stand in the lake."""

import os
from pathlib import Path

from engine.data.lake import layout
from engine.data.lake.parts import Part, is_part_name, read_part
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
        """Return the parts of a series in the order in which they were written.

        Raises
        ------
        InputError
            If the footer of a part cannot be read.
        """
        places = self._places(layout.folder(key)) + self._places(layout.correction_folder(key))
        parts = [self._part(place) for place in places]
        return sorted(parts, key=lambda part: (part.sequence, part.name_hash))

    def _part(self, place: Path) -> Part:
        if place not in self._read:
            self._read[place] = read_part(self._root, place)
        return self._read[place]

    def _places(self, series: Path) -> list[Path]:
        """Return the files of parts below a folder of a series, relative to the lake."""
        try:
            months = [entry.name for entry in os.scandir(self._root / series) if entry.is_dir()]
        except FileNotFoundError:
            return []
        return [
            series / month / entry.name
            for month in sorted(months)
            for entry in os.scandir(self._root / series / month)
            if is_part_name(entry.name)
        ]
