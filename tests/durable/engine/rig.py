"""The recorded app beside a stand-in engine, with everything the engine asks of it written down."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offline.inngest_server import DevServer
from tests.durable.engine.recorded.app import make_app
from tests.serving import listening, synced


@dataclass
class Call:
    """One request from the engine to the app."""

    query: dict[str, str]
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Rig:
    """A running engine, its HTTP client, and the calls it has made."""

    engine: DevServer
    http: httpx.AsyncClient
    calls: list[Call] = field(default_factory=list)

    async def send(self, name: str, **data: Any) -> str:
        """Send one event and let everything happen that needs no time; return the event's id."""
        answer = await self.http.post("/e/test", json={"name": name, "data": data})
        await self.engine.settle()
        return str(answer.json()["ids"][0])

    async def advance(self, seconds: float) -> None:
        """Move the clock."""
        await self.engine.advance(timedelta(seconds=seconds))

    def run_of(self, event_id: str) -> str:
        """The id of the one run that an event started."""
        (run_id,) = self.engine.state.events[event_id].run_ids
        return run_id


@asynccontextmanager
async def recorded_app() -> AsyncIterator[Rig]:
    """Serve the recorded app and an engine that knows it, until the block ends."""
    async with DevServer(poll=False, seed=1) as engine, httpx.AsyncClient(base_url=engine.origin) as http:
        rig = Rig(engine, http)
        async with listening(_recording(make_app(engine.origin), rig.calls), "critical") as url:
            await synced(url)
            yield rig


def _recording(app: ASGIApp, calls: list[Call]) -> ASGIApp:
    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        query = dict(parse_qsl(scope["query_string"].decode()))
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        calls.append(Call(query, headers, json.loads(body)))

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope, again, send)

    return listen
