"""The stories that the matrix of misfortunes is told with: together they pass every step of every function.

`test_every_step_of_every_function_has_a_story` fails when a new step is in none.
"""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import db
from refunds import ledger
from tests.durable.driver import actions, refunds_in_ledger
from tests.e2e.stage import Stage, Story, patiently
from tests.ledger import decide as decided
from tests.ledger import rewrite

DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."
TWO_ORDERS = "I was charged twice for order A-1001, $49.00, and order A-1002 failed but you took $20.00."
PENDING = ("pending", None)
STORIES: dict[str, Story] = {}


def story(
    model: str = "rule-based", *, takes_hours: bool = False, with_mail: bool = False
) -> Callable[[Callable[[Stage], Awaitable[None]]], None]:
    """Add a story, called as its function is."""

    def add(tell: Callable[[Stage], Awaitable[None]]) -> None:
        STORIES[tell.__name__] = Story(tell.__name__, tell, model, takes_hours, with_mail)

    return add


async def decide(number: int, *, approved: bool) -> None:
    """A person decides the refund with this number (from 1) in the ledger, under a name."""
    row = (await patiently(lambda: db.fetch("select id from refunds order by id")))[number - 1]
    assert await patiently(lambda: decided(row["id"], approved=approved, by="grace", key=f"grace-{number}")) is None


async def unsettled() -> int:
    rows = await db.fetch("select from refunds where settled_at is null")
    return len(rows)


async def backdate(column: str) -> None:
    """Make something in the ledger eleven minutes older."""
    statement = f"update refunds set {column} = now() - interval '11 minutes' returning id"  # noqa: S608
    await patiently(lambda: rewrite(statement))


@story()
async def plain(stage: Stage) -> None:
    await stage.engine.email("How long does shipping to Norway take?")
    await stage.until(actions, {"message_received": 1, "message_sent": 1})


@story()
async def approved(stage: Stage) -> None:
    event_id = await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await stage.engine.decide(approved=True, request_id=event_id)
    await stage.until(actions, {"message_received": 1, "refund_issued": 1, "message_sent": 1})


@story()
async def lowered(stage: Stage) -> None:
    event_id = await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await stage.engine.decide(approved=True, request_id=event_id, amount_cents=1500)
    await stage.until(actions, {"message_received": 1, "refund_issued": 1, "message_sent": 1})


@story()
async def rejected(stage: Stage) -> None:
    event_id = await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await stage.engine.decide(approved=False, request_id=event_id, rejection_message="we see one charge only")
    await stage.until(actions, {"message_received": 1, "refund_blocked": 1, "message_sent": 1})


@story(takes_hours=True)
async def expired(stage: Stage) -> None:
    await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await stage.wait(hours=3, minutes=50)
    await stage.until(actions, {"message_received": 1, "refund_blocked": 1, "message_sent": 1})


@story()
async def two_refunds(stage: Stage) -> None:
    event_id = await stage.engine.email(TWO_ORDERS)
    await stage.until(refunds_in_ledger, [PENDING, PENDING])
    await decide(1, approved=True)
    await stage.engine.decide(request_id=event_id)
    await stage.until(refunds_in_ledger, [("approved", "approved"), PENDING])
    await decide(2, approved=False)
    await wake(stage, event_id)
    ended = {"message_received": 1, "refund_issued": 1, "refund_blocked": 1, "message_sent": 1}
    await stage.until(actions, ended, again=lambda: wake(stage, event_id))


async def wake(stage: Stage, request_id: str) -> None:
    """Send a wake-up, as the cron does for a decision that nobody acted on: one may find nobody waiting yet."""
    await stage.engine.decide(request_id=request_id)


@story("rule-based:asks-again")
async def asks_again(stage: Stage) -> None:
    event_id = await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await decide(1, approved=True)
    await wake(stage, event_id)
    await stage.until(refunds_in_ledger, [("issued", "approved"), PENDING], again=lambda: wake(stage, event_id))
    await decide(2, approved=True)
    await wake(stage, event_id)
    ended = {"message_received": 1, "refund_issued": 2, "message_sent": 1}
    await stage.until(actions, ended, again=lambda: wake(stage, event_id))


@story("rule-based:asks-again")
async def asks_after_expiry(stage: Stage) -> None:
    event_id = await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    soon = "update refunds set expires_at = now() + interval '2 minutes' returning id"
    await patiently(lambda: rewrite(soon))
    await wake(stage, event_id)
    await stage.until(refunds_in_ledger, [("blocked", "expired"), PENDING], again=lambda: wake(stage, event_id))
    await decide(2, approved=True)
    await wake(stage, event_id)
    ended = {"message_received": 1, "refund_issued": 1, "refund_blocked": 1, "message_sent": 1}
    await stage.until(actions, ended, again=lambda: wake(stage, event_id))


@story("rule-based:forgets")
async def twice(stage: Stage) -> None:
    for number in (1, 2):
        event_id = await stage.engine.email(DOUBLE)
        await stage.until(unsettled, 1)
        # The second yes counts because it says that it is for an order that was paid.
        await stage.engine.decide(approved=True, request_id=event_id, also_paid=number == 2)
        await stage.until(sent, number)


async def sent() -> int:
    return (await actions()).get("message_sent", 0)


@story("rule-based:negative")
async def impossible(stage: Stage) -> None:
    await stage.engine.email(DOUBLE)
    await stage.until(actions, {"message_received": 1, "refund_blocked": 1, "run_failed": 1})


@story()
async def lost_wake_up(stage: Stage) -> None:
    await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await decide(1, approved=True)
    await backdate("decided_at")
    await stage.until(actions, {"message_received": 1, "refund_issued": 1, "message_sent": 1})


@story()
async def unheard_decision(stage: Stage) -> None:
    await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await decide(1, approved=True)
    [row] = await patiently(lambda: db.fetch("select id from refunds"))
    # The wake-up reaches another run, and so does its repetition; the cron's does not.
    await stage.engine.decide(request_id="another", refund_id=row["id"])
    await stage.wait(seconds=40)
    await backdate("decided_at")
    await stage.until(actions, {"message_received": 1, "refund_issued": 1, "message_sent": 1})


@story()
async def never_begun(stage: Stage) -> None:
    data = {"customer_id": "cust_002", "email_text": "How long does shipping to Norway take?"}
    event = json.dumps({"id": "email-1", "name": "customer/email.received", "data": data})
    kept = (
        "insert into inbox (event_id, sender, event, received_at)"
        " values ('email-1', 'grace@example.com', $1, now() - interval '5 minutes') on conflict do nothing"
    )
    await patiently(lambda: db.fetch(kept, event))
    await stage.until(actions, {"message_received": 1, "message_sent": 1})


@story()
async def orphaned_payment(stage: Stage) -> None:
    asked: list[dict[str, Any]] = [{"call_id": "c", "order_id": "A-7", "amount_cents": 100, "reason": "Double"}]
    await patiently(lambda: ledger.open_requests("gone", "request", "cust_002", asked))
    await decide(1, approved=True)
    await patiently(lambda: db.fetch("update refunds set payment_started_at = now() returning id"))
    await backdate("payment_started_at")
    await stage.until(actions, {"refund_issued": 1})


@story()
async def abandoned(stage: Stage) -> None:
    for number in (1, 2):
        asked = {"call_id": "c", "order_id": f"A-{number}", "amount_cents": 100, "reason": "Double"}
        await patiently(partial(ledger.open_requests, f"gone-{number}", "request", "cust_002", [asked]))
    await decide(1, approved=True)
    lost = "update refunds set expires_at = now() - interval '25 hours' returning id"
    await patiently(lambda: rewrite(lost))
    await stage.until(actions, {"refund_blocked": 2})


@story()
async def unknown_customer(stage: Stage) -> None:
    await stage.engine.email(DOUBLE, "cust_404")
    await stage.until(actions, {"run_failed": 1})


@story()
async def cancelled(stage: Stage) -> None:
    await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await patiently(stage.engine.cancel_unfinished)
    await stage.until(actions, {"message_received": 1, "refund_blocked": 1, "run_failed": 1})


@story()
async def fan_out(stage: Stage) -> None:
    await stage.engine.invoke("customer-support-daily-health-check")
    await stage.until(actions, {"health_check": 3})


@story()
async def grown_old(stage: Stage) -> None:
    await patiently(lambda: db.record("message_sent", "run-1", "audit-sent", "cust_002", reply="Hello"))
    old = "update audit_log set created_at = now() - interval '31 days' returning id"
    await patiently(lambda: rewrite(old))
    await stage.engine.invoke("customer-support-erase-old-texts")
    await stage.until(actions, {"message_sent": 1, "data_erased": 1})


@story(with_mail=True)
async def answered_by_mail(stage: Stage) -> None:
    event_id = await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await stage.engine.decide(approved=True, request_id=event_id)
    await stage.until(actions, {"message_received": 1, "refund_issued": 1, "message_sent": 1})


@story(with_mail=True)
async def refund_came_back(stage: Stage) -> None:
    await stage.engine.email(DOUBLE)
    await stage.until(refunds_in_ledger, [PENDING])
    await decide(1, approved=True)
    await backdate("decided_at")
    ended = {"message_received": 1, "refund_issued": 1, "message_sent": 1}
    await stage.until(actions, ended)
    [row] = await patiently(lambda: db.fetch("select outcome from refunds"))
    failed = {"refund_id": row["outcome"], "amount_cents": 4900, "currency": "usd", "reason": "lost_or_stolen_card"}
    await stage.engine.send("stripe/charge.refund.failed", failed)
    await stage.until(actions, ended | {"refund_blocked": 1, "message_sent": 2})


@story()
async def stranger(stage: Stage) -> None:
    mail = {"from": "eve@example.com", "subject": "Hi", "email_text": DOUBLE, "reason": "the sender is not a customer"}
    await stage.engine.send("customer/email.unmatched", mail)
    await stage.until(actions, {"run_failed": 1})
    await stage.until(told, 1)


async def told() -> int:
    return len(await db.fetch("select from needs_person where told_at is not null"))
