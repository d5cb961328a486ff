"""An app over real HTTP, as uvicorn serves it, in this process: its steps can be counted and broken."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import fastapi
import httpx
import uvicorn

from offline.inngest_server import DevServer

Http: TypeAlias = Literal["auto", "h11", "httptools"]


class Server(uvicorn.Server):
    """A server in the test's own process, which leaves Ctrl-C to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def begin(self, bound: socket.socket) -> asyncio.Task[None]:
        """Listen on a bound socket; the task ends with the server. Raises what keeps the server from starting."""
        serving = asyncio.create_task(self.serve(sockets=[bound]))
        while not self.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.002)
        return serving


def bound_socket(port: int = 0) -> socket.socket:
    """Return a socket bound to the port, or to a free one if it is 0.

    It names its protocol: otherwise asyncio leaves Nagle's algorithm on, and every answer takes 40 ms.
    """
    bound = socket.socket(proto=socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


@asynccontextmanager
async def listening(
    app: Any, log_level: str = "warning", http: Http = "auto", grace_seconds: int = 5
) -> AsyncIterator[str]:
    """The app's address while it is served. Raises what keeps it from starting.

    Requests that are still unanswered in the end are cancelled after `grace_seconds`.
    """
    config = uvicorn.Config(
        app,
        http=http,
        log_level=log_level,
        lifespan="off",
        # Kept open longer than an engine pools it: one that closes just as a call is sent costs the call an attempt.
        timeout_keep_alive=300,
        timeout_graceful_shutdown=grace_seconds,
    )
    server = Server(config)
    with bound_socket() as bound:
        serving = await server.begin(bound)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def synced(url: str) -> None:
    """Let the app at this address register with its engine."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        (await http.put(f"{url}/api/inngest")).raise_for_status()


async def until_a_quiet_hour(engine: DevServer) -> None:
    """Move the clock to a Tuesday at ten, before any app is known: whenever tests run, the next cron is as far away."""
    now = engine.now()
    days = (1 - now.weekday()) % 7 or 7
    await engine.advance(now.replace(hour=10, minute=0, second=1) + timedelta(days=days) - now)


@asynccontextmanager
async def served(app: fastapi.FastAPI, app_id: str) -> AsyncIterator[DevServer]:
    """The app, known to an engine that listens where `INNGEST_DEV` says; on leaving, both are gone."""
    port = urlsplit(os.environ["INNGEST_DEV"]).port or 0
    async with listening(app) as url, DevServer(port=port, sdk_urls=[f"{url}/api/inngest"], poll=False) as engine:
        await engine.synced(app_id)
        yield engine
