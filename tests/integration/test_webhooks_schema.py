"""The app answers as its API's description says, to requests with a provider's proof and without.

schemathesis reads the description and draws requests that fit it and requests that do not. Runs without any account.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import db
from tests.adversary.profile import PROFILE, SEED
from tests.providers import AUTH, SETTINGS, Webhooks, by_stripe
from tests.serving import listening
from web import health


class Provider:
    """Stands before the webhooks and signs every request that says it is signed, as its provider would have."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.answers: Counter[tuple[str, int]] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = await receive()
        while request.get("more_body"):
            request = {**(more := await receive()), "body": request["body"] + more["body"]}
        headers = dict(scope["headers"])
        # What is no text cannot be signed, and arrives as it was drawn.
        with suppress(UnicodeDecodeError):
            if b"stripe-signature" in headers:
                headers[b"stripe-signature"] = by_stripe(request["body"])["Stripe-Signature"].encode()

        async def replay() -> Message:
            return request

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answers[scope["path"], message["status"]] += 1
            await send(message)

        return await self.app({**scope, "headers": list(headers.items())}, replay, counted)


@pytest.fixture
async def served(database: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Provider, str]]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    app = Webhooks().app
    app.include_router(health.routes)
    provider = Provider(app)
    async with listening(provider, "critical") as url:
        yield provider, url
    await db.close()


def broken_promises(url: str) -> list[str]:
    """What schemathesis finds wrong."""
    config = SchemathesisConfig(seed=SEED)
    project = config.projects.default
    project.update(base_url=url, basic_auth=AUTH)
    project.generation.max_examples = PROFILE.max_examples
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    found = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            checks = [check for checks in event.recorder.checks.values() for check in checks]
            failures = [check.failure_info.failure for check in checks if check.failure_info is not None]
            found += [f"{event.recorder.label}: {said(failure)}" for failure in failures]
        elif isinstance(event, events.NonFatalError | events.FatalError):
            found.append(repr(event))
    return found


def said(failure: Failure) -> str:
    return f"{failure.title}: {failure.message}"


async def test_the_app_does_what_its_description_says(served: tuple[Provider, str]) -> None:
    provider, url = served
    assert await asyncio.to_thread(broken_promises, url) == []
    assert provider.answers["/healthz", 200] > 0
    assert provider.answers["/readyz", 200] > 0
    # It came through every webhook, and was also refused at each for what it was and for who it was.
    for path in ("/webhooks/email", "/webhooks/stripe"):
        for status in (200, 400, 401, 405):
            assert provider.answers[path, status] > 0, (path, status)
    assert {status for _, status in provider.answers} == {200, 400, 401, 404, 405, 415}
