"""One spelling for every body: profile QJ-1, canonical JSON without floats.

Inside the profile the bytes are those of RFC 8785, so that a third party can check every hash with a standard
library. The profile leaves out what JSON libraries disagree on: floats, integers that a double cannot hold,
and keys whose order depends on the encoding.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from engine.domain.errors import InvalidValueError

if TYPE_CHECKING:
    from engine.domain.panel import FloatArray

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_SCALARS = frozenset({str, int, bool, type(None)})
_CONTAINERS = (dict, list, tuple)
# Far below the depth at which Python's own stack would end.
_DEPTH_MAX = 32
_HEX_DIGITS = 16


def encode(body: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of a body.

    Parameters
    ----------
    body
        Strings, integers of at most 53 bits, booleans, None, and lists and dicts of them; keys are ASCII.
        A larger integer is written as a decimal string and a float as `hex_of` by the caller, who knows what
        it means.

    Raises
    ------
    InvalidValueError
        If something in the body has no place in QJ-1; the message names it.
    """
    if type(body) is not dict:
        raise InvalidValueError(f"a body is a dict, this is {type(body).__name__}")
    _check(body, "body", 0)
    try:
        return orjson.dumps(body, option=_OPTIONS)
    except TypeError as refused:
        raise InvalidValueError(
            f"body cannot be written: {refused}. Write an integer beyond 2^53 - 1 as a decimal string"
        ) from None


def decode(data: bytes) -> dict[str, Any]:
    """Return the body that `encode` made `data` from.

    Raises
    ------
    InvalidValueError
        If the bytes are not the one spelling of a body: duplicate keys, floats, spaces, keys out of order.
    """
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as wrong:
        raise InvalidValueError(f"not JSON: {wrong}") from None
    # Parsers take the last of two equal keys in silence; written again, such a text differs.
    if encode(body) != data:
        raise InvalidValueError("not canonical: the same content has another spelling in QJ-1")
    checked: dict[str, Any] = body
    return checked


def _check(value: Any, place: str, depth: int) -> None:
    """Refuse what has no place in QJ-1. `value` is a dict, a list or a tuple."""
    if depth > _DEPTH_MAX:
        raise InvalidValueError(f"{place}: more than {_DEPTH_MAX} levels")
    children = value
    if type(value) is dict:
        children = value.values()
        for key in value:
            if type(key) is not str or not key.isascii():
                raise InvalidValueError(f"{place}: key {key!r} is not an ASCII string")
    # One pass in C for the long lists of plain numbers that a record holds.
    if _SCALARS.issuperset(map(type, children)):
        return
    for key, child in value.items() if type(value) is dict else enumerate(value):
        if type(child) in _CONTAINERS:
            _check(child, f"{place}.{key}", depth + 1)
        elif type(child) not in _SCALARS:
            raise InvalidValueError(f"{place}.{key}: {type(child).__name__} has no place in a body")


def hex_of(values: "FloatArray | float") -> str:
    """Return float64 numbers as text that holds every bit.

    Returns
    -------
    16 lower case digits a number, little endian, in C order. All NaNs are written as one.
    """
    import numpy as np

    numbers = np.array(values, dtype="<f8", ndmin=1)
    # NaN has 2^53 bit patterns that mean the same, and equal runs must have equal bytes.
    numbers[np.isnan(numbers)] = np.nan
    return numbers.tobytes().hex()


def array_of(text: str) -> "FloatArray":
    """Return the numbers that `hex_of` wrote. Shape (n,), read-only.

    Raises
    ------
    InvalidValueError
        If `text` is not what `hex_of` writes.
    """
    import numpy as np

    try:
        data = bytes.fromhex(text)
        numbers: FloatArray = np.frombuffer(data, dtype="<f8")
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if hex_of(numbers) != text:
        raise InvalidValueError(
            f"{text!r:.40} is not a row of float64 numbers of {_HEX_DIGITS} lower case digits each"
        )
    return numbers
