"""An app over real HTTP, as uvicorn serves it, in this process: its steps can be counted and broken."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import fastapi
import httpx
import uvicorn

from offline.inngest_server import DevServer

Http: TypeAlias = Literal["auto", "h11", "httptools"]


@asynccontextmanager
async def listening(
    app: Any, log_level: str = "warning", http: Literal["auto", "h11", "httptools"] = "auto"
) -> AsyncIterator[str]:
    """The app's address while it is served. Raises what keeps it from starting."""
    with socket.socket(proto=socket.IPPROTO_TCP) as bound:
        bound.bind(("127.0.0.1", 0))
        # Kept open longer than an engine pools it: one that closes just as a call is sent costs the call an attempt.
        config = uvicorn.Config(app, http=http, log_level=log_level, lifespan="off", timeout_keep_alive=300)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        await serving


async def synced(url: str) -> None:
    """Let the app at this address register with its engine."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        (await http.put(f"{url}/api/inngest")).raise_for_status()


@asynccontextmanager
async def served(app: fastapi.FastAPI, app_id: str) -> AsyncIterator[DevServer]:
    """The app, known to an engine that listens where `INNGEST_DEV` says; on leaving, both are gone."""
    port = urlsplit(os.environ["INNGEST_DEV"]).port or 0
    async with listening(app) as url, DevServer(port=port, sdk_urls=[f"{url}/api/inngest"], poll=False) as engine:
        await engine.synced(app_id)
        yield engine
