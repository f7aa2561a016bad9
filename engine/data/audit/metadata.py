"""Whether enough is known of instruments to trade them: tick, lot and precision."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

REQUIRED_COVERAGE = 0.95
FIELDS = ("tick_size", "lot_size", "price_precision")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a venue says of an instrument; None where it says nothing.

    Attributes
    ----------
    tick_size, lot_size
        Smallest steps of price (quote currency) and of size (units of the instrument), positive.
    price_precision
        Decimals of a price.
    """

    tick_size: float | None = None
    lot_size: float | None = None
    price_precision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many instruments have each field.

    Attributes
    ----------
    shares
        From 0 to 1, by field.
    lacking
        Symbols without it, by field, in order.
    """

    shares: Mapping[str, float]
    lacking: Mapping[str, tuple[str, ...]]

    @property
    def is_enough(self) -> bool:
        """Whether every field is known of 95% of the instruments."""
        return all(share >= REQUIRED_COVERAGE for share in self.shares.values())

    def __str__(self) -> str:
        parts = []
        for name, share in self.shares.items():
            without = self.lacking[name]
            names = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
            parts.append(f"{name} {share:.1%}" + (f" (not of {names})" if without else ""))
        return f"metadata: {'; '.join(parts)}; {REQUIRED_COVERAGE:.0%} of each are needed"


Records = Mapping[str, Metadata | None]


def coverage(records: Records) -> Coverage:
    """Return how much is known. A set without instruments covers nothing."""
    lacking = {
        name: tuple(symbol for symbol, known in sorted(records.items()) if not _is_known(known, name))
        for name in FIELDS
    }
    count = len(records)
    shares = {name: (count - len(without)) / count if count else 0.0 for name, without in lacking.items()}
    return Coverage(shares=shares, lacking=lacking)


def guard(records: Records, enrich: Callable[[Records], Records] | None = None) -> tuple[Records, Coverage]:
    """Return metadata that was completed once if it had to be, and how much of it there is.

    Parameters
    ----------
    enrich
        Asks the venue for what lacks. Called at most once; what it was not asked for it cannot change.
    """
    found = coverage(records)
    if found.is_enough or enrich is None:
        return records, found
    lacking = {symbol for without in found.lacking.values() for symbol in without}
    answers = enrich({symbol: records[symbol] for symbol in sorted(lacking)})
    completed = {
        symbol: answers.get(symbol, known) if symbol in lacking else known
        for symbol, known in records.items()
    }
    return completed, coverage(completed)


def _is_known(known: Metadata | None, name: str) -> bool:
    value = None if known is None else getattr(known, name)
    if value is None:
        return False
    # A precision of 0 decimals is one; a tick of 0 is none.
    return bool(value >= 0 if name == "price_precision" else value > 0)
