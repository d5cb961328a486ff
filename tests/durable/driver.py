"""How the durable tests drive an engine and count what it led to."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

import db
from offline.inngest_server import DevServer

OFFICIAL = os.environ.get("INNGEST_TEST_SERVER")
PATIENCE_SECONDS = 60.0 if OFFICIAL else 30.0


class Engine:
    """What a test does with an engine, the same on both."""

    def __init__(self, url: str, stand_in: DevServer | None) -> None:
        self._stand_in = stand_in
        self._http = httpx.AsyncClient(base_url=url, timeout=30)

    async def send(self, name: str, data: dict[str, Any], event_id: str | None = None) -> str:
        """Send one event; its id, made up if none is given, so that no two tests share one."""
        event_id = event_id or str(uuid4())
        # json.dumps escapes what httpx refuses to encode, half a surrogate pair for one.
        answer = await self._http.post("/e/test", content=json.dumps({"id": event_id, "name": name, "data": data}))
        answer.raise_for_status()
        return event_id

    async def email(self, text: object, customer_id: object = "cust_002", event_id: str | None = None) -> str:
        """A customer writes."""
        return await self.send("customer/email.received", {"customer_id": customer_id, "email_text": text}, event_id)

    async def decide(self, **data: Any) -> str:
        """Somebody decides, as the course does it: by an event."""
        return await self.send("refund/approval.decided", data)

    async def invoke(self, function_id: str) -> None:
        """Start a function by hand."""
        (await self._http.post(f"/invoke/{function_id}", json={"data": {}})).raise_for_status()

    async def advance(self, **duration: float) -> None:
        """Move the clock. Skips the test on a server whose clock cannot be moved."""
        if self._stand_in is None:
            pytest.skip("the official server's clock cannot be moved")
        await self._stand_in.advance(timedelta(**duration))

    def stored(self) -> str:
        """All that the engine keeps of runs, but for the events that people sent. Skips where it cannot be read."""
        if self._stand_in is None:
            pytest.skip("what the official server stores cannot be read")
        kept: list[Any] = []
        for run in self._stand_in.state.runs.values():
            kept += [run.output, *run.memos.values(), *run.attempts]
            kept += [(step.output, step.error, step.opts, step.attempts) for step in run.steps.values()]
        return json.dumps(kept, default=str)

    async def settle(self) -> None:
        """Let everything happen that can happen without the clock moving."""
        if self._stand_in is not None:
            await self._stand_in.settle()
        else:
            await asyncio.sleep(2)

    async def eventually(self, question: Callable[[], Awaitable[Any]], expected: Any) -> None:
        """Wait until the question is answered as expected."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while (answer := await question()) != expected and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        assert answer == expected, f"expected {expected}, the last answer is {answer}"

    async def run(self, run_id: str) -> dict[str, Any]:
        """The run as the engine tells it."""
        return dict((await self._http.get(f"/v1/runs/{run_id}")).json()["data"])

    async def cancel_all(self) -> None:
        """Cancel every email's run that has not ended, and wait until each has left its row."""
        for run_id in await self.cancel_unfinished():
            await self.eventually(partial(failures_of, run_id), 1)

    async def cancel_unfinished(self) -> list[str]:
        """Cancel every email's run that has not ended; their ids."""
        unfinished = await db.fetch(
            "select run_id from audit_log group by run_id"
            " having 'message_received' = any(array_agg(action))"
            " and not array['message_sent', 'run_failed'] && array_agg(action)"
        )
        for row in unfinished:
            await self.cancel(row["run_id"])
        return [row["run_id"] for row in unfinished]

    async def cancel(self, run_id: str) -> None:
        """Cancel one run."""
        await self._http.delete(f"/v1/runs/{run_id}")

    async def gql(self, query: str, **variables: Any) -> Any:
        """Ask the engine's GraphQL, which both serve and the dashboard uses."""
        return (await self._http.post("/v0/gql", json={"query": query, "variables": variables})).json()["data"]


async def actions(customer_id: str | None = None) -> dict[str, int]:
    """How often each action stands in the audit trail."""
    rows = await db.fetch(
        "select action, count(*) from audit_log where $1::text is null or customer_id = $1 group by action", customer_id
    )
    return {row["action"]: row["count"] for row in rows}


async def refunds_in_ledger() -> list[tuple[str, str | None]]:
    """Status and decision of every refund, in the order they were asked for."""
    return [(row["status"], row["decision"]) for row in await db.fetch("select * from refunds order by id")]


async def failures_of(run_id: str) -> int:
    """How often the run's failure stands in the audit trail."""
    return len(await db.fetch("select from audit_log where run_id = $1 and action = 'run_failed'", run_id))
