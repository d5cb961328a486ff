"""Where people and other systems reach the worker over HTTP, and where it writes back to them.

A door is handed a `send` and knows nothing of the engine behind it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypedDict


class Event(TypedDict):
    """What a door tells the functions behind it. The same id again is the same event."""

    id: str
    name: str
    data: dict[str, Any]


# Returns when the engine has the events; raises after seconds, not minutes, when it does not take them.
Send: TypeAlias = Callable[[Sequence[Event]], Awaitable[None]]
