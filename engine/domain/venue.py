"""Classes of venue: when they trade, how long a year of them is, and what is bought there."""

from enum import StrEnum

from engine.domain.time import Calendar


class MarketKind(StrEnum):
    """What stands behind a position."""

    CASH = "cash"
    """What was bought is paid for and owned."""
    MARGIN = "margin"
    """A contract with a broker, on credit, financed every night."""
    DERIVATIVE = "derivative"
    """A listed contract that expires."""


class VenueClass(StrEnum):
    """A class of venue. Series of two classes stand in one data set only where their calendars agree."""

    EQUITY = "equity"
    ETF = "etf"
    FOREX = "forex"
    FUTURES = "futures"
    CRYPTO = "crypto"
    CFD = "cfd"

    @property
    def calendar(self) -> Calendar:
        """When it trades, and so how many days a year of it has."""
        match self:
            case VenueClass.EQUITY | VenueClass.ETF:
                return Calendar.XNYS
            case VenueClass.FOREX | VenueClass.CFD:
                return Calendar.WEEKDAYS
            case VenueClass.FUTURES:
                return Calendar.CMES
            case VenueClass.CRYPTO:
                return Calendar.ALWAYS

    @property
    def market(self) -> MarketKind:
        """What stands behind a position."""
        match self:
            case VenueClass.EQUITY | VenueClass.ETF | VenueClass.CRYPTO:
                return MarketKind.CASH
            case VenueClass.FOREX | VenueClass.CFD:
                return MarketKind.MARGIN
            case VenueClass.FUTURES:
                return MarketKind.DERIVATIVE

    @property
    def fresh_hours(self) -> int:
        """Age of the last bar's close up to which it is fresh: a long weekend is no failure."""
        return 72 if self is VenueClass.CRYPTO else 5 * 24


class CalendarPolicy(StrEnum):
    """What becomes of instruments with different calendars in one data set."""

    REFUSE = "refuse"
    INNER_JOIN = "inner_join"
    """Bars stand where every calendar has one. A weekend is left out, never filled."""
