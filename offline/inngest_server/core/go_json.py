"""JSON as the official server, which is written in Go, reads and writes it."""

from __future__ import annotations

import json
from typing import NoReturn

from .state import Json


def dumps(value: Json) -> bytes:
    """The value as JSON without spaces, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def loads(raw: bytes) -> Json:
    """The value in `raw`; None when it is empty. Half a surrogate pair becomes U+FFFD. Raises `ValueError`."""
    if not raw:
        return None
    value = json.loads(raw, parse_constant=_reject)
    if b"\\ud" not in raw.lower():
        return value
    text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.loads(text)


def _reject(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python would read."""
    raise ValueError(f"invalid JSON: {constant}")


def type_name(value: Json) -> str:
    """What Go's error messages call the type of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"
