"""What the demo claims, each with what was measured; and how concurrency is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

Interval = tuple[datetime, datetime]


@dataclass(frozen=True)
class Claim:
    """One row of the table at the end."""

    decision: str
    text: str
    measured: str
    holds: bool


class Claims(list[Claim]):
    """The claims in the order in which they were checked."""

    @property
    def hold(self) -> bool:
        """Whether there are claims, and every one holds."""
        return bool(self) and all(claim.holds for claim in self)

    def check(self, decision: str, text: str, measured: str, holds: bool) -> None:
        """Add a claim."""
        self.append(Claim(decision, text, measured, holds))


def peak(intervals: Iterable[Interval]) -> int:
    """The highest number of intervals that overlap; one that begins as another ends does not overlap it."""
    steps = sorted(step for start, end in intervals for step in ((start, 1), (end, -1)))
    highest = running = 0
    for _, change in steps:
        running += change
        highest = max(highest, running)
    return highest


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time as intervals that do not overlap: what one run did, however often it is listed."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
