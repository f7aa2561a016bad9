"""Why an instrument is no candidate: one code, the first thing that it lacked."""

from enum import StrEnum


class Stage(StrEnum):
    """Where instruments fall, in the order in which they are looked at."""

    UNIVERSE = "universe"
    VENUE = "venue"
    ASSET = "asset"
    SIGNAL = "signal"


class Reason(StrEnum):
    """Why an instrument fell. A code, once published, means the same for ever."""

    NOT_IN_UNIVERSE = "NOT_IN_UNIVERSE"
    NOT_IN_DATA = "NOT_IN_DATA"
    EXCLUDED = "EXCLUDED"
    OTHER_CLASS = "OTHER_CLASS"
    OTHER_VENUE = "OTHER_VENUE"
    OTHER_QUOTE = "OTHER_QUOTE"
    DELISTED = "DELISTED"
    SILENT = "SILENT"
    HISTORY_SHORT = "HISTORY_SHORT"
    LISTED_LATELY = "LISTED_LATELY"
    PRICE_LOW = "PRICE_LOW"
    PRICE_HIGH = "PRICE_HIGH"
    VOLUME_UNKNOWN = "VOLUME_UNKNOWN"
    VOLUME_LOW = "VOLUME_LOW"
    SPREAD_WIDE = "SPREAD_WIDE"
    QUALITY_LOW = "QUALITY_LOW"
    SIGNAL_UNKNOWN = "SIGNAL_UNKNOWN"
    SIGNAL_OFF = "SIGNAL_OFF"


SENTENCES = {
    Reason.NOT_IN_UNIVERSE: "is not in the universe",
    Reason.NOT_IN_DATA: "is in the universe and not in the data set",
    Reason.EXCLUDED: "is left out by name",
    Reason.OTHER_CLASS: "is of another class of venue",
    Reason.OTHER_VENUE: "is traded elsewhere, or nobody knows where",
    Reason.OTHER_QUOTE: "is quoted in another currency",
    Reason.DELISTED: "was delisted",
    Reason.SILENT: "has not traded for too many bars",
    Reason.HISTORY_SHORT: "has too few bars",
    Reason.LISTED_LATELY: "has its first bar too few days ago",
    Reason.PRICE_LOW: "costs too little",
    Reason.PRICE_HIGH: "costs too much",
    Reason.VOLUME_UNKNOWN: "has no volume to judge",
    Reason.VOLUME_LOW: "trades too little a day",
    Reason.SPREAD_WIDE: "costs too much to cross",
    Reason.QUALITY_LOW: "has bars that are not good enough",
    Reason.SIGNAL_UNKNOWN: "has no signal yet: too few bars for it",
    Reason.SIGNAL_OFF: "has no signal now",
}
