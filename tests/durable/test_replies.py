"""A reply that is sent by mail is sent once and recorded once; one that cannot be sent ends with a person."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

import db
from outbound import mail
from steps import replies, retries
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.mail_server import MailServer, mail_server

PLAIN = "Hello, how long does shipping to Norway take?"
ANSWERED = {"message_received": 1, "message_sent": 1}
UNSENT = {"message_received": 1, "run_failed": 1}


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MailServer]:
    """A mail server, and an app that is told to use it."""
    async with mail_server() as running:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{running.port}")
        monkeypatch.setenv("MAIL_FROM", "Support <support@shop.example>")
        yield running


async def details(action: str) -> list[dict[str, Any]]:
    return await db.fetch(
        "select run_id, customer_id, detail::jsonb ->> 'delivery' as delivery, detail::jsonb ->> 'mail_id' as mail_id,"
        " detail::jsonb ->> 'reply' as reply, detail::jsonb ->> 'error' as error,"
        " detail::jsonb ->> 'email_text' as email_text from audit_log where action = $1 order by id",
        action,
    )


async def test_without_a_mail_server_a_reply_is_a_draft_and_says_so(engine: Engine) -> None:
    await engine.email(PLAIN)
    await engine.until(actions, ANSWERED)
    [row] = await details("message_sent")
    assert (row["delivery"], row["mail_id"]) == ("draft", None)


async def test_a_reply_goes_to_the_customers_own_address_and_joins_the_thread(
    engine: Engine, server: MailServer
) -> None:
    data = {"customer_id": "cust_002", "email_text": PLAIN, "from": "eve@example.com", "reply_to": "eve@example.com"}
    thread = {"message_id": "<b@mail>", "references": "<a@mail>", "subject": "Norway\r\nBcc: eve@example.com"}
    await engine.send("customer/email.received", data | thread)
    await engine.until(actions, ANSWERED)
    [row], [message], [envelope] = await details("message_sent"), server.accepted, server.envelopes
    assert envelope.rcpt_tos == ["grace@example.com"]
    assert message["In-Reply-To"] == "<b@mail>"
    assert message["References"].split() == ["<a@mail>", "<b@mail>"]
    assert message["Subject"] == "Re: Norway Bcc: eve@example.com"
    assert row["mail_id"] == message["Message-ID"] == f"<{row['run_id']}@shop.example>"
    assert row["delivery"] == "smtp"
    assert str(message.get_content()).split() == row["reply"].split()


async def test_an_email_that_waits_for_a_person_is_answered_once_it_was_decided(
    engine: Engine, server: MailServer
) -> None:
    event_id = await engine.email("I was charged twice for order A-1001, $49.00.")
    await engine.until(refunds_in_ledger, [("pending", None)])
    assert server.tries == 0
    await engine.decide(request_id=event_id, approved=True)
    await engine.until(actions, ANSWERED | {"refund_issued": 1})
    assert len(server.accepted) == 1


@pytest.mark.crash_at_every_step
async def test_wherever_the_process_dies_one_message_is_sent(engine: Engine, server: MailServer) -> None:
    await engine.email(PLAIN)
    await engine.until(actions, ANSWERED)
    await engine.settle()
    assert (await actions(), len(server.accepted)) == (ANSWERED, 1)


async def test_a_step_that_dies_before_its_row_sends_the_same_message_again(
    engine: Engine, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = db.record
    died: list[str] = []

    async def dies_before_the_write(action: db.AuditAction, *arguments: Any, **detail: Any) -> None:
        if action == "message_sent" and not died:
            died.append(action)
            raise ConnectionResetError("died before the write")
        await original(action, *arguments, **detail)

    monkeypatch.setattr(db, "record", dies_before_the_write)
    await engine.email(PLAIN)
    await engine.settle()
    await engine.advance(minutes=5)
    assert await actions() == ANSWERED
    assert len(server.accepted) == 2
    assert len({message["Message-ID"] for message in server.accepted}) == 1


async def test_a_grey_listed_reply_is_sent_minutes_later(engine: Engine, server: MailServer) -> None:
    server.recipient = "451 4.7.1 greylisted, come back in five minutes"
    await engine.email(PLAIN)
    await engine.settle()
    await engine.advance(minutes=2)
    assert (server.tries, await actions()) == (2, {"message_received": 1})
    server.recipient = "250 OK"
    await engine.advance(minutes=5)
    assert (server.tries, len(server.accepted), await actions()) == (3, 1, ANSWERED)


async def test_a_mail_server_that_stays_away_for_hours_leaves_the_reply_with_a_person(
    engine: Engine, server: MailServer
) -> None:
    server.recipient = "451 not now"
    await engine.email(PLAIN)
    await engine.settle()
    await engine.advance(minutes=70)
    assert (server.tries, await actions()) == (4, {"message_received": 1})
    await engine.advance(minutes=20)
    assert (server.tries, await actions()) == (5, UNSENT)
    [row] = await details("run_failed")
    assert row["reply"]
    assert row["email_text"] == PLAIN
    assert "451" in row["error"]


async def test_a_refused_recipient_fails_at_once_and_claims_nothing(engine: Engine, server: MailServer) -> None:
    server.recipient = "550 5.1.1 <grace@example.com>: no such user"
    event_id = await engine.email(PLAIN)
    await engine.until(actions, UNSENT)
    await engine.settle()
    [row] = await details("run_failed")
    assert row["reply"]
    assert (row["customer_id"], row["email_text"]) == ("cust_002", PLAIN)
    assert row["error"] == "Sending the reply failed: the mail server refused the recipient with 550."
    (run,) = await engine.runs_of("customer/email.received")
    assert (run.id, run.status) == (row["run_id"], "Failed")
    assert server.tries == 1
    assert "grace@example.com" not in engine.stored()
    assert event_id


async def test_a_run_cancelled_after_a_later_message_of_its_own_is_still_found_by_a_person(engine: Engine) -> None:
    """Only its reply answers an email: a note that its refund came back does not."""
    await engine.email("I was charged twice for order A-1001, $49.00.")
    await engine.until(refunds_in_ledger, [("pending", None)])
    [row] = await db.fetch("select run_id from refunds")
    await db.record("message_sent", row["run_id"], "tell-refund-failed:re_1", "cust_002", reply="It came back.")
    await engine.cancel(row["run_id"])
    await engine.until(actions, {"message_received": 1, "message_sent": 1, "refund_blocked": 1, "run_failed": 1})


async def test_every_delay_of_a_retry_is_there(engine: Engine) -> None:
    assert len(replies.MAIL_PAUSES) == retries.RETRIES


async def test_a_customer_who_is_gone_by_then_is_not_written_to(server: MailServer, database: None) -> None:
    with pytest.raises(mail.UnsentError) as raised:
        await mail.send_once("run-1", "audit-sent", "cust_404", "Hi", mail_key="run-1", received={})
    assert raised.value.final
    assert server.tries == 0
