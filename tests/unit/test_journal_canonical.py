"""What has a place in a body, and what has not."""

import json
import math
import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.journal.canonical import array_of, decode, encode, hex_of
from engine.journal.kinds import Kind


def test_a_body_has_one_spelling() -> None:
    body = {"b": [1, None, True], "a": {"z": "é\u2028\x7f", "y": '"\\/\b\n\x1f'}, "B": -(2**53) + 1, "": ()}

    assert (
        encode(body)
        == (
            '{"":[],"B":-9007199254740991,"a":{"y":"\\"\\\\/\\b\\n\\u001f","z":"é\u2028\x7f"},"b":[1,null,true]}'
        ).encode()
    )


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (1.0, "a.b.0: float"),
        (math.nan, "a.b.0: float"),
        (np.float64(1), "a.b.0: float64"),
        (np.int64(1), "a.b.0: int64"),
        (Kind.BAR, "a.b.0: Kind"),
        (b"x", "a.b.0: bytes"),
        ({1}, "a.b.0: set"),
        (datetime(2026, 1, 1, tzinfo=UTC), "a.b.0: datetime"),
        (2**53, "53-bit"),
        (-(2**53), "53-bit"),
        (2**64, "64-bit"),
        ("\ud800", "surrogates"),
        ({"é": 1}, "a.b.0: key 'é'"),
        ({1: 1}, "a.b.0: key 1"),
    ],
)
def test_what_json_libraries_disagree_on_is_refused_by_name(value: Any, named: str) -> None:
    with pytest.raises(InvalidValueError, match=named.replace(".", r"\.")):
        encode({"a": {"b": [value]}})


@pytest.mark.parametrize("body", [[], "x", 1, None, [("a", 1)]])
def test_a_body_is_a_dict(body: Any) -> None:
    with pytest.raises(InvalidValueError, match="is a dict"):
        encode(body)


@pytest.mark.parametrize("depth", [33, 400, 100_000])
def test_a_body_of_too_many_levels_is_refused_both_ways(depth: int) -> None:
    body: Any = {}
    for _ in range(min(depth, 900)):
        body = {"a": body}

    with pytest.raises(InvalidValueError, match="levels"):
        encode(body)
    with pytest.raises(InvalidValueError):
        decode(b'{"a":' * depth + b"{}" + b"}" * depth)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"a":2}',
        '{"a":{"b":1,"b":1}}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":-0}',
        '{"a":9007199254740992}',
        '{"a":18446744073709551616}',
        '{"é":1}',
        '{"b":1,"a":1}',
        '{"a": 1}',
        '{"a":1}\n',
        '{"a":"\\u00e9"}',
        '{"a":"\\/"}',
        "[]",
        "1",
        "null",
        "",
        '{"a":NaN}',
        '{"a":1',
    ],
)
def test_bytes_that_are_no_body_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        decode(text.encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    for data in (b"\xff", b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b"\x89GJ1"):
        with pytest.raises(InvalidValueError, match="not JSON"):
            decode(data)


def test_a_long_list_is_read_back() -> None:
    body = {"targets": [*range(-500, 500), None], "text": "x" * 10_000}

    assert decode(encode(body)) == body == json.loads(encode(body))


def test_numbers_keep_every_bit() -> None:
    values = np.array([1.0, -0.0, 0.1, np.inf, -np.inf, 5e-324, 1.7976931348623157e308])

    text = hex_of(values)

    assert text == b"".join(struct.pack("<d", value) for value in values).hex()
    assert array_of(text).tobytes() == values.tobytes()
    assert not array_of(text).flags.writeable


def test_every_nan_is_written_as_one() -> None:
    payloads = np.array(
        [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0x7FFFFFFFFFFFFFFF], np.uint64
    )

    text = hex_of(payloads.view(np.float64))

    assert text == "000000000000f87f" * 4
    assert np.isnan(array_of(text)).all()


def test_a_number_a_panel_and_nothing_are_written_too() -> None:
    assert hex_of(1.0) == "000000000000f03f"
    assert hex_of(np.empty(0)) == ""
    assert array_of("").shape == (0,)
    columns = np.asfortranarray([[1.0, 2.0], [3.0, 4.0]])
    assert array_of(hex_of(columns)).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_writing_numbers_leaves_them_as_they_are() -> None:
    values = np.array([0xFFF8000000000000], np.uint64).view(np.float64)
    before = values.tobytes()

    hex_of(values)

    assert values.tobytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "00",
        "000000000000F03F",
        "00000000 0000f03f",
        "zz",
        "000000000000f03",
        "000000000000f8ff",
        "é" * 16,
        None,
    ],
)
def test_text_that_is_no_row_of_numbers_is_refused(text: Any) -> None:
    with pytest.raises(InvalidValueError, match="float64"):
        array_of(text)
