"""The shelf over real HTTP beside an engine: the stand-in, or the server that INNGEST_TEST_SERVER names."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

import concepts
from concepts import outside
from offline.inngest_server import DevServer
from tests.concepts.shelf import Shelf
from tests.durable.driver import OFFICIAL
from tests.ports import free_port


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """The outside world as it was in the beginning."""
    outside.forget()
    yield
    outside.forget()


@pytest.fixture(scope="session")
async def shelf_url() -> AsyncIterator[str]:
    """The shelf, served as uvicorn serves it, in this process: what it asks of the outside world can be counted."""
    port = free_port()
    config = uvicorn.Config(concepts.app, port=port, log_level="warning", lifespan="off", timeout_keep_alive=300)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.fixture
async def shelf(shelf_url: str) -> AsyncIterator[Shelf]:
    """An engine that knows the shelf; what one test leaves waiting cannot wake in another."""
    url = os.environ["INNGEST_DEV"]
    if OFFICIAL:
        async with httpx.AsyncClient() as http:
            (await http.put(f"{shelf_url}/api/inngest")).raise_for_status()
        official = Shelf(url, None)
        yield official
        await official.cancel_all()
    else:
        sdk_urls = [f"{shelf_url}/api/inngest"]
        async with DevServer(port=urlsplit(url).port or 0, sdk_urls=sdk_urls, poll=False) as stand_in:
            await stand_in.synced("concepts")
            yield Shelf(url, stand_in)
