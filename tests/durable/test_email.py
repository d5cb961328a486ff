"""An email is received once and answered once, whatever fails on the way; what cannot be answered leaves a trace."""

from typing import Any

import pytest

import db
import inngest_app
import worker
from steps import failures
from tests.durable.driver import Engine, actions

PLAIN = "Hello, how long does shipping to Norway take?"


async def failed_emails() -> list[dict[str, Any]]:
    return await db.fetch(
        "select customer_id, detail::jsonb ->> 'error' as error, run_id from audit_log where action = 'run_failed'"
    )


async def test_a_plain_email_is_received_once_and_answered_once(engine: Engine) -> None:
    await engine.email(PLAIN)
    await engine.until(actions, {"message_received": 1, "message_sent": 1})


async def test_an_email_delivered_twice_is_answered_once(engine: Engine) -> None:
    event_id = await engine.email(PLAIN)
    await engine.email(PLAIN, event_id=event_id)
    await engine.until(actions, {"message_received": 1, "message_sent": 1})
    await engine.settle()
    assert await actions() == {"message_received": 1, "message_sent": 1}


async def test_a_run_cancelled_after_its_answer_was_sent_has_not_failed(engine: Engine) -> None:
    """The official server lets that happen, and announces it like the cancellation of a run that waits."""
    await engine.email(PLAIN)
    await engine.until(actions, {"message_received": 1, "message_sent": 1})
    (row,) = await db.fetch("select distinct run_id from audit_log")
    event = {"id": "x", "data": {"customer_id": "cust_002", "email_text": PLAIN}}
    await failures.audit_run_failed({"run_id": row["run_id"], "event": event})
    assert await actions() == {"message_received": 1, "message_sent": 1}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"customer_id": "cust_002"},
        {"email_text": PLAIN},
        {"customer_id": "cust_002", "email_text": "  \n"},
        {"customer_id": "cust_002", "email_text": 7},
        {"customer_id": ["cust_002"], "email_text": PLAIN},
        {"customer_id": "cust_404", "email_text": PLAIN},
        {"customer_id": "cust_002\x00", "email_text": PLAIN},
        {"customer_id": "cust_002", "email_text": "x" * (inngest_app.EMAIL_MAX_CHARS + 1)},
    ],
    ids=lambda data: ", ".join(f"{name}={str(value)[:12]!r}" for name, value in data.items()) or "nothing",
)
async def test_an_email_that_cannot_be_answered_fails_at_once_and_leaves_a_row(
    engine: Engine, data: dict[str, Any]
) -> None:
    event = await engine.send("customer/email.received", data)
    await engine.until(actions, {"run_failed": 1})
    (run,) = await engine.runs_of(event)
    assert (run.status, run.id) == ("Failed", (await failed_emails())[0]["run_id"])


async def test_an_email_with_characters_that_postgres_cannot_store_is_answered(engine: Engine) -> None:
    await engine.email("Hello\x00 there \ud800, what does shipping cost? \u202e\U0001d518")
    await engine.until(actions, {"message_received": 1, "message_sent": 1})


@pytest.fixture
def agent_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The emails that reached the agent, one entry per attempt."""
    calls: list[str] = []
    original = worker.answer

    async def counted(email: str, ticket: worker.Ticket) -> worker.Outcome:
        calls.append(email)
        return await original(email, ticket)

    monkeypatch.setattr(worker, "answer", counted)
    return calls


async def test_a_busy_model_is_asked_again_when_it_said_and_not_before(
    engine: Engine, agent_calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "rule-based:rate-limited-once")
    await engine.email(f"{PLAIN} (busy)")
    await engine.settle()
    await engine.advance(seconds=6)
    assert len(agent_calls) == 1
    await engine.advance(seconds=2)
    assert len(agent_calls) == 2
    assert await actions() == {"message_received": 1, "message_sent": 1}


async def test_a_refusal_is_not_tried_again(
    engine: Engine, agent_calls: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line about the run, with the error's type; what the error says stands in the row."""
    monkeypatch.setenv("MODEL", "rule-based:refuses")
    await engine.email(PLAIN)
    await engine.until(actions, {"message_received": 1, "run_failed": 1})
    assert len(agent_calls) == 1
    [row] = await failed_emails()
    said = [record.message for record in caplog.records if row["run_id"] in record.message]
    assert said == [f"Run {row['run_id']} failed: NonRetriableError"]


async def test_an_outage_is_tried_five_times_and_then_a_person_finds_the_email(
    engine: Engine, agent_calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "rule-based:outage")
    await engine.email(PLAIN)
    await engine.settle()
    await engine.advance(hours=6)
    assert len(agent_calls) == 5
    assert await actions() == {"message_received": 1, "run_failed": 1}


async def test_an_outage_that_ends_in_time_costs_attempts_and_no_email(
    engine: Engine, agent_calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "rule-based:outage")
    await engine.email(PLAIN)
    await engine.settle()
    monkeypatch.setenv("MODEL", "rule-based")
    await engine.advance(minutes=2)
    assert len(agent_calls) == 2
    assert await actions() == {"message_received": 1, "message_sent": 1}


async def test_a_promise_without_a_refund_is_contradicted_in_the_same_reply(
    engine: Engine, agent_calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "rule-based:promises")
    await engine.email("I was charged twice for order A-1001, $49.00. Please help.")
    await engine.settle()
    assert len(agent_calls) == 1
    assert await actions() == {"message_received": 1, "message_sent": 1}
    [sent] = await db.fetch("select detail::jsonb ->> 'reply' as reply from audit_log where action = 'message_sent'")
    assert "I have refunded $49.00 for order A-1001" in sent["reply"]
    assert sent["reply"].endswith("- No refund was made or asked for in reply to this message.")


@pytest.mark.crash_at_every_step
async def test_wherever_the_process_dies_an_email_has_one_row_of_each_kind(engine: Engine) -> None:
    """Also in the window that memoization leaves: the row is written, the engine never hears of it."""
    await engine.email(PLAIN)
    await engine.until(actions, {"message_received": 1, "message_sent": 1})
    await engine.settle()
    assert await actions() == {"message_received": 1, "message_sent": 1}
