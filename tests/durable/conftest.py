"""The app over real HTTP beside an engine: the stand-in, or the server that INNGEST_TEST_SERVER names."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

import inngest_app
from offline.inngest_server import DevServer
from tests.durable.driver import OFFICIAL, Engine
from tests.ports import free_port


@pytest.fixture(scope="session")
async def app_url() -> AsyncIterator[str]:
    """The app, served as uvicorn serves it, in this process: its steps can be counted and broken."""
    port = free_port()
    # Kept open longer than an engine pools it: one that closes just as a call is sent costs the call an attempt.
    config = uvicorn.Config(inngest_app.app, port=port, log_level="warning", lifespan="off", timeout_keep_alive=300)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def sync(app_url: str) -> None:
    """Let the app register with its engine."""
    async with httpx.AsyncClient() as http:
        (await http.put(f"{app_url}/api/inngest")).raise_for_status()


@pytest.fixture
async def engine(database: None, app_url: str) -> AsyncIterator[Engine]:
    """An engine that knows the app."""
    url = os.environ["INNGEST_DEV"]
    if OFFICIAL:
        await sync(app_url)
        official = Engine(url, None)
        yield official
        # That server outlives the test; a run still waiting there would be woken by the next test's events.
        await official.cancel_all()
    else:
        async with DevServer(port=urlsplit(url).port or 0, poll=False) as stand_in:
            # At any time of day, it is most of a day to the next health check.
            now = stand_in.now()
            await stand_in.advance(now.replace(hour=10, minute=0, second=1) + timedelta(days=1) - now)
            await sync(app_url)
            yield Engine(url, stand_in)
