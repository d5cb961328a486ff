"""The part of the app that an email passes, without the crons: hours pass in no time."""

from collections.abc import AsyncIterator
from typing import Any

import fastapi
import inngest.fast_api
import pytest

import inngest_app
from steps import failures
from tests.serving import listening


@pytest.fixture(scope="session")
async def email_app_url() -> AsyncIterator[str]:
    """Where it is served, in this process."""
    app = fastapi.FastAPI()
    functions: list[Any] = [inngest_app.handle_customer_email, *failures.functions(inngest_app.client)]
    inngest.fast_api.serve(app, inngest_app.client, functions)
    async with listening(app, "critical") as url:
        yield url
