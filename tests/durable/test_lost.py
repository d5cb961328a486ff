"""What the engine forgets is found by the cron, answered if it still can be, and put before a person if not."""

import asyncio
import os
from urllib.parse import urlsplit

import httpx
import pytest

import db
from offline.inngest_server import DevServer
from tests.durable.driver import OFFICIAL, Engine, actions, refunds_in_ledger
from tests.ledger import decide, rewrite

DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."
ANSWERED = {"message_received": 1, "message_sent": 1}


async def post(app_url: str, text: str, message_id: str = "m-1") -> int:
    """An email to the app's own webhook; the status of its answer."""
    email = {"from": "grace@example.com", "text": text, "message_id": message_id}
    async with httpx.AsyncClient(timeout=30) as http:
        return (await http.post(f"{app_url}/webhooks/email", json=email)).status_code


async def tick(engine: Engine) -> None:
    """Let the cron run, as it does every five minutes."""
    await engine.advance(minutes=5)
    await engine.settle()


async def test_an_email_that_a_wiped_engine_forgot_is_answered_by_the_next_one(database: None, app_url: str) -> None:
    if OFFICIAL:
        pytest.skip("the official server is not ours to stop")
    port = urlsplit(os.environ["INNGEST_DEV"]).port or 0
    async with DevServer(port=port, poll=False):
        # This engine takes the event, knows no app, and is gone.
        assert await post(app_url, "Where is my order?") == 200
    assert await actions() == {}
    await db.fetch("update inbox set received_at = now() - interval '5 minutes'")
    async with DevServer(port=port, sdk_urls=[f"{app_url}/api/inngest"], poll=False) as second:
        await second.synced("customer-support")
        engine = Engine(os.environ["INNGEST_DEV"], second)
        await tick(engine)
        await engine.eventually(actions, ANSWERED)
        await tick(engine)
        assert await actions() == ANSWERED


async def test_an_approved_refund_that_a_wiped_engine_forgot_stands_before_a_person(
    database: None, app_url: str
) -> None:
    if OFFICIAL:
        pytest.skip("the official server is not ours to stop")
    url = os.environ["INNGEST_DEV"]
    port = urlsplit(url).port or 0
    async with DevServer(port=port, sdk_urls=[f"{app_url}/api/inngest"], poll=False) as first:
        await first.synced("customer-support")
        await post(app_url, DOUBLE)
        await Engine(url, first).eventually(refunds_in_ledger, [("pending", None)])
        await asyncio.sleep(0)
    assert await decide(1, approved=True, by="grace") is None
    await rewrite("update audit_log set created_at = now() - interval '20 minutes' returning 1")
    await rewrite("update refunds set decided_at = now() - interval '11 minutes' returning 1")
    async with DevServer(port=port, sdk_urls=[f"{app_url}/api/inngest"], poll=False) as second:
        await second.synced("customer-support")
        engine = Engine(url, second)
        for _ in range(2):
            await tick(engine)
        await engine.eventually(actions, {"message_received": 1, "run_failed": 1})
    [row] = await db.fetch("select n.told_at, n.done_at from needs_person n")
    assert row["told_at"] is not None
    assert row["done_at"] is None


async def test_an_autoresponder_without_any_sign_is_answered_ten_times(engine: Engine, app_url: str) -> None:
    for number in range(30):
        assert await post(app_url, f"I am on holiday ({number}).", f"loop-{number}") == 200
    expected = {"message_received": 10, "message_sent": 10, "run_failed": 20}
    await engine.eventually(actions, expected)


async def test_a_quiet_tick_is_one_step(engine: Engine) -> None:
    if engine._stand_in is None:
        pytest.skip("the steps of the official server's runs cannot be counted")
    await tick(engine)
    [run] = engine._stand_in.state.runs.values()
    assert len(run.memos) == 1
