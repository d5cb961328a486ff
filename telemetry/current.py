"""Which run the present code belongs to, for whatever is counted, logged or traced below it."""

import asyncio
import hashlib
from collections.abc import Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

# How long a row may take, and how long an answer waits for those that are left. An email is worth more than its rows.
WRITE_SECONDS = 3


class Writes:
    """Rows that are written beside the work of one call, one after the other.

    They are there before it is answered, unless the database is slower than an email may wait.
    """

    def __init__(self) -> None:
        self._last: asyncio.Task[None] | None = None

    def add(self, write: Coroutine[Any, Any, None]) -> None:
        """Begin a write, which must not raise, as soon as those before it are done."""
        before = self._last

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait({before})
            await write

        self._last = asyncio.create_task(in_turn())

    async def done(self) -> None:
        """Wait until all is written, and for 3 seconds at most."""
        if self._last is not None:
            await asyncio.wait({self._last}, timeout=WRITE_SECONDS)


@dataclass(frozen=True)
class Run:
    """One call of a function by the engine; a run has several. The ids are the engine's, `event_id` the sender's.

    `story` is the event at which the email's story began, which this run goes on with or is a part of.
    """

    function_id: str
    run_id: str
    event_id: str
    attempt: int
    request_id: str | None
    story: str = ""
    writes: Writes = field(default_factory=Writes, compare=False, repr=False)

    @property
    def trace_id(self) -> str:
        """The id of the email's trace, in hexadecimal digits."""
        return trace_id(self.story or self.event_id)


current: ContextVar[Run | None] = ContextVar("the run of this task", default=None)


def story_of(event_id: str, data: Any) -> str:
    """The event at which the story of an event began: a decision names it, and so does the end of another run."""
    if not isinstance(data, dict):
        return event_id
    email = data.get("event")
    if "function_id" in data and isinstance(email, dict) and isinstance(email.get("id"), str):
        return str(email["id"])
    request_id = data.get("request_id")
    return request_id if isinstance(request_id, str) and request_id else event_id


def trace_id(story: str) -> str:
    """The trace of all that follows from an event, as 32 hexadecimal digits.

    It is made of the event's id, so that nobody has to carry it: it is the same in every process, after every restart
    and deploy, for a run that comes hours later and for a decision at the desk.
    """
    return hashlib.sha256(f"trace of {story}".encode()).hexdigest()[:32]
