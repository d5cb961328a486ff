"""An engine of its own for every test: what one test leaves waiting cannot wake in another."""

from collections.abc import AsyncIterator

import pytest

from offline.inngest_server import DevServer
from tests.durable.engine.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A running engine that syncs nothing by itself, and an app that has not started."""
    async with DevServer(poll=False, seed=1) as server:
        world = World(server)
        yield world
        await world.stop()
