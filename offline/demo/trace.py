"""Reads a run, with its steps and its requests, from the spans that an engine lists for it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gates.spans import Span, Step, leaves_of, steps_of, time
from offline.demo.claims import Interval, merged

SPAN = "name status startedAt endedAt stepOp stepId: stepID"
# Each engine names the type of a span differently, so the query cannot use a fragment for it.
FIELDS = f"""id status triggerIDs queuedAt endedAt function {{ slug }}
    trace(preview: true) {{ children: childrenSpans {{ {SPAN} children: childrenSpans {{ {SPAN} }} }} }}"""
RUN_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "SKIPPED"}


@dataclass(frozen=True)
class Run:
    """One run of one function."""

    id: str
    function: str
    """The id as the code has it, without the app's id."""
    status: str
    event_ids: list[str]
    queued: datetime
    ended: datetime | None
    steps: list[Step]
    busy: list[Interval]
    """When the app was working on a request of this run. A run that waits is not busy."""

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.status in RUN_ENDED

    def step(self, name: str) -> Step | None:
        """Return the step of this name, or None if it has not begun."""
        return next((step for step in self.steps if step.name == name), None)


def read_run(node: dict[str, Any]) -> Run:
    """Read a run from the answer to a query for `FIELDS`."""
    spans: list[Span] = (node["trace"] or {}).get("children") or []
    leaves = [leaf for span in spans for leaf in leaves_of(span)]
    # A wait or a sleep has an op of its own and is no request; the request that ends a run has no op.
    requests = [leaf for leaf in leaves if leaf["stepOp"] in ("RUN", None) and leaf["endedAt"]]
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
