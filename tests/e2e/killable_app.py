"""The app as a process of its own that kills itself, by SIGKILL, when it passes a given point.

Points are passed where the outside world notices: a call of the engine's arrives, is answered, has been answered; a
transaction begins, is about to commit, has committed. They are counted, not listed: what the functions do is what there
is to interrupt, so a new step is interrupted from the day it is written.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import db
import inngest_app


class Points:
    """Writes each point passed to `log`, and ends the process at the one with number `kill_at` (from 0)."""

    def __init__(self, log: Path, kill_at: int | None) -> None:
        self._log = log
        self._kill_at = kill_at
        self._passed = 0

    def passed(self, name: str) -> None:
        """Note it; do not come back if it is the one."""
        with self._log.open("a") as log:
            log.write(f"{name}\n")
        self._passed += 1
        if self._passed - 1 == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def watch_transactions(points: Points) -> None:
    """Make every transaction of the app pass three points."""
    original = db._transaction

    async def watched(connections: db.Pool, work: Callable[[db.Connection], Awaitable[db.T]]) -> db.T:
        async def then_commit(connection: db.Connection) -> db.T:
            result = await work(connection)
            points.passed("transaction is about to commit")
            return result

        points.passed("transaction begins")
        result = await original(connections, then_commit)
        points.passed("transaction has committed")
        return result

    db._transaction = watched


def watch_calls(app: ASGIApp, points: Points) -> ASGIApp:
    """Make every call of the engine's pass three points."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                points.passed("call is about to be answered")
            await send(message)

        points.passed("call arrives")
        await app(scope, receive, answer)
        points.passed("call has been answered")

    return watched


def serve(port: int, database_url: str, environment: dict[str, str], log: Path, kill_at: int | None) -> None:
    """Serve the app on a port until killed."""
    os.environ |= environment | {"DATABASE_URL": database_url}
    points = Points(log, kill_at)
    watch_transactions(points)
    uvicorn.run(watch_calls(inngest_app.app, points), port=port, log_level="error")
