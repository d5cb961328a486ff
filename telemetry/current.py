"""Which run the present code belongs to, for whatever is counted, logged or traced below it."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One call of a function by the engine; a run has several. The ids are the engine's, `event_id` the sender's."""

    function_id: str
    run_id: str
    event_id: str
    attempt: int
    request_id: str | None


current: ContextVar[Run | None] = ContextVar("the run of this task", default=None)
