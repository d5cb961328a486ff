"""The web application: how it sends the events of webhooks and desk, and what it shows of itself."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web
from inngest._internal.errors import SendEventsError

import db
import inngest_app
from offline.processes import free_port
from tests.durable.driver import Engine, actions
from web import Event

EMAIL = Event(id="mail-1", name="customer/email.received", data={"customer_id": "cust_002", "email_text": "Hi"})


# The `send` that the webhooks and the desk are handed


async def test_an_event_sent_twice_with_one_id_is_one_event(engine: Engine) -> None:
    for _ in range(2):
        await inngest_app.send([EMAIL])
    await engine.until(actions, {"message_received": 1, "message_sent": 1})
    await engine.settle()
    [row] = await db.fetch("select detail::jsonb ->> 'event_id' as id from audit_log where action = 'message_received'")
    assert row["id"] == "mail-1"


class BrokenEngine:
    """Takes events as badly as it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.status, self.body = 200, '{"ids": [], "status": 200}'
        self.hangs = False

    async def take(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        return web.Response(status=self.status, text=self.body, content_type="application/json")


@pytest.fixture
async def broken(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BrokenEngine]:
    """An engine that does not take events, which the app sends to."""
    engine, app = BrokenEngine(), web.Application()
    app.router.add_post("/e/{key}", engine.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr(inngest_app.client, "_event_api_origin", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield engine
    await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, '{"ids": [], "status": 200}'),
        (200, "{}"),
        (200, "no JSON"),
        (401, '{"error": "event key not found", "status": 401}'),
        (404, "{}"),
        (413, '{"status": 413}'),
        (500, "{}"),
        (503, '{"error": "down"}'),
    ],
)
async def test_what_the_engine_did_not_take_is_raised(
    broken: BrokenEngine, status: int, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken.status, broken.body = status, body
    monkeypatch.setattr("inngest._internal.client_lib.client._compute_backoff_delay", lambda _: 0)
    with pytest.raises((RuntimeError, ValueError, SendEventsError)):
        await inngest_app.send([EMAIL])
    assert broken.asked == (1 if status < 500 else 5)


async def test_an_engine_that_does_not_answer_is_given_up(
    broken: BrokenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken.hangs = True
    monkeypatch.setattr(inngest_app, "SEND_SECONDS", 0.2)
    with pytest.raises(TimeoutError):
        await inngest_app.send([EMAIL])
    assert broken.asked == 1


async def test_an_engine_that_is_not_there_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inngest_app.client, "_event_api_origin", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("inngest._internal.client_lib.client._compute_backoff_delay", lambda _: 0)
    with pytest.raises(Exception, match="never received response"):
        await inngest_app.send([EMAIL])


# Strangers


@pytest.fixture
def http() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(inngest_app.app), base_url="http://app")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
async def test_no_page_loads_anything_from_another_host(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 404


async def test_the_description_of_the_api_lists_the_webhooks_and_not_the_engines_own(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()["paths"]
    assert described.keys() == {"/healthz", "/readyz", "/webhooks/email", "/webhooks/stripe"}
