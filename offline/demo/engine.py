"""What the demo asks of an engine, over HTTP and in the same words of the stand-in and of an official dev server.

Runs and steps come from the GraphQL API that the dashboard uses. The official server lists some spans twice (as
planned and as executed), so spans of one step are merged here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from offline.demo.claims import Interval, merged

# No fragment for the span: the two engines call its type differently.
SPAN = "name status startedAt endedAt stepOp stepID"
RUNS = f"""query($from: Time!) {{
  runs(first: 200, orderBy: [{{field: QUEUED_AT, direction: ASC}}], filter: {{from: $from}}) {{ edges {{ node {{
    id status triggerIDs queuedAt endedAt function {{ slug }}
    trace(preview: true) {{ childrenSpans {{ {SPAN} childrenSpans {{ {SPAN} }} }} }}
  }} }} }}
}}"""
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "SKIPPED"}
CLOSED_STEP = {"COMPLETED", "FAILED", "CANCELLED"}


@dataclass(frozen=True)
class Event:
    """An event to send; its id is a new one unless it is to be the same event as another."""

    name: str
    data: dict[str, Any]
    id: str = field(default_factory=lambda: f"demo-{uuid4()}")


@dataclass(frozen=True)
class Attempt:
    """One attempt of a step."""

    number: int
    """From 1."""
    status: str
    started: datetime | None


@dataclass
class Step:
    """One step of a run; times are UTC on the engine's clock."""

    name: str
    waits: bool
    """Whether it waits for an event instead of running something."""
    status: str
    started: datetime
    ended: datetime | None
    attempts: list[Attempt]
    """As the engine lists them, which it does once one has failed."""

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that failed."""
        return [attempt for attempt in self.attempts if attempt.status == "FAILED"]


@dataclass
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
        return self.status in ENDED

    def step(self, name: str) -> Step | None:
        """The step of this name, if it has begun."""
        return next((step for step in self.steps if step.name == name), None)


class Engine:
    """An engine at `url`. Methods raise `httpx.HTTPError` when it does not answer or refuses."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http
        self.skips_time = False
        self._ahead = timedelta()

    async def meet(self) -> None:
        """Find out whether this engine's clock can be moved, which the stand-in's can."""
        answer = await self._http.get(f"{self.url}/offline/clock")
        # The official server answers every address it does not know with the page of its dashboard.
        self.skips_time = answer.is_success and "json" in answer.headers.get("content-type", "")
        if self.skips_time:
            self._ahead = timedelta(seconds=answer.json()["offset_seconds"])

    def now(self) -> datetime:
        """The engine's time, UTC."""
        return datetime.now(UTC) + self._ahead

    async def send(self, *events: Event) -> list[str]:
        """Send events, all in one request; returns the ids under which their runs list them."""
        body = [{"name": event.name, "data": event.data, "id": event.id} for event in events]
        answer = await self._http.post(f"{self.url}/e/demo", json=body)
        answer.raise_for_status()
        return list(answer.json()["ids"])

    async def sent(self, name: str, count: int) -> list[Event]:
        """The newest `count` events of this name, whoever sent them."""
        answer = await self._http.get(f"{self.url}/v1/events", params={"name": name, "limit": count})
        answer.raise_for_status()
        return [Event(event["name"], event["data"], event["id"]) for event in answer.json()["data"]]

    async def invoke(self, slug: str) -> str:
        """Run a function now, whatever its trigger; `slug` has the app's prefix. Returns the event's id."""
        answer = await self._http.post(f"{self.url}/invoke/{slug}", json={"data": {}})
        answer.raise_for_status()
        return str(answer.json()["id"])

    async def advance(self, by: timedelta) -> None:
        """Move the stand-in's clock forward; everything due on the way has happened on return."""
        seconds = by.total_seconds()
        answer = await self._http.post(f"{self.url}/offline/advance", json={"seconds": seconds}, timeout=150)
        answer.raise_for_status()
        await self.meet()

    async def runs(self, since: datetime) -> list[Run]:
        """The app's runs queued since then, oldest first, with what their traces show."""
        ask = {"query": RUNS, "variables": {"from": since.isoformat()}}
        answer = await self._http.post(f"{self.url}/v0/gql", json=ask)
        answer.raise_for_status()
        body = answer.json()
        if body.get("errors"):
            raise httpx.HTTPError(f"the engine cannot list runs: {body['errors'][0]['message']}")
        return [_run(edge["node"]) for edge in body["data"]["runs"]["edges"]]


def _run(node: dict[str, Any]) -> Run:
    spans = (node["trace"] or {}).get("childrenSpans") or []
    return Run(
        id=node["id"],
        function=node["function"]["slug"].removeprefix("customer-support-"),
        status=node["status"],
        event_ids=node["triggerIDs"],
        queued=_time(node["queuedAt"]),
        ended=_time(node["endedAt"]) if node["endedAt"] else None,
        steps=list(_steps(spans)),
        busy=merged(
            (_time(span["startedAt"]), _time(span["endedAt"]))
            for span in spans
            if span["stepOp"] in ("RUN", None) and span["startedAt"] and span["endedAt"]
        ),
    )


def _steps(spans: list[dict[str, Any]]) -> Iterator[Step]:
    """One Step per step id, in the order in which they began; what has not begun is left out."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        if span["stepID"] and span["startedAt"]:
            by_id.setdefault(span["stepID"], []).append(span)
    for same in sorted(by_id.values(), key=lambda group: min(span["startedAt"] for span in group)):
        closed = [span for span in same if span["status"] in CLOSED_STEP and span["endedAt"]]
        shown = closed[-1] if closed else same[-1]
        attempts: dict[str, Attempt] = {}
        for child in (child for span in same for child in span["childrenSpans"]):
            word, _, number = child["name"].partition(" ")
            if word == "Attempt" and (number not in attempts or child["status"] in CLOSED_STEP):
                started = _time(child["startedAt"]) if child["startedAt"] else None
                attempts[number] = Attempt(int(number) + 1, child["status"], started)
        yield Step(
            name=shown["name"],
            waits=shown["stepOp"] == "WAIT_FOR_EVENT",
            status=shown["status"],
            started=min(_time(span["startedAt"]) for span in same),
            ended=max((_time(span["endedAt"]) for span in closed), default=None),
            attempts=sorted(attempts.values(), key=lambda attempt: attempt.number),
        )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
