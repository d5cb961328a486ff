"""What the engine forgets is found by the cron, answered if it still can be, and put before a person if not."""

import httpx
import pytest

import db
from tests.durable.driver import OFFICIAL, Engine, actions, refunds_in_ledger
from tests.ledger import decide, rewrite
from tests.serving import synced

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


@pytest.mark.skipif(bool(OFFICIAL), reason="the official server is not ours to stop")
async def test_an_email_that_a_wiped_engine_forgot_is_answered_by_the_next_one(database: None, app_url: str) -> None:
    async with Engine():
        # This engine takes the event, knows no app, and is gone.
        assert await post(app_url, "Where is my order?") == 200
    assert await actions() == {}
    await db.fetch("update inbox set received_at = now() - interval '5 minutes'")
    async with Engine() as engine:
        await synced(app_url)
        await tick(engine)
        await engine.until(actions, ANSWERED)
        await tick(engine)
        assert await actions() == ANSWERED


@pytest.mark.skipif(bool(OFFICIAL), reason="the official server is not ours to stop")
async def test_an_approved_refund_that_a_wiped_engine_forgot_stands_before_a_person(
    database: None, app_url: str
) -> None:
    async with Engine() as first:
        await synced(app_url)
        await post(app_url, DOUBLE)
        await first.until(refunds_in_ledger, [("pending", None)])
    assert await decide(1, approved=True, by="grace") is None
    await rewrite("update audit_log set created_at = now() - interval '20 minutes' returning 1")
    await rewrite("update refunds set decided_at = now() - interval '11 minutes' returning 1")
    async with Engine() as engine:
        await synced(app_url)
        for _ in range(2):
            await tick(engine)
        await engine.until(actions, {"message_received": 1, "run_failed": 1})
    [row] = await db.fetch("select n.told_at, n.done_at from needs_person n")
    assert row["told_at"] is not None
    assert row["done_at"] is None


async def test_an_autoresponder_without_any_sign_is_answered_ten_times(engine: Engine) -> None:
    for number in range(30):
        assert await post(engine.app_url, f"I am on holiday ({number}).", f"loop-{number}") == 200
    expected = {"message_received": 10, "message_sent": 10, "run_failed": 20}
    await engine.until(actions, expected)


async def test_a_quiet_tick_is_one_step(engine: Engine) -> None:
    await tick(engine)
    [run] = engine.dev_server.state.runs.values()
    assert len(run.memos) == 1
