"""The app as a process of its own that is killed, or stopped until told to go on, when it passes a given point.

Points are passed where the outside world notices: a call of the engine's arrives, is answered, has been answered; a
transaction begins, is about to commit, has committed. They are counted, not listed: what the functions do is what there
is to interrupt, so a new step is interrupted from the day it is written.
"""

import json
import os
import signal
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import uvicorn
from agents.tracing import get_trace_provider
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import db
import inngest_app
import offline.model  # noqa: F401 (see below)

# With the model's module, this is what a first email loads and sets up. Each process that is forked from the one that
# imports this file finds it there.
get_trace_provider()
# Which function is being called, and after how many steps.
where = ContextVar("where", default="")


class Points:
    """Writes each point passed to `log`, and sends itself `how` at the one with number `at` (from 0)."""

    def __init__(self, log: Path, at: int | None, how: signal.Signals) -> None:
        self._log = log
        self._at = at
        self._how = how
        self._passed = 0

    def passed(self, name: str) -> None:
        """Note it; do not come back, or not soon, if it is the one."""
        if not where.get():
            return
        with self._log.open("a") as log:
            log.write(f"{where.get()}: {name}\n")
        self._passed += 1
        if self._passed - 1 == self._at:
            os.kill(os.getpid(), self._how)


def watch_transactions(points: Points) -> None:
    """Make every transaction of the app pass three points, and every statement that is none of one two."""
    original = db._once

    async def watched(connections: db.Pool, work: db.Work[db.T], begin: bool) -> db.T:
        async def then_commit(connection: db.Connection) -> db.T:
            result = await work(connection)
            if begin:
                points.passed("transaction is about to commit")
            return result

        points.passed("transaction begins")
        result = await original(connections, then_commit, begin)
        points.passed("transaction has committed")
        return result

    db._once = watched


def watch_calls(app: ASGIApp, points: Points) -> ASGIApp:
    """Make every call of the engine's pass three points."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/api/inngest"):
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        function = parse_qs(scope["query_string"].decode())["fnId"][0].removeprefix("customer-support-")
        where.set(f"{function} after {json.loads(body)['ctx']['stack']['current']} steps")
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def read() -> Message:
            return unread.pop() if unread else await receive()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                points.passed("call is about to be answered")
            await send(message)

        points.passed("call arrives")
        await app(scope, read, answer)
        points.passed("call has been answered")

    return watched


def serve(
    port: int, environment: dict[str, str], log: Path, at: int | None, how: signal.Signals, query_seconds: float
) -> None:
    """Serve the app on a port until killed. Queries are cancelled after `query_seconds`."""
    os.environ |= environment
    # What a hung database costs is the app's own patience: here it has less of it.
    create_pool: Any = asyncpg.create_pool
    vars(asyncpg)["create_pool"] = lambda url, **settings: create_pool(
        url, **settings | {"command_timeout": query_seconds}
    )
    points = Points(log, at, how)
    watch_transactions(points)
    # With its lifespan the app would look for lost emails by itself, now before the engine's cron and now after it.
    uvicorn.run(watch_calls(inngest_app.app, points), port=port, log_level="error", lifespan="off")
