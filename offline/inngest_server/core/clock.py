"""The server's clock: the host's, plus an offset that only grows.

Functions run on the host's clock and know nothing of the offset. So every date that they send (a sleep's end, a
Retry-After) has to be translated before it is compared with the server's time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Runs in real time and can be moved forward."""

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds by which this clock is ahead of the host's."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset

    def datetime(self) -> datetime:
        """The server's time as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def jump_to(self, when: float) -> None:
        """Move forward to `when` (seconds since the epoch); a time that is past changes nothing."""
        self.offset += max(0.0, when - self.now())

    def from_host(self, when: float) -> float:
        """Translate an instant on the host's clock into one on this clock."""
        return when + self.offset
