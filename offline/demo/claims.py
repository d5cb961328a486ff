"""The demo's claims, each with what was measured, and the measuring of concurrency."""

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
        """Whether there is at least one claim and every claim holds."""
        return bool(self) and all(claim.holds for claim in self)

    def check(self, decision: str, text: str, measured: str, holds: bool) -> None:
        """Add a claim."""
        self.append(Claim(decision, text, measured, holds))


def peak(intervals: Iterable[Interval]) -> int:
    """Return how many intervals overlap at most. One that begins just when another ends does not overlap it."""
    steps = sorted(step for start, end in intervals for step in ((start, 1), (end, -1)))
    highest = running = 0
    for _, change in steps:
        running += change
        highest = max(highest, running)
    return highest


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as intervals that do not overlap, because an engine may list a run's request twice."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
