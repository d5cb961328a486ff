"""The part of the app that an email passes, without the crons: hours pass in no time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import fastapi
import inngest.fast_api
import pytest
import uvicorn

import inngest_app
from tests.ports import free_port


@pytest.fixture(scope="session")
async def email_app_url() -> AsyncIterator[str]:
    """Where it is served, in this process."""
    app = fastapi.FastAPI()
    functions: list[Any] = [inngest_app.handle_customer_email, inngest_app.record_failed_email]
    inngest.fast_api.serve(app, inngest_app.client, functions)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving
