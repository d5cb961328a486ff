"""What the demo asks of an engine, over HTTP and in the same words of the stand-in and of an official dev server."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from offline.demo.trace import FIELDS, Run, read_run

RUNS = f"""query($from: Time!) {{
  runs(first: 100, orderBy: [{{field: QUEUED_AT, direction: DESC}}], filter: {{from: $from}}) {{
    edges {{ node {{ {FIELDS} }} }}
  }}
}}"""


@dataclass(frozen=True)
class Event:
    """An event to send; its id is a new one unless it is to be the same event as another."""

    name: str
    data: dict[str, Any]
    id: str = field(default_factory=lambda: f"demo-{uuid4()}")


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
        """The app's runs queued since then (of many the newest 100), oldest first, with what their traces show."""
        ask = {"query": RUNS, "variables": {"from": since.isoformat()}}
        answer = await self._http.post(f"{self.url}/v0/gql", json=ask)
        answer.raise_for_status()
        body = answer.json()
        if body.get("errors"):
            raise httpx.HTTPError(f"the engine cannot list runs: {body['errors'][0]['message']}")
        return [read_run(edge["node"]) for edge in reversed(body["data"]["runs"]["edges"])]
