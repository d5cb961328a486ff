"""Runs, steps and attempts, read out of the spans that an engine lists for a run.

The stand-in lists each step once, with its attempts below it once one has failed. The official dev server lists what a
step was planned as (with attempts below that may read RUNNING for ever) and, beside it, each attempt as it was executed
(seen in its newest source, August 2026). So spans of one step that begin together are one attempt here, and one of them
that has an end is believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from offline.demo.claims import Interval, merged

SPAN = "name status startedAt endedAt stepOp stepID"
# What to ask for; without a fragment for the span, whose type has another name in each engine.
FIELDS = f"""id status triggerIDs queuedAt endedAt function {{ slug }}
    trace(preview: true) {{ childrenSpans {{ {SPAN} childrenSpans {{ {SPAN} }} }} }}"""
RUN_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "SKIPPED"}
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
    waits: bool
    """Whether it waits for an event instead of running something."""
    attempts: list[Attempt]

    @property
    def status(self) -> str:
        """That of the last attempt: FAILED may mean that another one is to come."""
        return self.attempts[-1].status

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that failed."""
        return [attempt for attempt in self.attempts if attempt.status == "FAILED"]


@dataclass(frozen=True)
class Run:
    """One run of one function."""

    id: str
    function: str
    """As its author wrote it, without the app's prefix."""
    status: str
    event_ids: list[str]
    queued: datetime
    ended: datetime | None
    steps: list[Step]
    busy: list[Interval]
    """When a request of it was with the app; a run that waits is not busy."""

    @property
    def over(self) -> bool:
        """Whether it can never change again."""
        return self.status in RUN_ENDED

    def step(self, name: str) -> Step | None:
        """The step of this name, if it has begun."""
        return next((step for step in self.steps if step.name == name), None)


def read_run(node: dict[str, Any]) -> Run:
    """Read a run as GraphQL gives it when asked for `FIELDS`."""
    spans = [leaf for span in (node["trace"] or {}).get("childrenSpans") or [] for leaf in _leaves(span)]
    requests = [span for span in spans if span["stepOp"] in ("RUN", None) and span["endedAt"]]
    return Run(
        id=node["id"],
        function=node["function"]["slug"].removeprefix("customer-support-"),
        status=node["status"],
        event_ids=node["triggerIDs"],
        queued=_time(node["queuedAt"]),
        ended=_time(node["endedAt"]) if node["endedAt"] else None,
        steps=sorted(_steps(spans), key=lambda step: step.attempts[0].started),
        busy=merged((_time(span["startedAt"]), _time(span["endedAt"])) for span in requests),
    )


def _leaves(span: Span) -> Iterator[Span]:
    """The span's attempts, under the step's name, or the span itself when none is listed."""
    children = [child for child in span["childrenSpans"] if child["name"].startswith("Attempt ")]
    for leaf in children or [span]:
        if leaf["startedAt"]:
            yield leaf | {name: span[name] for name in ("name", "stepID", "stepOp")}


def _steps(spans: list[Span]) -> Iterator[Step]:
    by_id: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: _time(span["startedAt"])):
        if span["stepID"]:
            by_id.setdefault(span["stepID"], []).append(span)
    for same in by_id.values():
        yield Step(same[0]["name"], same[0]["stepOp"] == "WAIT_FOR_EVENT", list(_attempts(same)))


def _attempts(spans: list[Span]) -> Iterator[Attempt]:
    number = 0
    while spans:
        number, started = number + 1, _time(spans[0]["startedAt"])
        same = [span for span in spans if _time(span["startedAt"]) - started < TOGETHER]
        spans = spans[len(same) :]
        closed = [span for span in same if span["status"] in CLOSED and span["endedAt"]]
        ended = max((_time(span["endedAt"]) for span in closed), default=None)
        yield Attempt(number, (closed or same)[-1]["status"], started, ended)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
