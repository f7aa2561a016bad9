"""Bars and years: how long a bar is and how many sessions a year has."""

from enum import StrEnum

NANOSECONDS_PER_SECOND = 1_000_000_000
NANOSECONDS_PER_DAY = 86_400 * NANOSECONDS_PER_SECOND


class Timeframe(StrEnum):
    """Length of a bar."""

    MINUTE_1 = "1m"
    MINUTE_5 = "5m"
    MINUTE_15 = "15m"
    HOUR_1 = "1h"
    HOUR_4 = "4h"
    DAY_1 = "1d"

    @property
    def nanoseconds(self) -> int:
        """Length in nanoseconds."""
        minutes = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440}[self.value]
        return minutes * 60 * NANOSECONDS_PER_SECOND


class Calendar(StrEnum):
    """When an instrument can trade. Names as `exchange_calendars` spells them."""

    ALWAYS = "24/7"
    WEEKDAYS = "24/5"
    """Currencies: from Sunday 17:00 to Friday 17:00 in New York; a day begins at 17:00."""
    XNYS = "XNYS"
    CMES = "CMES"
    """Futures of CME: each session begins in the evening before it."""

    @property
    def days_per_year(self) -> int:
        """Days that a year of returns has: all of them where trading never stops, else sessions."""
        return {"24/7": 365, "24/5": 261, "XNYS": 252, "CMES": 258}[self.value]

    @property
    def day_begins_in_the_evening(self) -> bool:
        """Whether a session begins in the evening (UTC) before the date that it is named after."""
        return self in (Calendar.WEEKDAYS, Calendar.CMES)
