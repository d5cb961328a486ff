"""How many examples: HYPOTHESIS_PROFILE=torture draws more, others for each SEED; without it always the same few."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import fastapi
import inngest.fast_api
import pytest
import uvicorn
from hypothesis import HealthCheck, settings

import inngest_app
from tests.ports import free_port

COMMON: Any = {"deadline": None, "database": None, "print_blob": True, "suppress_health_check": list(HealthCheck)}
settings.register_profile("short", max_examples=40, derandomize=True, **COMMON)
settings.register_profile("torture", max_examples=400, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


@pytest.fixture(scope="session")
async def email_app_url() -> AsyncIterator[str]:
    """The app with the functions that an email passes, and without the crons: hours pass in no time."""
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
