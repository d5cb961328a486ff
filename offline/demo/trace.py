"""Runs as the demo sees them, read out of the spans that an engine lists for a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gates.spans import Span, Step, leaves_of, steps_of, time
from offline.demo.claims import Interval, merged

SPAN = "name status startedAt endedAt stepOp stepId: stepID"
# What to ask for; without a fragment for the span, whose type has another name in each engine.
FIELDS = f"""id status triggerIDs queuedAt endedAt function {{ slug }}
    trace(preview: true) {{ children: childrenSpans {{ {SPAN} children: childrenSpans {{ {SPAN} }} }} }}"""
RUN_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "SKIPPED"}


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
    spans: list[Span] = (node["trace"] or {}).get("children") or []
    requests = [
        leaf for span in spans for leaf in leaves_of(span) if leaf["stepOp"] in ("RUN", None) and leaf["endedAt"]
    ]
    return Run(
        id=node["id"],
        function=node["function"]["slug"].removeprefix("customer-support-"),
        status=node["status"],
        event_ids=node["triggerIDs"],
        queued=time(node["queuedAt"]),
        ended=time(node["endedAt"]) if node["endedAt"] else None,
        steps=steps_of(spans),
        busy=merged((time(leaf["startedAt"]), time(leaf["endedAt"])) for leaf in requests),
    )
