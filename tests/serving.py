"""An app over real HTTP beside a stand-in engine of its own."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import fastapi
import uvicorn

from offline.inngest_server import DevServer
from tests.ports import free_port


@asynccontextmanager
async def served(app: fastapi.FastAPI, app_id: str) -> AsyncIterator[DevServer]:
    """The app, known to an engine that listens where `INNGEST_DEV` says; on leaving, both are gone."""
    config = uvicorn.Config(app, port=free_port(), log_level="warning", lifespan="off", timeout_keep_alive=300)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{config.port}/api/inngest"
    port = urlsplit(os.environ["INNGEST_DEV"]).port or 0
    async with DevServer(port=port, sdk_urls=[url], poll=False) as engine:
        await engine.synced(app_id)
        yield engine
    server.should_exit = True
    await serving
