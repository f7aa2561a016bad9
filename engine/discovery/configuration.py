"""What a scan looks for: layers of YAML, of which a later one has the last word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import Field

from engine.configuration import Section, load
from engine.domain.errors import InputError
from engine.domain.identity import content_hash
from engine.domain.time import Calendar
from engine.domain.venue import VenueClass


class Layer(StrEnum):
    """What a file of a scan is about. They are put on top of one another in this order."""

    FOUNDATION = "L0"
    """The universe."""
    HYGIENE = "L1"
    """Floors that nothing falls below."""
    ASSET = "L2"
    """The class of venue, its session, and where it is traded."""
    STRATEGY = "L3"
    """The signal."""
    ENTRY = "L4"
    """What is run: it names the layers below it."""


class UniverseFilter(Section):
    """Who is looked at.

    Attributes
    ----------
    name
        Of a universe; None looks at all instruments of the data set.
    exclude
        Symbols that are left out.
    """

    name: str | None = None
    exclude: tuple[str, ...] = ()


class VenueFilter(Section):
    """Where it is traded.

    Attributes
    ----------
    venue_class
        Of all candidates: what keeps another calendar is looked for by another scan.
    session
        Calendar that the data set must keep; None: that of the class.
    venues
        Of the lake, `kraken`; a sandbox in the place of a venue counts as it. Empty: all.
    quotes
        Currencies. Empty: all.
    """

    venue_class: VenueClass | None = None
    session: Calendar | None = None
    venues: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()


class AssetFilter(Section):
    """Which floors an instrument must reach. None: no such floor.

    Attributes
    ----------
    history_bars_min
        Bars in which it traded.
    listed_days_min
        Days since its first bar.
    silent_bars_max
        Bars of the data set since it traded.
    price_min, price_max
        Last close as it was printed, in the quote currency.
    dollar_volume_min, dollar_volume_days
        Median of what was traded a day, in the quote currency, over so many last whole days.
    spread_bps_max
        Median spread, where quotes are known; where none are, it decides nothing.
    quality_min
        DATA_QUALITY_SCORE of the bars that are read.
    """

    history_bars_min: int | None = Field(default=None, ge=1)
    listed_days_min: int | None = Field(default=None, ge=0)
    silent_bars_max: int | None = Field(default=None, ge=0)
    price_min: float | None = Field(default=None, gt=0)
    price_max: float | None = Field(default=None, gt=0)
    dollar_volume_min: float | None = Field(default=None, gt=0)
    dollar_volume_days: int = Field(default=30, ge=1)
    spread_bps_max: float | None = Field(default=None, gt=0)
    quality_min: float | None = Field(default=None, ge=0, le=1)


class SignalFilter(Section):
    """What an instrument must do, said by a file of `strategies/`.

    Attributes
    ----------
    strategy
        Whose signal is read at the last closed bar; None: every instrument that came so far is a candidate.
    parameters
        Of the strategy, those that differ from its own.
    above
        The signal must be greater.
    """

    strategy: str | None = None
    parameters: Mapping[str, int | float] = Field(default_factory=dict)
    above: float = 0.0


class _File(Section):
    """One file of a scan. `layers` are the files under an entry, from L0 on, beside it."""

    layer: Layer
    name: str | None = None
    layers: tuple[str, ...] = ()
    universe: UniverseFilter = UniverseFilter()
    venue: VenueFilter = VenueFilter()
    asset: AssetFilter = AssetFilter()
    signal: SignalFilter = SignalFilter()


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """What a scan looks for, after all layers.

    Attributes
    ----------
    name
        Of the entry.
    layers
        Layer and file name of each file that it was made of, the entry last.
    """

    name: str
    layers: tuple[tuple[Layer, str], ...]
    venue_class: VenueClass
    universe: UniverseFilter
    venue: VenueFilter
    asset: AssetFilter
    signal: SignalFilter

    @property
    def calendar(self) -> Calendar:
        """Calendar that the data set must keep."""
        return self.venue.session or self.venue_class.calendar

    def document(self) -> dict[str, Any]:
        """Return what is looked for as plain JSON types; which file said it is of no account."""
        filters = {name: getattr(self, name).model_dump(mode="json") for name in _FILTERS}
        return {"name": self.name, **filters}

    @property
    def content_hash(self) -> str:
        """SHA-256 of what is looked for."""
        return content_hash(self.document())


_FILTERS = ("universe", "venue", "asset", "signal")


def read(path: Path) -> Scanner:
    """Return what an entry and the layers that it names look for.

    Raises
    ------
    ConfigurationError
        If one of the files is not there or has problems, each with its line and column.
    InputError
        If the layers do not go from L0 up to L4, or none of them says which class of venue is meant.
    """
    entry = load(path, _File)
    if entry.layer is not Layer.ENTRY:
        raise InputError(
            f"{path}: is layer {entry.layer.value}; an entry that can be run is {Layer.ENTRY.value}"
        )
    files = [(path.parent / name, load(path.parent / name, _File)) for name in entry.layers]
    files.append((path, entry))
    _require_order(path, [(file.name, stated.layer) for file, stated in files])
    for file, stated in files[:-1]:
        if stated.layers:
            raise InputError(f"{file}: only an entry names layers; put its layers into {path}")
    merged = {name: _on_top(getattr(stated, name) for _, stated in files) for name in _FILTERS}
    venue = merged["venue"]
    if venue.venue_class is None:
        raise InputError(
            f"{path}: no layer says venue.venue_class; state one of {', '.join(VenueClass)}, e.g. in L2"
        )
    return Scanner(
        name=entry.name or path.stem,
        layers=tuple((stated.layer, file.name) for file, stated in files),
        venue_class=venue.venue_class,
        **merged,
    )


def _require_order(path: Path, layers: Sequence[tuple[str, Layer]]) -> None:
    for (below, lower), (above, upper) in pairwise(layers):
        if list(Layer).index(lower) >= list(Layer).index(upper):
            raise InputError(
                f"{path}: {above} is layer {upper.value} and stands after {below}, which is {lower.value}; "
                "layers go from L0 up, each once"
            )


def _on_top(filters: Any) -> Any:
    """Return one filter of several: what a later one states replaces what was stated before."""
    given = list(filters)
    stated = {name: getattr(each, name) for each in given for name in each.model_fields_set}
    return type(given[0])(**stated)
