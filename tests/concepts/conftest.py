"""The shelf over real HTTP beside an engine: the stand-in, or the server that INNGEST_TEST_SERVER names."""

from collections.abc import AsyncIterator, Iterator

import pytest

import db
from concepts import outside
from concepts.app import app
from tests.concepts.shelf import Shelf


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """The outside world as it was in the beginning."""
    outside.forget()
    yield
    outside.forget()


@pytest.fixture
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    """An engine that knows the shelf; what one test leaves waiting cannot wake in another."""
    async with Shelf.for_test(request) as shelf:
        shelf.app_url = await shelf.serve(app)
        yield shelf
    # A clock that passes Monday at nine starts the weekly report, even without a database. Its pool must not stay.
    await db.close()


@pytest.fixture
def shelf_url(shelf: Shelf) -> str:
    """Where the shelf is served."""
    return shelf.app_url
