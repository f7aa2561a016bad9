"""The scan: universe, venue, asset, signal, one after the other; who falls, falls with a reason. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from engine.data.quality import moment
from engine.data.universes import Universe
from engine.discovery.configuration import AssetFilter, Scanner, VenueFilter
from engine.discovery.profiles import Profile, profiles
from engine.discovery.reasons import Reason, Stage
from engine.discovery.sight import Sight
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, Panel
from engine.domain.venue import VenueClass
from engine.features.evaluate import evaluate
from engine.features.strategy import Strategy

Value = float | int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallen:
    """An instrument that a stage did not let through.

    Attributes
    ----------
    value, limit
        What it had, and what was asked for.
    """

    symbol: str
    stage: Stage
    reason: Reason
    value: Value = None
    limit: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCount:
    """How many instruments came to a stage, and how many it let through."""

    stage: Stage
    entered: int
    left: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """What came of a scan: who is a candidate, and why all others are not, both in order of symbols."""

    candidates: tuple[Profile, ...]
    fallen: tuple[Fallen, ...]

    @property
    def stages(self) -> tuple[StageCount, ...]:
        """Counts of all stages, in order."""
        left = len(self.candidates) + len(self.fallen)
        counts = []
        for stage in Stage:
            entered = left
            left -= sum(fall.stage is stage for fall in self.fallen)
            counts.append(StageCount(stage=stage, entered=entered, left=left))
        return tuple(counts)


def scan(
    scanner: Scanner, sight: Sight, *, universe: Universe | None = None, strategy: Strategy | None = None
) -> Scan:
    """Return which of the instruments that are seen are candidates.

    The signal is that of the instruments which reached its stage: one that ranks them ranks no others.

    Parameters
    ----------
    universe, strategy
        That the scanner names; None where it names none.

    Raises
    ------
    InputError
        If the data set keeps another calendar than the scan is for, or has no prices as they were printed
        although a floor is about them.
    InvalidValueError
        If the signal needs what the panel has not.
    """
    _require_fit(scanner, sight.panel)
    asset = scanner.asset
    seen = profiles(
        sight, dollar_volume_days=asset.dollar_volume_days, with_quality=asset.quality_min is not None
    )
    wanted = sight.panel.symbols if universe is None else universe.instruments
    if universe is not None:
        # A universe knows of its instruments what no ticker tells: that it is an ETF, or a CFD.
        seen = {
            symbol: replace(profile, venue_class=universe.venue_class) if symbol in wanted else profile
            for symbol, profile in seen.items()
        }
    falls = {
        symbol: _fallen(symbol, Stage.UNIVERSE, _universe_fall(scanner, symbol, wanted, seen))
        for symbol in {*seen, *wanted}
    }
    left = [seen[symbol] for symbol in sorted(seen) if falls[symbol] is None]
    for profile in left:
        fall = next(_venue_falls(scanner.venue, scanner.venue_class, profile), None)
        falls[profile.symbol] = _fallen(profile.symbol, Stage.VENUE, fall)
    left = [profile for profile in left if falls[profile.symbol] is None]
    for profile in left:
        falls[profile.symbol] = _fallen(profile.symbol, Stage.ASSET, next(_asset_falls(asset, profile), None))
    left = [profile for profile in left if falls[profile.symbol] is None]
    if strategy is not None and left:
        left = _with_signals(sight.panel, left, strategy)
        for profile in left:
            fall = next(_signal_falls(scanner.signal.above, profile), None)
            falls[profile.symbol] = _fallen(profile.symbol, Stage.SIGNAL, fall)
    return Scan(
        candidates=tuple(profile for profile in left if falls[profile.symbol] is None),
        fallen=tuple(fall for _, fall in sorted(falls.items()) if fall is not None),
    )


# --- inside ------------------------------------------------------------------------------------------------


class _Fall(NamedTuple):
    reason: Reason
    value: Value = None
    limit: Value = None


def _fallen(symbol: str, stage: Stage, fall: _Fall | None) -> Fallen | None:
    if fall is None:
        return None
    return Fallen(symbol=symbol, stage=stage, reason=fall.reason, value=fall.value, limit=fall.limit)


def _require_fit(scanner: Scanner, panel: Panel) -> None:
    if panel.calendar is not scanner.calendar:
        raise InputError(
            f"{scanner.name} looks for {scanner.venue_class.value}, which keeps the calendar "
            f"{scanner.calendar.value}, but data set {panel.name} keeps {panel.calendar.value}; scan one "
            "that fits, or state venue.session"
        )
    if panel.adjustment is not Adjustment.NONE and (scanner.asset.price_min or scanner.asset.price_max):
        raise InputError(
            f"{scanner.name}: asset.price_min and asset.price_max are about prices as they were printed, but "
            f"data set {panel.name} is adjusted ({panel.adjustment.value}) by what came later; scan a set "
            "with adjustment none, or state both as null"
        )


def _universe_fall(
    scanner: Scanner, symbol: str, wanted: Sequence[str], seen: Mapping[str, Profile]
) -> _Fall | None:
    if symbol in scanner.universe.exclude:
        return _Fall(Reason.EXCLUDED)
    if symbol not in wanted:
        return _Fall(Reason.NOT_IN_UNIVERSE, limit=scanner.universe.name)
    return None if symbol in seen else _Fall(Reason.NOT_IN_DATA)


def _venue_falls(limits: VenueFilter, venue_class: VenueClass, profile: Profile) -> Iterator[_Fall]:
    if profile.venue_class is not venue_class:
        found = None if profile.venue_class is None else profile.venue_class.value
        yield _Fall(Reason.OTHER_CLASS, found, venue_class.value)
    if limits.venues and profile.venue not in limits.venues:
        yield _Fall(Reason.OTHER_VENUE, profile.venue, ", ".join(limits.venues))
    if limits.quotes and profile.quote not in limits.quotes:
        yield _Fall(Reason.OTHER_QUOTE, profile.quote, ", ".join(limits.quotes))


def _asset_falls(limits: AssetFilter, profile: Profile) -> Iterator[_Fall]:
    """Give every floor that an instrument does not reach, in order."""
    if profile.delisted_at is not None:
        yield _Fall(Reason.DELISTED, moment(profile.delisted_at))
    if _is_above(profile.silent_bars, limits.silent_bars_max):
        yield _Fall(Reason.SILENT, profile.silent_bars, limits.silent_bars_max)
    if _is_below(profile.bars, limits.history_bars_min):
        yield _Fall(Reason.HISTORY_SHORT, profile.bars, limits.history_bars_min)
    if _is_below(profile.listed_days, limits.listed_days_min):
        yield _Fall(Reason.LISTED_LATELY, profile.listed_days, limits.listed_days_min)
    if _is_below(profile.close, limits.price_min):
        yield _Fall(Reason.PRICE_LOW, profile.close, limits.price_min)
    if _is_above(profile.close, limits.price_max):
        yield _Fall(Reason.PRICE_HIGH, profile.close, limits.price_max)
    if limits.dollar_volume_min is not None and profile.dollar_volume is None:
        yield _Fall(Reason.VOLUME_UNKNOWN, None, limits.dollar_volume_min)
    if _is_below(profile.dollar_volume, limits.dollar_volume_min):
        yield _Fall(Reason.VOLUME_LOW, profile.dollar_volume, limits.dollar_volume_min)
    if _is_above(profile.spread_bps, limits.spread_bps_max):
        yield _Fall(Reason.SPREAD_WIDE, profile.spread_bps, limits.spread_bps_max)
    if _is_below(profile.quality, limits.quality_min):
        yield _Fall(Reason.QUALITY_LOW, profile.quality, limits.quality_min)


def _signal_falls(above: float, profile: Profile) -> Iterator[_Fall]:
    if profile.signal is None:
        yield _Fall(Reason.SIGNAL_UNKNOWN, None, above)
    elif not profile.signal > above:
        yield _Fall(Reason.SIGNAL_OFF, profile.signal, above)


def _is_below(value: float | None, floor: float | None) -> bool:
    return value is not None and floor is not None and value < floor


def _is_above(value: float | None, ceiling: float | None) -> bool:
    return value is not None and ceiling is not None and value > ceiling


def _with_signals(panel: Panel, left: Sequence[Profile], strategy: Strategy) -> list[Profile]:
    columns = tuple(panel.symbols.index(profile.symbol) for profile in left)
    signals = evaluate([strategy.signal()], panel.select(columns))[0]
    found = []
    for profile, values in zip(left, signals.T, strict=True):
        # Where a signal says nothing, the one before it stands: it did not trade in that bar.
        said = values[np.isfinite(values)]
        found.append(replace(profile, signal=float(said[-1]) if len(said) else None))
    return found
