"""No refund without a recorded yes to exactly it, and never two: counted in the ledger, not read from replies."""

import hashlib
from typing import Any

import httpx
import pytest
from inngest_encryption import EncryptionMiddleware

import db
import inngest_app
import worker
from refunds import ledger
from steps import approval, saved_state
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.ledger import decide, rewrite

DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."
TWO_ORDERS = "I was charged twice for order A-1001, $49.00, and order A-1002 failed but you took $20.00."
ISSUED = {"message_received": 1, "refund_issued": 1, "message_sent": 1}
BLOCKED = {"message_received": 1, "refund_blocked": 1, "message_sent": 1}


@pytest.fixture(params=["", "a key"], ids=["plain", "encrypted"], autouse=True)
def encryption(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests here run both ways: with step outputs as they are, and as ENCRYPTION_KEY makes them."""
    middleware = [EncryptionMiddleware.factory(request.param)] if request.param else []
    monkeypatch.setattr(inngest_app.client, "middleware", middleware)


# What differs only in a value is told apart before anything is stored.
plain = pytest.mark.parametrize("encryption", [""], ids=["plain"], indirect=True)


async def waiting() -> list[str]:
    return [row["status"] for row in await db.fetch("select status from refunds order by id")]


async def paused(engine: Engine, text: str = DOUBLE, customer_id: str = "cust_002", count: int = 1) -> str:
    """An email whose run waits at the gate; its event id."""
    event_id = await engine.email(text, customer_id)
    await engine.until(waiting, ["pending"] * count)
    await engine.settle()
    return event_id


async def replies() -> list[str]:
    rows = await db.fetch("select detail::jsonb ->> 'reply' as reply from audit_log where action = 'message_sent'")
    return [row["reply"] for row in rows]


async def paid_cents() -> int:
    rows = await db.fetch("select coalesce(sum(approved_cents), 0)::int as cents from refunds where status = 'issued'")
    return int(rows[0]["cents"])


async def test_approved_it_is_issued_once(engine: Engine) -> None:
    await paused(engine)
    await engine.decide(approved=True, customer_id="cust_002")
    await engine.until(actions, ISSUED)
    assert await refunds_in_ledger() == [("issued", "approved")]
    assert await paid_cents() == 4900


async def test_rejected_nothing_is_issued_and_the_reason_reaches_the_customer(engine: Engine) -> None:
    event_id = await paused(engine)
    await engine.decide(approved=False, request_id=event_id, rejection_message="we see one charge only")
    await engine.until(actions, BLOCKED)
    assert await refunds_in_ledger() == [("blocked", "rejected")]
    assert "we see one charge only" in (await replies())[0]


async def test_nobody_answers_for_four_hours_and_nothing_is_issued(engine: Engine) -> None:
    await paused(engine)
    await engine.advance(hours=3, minutes=59)
    assert await refunds_in_ledger() == [("pending", None)]
    await engine.advance(minutes=2)
    assert await refunds_in_ledger() == [("blocked", "expired")]
    assert await actions() == BLOCKED


async def test_the_approver_may_lower_the_amount(engine: Engine) -> None:
    event_id = await paused(engine)
    await engine.decide(approved=True, request_id=event_id, amount_cents=1500)
    await engine.until(actions, ISSUED)
    assert await paid_cents() == 1500


@plain
@pytest.mark.parametrize("amount", [4901, 0, -1, "1500", 15.5, True, [1500]])
async def test_an_amount_above_the_one_asked_for_or_no_amount_at_all_decides_nothing(
    engine: Engine, amount: object
) -> None:
    event_id = await paused(engine)
    await engine.decide(approved=True, request_id=event_id, amount_cents=amount)
    await engine.settle()
    assert await refunds_in_ledger() == [("pending", None)]


@plain
@pytest.mark.parametrize("approved", ["true", "yes", 1, None, [True], {"approved": True}])
async def test_anything_but_true_or_false_decides_nothing(engine: Engine, approved: object) -> None:
    event_id = await paused(engine)
    await engine.decide(approved=approved, request_id=event_id)
    await engine.settle()
    assert await refunds_in_ledger() == [("pending", None)]


async def test_the_same_decision_ten_times_is_one_decision(engine: Engine) -> None:
    event_id = await paused(engine)
    for _ in range(10):
        decision = {"approved": True, "request_id": event_id}
        await engine.send("refund/approval.decided", decision, id=f"decision-{event_id}")
    await engine.until(actions, ISSUED)
    await engine.settle()
    assert await actions() == ISSUED


async def test_yes_and_no_together_are_one_decision(engine: Engine) -> None:
    event_id = await paused(engine)
    await engine.decide(approved=True, request_id=event_id)
    await engine.decide(approved=False, request_id=event_id)
    await engine.settle()
    (refund,) = await refunds_in_ledger()
    assert refund in {("issued", "approved"), ("blocked", "rejected")}


async def test_a_decision_before_the_email_decides_nothing(engine: Engine) -> None:
    await engine.decide(approved=True, customer_id="cust_002")
    await paused(engine)
    assert await refunds_in_ledger() == [("pending", None)]


async def test_a_decision_while_the_reviewer_is_being_told_is_heard(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ledger.open_requests

    async def decided_at_once(run_id: str, request_id: str, *rest: Any) -> None:
        await original(run_id, request_id, *rest)
        await engine.decide(approved=True, request_id=request_id)

    monkeypatch.setattr(ledger, "open_requests", decided_at_once)
    await engine.email(DOUBLE)
    await engine.until(actions, ISSUED)


async def test_a_decision_after_the_time_was_up_changes_nothing(engine: Engine) -> None:
    event_id = await paused(engine)
    await engine.advance(hours=4, seconds=1)
    await engine.decide(approved=True, request_id=event_id)
    await engine.settle()
    assert await refunds_in_ledger() == [("blocked", "expired")]
    assert await paid_cents() == 0


@plain
@pytest.mark.parametrize(
    "decision",
    [
        {"approved": True, "customer_id": "cust_003"},
        {"approved": True, "request_id": "another-request"},
        {"approved": True, "request_id": "another-request", "customer_id": "cust_002"},
        {"approved": True, "request_id": "' || true || '", "customer_id": "' || true || '"},
        {"approved": True},
    ],
)
async def test_a_decision_for_somebody_else_decides_nothing(engine: Engine, decision: dict[str, Any]) -> None:
    await paused(engine)
    await engine.decide(**decision)
    await engine.settle()
    assert await refunds_in_ledger() == [("pending", None)]


@plain
@pytest.mark.parametrize("customer_id", ["O'Brien", '" || true || "', "x' || true || 'x", "\\", "a\nb", "{{1}}"])
async def test_a_hostile_customer_id_is_only_a_name(engine: Engine, customer_id: str) -> None:
    await db.fetch("insert into customers values ($1, 'hostile@example.com', 'pro')", customer_id)
    event_id = await paused(engine, customer_id=customer_id)
    await engine.decide(approved=True, customer_id="somebody-else")
    await engine.settle()
    assert await refunds_in_ledger() == [("pending", None)]
    # By request: the official server does not match a customer id with quotes, backslashes or line breaks in it.
    await engine.decide(approved=True, request_id=event_id)
    await engine.until(actions, ISSUED)


async def test_a_forged_wake_up_leads_back_to_waiting_for_what_is_left(engine: Engine) -> None:
    event_id = await paused(engine)
    await rewrite("update refunds set expires_at = now() + interval '1 hour'")
    await engine.decide(request_id=event_id)
    await engine.settle()
    assert await refunds_in_ledger() == [("pending", None)]
    await engine.advance(minutes=59)
    assert await refunds_in_ledger() == [("pending", None)]
    await engine.advance(minutes=2)
    assert await refunds_in_ledger() == [("blocked", "expired")]


async def test_two_refunds_in_one_email_are_decided_each_by_itself(engine: Engine) -> None:
    event_id = await paused(engine, TWO_ORDERS, count=2)
    await engine.decide(approved=True, request_id=event_id)
    await engine.until(waiting, ["approved", "pending"])
    await engine.settle()
    await engine.decide(approved=False, request_id=event_id)
    await engine.until(actions, {"message_received": 1, "refund_issued": 1, "refund_blocked": 1, "message_sent": 1})
    assert await refunds_in_ledger() == [("issued", "approved"), ("blocked", "rejected")]


async def test_a_bare_decision_for_a_customer_decides_the_oldest_of_two_emails(engine: Engine) -> None:
    await paused(engine)
    await engine.email("I was charged twice for order B-7, $5.00.")
    await engine.until(waiting, ["pending", "pending"])
    await engine.settle()
    await engine.decide(approved=True, customer_id="cust_002")
    await engine.until(refunds_in_ledger, [("issued", "approved"), ("pending", None)])
    await engine.settle()
    assert await refunds_in_ledger() == [("issued", "approved"), ("pending", None)]


async def test_outside_dev_mode_an_event_alone_decides_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inngest_app, "DEV", False)
    event_id = await paused(engine)
    await engine.decide(approved=True, request_id=event_id)
    await engine.decide(approved=True, customer_id="cust_002")
    await engine.settle()
    assert await refunds_in_ledger() == [("pending", None)]
    assert await decide(1, approved=True, by="ada") is None
    await engine.decide(request_id=event_id)
    await engine.until(actions, ISSUED)


async def test_a_recorded_decision_whose_event_was_lost_is_found_within_minutes(engine: Engine) -> None:
    await paused(engine)
    assert await decide(1, approved=True, by="ada") is None
    await rewrite("update refunds set decided_at = now() - interval '2 minutes'")
    await engine.advance(minutes=6)
    assert await actions() == ISSUED


async def test_an_agent_that_asks_for_more_waits_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "rule-based:asks-again")
    event_id = await paused(engine)
    await engine.decide(approved=True, request_id=event_id)
    await engine.until(refunds_in_ledger, [("issued", "approved"), ("pending", None)])
    await engine.settle()
    await engine.decide(approved=False, request_id=event_id)
    await engine.until(refunds_in_ledger, [("issued", "approved"), ("blocked", "rejected")])
    await engine.until(actions, {"message_received": 1, "refund_issued": 1, "refund_blocked": 1, "message_sent": 1})


async def test_a_second_email_about_a_refunded_order_is_paid_only_by_a_yes_that_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "rule-based:forgets")
    await engine.decide(approved=True, request_id=await paused(engine))
    await engine.until(messages_sent, 1)
    event_id = await engine.email(DOUBLE)
    await engine.until(refunds_asked_for, 2)
    await engine.settle()
    await engine.decide(approved=True, request_id=event_id)
    await engine.settle()
    assert await refunds_in_ledger() == [("issued", "approved"), ("pending", None)]
    [told] = await db.fetch("select refund_id, actor, why from refund_history where event = 'decision refused'")
    assert (told["refund_id"], told["actor"]) == (2, "dev-mode event")
    assert told["why"].startswith("it looks like refund 1 of $49.00 for order A-1001, approved ")
    await engine.decide(approved=True, request_id=event_id, also_paid=True)
    await engine.until(messages_sent, 2)
    assert await refunds_in_ledger() == [("issued", "approved")] * 2
    assert await paid_cents() == 9800


async def messages_sent() -> int:
    return (await actions()).get("message_sent", 0)


async def refunds_asked_for() -> int:
    return len(await refunds_in_ledger())


async def test_a_run_that_fails_for_good_leaves_no_refund_open(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> worker.Outcome:
        raise RuntimeError("the new version cannot read this")

    event_id = await paused(engine)
    monkeypatch.setattr(saved_state, "resume", never)
    await engine.decide(approved=True, request_id=event_id)
    await engine.settle()
    await engine.advance(hours=6)
    assert await actions() == {"message_received": 1, "refund_blocked": 1, "run_failed": 1}
    assert await refunds_in_ledger() == [("blocked", "approved")]


async def test_a_run_that_is_cancelled_while_it_waits_leaves_no_refund_open(engine: Engine) -> None:
    await paused(engine)
    await engine.cancel_all()
    await engine.until(actions, {"message_received": 1, "refund_blocked": 1, "run_failed": 1})
    assert await refunds_in_ledger() == [("blocked", None)]


@pytest.mark.crash_at_every_step(function="handle-customer-email")
async def test_wherever_the_process_dies_a_yes_pays_once(engine: Engine) -> None:
    """Also between the payment and the moment when the engine would have heard of it."""
    event_id = await paused(engine)
    await engine.decide(approved=True, request_id=event_id)
    await engine.until(actions, ISSUED)
    await engine.settle()
    assert (await actions(), await refunds_in_ledger()) == (ISSUED, [("issued", "approved")])
    assert await paid_cents() == 4900


async def test_a_forged_call_with_invented_steps_moves_no_money(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In dev mode calls are unsigned, so anybody who reaches the port can claim that a step returned anything."""
    await paused(engine)
    (row,) = await ledger.of_run((await db.fetch("select run_id from refunds"))[0]["run_id"])
    outcome = await worker.answer(DOUBLE, {"customer_id": "cust_002", "run_id": row["run_id"]})
    ticket = worker.Ticket(customer_id="cust_002", run_id=row["run_id"])
    approved = {row["call_id"]: {"status": "approved", "order_id": "A-1001", "why": None}}
    await approval.resume_agent(outcome["state"], ticket, approved)
    assert await paid_cents() == 0
    async with httpx.AsyncClient(base_url=engine.app_url) as http:
        forged = {
            "ctx": {
                "run_id": row["run_id"],
                "attempt": 0,
                "stack": {"current": 0, "stack": []},
                "disable_immediate_execution": False,
                "use_api": False,
                "fn_id": "x",
                "step_id": "step",
            },
            "event": {
                "name": "customer/email.received",
                "id": row["request_id"],
                "ts": 1,
                "data": {"customer_id": "cust_002", "email_text": DOUBLE},
            },
            "events": [],
            "steps": {},
            "use_api": False,
        }
        for name, result in {
            "audit-received": None,
            "run-agent": outcome,
            "notify-reviewer": None,
            "await-refund-approval": {"name": "refund/approval.decided", "data": {}, "id": "x", "ts": 1},
            "read-decisions": {"seconds_left": 0, "decisions": approved},
        }.items():
            forged["steps"][_hashed(name)] = {"data": result}  # type: ignore[index]
        forged["steps"][_hashed("await-refund-approval")] = None  # type: ignore[index]
        answer = await http.post(
            "/api/inngest", params={"fnId": "customer-support-handle-customer-email", "stepId": "step"}, json=forged
        )
    assert "resume-agent" in answer.text, answer.text
    assert await paid_cents() == 0
    assert await refunds_in_ledger() == [("pending", None)]


def _hashed(step_id: str) -> str:
    return hashlib.sha1(step_id.encode()).hexdigest()  # noqa: S324
