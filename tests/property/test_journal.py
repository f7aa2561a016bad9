"""What is true of every body, of every damaged file, and of every life of a journal."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.domain.errors import InvalidValueError, JournalError
from engine.journal.canonical import array_of, decode, encode, hex_of
from engine.journal.chain import Status, judge
from engine.journal.frames import MAGIC, next_content_hash
from engine.journal.journal import Journal
from engine.journal.kinds import FACTS, Kind
from engine.journal.memory import MemoryStorage, Survival
from engine.journal.storage import File

INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEYS = st.text(st.characters(codec="ascii"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(KEYS, VALUES, max_size=5)
BATCHES = st.lists(st.tuples(st.sampled_from(sorted(FACTS)), BODIES), min_size=1, max_size=3)


@given(body=BODIES)
def test_a_body_is_written_as_every_canonical_json_library_writes_it(body: dict[str, Any]) -> None:
    expected = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    assert encode(body) == expected
    assert decode(expected) == body


@given(text=st.one_of(st.binary(max_size=40), BODIES.map(lambda body: json.dumps(body).encode())))
def test_bytes_are_a_body_in_its_one_spelling_or_refused(text: bytes) -> None:
    try:
        body = decode(text)
    except InvalidValueError:
        return

    assert encode(body) == text


@given(bits=st.lists(st.integers(0, 2**64 - 1), max_size=8))
def test_numbers_of_every_bit_pattern_come_back(bits: list[int]) -> None:
    values = np.array(bits, dtype=np.uint64).view(np.float64)

    text = hex_of(values)
    returned = array_of(text)

    np.testing.assert_array_equal(returned, values)
    assert hex_of(returned) == text
    numbers = ~np.isnan(values)
    assert returned[numbers].tobytes() == values[numbers].tobytes()
    assert text == b"".join(struct.pack("<d", value) for value in returned).hex()


@given(log=st.binary(max_size=300), anchor=st.none() | st.binary(max_size=1100))
def test_any_bytes_get_a_verdict(log: bytes, anchor: bytes | None) -> None:
    assert judge(log, anchor).status is Status.ANCHOR_CORRUPT


@given(batches=st.lists(BATCHES, min_size=1, max_size=4), data=st.data())
def test_what_is_taken_for_a_journal_has_every_acknowledged_batch(
    batches: list[list[tuple[Kind, dict[str, Any]]]], data: st.DataObject
) -> None:
    storage = MemoryStorage()
    with Journal.create(storage=storage, clock=lambda: 0, journal_id=bytes(16)) as journal:
        for batch in batches:
            journal.append(batch)
    log = bytes(storage.seen[File.LOG])
    start = data.draw(st.integers(0, len(log)))
    end = data.draw(st.integers(start, len(log)))
    put = data.draw(st.one_of(st.binary(max_size=200), st.just(log[start:end]), st.just(log)))

    damaged = log[:start] + put + log[end:]
    chain = judge(damaged, storage.read(File.ANCHOR))

    assert damaged.startswith(log) or not chain.status.usable
    # A whole frame after the end does not continue the chain; anything else there was never acknowledged.
    if damaged.startswith(log) and MAGIC not in damaged[len(log) :]:
        assert chain.status.usable


class Life(RuleBasedStateMachine):
    """A journal that is written, killed, cut from power and opened again, in any order.

    `acknowledged` is what the writer was told is safe; `pending` is a batch whose writing failed.
    """

    @initialize(strict=st.booleans())
    def create(self, strict: bool) -> None:
        self.strict = strict
        self.storage = MemoryStorage()
        self.journal: Journal | None = Journal.create(
            storage=self.storage, clock=self.clock, strict=strict, journal_id=bytes(16)
        )
        self.acknowledged: list[list[tuple[int, bytes]]] = []
        self.pending: list[tuple[int, bytes]] | None = None

    def clock(self) -> int:
        return self.storage.operations

    def written(self) -> list[list[tuple[int, bytes]]]:
        """Return the batches on the disk, without what recovery adds."""
        chain = judge(self.storage.read(File.LOG) or b"", self.storage.read(File.ANCHOR))
        assert chain.status.usable, chain.problem
        batches = [list(frame.records) for frame in chain.frames]
        return [batch for batch in batches if batch[0][0] != Kind.TAIL_TRUNCATED]

    @precondition(lambda self: self.journal is not None)
    @rule(batch=BATCHES)
    def append(self, batch: list[tuple[Kind, dict[str, Any]]]) -> None:
        assert self.journal is not None
        self.journal.append(batch)
        self.acknowledged.append([(int(kind), encode(body)) for kind, body in batch])

    @precondition(lambda self: self.journal is not None)
    @rule(batch=BATCHES, after=st.integers(0, 3), take_max=st.none() | st.integers(1, 600))
    def append_and_fail(
        self, batch: list[tuple[Kind, dict[str, Any]]], after: int, take_max: int | None
    ) -> None:
        assert self.journal is not None
        self.storage.take_max = take_max
        self.storage.faults = {self.storage.operations + after: 5}
        encoded = [(int(kind), encode(body)) for kind, body in batch]
        try:
            self.journal.append(batch)
        except JournalError:
            self.pending = encoded
            with pytest.raises(JournalError):
                self.journal.append(batch)
            self.journal = None
        else:
            self.acknowledged.append(encoded)
        self.storage.take_max, self.storage.faults = None, {}

    @precondition(lambda self: self.journal is not None)
    @rule()
    def flush_anchor(self) -> None:
        assert self.journal is not None
        self.journal.flush_anchor()

    @rule()
    def kill(self) -> None:
        self.storage = self.storage.after_kill()
        self.open()

    @rule(seed=st.randoms(use_true_random=False))
    def cut_power(self, seed: Any) -> None:
        safe = len(self.storage.safe[File.LOG])

        def fate(file: File, sector: int) -> Survival:
            # A sector that holds acknowledged bytes already is written whole or not at all.
            shared = file is File.LOG and sector * 512 < safe
            return Survival(seed.choice(["old", "new"] if shared else ["old", "new", "zero", "garbage"]))

        self.storage = self.storage.after_power_cut(fate)
        self.open()

    @precondition(lambda self: self.journal is not None)
    @rule()
    def close(self) -> None:
        assert self.journal is not None
        self.journal.close()
        self.open()

    def open(self) -> None:
        found = self.written()
        self.journal = Journal.open(storage=self.storage, clock=self.clock, strict=self.strict)
        # A batch that was not acknowledged may be there: from now on it counts.
        assert found in (self.acknowledged, [*self.acknowledged, self.pending])
        self.acknowledged, self.pending = found, None

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        assert self.written()[: len(self.acknowledged)] == self.acknowledged
        if self.journal is not None:
            content_hash = bytes(32)
            for batch in self.acknowledged:
                content_hash = next_content_hash(content_hash, batch)
            assert self.journal.content_hash == content_hash.hex()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
