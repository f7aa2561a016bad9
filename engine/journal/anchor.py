"""What was acknowledged, written down outside the log.

A chain that was cut short is still a valid chain, so the log alone cannot tell that its end is missing. The
anchor is a second file of two slots, 512 bytes each, because a disk writes a sector of that size whole or not
at all.
"""

import struct
from dataclasses import dataclass

import google_crc32c

SLOT_BYTES = 512
SLOTS = 2
_MAGIC = b"\x89GA1"
_CONTENT = struct.Struct("<4sQQQQ16s32s")
# A slot is a CRC32C, then the content that it is over, then zeros that it is over as well.
_CRC_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The end of the log when its last batch was acknowledged.

    Attributes
    ----------
    generation
        Counts the writes of the anchor; of two slots the larger one holds.
    batches, next_sequence
        How many batches and records the log had.
    end
        Its length in bytes.
    head
        Hash of its last frame.
    """

    generation: int
    batches: int
    next_sequence: int
    end: int
    journal_id: bytes
    head: bytes

    @property
    def slot(self) -> int:
        """Which of the two slots it stands in."""
        return self.generation % SLOTS

    def pack(self) -> bytes:
        """Return the bytes of one slot."""
        content = _CONTENT.pack(
            _MAGIC,
            self.generation,
            self.batches,
            self.next_sequence,
            self.end,
            self.journal_id,
            self.head,
        ).ljust(SLOT_BYTES - _CRC_BYTES, b"\0")
        return _checksum(content) + content


def newest(file: bytes) -> Anchor | None:
    """Return the anchor that an anchor file holds; None where both slots are damaged."""
    slots = (_unpack(file[start : start + SLOT_BYTES]) for start in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES))
    return max((slot for slot in slots if slot is not None), key=lambda slot: slot.generation, default=None)


def _unpack(slot: bytes) -> Anchor | None:
    if len(slot) != SLOT_BYTES:
        return None
    content = slot[_CRC_BYTES:]
    magic, generation, batches, next_sequence, end, journal_id, head = _CONTENT.unpack_from(content)
    if magic != _MAGIC or _checksum(content) != slot[:_CRC_BYTES]:
        return None
    return Anchor(
        generation=generation,
        batches=batches,
        next_sequence=next_sequence,
        end=end,
        journal_id=journal_id,
        head=head,
    )


def _checksum(content: bytes) -> bytes:
    checksum: bytes = google_crc32c.value(content).to_bytes(_CRC_BYTES, "little")
    return checksum
