"""The app over real HTTP beside an engine: the stand-in, or the server that INNGEST_TEST_SERVER names."""

from collections.abc import AsyncIterator

import pytest

import inngest_app
from tests.durable.driver import Engine
from tests.serving import listening


@pytest.fixture
async def app_url() -> AsyncIterator[str]:
    """The app, which no engine knows yet."""
    async with listening(inngest_app.app) as url:
        yield url


@pytest.fixture
async def engine(database: None, request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """An engine that knows the app."""
    async with Engine.for_test(request) as engine:
        engine.app_url = await engine.serve(inngest_app.app)
        yield engine
        if engine.is_official:
            # Cancelled later, a run would leave its row among those of the next test.
            await engine.cancel_all()
