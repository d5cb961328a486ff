"""The shelf over real HTTP beside an engine: the stand-in, or the server that INNGEST_TEST_SERVER names."""

import os
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

import db
from concepts import outside
from concepts.app import app
from offline.inngest_server import DevServer
from tests.concepts.shelf import Shelf
from tests.durable.driver import OFFICIAL
from tests.serving import listening, synced, until_a_quiet_hour


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """The outside world as it was in the beginning."""
    outside.forget()
    yield
    outside.forget()


@pytest.fixture(scope="session")
async def shelf_url() -> AsyncIterator[str]:
    """The shelf, served as uvicorn serves it, in this process: what it asks of the outside world can be counted."""
    async with listening(app) as url:
        yield url


@pytest.fixture
async def shelf(shelf_url: str) -> AsyncIterator[Shelf]:
    """An engine that knows the shelf; what one test leaves waiting cannot wake in another."""
    url = os.environ["INNGEST_DEV"]
    if OFFICIAL:
        await synced(shelf_url)
        official = Shelf(url, None)
        yield official
        await official.cancel_all()
    else:
        async with DevServer(port=urlsplit(url).port or 0, poll=False) as stand_in:
            await until_a_quiet_hour(stand_in)
            await synced(shelf_url)
            yield Shelf(url, stand_in)
        # A clock that passes Monday at nine starts the weekly report, even without a database. Its pool must not stay.
        await db.close()
