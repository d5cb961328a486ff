"""What the demo asks an engine over HTTP. The stand-in and an official dev server understand the same requests."""

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
    """An event to send. Without an id it gets a new one; with the id of another event it is that event again."""

    name: str
    data: dict[str, Any]
    id: str = field(default_factory=lambda: f"demo-{uuid4()}")


class Engine:
    """An engine at `url`. Every method raises httpx.HTTPError when the engine does not answer or refuses."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http
        self.skips_time = False
        self._ahead = timedelta()

    async def meet(self) -> None:
        """Find out whether this engine's clock can be moved. Only the stand-in's can."""
        answer = await self._http.get(f"{self.url}/offline/clock")
        # The official server answers an address that it does not know with the page of its dashboard.
        self.skips_time = answer.is_success and "json" in answer.headers.get("content-type", "")
        if self.skips_time:
            self._ahead = timedelta(seconds=answer.json()["offset_seconds"])

    def now(self) -> datetime:
        """Return the engine's time, UTC."""
        return datetime.now(UTC) + self._ahead

    async def send(self, *events: Event) -> list[str]:
        """Send events in one request. Returns the engine's ids for them, which their runs list."""
        body = [{"name": event.name, "data": event.data, "id": event.id} for event in events]
        answer = await self._http.post(f"{self.url}/e/demo", json=body)
        answer.raise_for_status()
        return list(answer.json()["ids"])

    async def sent(self, name: str, count: int) -> list[Event]:
        """Return the newest `count` events of this name, whoever sent them."""
        answer = await self._http.get(f"{self.url}/v1/events", params={"name": name, "limit": count})
        answer.raise_for_status()
        return [Event(event["name"], event["data"], event["id"]) for event in answer.json()["data"]]

    async def invoke(self, slug: str) -> str:
        """Run a function now, whatever its trigger. `slug` begins with the app's id. Returns the event's id."""
        answer = await self._http.post(f"{self.url}/invoke/{slug}", json={"data": {}})
        answer.raise_for_status()
        return str(answer.json()["id"])

    async def advance(self, by: timedelta) -> None:
        """Move the stand-in's clock forward. On return everything that was due in that time has happened."""
        seconds = by.total_seconds()
        answer = await self._http.post(f"{self.url}/offline/advance", json={"seconds": seconds}, timeout=150)
        answer.raise_for_status()
        await self.meet()

    async def runs(self, since: datetime) -> list[Run]:
        """Return the app's runs queued since then with their traces, oldest first and at most the newest 100."""
        ask = {"query": RUNS, "variables": {"from": since.isoformat()}}
        answer = await self._http.post(f"{self.url}/v0/gql", json=ask)
        answer.raise_for_status()
        body = answer.json()
        if body.get("errors"):
            raise httpx.HTTPError(f"the engine cannot list runs: {body['errors'][0]['message']}")
        return [read_run(edge["node"]) for edge in reversed(body["data"]["runs"]["edges"])]
