"""A database that stops answering: every page says so within ten seconds, and afterwards everything works again.

The sessions of the pool are stopped as processes, in the midst of a request or before it. Runs without any account.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import fastapi
import httpx
import pytest

import db
import inngest_app
from telemetry import current, rows, usage
from tests.desk import asked, fields
from web import health, limits
from web.webhooks import routes

pytestmark = pytest.mark.usefixtures("database")
EMAIL = {"from": "grace@example.com", "text": "Where is my order?", "message_id": "m-1"}


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(inngest_app.app, raise_app_exceptions=False, client=("127.0.0.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
async def frozen(database: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Every session that the pool may use is stopped, and goes on after the test. Nobody waits for as long as usual."""
    for module, name in ((limits, "DATABASE_SECONDS"), (health, "DATABASE_SECONDS"), (routes, "LOOKUP_SECONDS")):
        assert getattr(module, name) < 10
        monkeypatch.setattr(module, name, 0.5)
    pool = await db.pool()
    connections = [await pool.acquire() for _ in range(pool.get_max_size())]
    sessions = [connection.get_server_pid() for connection in connections]
    for connection in connections:
        await pool.release(connection)
    for session in sessions:
        os.kill(session, signal.SIGSTOP)
    yield
    for session in sessions:
        os.kill(session, signal.SIGCONT)
    await asyncio.gather(*limits._abandoned, return_exceptions=True)


@pytest.mark.parametrize(
    "path",
    [
        "/approvals",
        "/approvals/1",
        "/approvals/decided",
        "/approvals/audit",
        "/approvals/cost",
        "/approvals/needs-a-person",
        "/approvals/waiting",
        "/readyz",
    ],
)
async def test_a_page_says_so_in_time(http: httpx.AsyncClient, path: str, frozen: None) -> None:
    started = time.monotonic()
    answer = await http.get(path)
    assert answer.status_code == 503
    assert time.monotonic() - started < 10
    assert (await http.get("/healthz")).status_code == 200


async def test_a_decision_says_so_in_time_and_can_be_sent_again(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    refund_id = await asked()
    form = fields(await http.get(f"/approvals/{refund_id}")) | {"decision": "approve"}
    pool = await db.pool()
    connections = [await pool.acquire() for _ in range(pool.get_max_size())]
    with monkeypatch.context() as impatient:
        impatient.setattr(limits, "DATABASE_SECONDS", 1)
        answer = await http.post(f"/approvals/{refund_id}/decision", data=form)
    assert answer.status_code == 503
    for connection in connections:
        await pool.release(connection)
    assert (await http.post(f"/approvals/{refund_id}/decision", data=form)).status_code == 303
    assert await db.fetch("select status from refunds") == [{"status": "approved"}]


async def test_an_email_is_to_be_repeated_in_time(http: httpx.AsyncClient, frozen: None) -> None:
    started = time.monotonic()
    answer = await http.post("/webhooks/email", json=EMAIL)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert time.monotonic() - started < 10


async def test_what_the_telemetry_writes_holds_no_answer_up_for_long(
    frozen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten calls of the engine want their rows written, and each write waits for the database."""
    monkeypatch.setattr(rows, "WRITE_SECONDS", 0.5)
    run = current.Run("handle-customer-email", "run-1", "email-1", 0, None)
    started = time.monotonic()
    for number in range(10):
        rows.here().add(usage.row_of(run, usage.Call("gpt", None, 1, response_id=str(number))))
        await asyncio.sleep(0)
    await asyncio.gather(*(rows.here().written() for _ in range(10)))
    assert time.monotonic() - started < 4


async def test_the_app_ends_in_time(frozen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look for lost emails, which waits for the database, does not keep it from ending."""
    monkeypatch.setattr(routes, "STOP_SECONDS", 0.2)
    app = fastapi.FastAPI()
    app.include_router(routes.router(never_sent, dev=True))
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.05)
        started = time.monotonic()
    assert time.monotonic() - started < 10


async def never_sent(_: object) -> None:
    raise AssertionError


async def test_an_answer_that_has_begun_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DATABASE_SECONDS", 1)

    async def slow(_scope: object, _receive: object, send: object) -> None:
        assert callable(send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(1.2)
        await send({"type": "http.response.body", "body": b"whole"})

    async def never(*_: object) -> httpx.Response:
        raise AssertionError

    transport = httpx.ASGITransport(limits.Deadline(slow, never))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        assert (await client.get("/")).text == "whole"
