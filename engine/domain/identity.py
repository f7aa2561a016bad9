"""Hashes of things: one canonical text, one hash function (SHA-256)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from engine.domain.errors import InvalidValueError


def canonical(value: Any) -> Any:
    """Return `value` as plain JSON types with one spelling each.

    Floats become their shortest exact hexadecimal text, so that equal numbers have equal hashes and
    no rounding is hidden; arrays become type, shape and the hash of their bytes.

    Raises
    ------
    InvalidValueError
        For a type that has no canonical form.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.floating):
        return float(value).hex()
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"dtype": value.dtype.str, "shape": list(value.shape), "sha256": digest}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: canonical(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return canonical(value._asdict())
    if isinstance(value, Sequence):
        return [canonical(item) for item in value]
    raise InvalidValueError(f"{type(value).__name__} has no canonical form, so it cannot be hashed")


def content_hash(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, 64 hex digits."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def strategy_id(name: str, identity_hash: str) -> str:
    """Return the name under which one cell of a tournament is known for ever."""
    return f"{name}-{identity_hash[:8]}"
