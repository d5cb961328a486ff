"""The app over real HTTP beside an engine: the stand-in, or the server that INNGEST_TEST_SERVER names."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

import inngest_app
from offline.inngest_server import DevServer
from tests.durable.driver import OFFICIAL, Engine
from tests.serving import listening, synced


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
            # At any time of day, it is most of a day to the next health check.
            now = stand_in.now()
            await stand_in.advance(now.replace(hour=10, minute=0, second=1) + timedelta(days=1) - now)
            await synced(app_url)
            yield Engine(url, stand_in)
