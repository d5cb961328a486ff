"""From a provider's post to the row: once, however often it is delivered and whatever is away meanwhile.

The webhooks stand in an app of their own and send to the engine over HTTP, as the app does.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from functools import partial
from uuid import uuid4

import httpx
import pytest

import db
from tests.durable.driver import OFFICIAL, Engine, actions
from tests.providers import POSTMARK, REFUND, SETTINGS, Webhooks, stripe_event
from tests.serving import synced
from web import Event

ANSWERED = {"message_received": 1, "message_sent": 1}
FROM_ADA = POSTMARK | {"FromFull": {"Email": "Ada@Example.com", "Name": "Ada"}}


class Wired(Webhooks):
    """Webhooks that hand their events to the engine; with `forgetful`, they learn of no success."""

    forgetful = False

    async def send(self, events: Sequence[Event]) -> None:
        async with httpx.AsyncClient(timeout=10) as http:
            answer = await http.post(f"{os.environ['INNGEST_DEV']}/e/test", content=json.dumps(events))
        answer.raise_for_status()
        if self.forgetful:
            raise TimeoutError


@pytest.fixture
def webhooks(monkeypatch: pytest.MonkeyPatch) -> Wired:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return Wired()


async def test_an_email_that_is_posted_is_answered(engine: Engine, webhooks: Wired) -> None:
    answer = await webhooks.email(FROM_ADA | {"MessageID": str(uuid4())})
    assert answer.status_code == 200
    await engine.until(actions, ANSWERED)
    assert await actions("cust_001") == ANSWERED


async def test_an_email_that_is_delivered_many_times_is_answered_once(engine: Engine, webhooks: Wired) -> None:
    again = FROM_ADA | {"MessageID": str(uuid4())}
    answers = await asyncio.gather(*(webhooks.email(again) for _ in range(20)))
    answers += [await webhooks.email(again) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    await engine.until(actions, ANSWERED)
    await webhooks.email(again)
    await engine.settle()
    assert await actions() == ANSWERED


async def test_an_acknowledgement_that_was_lost_costs_a_redelivery_and_no_second_answer(
    engine: Engine, webhooks: Wired
) -> None:
    """The engine took the event and the webhook never heard of it: the provider has to be asked to repeat."""
    email = FROM_ADA | {"MessageID": str(uuid4())}
    webhooks.forgetful = True
    assert (await webhooks.email(email)).status_code == 503
    await engine.until(actions, ANSWERED)
    webhooks.forgetful = False
    assert (await webhooks.email(email)).status_code == 200
    await engine.settle()
    assert await actions() == ANSWERED


async def test_an_email_from_nobody_we_know_is_left_to_a_person_once(engine: Engine, webhooks: Wired) -> None:
    stranger = POSTMARK | {"MessageID": str(uuid4())}
    for _ in range(5):
        assert (await webhooks.email(stranger)).status_code == 200
    await engine.until(actions, {"run_failed": 1})
    await engine.settle()
    assert await actions() == {"run_failed": 1}
    (row,) = await db.fetch(
        "select detail::jsonb ->> 'error' as error, detail::jsonb ->> 'sender' as sender from audit_log"
    )
    assert row == {"error": "the sender is not a customer", "sender": "support@postmarkapp.com"}


async def test_a_refund_that_failed_is_recorded_once_of_all_that_stripe_tells_of_it(
    engine: Engine, webhooks: Wired
) -> None:
    told = ["refund.failed", "refund.updated", "charge.refund.updated"] * 5
    refund = REFUND | {"id": f"re_{uuid4().hex}", "metadata": {"order_id": "A-1001", "customer_id": "cust_002"}}
    expected = {"refund_blocked": 1, "message_sent": 1}
    for kind in told:
        assert (await webhooks.stripe(stripe_event(kind, refund, f"evt_{kind}_{refund['id']}"))).status_code == 200
    await engine.until(partial(actions, "cust_002"), expected)
    await engine.settle()
    assert await actions() == expected


BY_CURL = {"from": "grace@example.com", "text": "How long does shipping take?"}


async def post(app_url: str, message_id: str) -> httpx.Response:
    """An email to the app's own webhook, as a learner posts it: in dev mode, with nothing configured."""
    async with httpx.AsyncClient(timeout=30) as http:
        return await http.post(f"{app_url}/webhooks/email", json=BY_CURL | {"message_id": message_id})


async def test_the_apps_own_webhook_is_open_to_a_learner(engine: Engine) -> None:
    message_id = str(uuid4())
    for _ in range(2):
        answer = await post(engine.app_url, message_id)
        assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    await engine.until(partial(actions, "cust_002"), ANSWERED)
    await engine.settle()
    assert await actions() == ANSWERED


@pytest.mark.skipif(bool(OFFICIAL), reason="the official server is not ours to stop")
async def test_what_is_posted_while_the_engine_is_away_is_answered_once_when_it_is_back(
    database: None, app_url: str
) -> None:
    message_id = str(uuid4())
    for _ in range(2):
        answer = await post(app_url, message_id)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    async with Engine() as engine:
        await synced(app_url)
        for _ in range(3):
            assert (await post(app_url, message_id)).status_code == 200
        await engine.until(actions, ANSWERED)
        await engine.settle()
        assert await actions() == ANSWERED
