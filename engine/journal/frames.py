"""The bytes of the log: one batch is one frame, and each frame holds the hash of the one before.

A frame is a header of 96 bytes and its records, padded with zeros to a multiple of 8:

    magic 4 | length u32 | crc32c u32 | count u32 | batch u64 | first sequence u64 | time i64
    journal 16 | hash of the frame before 32 | schema u64
    count x (length u32 | kind u16 | body)

All little endian. `length` counts what follows the header. CRC32C and SHA-256 are over the whole frame with
zero in the place of the CRC: the first finds damage, the second makes the chain.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import google_crc32c

from engine.domain.errors import InvalidValueError
from engine.journal.kinds import FACTS, SCHEMA_VERSION

# Not UTF-8, so that no body can hold it.
MAGIC = b"\x89GJ1"
NO_HASH = bytes(32)
HEADER = struct.Struct("<4sIIIQQq16s32sQ")
# The only part of a header that is not under the checksum.
_CRC_PLACE = slice(8, 12)
_RECORD = struct.Struct("<IH")
_ALIGNMENT = 8
# A frame that says more is damaged. The largest batch, a bar of 500 instruments, has some 50 kB.
_LENGTH_MAX = 1 << 26

# Code of a `Kind`, which may be one that this engine does not know yet, and the canonical body.
RawRecord = tuple[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A whole frame whose checksum is right.

    Attributes
    ----------
    batch, first_sequence
        Counted from 0.
    time_ns
        When it was written, UTC.
    schema
        Schema version of its records.
    end
        Offset in the log of the byte after it.
    hash
        Of this frame: what the next one holds as `previous`.
    """

    batch: int
    first_sequence: int
    time_ns: int
    journal_id: bytes
    previous: bytes
    schema: int
    records: tuple[RawRecord, ...]
    end: int
    hash: bytes


def pack(
    records: Sequence[RawRecord],
    *,
    batch: int,
    first_sequence: int,
    time_ns: int,
    journal_id: bytes,
    previous: bytes,
    schema: int = SCHEMA_VERSION,
) -> tuple[bytes, bytes]:
    """Return the bytes of a frame, and its hash.

    Raises
    ------
    InvalidValueError
        If the batch is empty or too large for one frame.
    """
    parts: list[bytes] = []
    for kind, body in records:
        parts += (_RECORD.pack(len(body), kind), body)
    content = b"".join(parts)
    content += bytes(-len(content) % _ALIGNMENT)
    if not records or len(content) > _LENGTH_MAX:
        raise InvalidValueError(
            f"a batch has at least one record and at most {_LENGTH_MAX:,} bytes; "
            f"this has {len(records)} records, {len(content):,} bytes"
        )
    header = HEADER.pack(
        MAGIC, len(content), 0, len(records), batch, first_sequence, time_ns, journal_id, previous, schema
    )
    frame = header + content
    checksum = google_crc32c.value(frame).to_bytes(4, "little")
    digest = hashlib.sha256(frame).digest()
    return frame[: _CRC_PLACE.start] + checksum + frame[_CRC_PLACE.stop :], digest


def unpack(log: bytes, offset: int, *, skipped: int = 0) -> Frame | None:
    """Return the frame that begins at `offset`; None if what stands there is not a whole, undamaged frame.

    Parameters
    ----------
    skipped
        How many bytes of the log are before `log` begins.
    """
    if log[offset : offset + len(MAGIC)] != MAGIC or len(log) - offset < HEADER.size:
        return None
    _, length, checksum, count, batch, first_sequence, time_ns, journal_id, previous, schema = (
        HEADER.unpack_from(log, offset)
    )
    end = offset + HEADER.size + length
    if length > _LENGTH_MAX or end > len(log):
        return None
    frame = log[offset : offset + _CRC_PLACE.start] + bytes(4) + log[offset + _CRC_PLACE.stop : end]
    if google_crc32c.value(frame) != checksum:
        return None
    records = _unpack_records(frame, count)
    if records is None:
        return None
    return Frame(
        batch=batch,
        first_sequence=first_sequence,
        time_ns=time_ns,
        journal_id=journal_id,
        previous=previous,
        schema=schema,
        records=records,
        end=skipped + end,
        hash=hashlib.sha256(frame).digest(),
    )


def _unpack_records(frame: bytes, count: int) -> tuple[RawRecord, ...] | None:
    records = []
    place = HEADER.size
    for _ in range(count):
        if place + _RECORD.size > len(frame):
            return None
        length, kind = _RECORD.unpack_from(frame, place)
        place += _RECORD.size
        records.append((kind, frame[place : place + length]))
        place += length
    # What is left is the padding.
    return tuple(records) if 0 <= len(frame) - place < _ALIGNMENT and records else None


def holds_frame(log: bytes, offset: int, journal_id: bytes) -> bool:
    """Return whether a whole frame of this journal begins anywhere from `offset` on."""
    while (offset := log.find(MAGIC, offset)) >= 0:
        frame = unpack(log, offset)
        if frame is not None and frame.journal_id == journal_id:
            return True
        offset += 1
    return False


def record_hash(kind: int, body: bytes) -> bytes:
    """Return the hash of what a record says, without when, where or after what it was written."""
    return hashlib.sha256(kind.to_bytes(2, "little") + body).digest()


def next_content_hash(content_hash: bytes, records: Iterable[RawRecord]) -> bytes:
    """Return the running hash of all facts, `NO_HASH` at the start, with the facts of `records` added."""
    for kind, body in records:
        if kind in FACTS:
            content_hash = hashlib.sha256(content_hash + record_hash(kind, body)).digest()
    return content_hash
