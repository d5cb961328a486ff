"""The app over real HTTP beside an engine: the stand-in, or the server that INNGEST_TEST_SERVER names."""

import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

import inngest_app
from offline.inngest_server import DevServer
from telemetry import rows
from tests.durable.driver import OFFICIAL, Engine
from tests.serving import listening, synced, until_a_quiet_hour


@pytest.fixture(scope="session")
async def app_url() -> AsyncIterator[str]:
    """The app, served as uvicorn serves it, in this process: its steps can be counted and broken."""
    async with listening(inngest_app.app) as url:
        yield url


@pytest.fixture
async def engine(database: None, app_url: str) -> AsyncIterator[Engine]:
    """An engine that knows the app."""
    url = os.environ["INNGEST_DEV"]
    if OFFICIAL:
        await synced(app_url)
        official = Engine(url, None)
        yield official
        # That server outlives the test; a run still waiting there would be woken by the next test's events.
        await official.cancel_all()
    else:
        async with DevServer(port=urlsplit(url).port or 0, poll=False) as stand_in:
            await until_a_quiet_hour(stand_in)
            await synced(app_url)
            yield Engine(url, stand_in)
    # What this test has cost is no row of the next one.
    await rows.here().written()
