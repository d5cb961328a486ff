"""A whole email with real calls to a Stripe that misbehaves: one charge, one refund in the ledger, one reply.

Runs without any account: the engine's clock passes the pauses between the tries.
"""

from collections.abc import AsyncIterator

import pytest

import db
import worker
from refunds import providers
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.fake_stripe import KEY, FakeStripe, serve
from tests.ledger import decide, rewrite

DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."
TWO_ORDERS = "I was charged twice for order A-1001, $49.00, and order A-1002 failed but you took $20.00."
ISSUED = {"message_received": 1, "refund_issued": 1, "message_sent": 1}
BLOCKED = {"message_received": 1, "refund_blocked": 1, "message_sent": 1}


@pytest.fixture
async def account(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeStripe]:
    """A Stripe account with one payment of $49.00 of cust_002 for order A-1001; the app is configured to use it."""
    async with serve(FakeStripe()) as fake:
        fake.charged("A-1001", "cust_002")
        monkeypatch.setenv("PAYMENTS", "stripe")
        monkeypatch.setenv("STRIPE_API_KEY", KEY)
        monkeypatch.setenv("STRIPE_API_BASE", fake.url)
        monkeypatch.setattr(providers, "TIMEOUT_SECONDS", 1.5)
        yield fake


async def approved(engine: Engine, text: str = DOUBLE, count: int = 1) -> str:
    """An email whose refunds were just approved, one after the other; its event id."""
    event_id = await engine.email(text)
    await engine.until(refunds_in_ledger, [("pending", None)] * count)
    await engine.settle()
    for refund_id in range(1, count + 1):
        assert await decide(refund_id, approved=True, by="ada") is None
    await engine.decide(request_id=event_id)
    await engine.settle()
    return event_id


async def reply() -> str:
    rows = await db.fetch("select detail::jsonb ->> 'reply' as reply from audit_log where action = 'message_sent'")
    assert len(rows) == 1
    return str(rows[0]["reply"])


async def test_a_good_day(engine: Engine, account: FakeStripe) -> None:
    await approved(engine)
    await engine.until(actions, ISSUED)
    assert account.paid() == [("A-1001", 4900)]
    assert "refunded $49.00 for order A-1001" in await reply()


@pytest.mark.parametrize(
    "troubles", [["silence after"], ["500 after"], ["silence before", "429", "500 before", "cut after"]], ids=", ".join
)
async def test_a_provider_in_trouble_costs_tries_and_not_a_second_charge(
    troubles: list[str], engine: Engine, account: FakeStripe
) -> None:
    account.trouble["create"] = troubles
    await approved(engine)
    assert await refunds_in_ledger() == [("approved", "approved")]
    await engine.advance(hours=2)
    assert account.trouble["create"] == []
    assert await actions() == ISSUED
    assert await refunds_in_ledger() == [("issued", "approved")]
    assert account.paid() == [("A-1001", 4900)]
    assert "refunded $49.00 for order A-1001" in await reply()


async def test_a_provider_that_is_away_too_long_costs_the_reply_and_not_the_refund(
    engine: Engine, account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run gives up and a person finds the email; the payment that was begun is finished when Stripe is back."""
    with monkeypatch.context() as away:
        away.setenv("STRIPE_API_BASE", "http://127.0.0.1:1")
        await approved(engine)
        await engine.advance(hours=2)
    assert await actions() == {"message_received": 1, "run_failed": 1}
    [failed] = await db.fetch("select detail::jsonb as detail from audit_log where action = 'run_failed'")
    assert '"payments_left_open": [1]' in failed["detail"]
    assert await refunds_in_ledger() == [("approved", "approved")]
    assert account.paid() == []
    await rewrite("update refunds set payment_started_at = now() - interval '11 minutes'")
    await engine.advance(minutes=6)
    assert await actions() == {"message_received": 1, "run_failed": 1, "refund_issued": 1}
    assert account.paid() == [("A-1001", 4900)]


async def test_a_deploy_between_the_charge_and_the_next_try_loses_neither_the_money_nor_the_customer(
    engine: Engine, account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new version cannot read what was saved: a person answers, and what was begun is finished all the same."""
    account.trouble["create"] = ["silence after"]
    await approved(engine)
    assert await refunds_in_ledger() == [("approved", "approved")]
    original = worker.build_agent
    monkeypatch.setattr(worker, "build_agent", lambda: original().clone(name="customer-care"))
    await engine.advance(minutes=5)
    assert (await reply()).startswith(worker.FOLLOW_UP)
    assert (await reply()).endswith("- Being made, not confirmed yet: refund of $49.00 for order A-1001.")
    assert await refunds_in_ledger() == [("approved", "approved")]
    await rewrite("update refunds set payment_started_at = now() - interval '11 minutes'")
    await engine.advance(minutes=6)
    assert await actions() == ISSUED
    assert account.paid() == [("A-1001", 4900)]


async def test_a_payment_in_trouble_does_not_hold_up_the_wake_ups_of_others(
    engine: Engine, account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One payment fails and fails; a rejection whose event was lost reaches its run all the same."""
    account.trouble["create"] = ["500 before"] * 100
    await approved(engine)
    await rewrite("update refunds set payment_started_at = now() - interval '11 minutes'")
    await engine.email("I was charged twice for order B-7, $5.00.", "cust_003")
    await engine.until(refunds_in_ledger, [("approved", "approved"), ("pending", None)])
    await engine.settle()
    assert await decide(2, approved=False, by="ada") is None
    await rewrite("update refunds set decided_at = now() - interval '2 minutes' where id = 2")
    await engine.advance(minutes=6)
    assert await actions("cust_003") == BLOCKED
    assert account.paid() == []


async def test_an_order_that_the_provider_does_not_know_is_blocked_and_the_customer_is_told(
    engine: Engine, account: FakeStripe
) -> None:
    account.payments.clear()
    await approved(engine)
    await engine.until(actions, BLOCKED)
    assert await refunds_in_ledger() == [("blocked", "approved")]
    assert "no money could be sent back for order A-1001" in await reply()


async def test_of_two_refunds_the_provider_pays_the_one_it_can(engine: Engine, account: FakeStripe) -> None:
    account.trouble["create"] = ["silence after"]
    await approved(engine, TWO_ORDERS, 2)
    await engine.advance(hours=1)
    assert sorted(await refunds_in_ledger()) == [("blocked", "approved"), ("issued", "approved")]
    assert await actions() == ISSUED | {"refund_blocked": 1}
    assert account.paid() == [("A-1001", 4900)]
