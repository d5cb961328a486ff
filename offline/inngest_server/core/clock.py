"""The server's clock: the host's, plus an offset that only grows.

Functions run on the host's clock and know nothing of the offset, so every absolute time they send (a sleep's end,
a Retry-After date) has to be translated before it is compared with the server's.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since the epoch, UTC; runs in real time and can be moved forward."""

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds this clock is ahead of the host's."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset

    def datetime(self) -> datetime:
        """The same instant as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def jump_to(self, when: float) -> None:
        """Move forward to `when` (seconds since the epoch); a time already past changes nothing."""
        self.offset += max(0.0, when - self.now())

    def from_host(self, when: float) -> float:
        """What an instant on the host's clock is called on this one."""
        return when + self.offset
