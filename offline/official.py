"""The official server behind the calls of `offline/testing.py`, by the REST and GraphQL APIs that its dashboard uses.

Of a run, this reads the status, the output and the event, and not the steps or what else the stand-in knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from offline.inngest_server.core.state import Event, FlowSettings, Function, Run, RunStatus, Step
from offline.inngest_server.service import InvalidEventError, NotFoundError

PATIENCE_SECONDS = 60.0
"""How long something is waited for that has to come."""

SETTLE_SECONDS = 2.0
"""How long something that is under way may take. The server does not say whether anything is."""

POLL_SECONDS = 0.1
BAD_REQUEST = 400

RUNS = """query($from: Time!) {
  runs(first: 399, orderBy: [{field: QUEUED_AT, direction: ASC}], filter: {from: $from}) {
    edges { node { id status queuedAt eventName triggerIDs function { slug } app { externalID } } }
  }
}"""
FUNCTIONS = "query { functions { slug app { externalID } } }"
# The list of runs leaves the outputs out.
OUTPUT = "query($id: String!) { run(runID: $id) { output } }"


class OfficialRun(Run):
    """A run as the server tells it. It is up to date after each call that asks for runs."""

    @property
    def steps(self) -> dict[str, Step]:
        """Skip the test that asks for them."""
        pytest.skip("the steps of the official server's runs cannot be read")

    @steps.setter
    def steps(self, value: dict[str, Step]) -> None:
        """Leave out what the dataclass would keep here."""


class OfficialServer:
    """A server that runs already, and the runs on it that are younger than this object."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
        self._began = datetime.now(UTC)
        self._events: dict[str, Event] = {}
        self._runs: dict[str, Run] = {}

    async def close(self) -> None:
        """Cancel what does not end by itself, so that a later test's events do not wake it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while not all(run.status.ended for run in await self.runs()):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
        for run in await self.runs():
            if not run.status.ended:
                await self.cancel(run.id)
        await self._http.aclose()

    async def send(self, event: dict[str, Any]) -> Event:
        """Send an event. Raises InvalidEventError when the server refuses it."""
        # json.dumps escapes what httpx refuses to encode, half of a surrogate pair for one.
        answer = await self._http.post("/e/test", content=json.dumps(event))
        if answer.status_code == BAD_REQUEST:
            raise InvalidEventError(answer.json()["error"], answer.json()["ids"])
        (internal_id,) = answer.raise_for_status().json()["ids"]
        return self._event(internal_id, event.get("id") or internal_id, event["name"], event["data"])

    async def invoke(self, function_id: str, data: dict[str, Any]) -> Run:
        """Start a function by hand. Raises NotFoundError, and TimeoutError when no run comes of it."""
        known = {}
        for function in (await self._ask(FUNCTIONS))["functions"]:
            known[function["slug"].removeprefix(f"{function['app']['externalID']}-")] = function["slug"]
        slug = known.get(function_id, function_id)
        if slug not in known.values():
            raise NotFoundError(f"function not found: {function_id}; known are {', '.join(known)}")
        answer = (await self._http.post(f"/invoke/{quote(slug, safe='')}", json={"data": data})).raise_for_status()
        event = self._event(answer.json()["id"], answer.json()["id"], "inngest/function.invoked", data)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (runs := [run for run in await self.runs() if run.event is event]):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
        return runs[0]

    async def settle(self) -> None:
        """Wait as long as anything is likely to be under way, and bring the runs up to date."""
        await asyncio.sleep(SETTLE_SECONDS)
        await self.runs()

    async def cancel(self, run_id: str) -> None:
        """Cancel a run."""
        (await self._http.delete(f"/v1/runs/{run_id}")).raise_for_status()

    async def runs(self) -> list[Run]:
        """Return all runs, oldest first. A run that was returned before is the same object, brought up to date."""
        answer = await self._ask(RUNS, **{"from": self._began.isoformat()})
        for edge in answer["runs"]["edges"]:
            node = edge["node"]
            status = RunStatus.SCHEDULED if node["status"] == "QUEUED" else RunStatus(node["status"].title())
            run = self._runs.get(node["id"]) or await self._run(node)
            if status in {RunStatus.COMPLETED, RunStatus.FAILED} and not run.status.ended:
                run.output = await self._output(run.id)
            run.status = status
        return list(self._runs.values())

    async def _run(self, node: dict[str, Any]) -> Run:
        (event_id, *_) = node["triggerIDs"]
        if event_id not in self._events:
            answer = (await self._http.get(f"/v1/events/{event_id}")).json().get("data") or {}
            self._event(event_id, answer.get("id", event_id), node["eventName"] or "", answer.get("data", {}))
        slug, app_id = node["function"]["slug"], node["app"]["externalID"]
        function = Function(slug, slug, app_id, "", triggers=[], flow=FlowSettings(), config={})
        queued_at = datetime.fromisoformat(node["queuedAt"]).timestamp()
        run = self._runs[node["id"]] = OfficialRun(node["id"], function, [self._events[event_id]], queued_at)
        return run

    def _event(self, internal_id: str, event_id: str, name: str, data: dict[str, Any]) -> Event:
        now = datetime.now(UTC).timestamp()
        event = Event(internal_id, event_id, name, data, ts=int(now * 1000), received_at=now)
        return self._events.setdefault(internal_id, event)

    async def _output(self, run_id: str) -> Any:
        """Return the output of a run that has ended. The server has it a moment after the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answer = await self._ask(OUTPUT, id=run_id)
                if answer and answer["run"] and answer["run"]["output"] is not None:
                    return json.loads(answer["run"]["output"])
                await asyncio.sleep(POLL_SECONDS)

    async def _ask(self, query: str, **variables: Any) -> Any:
        answer = await self._http.post("/v0/gql", json={"query": query, "variables": variables})
        return answer.raise_for_status().json()["data"]
