"""Money that came back: support hears of it, it is recorded, the customer is told; each of the three by itself."""

import json
from typing import Any

import pytest

import db
from outbound import chat
from steps import money_back
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.mail_server import mail_server

DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."
ENDED = {"message_received": 1, "refund_issued": 1, "message_sent": 1}
FAILED = {
    "refund_id": "re_1",
    "charge_id": "ch_1",
    "payment_intent_id": "pi_1",
    "amount_cents": 4900,
    "currency": "usd",
    "reason": "lost_or_stolen_card",
    "status": "failed",
}


async def paid(engine: Engine) -> str:
    """A refund that was paid; the provider's reference."""
    event_id = await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [("pending", None)])
    await engine.decide(request_id=event_id, approved=True)
    await engine.until(actions, ENDED)
    [row] = await db.fetch("select outcome from refunds")
    return str(row["outcome"])


async def came_back(engine: Engine, event_id: str | None = None, **changes: Any) -> str:
    return (await engine.send("stripe/charge.refund.failed", FAILED | changes, id=event_id)).id


async def rows(action: str) -> list[dict[str, Any]]:
    found = await db.fetch("select run_id, customer_id, detail from audit_log where action = $1 order by id", action)
    return [row | {"detail": json.loads(row["detail"])} for row in found]


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, str]]]:
    """What support's chat is told."""
    messages: list[list[tuple[str, str]]] = []

    async def post(lines: list[tuple[str, str]]) -> bool:
        messages.append(lines)
        return True

    monkeypatch.setattr(chat, "post", post)
    return messages


async def test_a_refund_that_came_back_is_told_recorded_and_never_paid_again(
    engine: Engine, posted: list[list[tuple[str, str]]]
) -> None:
    reference = await paid(engine)
    posted.clear()
    await came_back(engine, refund_id=reference)
    await engine.until(actions, ENDED | {"refund_blocked": 1, "message_sent": 2})
    await engine.settle()
    [refund] = await db.fetch("select * from refunds")
    assert (refund["status"], refund["outcome"]) == ("issued", reference)
    [blocked], [_, message] = await rows("refund_blocked"), await rows("message_sent")
    assert (blocked["run_id"], blocked["customer_id"]) == (refund["run_id"], "cust_002")
    assert blocked["detail"] == {
        "refund_id": refund["id"],
        "order_id": "A-1001",
        "amount_cents": 4900,
        "reference": reference,
        "why": "the payment provider could not deliver it: lost_or_stolen_card",
        "needs_person": True,
    }
    assert (message["run_id"], message["customer_id"]) == (refund["run_id"], "cust_002")
    assert message["detail"]["delivery"] == "draft"
    assert message["detail"]["reply"].startswith("We made a refund of 49.00 USD for order A-1001, but")
    [[(text, page)]] = posted
    assert text == (
        f"The refund {reference} of 49.00 USD could not be delivered"
        " (customer cust_002, order A-1001, charge ch_1, reason lost_or_stolen_card, status failed)."
    )
    assert page == f"/approvals/{refund['id']}"


async def test_however_often_it_is_delivered_there_is_one_row_and_one_message(engine: Engine) -> None:
    reference = await paid(engine)
    async with mail_server() as server:
        with pytest.MonkeyPatch.context() as settings:
            settings.setenv("SMTP_URL", f"smtp://127.0.0.1:{server.port}")
            settings.setenv("MAIL_FROM", "support@shop.example")
            same = await came_back(engine, refund_id=reference)
            await came_back(engine, same, refund_id=reference)
            await came_back(engine, refund_id=reference)
            await engine.until(actions, ENDED | {"refund_blocked": 1, "message_sent": 2})
            await came_back(engine, refund_id=reference)
            await engine.settle()
    assert await actions() == ENDED | {"refund_blocked": 1, "message_sent": 2}
    assert len({message["Message-ID"] for message in server.accepted}) == 1
    assert {message["To"] for message in server.accepted} == {"grace@example.com"}


@pytest.mark.parametrize(
    "broken", ["notify_support", "audit_failed_refund", "tell_customer"], ids=["support", "the trail", "the customer"]
)
async def test_each_of_the_three_fails_by_itself(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, posted: list[list[tuple[str, str]]], broken: str
) -> None:
    """The step is found when the run comes, so it can be broken in the running app."""
    reference = await paid(engine)
    posted.clear()

    async def fails(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(money_back, broken, fails)
    await came_back(engine, refund_id=reference)
    await engine.settle()
    await engine.advance(hours=2)
    done = {"notify_support": len(posted), "audit_failed_refund": (await actions()).get("refund_blocked", 0)}
    done["tell_customer"] = (await actions())["message_sent"] - 1
    assert done == {name: int(name != broken) for name in done}


async def test_a_refund_that_is_not_ours_is_recorded_and_its_customer_told_if_we_know_one(engine: Engine) -> None:
    await came_back(engine, refund_id="re_theirs", customer_id="cust_001", order_id="A-7")
    await engine.until(actions, {"refund_blocked": 1, "message_sent": 1})
    [blocked], [message] = await rows("refund_blocked"), await rows("message_sent")
    assert (blocked["customer_id"], blocked["detail"]["order_id"]) == ("cust_001", "A-7")
    assert "We made a refund of 49.00 USD for order A-7," in message["detail"]["reply"]


@pytest.mark.parametrize("data", [{}, {"customer_id": "cust_404"}, {"customer_id": ["cust_001"]}, {"refund_id": None}])
async def test_nobody_is_written_to_when_nobody_is_known(engine: Engine, data: dict[str, Any]) -> None:
    await came_back(engine, **data)
    await engine.until(actions, {"refund_blocked": 1})
    await engine.settle()
    assert await actions() == {"refund_blocked": 1}
    assert [row["customer_id"] for row in await rows("refund_blocked")] == [None]


async def test_a_dispute_is_told_and_changes_nothing(engine: Engine, posted: list[list[tuple[str, str]]]) -> None:
    data = FAILED | {"refund_id": None, "dispute_id": "dp_1", "reason": "fraudulent", "status": "needs_response"}
    await engine.send("stripe/charge.dispute.created", data)
    await engine.settle()
    text = "The dispute dp_1 of 49.00 USD was opened (charge ch_1, reason fraudulent, status needs_response)."
    assert posted == [[(text, "/approvals")]]
    assert await actions() == {}


async def test_a_note_that_cannot_be_delivered_stays_with_a_person(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = await paid(engine)
    async with mail_server() as server:
        server.recipient = "550 no such user"
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{server.port}")
        monkeypatch.setenv("MAIL_FROM", "support@shop.example")
        await came_back(engine, refund_id=reference)
        await engine.until(actions, ENDED | {"refund_blocked": 1, "run_failed": 1})
    [row] = await rows("run_failed")
    assert row["customer_id"] == "cust_002"
    assert row["detail"]["reply"].startswith("We made a refund of 49.00 USD")
    assert "550" in row["detail"]["error"]


@pytest.mark.parametrize("amount", [None, "4900", 49.5, True, [1]])
async def test_an_amount_that_is_none_is_not_made_up(engine: Engine, amount: Any) -> None:
    await came_back(engine, customer_id="cust_001", amount_cents=amount)
    await engine.until(actions, {"refund_blocked": 1, "message_sent": 1})
    [message] = await rows("message_sent")
    assert message["detail"]["reply"].startswith("We made a refund, but the payment")


# Emails from nobody we know


async def test_a_strangers_email_is_a_persons_to_answer(engine: Engine) -> None:
    data = {"from": "eve@example.com", "subject": "Hi", "email_text": DOUBLE, "reason": "the sender is not a customer"}
    same = (await engine.send("customer/email.unmatched", data)).id
    await engine.send("customer/email.unmatched", data, id=same)
    await engine.until(actions, {"run_failed": 1})
    await engine.settle()
    [row] = await rows("run_failed")
    assert (row["run_id"], row["customer_id"]) == (same, None)
    assert row["detail"] == {
        "event_id": same,
        "error": "the sender is not a customer",
        "sender": "eve@example.com",
        "subject": "Hi",
        "email_text": DOUBLE,
    }


@pytest.mark.parametrize("data", [{}, {"email_text": ["x"]}, {"email_text": "\0\ud800"}, {"email_text": "x" * 200_000}])
async def test_whatever_a_strangers_email_holds_it_leaves_a_row(engine: Engine, data: dict[str, Any]) -> None:
    await engine.send("customer/email.unmatched", data)
    await engine.until(actions, {"run_failed": 1})
    [row] = await rows("run_failed")
    assert len(row["detail"]["email_text"]) <= 100_000
