"""Reviewers hear of a refund that waits, and an email never fails because their chat service does."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

import db
from outbound import chat
from steps import retries
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.ledger import decide

DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me. It's <!channel> urgent."
PENDING = ("pending", None)


class Chat:
    """A chat service: what was posted to it, and how it answers."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}

    async def post(self, request: web.Request) -> web.Response:
        self.posted.append((await request.json())["text"])
        return web.Response(status=self.status, headers=self.headers)


@pytest.fixture
async def chat_service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chat]:
    """A running one, which the app is told to use."""
    service, app = Chat(), web.Application()
    app.router.add_post("/hook", service.post)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("REVIEWER_WEBHOOK_URL", f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
    yield service
    await runner.cleanup()


async def told(engine: Engine) -> bool:
    """What the step came to."""
    for run in json.loads(engine.stored()):
        if isinstance(run, dict) and run.keys() == {"told"}:
            return bool(run["told"])
        if isinstance(run, dict) and isinstance(run.get("data"), dict) and run["data"].keys() == {"told"}:
            return bool(run["data"]["told"])
    raise AssertionError("no step said whether anybody was told")


async def finished(engine: Engine, request_id: str) -> None:
    await engine.decide(request_id=request_id, approved=True)
    await engine.until(actions, {"message_received": 1, "refund_issued": 1, "message_sent": 1})


async def test_reviewers_are_told_once_with_the_link_and_without_the_email(engine: Engine, chat_service: Chat) -> None:
    event_id = await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [PENDING])
    await engine.settle()
    [row] = await db.fetch(
        "select id, to_char(expires_at at time zone 'utc', 'YYYY-MM-DD HH24:MI') as until from refunds"
    )
    assert chat_service.posted == [
        "A refund of $49.00 for order A-1001 of cust_002 (pro) waits for your decision"
        f" until {row['until']} UTC. http://127.0.0.1:8000/approvals/{row['id']}"
    ]
    await finished(engine, event_id)
    assert len(chat_service.posted) == 1
    assert await told(engine)


async def test_the_rows_are_there_before_anybody_is_told(
    engine: Engine, chat_service: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = chat.about_refunds

    async def looked(*arguments: Any) -> bool:
        seen.append(await refunds_in_ledger())
        return await original(*arguments)

    monkeypatch.setattr(chat, "about_refunds", looked)
    await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [PENDING])
    await engine.settle()
    assert seen == [[PENDING]]


async def test_a_chat_service_that_stays_down_costs_five_tries_and_no_email(engine: Engine, chat_service: Chat) -> None:
    chat_service.status = 500
    event_id = await engine.email(DOUBLE)
    await engine.settle()
    await engine.advance(hours=1)
    assert len(chat_service.posted) == retries.RETRIES + 1
    assert await told(engine) is False
    assert await refunds_in_ledger() == [PENDING]
    await finished(engine, event_id)


async def test_a_busy_chat_service_is_asked_again_when_it_said_but_within_a_minute(
    engine: Engine, chat_service: Chat
) -> None:
    """A decision that comes meanwhile waits for the notice, so hours would be too long."""
    chat_service.status, chat_service.headers = 429, {"Retry-After": "86400"}
    await engine.email(DOUBLE)
    await engine.settle()
    await engine.advance(seconds=50)
    assert len(chat_service.posted) == 1
    chat_service.status = 200
    await engine.advance(seconds=15)
    assert len(chat_service.posted) == 2
    assert await told(engine)


async def test_a_busy_chat_service_that_stays_busy_costs_no_email(engine: Engine, chat_service: Chat) -> None:
    chat_service.status, chat_service.headers = 429, {"Retry-After": "1"}
    event_id = await engine.email(DOUBLE)
    await engine.settle()
    await engine.advance(minutes=10)
    assert len(chat_service.posted) == retries.RETRIES + 1
    await finished(engine, event_id)


async def test_a_wrong_address_is_tried_once(engine: Engine, chat_service: Chat) -> None:
    chat_service.status = 404
    event_id = await engine.email(DOUBLE)
    await engine.settle()
    await engine.advance(minutes=10)
    assert len(chat_service.posted) == 1
    assert await told(engine) is False
    await finished(engine, event_id)


async def test_a_decision_made_while_nobody_could_be_told_counts(engine: Engine, chat_service: Chat) -> None:
    chat_service.status = 503
    event_id = await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [PENDING])
    await engine.decide(request_id=event_id, approved=True)
    await engine.settle()
    await engine.advance(minutes=15)
    assert await actions() == {"message_received": 1, "refund_issued": 1, "message_sent": 1}


async def test_nobody_is_told_of_what_was_decided_meanwhile(engine: Engine, chat_service: Chat) -> None:
    chat_service.status = 503
    event_id = await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [PENDING])
    await engine.settle()
    [row] = await db.fetch("select id from refunds")
    assert await decide(row["id"], approved=True, by="grace") is None
    await engine.decide(request_id=event_id)
    await engine.settle()
    await engine.advance(minutes=2)
    assert len(chat_service.posted) == 1
    assert await actions() == {"message_received": 1, "refund_issued": 1, "message_sent": 1}


async def test_the_secret_address_is_nowhere_in_what_the_engine_keeps(engine: Engine, chat_service: Chat) -> None:
    chat_service.status = 500
    await engine.email(DOUBLE)
    await engine.settle()
    await engine.advance(hours=1)
    assert "was not taken: status 500" in engine.stored()
    assert "/hook" not in engine.stored()
