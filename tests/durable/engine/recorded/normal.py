"""Brings a request from a server to an app into a form in which two servers can be compared."""

from __future__ import annotations

import re
from typing import Any

_VOLATILE = [
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "<ulid>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
]
_CONTEXT = ("attempt", "disable_immediate_execution", "generation_id", "max_attempts", "stack")


def normal(value: Any) -> Any:
    """Put placeholders for ids, times and tracebacks, everywhere inside `value`."""
    if isinstance(value, dict):
        return {normal(key): _field(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, str):
        for pattern, placeholder in _VOLATILE:
            value = pattern.sub(placeholder, value)
    return value


def request(query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """What matters of one request: which step, which attempt, with which event, steps and protocol version."""
    context = {name: body["ctx"][name] for name in _CONTEXT}
    return {
        "stepId": query["stepId"],
        "ctx": context,
        "event": normal(body["event"]),
        "events": len(body["events"]),
        "steps": normal(body["steps"]),
        "version": body["version"],
    }


def _field(name: str, value: Any) -> Any:
    if name == "stack" and isinstance(value, str):
        return "<traceback>"
    if name == "ts" and isinstance(value, int):
        return "<time>"
    if name == "_inngest":
        return "<internal>"
    return normal(value)
