"""An app over real HTTP, as uvicorn serves it, in this process: its steps can be counted and broken."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import fastapi
import httpx

from offline import serving
from offline.inngest_server import DevServer
from offline.testing import AsyncServer

Http: TypeAlias = Literal["auto", "h11", "httptools"]


@asynccontextmanager
async def listening(
    app: Any, log_level: str = "warning", http: Http = "auto", grace_seconds: int = 5
) -> AsyncIterator[str]:
    """The app's address while it is served. Raises what keeps it from starting.

    Requests that are still unanswered in the end are cancelled after `grace_seconds`.
    """
    async with serving.served(app, log_level=log_level, http=http, timeout_graceful_shutdown=grace_seconds) as (_, url):
        yield url


async def synced(url: str) -> None:
    """Let the app at this address register with its engine."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        (await http.put(f"{url}/api/inngest")).raise_for_status()


def quiet_hour() -> datetime:
    """A Tuesday at ten: whenever tests run, the next cron is as far away."""
    now = datetime.now(UTC)
    days = (1 - now.weekday()) % 7 or 7
    return now.replace(hour=10, minute=0, second=1) + timedelta(days=days)


@asynccontextmanager
async def served(app: fastapi.FastAPI, app_id: str) -> AsyncIterator[DevServer]:
    """The app, known to an engine that listens where `INNGEST_DEV` says; on leaving, both are gone."""
    async with AsyncServer(starts_at=quiet_hour()) as engine:
        await engine.serve(app)
        assert [app.id for app in engine.dev_server.apps()] == [app_id]
        yield engine.dev_server
