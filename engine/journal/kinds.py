"""What a record can say. A code, once published, means the same for ever."""

from enum import IntEnum

# Raised when a kind is added or the body of one changes. Every frame carries it; a reader reads 1 to its own.
SCHEMA_VERSION = 2


class Kind(IntEnum):
    """Kind of a record.

    A member is never removed, renamed or given another meaning: old journals must stay readable, and a code
    that comes back with a new meaning makes old code act on it. What is no longer written goes into
    `RETIRED`.
    """

    SESSION_STARTED = 1
    WEIGHTS = 2
    BAR = 3
    DECISION = 4
    ORDER = 5
    FILL = 6
    ORDER_CLOSED = 7
    CASH = 8
    SESSION_FINISHED = 9
    PROMOTED = 10
    SCAN_STARTED = 11
    SCAN_FINISHED = 12
    SESSION_RESUMED = 100
    TAIL_TRUNCATED = 101
    SESSION_INTERRUPTED = 102


# Tombstones: read, and refused when written.
RETIRED: frozenset[Kind] = frozenset()

# What was known, decided and done. How often a process had to start for that is no fact: equal runs have
# equal facts, and so equal content hashes.
FACTS = frozenset(kind for kind in Kind if kind < Kind.SESSION_RESUMED)
