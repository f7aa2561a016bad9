"""How much room the disk must have before new risk is taken."""

from enum import StrEnum

REDUCE_ONLY_BYTES = 1_000_000_000
KILL_BYTES = 256_000_000


class Mode(StrEnum):
    """What the engine may do."""

    ACTIVE = "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY"
    KILL = "KILL"


def mode_of(free_bytes: int) -> Mode:
    """Return the mode that the room on the disk of the journal asks for.

    A journal that cannot be written blocks every order, so positions are brought down while it still can.
    """
    if free_bytes < KILL_BYTES:
        return Mode.KILL
    if free_bytes < REDUCE_ONLY_BYTES:
        return Mode.REDUCE_ONLY
    return Mode.ACTIVE
