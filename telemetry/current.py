"""Which run the present code belongs to, for whatever is counted, logged or traced below it."""

import hashlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


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
