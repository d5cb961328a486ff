"""What the engine lost, found in the tables: each email ends in a reply or in front of a person.

The clock is the database's; rows are made older past its triggers.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import fastapi
import pytest

import db
from outbound import chat
from people import lost
from refunds import ledger
from steps import encryption, failures, wake_ups
from tests.ledger import decide, rewrite
from web import Event
from web.webhooks import inbox, routes

pytestmark = pytest.mark.usefixtures("database")
NOTHING = {"emails": 0, "untold": 0}


async def received(minutes: float = 20, run_id: str | None = None) -> str:
    """An email that a run began to answer so many minutes ago; the run's id."""
    run_id = run_id or f"run-{uuid4()}"
    await db.record(
        "message_received", run_id, "audit-received", "cust_002", event_id=f"event-of-{run_id}", email_text="Hi"
    )
    await older("audit_log", "created_at", "run_id", run_id, minutes)
    return run_id


async def older(table: str, column: str, key: str, value: str, minutes: float) -> None:
    await rewrite(
        f"update {table} set {column} = now() - $2 * interval '1 minute' where {key} = $1 returning 1",  # noqa: S608
        value,
        minutes,
    )


async def refund(run_id: str, *, asked_minutes: float = 20, approved: bool | None = None) -> int:
    """A refund that the run asked for, decided just now or not at all."""
    wanted = {"call_id": "call", "order_id": "A-1001", "amount_cents": 4900, "reason": "Duplicate charge"}
    await ledger.open_requests(run_id, f"event-of-{run_id}", "cust_002", [wanted])
    [row] = await ledger.of_run(run_id)
    if approved is not None:
        assert await decide(row["id"], approved=approved, by="grace", note="no") is None
    return int(row["id"])


async def failed() -> list[tuple[str, str, str]]:
    """The rows that ask for a person: run, step, error."""
    rows = await db.fetch("select key, run_id, detail ->> 'error' as error from audit_log where action = 'run_failed'")
    return [(row["run_id"], row["key"].removeprefix(row["run_id"] + ":"), row["error"]) for row in rows]


async def test_an_email_whose_run_is_silent_reaches_a_person_once() -> None:
    run_id = await received()
    for _ in range(3):
        assert await lost.find_lost() == {"emails": 0, "untold": 1}
    [(found, step, error)] = await failed()
    assert (found, step) == (run_id, "lost")
    assert error.startswith("No reply went out, and its run has been silent for ten minutes.")
    [row] = await db.fetch("select detail from audit_log where action = 'run_failed'")
    assert json.loads(row["detail"])["email_text"] == "Hi"


async def test_what_is_answered_failed_young_or_of_the_command_line_is_left_alone() -> None:
    answered, handed_over = await received(), await received()
    await db.record("message_sent", answered, "audit-sent", "cust_002", reply="Hello")
    await failures.hand_over(handed_over, "event", {"customer_id": "cust_002"}, "the model is away")
    await received(minutes=5)
    await received(run_id="worker-1")
    await lost.find_lost()
    assert [step for _, step, _ in await failed()] == ["audit-run-failed"]


async def test_an_email_that_nobody_looked_for_in_a_month_reaches_a_person() -> None:
    run_id = await received(minutes=60 * 24 * 30)
    await kept(minutes=60 * 24 * 30)
    await lost.find_lost()
    assert sorted((found, step) for found, step, _ in await failed()) == [("email-1", "not-begun"), (run_id, "lost")]
    assert await lost.send_again(Sent()) == 0


async def test_an_email_that_waits_for_its_approval_is_not_silent() -> None:
    await refund(await received(minutes=200))
    assert await lost.find_lost() == NOTHING


async def test_an_approved_refund_that_no_run_carries_out_reaches_a_person() -> None:
    run_id = await received(minutes=200)
    await refund(run_id, approved=True)
    assert await lost.find_lost() == NOTHING
    await older("refunds", "decided_at", "run_id", run_id, 11)
    await lost.find_lost()
    [(found, _, error)] = await failed()
    assert found == run_id
    assert error.endswith("The refund of order A-1001 was approved by grace and not carried out.")


async def test_a_refund_whose_time_is_up_and_that_no_run_closes_reaches_a_person() -> None:
    run_id = await received(minutes=300)
    await refund(run_id)
    await older("refunds", "expires_at", "run_id", run_id, 11)
    await lost.find_lost()
    assert [found for found, _, _ in await failed()] == [run_id]


async def test_a_run_that_is_lost_after_its_refund_was_settled_reaches_a_person() -> None:
    run_id = await received(minutes=300)
    await refund(run_id, approved=False)
    await ledger.block_the_rest(run_id, "rejected")
    assert await lost.find_lost() == NOTHING
    await older("refunds", "settled_at", "run_id", run_id, 11)
    await lost.find_lost()
    assert [found for found, _, _ in await failed()] == [run_id]


async def test_a_payment_without_an_outcome_reaches_a_person() -> None:
    run_id = await received(minutes=0)
    refund_id = await refund(run_id, approved=True)
    await older("refunds", "payment_started_at", "run_id", run_id, 29)
    assert await lost.find_lost() == NOTHING
    await older("refunds", "payment_started_at", "run_id", run_id, 31)
    await lost.find_lost()
    assert [(found, step) for found, step, _ in await failed()] == [(run_id, f"no-outcome:{refund_id}")]


# The inbox


def email(event_id: str = "email-1", sender: str = "grace@example.com") -> Event:
    data = {"customer_id": "cust_002", "email_text": "Hi", "from": sender}
    return Event(id=event_id, name="customer/email.received", data=data)


async def kept(event_id: str = "email-1", minutes: float = 0) -> None:
    """An email that the webhook took so many minutes ago."""
    assert await inbox.keep(email(event_id), 10) == email(event_id)
    await older("inbox", "received_at", "event_id", event_id, minutes)


class Sent:
    """A `send` that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, events: Sequence[Event]) -> None:
        self.events += events


async def test_an_email_that_no_run_begins_is_sent_again_and_then_reaches_a_person() -> None:
    send = Sent()
    await kept(minutes=1)
    assert await lost.find_lost() == NOTHING
    await older("inbox", "received_at", "event_id", "email-1", 5)
    assert await lost.find_lost() == {"emails": 1, "untold": 0}
    assert await lost.send_again(send) == 1
    assert send.events == [email()]
    # After a long outage, the engine has an hour from then on.
    await older("inbox", "received_at", "event_id", "email-1", 600)
    assert await lost.find_lost() == {"emails": 1, "untold": 0}
    await older("inbox", "sent_again_at", "event_id", "email-1", 61)
    assert await lost.find_lost() == {"emails": 0, "untold": 1}
    [(run_id, step, _)] = await failed()
    assert (run_id, step) == ("email-1", "not-begun")
    [row] = await db.fetch("select customer_id from audit_log")
    assert row["customer_id"] == "cust_002"
    assert await lost.find_lost() == {"emails": 0, "untold": 1}
    assert len(await failed()) == 1


@pytest.mark.parametrize("action", ["message_received", "run_failed"])
async def test_an_email_that_a_run_or_a_person_has_is_not_sent_again_and_its_copy_goes(action: Any) -> None:
    await kept(minutes=5)
    await db.record(action, "run-1", "step", "cust_002", event_id="email-1")
    assert (await lost.find_lost())["emails"] == 0
    assert await db.fetch("select event from inbox") == [{"event": None}]
    assert await inbox.keep(email(), 10) is None


@pytest.mark.parametrize("data", [{"email_text": encryption.UNREADABLE}, {"encrypted": {}}], ids=["changed", "removed"])
@pytest.mark.parametrize("begun", [True, False])
async def test_an_email_whose_key_is_gone_is_handed_over_as_the_tables_have_it(data: Any, begun: bool) -> None:
    await kept()
    if begun:
        await received(run_id="run-1")
        await lost.forget_begun()
    await failures.hand_over("run-1", "email-1", {"customer_id": "cust_002"} | data, "Failed to decrypt data")
    [row] = await db.fetch("select detail ->> 'email_text' as text from audit_log where action = 'run_failed'")
    assert row["text"] == "Hi"


async def test_an_engine_that_takes_nothing_does_not_keep_an_email_from_people() -> None:
    async def away(_: Sequence[Event]) -> None:
        raise ConnectionRefusedError

    await kept(minutes=5)
    with pytest.raises(ConnectionRefusedError):
        await lost.send_again(away)
    await older("inbox", "sent_again_at", "event_id", "email-1", 61)
    await lost.find_lost()
    assert [step for _, step, _ in await failed()] == ["not-begun"]


async def test_the_app_looks_for_itself_from_its_start_on_and_one_failure_is_not_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine's crons are not needed for it, which are gone with the engine's data."""
    await received()
    await kept(minutes=5)
    send = Sent()

    async def away(_: list[tuple[str, str]]) -> bool:
        raise chat.UnavailableError("status 500")

    monkeypatch.setattr(chat, "post", away)
    app = fastapi.FastAPI()
    app.include_router(routes.router(send, dev=True))
    async with app.router.lifespan_context(app):
        while not send.events:
            await asyncio.sleep(0.001)
    assert [step for _, step, _ in await failed()] == ["lost"]
    assert "UnavailableError" in caplog.text


async def test_hundreds_of_emails_are_sent_again_in_parts() -> None:
    sizes: list[int] = []

    async def send(events: Sequence[Event]) -> None:
        sizes.append(len(events))

    for number in range(45):
        await kept(f"email-{number}")
        await db.fetch("update inbox set sender = event_id")
    await rewrite("update inbox set received_at = now() - interval '5 minutes' returning 1")
    assert await lost.send_again(send) == 45
    assert sizes == [20, 20, 5]


# People are told


async def test_people_are_told_once_of_each_and_without_the_email(caplog: pytest.LogCaptureFixture) -> None:
    await received()
    await db.record("run_failed", "mail-1", "audit-unmatched", None, error="secret", email_text="secret")
    await lost.find_lost()
    with caplog.at_level(logging.WARNING):
        await lost.tell_people()
    told = [record.message for record in caplog.records]
    page = "http://127.0.0.1:8000/approvals/needs-a-person"
    assert set(told) == {
        f"An email of cust_002 needs a person. {page}",
        f"An email of nobody we know needs a person. {page}",
    }
    assert "secret" not in caplog.text
    assert (await lost.find_lost())["untold"] == 0


async def test_a_chat_service_that_is_away_leaves_them_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    await received()
    await lost.find_lost()

    async def away(_: list[tuple[str, str]]) -> bool:
        raise chat.UnavailableError("status 500")

    monkeypatch.setattr(chat, "post", away)
    with pytest.raises(chat.UnavailableError):
        await lost.tell_people()
    assert (await lost.find_lost())["untold"] == 1


async def test_a_flood_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[list[tuple[str, str]]] = []

    async def post(lines: list[tuple[str, str]]) -> bool:
        posted.append(lines)
        return True

    monkeypatch.setattr(chat, "post", post)
    await lost.tell_people()
    assert posted == []
    for number in range(150):
        await db.record("run_failed", f"mail-{number}", "audit-unmatched", None, error="a stranger")
    await lost.tell_people()
    [lines] = posted
    assert (len(lines), lines[-1][0]) == (21, "130 more need a person.")
    assert (await lost.find_lost())["untold"] == 0


# Decisions


async def test_a_decision_is_acted_on_once_it_is_paid_closed_or_on_its_way() -> None:
    run_id = await received()
    refund_id = await refund(run_id)
    assert await wake_ups.is_acted_on(refund_id)
    assert await decide(refund_id, approved=False, by="grace", note="no") is None
    assert not await wake_ups.is_acted_on(refund_id)
    await ledger.block_the_rest(run_id, "rejected")
    assert await wake_ups.is_acted_on(refund_id)
    for nonsense in (None, "1", True, 99_999):
        assert await wake_ups.is_acted_on(nonsense)


def test_a_run_has_time_for_all_its_tries_before_it_counts_as_silent() -> None:
    """Five tries take four to six minutes (the engine's backoff, measured)."""
    assert timedelta(minutes=6) < lost.SILENT
    assert lost.NOT_BEGUN < lost.GIVEN_UP < lost.ID_IS_KNOWN < timedelta(hours=24)


async def test_the_rows_of_a_day_are_found_by_indexes() -> None:
    await rewrite(
        "insert into audit_log (action, key, run_id, customer_id, detail, created_at) select"
        " case n % 2 when 0 then 'message_received' else 'message_sent' end,"
        " 'run-' || n / 2 || case n % 2 when 0 then ':audit-received' else ':audit-sent' end, 'run-' || n / 2,"
        " 'cust_002', jsonb_build_object('event_id', 'event-' || n / 2), now() - n * interval '10 seconds'"
        " from generate_series(2, 40000) n returning 1"
    )
    await rewrite(
        "insert into unanswered select run_id, id from audit_log where action = 'message_received' and id % 400 = 1"
        " returning 1"
    )
    await rewrite("analyze audit_log, unanswered")
    real, plans = db.fetch, []

    async def explained(query: str, *arguments: object) -> list[dict[str, Any]]:
        plans.extend(await real(f"explain {query}", *arguments))
        return await real(query, *arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(db, "fetch", explained)
        await lost.find_lost()
    assert "Seq Scan on audit_log" not in "\n".join(row["QUERY PLAN"] for row in plans)
