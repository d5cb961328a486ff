"""An engine of its own for every test: what one test leaves waiting cannot wake in another."""

import ssl
from collections.abc import AsyncIterator

import pytest

from offline.inngest_server import DevServer
from tests.durable.engine.world import World


@pytest.fixture(autouse=True)
def one_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here speaks TLS, and reading the certificates anew for every client took most of a test's time."""
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", lambda **_: _TLS)


_TLS = ssl.create_default_context()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A running engine that syncs nothing by itself, and an app that has not started."""
    async with DevServer(poll=False, seed=1) as server:
        world = World(server)
        yield world
        await world.stop()
