"""The steps of a run and their attempts, read from the spans that an engine lists for it.

The stand-in lists each step once and, after a failure, the attempts below it. The official dev server lists each step
as it was planned (the attempts below it may read RUNNING for ever) and, beside it, each attempt as it was executed
(seen in its source of August 2026). Therefore spans of one step that begin together count as one attempt, and of these
a span that has an end is believed first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

CLOSED = {"COMPLETED", "FAILED", "CANCELLED"}
# Spans that begin within this time are one attempt: no engine tries again sooner than a second after a failure.
TOGETHER = timedelta(seconds=0.5)

Span = dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """One attempt of a step, or one wait, numbered from 1. Times are UTC on the engine's clock."""

    number: int
    status: str
    started: datetime
    ended: datetime | None


@dataclass(frozen=True)
class Step:
    """A step that has begun. `op` is its kind: RUN, SLEEP, WAIT_FOR_EVENT, INVOKE or AI_GATEWAY.

    `output` is what it returned, if the engine was asked for it and the step has completed.
    """

    name: str
    op: str
    attempts: list[Attempt]
    output: Any = None

    @property
    def status(self) -> str:
        """The status of the last attempt. After FAILED another attempt may follow."""
        return self.attempts[-1].status

    @property
    def waits(self) -> bool:
        """Whether this is a wait for an event."""
        return self.op == "WAIT_FOR_EVENT"

    @property
    def waits_now(self) -> bool:
        """Whether this is a wait for an event that has not come yet."""
        return self.waits and self.attempts[-1].ended is None and self.status not in CLOSED

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that failed."""
        return [attempt for attempt in self.attempts if attempt.status == "FAILED"]


def steps_of(spans: Iterable[Span]) -> list[Step]:
    """The steps that have begun, in the order in which they did. Spans are as `get_run_trace` gives them."""
    by_id: dict[str, list[Span]] = {}
    leaves = [leaf for span in spans for leaf in leaves_of(span)]
    for span in sorted(leaves, key=lambda leaf: time(leaf["startedAt"])):
        if span.get("stepId"):
            by_id.setdefault(span["stepId"], []).append(span)
    steps = [
        Step(same[0]["name"], same[0]["stepOp"], _executed(list(_attempts(same))), _output(same))
        for same in by_id.values()
    ]
    # A step that was planned during a sleep began after it.
    return sorted(steps, key=lambda step: step.attempts[0].started)


def _executed(attempts: list[Attempt]) -> list[Attempt]:
    """Without what was only planned, such as a span that began when the run fell asleep before the step.

    The attempts of a step never overlap, so a span that has not ended when the next one begins was a plan.
    """
    there = [
        attempt
        for attempt, following in zip_longest(attempts, attempts[1:])
        if following is None or (attempt.ended and attempt.ended <= following.started)
    ]
    return [replace(attempt, number=number) for number, attempt in enumerate(there, 1)]


def _output(spans: list[Span]) -> Any:
    return next((span["output"] for span in spans if span["status"] == "COMPLETED" and "output" in span), None)


def leaves_of(span: Span) -> Iterator[Span]:
    """The attempts below a span, named like the step, or the span itself if none are listed. Only what has begun."""
    children = [child for child in span.get("children") or [] if child["name"].startswith("Attempt ")]
    for leaf in children or [span]:
        if leaf.get("startedAt"):
            yield leaf | {name: span.get(name) for name in ("name", "stepId", "stepOp")}


def _attempts(spans: list[Span]) -> Iterator[Attempt]:
    number = 0
    while spans:
        number += 1
        started = time(spans[0]["startedAt"])
        same = [span for span in spans if time(span["startedAt"]) - started < TOGETHER]
        spans = spans[len(same) :]
        closed = [span for span in same if span["status"] in CLOSED and span.get("endedAt")]
        # What ends later belongs to the next attempt: it was planned when this one failed.
        first = min(closed, key=lambda span: time(span["endedAt"]), default=None)
        if first is None:
            yield Attempt(number, same[-1]["status"], started, None)
        else:
            yield Attempt(number, first["status"], started, time(first["endedAt"]))


def time(text: str) -> datetime:
    """A time as engines write it, as a datetime."""
    return datetime.fromisoformat(text)
