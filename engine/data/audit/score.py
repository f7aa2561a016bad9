"""How good bars are, as one number, and whether they may be used at all."""

from dataclasses import dataclass

from engine.domain.errors import InputError

WEIGHT_MISSING = 0.3
WEIGHT_DUPLICATES = 0.2
WEIGHT_ZERO_OR_NEGATIVE = 0.2
WEIGHT_SPIKES = 0.3
"""Weights that add up to 1: data in which all is wrong scores 0. Upstream's did not fall under 0.25."""

INVALID_BELOW = 0.6
"""Under this score data is stored and never used."""

SPIKES_OF_A_BROKEN_FEED = 1 / 1000
"""Share of bars with a bad tick or a volume spike at which the term of spikes is lost as a whole.

Real series have less than one in 20,000; upstream lost the term for the first spike of a series of any
length.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """DATA_QUALITY_SCORE of bars, and the shares it is made of, each from 0 (none) to 1 (all).

    Attributes
    ----------
    missing
        Of the bars that the calendar expects.
    duplicates, zero_or_negative
        Of the rows. Cells that are not numbers count as zero or negative.
    spikes
        Of the spikes that make a feed a broken one.
    """

    missing: float
    duplicates: float
    zero_or_negative: float
    spikes: float

    def __post_init__(self) -> None:
        for name in ("missing", "duplicates", "zero_or_negative", "spikes"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"score: {name} must be a share from 0 to 1, was {value}")

    @property
    def value(self) -> float:
        """From 0 to 1, 1 is faultless."""
        return 1.0 - (
            WEIGHT_MISSING * self.missing
            + WEIGHT_DUPLICATES * self.duplicates
            + WEIGHT_ZERO_OR_NEGATIVE * self.zero_or_negative
            + WEIGHT_SPIKES * self.spikes
        )

    @property
    def is_valid(self) -> bool:
        """Whether the bars may be used. False is INVALID_DATA."""
        # A sum of weights ends a last digit beside what it should be: 0.6 itself is valid.
        return self.value >= INVALID_BELOW - 1e-12


def score(*, rows: int, expected: int, missing: int, duplicates: int, impossible: int, spikes: int) -> Score:
    """Return the score of counted defects.

    Parameters
    ----------
    rows
        All rows as they came.
    expected, missing
        Bars that the calendar has, and those of them that are not there.
    impossible
        Rows with a price that is not positive, a negative volume or a cell that is no number.
    """
    if rows == 0:
        return Score(missing=1.0, duplicates=1.0, zero_or_negative=1.0, spikes=1.0)
    return Score(
        missing=min(missing / expected, 1.0) if expected else 0.0,
        duplicates=min(duplicates / rows, 1.0),
        zero_or_negative=min(impossible / rows, 1.0),
        spikes=min(spikes / rows / SPIKES_OF_A_BROKEN_FEED, 1.0),
    )
