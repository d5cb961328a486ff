"""Where people and other systems reach the worker over HTTP: the approval desk, the webhooks and the health checks.

Nothing here knows the engine. Whatever has to reach it goes through a `send` that the app hands in.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypedDict


class Event(TypedDict):
    """What a webhook or the desk tells the durable functions. Two events with the same id count as one."""

    id: str
    name: str
    data: dict[str, Any]


# Returns when the engine has taken the events. Raises, after seconds and not minutes, when it does not take them.
Send: TypeAlias = Callable[[Sequence[Event]], Awaitable[None]]
