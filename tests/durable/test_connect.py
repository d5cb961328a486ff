"""The app's functions as an outbound worker, which outlives the engine. Runs without any account."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import httpx
import inngest.connect._internal.conn_init_starter as sdk
import pytest

import inngest_app
from deploy import connect
from offline.processes import free_port
from tests.durable.driver import OFFICIAL, Engine, actions

pytestmark = pytest.mark.skipif(OFFICIAL is not None, reason="the engine is stopped and started")


async def connected() -> int:
    async with httpx.AsyncClient(base_url=os.environ["INNGEST_DEV"], trust_env=False) as http:
        try:
            return len((await http.get("/v0/connect/envs/dev/conns")).json()["data"])
        except httpx.TransportError:
            return 0


async def until(question: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await question():
            await asyncio.sleep(0.02)


async def test_it_answers_emails_after_the_sdk_has_given_up_on_an_engine_that_was_away(
    database: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sdk, "CONN_INIT_RETRY_INTERVAL_SEC", 0.01)
    monkeypatch.setattr(connect, "PAUSE_SECONDS", 0.01)
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("METRICS_LISTEN", address)
    stopped = asyncio.Event()
    worker = asyncio.create_task(connect.work(stopped))

    async def gave_up() -> bool:
        return "is opened anew" in caplog.text

    await until(gave_up)
    async with Engine() as engine:
        await engine.until(connected, 1)
        assert {function.id for function in engine.dev_server.state.active_functions()} == {
            function.id for function in inngest_app.functions
        }
        await engine.email("Where is my order A-1001?")
        await engine.until(actions, {"message_received": 1, "message_sent": 1})
        # The emails are counted where they are answered, so that is where Prometheus has to ask.
        async with httpx.AsyncClient(trust_env=False) as http:
            assert "support_emails" in (await http.get(f"http://{address}/metrics")).text
        stopped.set()
        await asyncio.wait_for(worker, 30)
