"""From the spans that an engine lists for a run to its steps and their attempts.

The stand-in lists each step once, with its attempts below it once one has failed. The official dev server lists what a
step was planned as (with attempts below that may read RUNNING for ever) and, beside it, each attempt as it was executed
(seen in its newest source, August 2026). So spans of one step that begin together are one attempt here, and one of them
that has an end is believed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

CLOSED = {"COMPLETED", "FAILED", "CANCELLED"}
# No engine tries again sooner than a second after a failure.
TOGETHER = timedelta(seconds=0.5)

Span = dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One attempt of a step, or one wait; times are UTC on the engine's clock."""

    number: int
    """From 1."""
    status: str
    started: datetime
    ended: datetime | None


@dataclass(frozen=True)
class Step:
    """One step of a run that has begun."""

    name: str
    op: str
    """RUN, SLEEP, WAIT_FOR_EVENT, INVOKE or AI_GATEWAY."""
    attempts: list[Attempt]

    @property
    def status(self) -> str:
        """That of the last attempt: FAILED may mean that another one is to come."""
        return self.attempts[-1].status

    @property
    def waits(self) -> bool:
        """Whether it waits for an event instead of running something."""
        return self.op == "WAIT_FOR_EVENT"

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that failed."""
        return [attempt for attempt in self.attempts if attempt.status == "FAILED"]


def steps_of(spans: Iterable[Span]) -> list[Step]:
    """The steps that have begun, in that order. Spans are as `get_run_trace` gives them."""
    by_id: dict[str, list[Span]] = {}
    leaves = [leaf for span in spans for leaf in leaves_of(span)]
    for span in sorted(leaves, key=lambda leaf: time(leaf["startedAt"])):
        if span.get("stepId"):
            by_id.setdefault(span["stepId"], []).append(span)
    steps = [Step(same[0]["name"], same[0]["stepOp"], list(_attempts(same))) for same in by_id.values()]
    return sorted(steps, key=lambda step: step.attempts[0].started)


def leaves_of(span: Span) -> Iterator[Span]:
    """The span's attempts, under the step's name, or the span itself when none is listed; only what has begun."""
    children = [child for child in span.get("children") or [] if child["name"].startswith("Attempt ")]
    for leaf in children or [span]:
        if leaf.get("startedAt"):
            yield leaf | {name: span.get(name) for name in ("name", "stepId", "stepOp")}


def _attempts(spans: list[Span]) -> Iterator[Attempt]:
    number = 0
    while spans:
        number, started = number + 1, time(spans[0]["startedAt"])
        same = [span for span in spans if time(span["startedAt"]) - started < TOGETHER]
        spans = spans[len(same) :]
        closed = [span for span in same if span["status"] in CLOSED and span.get("endedAt")]
        ended = max((time(span["endedAt"]) for span in closed), default=None)
        yield Attempt(number, (closed or same)[-1]["status"], started, ended)


def time(text: str) -> datetime:
    """An engine's time as a datetime."""
    return datetime.fromisoformat(text)
