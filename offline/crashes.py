"""Lets an app die at one call of the engine, for the mark `crash_at_every_step` of the pytest plugin."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

if TYPE_CHECKING:
    from offline.serving import AppServer

SIDES = ("before", "after")


@dataclass
class Crash:
    """The calls that the engine makes to the app, and the one at which the app's process dies, if there is one.

    `side` says whether it dies before the call does anything, or after all of it and before it is answered.
    """

    call: int = 0
    side: str = "before"
    function: str | None = None
    """The function whose calls count, by the id that its author wrote; None stands for all."""
    full_ids: set[str] = field(default_factory=set)
    """That function's ids with its app's in front, as its calls have them. Known once its app has registered."""
    calls: list[str] = field(default_factory=list)
    """What each call so far reported: names of steps, or that the function ended."""
    is_recovered: bool = False

    @property
    def has_happened(self) -> bool:
        """Whether the call at which the process dies has come."""
        return 0 < self.call <= len(self.calls)

    def counts(self, scope: Any) -> bool:
        """Whether a request, as an ASGI scope, is a call that counts."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        called = dict(parse_qsl(scope["query_string"].decode())).get("fnId")
        return called is not None and (self.function is None or called in self.full_ids)

    def __str__(self) -> str:
        return f"The process was killed {self.side} call {self.call} of the engine ({self.calls[self.call - 1]})."


CRASH = pytest.StashKey[Crash]()
"""Where a test with the mark keeps the crash of this run of it."""


class CrashingApp:
    """An ASGI app that dies at one call of the engine, and until then takes down what each call reported.

    Without a crash it is the app and nothing else.
    """

    def __init__(self, app: Any, crash: Crash | None) -> None:
        self.server: AppServer
        self._app = app
        self._crash = crash

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Do what the app does, and die when the call has come."""
        crash = self._crash
        if crash is None or not crash.counts(scope):
            await self._app(scope, receive, send)
            return
        crash.calls.append("")
        number = len(crash.calls)
        dies = number == crash.call
        if dies and crash.side == "before":
            await self._die()
        answer: list[Any] = []

        async def keep(message: Any) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        crash.calls[number - 1] = _reported(answer)
        if dies:
            await self._die()
        for message in answer:
            await send(message)

    async def _die(self) -> None:
        self.server.crash()
        # This task is one of those that `crash` has cancelled, and ends here.
        await asyncio.sleep(1)


def _reported(answer: list[Any]) -> str:
    """Return the names of the steps that an answer of the SDK reports."""
    body = b"".join(message.get("body", b"") for message in answer)
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return ", ".join(op["displayName"] for op in json.loads(body) if "displayName" in op) or "the function's end"
    return "the function's end"
